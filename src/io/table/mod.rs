//! CSV tables with a header: reading, features and target.
//!
//! # What is accepted
//!
//! UTF-8 text, with or without a byte order mark, lines ended by LF, CR LF or CR. The first line names the columns;
//! names are not empty and not repeated. Each further line has as many fields as the header; blank lines are skipped.
//! Fields may be quoted; blanks around a field do not count. Numbers are decimal with a point: `1`, `-.5`, `1e-3`.
//! NaN and infinities, written out or by overflow as in `1e400`, are refused. An empty field, `NA`, `null`, `NULL` and
//! `?` are missing values: an error, unless rows with them are to be dropped.
//!
//! # The task, when it is not given
//!
//! A target of text is a class; so are whole numbers of 2 to 20 different values, if there are at least five rows for
//! each value on average. Any other numbers are a regression. A target that mixes numbers and text is refused.

mod cell;
mod dataset;
mod parse;

pub use dataset::{Dataset, Reading, Target, Task};

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ndarray::Array2;

use super::json::format_error;
use crate::error::{Error, Result};
use crate::memory::{bytes_of, require_memory};
use cell::{is_missing, list, number, short, whole};

/// The text of a CSV file, cut into named columns; cells are kept as text until they are asked for.
///
/// ```
/// use secondo::io::{Missing, Reading, Table, Target};
/// let table = Table::parse("x,y\n1,2\n3,4\n", "small.csv".as_ref(), b',')?;
/// let data = table.dataset(&Reading::new("y"))?;
/// assert_eq!(data.features, ["x"]);
/// assert_eq!(data.target, Target::Numbers(vec![2.0, 4.0]));
/// let error = table.column("z").unwrap_err();
/// assert_eq!(error.to_string(), "small.csv: there is no column 'z'; the columns are: x, y");
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Table {
    path: PathBuf,
    names: Vec<String>,
    /// All cells one after the other, row by row, without the blanks around them.
    text: String,
    /// Where each cell ends in `text`.
    ends: Vec<usize>,
    /// The line, from 1, on which each row begins.
    lines: Vec<u64>,
}

/// The treatment of a row in which a value is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// Refuse the table and name the place.
    #[default]
    Error,
    /// Leave the row out and count it.
    Drop,
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

    /// The line, from 1, on which each row begins.
    pub fn lines(&self) -> &[u64] {
        &self.lines
    }

    /// The cell in `row` and `column`, both from 0, as text; `None` outside the table.
    pub fn cell(&self, row: usize, column: usize) -> Option<&str> {
        if column >= self.names.len() {
            return None;
        }
        let index = row.checked_mul(self.names.len())?.checked_add(column)?;
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text.get(start..end)
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
            format!("there is no column '{name}'; the columns are: {}", list(&self.names));
        let alike = self.names.iter().find(|n| n.to_lowercase() == name.trim().to_lowercase());
        if let Some(alike) = alike {
            why = format!("{why}; did you mean '{alike}'?");
        } else if self.names.iter().all(|n| n.parse::<f64>().is_ok()) {
            why = format!("{why}; the first line must name the columns, and it holds only numbers");
        }
        Err(format_error(&self.path, why))
    }

    /// The rows with a value in each of `columns`, and the number of the others.
    ///
    /// # Errors
    /// A missing value, unless such rows are to be dropped; no row is left.
    pub fn complete_rows(
        &self,
        columns: &[usize],
        missing: Missing,
    ) -> Result<(Vec<usize>, usize)> {
        let mut rows = Vec::with_capacity(self.rows());
        for row in 0..self.rows() {
            let gap = columns.iter().find(|&&c| is_missing(self.text_at(row, c)));
            match (gap, missing) {
                (None, _) => rows.push(row),
                (Some(_), Missing::Drop) => {}
                (Some(&column), Missing::Error) => {
                    return Err(self.wrong(
                        row,
                        column,
                        format!(
                            "the value is missing ('{}'); fill it in, or leave such rows out with --missing drop",
                            self.text_at(row, column)
                        ),
                    ));
                }
            }
        }
        if rows.is_empty() {
            let all = self.rows();
            let why = format!("each of the {all} rows has a missing value; no row is left");
            return Err(format_error(&self.path, why));
        }
        let dropped = self.rows() - rows.len();
        Ok((rows, dropped))
    }

    /// The numbers in `columns` of `rows`, rows × columns.
    ///
    /// # Errors
    /// A cell that is not a finite number, with line and column.
    pub fn matrix(&self, columns: &[usize], rows: &[usize]) -> Result<Array2<f64>> {
        let shape = (rows.len(), columns.len());
        let size = crate::evaluate::shape_product("the table", &[shape.0, shape.1])?;
        let what = format!("the numbers of {} rows and {} columns", shape.0, shape.1);
        require_memory(&what, bytes_of(&[8, size]), "leave out rows or columns")?;
        let mut values = Vec::with_capacity(size);
        for &row in rows {
            for &column in columns {
                values.push(number(self.text_at(row, column)).map_err(|why| {
                    let name = self.names.get(column).map_or("", String::as_str);
                    self.wrong(
                        row,
                        column,
                        format!("{why}; a fit leaves the column out with --ignore '{name}'"),
                    )
                })?);
            }
        }
        Array2::from_shape_vec(shape, values)
            .map_err(|_| Error::shape("the table", &[shape.0, shape.1], &[size]))
    }

    /// The numbers in one column.
    ///
    /// # Errors
    /// A cell that is not a finite number, with line and column.
    pub fn numbers(&self, column: usize, rows: &[usize]) -> Result<Vec<f64>> {
        (rows.iter())
            .map(|&row| {
                number(self.text_at(row, column)).map_err(|why| self.wrong(row, column, why))
            })
            .collect()
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
        if weights.iter().all(|&w| w == 0.0) {
            return Err(Error::Format {
                path: self.path.clone(),
                line: None,
                column: self.names.get(column).cloned(),
                why: "all weights are 0".into(),
            });
        }
        Ok(weights)
    }

    /// The class of each row among `labels`.
    ///
    /// # Errors
    /// A label that is not among them, with its line.
    pub fn class_index(
        &self,
        column: usize,
        rows: &[usize],
        labels: &[String],
    ) -> Result<Vec<usize>> {
        let known: HashMap<&str, usize> =
            (labels.iter().enumerate()).map(|(i, l)| (l.as_str(), i)).collect();
        (rows.iter())
            .map(|&row| {
                let cell = self.text_at(row, column);
                let whole = || whole(cell).and_then(|v| known.get(v.to_string().as_str()));
                known.get(cell).or_else(whole).copied().ok_or_else(|| {
                    self.wrong(
                        row,
                        column,
                        format!("the class '{}' is unknown; known: {}", short(cell), list(labels)),
                    )
                })
            })
            .collect()
    }

    fn text_at(&self, row: usize, column: usize) -> &str {
        self.cell(row, column).unwrap_or_default()
    }

    fn wrong(&self, row: usize, column: usize, why: String) -> Error {
        Error::Format {
            path: self.path.clone(),
            line: self.lines.get(row).copied(),
            column: self.names.get(column).cloned(),
            why,
        }
    }
}
