//! A table that is read some rows at a time.

use std::path::Path;

use super::Table;
use crate::error::Result;
use crate::io::rows::cells::{CellWalk, Files};
use crate::io::rows::outline;
use crate::io::text::{Cells, Dialect};

/// Cells of a part, where its rows are not too few or too many.
const CELLS: usize = 1 << 20;
/// The fewest and the most rows of a part.
const ROWS: [usize; 2] = [1 << 8, 1 << 16];
/// Bytes of the text of a part, but for its last row, or its last 256 rows of a file that is no text: 32 MiB, a choice.
const BYTES: usize = 1 << 25;

/// A table as one small [`Table`] after the other: memory does not depend on its rows.
///
/// It reads the files that [`FileSamples`](crate::io::FileSamples) reads. A part has at most 65,536 rows, fewer where there are more than 16 columns, but at least 256 where
/// the file has them; it ends with the row that brings its text to 32 MiB (of Parquet and `.npy` up to 255 rows later); no part has rows of two files.
/// All parts have the columns, the labels and the way of writing numbers that the [`outline`](Table::outline) has; their rows have the lines of
/// the file, or the numbers that they have in the table. Columns are text by their type, as in the outline.
///
/// ```
/// use secondo::io::{Dialect, TableParts, write_file};
/// let folder = std::env::temp_dir().join("secondo-doc-parts");
/// std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("long.csv");
/// let rows: String = (0..70_000).map(|i| format!("{i},{}\n", i % 7)).collect();
/// write_file(&path, |out| write!(out, "x,y\n{rows}"))?;
/// let parts = TableParts::open(&path, &Dialect::default())?;
/// let rows = parts.map(|part| Ok(part?.rows())).collect::<secondo::Result<Vec<usize>>>()?;
/// assert_eq!(rows, [65_536, 4464]);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), secondo::Error>(())
/// ```
pub struct TableParts {
    /// All but the rows.
    head: Table,
    files: Files,
    /// The walk over a file, and its rows that are left.
    walk: Option<(CellWalk, usize)>,
    /// The files before that one, and their rows.
    before: usize,
    rows_before: u64,
    is_text: bool,
}

impl TableParts {
    /// The table at `path`.
    ///
    /// # Errors
    /// Those of [`Table::outline`].
    pub fn open(path: &Path, dialect: &Dialect) -> Result<Self> {
        let (outline, files) = outline::with_files(path, dialect, false)?;
        let is_text = outline.text.is_some();
        let outline = Table::of_outline(outline, path, dialect, None)?;
        let mut texts = outline.texts;
        if is_text {
            // Its errors have lines.
            texts = None;
        }
        let (cells, lines, outlined) = (Cells::default(), Vec::new(), None);
        let head = Table { cells, lines, texts, outlined, is_part: true, ..outline };
        Ok(TableParts { head, files, walk: None, before: 0, rows_before: 0, is_text })
    }

    /// A table without rows, for its columns and for what was found.
    pub fn head(&self) -> &Table {
        &self.head
    }

    fn part(&mut self) -> Result<Option<Table>> {
        let (mut walk, left) = loop {
            match self.walk.take() {
                Some((walk, left)) if left > 0 => break (walk, left),
                Some(_) => {
                    self.rows_before += self.files.rows(self.before) as u64;
                    self.before += 1;
                }
                None if self.before == self.files.count() => return Ok(None),
                None => {
                    let walk = self.files.walk(self.before, &self.head.names)?;
                    self.walk = Some((walk, self.files.rows(self.before)));
                }
            }
        };
        let columns = self.head.names.len();
        let rows = (CELLS / columns.max(1)).clamp(ROWS[0], ROWS[1]).min(left);
        let (mut cells, mut lines) = (Cells::with_room(rows, columns), Vec::with_capacity(rows));
        walk.next(rows, BYTES, &mut cells, &mut lines)?;
        self.walk = Some((walk, left - lines.len()));
        if !self.is_text {
            lines.iter_mut().for_each(|row| *row += self.rows_before);
        }
        let mut part = Table { cells, lines, ..self.head.clone() };
        part.forget_other_numbers();
        Ok(Some(part))
    }
}

impl Iterator for TableParts {
    type Item = Result<Table>;

    fn next(&mut self) -> Option<Self::Item> {
        let part = self.part().transpose();
        if matches!(part, Some(Err(_))) {
            // There is nothing after an error.
            (self.before, self.walk) = (self.files.count(), None);
        }
        part
    }
}
