//! The target: the task that a column suggests, and its numbers or classes.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use ndarray::Array2;
use rayon::prelude::*;

use super::Table;
use crate::error::{Error, Result, by_name};
use crate::io::column::cell::{are_words, list, plural, short, whole};
use crate::io::column::classes::{Index, is_code, values};

/// The most different whole numbers that are taken for classes unless the task is given.
const GUESS_CLASSES: usize = 20;
/// The rows for each of them that the guess needs, on average.
const GUESS_ROWS: usize = 5;

/// The task: regression or classification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// A number.
    Regression,
    /// One of several classes.
    Classification,
}

impl Task {
    /// The name used by the program.
    pub fn name(self) -> &'static str {
        match self {
            Task::Regression => "regression",
            Task::Classification => "classification",
        }
    }

    /// The task of that name.
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        let all = [Task::Regression, Task::Classification];
        by_name("task", name, &all.map(|t| (t.name(), t)))
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The target, row by row.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Numbers, for regression: rows × targets.
    Numbers(Array2<f64>),
    /// Classes.
    Classes {
        /// The labels: whole numbers in numerical order, text in the order of its characters.
        labels: Vec<String>,
        /// For each row the index of its label.
        index: Vec<usize>,
    },
}

impl Table {
    /// The task that the target column suggests, and why; `known` are its numbers in `rows`, if every cell is one.
    pub(super) fn guess(
        &self,
        column: usize,
        rows: &[usize],
        known: Option<&Array2<f64>>,
    ) -> Result<(Task, String)> {
        // NaN and infinities count as numbers here; they are refused when they are read as such.
        let number = |row: usize| self.number_at(row, column).filter(|_| !self.is_text(column));
        let read = || rows.par_iter().filter_map(|&row| number(row)).collect();
        let numbers: Cow<[f64]> = match known.and_then(|known| known.as_slice()) {
            Some(known) => known.into(),
            None => Vec::into(read()),
        };
        if numbers.is_empty() {
            return Ok((Task::Classification, "the target is text".into()));
        }
        let odd = || rows.iter().find(|&&row| number(row).is_none());
        if numbers.len() < rows.len()
            && let Some(&row) = odd()
        {
            let numbers = numbers.len();
            let (cell, others) = (short(self.text_at(row, column)), plural(numbers, "other value"));
            return Err(self.wrong(
                row,
                column,
                format!(
                    "'{cell}' is not a number, but {numbers} {others} of the target {}; correct it, or say \
                     --task classification to take every value as the name of a class",
                    if numbers == 1 { "is" } else { "are" }
                ),
            ));
        }
        // A code is a whole number.
        let is_whole_code = |(row, number): (&usize, &f64)| {
            number.fract() == 0.0 && is_code(self.text_at(*row, column))
        };
        if rows.iter().zip(numbers.iter()).any(is_whole_code) {
            let why = "the target has codes with zeros before the digits";
            return Ok((Task::Classification, why.into()));
        }
        if numbers.iter().any(|number| number.fract() != 0.0) {
            return Ok((Task::Regression, "the target has numbers that are not whole".into()));
        }
        let values: HashSet<u64> = numbers.iter().map(|number| number.to_bits()).collect();
        let different = values.len();
        Ok(
            if (2..=GUESS_CLASSES).contains(&different)
                && self.rows_of(rows) >= GUESS_ROWS * different
            {
                let why = format!("the target has only {different} different whole numbers");
                (Task::Classification, why)
            } else {
                let why =
                    format!("the target has {different} different {}", plural(different, "number"));
                (Task::Regression, why)
            },
        )
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
        let index = Index::of(labels);
        (rows.iter())
            .map(|&row| {
                let cell = self.text_at(row, column);
                index.find(cell).ok_or_else(|| {
                    let (cell, known) = (short(cell), list(labels));
                    let why = format!("the class '{cell}' is unknown; known: {known}");
                    self.wrong(row, column, why)
                })
            })
            .collect()
    }

    /// The target as classes.
    pub(super) fn classes(&self, column: usize, rows: &[usize]) -> Result<Target> {
        let cells = || rows.iter().map(|&row| self.text_at(row, column));
        if cells().all(|cell| cell.parse::<f64>().is_ok())
            && let Some((&row, cell)) = rows.iter().zip(cells()).find(|(_, c)| whole(c).is_none())
        {
            let why = format!(
                "'{}' is not a class: classes are text or whole numbers below 2^53; use --task regression for a number",
                short(cell)
            );
            return Err(self.wrong(row, column, why));
        }
        self.refuse_crowded(column)?;
        let labels = values(cells());
        if labels.len() < 2 {
            return Err(Error::Format {
                path: self.path.clone(),
                line: None,
                column: Some(self.names[column].clone()),
                why: format!(
                    "one class only ('{}'); a classification needs two or more",
                    labels.first().map_or("", String::as_str)
                ),
            });
        }
        if labels.len() > GUESS_CLASSES && 2 * labels.len() > self.rows_of(rows) {
            let why = match cells().next().filter(|_| !are_words(cells())) {
                Some(cell) => format!(
                    "its values look like numbers with signs or units, as '{}', and are none; write plain numbers",
                    short(cell)
                ),
                None => format!(
                    "{} classes in {} rows, one for nearly every row: nothing can be learnt of them; is it the name of the row? choose \
                     another target",
                    labels.len(),
                    rows.len()
                ),
            };
            return Err(Error::Format {
                path: self.path.clone(),
                line: None,
                column: Some(self.names[column].clone()),
                why,
            });
        }
        let index = self.class_index(column, rows, &labels)?;
        Ok(Target::Classes { labels, index })
    }
}
