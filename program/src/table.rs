//! Tables: every option that says how one is read, and its rows as a model and its loss take them.

use std::collections::HashSet;
use std::path::Path;

use clap::Args;
use ndarray::{Array2, Axis};
use secondo::io::{
    Column, Dataset, Dialect, Encode, Exposure, Missing, Model, Reading, RowNames, Table,
    TableParts, Target, Task, Unknown,
};
use secondo::{Data, Device, Error, Loss, Problem};

use crate::exit::Failure;
use crate::output::plural;

/// How tables are read: the options of every command that reads one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reading tables")]
pub struct TableOptions {
    /// The character between fields: one character, tab, or blank for any number of blanks [default: found]
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// The decimal mark: . or , [default: found]
    #[arg(long, value_name = "CHAR")]
    decimal: Option<char>,
    /// The mark between thousands: . or , or ' or a blank [default: found]
    #[arg(long, value_name = "CHAR")]
    thousands: Option<char>,
    /// Lines that begin with this character are comments [default: # above the header]
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    comment: Option<u8>,
    /// The encoding, as in utf-8, windows-1252, utf-16le, shift_jis [default: found]
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// Whether the first line names the columns, yes or no; with no they are column1, column2, … [default: yes, unless it seems wrong]
    #[arg(long, value_name = "YES|NO", value_parser = yes)]
    header: Option<bool>,
    /// The column with the labels of the rows, or none [default: the first, if it has no name, counts the rows, is an id, or has another text in each row]
    #[arg(long, value_name = "COLUMN", value_parser = row_names)]
    row_names: Option<RowNames>,
    /// A further word for a missing value; may be given several times
    #[arg(long, value_name = "WORD")]
    na: Vec<String>,
    /// Do not use these columns, as in id,name or 'x*'; may be given several times
    #[arg(long, value_name = "COLUMNS")]
    ignore: Vec<String>,
    /// The column with the weights of the rows; a row of weight 0 counts as not there
    #[arg(long, value_name = "COLUMN")]
    weights: Option<String>,
    /// Rows with a missing value (empty, NA, NaN, null, ? …) in a column that is used: error, drop them, or impute, which fills in
    /// the column's mean or most frequent level and adds an input that marks such rows [default: error]
    #[arg(long, value_name = "RULE", value_parser = missing)]
    missing: Option<Missing>,
}

/// The columns of a table that are learnt: the options of a fit, for a model knows its columns.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network and objective")]
pub struct TargetOptions {
    /// The column to predict, or several of numbers, as in a,b; needed for a table
    #[arg(long, value_name = "COLUMN[,…]")]
    target: Option<String>,
    /// regression or classification [default: guessed from the target]
    #[arg(long, value_name = "TASK", value_parser = task)]
    task: Option<Task>,
    /// The columns to predict from, as in age,work or 'x*'; may be given several times [default: all others]
    #[arg(long, value_name = "COLUMNS")]
    features: Vec<String>,
    /// How a column becomes inputs: COLUMN or COLUMN=levels for an indicator of each value but the first, COLUMN=levels:VALUE against
    /// this one, COLUMN=one-hot for all values, COLUMN=number, COLUMN=%d.%m.%Y for dates; may be given several times
    /// [default: text as levels, dates as days, numbers as numbers]
    #[arg(long, value_name = "COLUMN[=HOW]")]
    encode: Vec<String>,
    /// poisson, gamma: the column of the exposures, positive amounts such as years or areas, to which the target is proportional
    #[arg(long, value_name = "COLUMN", conflicts_with = "offset")]
    exposure: Option<String>,
    /// The same by its logarithm: a column that is added to the log of the mean
    #[arg(long, value_name = "COLUMN")]
    offset: Option<String>,
}

/// The rule of a model for a level that it does not know.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reading tables")]
pub struct UnknownOptions {
    /// Values of a column that were not there in the fit: error, or take them as missing or as the reference [default: error]
    #[arg(long, value_name = "RULE", value_parser = unknown)]
    unknown: Option<Unknown>,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text {
        "tab" | "\\t" => Ok(b'\t'),
        "blank" => Ok(b' '),
        _ => match text.as_bytes() {
            [one] if one.is_ascii() && !matches!(one, b'"' | b'\n' | b'\r' | 0) => Ok(*one),
            _ => Err("must be one ASCII character (not a quote), tab or blank".into()),
        },
    }
}

fn yes(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err("must be yes or no".into()),
    }
}

fn row_names(text: &str) -> Result<RowNames, String> {
    Ok(match text {
        "none" => RowNames::None,
        name => RowNames::Column(name.into()),
    })
}

fn missing(text: &str) -> Result<Missing, String> {
    match text {
        "error" => Ok(Missing::Error),
        "drop" => Ok(Missing::Drop),
        "impute" => Ok(Missing::Impute),
        _ => Err(format!("unknown rule '{text}'; known: error, drop, impute")),
    }
}

fn unknown(text: &str) -> Result<Unknown, String> {
    match text {
        "error" => Ok(Unknown::Error),
        "missing" => Ok(Unknown::Missing),
        "reference" => Ok(Unknown::Reference),
        _ => Err(format!("unknown rule '{text}'; known: error, missing, reference")),
    }
}

fn task(name: &str) -> Result<Task, String> {
    Task::from_name(name).map_err(|e| e.to_string())
}

impl TargetOptions {
    /// Whether the rows have exposures.
    pub fn is_exposed(&self) -> bool {
        self.exposure.is_some() || self.offset.is_some()
    }

    /// The column to predict, or a list of columns.
    ///
    /// # Errors
    /// None was named.
    pub fn target(&self) -> Result<&str, Failure> {
        (self.target.as_deref()).ok_or_else(|| {
            Failure::usage("--target COLUMN is missing: which column is to be predicted?")
        })
    }

    /// The columns to predict. The name of a column may hold a comma.
    fn targets(&self, table: &Table) -> Result<Vec<String>, Failure> {
        let text = self.target()?;
        if !text.contains(',') || table.names().iter().any(|name| name == text) {
            return Ok(vec![text.into()]);
        }
        Ok(text.split(',').map(|name| name.trim().to_string()).collect())
    }

    /// The column of the exposures.
    fn exposure(&self) -> Option<Exposure> {
        let of = |column: &String, is_log| Exposure { column: column.clone(), is_log };
        let exposure = self.exposure.as_ref().map(|column| of(column, false));
        exposure.or_else(|| self.offset.as_ref().map(|column| of(column, true)))
    }

    /// The columns and how they become inputs. The name of a column may hold the character =.
    fn encode(&self, table: &Table) -> Result<Vec<(String, Encode)>, Failure> {
        let parse = |text: &String| {
            if table.names().contains(text) {
                return Ok((text.clone(), Encode::Levels(None)));
            }
            let Some((column, how)) = text.rsplit_once('=') else {
                table.column(text)?;
                return Ok((text.clone(), Encode::Levels(None)));
            };
            let how = match how {
                "number" => Encode::Number,
                "levels" => Encode::Levels(None),
                "one-hot" => Encode::OneHot,
                _ => match how.strip_prefix("levels:") {
                    Some(reference) => Encode::Levels(Some(reference.into())),
                    None if how.starts_with('%') => Encode::Time(how.into()),
                    None => {
                        return Err(Failure::usage(format!(
                            "--encode {text}: '{how}' is unknown; known: levels, levels:VALUE, one-hot, number, and forms of \
                             dates such as %d.%m.%Y"
                        )));
                    }
                },
            };
            Ok((column.to_string(), how))
        };
        self.encode.iter().map(parse).collect()
    }
}

impl UnknownOptions {
    /// The rule that was chosen.
    pub fn rule(&self) -> Unknown {
        self.unknown.unwrap_or_default()
    }
}

/// The columns of a table that a model takes.
struct Columns {
    features: Vec<Column>,
    weights: Option<usize>,
    exposure: Option<usize>,
    /// All of the model's, or none.
    targets: Vec<usize>,
    labels: Option<usize>,
}

/// Rows whose targets are to be predicted.
pub struct ToPredict {
    pub rows: Rows,
    /// Notes on how the table was read, and on columns that the model does not use.
    pub notes: Vec<String>,
    /// Rows that were left out because a value is missing.
    pub dropped: usize,
    /// Where the rows are in the table.
    indices: Vec<usize>,
    /// The columns of the targets, none where the table has not all of them.
    targets: Vec<usize>,
}

impl ToPredict {
    /// Whether the table has the targets.
    pub fn can_compare(&self) -> bool {
        !self.targets.is_empty()
    }

    /// The rows that have the targets, with these.
    ///
    /// # Errors
    /// A target that the model cannot predict.
    pub fn compared(&self, model: &Model, table: &Table) -> Result<Rows, Error> {
        let whole = table.complete_rows(&self.indices, &self.targets);
        let target = known(model, table, &self.targets, &whole)?;
        let has_target = |i: &usize| whole.binary_search(&self.indices[*i]).is_ok();
        let places: Vec<usize> = (0..self.indices.len()).filter(has_target).collect();
        Ok(Rows { target: Some(target), ..self.rows.of(&places) })
    }
}

impl TableOptions {
    /// The treatment of missing values.
    pub fn missing(&self) -> Missing {
        self.missing.unwrap_or_default()
    }

    /// The character between fields of tables that are written.
    pub fn delimiter(&self) -> u8 {
        self.delimiter.unwrap_or(b',')
    }

    /// The column of the weights, where there is one.
    pub fn weights(&self) -> Option<&str> {
        self.weights.as_deref()
    }

    /// The table in the file at `path`.
    pub fn open(&self, path: &Path) -> Result<Table, Error> {
        Table::from_path(path, &self.dialect())
    }

    /// The table in the file at `path`, some rows at a time.
    pub fn parts(&self, path: &Path) -> Result<TableParts, Error> {
        TableParts::open(path, &self.dialect())
    }

    /// A small table with the values of the one at `path`, whose rows are read as they are needed.
    pub fn outline(&self, path: &Path) -> Result<Table, Error> {
        Table::outline(path, &self.dialect(), self.weights(), self.missing())
    }

    /// How a text is written, as far as it is said, and its column of labels.
    pub fn dialect(&self) -> Dialect {
        Dialect {
            delimiter: self.delimiter,
            decimal: self.decimal,
            thousands: self.thousands,
            comment: self.comment,
            header: self.header,
            row_names: self.row_names.clone().unwrap_or_default(),
            missing: self.na.clone(),
            encoding: self.encoding.clone(),
        }
    }

    /// The rows of `table` with the target that is to be learnt, for `task` where no option says another; `groups` and `validation` are
    /// the columns by which they are divided.
    pub fn dataset(
        &self,
        table: &Table,
        target: &TargetOptions,
        task: Option<Task>,
        [groups, validation]: [Option<&str>; 2],
    ) -> Result<Dataset, Failure> {
        let mut reading = Reading::new("");
        reading.targets = target.targets(table)?;
        reading.exposure = target.exposure();
        reading.groups = groups.map(String::from);
        reading.validation = validation.map(String::from);
        reading.task = target.task.or(task);
        reading.features = target.features.clone();
        reading.ignore = self.ignore.clone();
        reading.encode = target.encode(table)?;
        reading.weights = self.weights.clone();
        reading.missing = self.missing();
        Ok(table.dataset(&reading)?)
    }

    /// The rows of `table` with features and target of `model`, found by name, and notes on what was left out.
    ///
    /// # Errors
    /// A column that is missing, ignored though needed, or holds what it must not.
    pub fn rows(
        &self,
        model: &Model,
        table: &Table,
        unknown: Unknown,
    ) -> Result<(Rows, Vec<String>), Failure> {
        let (columns, mut notes) = self.columns(model, table, true)?;
        let (rows, dropped) = self.usable(table, &columns, true, unknown)?;
        notes.extend(left_out(dropped));
        let mut out = self.with_features(model, table, &columns, &rows, unknown)?;
        out.target = Some(known(model, table, &columns.targets, &rows)?);
        Ok((out, notes))
    }

    /// The rows of `table` with the features of `model`; whether there is a target does not matter.
    ///
    /// # Errors
    /// As [`rows`](Self::rows), but for the target.
    pub fn rows_to_predict(
        &self,
        model: &Model,
        table: &Table,
        unknown: Unknown,
    ) -> Result<ToPredict, Failure> {
        let (columns, notes) = self.columns(model, table, false)?;
        let (indices, dropped) = self.usable(table, &columns, false, unknown)?;
        let rows = self.with_features(model, table, &columns, &indices, unknown)?;
        Ok(ToPredict { rows, indices, targets: columns.targets, notes, dropped })
    }

    /// The indices of the rows of `table` with a value in every column that is needed, and the number of the others.
    fn usable(
        &self,
        table: &Table,
        columns: &Columns,
        target_needed: bool,
        unknown: Unknown,
    ) -> Result<(Vec<usize>, usize), Failure> {
        let mut others: Vec<usize> = columns.weights.into_iter().chain(columns.exposure).collect();
        others.extend(columns.targets.iter().filter(|_| target_needed));
        let missing = self.missing();
        // Only what is compared is weighted: rows of weight 0 can be predicted.
        let counted = table.counted_rows(columns.weights.filter(|_| target_needed), missing)?;
        let (rows, dropped) =
            table.usable_rows(&counted.rows, &columns.features, &others, missing, unknown)?;
        Ok((rows, dropped + counted.dropped))
    }

    /// These rows without a target.
    fn with_features(
        &self,
        model: &Model,
        table: &Table,
        columns: &Columns,
        rows: &[usize],
        unknown: Unknown,
    ) -> Result<Rows, Failure> {
        let exposures = match (&model.exposure, columns.exposure) {
            (Some(exposure), Some(column)) => Some(table.exposures(exposure, column, rows)?),
            _ => None,
        };
        let lines = rows.iter().filter_map(|&r| table.lines().get(r).copied());
        let label = |c: usize| {
            let cells = rows.iter().map(|&r| table.cell(r, c).unwrap_or_default().to_string());
            (table.names()[c].clone(), cells.collect())
        };
        Ok(Rows {
            x: table.inputs(&columns.features, rows, unknown)?,
            target: None,
            weights: (columns.weights).map(|c| table.weights(c, rows)).transpose()?,
            exposures,
            lines: lines.collect(),
            labels: columns.labels.map(label),
        })
    }

    /// The columns of `table` that `model` needs, and notes on how it was read and on further columns.
    fn columns(
        &self,
        model: &Model,
        table: &Table,
        need: bool,
    ) -> Result<(Columns, Vec<String>), Failure> {
        let mut notes = Vec::new();
        if !table.found().is_empty() {
            notes.push(format!("read with {}", table.found().join(" ")));
        }
        notes.extend(table.warnings().iter().cloned());
        let ignored = table.select(&self.ignore)?;
        let features = model.table_columns();
        let places = table.places(&features)?;
        let needed: HashSet<usize> = places.iter().copied().collect();
        if let Some(c) = ignored.iter().find(|c| needed.contains(c)) {
            let name = &table.names()[*c];
            return Err(Failure::usage(format!("--ignore {name}: the model needs this column")));
        }
        let weights = self.weights().map(|name| table.column(name)).transpose()?;
        let exposure = (model.exposure.as_ref()).map(|e| table.column(&e.column)).transpose()?;
        if let Some(c) = exposure.filter(|c| ignored.contains(c)) {
            let name = &table.names()[c];
            return Err(Failure::usage(format!("--ignore {name}: the model needs this column")));
        }
        let targets = model.targets.iter().map(|name| table.column(name));
        let mut targets: Vec<usize> = if need {
            targets.collect::<Result<_, _>>()?
        } else {
            targets.flatten().filter(|c| !ignored.contains(c)).collect()
        };
        // Of several all are compared, or none.
        if targets.len() < model.targets.len() {
            targets.clear();
        }
        let mut used = vec![false; table.names().len()];
        let all = places.iter().chain(&ignored).chain(&weights).chain(&exposure).chain(&targets);
        all.for_each(|&c| used[c] = true);
        let labels = table.row_labels().map(|(column, _)| column).filter(|&c| !used[c]);
        let extra: Vec<String> = (table.names().iter().enumerate())
            .filter(|(c, _)| !used[*c] && labels != Some(*c))
            .map(|(_, name)| name.clone())
            .take(20)
            .collect();
        if !extra.is_empty() {
            notes.push(format!("columns that the model does not use: {}", extra.join(", ")));
        }
        Ok((Columns { features, weights, exposure, targets, labels }, notes))
    }
}

/// The note on rows that were left out.
pub fn left_out(rows: usize) -> Option<String> {
    (rows > 0).then(|| format!("{} with missing values left out", plural(rows, "row")))
}

/// The targets in their columns.
fn known(model: &Model, table: &Table, columns: &[usize], rows: &[usize]) -> Result<Known, Error> {
    Ok(match (model.classes.as_slice(), columns) {
        ([], columns) => Known::Numbers(table.number_columns(columns, rows)?),
        (classes, columns) => Known::Classes(table.class_index(columns[0], rows, classes)?),
    })
}

/// Targets, row by row.
#[derive(Debug, Clone)]
pub enum Known {
    /// Rows × targets.
    Numbers(Array2<f64>),
    Classes(Vec<usize>),
}

/// Rows of a table as a model takes them.
#[derive(Debug, Clone)]
pub struct Rows {
    pub x: Array2<f64>,
    pub target: Option<Known>,
    pub weights: Option<Vec<f64>>,
    pub exposures: Option<Vec<f64>>,
    /// The line of each in the file.
    pub lines: Vec<u64>,
    /// The labels of the rows, with the name of their column.
    pub labels: Option<(String, Vec<String>)>,
}

impl Known {
    /// Those of some rows.
    fn of(&self, rows: &[usize]) -> Self {
        match self {
            Known::Numbers(y) => Known::Numbers(y.select(Axis(0), rows)),
            Known::Classes(index) => Known::Classes(rows.iter().map(|&i| index[i]).collect()),
        }
    }
}

impl Rows {
    /// All rows of a data set, whose features are taken.
    pub fn take(data: &mut Dataset) -> Self {
        Rows {
            x: std::mem::take(&mut data.x),
            target: Some(match &data.target {
                Target::Numbers(y) => Known::Numbers(y.clone()),
                Target::Classes { index, .. } => Known::Classes(index.clone()),
            }),
            weights: data.weights.clone(),
            exposures: data.exposures.clone(),
            lines: data.lines.clone(),
            labels: None,
        }
    }

    /// Some of the rows.
    pub fn of(&self, rows: &[usize]) -> Self {
        let numbers = |values: &Vec<f64>| rows.iter().map(|&i| values[i]).collect();
        Rows {
            x: self.x.select(Axis(0), rows),
            target: self.target.as_ref().map(|target| target.of(rows)),
            weights: self.weights.as_ref().map(numbers),
            exposures: self.exposures.as_ref().map(numbers),
            lines: rows.iter().map(|&i| self.lines[i]).collect(),
            labels: (self.labels.as_ref()).map(|(name, labels)| {
                (name.clone(), rows.iter().map(|&i| labels[i].clone()).collect())
            }),
        }
    }

    /// Those of the rows whose line is none of these.
    pub fn without(&self, lines: &[u64]) -> Self {
        let out: HashSet<&u64> = lines.iter().collect();
        let kept: Vec<usize> =
            (0..self.lines.len()).filter(|&i| !out.contains(&self.lines[i])).collect();
        self.of(&kept)
    }

    /// The predictions of `model`: with exposures the means for them.
    pub fn predicted(&self, model: &Model) -> Result<Array2<f64>, Error> {
        let mut predicted = model.predict(&self.x)?;
        if let Some(exposures) = &self.exposures {
            for (mut row, exposure) in predicted.rows_mut().into_iter().zip(exposures) {
                row.mapv_inplace(|rate| rate * exposure);
            }
        }
        Ok(predicted)
    }

    /// The targets as the loss of `model` takes them: standardised numbers, for each unit of exposure where there is one, 0 or 1, or one
    /// indicator for each class.
    ///
    /// # Errors
    /// There are none, or more than the model has.
    pub fn encoded(&self, model: &Model) -> Result<Array2<f64>, Failure> {
        let target =
            (self.target.as_ref()).ok_or_else(|| Failure::usage("the table has no target"))?;
        Ok(match target {
            Known::Numbers(y) => model.standardization.targets(&self.rates(y))?,
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

    /// Targets divided by the exposures.
    pub fn rates(&self, y: &Array2<f64>) -> Array2<f64> {
        let mut y = y.clone();
        if let Some(exposures) = &self.exposures {
            for (mut row, exposure) in y.rows_mut().into_iter().zip(exposures) {
                row.mapv_inplace(|y| y / exposure);
            }
        }
        y
    }

    /// The weights in the objective of `model`: those of the rows, of their classes, and, for counts, the exposures; see
    /// [`Exposure::check`].
    pub fn in_objective(&self, model: &Model) -> Option<Vec<f64>> {
        let classes = match &self.target {
            Some(Known::Classes(index)) if !model.class_weights.is_empty() => {
                Some(index.iter().map(|&class| model.class_weights[class]).collect())
            }
            _ => None,
        };
        let exposures = (self.exposures.as_ref()).filter(|_| matches!(model.loss, Loss::Poisson));
        let all = [self.weights.clone(), classes, exposures.cloned()];
        all.into_iter().flatten().reduce(|mut product: Vec<f64>, factors| {
            product.iter_mut().zip(factors).for_each(|(w, factor)| *w *= factor);
            product
        })
    }

    /// The objective that the model was or will be fitted with, for these rows, in its free parameters.
    ///
    /// # Errors
    /// As [`encoded`](Self::encoded); numbers that the loss cannot take.
    pub fn problem(&self, model: &Model, device: Device) -> Result<Problem, Failure> {
        let x = model.standardization.inputs(&self.x)?;
        let mut data = Data::new(x, self.encoded(model)?)?;
        if let Some(weights) = self.in_objective(model) {
            data = data.weighted(weights)?;
        }
        let mut problem = Problem::new(model.network.clone(), data, model.loss.clone())?
            .penalty(model.penalty.clone())?
            .reduction(model.reduction)
            .on(device);
        if let Some(ties) = model.ties()? {
            problem = problem.constraint(ties)?;
        }
        Ok(problem)
    }
}
