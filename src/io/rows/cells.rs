//! The cells of files as text, some rows at a time.

#[cfg(feature = "parquet")]
use std::path::Path;

use super::folder::Place;
use super::{At, InFile, Numbers, Rows, Target, columns_of};
use crate::error::Result;
use crate::io::column::digits;
use crate::io::json::format_error;
use crate::io::text::Cells;
#[cfg(feature = "parquet")]
use crate::io::text::Dialect;
use crate::objective::Window;

/// Rows that are read at once where columns are read one after the other.
const PART: usize = 256;

/// The files of a table.
pub(crate) struct Files(pub(super) Vec<(Numbers, Place)>);

impl Files {
    /// One file.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged.
    #[cfg(feature = "parquet")]
    pub fn of(path: &Path) -> Result<Self> {
        let place = Place { path: path.to_path_buf(), constants: Vec::new() };
        Ok(Files(vec![(Numbers::open(path, &Dialect::default())?, place)]))
    }

    /// The names of the columns of the first file, whether each is text by its type, and the names of those that are not read.
    #[cfg(feature = "parquet")]
    pub fn columns(&self) -> (Vec<String>, Vec<bool>, Vec<String>) {
        let (columns, left_out) = columns_of(&self.0[0].1, &self.0[0].0);
        let (names, texts) =
            columns.into_iter().map(|column| (column.name, column.is_text)).unzip();
        (names, texts, left_out)
    }

    /// The number of files.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The rows of a file.
    pub fn rows(&self, file: usize) -> usize {
        self.0[file].0.rows()
    }

    /// A walk over the cells of these columns of a file.
    ///
    /// # Errors
    /// A column that there is not; a file that was changed.
    pub fn walk(&self, file: usize, names: &[String]) -> Result<CellWalk> {
        let (table, place) = &self.0[file];
        let (columns, _) = columns_of(place, table);
        let mut walk = CellWalk::default();
        for name in names {
            let column = columns
                .iter()
                .find(|column| column.name == *name)
                .ok_or_else(|| format_error(&place.path, format!("there is no column '{name}'")))?;
            walk.places.push(match &column.at {
                At::File(at) => {
                    walk.columns.push(*at);
                    Cell::Read(walk.columns.len() - 1)
                }
                At::Folder(value) => Cell::Constant(value.clone()),
            });
        }
        walk.parts = vec![Default::default(); walk.columns.len()];
        walk.rows = Some(match table {
            Numbers::Npy(npy) => Rows::Npy(npy.walk(0)?),
            Numbers::Text(text) => Rows::Text(Box::new(text.walk(0)?)),
            #[cfg(feature = "parquet")]
            Numbers::Parquet(file) => Rows::Parquet(file.walk(&walk.columns, 0)?),
        });
        Ok(walk)
    }
}

/// A walk over cells.
#[derive(Default)]
pub(crate) struct CellWalk {
    rows: Option<Rows>,
    places: Vec<Cell>,
    /// Those in the file.
    columns: Vec<usize>,
    /// The text of each of them in the rows that were read last, and where each cell ends.
    parts: Vec<(String, Vec<usize>)>,
    /// Rows before the next.
    done: usize,
}

/// Where the cells of a column come from.
enum Cell {
    Read(usize),
    Constant(String),
}

impl CellWalk {
    /// Appends the next rows, each with its line, or its number where there are no lines: so many, or fewer where all cells have `bytes` of text before.
    /// Only the last row, or the last [`PART`] of other files than text, is beyond that.
    ///
    /// # Errors
    /// Those of reading; a row of 4 GiB or more.
    pub fn next(
        &mut self,
        rows: usize,
        bytes: usize,
        cells: &mut Cells,
        lines: &mut Vec<u64>,
    ) -> Result<()> {
        let end = self.done + rows;
        while self.done < end && cells.text_bytes() < bytes {
            let count = PART.min(end - self.done);
            let read = self.read(count, bytes, cells, lines)?;
            self.done += read;
        }
        Ok(())
    }

    fn read(
        &mut self,
        count: usize,
        bytes: usize,
        cells: &mut Cells,
        lines: &mut Vec<u64>,
    ) -> Result<usize> {
        let CellWalk { rows: Some(rows), places, columns, parts, done } = self else {
            return Ok(count);
        };
        let read = match rows {
            Rows::Text(walk) => {
                let mut read = 0;
                while read < count && cells.text_bytes() < bytes {
                    walk.next()?;
                    lines.push(walk.line());
                    cells.append(places.iter().map(|place| match place {
                        Cell::Read(column) => walk.cell(columns[*column]),
                        Cell::Constant(value) => value,
                    }))?;
                    read += 1;
                }
                walk.check()?;
                return Ok(read);
            }
            Rows::Npy(walk) => {
                let of = |(place, column): (usize, &usize)| InFile {
                    column: *column,
                    index: place,
                    place,
                    is_number: true,
                };
                let of: Vec<InFile> = columns.iter().enumerate().map(of).collect();
                let mut window = Window::default();
                let mut target = Target::new(&mut window, count, columns.len(), 0);
                let read = walk.next(count, &of, &mut target, 0)?;
                for (column, part) in parts.iter_mut().enumerate() {
                    part.0.clear();
                    part.1.clear();
                    for row in 0..read {
                        part.0 += &digits(window.x[row * columns.len() + column]);
                        part.1.push(part.0.len());
                    }
                }
                read
            }
            #[cfg(feature = "parquet")]
            Rows::Parquet(groups) => groups.texts(count, *done, parts)?,
        };
        for row in 0..read {
            lines.push((*done + row) as u64 + 1);
            cells.append(places.iter().map(|place| match place {
                Cell::Read(column) => {
                    let (text, ends) = &parts[*column];
                    &text[row.checked_sub(1).map_or(0, |before| ends[before])..ends[row]]
                }
                Cell::Constant(value) => value,
            }))?;
        }
        Ok(read)
    }
}
