//! Tables of numbers in files, a window of rows at a time: samples that need not fit in memory.

#[cfg(feature = "parquet")]
mod batch;
pub(super) mod folder;
mod identity;
#[cfg(feature = "parquet")]
pub(super) mod kind;
mod npy;
#[cfg(feature = "parquet")]
pub(super) mod parquet;
#[cfg(feature = "parquet")]
pub(super) mod write;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::json::format_error;
use crate::error::{Error, Result};
use crate::objective::{Samples, Walk, Window};
use folder::{Place, places};

/// Rows of numbers in a file, some columns of which are X, Y and ω: a Parquet file with the feature `parquet`, or the two-dimensional
/// array of a `.npy` file, whose columns have the names column1, column2, …
///
/// A folder is all `.parquet` and `.npy` files in it and in its folders, in the order of their names, each with all columns; a folder with a
/// name such as `year=2024` is a column, too. Only these columns are read. Whole numbers and decimals become the nearest f64. The file must stay as it is while it is used: what
/// is read later is compared with its length, its time of change and its place.
///
/// ```
/// use std::sync::Arc;
///
/// use secondo::io::{FileSamples, write_file};
/// use secondo::{Activation, Loss, Network, Problem};
/// let folder = std::env::temp_dir().join("secondo-doc-rows");
/// std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("line.npy");
/// // The rows (1, 2) and (2, 4), as numpy.save writes them.
/// let head = format!("{:<117}\n", "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }");
/// write_file(&path, |out| {
///     out.write_all(b"\x93NUMPY\x01\x00\x76\x00")?;
///     out.write_all(head.as_bytes())?;
///     [1.0f64, 2.0, 2.0, 4.0].iter().try_for_each(|v| out.write_all(&v.to_le_bytes()))
/// })?;
/// let samples = FileSamples::open(&path, &["column1"], &["column2"], None)?;
/// let problem = Problem::over(Network::dense(&[1, 1], Activation::Tanh)?, Arc::new(samples), Loss::SquaredError)?;
/// // ½ (2² + 4²) at w = 0.
/// assert_eq!(problem.objective(&[0.0, 0.0])?, 10.0);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Clone)]
pub struct FileSamples {
    path: PathBuf,
    files: Arc<[OneFile]>,
    /// The names of the columns of X, then those of Y, then that of ω, if there is one.
    names: Vec<String>,
    inputs: usize,
    outputs: usize,
}

/// One of the files, in which the columns have places, or numbers by the name of its folder.
struct OneFile {
    path: PathBuf,
    table: Numbers,
    /// The place of each column in the file, with its place among those that are read.
    columns: Vec<(usize, usize)>,
    /// The number of each other column, with its place among those that are read.
    constants: Vec<(f64, usize)>,
    /// Its first row.
    first: usize,
}

/// A file with columns of numbers.
#[derive(Clone)]
enum Numbers {
    Npy(Arc<npy::Npy>),
    #[cfg(feature = "parquet")]
    Parquet(Arc<parquet::Parquet>),
}

impl fmt::Debug for FileSamples {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("FileSamples")
            .field("path", &self.path)
            .field("columns", &self.names)
            .finish()
    }
}

impl FileSamples {
    /// The samples in the file at `path`: the columns `inputs` are X, `outputs` Y, and `weights` ω, 1 where it is not given. The names
    /// of columns with other values than numbers are refused.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged; a column that there is not, or not of numbers.
    pub fn open<S: AsRef<str>>(
        path: &Path,
        inputs: &[S],
        outputs: &[S],
        weights: Option<S>,
    ) -> Result<Self> {
        let names: Vec<String> = (inputs.iter().chain(outputs))
            .map(|name| name.as_ref().to_string())
            .chain(weights.map(|name| name.as_ref().to_string()))
            .collect();
        let mut first = 0usize;
        let mut files = Vec::new();
        for place in places(path)? {
            let file = OneFile::open(place, &names, first)?;
            // Spark writes some without rows.
            if file.table.rows() == 0 {
                continue;
            }
            first = first.checked_add(file.table.rows()).ok_or_else(|| {
                format_error(path, "there are more rows than a number of this machine counts")
            })?;
            files.push(file);
        }
        if files.is_empty() {
            return Err(format_error(path, "there are no rows"));
        }
        let (inputs, outputs) = (inputs.len(), outputs.len());
        Ok(FileSamples { path: path.to_path_buf(), files: files.into(), names, inputs, outputs })
    }

    /// The names of the columns of numbers in the file at `path`, but for an index of pandas; of a folder those of its first file and of
    /// the names of folders.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged.
    pub fn columns(path: &Path) -> Result<Vec<String>> {
        let place = places(path)?.swap_remove(0);
        let mut names: Vec<String> = match Numbers::open(&place.path)? {
            Numbers::Npy(npy) => (1..=npy.columns).map(|c| format!("column{c}")).collect(),
            #[cfg(feature = "parquet")]
            Numbers::Parquet(file) => {
                let is_input =
                    |column: &&parquet::ColumnOf| column.kind.is_number() && !column.is_index();
                let names = file.columns.iter().filter(is_input);
                names.map(|column| column.name.clone()).collect()
            }
        };
        let numbers = place.constants.into_iter().filter(|(_, value)| value.parse::<f64>().is_ok());
        names.extend(numbers.map(|(name, _)| name));
        Ok(names)
    }

    /// The file in which a row is.
    fn file_of(&self, row: usize) -> &OneFile {
        let after = self.files.partition_point(|file| file.first <= row);
        &self.files[after.saturating_sub(1)]
    }
}

impl OneFile {
    fn open(place: Place, names: &[String], first: usize) -> Result<Self> {
        let Place { path, constants: of_folders } = place;
        let table = Numbers::open(&path)?;
        let (mut columns, mut constants) = (Vec::new(), Vec::new());
        for (at, name) in names.iter().enumerate() {
            match of_folders.iter().find(|(of, _)| of == name) {
                None => columns.push((table.column(&path, name)?, at)),
                Some(_) if table.column(&path, name).is_ok() => {
                    let why = format!(
                        "it has a column '{name}', as its folder has one; names must differ"
                    );
                    return Err(format_error(&path, why));
                }
                Some((_, value)) => {
                    let number = value.parse::<f64>().ok().filter(|v| v.is_finite());
                    let why = format!(
                        "the value '{value}' of '{name}' in the name of its folder is not a number"
                    );
                    constants.push((number.ok_or_else(|| format_error(&path, why))?, at));
                }
            }
        }
        Ok(OneFile { path, table, columns, constants, first })
    }

    /// The first row after its own.
    fn end(&self) -> usize {
        self.first + self.table.rows()
    }

    /// A walk from one of its rows on.
    fn walk(&self, row: usize) -> Result<Rows> {
        Ok(match &self.table {
            Numbers::Npy(npy) => Rows::Npy(npy.walk(row)?),
            #[cfg(feature = "parquet")]
            Numbers::Parquet(file) => {
                let columns: Vec<usize> = self.columns.iter().map(|(column, _)| *column).collect();
                Rows::Parquet(file.walk(&columns, row)?)
            }
        })
    }
}

/// The number as text that reads back to the same bits, without many zeros.
pub(crate) fn digits(v: f64) -> String {
    if v == 0.0 || (1e-5..1e17).contains(&v.abs()) { v.to_string() } else { format!("{v:e}") }
}

impl Numbers {
    fn open(path: &Path) -> Result<Self> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            #[cfg(feature = "parquet")]
            Some("parquet") => Ok(Numbers::Parquet(Arc::new(parquet::Parquet::open(path)?))),
            Some("npy") => Ok(Numbers::Npy(Arc::new(npy::Npy::open(path)?))),
            _ => Err(format_error(
                path,
                "rows can be read from .npy and, with the feature parquet, from .parquet",
            )),
        }
    }

    fn rows(&self) -> usize {
        match self {
            Numbers::Npy(npy) => npy.rows,
            #[cfg(feature = "parquet")]
            Numbers::Parquet(file) => file.rows(),
        }
    }

    /// The place of the column of that name.
    fn column(&self, path: &Path, name: &str) -> Result<usize> {
        let absent = || format_error(path, format!("there is no column '{name}'"));
        match self {
            Numbers::Npy(npy) => {
                let number = name.strip_prefix("column").and_then(|c| c.parse::<usize>().ok());
                let number = number.filter(|c| (1..=npy.columns).contains(c));
                number.filter(|c| name == format!("column{c}")).map(|c| c - 1).ok_or_else(absent)
            }
            #[cfg(feature = "parquet")]
            Numbers::Parquet(file) => {
                let mut places = (0..file.columns.len()).filter(|&c| file.columns[c].name == name);
                let at = places.next().ok_or_else(absent)?;
                if places.next().is_some() {
                    let why = format!("two columns have the name '{name}'; names must differ");
                    return Err(format_error(path, why));
                }
                if !file.columns[at].kind.is_number() {
                    let why = "its values are no numbers; leave the column out, or read the table into memory".into();
                    return Err(Error::Format {
                        path: path.to_path_buf(),
                        line: None,
                        column: Some(name.into()),
                        why,
                    });
                }
                Ok(at)
            }
        }
    }
}

impl Samples for FileSamples {
    fn rows(&self) -> usize {
        self.files.last().map_or(0, OneFile::end)
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn walk(&self, first: usize) -> Result<Box<dyn Walk>> {
        let file = self.file_of(first);
        let rows = file.walk(first - file.first)?;
        Ok(Box::new(FileWalk { of: self.clone(), rows, row: first, end: file.end() }))
    }

    fn held(&self) -> u64 {
        let of = |file: &OneFile| match &file.table {
            Numbers::Npy(npy) => npy.held(),
            #[cfg(feature = "parquet")]
            Numbers::Parquet(table) => {
                let columns: Vec<usize> = file.columns.iter().map(|(column, _)| *column).collect();
                table.held(&columns)
            }
        };
        self.files.iter().map(of).max().unwrap_or(0)
    }

    fn refuse(&self, row: usize, column: usize, value: f64) -> Error {
        let file = self.file_of(row);
        let row = row - file.first;
        let why = if value.is_finite() {
            format!("row {}: {value} is negative; weights must not be", row + 1)
        } else if value.is_nan() {
            format!(
                "row {}: the value is missing or not a number; leave such rows out when the file is written",
                row + 1
            )
        } else {
            format!("row {}: {value} is not a finite number", row + 1)
        };
        Error::Format {
            path: file.path.clone(),
            line: None,
            column: self.names.get(column).cloned(),
            why,
        }
    }
}

/// A walk over the rows of files.
struct FileWalk {
    of: FileSamples,
    /// In the file of the next row.
    rows: Rows,
    /// The next row.
    row: usize,
    /// The first row after that file.
    end: usize,
}

enum Rows {
    Npy(npy::NpyWalk),
    #[cfg(feature = "parquet")]
    Parquet(parquet::Groups),
}

impl Walk for FileWalk {
    fn next(&mut self, rows: usize, window: &mut Window) -> Result<()> {
        let mut target = Target::new(window, rows, self.of.inputs, self.of.outputs);
        let mut done = 0;
        while done < rows {
            let file = self.of.file_of(self.row);
            if self.row == self.end {
                self.rows = file.walk(0)?;
                self.end = file.end();
            }
            let count = (rows - done).min(self.end.saturating_sub(self.row));
            if count == 0 {
                return Err(format_error(&file.path, "there are no more rows"));
            }
            let columns = &file.columns;
            let read = match &mut self.rows {
                Rows::Npy(walk) => walk.next(count, columns, &mut target, done)?,
                #[cfg(feature = "parquet")]
                Rows::Parquet(groups) => groups.next(count, |index, batch| {
                    let (out, step) = target.column(done, columns[index].1);
                    batch.numbers(out, step);
                    Ok(())
                })?,
            };
            for (number, column) in &file.constants {
                let (out, step) = target.column(done, *column);
                out.iter_mut().step_by(step).take(read).for_each(|out| *out = *number);
            }
            (done, self.row) = (done + read, self.row + read);
        }
        Ok(())
    }
}

/// The rows that are appended to a window.
struct Target<'a> {
    window: &'a mut Window,
    inputs: usize,
    outputs: usize,
    /// Rows that were there before.
    before: usize,
}

impl<'a> Target<'a> {
    fn new(window: &'a mut Window, rows: usize, inputs: usize, outputs: usize) -> Self {
        let before = window.weights.len();
        window.x.resize((before + rows) * inputs, 0.0);
        window.y.resize((before + rows) * outputs, 0.0);
        window.weights.resize(before + rows, 1.0);
        Target { window, inputs, outputs, before }
    }

    /// The place of one of the columns that were chosen, from a row on, and the step to the next row.
    fn column(&mut self, row: usize, column: usize) -> (&mut [f64], usize) {
        let (inputs, outputs, row) = (self.inputs, self.outputs, self.before + row);
        if column < inputs {
            (&mut self.window.x[row * inputs + column..], inputs)
        } else if column < inputs + outputs {
            (&mut self.window.y[row * outputs + column - inputs..], outputs)
        } else {
            (&mut self.window.weights[row..], 1)
        }
    }
}
