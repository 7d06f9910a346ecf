//! How much of files has been read: for those who show that a long walk goes on.

use std::sync::atomic::{AtomicU64, Ordering};

static ROWS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// Rows of a text that are counted together.
const MANY: u64 = 1 << 10;

/// How much has been read of files of which some rows at a time are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadSoFar {
    /// Rows, each as often as it was read.
    pub rows: u64,
    /// Bytes, as they are in the files: of a Parquet file those of its columns that are read.
    pub bytes: u64,
}

/// Returns how much this process has read since it began, by all walks over files of which some rows at a time are read, as those of
/// [`FileSamples`](crate::io::FileSamples). Both numbers only grow; a program that asks from time to time can show how far it is.
///
/// ```
/// use secondo::io::{Dialect, Table, read_so_far, write_file};
/// let folder = std::env::temp_dir().join("secondo-doc-progress");
/// std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("small.csv");
/// write_file(&path, |out| write!(out, "x,y\n1,2\n3,4\n"))?;
/// let before = read_so_far();
/// Table::outline(&path, &Dialect::default(), None, Default::default())?;
/// let now = read_so_far();
/// assert!(now.rows >= before.rows + 2 && now.bytes >= before.bytes + 12);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), secondo::Error>(())
/// ```
pub fn read_so_far() -> ReadSoFar {
    ReadSoFar { rows: ROWS.load(Ordering::Relaxed), bytes: BYTES.load(Ordering::Relaxed) }
}

/// Counts rows that were read.
pub(super) fn add_rows(rows: usize) {
    ROWS.fetch_add(rows as u64, Ordering::Relaxed);
}

/// Counts bytes that were read.
pub(super) fn add_bytes(bytes: u64) {
    BYTES.fetch_add(bytes, Ordering::Relaxed);
}

/// Rows that come one by one.
#[derive(Default)]
pub(super) struct RowCounter(u64);

impl RowCounter {
    /// Counts one.
    pub fn add_one(&mut self) {
        self.0 += 1;
        if self.0 == MANY {
            self.flush();
        }
    }

    fn flush(&mut self) {
        ROWS.fetch_add(std::mem::take(&mut self.0), Ordering::Relaxed);
    }
}

impl Drop for RowCounter {
    fn drop(&mut self) {
        self.flush();
    }
}
