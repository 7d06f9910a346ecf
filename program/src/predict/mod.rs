//! `secondo predict`.

mod stream;

use std::path::{Path, PathBuf};

use clap::Args;
use ndarray::Array2;
use secondo::Error;
use secondo::io::{Dialect, Model, RowNames, Table};

use crate::computing::start_threads;
use crate::exit::{Exit, Failure};
use crate::files::{self, Kind, PARQUET_PREDICTIONS};
use crate::inference::{Intervals, level};
use crate::metrics::{Metrics, most_probable};
use crate::output::{emit, has_extension, plural, say, say_note};
use crate::table::{Rows, TableOptions, ToPredict, UnknownOptions, left_out};

/// Predicts with a fitted model for the rows of a table
///
/// The columns are found by their names, and become inputs as in the fit; further columns do not matter. The predictions are a
/// CSV table, with the labels of the rows where there are any: for a regression the column 'prediction' in the units of the target, for a classification the most probable class and the
/// probability of each class. If the table has the target, how good the predictions are is printed, too.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  secondo predict diabetes.safetensors new.csv
      predictions on stdout
  secondo predict diabetes.safetensors new.csv --output out.csv
      predictions in a file; RMSE and R² on stdout, if the table has the target
  secondo predict diabetes.safetensors new.csv --interval 0.95 --trained-on diabetes.csv
      with standard errors and intervals, from the Hessian on the rows that trained the model
  secondo predict iris.safetensors gaps.csv --missing drop
      leaves out rows with gaps; a column 'line' says which rows are left
  secondo predict big.safetensors big.parquet --stream --output out.parquet
      rows need not fit in memory")]
pub struct Options {
    /// The model, as 'secondo fit' wrote it (.safetensors)
    model: PathBuf,
    /// The table: a text file with a header, also packed as .gz or .zst, .parquet, .npy, .npz, or a folder of .parquet and .npy; - is standard input
    data: PathBuf,
    /// Write the predictions to this file instead of stdout: CSV, or .parquet
    #[arg(long, help_heading = "Output", short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Add standard errors and intervals of this level, as in 0.95, for the mean and for a new observation; of classes probabilities
    /// that take the uncertainty of the fit in (moderated)
    #[arg(long, help_heading = "Intervals", value_name = "LEVEL", value_parser = level, requires = "trained_on", allow_negative_numbers = true)]
    interval: Option<f64>,
    /// The table that trained the model, with the target
    #[arg(long, help_heading = "Intervals", value_name = "DATA", requires = "interval")]
    trained_on: Option<PathBuf>,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    unknown: UnknownOptions,
    /// Read the table and write the predictions some rows at a time, so that they need not fit in memory: a text in UTF-8, a .parquet or .npy
    /// file, or a folder of the latter two; without --interval, and without figures that need all rows at once
    #[arg(long, help_heading = "Reading tables", conflicts_with = "interval")]
    stream: bool,
    /// Print the predictions only, without notes and without figures on them
    #[arg(long, help_heading = "Output", short)]
    quiet: bool,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    if let Some(output) = &options.output {
        let inputs = [Some(&options.model), Some(&options.data), options.trained_on.as_ref()];
        let inputs: Vec<&Path> = inputs.into_iter().flatten().map(PathBuf::as_path).collect();
        files::check(&inputs, None, &[(Kind::Predictions, output)])?;
        if has_extension(output, "npy") || has_extension(output, "npz") {
            let why = "predictions are written as CSV or, by the extension, as .parquet";
            return Err(Failure::usage(format!("{}: {why}", output.display())));
        }
    }
    start_threads(None)?;
    let model = Model::load(&options.model)?;
    if options.stream {
        return stream::predict(options, &model);
    }
    let table = options.table.open(&options.data)?;
    let found = options.table.rows_to_predict(&model, &table, options.unknown.rule())?;
    let (metrics, note) = compared(&found, &model, &table)?;
    let ToPredict { rows, mut notes, dropped, .. } = found;
    notes.extend(left_out(dropped));
    notes.extend(note);
    let predicted = predicted(options, &model, &rows)?;
    // With rows left out, the line says which row a prediction belongs to.
    let with_lines = rows.lines.len() < table.rows();
    let intervals = match (options.interval, &options.trained_on) {
        (Some(level), Some(trained_on)) => {
            Intervals::new(&model, &options.table, trained_on, &rows.x, level, !options.quiet)?
        }
        _ => Intervals::default(),
    };
    let parquet = options.output.as_deref().filter(|path| has_extension(path, "parquet"));
    let delimiter = if parquet.is_some() { b',' } else { options.table.delimiter() };
    let label = rows.labels.as_ref().map(|(name, _)| name.as_str());
    let lines = [header(&model, label, &intervals, with_lines)];
    let lines = lines.into_iter().chain(records(&model, &rows, &predicted, &intervals, with_lines));
    let mut bytes = csv_bytes(delimiter, lines)?;
    if let Some(path) = parquet {
        bytes = as_parquet(bytes, path)?;
    }
    let written = emit(Kind::Predictions, options.output.as_deref(), &|out| out.write_all(&bytes));
    tell(options, &notes, metrics.as_ref(), predicted.nrows(), written)
}

/// Says what there is to say, and ends as writing did.
fn tell(
    options: &Options,
    notes: &[String],
    metrics: Option<&Metrics>,
    rows: usize,
    written: Result<(), Failure>,
) -> Result<(), Failure> {
    if options.quiet {
        return written;
    }
    for note in notes {
        say_note(note);
    }
    let mut text = String::new();
    for (name, value) in metrics.iter().flat_map(|metrics| metrics.lines()) {
        text.push_str(&format!("{name:<11} {value}\n"));
    }
    text.push_str(&metrics.map(Metrics::details).unwrap_or_default());
    match &options.output {
        Some(path) => {
            if written.is_ok() {
                let predictions = plural(rows, "prediction");
                text.push_str(&format!("written     {} ({predictions})\n", path.display()));
            }
            say(&text)?;
        }
        // stdout holds the predictions.
        None => text.lines().for_each(say_note),
    }
    written
}

/// How good the predictions are where the table has the targets, and a note on what could not be compared.
fn compared(
    found: &ToPredict,
    model: &Model,
    table: &Table,
) -> Result<(Option<Metrics>, Option<String>), Failure> {
    if !found.can_compare() {
        return Ok((None, None));
    }
    Ok(match found.compared(model, table) {
        Ok(rows) => {
            let note = Comparison { compared: rows.lines.len(), all: found.rows.lines.len() };
            (Metrics::of(model, &rows)?, note.note(model))
        }
        Err(why) => (None, Some(not_compared(model, &why))),
    })
}

/// How many rows have the targets.
struct Comparison {
    compared: usize,
    all: usize,
}

impl Comparison {
    /// The note on rows without them.
    fn note(&self, model: &Model) -> Option<String> {
        let (name, rows) = (model.targets.join(","), plural(self.all, "row"));
        match self.compared {
            compared if compared == self.all => None,
            0 => Some(format!(
                "the predictions are not compared with the column '{name}': it has no value in these rows"
            )),
            compared => Some(format!(
                "the predictions are compared with the column '{name}' in {compared} of {rows}; it has no value in the others"
            )),
        }
    }
}

/// The note on targets that the model cannot predict.
fn not_compared(model: &Model, why: &Error) -> String {
    let name = model.targets.join(",");
    format!(
        "the predictions are not compared with the column '{name}': {why}; --ignore '{name}' leaves it out"
    )
}

/// The predictions for rows.
///
/// # Errors
/// One that is not a finite number.
fn predicted(options: &Options, model: &Model, rows: &Rows) -> Result<Array2<f64>, Failure> {
    let predicted = rows.predicted(model)?;
    match predicted.indexed_iter().find(|(_, v)| !v.is_finite()) {
        None => Ok(predicted),
        Some(((row, _), _)) => Err(Failure {
            exit: Exit::Numerical,
            message: format!(
                "{}, line {}: the prediction is not a finite number",
                options.data.display(),
                rows.lines.get(row).copied().unwrap_or_default()
            ),
        }),
    }
}

/// How predictions are written that become Parquet.
fn plain() -> Dialect {
    Dialect {
        decimal: Some('.'),
        header: Some(true),
        row_names: RowNames::None,
        ..Dialect::delimited(b',')
    }
}

/// A table of predictions as Parquet.
fn as_parquet(bytes: Vec<u8>, path: &Path) -> Result<Vec<u8>, Failure> {
    let table = Table::parse(&String::from_utf8_lossy(&bytes), path, &plain())?;
    Ok(table.to_parquet(PARQUET_PREDICTIONS)?)
}

/// Lines as CSV. In memory first: the CSV writer's errors would hide that a reader of stdout has left.
fn csv_bytes(delimiter: u8, lines: impl Iterator<Item = Vec<String>>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut csv = csv::WriterBuilder::new().delimiter(delimiter).from_writer(&mut bytes);
    let write = || -> Result<(), csv::Error> {
        for line in lines {
            csv.write_record(&line)?;
        }
        Ok(csv.flush()?)
    };
    write().map_err(|e| Failure::usage(format!("cannot write the predictions: {e}")))?;
    drop(csv);
    Ok(bytes)
}

/// The names of the columns.
fn header(
    model: &Model,
    label: Option<&str>,
    intervals: &Intervals,
    with_lines: bool,
) -> Vec<String> {
    let mut header: Vec<String> = label.into_iter().map(String::from).collect();
    if with_lines {
        header.push("line".into());
    }
    match (model.classes.as_slice(), model.targets.as_slice()) {
        ([], [_]) => header.push("prediction".into()),
        ([], targets) => header.extend(targets.iter().map(|t| format!("prediction_{t}"))),
        (classes, _) => {
            header.push("prediction".into());
            header.extend(classes.iter().map(|c| format!("probability_{c}")));
        }
    }
    header.extend(intervals.header.iter().cloned());
    header
}

/// A line for each row.
fn records<'a>(
    model: &'a Model,
    rows: &'a Rows,
    predicted: &'a Array2<f64>,
    intervals: &'a Intervals,
    with_lines: bool,
) -> impl Iterator<Item = Vec<String>> + 'a {
    let lines = predicted.rows().into_iter().zip(&rows.lines).enumerate();
    lines.map(move |(index, (row, line))| {
        let label = rows.labels.as_ref().and_then(|(_, labels)| labels.get(index));
        let mut fields: Vec<String> = label.cloned().into_iter().collect();
        if with_lines {
            fields.push(line.to_string());
        }
        if !model.classes.is_empty() {
            let class = most_probable(row.iter().copied());
            fields.push(model.classes.get(class).cloned().unwrap_or_default());
        }
        fields.extend(row.iter().map(|v| format!("{v:?}")));
        let of_row = intervals.rows.get(index).into_iter().flatten();
        fields.extend(of_row.map(|v| v.map_or(String::new(), |v| format!("{v:?}"))));
        fields
    })
}
