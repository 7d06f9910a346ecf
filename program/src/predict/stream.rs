//! Predictions for a table that is read some rows at a time: memory does not depend on its rows.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use secondo::io::{Missing, Model, ParquetOfText, TableParts};
use tempfile::NamedTempFile;

use super::{
    Comparison, Options, csv_bytes, header, not_compared, plain, predicted, records, tell,
};
use crate::exit::Failure;
use crate::files::{self, Kind, PARQUET_PREDICTIONS};
use crate::inference::Intervals;
use crate::metrics::Sums;
use crate::output::{has_extension, print};
use crate::table::left_out;
use crate::training::ReadingProgress;

/// The facts on all rows.
struct Seen {
    notes: Vec<String>,
    rows: usize,
    dropped: usize,
    /// The sums over the rows that have the targets, and how many these are; none where the table has them not.
    compared: Option<(Sums, usize)>,
}

/// Why writing ended.
enum Stop {
    Write(io::Error),
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(failure: E) -> Self {
        Stop::Failed(failure.into())
    }
}

/// Predicts for the table that the options name.
///
/// # Errors
/// Those of reading and of writing; no row without a missing value.
pub fn predict(options: &Options, model: &Model) -> Result<(), Failure> {
    // A terminal on which the predictions appear would mix them with it.
    let show = !options.quiet && (options.output.is_some() || !io::stdout().is_terminal());
    let mut progress = Some(ReadingProgress::new(show, &options.data));
    let mut parts = options.table.parts(&options.data)?;
    let mut seen = Seen { notes: Vec::new(), rows: 0, dropped: 0, compared: None };
    let mut failed = None;
    let parquet = options.output.as_deref().filter(|path| has_extension(path, "parquet"));
    let delimiter = if parquet.is_some() { b',' } else { options.table.delimiter() };
    let mut fill = |out: &mut dyn Write| {
        write(options, model, (&mut parts, delimiter), out, &mut seen).map_err(|stop| match stop {
            Stop::Write(error) => error,
            Stop::Failed(failure) => {
                failed = Some(failure);
                io::Error::other("the predictions ended early")
            }
        })
    };
    let written = match (&options.output, parquet) {
        (None, _) => print(&mut fill),
        (Some(path), None) => files::write(Kind::Predictions, path, &mut fill),
        (Some(path), Some(_)) => files::write(Kind::Predictions, path, |out| {
            // What the columns hold is known when all rows are.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let text = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
            let mut lines = BufWriter::new(text.as_file());
            fill(&mut lines)?;
            lines.flush()?;
            // What is read from here on is the predictions.
            drop(progress.take());
            let text = ParquetOfText::open(text.path(), &plain()).map_err(io::Error::other)?;
            text.write(PARQUET_PREDICTIONS, out)
        }),
    };
    drop(progress);
    if let Some(failure) = failed {
        return Err(failure);
    }
    let Seen { mut notes, rows, dropped, compared } = seen;
    notes.extend(left_out(dropped));
    let metrics = compared.and_then(|(sums, compared)| {
        notes.extend(Comparison { compared, all: rows }.note(model));
        sums.end(model)
    });
    tell(options, &notes, metrics.as_ref(), rows, written)
}

/// Writes the predictions of all parts.
fn write(
    options: &Options,
    model: &Model,
    (parts, delimiter): (&mut TableParts, u8),
    out: &mut dyn Write,
    seen: &mut Seen,
) -> Result<(), Stop> {
    // Whether a row will be left out is not known before the first is written.
    let with_lines = options.table.missing() == Missing::Drop;
    let none = Intervals::default();
    let mut can_compare = true;
    for (index, table) in parts.enumerate() {
        let table = table?;
        let found = options.table.rows_to_predict(model, &table, options.unknown.rule())?;
        if index == 0 {
            let label = found.rows.labels.as_ref().map(|(name, _)| name.as_str());
            let head = [header(model, label, &none, with_lines)];
            let head = csv_bytes(delimiter, head.into_iter())?;
            out.write_all(&head).map_err(Stop::Write)?;
            seen.notes = found.notes.clone();
        }
        seen.dropped += found.dropped;
        seen.rows += found.rows.lines.len();
        if found.rows.lines.is_empty() {
            continue;
        }
        if found.can_compare() && can_compare {
            match found.compared(model, &table) {
                Ok(rows) => {
                    let (sums, compared) =
                        seen.compared.get_or_insert_with(|| (Sums::of(model), 0));
                    sums.add(model, &rows)?;
                    *compared += rows.lines.len();
                }
                Err(why) => {
                    seen.notes.push(not_compared(model, &why));
                    (seen.compared, can_compare) = (None, false);
                }
            }
        }
        let predicted = predicted(options, model, &found.rows)?;
        let lines = records(model, &found.rows, &predicted, &none, with_lines);
        out.write_all(&csv_bytes(delimiter, lines)?).map_err(Stop::Write)?;
    }
    if seen.rows == 0 {
        let why = "each row has a missing value; no row is left";
        return Err(Failure::usage(format!("{}: {why}", options.data.display())).into());
    }
    Ok(())
}
