//! A table as features and target.

use ndarray::Array2;

use super::cell::short;
use super::{Column, Encode, Missing, Table, Target, Task, Unknown};
use crate::error::{Error, Result};
use crate::io::json::format_error;

/// How a table becomes a data set.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// The column to predict.
    pub target: String,
    /// The task; guessed from the target unless given.
    pub task: Option<Task>,
    /// The columns to predict from, as [`Table::select`] takes them; all others unless given.
    pub features: Vec<String>,
    /// Columns that are not used, as [`Table::select`] takes them.
    pub ignore: Vec<String>,
    /// How columns, by their names, become inputs where their values do not decide it.
    pub encode: Vec<(String, Encode)>,
    /// The column of the sample weights. A row with the weight 0 counts as not there.
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
            features: Vec::new(),
            ignore: Vec::new(),
            encode: Vec::new(),
            weights: None,
            missing: Missing::Error,
        }
    }
}

/// The rows of a table as features and target.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Dataset {
    /// The columns that the features come from.
    pub columns: Vec<Column>,
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
    /// The rows left out because their weight is 0.
    pub weightless: usize,
    /// Why the task was guessed so; `None` if it was given.
    pub guess: Option<String>,
    /// Further assumptions, with the option that says otherwise.
    pub notes: Vec<String>,
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

/// The columns of a table by their use.
struct Uses {
    features: Vec<usize>,
    target: usize,
    weights: Option<usize>,
    notes: Vec<String>,
}

impl Table {
    /// Features, target and weights as `reading` says.
    ///
    /// # Errors
    /// A column that is missing or used twice, no feature, a cell that is not what its column needs, a missing value,
    /// fewer than two classes.
    pub fn dataset(&self, reading: &Reading) -> Result<Dataset> {
        let Uses { features, target, weights, mut notes } = self.uses(reading)?;
        let impute = reading.missing == Missing::Impute;
        let mut needed: Vec<usize> = [target].into_iter().chain(weights).collect();
        if !impute {
            needed.splice(..0, features.iter().copied());
        }
        let (mut rows, dropped) = self.complete_rows(&needed, reading.missing)?;
        let mut weights = weights.map(|c| self.weights(c, &rows)).transpose()?;
        let complete = rows.len();
        if let Some(weights) = &mut weights {
            let mut of_row = weights.iter();
            rows.retain(|_| of_row.next().is_some_and(|w| *w > 0.0));
            weights.retain(|w| *w > 0.0);
        }
        let (task, guess) = match reading.task {
            Some(task) => (task, None),
            None => {
                let (task, guess) = self.guess(target, &rows)?;
                (task, Some(guess))
            }
        };
        let how = |column: usize| {
            let name = &self.names[column];
            reading.encode.iter().rev().find(|(of, _)| of == name).map(|(_, how)| how)
        };
        let mut columns = Vec::new();
        for &column in &features {
            let learnt = self.learn(column, &rows, how(column), impute)?;
            // Text that is the same everywhere says nothing.
            if learnt.inputs().is_empty() {
                let name = short(&learnt.name);
                notes.push(format!("the column '{name}' has one value only and is left out"));
            } else {
                columns.push(learnt);
            }
        }
        if columns.is_empty() {
            return Err(format_error(&self.path, "no column is left to predict from"));
        }
        let features: Vec<String> = columns.iter().flat_map(Column::inputs).collect();
        let x = self.inputs(&columns, &rows, Unknown::Error)?;
        let target = match task {
            Task::Regression => Target::Numbers(self.numbers(target, &rows)?),
            Task::Classification => self.classes(target, &rows)?,
        };
        Ok(Dataset {
            columns,
            features,
            x,
            target,
            weights,
            lines: rows.iter().map(|&r| self.lines[r]).collect(),
            dropped,
            weightless: complete - rows.len(),
            guess,
            notes,
        })
    }

    /// The columns by their use.
    fn uses(&self, reading: &Reading) -> Result<Uses> {
        let target = self.column(&reading.target)?;
        let refused = |column: usize, why: &str| Err(Error::invalid(&self.names[column], why));
        let ignored = self.select(&reading.ignore)?;
        if ignored.contains(&target) {
            return refused(target, "the column is the target and cannot be ignored");
        }
        let weights = (reading.weights.as_ref()).map(|name| self.column(name)).transpose()?;
        if let Some(column) = weights {
            if column == target {
                return refused(column, "the column cannot be both target and weights");
            }
            if ignored.contains(&column) {
                return refused(column, "the column cannot be both ignored and weights");
            }
        }
        for (name, _) in &reading.encode {
            self.column(name)?;
        }
        let free = |c: &usize| *c != target && Some(*c) != weights && !ignored.contains(c);
        let mut notes = Vec::new();
        let features: Vec<usize> = if reading.features.is_empty() {
            let mut features: Vec<usize> = (0..self.names.len()).filter(free).collect();
            if let Some(at) =
                features.iter().position(|c| self.labels.is_some_and(|l| l.column == *c))
                && let Some(labels) = self.labels
            {
                // A column that has a name may be what is meant, if it is the only one.
                let only = features.len() == 1 && labels.why.is_some();
                let named = !self.names[labels.column].is_empty();
                if !(only && named) {
                    features.remove(at);
                    notes.extend(self.labels_note());
                }
            }
            features
        } else {
            let features = self.select(&reading.features)?;
            if let Some(&column) = features.iter().find(|c| !free(c)) {
                return refused(column, "the column cannot be a feature and something else");
            }
            features
        };
        if features.is_empty() {
            return Err(format_error(&self.path, "no column is left to predict from"));
        }
        Ok(Uses { features, target, weights, notes })
    }

    /// The note on a column of labels that was not named.
    fn labels_note(&self) -> Option<String> {
        let labels = self.labels?;
        let why = labels.why?;
        let name = short(self.names.get(labels.column)?);
        if name.is_empty() {
            return Some(format!("the first column holds the labels of the rows ({why})"));
        }
        Some(format!(
            "the column '{name}' holds the labels of the rows ({why}); --row-names none makes it an input"
        ))
    }
}
