//! A table as features and target.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use ndarray::Array2;

use super::cell::{plural, short, whole};
use super::{Missing, Table};
use crate::error::{Error, Result, by_name};
use crate::io::json::format_error;

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

/// How a table becomes a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The column to predict.
    pub target: String,
    /// The task; guessed from the target unless given.
    pub task: Option<Task>,
    /// Columns that are not used.
    pub ignore: Vec<String>,
    /// The column of the sample weights.
    pub weights: Option<String>,
    /// The treatment of missing values in the columns that are used.
    pub missing: Missing,
}

impl Reading {
    /// All other columns predict `target`; the task is guessed and missing values are errors.
    pub fn new(target: impl Into<String>) -> Self {
        Reading {
            target: target.into(),
            task: None,
            ignore: Vec::new(),
            weights: None,
            missing: Missing::Error,
        }
    }
}

/// The target, row by row.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Numbers, for regression.
    Numbers(Vec<f64>),
    /// Classes.
    Classes {
        /// The labels: whole numbers in numerical order, text in the order of its characters.
        labels: Vec<String>,
        /// For each row the index of its label.
        index: Vec<usize>,
    },
}

/// The rows of a table as features and target.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Dataset {
    /// The names of the features, in the order of the columns of `x`.
    pub features: Vec<String>,
    /// rows × features.
    pub x: Array2<f64>,
    /// The target.
    pub target: Target,
    /// The sample weights, where there is a column of them.
    pub weights: Option<Vec<f64>>,
    /// The line of each row in the file.
    pub lines: Vec<u64>,
    /// The rows left out because a value was missing.
    pub dropped: usize,
    /// Why the task was guessed so; `None` if it was given.
    pub guess: Option<String>,
}

impl Dataset {
    /// Regression or classification.
    pub fn task(&self) -> Task {
        match self.target {
            Target::Numbers(_) => Task::Regression,
            Target::Classes { .. } => Task::Classification,
        }
    }
}

impl Table {
    /// Features, target and weights as `reading` says.
    ///
    /// # Errors
    /// A column that is missing or used twice, no feature, a cell that is not what its column needs, a missing value,
    /// fewer than two classes.
    pub fn dataset(&self, reading: &Reading) -> Result<Dataset> {
        let target = self.column(&reading.target)?;
        let mut used = vec![true; self.names.len()];
        used[target] = false;
        for name in &reading.ignore {
            let column = self.column(name)?;
            if column == target {
                return Err(Error::invalid(name, "the column is the target and cannot be ignored"));
            }
            used[column] = false;
        }
        let weights = match &reading.weights {
            None => None,
            Some(name) => {
                let column = self.column(name)?;
                if column == target {
                    return Err(Error::invalid(
                        name,
                        "the column cannot be both target and weights",
                    ));
                }
                if !used[column] {
                    return Err(Error::invalid(
                        name,
                        "the column cannot be both ignored and weights",
                    ));
                }
                used[column] = false;
                Some(column)
            }
        };
        let columns: Vec<usize> = (0..used.len()).filter(|&c| used[c]).collect();
        if columns.is_empty() {
            let why = "no column is left to predict from";
            return Err(format_error(&self.path, why));
        }
        let needed: Vec<usize> = (columns.iter().copied()).chain([target]).chain(weights).collect();
        let (rows, dropped) = self.complete_rows(&needed, reading.missing)?;
        let (task, guess) = match reading.task {
            Some(task) => (task, None),
            None => {
                let (task, guess) = self.guess(target, &rows)?;
                (task, Some(guess))
            }
        };
        let x = self.matrix(&columns, &rows)?;
        let target = match task {
            Task::Regression => Target::Numbers(self.numbers(target, &rows)?),
            Task::Classification => self.classes(target, &rows)?,
        };
        Ok(Dataset {
            features: columns.iter().map(|&c| self.names[c].clone()).collect(),
            x,
            target,
            weights: weights.map(|c| self.weights(c, &rows)).transpose()?,
            lines: rows.iter().map(|&r| self.lines[r]).collect(),
            dropped,
            guess,
        })
    }

    /// The task that the target column suggests, and why.
    fn guess(&self, column: usize, rows: &[usize]) -> Result<(Task, String)> {
        let cells = || rows.iter().map(|&row| (row, self.text_at(row, column)));
        // NaN and infinities count as numbers here; they are refused when they are read as such.
        let numeric = |cell: &str| cell.parse::<f64>().is_ok();
        let numbers = cells().filter(|(_, cell)| numeric(cell)).count();
        if numbers == 0 {
            return Ok((Task::Classification, "the target is text".into()));
        }
        if let Some((row, cell)) = cells().find(|(_, cell)| !numeric(cell)) {
            let (cell, others) = (short(cell), plural(numbers, "other value"));
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
        let mut values = HashSet::new();
        for (_, cell) in cells() {
            let Some(v) = whole(cell) else {
                return Ok((Task::Regression, "the target has numbers that are not whole".into()));
            };
            values.insert(v);
        }
        let different = values.len();
        Ok(if (2..=GUESS_CLASSES).contains(&different) && rows.len() >= GUESS_ROWS * different {
            (
                Task::Classification,
                format!("the target has only {different} different whole numbers"),
            )
        } else {
            (
                Task::Regression,
                format!("the target has {different} different {}", plural(different, "number")),
            )
        })
    }

    /// The target as classes, the labels sorted.
    fn classes(&self, column: usize, rows: &[usize]) -> Result<Target> {
        let cells = || rows.iter().map(|&row| self.text_at(row, column));
        let mut labels: Vec<String>;
        if cells().all(|cell| cell.parse::<f64>().is_ok()) {
            let mut values = BTreeMap::new();
            for (&row, cell) in rows.iter().zip(cells()) {
                let value = whole(cell).ok_or_else(|| {
                    self.wrong(
                        row,
                        column,
                        format!(
                            "'{}' is not a class: classes are text or whole numbers below 2^53; use --task regression \
                             for a number",
                            short(cell)
                        ),
                    )
                })?;
                values.insert(value, ());
            }
            labels = values.keys().map(i64::to_string).collect();
        } else {
            labels = cells().map(String::from).collect::<HashSet<_>>().into_iter().collect();
            labels.sort_unstable();
        }
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
        if labels.len() > GUESS_CLASSES && 2 * labels.len() > rows.len() {
            let (classes, rows) = (labels.len(), rows.len());
            return Err(Error::Format {
                path: self.path.clone(),
                line: None,
                column: Some(self.names[column].clone()),
                why: format!(
                    "{classes} classes in {rows} rows, one for nearly every row: nothing can be learnt of them; is it the name of \
                     the row? choose another target"
                ),
            });
        }
        let index = self.class_index(column, rows, &labels)?;
        Ok(Target::Classes { labels, index })
    }
}
