//! NumPy's `.npz` archives.

use std::io::Read;
use std::path::Path;

use flate2::read::DeflateDecoder;

use super::files;
use super::json::format_error;
use crate::error::Result;
use crate::memory::require_memory;

/// The bytes of each file of an archive, with its name.
///
/// # Errors
/// A file that cannot be read, is no archive, is damaged, or is packed in another way than NumPy does.
pub(super) fn files_of(path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    parse(&files::read(path)?, path)
}

fn small(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)))
}

fn large(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

fn parse(bytes: &[u8], path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let wrong = |why: &str| format_error(path, why);
    let damaged = || wrong("the archive is damaged or incomplete; write it with numpy.savez");
    // The end of the directory stands before a comment.
    let end = (0..bytes.len().saturating_sub(21)).rev().take(1 << 16);
    let end = { end }.find(|at| bytes[*at..].starts_with(b"PK\x05\x06"));
    let end = end.ok_or_else(|| wrong("this is no .npz file; write one with numpy.savez"))?;
    let count = small(bytes, end + 10).ok_or_else(damaged)?;
    let mut at = large(bytes, end + 16).ok_or_else(damaged)?;
    let mut out = Vec::new();
    for _ in 0..count {
        if !bytes.get(at..).is_some_and(|rest| rest.starts_with(b"PK\x01\x02")) {
            return Err(damaged());
        }
        let field = |offset: usize| large(bytes, at + offset).ok_or_else(damaged);
        let length = |offset: usize| small(bytes, at + offset).ok_or_else(damaged);
        let (packed, plain, local) = (field(20)?, field(24)?, field(42)?);
        let (method, name, extra, comment) = (length(10)?, length(28)?, length(30)?, length(32)?);
        let text = bytes.get(at + 46..at + 46 + name).ok_or_else(damaged)?;
        let text = String::from_utf8_lossy(text).into_owned();
        at += 46 + name + extra + comment;
        let head = [26, 28].map(|offset| small(bytes, local.saturating_add(offset)));
        let [Some(name), Some(extra)] = head else {
            return Err(damaged());
        };
        let start = local + 30 + name + extra;
        let body = start.checked_add(packed).and_then(|end| bytes.get(start..end));
        let body = body.ok_or_else(damaged)?;
        require_memory(&format!("{text} in {}", path.display()), plain as u64, "divide the file")?;
        let contents = match method {
            0 => body.to_vec(),
            8 => {
                let mut contents = Vec::new();
                let limit = plain as u64 + 1;
                let mut unpacked = DeflateDecoder::new(body).take(limit);
                unpacked.read_to_end(&mut contents).map_err(|_| damaged())?;
                contents
            }
            _ => return Err(wrong("its files are packed in another way than NumPy does")),
        };
        if contents.len() != plain {
            return Err(damaged());
        }
        out.push((text, contents));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive that Python's zipfile wrote: "a.npy" stored and "b.npy" deflated.
    const ARCHIVE: &[u8] = include_bytes!("../../tests/data/archive.zip");

    #[test]
    fn files_are_found_and_damage_is_an_error() {
        let path = Path::new("a.npz");
        let found = parse(ARCHIVE, path).unwrap();
        assert_eq!(found[0], ("a.npy".into(), b"stored".to_vec()));
        assert_eq!(found[1], ("b.npy".into(), b"deflated ".repeat(50)));
        for end in 0..ARCHIVE.len() - 1 {
            assert!(parse(&ARCHIVE[..end], path).is_err(), "{end}");
        }
        // Whatever byte changes, nothing panics.
        for at in 0..ARCHIVE.len() {
            let mut bytes = ARCHIVE.to_vec();
            bytes[at] ^= 0xFF;
            let _ = parse(&bytes, path);
        }
    }
}
