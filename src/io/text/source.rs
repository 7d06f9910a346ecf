//! The bytes of a table as text: from a file or standard input, compressed or not, in any of the usual encodings.

use std::io::{self, Read};
use std::path::Path;

use rayon::prelude::*;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::dialect::LOOK;
use crate::error::{Error, Result};
use crate::io::files;
use crate::io::json::format_error;
use crate::memory::{bytes_of, require_memory};

/// The bytes with which files begin that are no text, and what they are.
const NO_TEXT: [(&[u8], &str); 4] = [
    (
        b"PK\x03\x04",
        "a spreadsheet (.xlsx, .ods) or another zip archive; save the sheet as CSV, or unpack the archive",
    ),
    (b"\xD0\xCF\x11\xE0", "a spreadsheet (.xls); save the sheet as CSV"),
    (b"PAR1", "a Parquet file; give it a name that ends with .parquet"),
    (b"ARROW1", "an Arrow file; write it as CSV"),
];

/// The text of a table.
pub(crate) struct Source {
    pub text: String,
    /// The name of the encoding, where it is not UTF-8 and was not given.
    pub found: Option<&'static str>,
}

/// The text of the file at `path`, or of standard input for `-`; in `encoding`, or in the one that is found.
///
/// # Errors
/// A file that cannot be read, or is not text.
pub(crate) fn read(path: &Path, encoding: Option<&str>) -> Result<Source> {
    let bytes = if path == Path::new("-") {
        limited(io::stdin().lock(), path, "read")?
    } else {
        files::read(path)?
    };
    let bytes = unpacked(bytes, path)?;
    // The text, and what its lines are cut from.
    require_memory(&path.display().to_string(), bytes_of(&[2, bytes.len()]), "divide the file")?;
    if let Some((_, what)) = NO_TEXT.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(format_error(path, format!("this is {what}")));
    }
    match encoding {
        Some(name) => {
            let encoding = Encoding::for_label(name.as_bytes()).ok_or_else(|| {
                let why = format!("'{name}' is unknown; known are utf-8, windows-1252, utf-16le and the other names of the WHATWG");
                Error::invalid("encoding", why)
            })?;
            decoded(&bytes, encoding, path)
        }
        None => found(bytes, path),
    }
}

/// All bytes of a stream, but no more than a third of the memory that may be taken: they are decoded, and cut into cells.
fn limited(stream: impl Read, path: &Path, action: &'static str) -> Result<Vec<u8>> {
    let budget = crate::available_memory() / 3;
    let mut bytes = Vec::new();
    (stream.take(budget).read_to_end(&mut bytes)).map_err(|e| Error::Io {
        path: path.to_path_buf(),
        action,
        reason: e.to_string(),
    })?;
    if bytes.len() as u64 == budget {
        return Err(Error::Memory {
            what: format!("the text of {}", path.display()),
            need: budget.saturating_add(1),
            budget,
            advice: "use a smaller table".into(),
        });
    }
    Ok(bytes)
}

/// The contents of a gzip or zstd file; other bytes as they are.
fn unpacked(bytes: Vec<u8>, path: &Path) -> Result<Vec<u8>> {
    if bytes.starts_with(b"\x1F\x8B") {
        return limited(flate2::read::MultiGzDecoder::new(bytes.as_slice()), path, "unpack");
    }
    if !bytes.starts_with(b"\x28\xB5\x2F\xFD") {
        return Ok(bytes);
    }
    let mut rest = bytes.as_slice();
    let mut out = Vec::new();
    // A file may be several frames, one after the other.
    while !rest.is_empty() {
        let failed =
            |reason: String| Error::Io { path: path.to_path_buf(), action: "unpack", reason };
        let frame = ruzstd::decoding::StreamingDecoder::new(&mut rest)
            .map_err(|e| failed(e.to_string()))?;
        out.extend(limited(frame, path, "unpack")?);
    }
    Ok(out)
}

/// The text in the encoding that the bytes show: a byte order mark, the zeros of UTF-16, UTF-8, or else Windows-1252, which
/// holds Latin-1.
fn found(bytes: Vec<u8>, path: &Path) -> Result<Source> {
    if let Some((encoding, _)) = Encoding::for_bom(&bytes) {
        return decoded(&bytes, encoding, path);
    }
    let head = bytes.get(..bytes.len().min(1024)).unwrap_or_default();
    let zeros = |odd: usize| head.iter().skip(odd).step_by(2).filter(|&&b| b == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    if (even + odd) * 3 >= head.len() * 2 && !head.is_empty() {
        return Err(format_error(path, "the file seems to be encoded in UTF-32; save it as UTF-8"));
    }
    if (even + odd) * 3 >= head.len() && !head.is_empty() {
        return decoded(&bytes, if odd > even { UTF_16LE } else { UTF_16BE }, path);
    }
    if bytes.par_chunks(LOOK).any(|part| memchr::memchr(0, part).is_some()) {
        return Ok(Source { text: files::text(bytes, path)?, found: None });
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { text, found: None }),
        Err(error) => decoded(error.as_bytes(), WINDOWS_1252, path),
    }
}

/// The text of a piece of a file that needs no decoding: UTF-8 without NUL, and not the first of a file of another kind.
pub(crate) fn plain(bytes: Vec<u8>, is_first: bool) -> Option<String> {
    let is_other = is_first && NO_TEXT.iter().any(|(magic, _)| bytes.starts_with(magic));
    let is_text = !is_other && memchr::memchr(0, &bytes).is_none();
    String::from_utf8(bytes).ok().filter(|_| is_text)
}

fn decoded(bytes: &[u8], encoding: &'static Encoding, path: &Path) -> Result<Source> {
    require_memory(&path.display().to_string(), bytes_of(&[3, bytes.len()]), "divide the file")?;
    let (text, used, wrong) = encoding.decode(bytes);
    if wrong {
        let before = text.split('\u{FFFD}').next().unwrap_or_default();
        return Err(Error::Format {
            path: path.to_path_buf(),
            line: Some(1 + before.matches('\n').count() as u64),
            column: None,
            why: format!(
                "a byte that is not {}; another encoding is chosen by --encoding",
                used.name()
            ),
        });
    }
    let found = (used != UTF_8).then(|| used.name());
    Ok(Source { text: text.into_owned(), found })
}
