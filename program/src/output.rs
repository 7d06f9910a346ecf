//! Output of the program: text on stdout and stderr, and files.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use secondo::Error;
use secondo::io::write_file;
use serde_json::{Map, Value};

use crate::exit::Failure;

/// `error: …` on stderr. Nothing can be done if that fails.
pub fn say_error(message: &str) {
    let _ = writeln!(io::stderr(), "error: {message}");
}

/// `note: …` on stderr.
pub fn say_note(message: &str) {
    let _ = writeln!(io::stderr(), "note: {message}");
}

/// `warning: …` on stderr.
pub fn say_warning(message: &str) {
    let _ = writeln!(io::stderr(), "warning: {message}");
}

/// Writes to the file, whole or not at all, or to stdout. A reader of stdout that has left is no failure.
pub fn emit(
    path: Option<&Path>,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    if let Some(path) = path {
        return Ok(write_file(path, fill)?);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    match fill(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::usage(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// What is said on keys of a problem file that mean nothing.
pub fn unused_keys(keys: &[String]) -> String {
    format!("keys of the problem file that are not used: {}", keys.join(", "))
}

/// Text on stdout.
pub fn say(text: &str) -> Result<(), Failure> {
    emit(None, |out| out.write_all(text.as_bytes()))
}

/// A JSON object with one key on each line and compact values.
pub fn json_text(map: &Map<String, Value>) -> String {
    let mut out = String::from("{\n");
    for (index, (key, value)) in map.iter().enumerate() {
        let comma = if index + 1 < map.len() { "," } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {}: {value}{comma}", Value::from(key.as_str()));
    }
    out.push_str("}\n");
    out
}

/// A number of things, as in `1 row` and `2 rows`.
pub fn plural(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// The folder of a path.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// That a file can be written there, as far as can be told before the work: `path` is no folder, and its folder exists.
pub fn check_target(path: &Path) -> Result<(), Failure> {
    let refuse = |reason: &str| {
        Err(Failure::from(Error::Io {
            path: path.to_path_buf(),
            action: "write",
            reason: reason.into(),
        }))
    };
    if path.is_dir() {
        return refuse("it is a directory");
    }
    if path.file_name().is_none() {
        return refuse("it is not the name of a file");
    }
    if !folder(path).is_dir() {
        return refuse("its folder does not exist");
    }
    Ok(())
}

/// That the files to write differ from the ones to read and from each other.
pub fn check_distinct(inputs: &[&Path], outputs: &[&Path]) -> Result<(), Failure> {
    let place = |path: &Path| -> PathBuf {
        let name = path.file_name().unwrap_or(OsStr::new(""));
        std::fs::canonicalize(path)
            .or_else(|_| std::fs::canonicalize(folder(path)).map(|f| f.join(name)))
            .unwrap_or_else(|_| path.to_path_buf())
    };
    for (index, output) in outputs.iter().enumerate() {
        let special = output.exists() && !output.is_file();
        if special {
            continue;
        }
        if inputs.iter().any(|input| place(input) == place(output)) {
            return Err(Failure::usage(format!(
                "{} is read and would be overwritten; choose another file for the output",
                output.display()
            )));
        }
        if outputs[..index].iter().any(|other| place(other) == place(output)) {
            return Err(Failure::usage(format!(
                "{} is given for two outputs; choose different files",
                output.display()
            )));
        }
    }
    Ok(())
}

/// The stem of a path with another extension, in the current folder.
pub fn here(path: &Path, extension: &str) -> PathBuf {
    // Standard input, -, has no name.
    let stem = path.file_stem().filter(|stem| *stem != "-");
    let mut name = stem.unwrap_or(OsStr::new("model")).to_os_string();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

/// Whether the path ends with this extension, in any case.
pub fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension))
}

/// Titles and values in columns, a line for each.
#[derive(Default)]
pub struct Text(pub String);

impl Text {
    /// A line with a title.
    pub fn line(&mut self, title: &str, value: impl AsRef<str>) {
        self.0.push_str(&format!("{title:<13}{}\n", value.as_ref()));
    }

    /// A sentence, in lines of about a hundred characters.
    pub fn note(&mut self, note: &str) {
        let mut title = "note";
        let mut line = String::new();
        for word in note.split(' ') {
            if !line.is_empty() && line.chars().count() + word.chars().count() > 90 {
                self.line(title, &line);
                title = "";
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(title, &line);
    }

    /// An empty line.
    pub fn blank(&mut self) {
        self.0.push('\n');
    }
}
