//! Text, cut into cells.

use std::collections::HashMap;
use std::path::Path;

use super::Dialect;
use super::cell::{plural, short};
use super::dialect::Prepared;
use crate::error::{Error, Result};
use crate::memory::{bytes_of, require_memory};

/// The cells of a table, before it is known what its first line and its first column are.
pub(super) struct Cut {
    pub names: Vec<String>,
    pub text: String,
    pub ends: Vec<usize>,
    pub lines: Vec<u64>,
    /// Whether each row has one field more than the header, so that the first has no name.
    pub labelled: bool,
    /// The line of the names.
    pub header: u64,
    pub comments: usize,
}

impl Cut {
    /// The cells of a text whose lines end with LF and whose quotes are closed.
    pub fn of(prepared: &Prepared, path: &Path, dialect: &Dialect) -> Result<Self> {
        let (text, delimiter) = (prepared.text.as_ref(), prepared.delimiter);
        // Every cell has an end, every row a line, and all their text is kept.
        let fields = if delimiter == b' ' { b'\t' } else { delimiter };
        let count = |wanted: u8| text.bytes().filter(|&byte| byte == wanted).count();
        let rows = count(b'\n') + 1;
        let need = bytes_of(&[8, count(fields) + 2 * rows]).saturating_add(text.len() as u64);
        let what = format!("{}, {rows} rows,", path.display());
        require_memory(&what, need, "divide the file, or leave out columns")?;
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(if delimiter == b' ' { b'\t' } else { delimiter })
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut record = csv::StringRecord::new();
        let mut cut = Cut {
            names: Vec::new(),
            text: String::with_capacity(text.len()),
            ends: Vec::new(),
            lines: Vec::new(),
            labelled: false,
            header: 1,
            comments: 0,
        };
        loop {
            let more = reader.read_record(&mut record).map_err(|e| {
                wrong(path, cut.lines.last().copied().unwrap_or(1), None, e.to_string())
            })?;
            if !more {
                break;
            }
            // Spreadsheets write rows without a value as delimiters alone.
            if record.len() > 1 && record.iter().all(|field| field.trim().is_empty()) {
                continue;
            }
            let line = line_of(&record, text);
            if cut.names.is_empty() {
                cut.header = line;
                cut.names = match dialect.header {
                    Some(false) => (1..=record.len()).map(|i| format!("column{i}")).collect(),
                    _ => names(&record, line, delimiter, path)?,
                };
                if dialect.header != Some(false) {
                    continue;
                }
            }
            cut.push(&record, line, delimiter, path)?;
        }
        if cut.lines.is_empty() {
            return Err(wrong(path, 1, None, "there are 0 rows below the header".into()));
        }
        Ok(cut)
    }

    fn push(
        &mut self,
        record: &csv::StringRecord,
        line: u64,
        delimiter: u8,
        path: &Path,
    ) -> Result<()> {
        let (found, expected) = (record.len(), self.names.len());
        let ends_empty = record.iter().next_back() == Some("");
        if self.lines.is_empty() && found == expected + 1 && !ends_empty {
            self.labelled = true;
            self.names.insert(0, String::new());
        }
        let expected = self.names.len();
        if found != expected {
            if record.get(0).is_some_and(|first| first.starts_with('#')) {
                self.comments += 1;
                return Ok(());
            }
            let hint = if found == expected + 1 && ends_empty {
                "; the line ends with a delimiter"
            } else if found > expected && delimiter == b',' {
                "; a decimal comma must be a point, and text with a comma needs quotes"
            } else {
                ""
            };
            return Err(self.width(found, line, hint, path));
        }
        for cell in record {
            self.text.push_str(cell.trim());
            self.ends.push(self.text.len());
        }
        self.lines.push(line);
        Ok(())
    }

    /// The error of a row with another number of fields than the header.
    pub fn width(&self, found: usize, line: u64, hint: &str, path: &Path) -> Error {
        let expected = self.names.len() - usize::from(self.labelled);
        let fields = plural(found, "field");
        let why = format!("found {found} {fields}, but the header has {expected}{hint}");
        wrong(path, line, None, why)
    }

    /// The cell in `row` and `column`.
    pub fn cell(&self, row: usize, column: usize) -> &str {
        let index = row * self.names.len() + column;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }

    /// Leaves out the columns of which `keep` is false.
    pub fn retain(&mut self, keep: &[bool]) {
        let (mut text, mut ends) = (String::with_capacity(self.text.len()), Vec::new());
        for row in 0..self.lines.len() {
            for column in (0..keep.len()).filter(|&c| keep[c]) {
                text.push_str(self.cell(row, column));
                ends.push(text.len());
            }
        }
        (self.text, self.ends) = (text, ends);
        let mut kept = keep.iter();
        self.names.retain(|_| kept.next().copied().unwrap_or(true));
    }
}

pub(super) fn wrong(path: &Path, line: u64, column: Option<String>, why: String) -> Error {
    Error::Format { path: path.to_path_buf(), line: Some(line), column, why }
}

/// The line on which a record begins. The reader's position stands before the blank lines that it skips.
fn line_of(record: &csv::StringRecord, text: &str) -> u64 {
    let Some(position) = record.position() else {
        return 1;
    };
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let rest = text.as_bytes().get(start..).unwrap_or_default();
    position.line() + rest.iter().take_while(|&&b| b == b'\n').count() as u64
}

/// The names of the columns.
fn names(record: &csv::StringRecord, line: u64, delimiter: u8, path: &Path) -> Result<Vec<String>> {
    let names: Vec<String> = record.iter().map(|name| name.trim().to_string()).collect();
    if let [only] = names.as_slice() {
        let other = [(b';', ";"), (b'\t', "tab"), (b',', ","), (b'|', "|")];
        if let Some((_, name)) =
            other.iter().find(|(c, _)| *c != delimiter && only.contains(char::from(*c)))
        {
            let only = short(only);
            let why = format!("the header is one field ('{only}'); try --delimiter '{name}'");
            return Err(wrong(path, line, None, why));
        }
    }
    distinct(&names, line, path)?;
    Ok(names)
}

/// That no name stands twice.
///
/// # Errors
/// The second place of a name.
fn distinct(names: &[String], line: u64, path: &Path) -> Result<()> {
    let mut seen = HashMap::new();
    for (index, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        if let Some(first) = seen.insert(name.as_str(), index + 1) {
            let name = short(name);
            let why =
                format!("the name '{name}' is already that of column {first}; names must differ");
            return Err(wrong(path, line, Some((index + 1).to_string()), why));
        }
    }
    Ok(())
}
