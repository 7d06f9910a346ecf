//! Tables of numbers in files, a window of rows at a time: samples that need not fit in memory.

#[cfg(feature = "parquet")]
mod batch;
pub(super) mod cells;
pub(super) mod folder;
mod identity;
#[cfg(feature = "parquet")]
pub(super) mod kind;
mod npy;
pub(super) mod outline;
#[cfg(feature = "parquet")]
pub(super) mod parquet;
mod progress;
pub(super) mod text;
#[cfg(feature = "parquet")]
pub(super) mod write;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::json::format_error;
use crate::error::{Error, Result};
use crate::io::column::cell::is_missing;
use crate::io::column::{Coder, Column};
use crate::io::text::Dialect;
use crate::objective::{Samples, Walk, Window};
#[cfg(feature = "parquet")]
use batch::Decoder;
use folder::{Place, places};
pub use progress::{ReadSoFar, read_so_far};

/// Rows in a file, some columns of which are X, Y and ω: a Parquet file with the feature `parquet`, the two-dimensional
/// array of a `.npy` file, whose columns have the names column1, column2, …, or a text with a line of names, such as a `.csv` file.
///
/// Columns of numbers are taken as they are ([`open`](Self::open)), others by their codings ([`coded`](Self::coded)), which
/// [`Table::outline`](super::Table::outline) finds.
///
/// A folder is all `.parquet` and `.npy` files in it and in its folders, in the order of their names, each with all columns; a folder with a
/// name such as `year=2024` is a column, too. Only these columns are read. Whole numbers and decimals become the nearest f64. The file must stay as it is while it is used: what
/// is read later is compared with its length, its time of change and its place.
///
/// A text is UTF-8, not packed, has one character between fields, and no comments; fields may be quoted. Rows and numbers are those of a
/// [`Table`](super::Table) of the file, but how numbers are written (the [`Dialect`]) follows from its first 10,000 rows or first MiB. Reading it takes
/// several times as long as another file, since its numbers are written in digits.
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
    /// The columns that are read, those of X, then those of Y, then that of ω, if there is one.
    read: Arc<[Read]>,
    inputs: usize,
    outputs: usize,
}

/// A column that is read.
struct Read {
    coder: Coder,
    /// The first of its places among X, Y and ω.
    place: usize,
}

/// One of the files, in which the columns have places, or numbers by the name of its folder.
struct OneFile {
    path: PathBuf,
    table: Numbers,
    /// The columns that are in the file.
    columns: Vec<InFile>,
    /// The number of each other column, by the [`Coder`] of it, and its index among those that are read.
    constants: Vec<(f64, usize)>,
    /// Its first row.
    first: usize,
}

/// A column in a file.
#[derive(Debug, Clone, Copy)]
struct InFile {
    /// Its index in the file.
    column: usize,
    /// Its index among those that are read.
    index: usize,
    /// The first of its places among X, Y and ω.
    place: usize,
    is_number: bool,
}

/// A file with columns.
#[derive(Clone)]
enum Numbers {
    Npy(Arc<npy::Npy>),
    Text(Arc<text::Text>),
    #[cfg(feature = "parquet")]
    Parquet(Arc<parquet::Parquet>),
}

impl fmt::Debug for FileSamples {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("FileSamples")
            .field("path", &self.path)
            .field(
                "columns",
                &self.read.iter().map(|of| &of.coder.column().name).collect::<Vec<_>>(),
            )
            .finish()
    }
}

impl FileSamples {
    /// The samples in the file at `path`: the columns `inputs` are X, `outputs` Y, and `weights` ω, 1 where it is not given. The names
    /// of columns with other values than numbers are refused, of a text when a value is read.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged; a column that there is not, or not of numbers.
    pub fn open<S: AsRef<str>>(
        path: &Path,
        inputs: &[S],
        outputs: &[S],
        weights: Option<S>,
    ) -> Result<Self> {
        let numbers = |names: &[S]| -> Vec<Column> {
            names.iter().map(|name| Column::number(name.as_ref())).collect()
        };
        let weights = weights.as_ref().map(|name| Column::number(name.as_ref()));
        let columns = [&numbers(inputs)[..], &numbers(outputs)];
        Self::with(path, &Dialect::default(), columns, weights, true)
    }

    /// The samples in the file at `path`, whose columns become numbers as [`Table::inputs`](super::Table::inputs) makes them: X has the inputs of the
    /// columns `inputs`, Y those of `outputs`, and ω is the column `weights`, 1 where it is not given.
    ///
    /// The classes of a softmax are an output whose levels have no reference, and the two of a binary cross-entropy one with the first for reference. A
    /// missing value without a substitute is NaN, which no problem takes. `dialect` says how a text is written; of another file it says nothing. Further words for a missing
    /// value are refused.
    ///
    /// ```
    /// use secondo::io::{Coding, Column, Dialect, FileSamples, write_file};
    /// use secondo::{Samples, Window};
    /// let folder = std::env::temp_dir().join("secondo-doc-coded");
    /// std::fs::create_dir_all(&folder).unwrap();
    /// let path = folder.join("small.csv");
    /// write_file(&path, |out| out.write_all(b"x,kind\n1.5,b\n2.5,a\n"))?;
    /// let levels = vec!["a".to_string(), "b".into()];
    /// let kind = Column { name: "kind".into(), coding: Coding::Levels { levels, reference: None }, fill: None };
    /// let samples = FileSamples::coded(&path, &Dialect::default(), &[Column::number("x")], &[kind], None)?;
    /// let mut window = Window::default();
    /// samples.walk(0)?.next(2, &mut window)?;
    /// assert_eq!((window.x, window.y), (vec![1.5, 2.5], vec![0.0, 1.0, 1.0, 0.0]));
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// As of [`open`](Self::open); a column without inputs. A value that its column does not know is an error when it is read.
    pub fn coded(
        path: &Path,
        dialect: &Dialect,
        inputs: &[Column],
        outputs: &[Column],
        weights: Option<&str>,
    ) -> Result<Self> {
        Self::with(path, dialect, [inputs, outputs], weights.map(Column::number), false)
    }

    /// The samples of these columns, of which those of numbers are so by their type, too, if `are_typed`.
    fn with(
        path: &Path,
        dialect: &Dialect,
        [inputs, outputs]: [&[Column]; 2],
        weights: Option<Column>,
        are_typed: bool,
    ) -> Result<Self> {
        dialect.require_no_words()?;
        let mut place = 0;
        let mut read = Vec::new();
        for column in inputs.iter().chain(outputs).chain(&weights) {
            if column.width() == 0 {
                let why = "it has one level only, and so no input; leave it out";
                return Err(Error::invalid(format!("column '{}'", column.name), why));
            }
            read.push(Read { coder: Coder::of(column), place });
            place += column.width();
        }
        let mut first = 0usize;
        let mut files = Vec::new();
        for place in places(path)? {
            let file = OneFile::open(place, dialect, &read, first, are_typed)?;
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
        let [inputs, outputs] =
            [inputs, outputs].map(|columns| columns.iter().map(Column::width).sum());
        let (path, files, read) = (path.to_path_buf(), files.into(), read.into());
        Ok(FileSamples { path, files, read, inputs, outputs })
    }

    /// The names of the columns of numbers in the file at `path`, but for an index of pandas; of a folder those of its first file and of
    /// the names of folders, and of a text those whose first cells are numbers.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged.
    pub fn columns(path: &Path) -> Result<Vec<String>> {
        let place = places(path)?.swap_remove(0);
        let table = Numbers::open(&place.path, &Dialect::default())?;
        Ok(columns_of(&place, &table)
            .0
            .into_iter()
            .filter(|column| column.is_number && !column.name.is_empty())
            .map(|column| column.name)
            .collect())
    }

    /// The error of a cell, in a row of one of the files, and the index of its column among those that are read.
    fn wrong(&self, row: usize, index: usize, file: &OneFile, why: &str) -> Error {
        let line = file.table.line(row);
        let why = match line {
            Some(_) => why.to_string(),
            None => format!("row {}: {why}", row + 1),
        };
        let column = self.read.get(index).map(|read| read.coder.column().name.clone());
        Error::Format { path: file.path.clone(), line, column, why }
    }

    /// The file in which a row is.
    fn file_of(&self, row: usize) -> &OneFile {
        let after = self.files.partition_point(|file| file.first <= row);
        &self.files[after.saturating_sub(1)]
    }
}

/// A column of a table of files.
struct Named {
    pub name: String,
    pub is_number: bool,
    /// Whether its cells are text by their type; times are neither.
    pub is_text: bool,
    /// Its index in the file, or its value in the name of a folder.
    pub at: At,
}

/// The place of the cells of a column.
enum At {
    File(usize),
    Folder(String),
}

/// The columns of a file and of the names of its folders, and the names of those that are not read: lists, structures and an index of pandas.
fn columns_of(place: &Place, table: &Numbers) -> (Vec<Named>, Vec<String>) {
    let (mut columns, left_out): (Vec<Named>, _) = match table {
        Numbers::Npy(npy) => {
            let named = |c| Named {
                name: format!("column{}", c + 1),
                is_number: true,
                is_text: false,
                at: At::File(c),
            };
            ((0..npy.columns).map(named).collect(), Vec::new())
        }
        Numbers::Text(text) => {
            let columns = text.names().iter().zip(&text.are_numbers).enumerate();
            let named = columns.map(|(c, (name, is_number))| Named {
                name: name.clone(),
                is_number: *is_number,
                is_text: false,
                at: At::File(c),
            });
            (named.collect(), Vec::new())
        }
        #[cfg(feature = "parquet")]
        Numbers::Parquet(file) => {
            let columns = file.columns.iter().enumerate().filter(|(_, column)| !column.is_index());
            let named = columns.map(|(c, column)| Named {
                name: column.name.clone(),
                is_number: column.kind.is_number(),
                is_text: column.kind.is_text(),
                at: At::File(c),
            });
            (named.collect(), file.not_read())
        }
    };
    columns.extend(place.constants.iter().map(|(name, value)| Named {
        name: name.clone(),
        is_number: value.parse::<f64>().is_ok(),
        is_text: is_text(value),
        at: At::Folder(value.clone()),
    }));
    (columns, left_out)
}

/// Whether the value in the name of a folder is text.
pub(super) fn is_text(value: &str) -> bool {
    !is_missing(value) && value.parse::<f64>().is_err()
}

impl OneFile {
    fn open(
        place: Place,
        dialect: &Dialect,
        read: &[Read],
        first: usize,
        are_typed: bool,
    ) -> Result<Self> {
        let Place { path, constants: of_folders } = place;
        let table = Numbers::open(&path, dialect)?;
        let (mut columns, mut constants) = (Vec::new(), Vec::new());
        for (index, Read { coder, place }) in read.iter().enumerate() {
            let name = &coder.column().name;
            match of_folders.iter().find(|(of, _)| of == name) {
                None => {
                    let column = table.column(&path, name)?;
                    let is_number = table.is_number(column);
                    if are_typed && coder.is_of_numbers() && !is_number {
                        let why = "its values are no numbers; leave the column out, or read it by a coding".into();
                        let column = Some(name.clone());
                        return Err(Error::Format { path, line: None, column, why });
                    }
                    columns.push(InFile { column, index, place: *place, is_number });
                }
                Some(_) if table.column(&path, name).is_ok() => {
                    let why = format!(
                        "it has a column '{name}', as its folder has one; names must differ"
                    );
                    return Err(format_error(&path, why));
                }
                Some((_, value)) => {
                    let number = coder.of_text(value).map_err(|why| {
                        format_error(&path, format!("'{name}' in the name of its folder: {why}"))
                    })?;
                    constants.push((number, index));
                }
            }
        }
        Ok(OneFile { path, table, columns, constants, first })
    }

    /// The first row after its own.
    fn end(&self) -> usize {
        self.first + self.table.rows()
    }

    /// The indices of its columns in the file.
    #[cfg(feature = "parquet")]
    fn places(&self) -> Vec<usize> {
        self.columns.iter().map(|of| of.column).collect()
    }

    /// A walk from one of its rows on.
    fn walk(&self, row: usize) -> Result<Rows> {
        Ok(match &self.table {
            Numbers::Npy(npy) => Rows::Npy(npy.walk(row)?),
            Numbers::Text(text) => Rows::Text(Box::new(text.walk(row)?)),
            #[cfg(feature = "parquet")]
            Numbers::Parquet(file) => Rows::Parquet(file.walk(&self.places(), row)?),
        })
    }
}

impl Numbers {
    pub fn open(path: &Path, dialect: &Dialect) -> Result<Self> {
        if path == Path::new("-") {
            let why =
                "standard input can be read once only; save it to a file, or leave --stream out";
            return Err(format_error(path, why));
        }
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            #[cfg(feature = "parquet")]
            Some("parquet") => Ok(Numbers::Parquet(Arc::new(parquet::Parquet::open(path)?))),
            Some("npy") => Ok(Numbers::Npy(Arc::new(npy::Npy::open(path)?))),
            #[cfg(not(feature = "parquet"))]
            Some("parquet") => Err(format_error(path, "it is read with the feature parquet alone")),
            Some("npz") => {
                let why = "of arrays, rows are read as they are needed from .npy; write one with numpy.save";
                Err(format_error(path, why))
            }
            _ => Ok(Numbers::Text(Arc::new(text::Text::open(path, dialect)?))),
        }
    }

    pub fn rows(&self) -> usize {
        match self {
            Numbers::Npy(npy) => npy.rows,
            Numbers::Text(text) => text.rows(),
            #[cfg(feature = "parquet")]
            Numbers::Parquet(file) => file.rows(),
        }
    }

    /// The line on which a row of a text begins.
    fn line(&self, row: usize) -> Option<u64> {
        match self {
            Numbers::Text(text) => text.line(row),
            _ => None,
        }
    }

    /// Whether the values of a column are numbers; cells of a text tell themselves.
    fn is_number(&self, column: usize) -> bool {
        match self {
            Numbers::Npy(npy) => column < npy.columns,
            Numbers::Text(_) => true,
            #[cfg(feature = "parquet")]
            Numbers::Parquet(file) => file.columns[column].kind.is_number(),
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
            Numbers::Text(text) => text.names().iter().position(|of| of == name).ok_or_else(absent),
            #[cfg(feature = "parquet")]
            Numbers::Parquet(file) => {
                let mut places = (0..file.columns.len()).filter(|&c| file.columns[c].name == name);
                let at = places.next().ok_or_else(absent)?;
                if places.next().is_some() {
                    let why = format!("two columns have the name '{name}'; names must differ");
                    return Err(format_error(path, why));
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
            Numbers::Text(text) => text.held(),
            #[cfg(feature = "parquet")]
            Numbers::Parquet(table) => table.held(&file.places()),
        };
        self.files.iter().map(of).max().unwrap_or(0)
    }

    fn refuse(&self, row: usize, column: usize, value: f64) -> Error {
        let file = self.file_of(row);
        let why = if value.is_finite() {
            format!("{value} is negative; weights must not be")
        } else if value.is_nan() {
            "the value is missing or not a number; leave such rows out with --missing drop, or when the file is written".into()
        } else {
            format!("{value} is not a finite number")
        };
        let after = self.read.partition_point(|read| read.place <= column);
        self.wrong(row - file.first, after.saturating_sub(1), file, &why)
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
    Text(Box<text::TextWalk>),
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
            let at = self.row - file.first;
            let read = match &mut self.rows {
                Rows::Npy(walk) => {
                    let read = walk.next(count, &file.columns, &mut target, done)?;
                    for of in &file.columns {
                        let coder = &self.of.read[of.index].coder;
                        let coded = target.code(coder, *of, done, read);
                        coded
                            .map_err(|(row, why)| self.of.wrong(at + row, of.index, file, &why))?;
                    }
                    read
                }
                Rows::Text(walk) => {
                    for row in 0..count {
                        walk.next()?;
                        for of in &file.columns {
                            let coder = &self.of.read[of.index].coder;
                            let number = walk.number(coder, of.column);
                            let number = number
                                .map_err(|why| self.of.wrong(at + row, of.index, file, &why))?;
                            target.put(number, coder, *of, done + row);
                        }
                    }
                    walk.check()?;
                    count
                }
                #[cfg(feature = "parquet")]
                Rows::Parquet(groups) => {
                    let all = &self.of;
                    groups.next(count, |index, batch| {
                        let of = file.columns[index];
                        let coder = &all.read[of.index].coder;
                        let coded = target.decode(coder, of, done, batch);
                        coded.map_err(|(row, why)| all.wrong(at + row, of.index, file, &why))
                    })?
                }
            };
            for &(number, index) in &file.constants {
                let Read { coder, place } = &self.of.read[index];
                let (out, step) = target.column(done, *place);
                for row in 0..read {
                    let width = coder.column().width();
                    coder.write(number, &mut out[row * step..row * step + width]);
                }
            }
            (done, self.row) = (done + read, self.row + read);
        }
        Ok(())
    }
}

/// Nothing, or the number of a cell of the row with its fault.
type Coded = std::result::Result<(), (usize, String)>;

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

    /// The cells of a column in some rows from numbers to inputs, where it is not one of plain numbers.
    ///
    /// # Errors
    /// The row, and what is wrong there.
    fn code(&mut self, coder: &Coder, of: InFile, first: usize, rows: usize) -> Coded {
        if coder.is_plain() {
            return Ok(());
        }
        let width = coder.column().width();
        let (out, step) = self.column(first, of.place);
        for row in 0..rows {
            let out = &mut out[row * step..row * step + width];
            let number = if of.is_number { coder.of_number(out[0]) } else { Ok(out[0]) };
            coder.write(number.map_err(|why| (row, why))?, out);
        }
        Ok(())
    }

    /// The inputs of a cell by its number.
    fn put(&mut self, number: f64, coder: &Coder, of: InFile, row: usize) {
        let (out, _) = self.column(row, of.place);
        if coder.is_plain() {
            out[0] = number;
        } else {
            coder.write(number, &mut out[..coder.column().width()]);
        }
    }

    /// The inputs of a column from a batch of it, from a row on.
    ///
    /// # Errors
    /// As of [`code`](Self::code).
    #[cfg(feature = "parquet")]
    fn decode(&mut self, coder: &Coder, of: InFile, first: usize, batch: &Decoder) -> Coded {
        let (out, step) = self.column(first, of.place);
        let is_number = of.is_number && (coder.is_of_numbers() || !batch.is_decimal());
        if is_number {
            batch.numbers(out, step);
        } else {
            let mut wrong = None;
            batch.texts(|row, cell| {
                let number = match cell {
                    Some(cell) => coder.of_text(cell),
                    None if batch.is_there(row) => Err(parquet::UNREADABLE.into()),
                    None => Ok(f64::NAN),
                };
                out[row * step] = number.unwrap_or_else(|why| {
                    wrong.get_or_insert((row, why));
                    f64::NAN
                });
            });
            if let Some(wrong) = wrong {
                return Err(wrong);
            }
        }
        self.code(coder, InFile { is_number, ..of }, first, batch.rows())
    }

    /// How many places follow one of X, Y or ω within the same of these, itself among them.
    fn together(&self, place: usize) -> usize {
        let ends = [self.inputs, self.inputs + self.outputs];
        let end = ends.into_iter().find(|end| place < *end);
        end.map_or(1, |end| end - place)
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
