//! One rule for every file that the program writes: nothing is replaced but what the program wrote itself, of the same kind.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use secondo::Error;
use secondo::io::{check_writable, is_same_file, write_file};
use serde_json::Value;

use crate::exit::Failure;

/// The contents of a file that is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Model,
    Report,
    /// A report as HTML.
    Page,
    Checkpoint,
    Plot,
    Predictions,
    Derivatives,
    Inference,
    /// A model for other programs.
    Converted,
    /// A table for other programs.
    Table,
    /// A page of the manual.
    Manual,
}

/// So many first bytes tell whether the program wrote a file.
const HEAD: u64 = 1 << 16;
/// How JSON of the program begins.
const BEGIN: &[u8] = b"{\n  \"value\": ";
/// How what was inferred begins.
const INFERENCE_BEGIN: &[u8] = b"{\n  \"written_by\": \"secondo ";
/// How ONNX of the library begins.
const ONNX_BEGIN: &[u8] = b"\x08\x07\x12\x07secondo";
/// How the footers of Parquet files of the library begin to name it.
const PARQUET_MARK: &str = "secondo version ";
/// Their words for their content.
pub const PARQUET_PREDICTIONS: &str = "predictions";
pub const PARQUET_TABLE: &str = "table";
/// The mark in plots as SVG, and the one in plots as PNG.
pub const SVG_MARK: &str = "data-program=\"secondo\"";
pub const PNG_MARK: (&str, &str) = ("Software", "secondo");
/// How pages name their author, before the version.
pub const PAGE_MARK: &str = "<meta name=\"generator\" content=\"secondo";

/// Whether files of other programs may be replaced.
static FORCE: AtomicBool = AtomicBool::new(false);

/// Lets files be replaced that this program did not write: `--force`.
pub fn force() {
    FORCE.store(true, Ordering::Relaxed);
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Model => "a model",
            Kind::Report => "a report",
            Kind::Page => "a page",
            Kind::Checkpoint => "a checkpoint",
            Kind::Plot => "a plot",
            Kind::Predictions => "a table of predictions",
            Kind::Derivatives => "a file of derivatives",
            Kind::Inference => "a report of what was inferred",
            Kind::Converted => "a converted model",
            Kind::Table => "a table",
            Kind::Manual => "a page of the manual",
        }
    }

    /// The extension of a file of this kind that was given none.
    fn extension(self) -> &'static str {
        match self {
            Kind::Model | Kind::Checkpoint => "safetensors",
            Kind::Report | Kind::Derivatives | Kind::Inference => "json",
            Kind::Page => "html",
            Kind::Plot => "svg",
            Kind::Predictions => "csv",
            Kind::Converted => "onnx",
            Kind::Table => "parquet",
            Kind::Manual => "1",
        }
    }

    /// Whether the file at `path` is of this kind and by this program. There is nothing to lose in an empty one.
    fn is_kind_of(self, path: &Path) -> io::Result<bool> {
        let mut file = File::open(path)?;
        let mut head = Vec::new();
        (&mut file).take(HEAD).read_to_end(&mut head)?;
        let holds = |part: &[u8]| head.windows(part.len()).any(|w| w == part);
        Ok(head.is_empty()
            || match self {
                Kind::Model => of_safetensors(&head, file)?["format"] == "secondo",
                Kind::Report => is_report(&head, file)?,
                Kind::Page => holds(PAGE_MARK.as_bytes()),
                Kind::Checkpoint => holds(b"secondo-checkpoint"),
                Kind::Plot => {
                    let (key, value) = PNG_MARK;
                    holds(SVG_MARK.as_bytes()) || holds(format!("{key}\0{value}").as_bytes())
                }
                Kind::Predictions => {
                    is_predictions(&head) || is_own_parquet(&head, file, PARQUET_PREDICTIONS)?
                }
                Kind::Table => is_own_parquet(&head, file, PARQUET_TABLE)?,
                Kind::Inference => head.starts_with(INFERENCE_BEGIN),
                Kind::Manual => holds(b"\n.TH secondo"),
                Kind::Converted => {
                    head.starts_with(ONNX_BEGIN)
                        || head.starts_with(b"PK\x03\x04") && holds(b"network.npy")
                        || of_safetensors(&head, file)?["producer"] == "secondo"
                }
                Kind::Derivatives => {
                    // A report has other keys after the value.
                    let third = head.split(|&b| b == b'\n').nth(2).unwrap_or_default();
                    head.starts_with(BEGIN) && third.starts_with(b"  \"gradient\": ")
                        || head.starts_with(b"PK\x03\x04") && holds(b"value.npy")
                }
            })
    }
}

/// Whether the file is a model that this program, or the library, wrote.
pub fn is_model_file(path: &Path) -> bool {
    let metadata = || {
        let mut file = File::open(path)?;
        let mut head = Vec::new();
        (&mut file).take(HEAD).read_to_end(&mut head)?;
        of_safetensors(&head, file)
    };
    metadata().is_ok_and(|metadata| metadata["format"] == "secondo")
}

/// Whether a file that begins with `head` is a Parquet file whose footer says that this program wrote such content.
fn is_own_parquet(head: &[u8], mut file: File, content: &str) -> io::Result<bool> {
    if !head.starts_with(b"PAR1") {
        return Ok(false);
    }
    let end = file.metadata()?.len();
    file.seek(SeekFrom::Start(end.saturating_sub(HEAD)))?;
    let mut foot = Vec::new();
    file.take(HEAD).read_to_end(&mut foot)?;
    let foot = String::from_utf8_lossy(&foot);
    let marks = foot.match_indices(PARQUET_MARK);
    let named = marks.filter_map(|(at, mark)| foot[at + mark.len()..].split_once(' '));
    Ok(named.into_iter().any(|(_, rest)| rest.starts_with(&format!("({content})"))))
}

/// The metadata of a safetensors file that begins with `head`; null for another file.
fn of_safetensors(head: &[u8], rest: File) -> io::Result<Value> {
    let Some((size, begin)) = head.split_first_chunk::<8>() else {
        return Ok(Value::Null);
    };
    let size = u64::from_le_bytes(*size);
    if size > rest.metadata()?.len() {
        return Ok(Value::Null);
    }
    let mut header = begin.to_vec();
    rest.take(size.saturating_sub(begin.len() as u64)).read_to_end(&mut header)?;
    header.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    let mut header: Value = serde_json::from_slice(&header).unwrap_or_default();
    Ok(header.get_mut("__metadata__").map(Value::take).unwrap_or_default())
}

/// Whether a text that begins with `head` has the keys of a report.
fn is_report(head: &[u8], mut rest: File) -> io::Result<bool> {
    if !head.starts_with(BEGIN) {
        return Ok(false);
    }
    let mut text = head.to_vec();
    rest.read_to_end(&mut text)?;
    let report: Value = serde_json::from_slice(&text).unwrap_or_default();
    Ok(["gradient_norm", "reason", "W", "version"].iter().all(|key| report.get(key).is_some()))
}

/// Whether the first line has the names that columns of predictions have, behind those of labels and lines, with any delimiter.
fn is_predictions(head: &[u8]) -> bool {
    let line = head.split(|&b| b == b'\n').next().unwrap_or_default();
    let delimiters: BTreeSet<u8> = (line.iter().copied())
        .filter(|b| b.is_ascii() && !b.is_ascii_alphanumeric() && !b"\"_\r".contains(b))
        .chain([b','])
        .collect();
    delimiters.into_iter().any(|delimiter| {
        let mut reader =
            csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).from_reader(line);
        let Some(Ok(names)) = reader.records().next() else {
            return false;
        };
        let mut names: Vec<&str> = names.iter().collect();
        if line.len() == head.len() && names.len() > 1 {
            // The last may be cut.
            names.pop();
        }
        let is_prediction = |name: &&str| *name == "prediction" || name.starts_with("prediction_");
        let Some(at) = names.iter().take(3).position(is_prediction) else {
            return false;
        };
        let mut others = names[at + 1..].iter();
        (at < 2 || names[1] == "line")
            && others.all(|n| is_prediction(n) || n.starts_with("probability_"))
    })
}

/// Where the library keeps the checkpoint before the last.
fn before(checkpoint: &Path) -> PathBuf {
    let mut name = checkpoint.as_os_str().to_os_string();
    name.push(".old");
    PathBuf::from(name)
}

/// Refuses, before the work, what cannot be written, what is read or written besides, and what this program did not write.
/// A fit may write its checkpoint over the one that it is `resumed` from.
pub fn check(
    inputs: &[&Path],
    resumed: Option<&Path>,
    outputs: &[(Kind, &Path)],
) -> Result<(), Failure> {
    let mut all: Vec<(Kind, PathBuf)> = Vec::new();
    for &(kind, path) in outputs {
        all.push((kind, path.to_path_buf()));
        if kind == Kind::Checkpoint {
            all.push((kind, before(path)));
        }
    }
    for (index, (kind, path)) in all.iter().enumerate() {
        check_writable(path)?;
        let special = path.exists() && !path.is_file();
        if special {
            continue;
        }
        let shown = path.display();
        let resumed = resumed.filter(|_| *kind != Kind::Checkpoint);
        if inputs.iter().copied().chain(resumed).any(|input| is_same_file(input, path)) {
            return Err(Failure::usage(format!(
                "{shown} is read and would be overwritten; choose another file for the output"
            )));
        }
        if all[..index].iter().any(|(_, other)| is_same_file(other, path)) {
            return Err(Failure::usage(format!(
                "{shown} is given for two outputs; choose different files"
            )));
        }
        refuse_foreign(*kind, path)?;
    }
    Ok(())
}

/// Refuses to replace a file that is not of this kind and by this program.
fn refuse_foreign(kind: Kind, path: &Path) -> Result<(), Failure> {
    if !path.is_file() || FORCE.load(Ordering::Relaxed) {
        return Ok(());
    }
    let failed = |reason| Error::Io { path: path.to_path_buf(), action: "replace", reason };
    if kind.is_kind_of(path).map_err(|e| failed(e.to_string()))? {
        return Ok(());
    }
    let why = format!(
        "it is not {} that secondo wrote; choose another name for the output, or replace it with --force",
        kind.name()
    );
    Err(failed(why).into())
}

/// Writes a file whole or not at all; one that is there is replaced only if it is of this kind.
pub fn write(
    kind: Kind,
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    // The work may have taken long, and another program may have written there since the first check.
    refuse_foreign(kind, path)?;
    Ok(write_file(path, fill)?)
}

/// Fills a file; called again for another place where the first refuses it.
pub type Fill<'a> = &'a dyn Fn(&mut dyn Write) -> io::Result<()>;

/// A result of long work that was written: where, and why not where it should be.
pub struct Kept {
    pub path: PathBuf,
    pub why: Option<String>,
}

/// Writes the result of long work: to `path` or, where that is refused, to a new file beside the checkpoint or in the
/// folder for temporary files.
pub fn keep(
    kind: Kind,
    path: &Path,
    checkpoint: Option<&Path>,
    fill: Fill,
) -> Result<Kept, Failure> {
    let refused = match write(kind, path, fill) {
        Ok(()) => return Ok(Kept { path: path.to_path_buf(), why: None }),
        Err(refused) => refused.message,
    };
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push(format!("-{}.", std::process::id()));
    name.push(path.extension().unwrap_or(OsStr::new(kind.extension())));
    let beside =
        checkpoint.and_then(|path| fs::canonicalize(path).ok()?.parent().map(Path::to_path_buf));
    for folder in beside.into_iter().chain([std::env::temp_dir()]) {
        let path = folder.join(&name);
        if !path.exists() && write_file(&path, fill).is_ok() {
            let why = Some(format!("{refused}; {} is in {} now", kind.name(), path.display()));
            return Ok(Kept { path, why });
        }
    }
    Err(Failure::usage(format!(
        "{refused}; nor could it be written to the folder for temporary files"
    )))
}
