//! The rows of a `.npy` file, by plain reads.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::identity::Identity;
use super::progress::{add_bytes, add_rows};
use super::{InFile, Target};
use crate::error::{Error, Result};
use crate::io::json::format_error;
use crate::io::npy::{HEAD, Header, Number};
use crate::memory::shape_product;

/// Bytes that are read at once: 64 KiB, a choice.
const PART: usize = 1 << 16;

/// A two-dimensional array in a `.npy` file, row by row.
#[derive(Debug)]
pub(super) struct Npy {
    path: PathBuf,
    identity: Identity,
    start: usize,
    number: Number,
    /// n.
    pub rows: usize,
    /// The number of its columns.
    pub columns: usize,
}

impl Npy {
    /// The file at `path`, of which the header alone is read.
    ///
    /// # Errors
    /// A file that cannot be read, is no such file or cut off; an array that is not two-dimensional or goes down the columns.
    pub fn open(path: &Path) -> Result<Self> {
        let (file, identity) = Identity::open(path)?;
        let mut head = Vec::new();
        file.take(HEAD as u64).read_to_end(&mut head).map_err(|e| refused(path, &e))?;
        let Header { start, number, fortran, shape } = Header::of(&head, path)?;
        let [rows, columns] = match *shape {
            [rows, columns] if rows > 0 && columns > 0 => [rows, columns],
            _ => {
                return Err(format_error(
                    path,
                    "rows need an array of two dimensions that is not empty",
                ));
            }
        };
        if fortran && rows > 1 && columns > 1 {
            let why = "the array is stored column by column; write it with numpy.save(file, numpy.ascontiguousarray(array))";
            return Err(format_error(path, why));
        }
        let body = shape_product("the array", &[rows, columns, number.width])?;
        if body as u64 != identity.len.saturating_sub(start as u64) {
            return Err(format_error(
                path,
                "the file is damaged or incomplete; write it with numpy.save",
            ));
        }
        Ok(Npy { path: path.to_path_buf(), identity, start, number, rows, columns })
    }

    /// Rows that are read at once.
    fn part(&self) -> usize {
        (PART / (self.columns * self.number.width)).max(1)
    }

    /// Bytes that a walk holds.
    pub fn held(&self) -> u64 {
        (self.part() * self.columns * self.number.width) as u64
    }

    /// A walk from a row on.
    ///
    /// # Errors
    /// The file is not there any more, or was changed.
    pub fn walk(self: &Arc<Self>, first: usize) -> Result<NpyWalk> {
        let mut file = self.identity.again(&self.path)?;
        let at = self.start + first.min(self.rows) * self.columns * self.number.width;
        file.seek(SeekFrom::Start(at as u64)).map_err(|e| refused(&self.path, &e))?;
        Ok(NpyWalk { npy: self.clone(), file, part: Vec::new() })
    }
}

/// A walk over the rows of a `.npy` file.
pub(super) struct NpyWalk {
    npy: Arc<Npy>,
    file: File,
    part: Vec<u8>,
}

impl NpyWalk {
    /// Reads some of the next `rows` and writes the numbers of `columns`, each to its first place, from the row `done` of `target` on. Returns
    /// how many rows there were.
    ///
    /// # Errors
    /// The file cannot be read, or was changed.
    pub fn next(
        &mut self,
        rows: usize,
        columns: &[InFile],
        target: &mut Target,
        done: usize,
    ) -> Result<usize> {
        let npy = &*self.npy;
        let (rows, number) = (rows.min(npy.part()), npy.number);
        let width = npy.columns * number.width;
        self.part.resize(rows * width, 0);
        self.file.read_exact(&mut self.part).map_err(|e| refused(&npy.path, &e))?;
        let mut rest = columns;
        while let Some(first) = rest.first() {
            // Columns that follow each other here and there are copied together, row by row.
            let follows = |(k, of): &(usize, &InFile)| {
                (of.column, of.place) == (first.column + k, first.place + k)
            };
            let most = target.together(first.place);
            let run = rest.iter().enumerate().take(most).take_while(follows).count();
            let (out, step) = target.column(done, first.place);
            let from = first.column * number.width;
            let bytes = self.part.chunks_exact(width).map(|row| &row[from..]);
            let out = out.chunks_mut(step).map(|row| &mut row[..run]);
            out.zip(bytes).for_each(|(out, bytes)| number.read_all(bytes, out));
            rest = &rest[run..];
        }
        npy.identity.check(&npy.path, &self.file)?;
        add_rows(rows);
        add_bytes((rows * width) as u64);
        Ok(rows)
    }
}

fn refused(path: &Path, error: &std::io::Error) -> Error {
    Error::Io { path: path.to_path_buf(), action: "read", reason: error.to_string() }
}
