//! Files that must stay as they are while they are read again and again.

use std::fs::{self, File, Metadata};
use std::path::Path;
use std::time::SystemTime;

use crate::error::{Error, Result};

/// The marks by which a file differs from the same file after a change.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Identity {
    /// Its bytes.
    pub len: u64,
    modified: Option<SystemTime>,
    number: u64,
}

impl Identity {
    /// Opens a regular file.
    ///
    /// # Errors
    /// A file that is missing, cannot be read or is something else.
    pub fn open(path: &Path) -> Result<(File, Self)> {
        let refused =
            |reason: String| Error::Io { path: path.to_path_buf(), action: "read", reason };
        let metadata = fs::metadata(path).map_err(|e| refused(e.to_string()))?;
        if !metadata.is_file() {
            return Err(refused("it is not a regular file".into()));
        }
        let file = File::open(path).map_err(|e| refused(e.to_string()))?;
        let metadata = file.metadata().map_err(|e| refused(e.to_string()))?;
        Ok((file, Self::of(&metadata)))
    }

    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let number = 0;
        Identity { len: metadata.len(), modified: metadata.modified().ok(), number }
    }

    /// Opens the same file once more.
    ///
    /// # Errors
    /// As [`open`](Self::open); another file, or a changed one.
    pub fn again(&self, path: &Path) -> Result<File> {
        let (file, found) = Self::open(path)?;
        if found == *self { Ok(file) } else { Err(changed(path)) }
    }

    /// That an open file is still the same.
    ///
    /// # Errors
    /// It was changed.
    pub fn check(&self, path: &Path, file: &File) -> Result<()> {
        match file.metadata() {
            Ok(metadata) if Self::of(&metadata) == *self => Ok(()),
            _ => Err(changed(path)),
        }
    }
}

fn changed(path: &Path) -> Error {
    let reason =
        "it was changed since it was first read; begin again with a file that stays as it is";
    Error::Io { path: path.to_path_buf(), action: "go on with", reason: reason.into() }
}
