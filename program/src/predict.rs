//! `secondo predict`.

use std::path::{Path, PathBuf};

use clap::Args;
use ndarray::Array2;
use secondo::io::{Dialect, Model, RowNames, Table};

use crate::computing::start_threads;
use crate::exit::{Exit, Failure};
use crate::files::{self, Kind, PARQUET_PREDICTIONS};
use crate::inference::{Intervals, level};
use crate::metrics::{Metrics, most_probable};
use crate::output::{emit, has_extension, plural, say, say_note};
use crate::table::{Rows, TableOptions, ToPredict, UnknownOptions};

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
      leaves out rows with gaps; a column 'line' says which rows are left")]
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
    let table = options.table.open(&options.data)?;
    let mut found = options.table.rows_to_predict(&model, &table, options.unknown.rule())?;
    let metrics = match found.compared(&model, &table) {
        Some(rows) => Metrics::of(&model, &rows)?,
        None => None,
    };
    let ToPredict { rows, notes, .. } = found;
    let predicted = rows.predicted(&model)?;
    if let Some(((row, _), _)) = predicted.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Failure {
            exit: Exit::Numerical,
            message: format!(
                "{}, line {}: the prediction is not a finite number",
                options.data.display(),
                rows.lines.get(row).copied().unwrap_or_default()
            ),
        });
    }
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
    let mut bytes = csv_bytes(delimiter, &model, &rows, &predicted, &intervals, with_lines)
        .map_err(|e| Failure::usage(format!("cannot write the predictions: {e}")))?;
    if let Some(path) = parquet {
        bytes = as_parquet(bytes, path)?;
    }
    let written = emit(Kind::Predictions, options.output.as_deref(), &|out| out.write_all(&bytes));
    if options.quiet {
        return written;
    }
    for note in &notes {
        say_note(note);
    }
    let mut text = String::new();
    for (name, value) in metrics.iter().flat_map(Metrics::lines) {
        text.push_str(&format!("{name:<11} {value}\n"));
    }
    text.push_str(&metrics.as_ref().map(Metrics::details).unwrap_or_default());
    match &options.output {
        Some(path) => {
            if written.is_ok() {
                text.push_str(&format!(
                    "written     {} ({})\n",
                    path.display(),
                    plural(predicted.nrows(), "prediction")
                ));
            }
            say(&text)?;
        }
        // stdout holds the predictions.
        None => text.lines().for_each(say_note),
    }
    written
}

/// A table of predictions as Parquet.
fn as_parquet(bytes: Vec<u8>, path: &Path) -> Result<Vec<u8>, Failure> {
    let dialect = Dialect {
        delimiter: Some(b','),
        decimal: Some('.'),
        header: Some(true),
        row_names: RowNames::None,
        ..Dialect::default()
    };
    Ok(Table::parse(&String::from_utf8_lossy(&bytes), path, &dialect)?
        .to_parquet(PARQUET_PREDICTIONS)?)
}

/// The predictions as a table. In memory first: the CSV writer's errors would hide that a reader of stdout has left.
fn csv_bytes(
    delimiter: u8,
    model: &Model,
    rows: &Rows,
    predicted: &Array2<f64>,
    intervals: &Intervals,
    with_lines: bool,
) -> Result<Vec<u8>, csv::Error> {
    let mut header: Vec<String> = rows.labels.iter().map(|(name, _)| name.clone()).collect();
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
    let mut bytes = Vec::new();
    let mut csv = csv::WriterBuilder::new().delimiter(delimiter).from_writer(&mut bytes);
    csv.write_record(&header)?;
    for (index, (row, line)) in predicted.rows().into_iter().zip(&rows.lines).enumerate() {
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
        csv.write_record(&fields)?;
    }
    csv.flush()?;
    drop(csv);
    Ok(bytes)
}
