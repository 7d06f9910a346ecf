//! Reading files, whole or in pieces of lines, and writing whole ones: every failure names the file, and a file is written whole or not at all.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::memory::require_memory;

/// More bytes than most lines have.
const LINE: usize = 1 << 12;

fn failed(path: &Path, action: &'static str, reason: impl ToString) -> Error {
    Error::Io { path: path.to_path_buf(), action, reason: reason.to_string() }
}

/// The bytes of a regular file.
///
/// # Errors
/// A file that is missing or unreadable, something else than a file, or a file that changes while it is read.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let before = regular(path)?;
    // The bytes and, of a text, what is made of them first.
    let need = before.len().saturating_mul(2);
    require_memory(&path.display().to_string(), need, "divide the file")?;
    let bytes = fs::read(path).map_err(|e| failed(path, "read", e))?;
    if bytes.len() as u64 != before.len() {
        return Err(changed(path));
    }
    require_unchanged(path, &before)?;
    Ok(bytes)
}

/// Returns the system's data on a regular file, before it is read.
fn regular(path: &Path) -> Result<Metadata> {
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
    Ok(metadata)
}

fn require_unchanged(path: &Path, before: &Metadata) -> Result<()> {
    let after = fs::metadata(path).map_err(|e| failed(path, "read", e))?;
    let is_same = after.len() == before.len() && after.modified().ok() == before.modified().ok();
    if is_same { Ok(()) } else { Err(changed(path)) }
}

fn changed(path: &Path) -> Error {
    failed(path, "read", "it changed while it was read; try again")
}

/// A regular file as pieces of whole lines, which several threads may read at once.
pub(super) struct Pieces<'a> {
    path: &'a Path,
    before: Metadata,
    size: u64,
}

impl<'a> Pieces<'a> {
    /// The file at `path`, in pieces of about so many bytes.
    ///
    /// # Errors
    /// A file that is missing, or something else than a file.
    pub fn of(path: &'a Path, size: impl Fn(u64) -> u64) -> Result<Self> {
        let before = regular(path)?;
        let size = size(before.len()).max(1);
        Ok(Pieces { path, before, size })
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.before.len()
    }

    /// The number of pieces.
    pub fn count(&self) -> usize {
        usize::try_from(self.bytes().div_ceil(self.size)).unwrap_or(usize::MAX)
    }

    /// The lines that begin within the piece with this index, from 0; empty where no line begins in it.
    ///
    /// # Errors
    /// A file that is unreadable or changes while it is read.
    pub fn read(&self, index: usize) -> Result<Vec<u8>> {
        let lines = || -> io::Result<Option<Vec<u8>>> {
            let (first, length) = (index as u64 * self.size, self.bytes());
            // The end of the line before tells where the first begins.
            let from = first.saturating_sub(u64::from(index > 0));
            let last = first.saturating_add(self.size).min(length) - 1;
            let mut file = File::open(self.path)?;
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::with_capacity((last - from) as usize + LINE);
            (&mut file).take(last - from).read_to_end(&mut bytes)?;
            let is_whole = bytes.len() as u64 == last - from;
            if index > 0 {
                let Some(end) = memchr::memchr(b'\n', &bytes) else {
                    return Ok(is_whole.then(Vec::new));
                };
                bytes.drain(..=end);
            }
            // The line that begins last may end far beyond.
            let mut step = LINE;
            loop {
                let known = bytes.len();
                let read = (&mut file).take(step as u64).read_to_end(&mut bytes)?;
                if let Some(end) = memchr::memchr(b'\n', &bytes[known..]) {
                    bytes.truncate(known + end + 1);
                    return Ok(is_whole.then_some(bytes));
                }
                if read < step {
                    return Ok(is_whole.then_some(bytes));
                }
                step *= 2;
            }
        };
        lines().map_err(|e| failed(self.path, "read", e))?.ok_or_else(|| changed(self.path))
    }

    /// That the file is as it was before.
    ///
    /// # Errors
    /// A file that changed.
    pub fn require_unchanged(&self) -> Result<()> {
        require_unchanged(self.path, &self.before)
    }
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
/// replaced; the old file's permissions are kept, and one that is write-protected is left alone. What is not a regular
/// file, such as `/dev/stdout`, is written directly. What a killed program left half written beside `path` is removed.
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
/// Whatever the operating system refuses, and whatever `fill` returns: an [`Error`] within its error is returned as it is.
pub fn write_file(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let refused = |error: io::Error| {
        error.downcast::<Error>().unwrap_or_else(|error| failed(path, "write", error))
    };
    let (target, old) = match place(path)? {
        Place::Special => {
            let file = OpenOptions::new().write(true).open(path).map_err(refused)?;
            let mut out = BufWriter::new(file);
            return fill(&mut out).and_then(|()| out.flush()).map_err(refused);
        }
        Place::Regular { target, old } => (target, old),
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
        // The file stays open, and with it locked, until it has its name.
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

/// Returns an error where [`write_file`] could not write to `path`, as far as that can be told without writing: a file is
/// created beside it and removed.
///
/// ```
/// use std::path::Path;
/// assert!(secondo::io::check_writable(Path::new("no-such-folder/numbers.txt")).is_err());
/// assert!(secondo::io::check_writable(&std::env::temp_dir()).is_err());
/// assert!(secondo::io::check_writable(&std::env::temp_dir().join("numbers.txt")).is_ok());
/// ```
///
/// # Errors
/// `Io`: a folder that is missing or read-only, a name that is too long, a directory, a file that is write-protected.
pub fn check_writable(path: &Path) -> Result<()> {
    let Place::Regular { target, .. } = place(path)? else {
        return Ok(());
    };
    let (temporary, file) = beside(&target).map_err(|e| failed(path, "write", e))?;
    fs::remove_file(&temporary).map_err(|e| failed(path, "write", e))?;
    drop(file);
    Ok(())
}

/// Returns whether two paths lead to one file, whatever its names and links; of files that do not exist yet, whether they
/// would be one.
///
/// ```
/// use std::path::Path;
/// assert!(secondo::io::is_same_file(Path::new("numbers.txt"), Path::new("./numbers.txt")));
/// assert!(!secondo::io::is_same_file(Path::new("numbers.txt"), Path::new("numbers.csv")));
/// ```
pub fn is_same_file(a: &Path, b: &Path) -> bool {
    let (a, b) = (followed(a), followed(b));
    match (identity(&a), identity(&b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => {
            a.file_name() == b.file_name() && identity(folder_of(&a)) == identity(folder_of(&b))
        }
        _ => false,
    }
}

/// Device and number of a file that exists.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

/// The one path of a file that exists.
#[cfg(not(unix))]
fn identity(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok()
}

/// The place that a path leads to.
enum Place {
    /// A regular file, or none yet, at `target`.
    Regular { target: PathBuf, old: Option<Metadata> },
    /// A device, a pipe or the like.
    Special,
}

/// Where `path` leads, if a file can stand there and may be replaced.
fn place(path: &Path) -> Result<Place> {
    let refused = |reason: &str| Err(failed(path, "write", reason));
    let old = match fs::metadata(path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(path, "write", error)),
    };
    let target = followed(path);
    match &old {
        Some(old) if old.is_dir() => return refused("it is a directory"),
        Some(old) if !old.is_file() => return Ok(Place::Special),
        // The superuser may write to any file, but a protection is meant.
        Some(old) if old.permissions().readonly() => return refused("it is write-protected"),
        Some(_) => {
            let open = OpenOptions::new().append(true).open(&target);
            open.map_err(|e| failed(path, "write", e))?;
        }
        None if path.file_name().is_none() => return refused("it is not the name of a file"),
        None if !folder_of(&target).is_dir() => return refused("its folder does not exist"),
        None => {}
    }
    Ok(Place::Regular { target, old })
}

/// The path at the end of symbolic links, whether or not there is a file.
fn followed(path: &Path) -> PathBuf {
    if let Ok(path) = fs::canonicalize(path) {
        return path;
    }
    let mut path = path.to_path_buf();
    // As many as Linux follows.
    for _ in 0..40 {
        let Ok(next) = fs::read_link(&path) else {
            break;
        };
        path = folder_of(&path).join(next);
    }
    path
}

/// The folder that holds `path`.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The beginning of the names of the temporary files of `target`; cut, so that no name is too long that is not itself.
fn hidden(target: &Path) -> io::Result<String> {
    let name = (target.file_name())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it has no file name"))?;
    let short: String = name.to_string_lossy().chars().take(40).collect();
    Ok(format!(".{short}."))
}

/// A new empty file in the folder of `target`, locked as long as it is open.
fn beside(target: &Path) -> io::Result<(PathBuf, File)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let begin = hidden(target)?;
    remove_abandoned(folder_of(target), &begin);
    loop {
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{begin}{}-{count}.tmp", std::process::id());
        let path = folder_of(target).join(name);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && count < 1 << 20 => {}
            Err(error) => return Err(error),
            Ok(file) => {
                // Not every file system can lock. Before the lock another program may have taken the file for abandoned.
                let _ = file.lock();
                if path.exists() {
                    return Ok((path, file));
                }
            }
        }
    }
}

/// Removes the temporary files of programs that were killed: those whose lock nobody holds. Best effort.
fn remove_abandoned(folder: &Path, begin: &str) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let middle = (name.to_str())
            .and_then(|name| name.strip_prefix(begin)?.strip_suffix(".tmp")?.split_once('-'));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !middle.is_some_and(|(process, count)| digits(process) && digits(count)) {
            continue;
        }
        let file = OpenOptions::new().append(true).open(entry.path());
        if file.is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_lines_and_together_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let long = "x".repeat(3 * LINE);
        let texts = [
            "",
            "a",
            "\n",
            "\n\n\n",
            "a\nbc\n\ndef",
            "a\nbc\n\ndef\n",
            &format!("a\n{long}\nb\n{long}"),
        ];
        for text in texts {
            fs::write(&path, text).unwrap();
            for size in (1..20).chain([LINE as u64 - 1, LINE as u64, 5 * LINE as u64]) {
                let file = Pieces::of(&path, |_| size).unwrap();
                let pieces: Vec<Vec<u8>> =
                    (0..file.count()).map(|k| file.read(k).unwrap()).collect();
                assert!(pieces.concat() == text.as_bytes(), "{text:.9} in pieces of {size}");
                let begun = pieces.iter().filter(|piece| !piece.is_empty());
                let whole = begun.clone().filter(|piece| piece.ends_with(b"\n")).count();
                assert!(whole + usize::from(!text.ends_with('\n')) >= begun.count(), "{text:.9}");
                fs::write(&path, format!("{text}more")).unwrap();
                assert!(file.require_unchanged().is_err());
                fs::write(&path, text).unwrap();
            }
        }
    }
}
