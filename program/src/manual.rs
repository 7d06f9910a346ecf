//! `secondo completions` and `secondo man`: what shells and manuals need to know of the program.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use secondo::Error;

use crate::exit::Failure;
use crate::files::{self, Kind};
use crate::output::{emit, say};

/// Prints the completions of commands and options for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  secondo completions bash > ~/.local/share/bash-completion/completions/secondo
  secondo completions zsh > ~/.zfunc/_secondo
  secondo completions fish > ~/.config/fish/completions/secondo.fish")]
pub struct Completions {
    /// The shell
    shell: Shell,
}

/// Writes the pages of the manual, one for each command
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  secondo man ~/.local/share/man/man1
      then 'man secondo' and 'man secondo-fit'")]
pub struct Manual {
    /// The folder, which is made where it is missing; pages of the same names are replaced
    folder: PathBuf,
}

/// Prints the completions.
///
/// # Errors
/// Standard output that cannot be written to.
pub fn completions(options: &Completions, mut command: Command) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(options.shell, &mut command, "secondo", &mut text);
    emit(Kind::Manual, None, &|out| out.write_all(&text))
}

/// Writes the pages.
///
/// # Errors
/// A folder that cannot be written to, a file there that is no page of the program.
pub fn manual(options: &Manual, mut command: Command) -> Result<(), Failure> {
    let failed = |path: &Path, error: std::io::Error| Error::Io {
        path: path.to_path_buf(),
        action: "write",
        reason: error.to_string(),
    };
    fs::create_dir_all(&options.folder).map_err(|e| failed(&options.folder, e))?;
    command.build();
    let commands = command.get_subcommands().filter(|command| command.get_name() != "help");
    for page in std::iter::once(&command).chain(commands).cloned() {
        let page = clap_mangen::Man::new(page);
        let path = options.folder.join(page.get_filename());
        let mut text = Vec::new();
        page.render(&mut text).map_err(|e| failed(&path, e))?;
        files::write(Kind::Manual, &path, |out| out.write_all(&text))?;
    }
    say(&format!("written      to {}\n", options.folder.display()))
}
