//! CSV text, cut into cells.

use std::collections::HashMap;
use std::path::Path;

use super::Table;
use super::cell::{plural, short};
use crate::error::{Error, Result};
use crate::io::files;
use crate::memory::{bytes_of, require_memory};

impl Table {
    /// The table in the file at `path`, its fields separated by `delimiter`.
    ///
    /// # Errors
    /// A file that cannot be read, is not UTF-8 text, has no header or no row, an empty or repeated name, a row with
    /// another number of fields than the header, a quote that is not closed: each with its line.
    pub fn from_path(path: &Path, delimiter: u8) -> Result<Self> {
        Table::parse(&files::read_text(path)?, path, delimiter)
    }

    /// The table in `text`; `path` is for messages.
    ///
    /// # Errors
    /// As [`from_path`](Self::from_path).
    pub fn parse(text: &str, path: &Path, delimiter: u8) -> Result<Self> {
        if !delimiter.is_ascii() || matches!(delimiter, b'"' | b'\n' | b'\r' | 0) {
            return Err(Error::invalid(
                "delimiter",
                "must be one ASCII character, not a quote and not the end of a line",
            ));
        }
        let wrong = |line: u64, why: &str| Err(wrong(path, line, None, why.into()));
        if text.trim().is_empty() {
            return wrong(1, "the file is empty: no header; the first line must name the columns");
        }
        // With one kind of line end the lines can be counted.
        let normal;
        let text = if text.contains('\r') {
            normal = text.replace("\r\n", "\n").replace('\r', "\n");
            &normal
        } else {
            text
        };
        if let Some(line) = unclosed_quote(text, delimiter) {
            let why = "a quote (\") that opens on this line is never closed";
            return wrong(line, why);
        }

        Table::cut(text, path, delimiter)
    }

    /// The table in a text whose lines end with LF and whose quotes are closed.
    fn cut(text: &str, path: &Path, delimiter: u8) -> Result<Self> {
        let wrong = |line: u64, why: String| wrong(path, line, None, why);
        // Every cell has an end, every row a line, and all their text is kept.
        let count = |wanted: u8| text.bytes().filter(|&byte| byte == wanted).count();
        let rows = count(b'\n') + 1;
        let need = bytes_of(&[8, count(delimiter) + 2 * rows]).saturating_add(text.len() as u64);
        let what = format!("{}, {rows} rows,", path.display());
        require_memory(&what, need, "divide the file, or leave out columns")?;
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut record = csv::StringRecord::new();
        let mut table = Table {
            path: path.to_path_buf(),
            names: Vec::new(),
            text: String::new(),
            ends: Vec::new(),
            lines: Vec::new(),
        };
        loop {
            let more = (reader.read_record(&mut record))
                .map_err(|e| wrong(table.lines.last().copied().unwrap_or(1), e.to_string()))?;
            if !more {
                break;
            }
            let line = line_of(&record, text);
            if table.names.is_empty() {
                table.names = header(&record, line, delimiter, path)?;
                continue;
            }
            if record.len() != table.names.len() {
                let (found, expected) = (record.len(), table.names.len());
                let hint = if found == expected + 1 && record.iter().next_back() == Some("") {
                    "; the line ends with a delimiter"
                } else if found > expected && delimiter == b',' {
                    "; a decimal comma must be a point, and text with a comma needs quotes"
                } else {
                    ""
                };
                return Err(wrong(
                    line,
                    format!(
                        "found {found} {}, but the header has {expected}{hint}",
                        plural(found, "field")
                    ),
                ));
            }
            for cell in &record {
                table.text.push_str(cell.trim());
                table.ends.push(table.text.len());
            }
            table.lines.push(line);
        }
        if table.lines.is_empty() {
            return Err(wrong(1, "there are 0 rows below the header".into()));
        }
        Ok(table)
    }
}

fn wrong(path: &Path, line: u64, column: Option<String>, why: String) -> Error {
    Error::Format { path: path.to_path_buf(), line: Some(line), column, why }
}

/// The names of the columns.
fn header(
    record: &csv::StringRecord,
    line: u64,
    delimiter: u8,
    path: &Path,
) -> Result<Vec<String>> {
    let wrong = |column: Option<String>, why: String| wrong(path, line, column, why);
    let names: Vec<String> = record.iter().map(|name| name.trim().to_string()).collect();
    if let [only] = names.as_slice() {
        let other = [(b';', ";"), (b'\t', "tab"), (b',', ","), (b'|', "|")];
        if let Some((_, name)) =
            other.iter().find(|(c, _)| *c != delimiter && only.contains(char::from(*c)))
        {
            return Err(wrong(
                None,
                format!("the header is one field ('{}'); try --delimiter '{name}'", short(only)),
            ));
        }
    }
    let mut seen = HashMap::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let number = (index + 1).to_string();
        if name.is_empty() {
            let last = index + 1 == names.len();
            let hint = if last { "; remove the delimiter at the end of the lines" } else { "" };
            return Err(wrong(Some(number), format!("the column has no name{hint}")));
        }
        if let Some(first) = seen.insert(name.as_str(), index + 1) {
            return Err(wrong(
                Some(number),
                format!("the name '{name}' is already that of column {first}; names must differ"),
            ));
        }
    }
    Ok(names)
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

/// The line of a quote that opens a field and is never closed.
fn unclosed_quote(text: &str, delimiter: u8) -> Option<u64> {
    let mut line = 1;
    let mut field_start = true;
    // The line where the open quote stands.
    let mut quoted: Option<u64> = None;
    for &byte in text.as_bytes() {
        // A doubled quote closes and opens again, which comes to the same.
        match quoted {
            Some(_) if byte == b'"' => {
                quoted = None;
                field_start = true;
            }
            Some(_) => {}
            None if byte == b'"' && field_start => quoted = Some(line),
            None => field_start = byte == delimiter || byte == b'\n',
        }
        line += u64::from(byte == b'\n');
    }
    quoted
}
