//! Output of the program: text on stdout and stderr, and files.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use secondo::legible;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::exit::Failure;
use crate::files::{self, Fill, Kind};

/// `error: …` on stderr. Nothing can be done if that fails.
pub fn say_error(message: &str) {
    let _ = writeln!(io::stderr(), "error: {message}");
}

/// `note: …` on stderr.
pub fn say_note(message: &str) {
    let _ = writeln!(io::stderr(), "note: {}", legible(message));
}

/// `warning: …` on stderr.
pub fn say_warning(message: &str) {
    let _ = writeln!(io::stderr(), "warning: {}", legible(message));
}

/// Writes to the file, whole or not at all, or to stdout. A reader of stdout that has left is no failure.
pub fn emit(kind: Kind, path: Option<&Path>, fill: Fill) -> Result<(), Failure> {
    if path.is_none() {
        return print(fill);
    }
    let mut results = Results::default();
    results.keep(kind, path, fill);
    results.end()
}

/// The results of a command on their way into files: none is lost because its own file refuses it.
#[derive(Default)]
pub struct Results<'a> {
    /// The checkpoint beside which there is room.
    checkpoint: Option<&'a Path>,
    /// Whether a file refused.
    refused: bool,
}

impl<'a> Results<'a> {
    /// None yet; those whose files refuse them will lie beside the checkpoint.
    pub fn beside(checkpoint: Option<&'a Path>) -> Self {
        Results { checkpoint, refused: false }
    }

    /// Writes one to its path, if it has one, or to another place, and says what refused it; returns where it lies.
    pub fn keep(&mut self, kind: Kind, path: Option<&Path>, fill: Fill) -> Option<PathBuf> {
        let (lies, refused) = match files::keep(kind, path?, self.checkpoint, fill) {
            Ok(kept) => (Some(kept.path), kept.why),
            Err(failure) => (None, Some(failure.message)),
        };
        if let Some(why) = refused {
            self.refused = true;
            say_error(&why);
        }
        lies
    }

    /// A failure, which was said, if a file refused one of them.
    pub fn end(self) -> Result<(), Failure> {
        if self.refused { Err(Failure::said()) } else { Ok(()) }
    }
}

pub fn print(fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    match fill(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::usage(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// The note on keys of a problem file that mean nothing.
pub fn unused_keys(keys: &[String]) -> String {
    format!("keys of the problem file that are not used: {}", keys.join(", "))
}

/// Text on stdout.
pub fn say(text: &str) -> Result<(), Failure> {
    print(|out| out.write_all(text.as_bytes()))
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

/// A number of a report that is read back, or NaN for null, as numbers that are not finite are written.
pub fn number_or_null<'de, D: Deserializer<'de>>(value: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or(f64::NAN))
}

/// A number of things, as in `1 row` and `2 rows`.
pub fn plural(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
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
        self.0.push_str(&format!("{title:<13}{}\n", legible(value.as_ref())));
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
