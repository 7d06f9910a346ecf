//! The commands, their options and exit codes.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

#[cfg(feature = "gpu")]
use crate::adapters;
use crate::exit::Exit;
use crate::inference::{evidence, infer, prune};
use crate::output::say_error;
use crate::{checking, convert, derivatives, files, fit, manual, predict, replot, signals};

/// Fits neural networks to tables by Newton steps, judges them, and computes their exact derivatives
///
/// A network is fitted to a table (a text file with a header, .parquet, .npy or .npz), stored in one file, and used to predict from other tables.
/// Gradients and second derivatives are exact, not approximated by differences.
#[derive(Debug, Parser)]
#[command(
    name = "secondo",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Replace files that this program did not write, too
    #[arg(long, global = true, help_heading = "Output")]
    force: bool,
}

/// The first screen: what to do first, in the order in which it is done.
const FIRST: &str = "\
Begin with
  secondo fit table.csv --target COLUMN --report fit.html
      fits a network to the table, and writes the model and a page that judges it
  secondo predict table.safetensors new.csv
      predicts for the rows of another table";

const EXIT_CODES: &str = "\
Exit codes: 0 done (the report says whether it converged), 2 bad input or usage, or a file that
cannot be written, 3 device or resources, 4 numerical failure without a usable point, or
derivatives that 'check' finds wrong, 128 and the number of the signal where one interrupts: SIGINT
(Ctrl-C) 130, SIGTERM 143, SIGHUP 129 end a fit at its best point, which is written; a second one
ends at once. When the input is bad, no file is written. Files that this program did not write are
never replaced without --force.";

/// The commands in groups.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Fit and predict", &["fit", "predict", "plot"]),
    ("What a fit says", &["infer", "prune", "evidence"]),
    ("Derivatives", &["derivatives", "check"]),
    ("Other programs, this machine", &["convert", "adapters", "completions", "man"]),
];

/// The options of a fit that come first in its help, and alone in the short one.
const MOST_USED: [&str; 7] = ["target", "task", "hidden", "ridge", "ignore", "report", "model"];

// One value per run: the size of the largest variant does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Subcommand)]
enum Command {
    Fit(fit::Options),
    Predict(predict::Options),
    Plot(replot::Options),
    Derivatives(derivatives::Options),
    Check(checking::Options),
    Infer(infer::Options),
    Prune(prune::Options),
    Evidence(evidence::Options),
    Convert(convert::Options),
    #[cfg(feature = "gpu")]
    Adapters(adapters::Options),
    Completions(manual::Completions),
    Man(manual::Manual),
}

/// The commands.
fn command() -> clap::Command {
    let command = Cli::command().mut_subcommand("fit", first_options);
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} secondo COMMAND ...\n\n{FIRST}\n\n{}\
         'secondo COMMAND -h' lists the most used options of a command, '--help' explains all, with examples.\n{{after-help}}\n",
        groups(&command)
    );
    command.help_template(template).after_help("").after_long_help(EXIT_CODES)
}

/// The commands with what each does, group by group; one without a group has its own at the end.
fn groups(command: &clap::Command) -> String {
    let about = |name: &str| {
        let found = command.get_subcommands().find(|sub| sub.get_name() == name)?;
        Some(format!("  {name:<12} {}\n", found.get_about()?))
    };
    let of = |names: &[&str]| names.iter().filter_map(|name| about(name)).collect::<String>();
    let mut out: String =
        GROUPS.iter().map(|(title, names)| format!("{title}\n{}\n", of(names))).collect();
    let grouped = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    let rest: Vec<&str> =
        command.get_subcommands().map(clap::Command::get_name).filter(|n| !grouped(n)).collect();
    if !rest.is_empty() {
        out += &format!("Others\n{}\n", of(&rest));
    }
    out
}

/// Most used options first; the short help has them alone, and no examples.
fn first_options(fit: clap::Command) -> clap::Command {
    let examples = fit.get_after_help().cloned().unwrap_or_default();
    let short = "'secondo fit --help' explains all options, with examples.";
    let fit = fit.after_help(short).after_long_help(examples);
    let names: Vec<String> = fit.get_arguments().map(|arg| arg.get_id().to_string()).collect();
    let place = |command: clap::Command, name: String| {
        let first = MOST_USED.contains(&name.as_str());
        let positional = name == "data";
        command.mut_arg(&name, |arg| match (first, positional) {
            (true, _) => arg.help_heading("Most used"),
            (_, true) => arg,
            _ => arg.hide_short_help(true),
        })
    };
    names.into_iter().fold(fit, place)
}

/// Runs the program.
pub fn main() -> ExitCode {
    signals::keep_results();
    let parsed = (command().try_get_matches())
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version go to stdout and are no failure. A closed pipe is none either.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    if cli.force {
        files::force();
    }
    let matches = matches.subcommand().map_or(&matches, |(_, matches)| matches);
    let done = match cli.command {
        Command::Fit(mut options) => fit::run(&mut options, matches),
        Command::Predict(options) => predict::run(&options),
        Command::Plot(options) => replot::run(&options),
        Command::Derivatives(options) => derivatives::run(&options, matches),
        Command::Check(options) => checking::run(&options, matches),
        Command::Infer(options) => infer::run(&options, matches),
        Command::Prune(options) => prune::run(&options, matches),
        Command::Evidence(options) => evidence::run(&options, matches),
        #[cfg(feature = "gpu")]
        Command::Adapters(options) => adapters::run(&options),
        Command::Convert(options) => convert::run(&options),
        Command::Completions(options) => manual::completions(&options, command()),
        Command::Man(options) => manual::manual(&options, command()),
    };
    match done {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            if !failure.message.is_empty() {
                say_error(&failure.message);
            }
            failure.exit.into()
        }
    }
}
