//! Tables: text files with a header, Parquet files, arrays of NumPy; reading, features and target.
//!
//! # Accepted files
//!
//! Text in UTF-8, UTF-16 or Windows-1252 (which holds Latin-1), with byte order marks anywhere, lines ended by LF, CR LF or CR, plain
//! or as gzip or zstd. The first line names the columns; names are not repeated, and a first line that is like the others is refused. Each
//! further line has as many fields as the header; blank lines are skipped, and so are lines above the header that begin with `#`.
//! Fields may be quoted; blanks around a field do not count. The delimiter, the decimal mark and the mark between thousands are found
//! from the text where the [`Dialect`](super::Dialect) does not give them. Infinities, written out or by overflow as in `1e400`, are refused. An
//! empty field, `NA`, `N/A`, `#N/A`, `NaN`, `nan`, `null`, `NULL`, `?`, `.` and further spellings of these are missing values: an
//! error, unless rows with them are to be dropped or the values replaced ([`Missing`]).
//!
//! A first column without a name is the labels of the rows, and so is one that counts the rows from 0 or 1, has whole numbers, each once, and a
//! name such as `id`, or has another text, with letters, in each row, if other features are left. [`Table::found`] tells all that was assumed.
//!
//! # Tables with types
//!
//! A name that ends with `.parquet` (with the feature of that name), `.npy` or `.npz` is such a file, and a folder is all `.parquet` and `.npy` files in
//! it, in the order of their names, which have the same columns; a folder in it with a name such as `year=2024` gives a column, too. Numbers keep their bits, dates and
//! times are as in text, and columns of text or truth values are never numbers. Null is a missing value, and so is what would be one in
//! a text file. Lists, structures and pandas' index are left out. The columns of an array have its name with their number; those of a
//! `.npy` file are column1, column2, ….
//!
//! # Columns as inputs
//!
//! A column of numbers is one input. A column of text becomes indicators of each of its values but the first, the reference, as R's
//! treatment contrasts do; dates and times become numbers ([`Column`], [`Encode`]). A column that mixes numbers and text is refused.
//!
//! # The task, when it is not given
//!
//! A target of text is a class; so are whole numbers of 2 to 20 different values, if there are at least five rows for
//! each value on average, and codes that begin with 0. Any other numbers are a regression. A target that mixes numbers and text is
//! refused.

mod column;
#[cfg(feature = "parquet")]
mod convert;
mod dataset;
mod exposure;
mod fill;
mod header;
mod parse;
mod parts;
mod target;
mod typed;

pub use column::{Encode, Unknown};
#[cfg(feature = "parquet")]
pub use convert::ParquetOfText;
pub use dataset::{Dataset, Reading};
pub use exposure::Exposure;
pub use fill::{Substitutes, fill_gaps, impute};
pub use parts::TableParts;
pub use target::{Target, Task};

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::column::cell::{Numerals, is_missing, list, numeric, short};
use super::json::{format_error, nearest};
use super::text::Cells;
use crate::error::{Error, Result};
use header::Labels;

/// The text of a table, cut into named columns; cells are kept as text until they are asked for.
///
/// ```
/// use secondo::io::{Dialect, Reading, Table, Target};
/// let table = Table::parse("x,y\n1,2\n3,4\n", "small.csv".as_ref(), &Dialect::default())?;
/// let data = table.dataset(&Reading::new("y"))?;
/// assert_eq!(data.features, ["x"]);
/// assert_eq!(data.target, Target::Numbers(ndarray::array![[2.0], [4.0]]));
/// let error = table.column("z").unwrap_err();
/// assert_eq!(error.to_string(), "small.csv: there is no column 'z'; the columns are: x, y");
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Table {
    path: PathBuf,
    names: Vec<String>,
    cells: Cells,
    /// The line, from 1, on which each row begins.
    lines: Vec<u64>,
    numerals: Numerals,
    /// Further words for a missing value.
    missing: Vec<String>,
    labels: Option<Labels>,
    /// Whether each column is text, where columns have types.
    texts: Option<Vec<bool>>,
    /// Where it stands for a table of other rows ([`outline`](Self::outline)).
    outlined: Option<Outlined>,
    /// Whether it is a part of a table, in which no row need be left.
    is_part: bool,
    found: Vec<String>,
    warnings: Vec<String>,
}

/// The facts on the other table for which one stands.
#[derive(Debug, Clone)]
struct Outlined {
    /// Its rows but those that are there for a value or a gap alone.
    rows: usize,
    /// Whether each column has more values in the other.
    crowded: Vec<bool>,
}

/// The rows of a table that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Their indices, increasing.
    pub rows: Vec<usize>,
    /// The rows that were left out because their weight is missing.
    pub dropped: usize,
    /// The rows that were left out because their weight is 0.
    pub weightless: usize,
}

/// The treatment of a row in which a value is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// Refuse the table and name the place.
    #[default]
    Error,
    /// Leave the row out and count it.
    Drop,
    /// Replace the value of a feature by the mean of its column, or the most frequent level, and add an indicator of such rows;
    /// leave out rows without target or weight.
    Impute,
}

impl Table {
    /// The file, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of rows, without the header.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// The line, from 1, on which each row begins; the number of the row, from 1, of a file that has no lines.
    pub fn lines(&self) -> &[u64] {
        &self.lines
    }

    /// The cell in `row` and `column`, both from 0, as text; `None` outside the table.
    pub fn cell(&self, row: usize, column: usize) -> Option<&str> {
        self.cells.get(row, column)
    }

    /// The assumptions in reading, as the options of the program that say the same.
    pub fn found(&self) -> &[String] {
        &self.found
    }

    /// Warnings of what may have been read otherwise than it was meant.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The column with the labels of the rows, and why it is taken for that where it was not named.
    pub fn row_labels(&self) -> Option<(usize, Option<&'static str>)> {
        self.labels.map(|labels| (labels.column, labels.why))
    }

    /// The index of the column of that name.
    ///
    /// # Errors
    /// There is none; the error lists the names.
    pub fn column(&self, name: &str) -> Result<usize> {
        if let Some(index) = self.names.iter().position(|n| n == name) {
            return Ok(index);
        }
        let mut why =
            format!("there is no column '{}'; the columns are: {}", short(name), list(&self.names));
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        if let Some(alike) = nearest(name.trim(), &names) {
            why = format!("{why}; did you mean '{alike}'?");
        } else if self.names.iter().all(|n| numeric(n)) {
            why = format!("{why}; the first line must name the columns, and it holds only numbers");
        }
        Err(format_error(&self.path, why))
    }

    /// The indices of the columns that `names` mean, increasing: each is a name, or a list of names separated by commas, in which
    /// `*` stands for any text.
    ///
    /// # Errors
    /// A name that no column has.
    pub fn select(&self, names: &[String]) -> Result<Vec<usize>> {
        let mut out = BTreeSet::new();
        for item in names {
            if let Some(index) = self.names.iter().position(|n| n == item) {
                out.insert(index);
                continue;
            }
            for name in item.split(',').map(str::trim) {
                let matching = |n: &String| name.contains('*') && matches(name, n);
                let found: Vec<usize> =
                    (0..self.names.len()).filter(|&c| matching(&self.names[c])).collect();
                if found.is_empty() {
                    out.insert(self.column(name)?);
                }
                out.extend(found);
            }
        }
        Ok(out.into_iter().collect())
    }

    /// The rows that count: all, or those of `weights` above 0. Nothing else in a row of weight 0 is looked at.
    ///
    /// # Errors
    /// A missing weight, unless such rows are to be dropped; one that is not a number or is negative; all weights 0.
    pub fn counted_rows(&self, weights: Option<usize>, missing: Missing) -> Result<Counted> {
        let all: Vec<usize> = (0..self.rows()).collect();
        let Some(column) = weights else {
            return Ok(Counted { rows: all, dropped: 0, weightless: 0 });
        };
        let (mut rows, dropped) = self.complete_rows_of(&all, &[column], &[], missing)?;
        let weights = self.weights(column, &rows)?;
        let complete = rows.len();
        let mut of_row = weights.iter();
        rows.retain(|_| of_row.next().is_some_and(|w| *w > 0.0));
        Ok(Counted { weightless: complete - rows.len(), rows, dropped })
    }

    /// Those of `rows` with a value in each of `columns`.
    pub fn complete_rows(&self, rows: &[usize], columns: &[usize]) -> Vec<usize> {
        let is_whole = |row: &usize| !columns.iter().any(|&c| self.has_gap(*row, c));
        rows.iter().copied().filter(is_whole).collect()
    }

    /// The rows among `rows` with a value in each of `columns` and of `filled`, which another treatment could fill, and the number of the others;
    /// where values are imputed, the others are left out.
    fn complete_rows_of(
        &self,
        rows: &[usize],
        columns: &[usize],
        filled: &[usize],
        missing: Missing,
    ) -> Result<(Vec<usize>, usize)> {
        let gap = |row| filled.iter().chain(columns).copied().find(|&c| self.has_gap(row, c));
        self.rows_without(rows, missing, gap, |column| filled.contains(&column))
    }

    /// The rows of `all` in which `gap` finds no column without a value, and the number of the others; `can_fill` tells of which columns a fit
    /// can fill gaps.
    fn rows_without(
        &self,
        all: &[usize],
        missing: Missing,
        gap: impl Fn(usize) -> Option<usize> + Sync,
        can_fill: impl Fn(usize) -> bool,
    ) -> Result<(Vec<usize>, usize)> {
        let is_whole = |row: &&usize| gap(**row).is_none();
        let rows: Vec<usize> = all.par_iter().filter(is_whole).copied().collect();
        let first = || all.iter().find_map(|&row| Some((row, gap(row)?)));
        if missing == Missing::Error
            && rows.len() < all.len()
            && let Some((row, column)) = first()
        {
            let shown = short(self.text_at(row, column));
            let fill = if can_fill(column) { "have it filled with --missing impute, " } else { "" };
            let why = format!(
                "the value is missing ('{shown}'); fill it in, {fill}or leave such rows out with --missing drop"
            );
            return Err(self.wrong(row, column, why));
        }
        if rows.is_empty() && !self.is_part {
            let all = match all.len() {
                1 => "the only row has".into(),
                all => format!("each of the {all} rows has"),
            };
            return Err(format_error(&self.path, format!("{all} a missing value; no row is left")));
        }
        let dropped = all.len() - rows.len();
        Ok((rows, dropped))
    }

    /// The numbers in one column.
    ///
    /// # Errors
    /// A cell that is not a finite number, with line and column.
    pub fn numbers(&self, column: usize, rows: &[usize]) -> Result<Vec<f64>> {
        let number =
            |&row: &usize| self.finite_at(row, column).map_err(|why| self.wrong(row, column, why));
        let found: Option<Vec<f64>> = rows.par_iter().map(|row| number(row).ok()).collect();
        // The first error is the one to tell.
        found.map_or_else(|| rows.iter().map(number).collect(), Ok)
    }

    /// Sample weights.
    ///
    /// # Errors
    /// A weight that is not a number or is negative, with its line; all weights 0.
    pub fn weights(&self, column: usize, rows: &[usize]) -> Result<Vec<f64>> {
        let weights = self.numbers(column, rows)?;
        if let Some((&row, w)) = rows.iter().zip(&weights).find(|(_, w)| **w < 0.0) {
            return Err(self.wrong(row, column, format!("{w} is negative; weights must not be")));
        }
        if weights.iter().all(|&w| w == 0.0) && !self.is_part {
            return Err(Error::Format {
                path: self.path.clone(),
                line: None,
                column: self.names.get(column).cloned(),
                why: "all weights are 0".into(),
            });
        }
        Ok(weights)
    }

    fn is_missing(&self, cell: &str) -> bool {
        is_missing(cell) || self.missing.iter().any(|word| word == cell)
    }

    /// Whether the value of a cell is missing.
    fn has_gap(&self, row: usize, column: usize) -> bool {
        self.cells.number(row, column).is_none() && self.is_missing(self.text_at(row, column))
    }

    /// The number that a cell is, infinite where it is too large.
    fn number_at(&self, row: usize, column: usize) -> Option<f64> {
        let known = self.cells.number(row, column);
        known.or_else(|| self.numerals.parse(self.text_at(row, column)))
    }

    /// The finite number that a cell is, or why it is none.
    fn finite_at(&self, row: usize, column: usize) -> std::result::Result<f64, String> {
        let known = self.cells.number(row, column);
        known.map_or_else(|| self.numerals.number(self.text_at(row, column)), Ok)
    }

    /// How many of some rows there are, but those that are there for a value or a gap alone.
    fn rows_of(&self, rows: &[usize]) -> usize {
        match &self.outlined {
            None => rows.len(),
            Some(of) => rows.iter().filter(|row| **row < of.rows).count(),
        }
    }

    /// Refuses a column whose values are to be levels or classes and are more than are known.
    fn refuse_crowded(&self, column: usize) -> Result<()> {
        let is_crowded = |of: &&Outlined| of.crowded.get(column) == Some(&true);
        let Some(Outlined { rows, .. }) = self.outlined.as_ref().filter(is_crowded) else {
            return Ok(());
        };
        let (name, most) = (short(&self.names[column]), rows / 5);
        Err(Error::Format {
            path: self.path.clone(),
            line: None,
            column: Some(name.clone()),
            why: format!(
                "it has more than {most} different values, or some of more than 1000 bytes, which are not noted where rows are read as they are \
                 needed; leave the column out with --ignore '{name}', or read the table into memory"
            ),
        })
    }

    fn text_at(&self, row: usize, column: usize) -> &str {
        self.cell(row, column).unwrap_or_default()
    }

    fn wrong(&self, row: usize, column: usize, why: String) -> Error {
        // A table with types has rows, and no lines.
        let (line, why) = match self.texts {
            None => (self.lines.get(row).copied(), why),
            Some(_) if self.outlined.is_some() => (None, why),
            Some(_) => {
                // A part of a table has the numbers of the whole.
                let number = self.lines.get(row).copied().unwrap_or(row as u64 + 1);
                (None, format!("row {number}: {why}"))
            }
        };
        Error::Format {
            path: self.path.clone(),
            line,
            column: self.names.get(column).map(|name| short(name)),
            why,
        }
    }
}

/// Whether `text` is as `pattern` says, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(start) else {
        return false;
    };
    (0..=text.len()).filter(|&at| text.is_char_boundary(at)).any(|at| matches(rest, &text[at..]))
}
