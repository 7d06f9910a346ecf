//! Text, cut into cells.

use std::collections::HashMap;
use std::path::Path;

use rayon::prelude::*;

use super::Dialect;
use super::cell::{plural, short};
use super::dialect::Prepared;
use crate::error::{Error, Result};
use crate::memory::{bytes_of, require_memory};

/// The least bytes of a part of a text that is cut beside others.
const PART: usize = 1 << 16;

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
        let count = |wanted: u8| memchr::memchr_iter(wanted, text.as_bytes()).count();
        let (delimiters, rows) = (count(fields), count(b'\n') + 1);
        let once = bytes_of(&[8, delimiters + 2 * rows]).saturating_add(text.len() as u64);
        // Parts that were cut side by side are joined.
        let need = once.saturating_mul(if text.contains('"') { 1 } else { 2 });
        let what = format!("{}, {rows} rows,", path.display());
        require_memory(&what, need, "divide the file, or leave out columns")?;
        let mut cut = Cut {
            names: Vec::new(),
            text: String::with_capacity(text.len()),
            ends: Vec::with_capacity(delimiters + rows),
            lines: Vec::with_capacity(rows),
            labelled: false,
            header: 1,
            comments: 0,
        };
        if text.contains('"') {
            cut.quoted(text, fields, delimiter, path, dialect)?;
        } else {
            cut.plain(text, fields, delimiter, path, dialect)?;
        }
        if cut.lines.is_empty() {
            return Err(wrong(path, 1, None, "there are 0 rows below the header".into()));
        }
        Ok(cut)
    }

    /// The records of a text with quotes, one after the other.
    fn quoted(
        &mut self,
        text: &str,
        fields: u8,
        delimiter: u8,
        path: &Path,
        dialect: &Dialect,
    ) -> Result<()> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(fields)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut record = csv::StringRecord::new();
        loop {
            let more = reader.read_record(&mut record).map_err(|e| {
                wrong(path, self.lines.last().copied().unwrap_or(1), None, e.to_string())
            })?;
            if !more {
                return Ok(());
            }
            self.take(record.iter(), line_of(&record, text), delimiter, path, dialect)?;
        }
    }

    /// The records of a text without quotes, each of which is a line: header and first row, then parts of the rest side by side.
    fn plain(
        &mut self,
        text: &str,
        fields: u8,
        delimiter: u8,
        path: &Path,
        dialect: &Dialect,
    ) -> Result<()> {
        let (mut rest, mut line) = (text, 1);
        while self.lines.is_empty() && !rest.is_empty() {
            let (record, after) = rest.split_once('\n').unwrap_or((rest, ""));
            if !record.is_empty() {
                self.take(record.split(char::from(fields)), line, delimiter, path, dialect)?;
            }
            (rest, line) = (after, line + 1);
        }
        let parts = pieces(rest);
        let ends: Vec<u64> = parts
            .par_iter()
            .map(|p| memchr::memchr_iter(b'\n', p.as_bytes()).count() as u64)
            .collect();
        let begins = ends.iter().scan(line, |line, count| {
            let begin = *line;
            *line += count;
            Some(begin)
        });
        let begins: Vec<u64> = begins.collect();
        let cuts: Vec<Result<Cut>> = (parts.par_iter().zip(&begins))
            .map(|(part, &begin)| {
                let mut cut = self.beside(part.len());
                cut.take_lines(part, begin, fields, delimiter, path, dialect)?;
                Ok(cut)
            })
            .collect();
        for cut in cuts {
            let cut = cut?;
            let before = self.text.len();
            self.text.push_str(&cut.text);
            self.ends.extend(cut.ends.iter().map(|end| before + end));
            // The first stands for the row before.
            self.lines.extend(&cut.lines[1..]);
            self.comments += cut.comments;
        }
        Ok(())
    }

    /// Takes the lines of a text without quotes, of which the first has the number `line`. Rows below the header with as many fields, nearly all,
    /// are found in one pass over the bytes; what is left goes the long way.
    fn take_lines(
        &mut self,
        text: &str,
        line: u64,
        fields: u8,
        delimiter: u8,
        path: &Path,
        dialect: &Dialect,
    ) -> Result<()> {
        let bytes = text.as_bytes();
        let ends = memchr::memchr2_iter(fields, b'\n', bytes).chain([bytes.len()]);
        let (mut line, mut record, mut cell) = (line, 0, 0);
        let mut before = (self.text.len(), self.ends.len());
        for end in ends {
            self.text.push_str(trimmed(&text[cell..end]));
            self.ends.push(self.text.len());
            cell = end + 1;
            if bytes.get(end) == Some(&fields) {
                continue;
            }
            let found = self.ends.len() - before.1;
            if found == self.names.len() && self.text.len() > before.0 {
                self.lines.push(line);
            } else {
                self.text.truncate(before.0);
                self.ends.truncate(before.1);
                let all = &text[record..end];
                if !all.is_empty() {
                    self.take(all.split(char::from(fields)), line, delimiter, path, dialect)?;
                }
            }
            (line, record, before) = (line + 1, cell, (self.text.len(), self.ends.len()));
        }
        Ok(())
    }

    /// A cut of rows below those of this one, whose first line stands for these.
    fn beside(&self, size: usize) -> Cut {
        Cut {
            names: self.names.clone(),
            text: String::with_capacity(size),
            ends: Vec::new(),
            lines: vec![self.header],
            labelled: self.labelled,
            header: self.header,
            comments: 0,
        }
    }

    /// Takes a record: the header or a row.
    fn take<'a>(
        &mut self,
        record: impl Iterator<Item = &'a str> + Clone,
        line: u64,
        delimiter: u8,
        path: &Path,
        dialect: &Dialect,
    ) -> Result<()> {
        if self.names.is_empty() {
            if is_blank(record.clone()) {
                return Ok(());
            }
            self.header = line;
            self.names = match dialect.header {
                Some(false) => (1..=record.clone().count()).map(|i| format!("column{i}")).collect(),
                _ => names(record.clone(), line, delimiter, path)?,
            };
            if dialect.header != Some(false) {
                return Ok(());
            }
        }
        self.push(record, line, delimiter, path)
    }

    fn push<'a>(
        &mut self,
        record: impl Iterator<Item = &'a str> + Clone,
        line: u64,
        delimiter: u8,
        path: &Path,
    ) -> Result<()> {
        let (text, ends) = (self.text.len(), self.ends.len());
        for cell in record.clone() {
            self.text.push_str(trimmed(cell));
            self.ends.push(self.text.len());
        }
        let found = self.ends.len() - ends;
        // Spreadsheets write rows without a value as delimiters alone.
        if self.text.len() == text && found > 1 {
            self.ends.truncate(ends);
            return Ok(());
        }
        let ends_empty = || record.clone().last() == Some("");
        if self.lines.is_empty() && found == self.names.len() + 1 && !ends_empty() {
            self.labelled = true;
            self.names.insert(0, String::new());
        }
        let expected = self.names.len();
        if found != expected {
            self.text.truncate(text);
            self.ends.truncate(ends);
            if record.clone().next().is_some_and(|first| first.starts_with('#')) {
                self.comments += 1;
                return Ok(());
            }
            let hint = if found == expected + 1 && ends_empty() {
                "; the line ends with a delimiter"
            } else if found > expected && delimiter == b',' {
                "; a decimal comma must be a point, and text with a comma needs quotes"
            } else {
                ""
            };
            return Err(self.width(found, line, hint, path));
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

/// Whether a record is delimiters alone.
fn is_blank<'a>(record: impl Iterator<Item = &'a str> + Clone) -> bool {
    record.clone().nth(1).is_some() && record.clone().all(|field| field.trim().is_empty())
}

/// The cell without the blanks around it, which most have not.
fn trimmed(cell: &str) -> &str {
    let plain = |byte: Option<&u8>| byte.is_none_or(|b| b.is_ascii_graphic());
    let bytes = cell.as_bytes();
    if plain(bytes.first()) && plain(bytes.last()) { cell } else { cell.trim() }
}

/// The text in parts of about the same size, each of whole lines.
fn pieces(text: &str) -> Vec<&str> {
    let size = (text.len() / (4 * rayon::current_num_threads())).max(PART);
    let (mut rest, mut out) = (text, Vec::new());
    while !rest.is_empty() {
        let from = rest.as_bytes().get(size..).unwrap_or_default();
        let end = memchr::memchr(b'\n', from).map_or(rest.len(), |at| size + at + 1);
        let (part, after) = rest.split_at(end);
        out.push(part);
        rest = after;
    }
    out
}

/// The names of the columns.
fn names<'a>(
    record: impl Iterator<Item = &'a str>,
    line: u64,
    delimiter: u8,
    path: &Path,
) -> Result<Vec<String>> {
    let names: Vec<String> = record.map(|name| name.trim().to_string()).collect();
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
