//! Tables: every option that says how one is read, and its rows as a model and its loss take them.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use clap::Args;
use ndarray::{Array2, Axis};
use secondo::io::{Dataset, Missing, Model, Reading, Table, Target, Task};
use secondo::{Data, Device, Error, Loss, Problem};

use crate::exit::Failure;

/// How CSV files are read: the options of every command that reads one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reading CSV files")]
pub struct TableOptions {
    /// The character between fields: one character, or tab [default: ,]
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// Do not use this column; may be given several times
    #[arg(long, value_name = "COLUMN")]
    ignore: Vec<String>,
    /// The column with the weights of the rows
    #[arg(long, value_name = "COLUMN")]
    weights: Option<String>,
    /// Rows with an empty field, NA, null or ? in a column that is used: error, or drop them [default: error]
    #[arg(long, value_name = "RULE", value_parser = missing)]
    missing: Option<Missing>,
}

/// What of a table is predicted, and how many rows are held out: the options of a fit, for a model knows its target.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network and objective")]
pub struct TargetOptions {
    /// The column to predict; needed for a table
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// regression or classification [default: guessed from the target]
    #[arg(long, value_name = "TASK", value_parser = task)]
    task: Option<Task>,
    /// The part of the rows that is held out for the test, from 0 to less than 1 [default: 0.2]
    #[arg(long, value_name = "X", value_parser = fraction, allow_negative_numbers = true)]
    test_fraction: Option<f64>,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text {
        "tab" | "\\t" => Ok(b'\t'),
        _ => match text.as_bytes() {
            [one] if one.is_ascii() && !matches!(one, b'"' | b'\n' | b'\r' | 0) => Ok(*one),
            _ => Err("must be one ASCII character (not a quote), or tab".into()),
        },
    }
}

fn missing(text: &str) -> Result<Missing, String> {
    match text {
        "error" => Ok(Missing::Error),
        "drop" => Ok(Missing::Drop),
        _ => Err(format!("unknown rule '{text}'; known: error, drop")),
    }
}

fn task(name: &str) -> Result<Task, String> {
    Task::from_name(name).map_err(|e| e.to_string())
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if (0.0..1.0).contains(&v) => Ok(v),
        _ => Err("must be a number from 0 to less than 1".into()),
    }
}

impl TargetOptions {
    /// The column to predict.
    ///
    /// # Errors
    /// It was not named.
    pub fn target(&self) -> Result<&str, Failure> {
        (self.target.as_deref()).ok_or_else(|| {
            Failure::usage("--target COLUMN is missing: which column is to be predicted?")
        })
    }

    /// The part of the rows that is held out.
    pub fn test_fraction(&self) -> f64 {
        self.test_fraction.unwrap_or(0.2)
    }
}

/// The columns of a table that a model takes, by their indices.
struct Columns {
    features: Vec<usize>,
    weights: Option<usize>,
    target: Option<usize>,
    /// The names of those that are not used, the first 20.
    extra: Vec<String>,
}

impl TableOptions {
    /// The character between fields.
    pub fn delimiter(&self) -> u8 {
        self.delimiter.unwrap_or(b',')
    }

    /// The column of the weights, where there is one.
    pub fn weights(&self) -> Option<&str> {
        self.weights.as_deref()
    }

    /// The table in the file at `path`.
    pub fn open(&self, path: &Path) -> Result<Table, Error> {
        Table::from_path(path, self.delimiter())
    }

    /// The rows of `table` with the target that is to be learnt.
    pub fn dataset(&self, table: &Table, target: &TargetOptions) -> Result<Dataset, Failure> {
        Ok(table.dataset(&Reading {
            target: target.target()?.into(),
            task: target.task,
            ignore: self.ignore.clone(),
            weights: self.weights.clone(),
            missing: self.missing.unwrap_or_default(),
        })?)
    }

    /// The rows of `table` with the features of `model`, found by name, and its target, where the table has it whole; and
    /// notes on what was left out.
    ///
    /// # Errors
    /// A column that is missing, ignored though needed, or holds what it must not; without the target, if it is needed.
    pub fn rows(
        &self,
        model: &Model,
        table: &Table,
        target_needed: bool,
    ) -> Result<(Rows, Vec<String>), Failure> {
        let mut notes = Vec::new();
        let columns = self.columns(model, table, target_needed)?;
        if !columns.extra.is_empty() {
            notes
                .push(format!("columns that the model does not use: {}", columns.extra.join(", ")));
        }
        let mut needed = columns.features.clone();
        needed.extend(columns.weights);
        needed.extend(columns.target.filter(|_| target_needed));
        let (rows, dropped) = table.complete_rows(&needed, self.missing.unwrap_or_default())?;
        if dropped > 0 {
            notes.push(format!("{dropped} rows with missing values were left out"));
        }
        // A target with gaps is to be predicted, not compared with.
        let whole = |c: &usize| table.complete_rows(&[*c], Missing::Error).is_ok();
        let target = (columns.target).filter(|c| target_needed || whole(c));
        if let (Some(c), None) = (columns.target, target) {
            notes.push(format!(
                "the target '{}' has missing values, so the predictions are not compared with it",
                table.names()[c]
            ));
        }
        let target = match target {
            None => None,
            Some(c) if model.classes.is_empty() => Some(Known::Numbers(table.numbers(c, &rows)?)),
            Some(c) => Some(Known::Classes(table.class_index(c, &rows, &model.classes)?)),
        };
        let weights = (columns.weights).map(|c| table.weights(c, &rows));
        let lines = rows.iter().filter_map(|&r| table.lines().get(r).copied());
        let rows = Rows {
            x: table.matrix(&columns.features, &rows)?,
            target,
            weights: weights.transpose()?,
            lines: lines.collect(),
        };
        Ok((rows, notes))
    }

    fn columns(&self, model: &Model, table: &Table, need: bool) -> Result<Columns, Failure> {
        // Of the names that are needed: a table may have far more.
        let mut places: HashMap<&str, usize> = HashMap::new();
        let wanted: HashSet<&str> =
            model.features.iter().chain(&self.ignore).map(String::as_str).collect();
        for (c, name) in table.names().iter().enumerate() {
            if wanted.contains(name.as_str()) {
                places.insert(name, c);
            }
        }
        let indices = |names: &[String]| -> Result<Vec<usize>, Error> {
            let place = |name: &String| places.get(name.as_str()).copied();
            names.iter().map(|name| place(name).map_or_else(|| table.column(name), Ok)).collect()
        };
        let ignored = indices(&self.ignore)?;
        let features = indices(&model.features)?;
        let needed: HashSet<usize> = features.iter().copied().collect();
        if let Some(c) = ignored.iter().find(|c| needed.contains(c)) {
            let name = &table.names()[*c];
            return Err(Failure::usage(format!("--ignore {name}: the model needs this column")));
        }
        let weights = self.weights().map(|name| table.column(name)).transpose()?;
        let target = match model.targets.as_slice() {
            [name] if need => Some(table.column(name)?),
            [name] => table.column(name).ok().filter(|c| !ignored.contains(c)),
            _ => None,
        };
        let mut used = vec![false; table.names().len()];
        let all = features.iter().chain(&ignored).chain(&weights).chain(&target);
        all.for_each(|&c| used[c] = true);
        let extra = (table.names().iter().zip(used).enumerate())
            .filter(|(_, (_, used))| !used)
            .map(|(c, (name, _))| (c, name))
            .map(|(_, name)| name.clone())
            .take(20)
            .collect();
        Ok(Columns { features, weights, target, extra })
    }
}

/// Targets, row by row.
#[derive(Debug, Clone)]
pub enum Known {
    Numbers(Vec<f64>),
    Classes(Vec<usize>),
}

/// Rows of a table as a model takes them.
#[derive(Debug, Clone)]
pub struct Rows {
    pub x: Array2<f64>,
    pub target: Option<Known>,
    pub weights: Option<Vec<f64>>,
    /// The line of each in the file.
    pub lines: Vec<u64>,
}

impl Rows {
    /// Some rows of a data set.
    pub fn of(data: &Dataset, rows: &[usize]) -> Self {
        let of = |values: &Vec<f64>| rows.iter().map(|&i| values[i]).collect();
        let target = match &data.target {
            Target::Numbers(y) => Known::Numbers(of(y)),
            Target::Classes { index, .. } => {
                Known::Classes(rows.iter().map(|&i| index[i]).collect())
            }
        };
        Rows {
            x: data.x.select(Axis(0), rows),
            target: Some(target),
            weights: data.weights.as_ref().map(of),
            lines: rows.iter().map(|&i| data.lines[i]).collect(),
        }
    }

    /// The targets as the loss of `model` takes them: standardised numbers, 0 or 1, or one indicator for each class.
    ///
    /// # Errors
    /// There are none, or more than the model has.
    pub fn encoded(&self, model: &Model) -> Result<Array2<f64>, Failure> {
        let target =
            (self.target.as_ref()).ok_or_else(|| Failure::usage("the table has no target"))?;
        Ok(match target {
            Known::Numbers(y) => model.standardization.targets(&column(y))?,
            Known::Classes(index) if matches!(model.loss, Loss::BinaryCrossEntropy) => {
                Array2::from_shape_fn((index.len(), 1), |(i, _)| index[i] as f64)
            }
            Known::Classes(index) => {
                // As they are made, as data, and for the losses of a chunk.
                let (rows, classes) = (index.len(), model.classes.len());
                let need = 24_u64.saturating_mul(rows as u64).saturating_mul(classes as u64);
                let what = format!("the indicators of {classes} classes in {rows} rows");
                secondo::require_memory(&what, need, "take a target with fewer classes")?;
                Array2::from_shape_fn((index.len(), model.classes.len()), |(i, c)| {
                    f64::from(u8::from(index[i] == c))
                })
            }
        })
    }

    /// The objective that the model was or will be fitted with, for these rows.
    ///
    /// # Errors
    /// As [`encoded`](Self::encoded); numbers that the loss cannot take.
    pub fn problem(&self, model: &Model, device: Device) -> Result<Problem, Failure> {
        let x = model.standardization.inputs(&self.x)?;
        let mut data = Data::new(x, self.encoded(model)?)?;
        if let Some(weights) = &self.weights {
            data = data.weighted(weights.clone())?;
        }
        Ok(Problem::new(model.network.clone(), data, model.loss.clone())?
            .penalty(model.penalty.clone())?
            .reduction(model.reduction)
            .on(device))
    }
}

/// Numbers as a matrix of one column.
pub fn column(y: &[f64]) -> Array2<f64> {
    Array2::from_shape_fn((y.len(), 1), |(i, _)| y[i])
}
