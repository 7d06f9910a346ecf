//! Reading and writing whole files: every failure names the file, and a file is written whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

fn failed(path: &Path, action: &'static str, reason: impl ToString) -> Error {
    Error::Io { path: path.to_path_buf(), action, reason: reason.to_string() }
}

/// The bytes of a regular file.
///
/// # Errors
/// A file that is missing or unreadable, something else than a file, or a file that changes while it is read.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let metadata = fs::metadata(path).map_err(|e| failed(path, "read", e))?;
    if metadata.is_dir() {
        return Err(failed(path, "read", "it is a directory"));
    }
    if !metadata.is_file() {
        return Err(failed(
            path,
            "read",
            "it is not a regular file; save its contents to one first",
        ));
    }
    let bytes = fs::read(path).map_err(|e| failed(path, "read", e))?;
    if bytes.len() as u64 != metadata.len() {
        return Err(failed(path, "read", "its length changed while it was read; try again"));
    }
    Ok(bytes)
}

/// The text of a UTF-8 file, without the byte order mark that it may begin with.
///
/// # Errors
/// As [`read`]; UTF-16, bytes that are not UTF-8, and NUL characters, with the line.
pub(super) fn read_text(path: &Path) -> Result<String> {
    text(read(path)?, path)
}

/// The text of the bytes of a file, as [`read_text`] returns it.
///
/// # Errors
/// As [`read_text`], but for reading.
pub(super) fn text(bytes: Vec<u8>, path: &Path) -> Result<String> {
    let wrong = |line: Option<u64>, why: &str| Error::Format {
        path: path.to_path_buf(),
        line,
        column: None,
        why: why.into(),
    };
    let line_at = |at: usize| {
        // LF, CR LF and a lone CR each end a line.
        let before = bytes.get(..at).unwrap_or_default();
        let ends = (before.iter().enumerate())
            .filter(|&(i, &b)| b == b'\n' || (b == b'\r' && bytes.get(i + 1) != Some(&b'\n')));
        Some(1 + ends.count() as u64)
    };
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(wrong(None, "the file is encoded in UTF-16; save it as UTF-8"));
    }
    if let Some(at) = bytes.iter().position(|&b| b == 0) {
        let head = bytes.get(..bytes.len().min(1024)).unwrap_or_default();
        let zeros = head.iter().filter(|&&b| b == 0).count();
        return Err(if zeros * 3 >= head.len() {
            wrong(None, "the file seems to be encoded in UTF-16 or UTF-32; save it as UTF-8")
        } else {
            wrong(line_at(at), "a NUL byte; the file is not text")
        });
    }
    if let Err(error) = std::str::from_utf8(&bytes) {
        return Err(wrong(
            line_at(error.valid_up_to()),
            "a byte that is not UTF-8; save the file as UTF-8",
        ));
    }
    let mut text = String::from_utf8(bytes).unwrap_or_default();
    if text.starts_with('\u{FEFF}') {
        text.drain(..'\u{FEFF}'.len_utf8());
    }
    Ok(text)
}

/// Writes a file whole or not at all: into a new file beside it, synchronised, then renamed over the old one.
///
/// If anything fails, the old file is as it was and the new one is removed. A symbolic link stays and its target is
/// replaced; the old file's permissions are kept. What is not a regular file, such as `/dev/stdout`, is written
/// directly.
///
/// ```
/// let folder = std::env::temp_dir().join("secondo-doc-write");
/// std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("numbers.txt");
/// secondo::io::write_file(&path, |out| writeln!(out, "1 2 3"))?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "1 2 3\n");
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), secondo::Error>(())
/// ```
///
/// # Errors
/// Whatever the operating system refuses, and whatever `fill` returns.
pub fn write_file(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let old = fs::metadata(path).ok();
    if old.as_ref().is_some_and(|m| m.is_dir()) {
        return Err(failed(path, "write", "it is a directory"));
    }
    let refused = |error: io::Error| failed(path, "write", error);
    if old.as_ref().is_some_and(|m| !m.is_file()) {
        let file = OpenOptions::new().write(true).open(path).map_err(refused)?;
        let mut out = BufWriter::new(file);
        return fill(&mut out).and_then(|()| out.flush()).map_err(refused);
    }
    let target = match &old {
        Some(_) => fs::canonicalize(path).map_err(refused)?,
        None => path.to_path_buf(),
    };
    let (temporary, file) = beside(&target).map_err(refused)?;
    let done = (|| {
        let mut out = BufWriter::new(file);
        fill(&mut out)?;
        let file = out.into_inner().map_err(|e| e.into_error())?;
        if let Some(old) = &old {
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, &target)
    })();
    if let Err(error) = done {
        // Best effort: the error that matters is the first one.
        let _ = fs::remove_file(&temporary);
        return Err(refused(error));
    }
    // The rename itself reaches the disk with the directory; not every file system can synchronise one.
    if let Ok(folder) = File::open(folder_of(&target)) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// The folder that holds `path`.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A new empty file in the folder of `target`.
fn beside(target: &Path) -> io::Result<(PathBuf, File)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = (target.file_name())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it has no file name"))?;
    loop {
        let mut hidden = OsString::from(".");
        hidden.push(name);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        hidden.push(format!(".{}-{count}.tmp", std::process::id()));
        let path = folder_of(target).join(hidden);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && count < 1 << 20 => {}
            other => return other.map(|file| (path, file)),
        }
    }
}
