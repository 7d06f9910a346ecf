//! Parquet files of tables: of one in memory, or of a text that is read a part at a time.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::Table;
use crate::error::Result;
use crate::io::column::cell::is_missing;
use crate::io::json::format_error;
use crate::io::rows::outline;
use crate::io::rows::text::Text;
use crate::io::rows::write::{GroupRoom, Groups, Held};
use crate::io::text::{Cells, Dialect};
use crate::memory::{bytes_of, require_memory};

impl Table {
    /// The bytes of a Parquet file with the same columns: whole numbers, where all cells of a column are such, other numbers as f64, and
    /// else text. Missing values are null. The footer names the crate, with a word for the content.
    ///
    /// ```
    /// use secondo::io::{Dialect, Table};
    /// let table = Table::parse("x,name\n1.5,a\n,b\n", "small.csv".as_ref(), &Dialect::default())?;
    /// assert!(table.to_parquet("table")?.starts_with(b"PAR1"));
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// Too little memory; a name that Parquet does not take.
    pub fn to_parquet(&self, content: &str) -> Result<Vec<u8>> {
        let (rows, what) = (self.rows(), format!("{} as Parquet", self.path.display()));
        require_memory(&what, bytes_of(&[2, self.cells.text_bytes()]), "divide the table")?;
        let cell = |row: usize, column: usize| {
            Some(self.text_at(row, column)).filter(|cell| !self.is_missing(cell))
        };
        let held = |column: usize| {
            let first = if self.is_text(column) { Held::Text } else { Held::Integers };
            let cells = (0..rows).filter_map(|row| cell(row, column));
            cells.fold(first, |held, cell| held.and(cell, self.numerals))
        };
        let columns: Vec<(String, Held)> =
            (0..self.names.len()).map(|c| (name_of(&self.names, c), held(c))).collect();
        let mut bytes = Vec::new();
        let mut write = || {
            let mut groups = Groups::new(&columns, content, &mut bytes)?;
            let mut first = 0;
            while first < rows {
                let (mut end, mut room) = (first, GroupRoom::of(columns.len()));
                while end < rows && room.is_left() {
                    room.take((0..columns.len()).map(|c| self.text_at(end, c).len()).sum());
                    end += 1;
                }
                let cell = |row: usize, column: usize| cell(first + row, column);
                let number = |row: usize, column: usize| self.numerals.parse(cell(row, column)?);
                groups.add(end - first, number, cell)?;
                first = end;
            }
            groups.end()
        };
        write().map_err(|e| {
            format_error(&self.path, format!("it cannot be written as Parquet: {e}"))
        })?;
        Ok(bytes)
    }
}

/// The name of a column in a Parquet file: the first may have none in a text.
fn name_of(names: &[String], column: usize) -> String {
    match names[column].as_str() {
        "" => format!("column{}", column + 1),
        name => name.to_string(),
    }
}

/// A text that becomes a Parquet file a part at a time: memory does not depend on its rows.
///
/// The file is the one that [`Table::to_parquet`] makes of the text, where the first 10,000 rows or the first MiB tell how all numbers are written: a column with a
/// number that is written otherwise becomes text. It takes the texts that [`FileSamples`](crate::io::FileSamples) reads.
///
/// ```
/// use secondo::io::{Dialect, ParquetOfText, Table, write_file};
/// let folder = std::env::temp_dir().join("secondo-doc-convert");
/// std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("small.csv");
/// write_file(&path, |out| write!(out, "x,name\n1.5,a\n,b\n"))?;
/// let of = ParquetOfText::open(&path, &Dialect::default())?;
/// let mut bytes = Vec::new();
/// of.write("table", &mut bytes).unwrap();
/// let table = Table::from_path(&path, &Dialect::default())?;
/// assert!(of.rows() == 2 && bytes == table.to_parquet("table")?);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), secondo::Error>(())
/// ```
pub struct ParquetOfText {
    outline: Table,
    text: Arc<Text>,
    /// The columns that are written: where they stand in the text, their names and what they hold.
    places: Vec<usize>,
    columns: Vec<(String, Held)>,
}

impl ParquetOfText {
    /// The text at `path`, which is read as often as is needed to know the columns.
    ///
    /// # Errors
    /// Those of [`Table::outline`]; a file that is no text; further words for a missing value.
    pub fn open(path: &Path, dialect: &Dialect) -> Result<Self> {
        dialect.require_no_words()?;
        let (outline, text) = outline::of_text(path, dialect)?;
        let places: Vec<usize> = outline.columns.iter().map(|seen| seen.place).collect();
        let outline = Table::of_outline(outline, path, dialect, None)?;
        let mut held = vec![Held::Integers; text.names().len()];
        let mut walk = text.walk(0)?;
        for _ in 0..text.rows() {
            walk.next()?;
            for (column, held) in held.iter_mut().enumerate().filter(|(_, h)| **h != Held::Text) {
                let cell = walk.cell(column);
                if !is_missing(cell) {
                    *held = held.and(cell, text.numerals.0);
                }
            }
        }
        let of = |place: &usize| (name_of(text.names(), *place), held[*place]);
        let columns = places.iter().map(of).collect();
        Ok(ParquetOfText { outline, text, places, columns })
    }

    /// The [`outline`](Table::outline) of the text.
    pub fn outline(&self) -> &Table {
        &self.outline
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.text.rows()
    }

    /// Writes the Parquet file, whose footer names the crate, with a word for the content.
    ///
    /// # Errors
    /// Those of `out`; a text that cannot be read, or was changed; a name that Parquet does not take.
    pub fn write(&self, content: &str, out: &mut dyn Write) -> io::Result<()> {
        let mut groups = Groups::new(&self.columns, content, out).map_err(io::Error::other)?;
        let mut walk = self.text.walk(0).map_err(io::Error::other)?;
        let mut left = self.rows();
        while left > 0 {
            let (mut cells, mut room) = (Cells::default(), GroupRoom::of(self.columns.len()));
            let mut count = 0;
            while count < left && room.is_left() {
                walk.next().map_err(io::Error::other)?;
                let row = self.places.iter().map(|place| walk.cell(*place));
                room.take(row.clone().map(str::len).sum());
                cells.append(row).map_err(io::Error::other)?;
                count += 1;
            }
            left -= count;
            walk.check().map_err(io::Error::other)?;
            let cell =
                |row: usize, column: usize| cells.get(row, column).filter(|cell| !is_missing(cell));
            let numerals = self.text.numerals.0;
            let number = |row: usize, column: usize| numerals.parse(cell(row, column)?);
            groups.add(count, number, cell).map_err(io::Error::other)?;
        }
        groups.end().map_err(io::Error::other)
    }
}
