//! A table as features and target.

use std::collections::{HashMap, HashSet};

use ndarray::Array2;

use super::column::Tally;
use super::fill::impute;
use super::header::is_identifier;
use super::{Encode, Exposure, Missing, Table, Target, Task, Unknown};
use crate::error::{Error, Result};
use crate::io::column::cell::short;
use crate::io::column::classes::is_padded;
use crate::io::column::{Coding, Column};
use crate::io::json::format_error;

/// The rows that show whether numbers are codes.
const SHOWN: usize = 1000;

/// How a table becomes a data set.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// The columns to predict: one, or several of numbers.
    pub targets: Vec<String>,
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
    /// The column of the exposures of counts.
    pub exposure: Option<Exposure>,
    /// The column whose equal values make rows a group, which stays together where rows are divided.
    pub groups: Option<String>,
    /// The column that says which rows are for validation.
    pub validation: Option<String>,
    /// The treatment of missing values in the columns that are used.
    pub missing: Missing,
}

impl Reading {
    /// All other columns predict `target`; the task is guessed and missing values are errors.
    pub fn new(target: impl Into<String>) -> Self {
        Reading {
            targets: vec![target.into()],
            task: None,
            features: Vec::new(),
            ignore: Vec::new(),
            encode: Vec::new(),
            weights: None,
            exposure: None,
            groups: None,
            validation: None,
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
    /// The names of the targets.
    pub targets: Vec<String>,
    /// The target.
    pub target: Target,
    /// The sample weights, where there is a column of them.
    pub weights: Option<Vec<f64>>,
    /// The column of the exposures, where there is one.
    pub exposure: Option<Exposure>,
    /// The exposures in it, positive.
    pub exposures: Option<Vec<f64>>,
    /// The group of each row, counted from 0 in the order of the file, where there is a column of them.
    pub groups: Option<Vec<usize>>,
    /// Whether each row is for validation, where there is a column that says so.
    pub validation: Option<Vec<bool>>,
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
    targets: Vec<usize>,
    weights: Option<usize>,
    exposure: Option<usize>,
    groups: Option<usize>,
    validation: Option<usize>,
    notes: Vec<String>,
}

impl Uses {
    /// The columns besides features and targets.
    fn others(&self) -> impl Iterator<Item = usize> {
        let single = [self.weights, self.exposure, self.groups, self.validation];
        single.into_iter().flatten()
    }
}

impl Table {
    /// Features, targets, weights and what else `reading` names.
    ///
    /// # Errors
    /// A column that is missing or used twice, no feature, a cell that is not what its column needs, a missing value,
    /// fewer than two classes.
    pub fn dataset(&self, reading: &Reading) -> Result<Dataset> {
        let mut uses = self.uses(reading)?;
        let is_imputed = reading.missing == Missing::Impute;
        let counted = self.counted_rows(uses.weights, reading.missing)?;
        let how = |column: usize| {
            let name = &self.names[column];
            reading.encode.iter().rev().find(|(of, _)| of == name).map(|(_, how)| how)
        };
        let plain = |&c: &usize| matches!(how(c), None | Some(Encode::Number));
        // Nearly every large table is one of numbers alone, which one pass reads.
        let numbers = (uses.features.iter().all(plain))
            .then(|| self.numbers_alone(&uses.features, &counted.rows))
            .flatten();
        let target = self.numbers_alone(&uses.targets, &counted.rows);
        let has_gaps = numbers.is_none() && !is_imputed;
        let features = if has_gaps { uses.features.as_slice() } else { &[] };
        let targets = uses.targets.iter().filter(|_| target.is_none());
        let others: Vec<usize> = targets.copied().chain(uses.others()).collect();
        let (rows, dropped) =
            self.complete_rows_of(&counted.rows, &others, features, reading.missing)?;
        let [numbers, target] = [numbers, target].map(|read| read.filter(|_| dropped == 0));
        let weights = uses.weights.map(|c| self.numbers(c, &rows)).transpose()?;
        let (task, guess) = match (reading.task, uses.targets.as_slice()) {
            (Some(task), _) => (task, None),
            (None, [column]) => {
                let (task, guess) = self.guess(*column, &rows, target.as_ref())?;
                (task, Some(guess))
            }
            (None, _) => (Task::Regression, Some("there are several targets".into())),
        };
        let mut columns = Vec::new();
        let tallies = match numbers {
            Some(_) => vec![Tally::default(); uses.features.len()],
            None => self.tally(&uses.features, &rows),
        };
        for (&column, tally) in uses.features.iter().zip(tallies) {
            let fill = is_imputed && numbers.is_none();
            let learnt = self.learn(column, &rows, how(column), tally, fill)?;
            let is_number = how(column).is_none() && learnt.coding == Coding::Number;
            if is_number && rows.iter().take(SHOWN).any(|&row| is_padded(self.text_at(row, column)))
            {
                let name = short(&learnt.name);
                uses.notes.push(format!(
                    "the column '{name}' has zeros before digits and is taken for numbers; --encode '{name}' takes it for names"
                ));
            }
            let is_of_file = self.outlined.is_none();
            if is_of_file && reading.groups.is_none() && self.repeats(column, &rows) {
                let name = short(&learnt.name);
                uses.notes.push(format!(
                    "the column '{name}' gives several rows the same id: --groups '{name}' keeps such rows together and makes it no input, \
                     --ignore '{name}' leaves it out"
                ));
            }
            // Text that is the same everywhere says nothing.
            if learnt.width() == 0 {
                let name = short(&learnt.name);
                uses.notes.push(format!("the column '{name}' has one value only and is left out"));
            } else {
                columns.push(learnt);
            }
        }
        if columns.is_empty() {
            return Err(format_error(&self.path, "no column is left to predict from"));
        }
        let exposures = match (&reading.exposure, uses.exposure) {
            (Some(exposure), Some(column)) => Some(self.exposures(exposure, column, &rows)?),
            _ => None,
        };
        let mut x = match numbers {
            Some(numbers) => numbers,
            None => self.inputs(&columns, &rows, Unknown::Error)?,
        };
        impute(&mut columns, &mut x, weights.as_deref())?;
        Ok(Dataset {
            features: columns.iter().flat_map(Column::inputs).collect(),
            x,
            target: match task {
                Task::Regression => Target::Numbers(match target {
                    Some(numbers) => numbers,
                    None => self.number_columns(&uses.targets, &rows)?,
                }),
                Task::Classification => self.classes(uses.targets[0], &rows)?,
            },
            columns,
            targets: reading.targets.clone(),
            exposure: reading.exposure.clone(),
            exposures,
            groups: uses.groups.map(|c| self.groups(c, &rows)),
            validation: uses.validation.map(|c| self.marked(c, &rows)).transpose()?,
            weights,
            lines: rows.iter().map(|&r| self.lines[r]).collect(),
            dropped: counted.dropped + dropped,
            weightless: counted.weightless,
            guess,
            notes: uses.notes,
        })
    }

    /// Numbers, rows × columns.
    ///
    /// # Errors
    /// As [`numbers`](Self::numbers).
    pub fn number_columns(&self, columns: &[usize], rows: &[usize]) -> Result<Array2<f64>> {
        let mut out = Array2::zeros((rows.len(), columns.len()));
        for (mut place, &column) in out.columns_mut().into_iter().zip(columns) {
            place.assign(&ndarray::Array1::from(self.numbers(column, rows)?));
        }
        Ok(out)
    }

    /// Whether a column tells by its name what rows belong to, and does so for several rows at once.
    fn repeats(&self, column: usize, rows: &[usize]) -> bool {
        if !is_identifier(&self.names[column]) {
            return false;
        }
        let known = rows.iter().filter(|row| !self.has_gap(**row, column));
        let ids: Vec<&str> = known.map(|&row| self.text_at(row, column)).collect();
        let distinct = ids.iter().collect::<HashSet<_>>().len();
        (2..ids.len()).contains(&distinct)
    }

    /// The group of each row: that of the rows with the same text.
    fn groups(&self, column: usize, rows: &[usize]) -> Vec<usize> {
        let mut seen = HashMap::new();
        let group = |&row: &usize| {
            let next = seen.len();
            *seen.entry(self.text_at(row, column)).or_insert(next)
        };
        rows.iter().map(group).collect()
    }

    /// Whether a column marks each row.
    fn marked(&self, column: usize, rows: &[usize]) -> Result<Vec<bool>> {
        let mark = |&row: &usize| {
            let cell = self.text_at(row, column);
            match cell.to_lowercase().as_str() {
                "1" | "true" | "yes" | "validation" => Ok(true),
                "0" | "false" | "no" | "train" | "training" => Ok(false),
                _ => Err(self.wrong(
                    row,
                    column,
                    format!(
                        "'{}' does not say whether the row is for validation: write 1, true, yes or validation, and for other rows \
                         0, false, no or train",
                        short(cell)
                    ),
                )),
            }
        };
        rows.iter().map(mark).collect()
    }

    /// The columns by their use.
    fn uses(&self, reading: &Reading) -> Result<Uses> {
        let column = |name: &String| self.column(name);
        let targets: Vec<usize> = reading.targets.iter().map(column).collect::<Result<_>>()?;
        let refused = |column: usize, why: &str| Err(Error::invalid(&self.names[column], why));
        let ignored = self.select(&reading.ignore)?;
        if targets.is_empty() {
            return Err(Error::invalid("targets", "there is none"));
        }
        if let Some(&target) = targets.iter().find(|c| ignored.contains(c)) {
            return refused(target, "the column is the target and cannot be ignored");
        }
        if targets.len() > 1 && reading.task == Some(Task::Classification) {
            return refused(targets[1], "a classification has one target, not several");
        }
        let of = |name: &Option<String>| name.as_ref().map(column).transpose();
        let exposure = reading.exposure.as_ref().map(|e| self.column(&e.column)).transpose()?;
        let mut uses = Uses {
            features: Vec::new(),
            weights: of(&reading.weights)?,
            exposure,
            groups: of(&reading.groups)?,
            validation: of(&reading.validation)?,
            targets,
            notes: Vec::new(),
        };
        let mut taken: HashMap<usize, &str> = HashMap::new();
        let single = [
            (uses.weights, "weights"),
            (uses.exposure, "exposure"),
            (uses.groups, "groups"),
            (uses.validation, "validation"),
        ];
        let targets = uses.targets.iter().map(|&c| (Some(c), "target"));
        let ignored_too = ignored.iter().map(|&c| (Some(c), "ignored"));
        for (at, role) in ignored_too.chain(targets).chain(single) {
            let Some(at) = at else { continue };
            if let Some(before) = taken.insert(at, role) {
                return refused(at, &format!("the column cannot be both {before} and {role}"));
            }
        }
        for (name, _) in &reading.encode {
            self.column(name)?;
        }
        let free = |c: &usize| !taken.contains_key(c);
        if reading.features.is_empty() {
            uses.features = (0..self.names.len()).filter(free).collect();
            self.leave_labels(&mut uses);
        } else {
            uses.features = self.select(&reading.features)?;
            if let Some(&column) = uses.features.iter().find(|c| !free(c)) {
                return refused(column, "the column cannot be a feature and something else");
            }
        }
        if uses.features.is_empty() {
            return Err(format_error(&self.path, "no column is left to predict from"));
        }
        Ok(uses)
    }

    /// Takes the labels of the rows from features that were not named.
    fn leave_labels(&self, uses: &mut Uses) {
        let Some(labels) = self.labels else { return };
        let Some(at) = uses.features.iter().position(|c| labels.column == *c) else { return };
        // A column that has a name may be what is meant, if it is the only one.
        let only = uses.features.len() == 1 && labels.why.is_some();
        let named = !self.names[labels.column].is_empty();
        if !(only && named) {
            uses.features.remove(at);
            uses.notes.extend(self.labels_note());
        }
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
