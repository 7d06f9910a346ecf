//! Text, cut into cells: in memory, or while it is read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rayon::prelude::*;

use super::Dialect;
use super::cells::{Cells, Part, field, is_outside_numbers};
use super::dialect::{Prepared, SAMPLE, cleaned, fields_of};
use super::source;
use crate::error::{Error, Result};
use crate::io::column::cell::{plural, short};
use crate::io::files::Pieces;
use crate::memory::{available_memory, bytes_of, require_memory};

/// The least and the most bytes of a piece of a text that is cut beside others; what is looked at more than once stays at hand.
const SMALL: u64 = 1 << 16;
const LARGE: u64 = 1 << 20;
/// The advice where a table is too large.
const DIVIDE: &str = "divide the file, or leave out columns";

/// The cells of a table, before it is known what its first line and its first column are.
#[derive(Default)]
pub(crate) struct Cut {
    pub names: Vec<String>,
    /// The fields of each row, 0 before the header is known.
    pub width: usize,
    pub(crate) cells: Cells,
    /// The line of each row.
    pub lines: Vec<u64>,
    /// Whether each row has one field more than the header, so that the first has no name.
    pub labelled: bool,
    /// The line of the names.
    pub header: u64,
    pub comments: usize,
    /// Whether a cell may hold a mark within a number: a comma, an apostrophe, a blank.
    pub marked: bool,
}

/// The form that all lines of a text have.
#[derive(Clone, Copy)]
pub(crate) struct Form<'a> {
    /// The character between fields in the text.
    pub fields: u8,
    /// The same in the file.
    pub delimiter: u8,
    pub path: &'a Path,
    pub dialect: &'a Dialect,
}

impl Cut {
    /// Nothing yet.
    pub fn new() -> Self {
        Cut { header: 1, ..Cut::default() }
    }

    /// The cells of a text whose lines end with LF and whose quotes are closed.
    pub(crate) fn of(prepared: Prepared, path: &Path, dialect: &Dialect) -> Result<Self> {
        let Prepared { text, fields, delimiter, quotes, .. } = prepared;
        let form = Form { fields, delimiter, path, dialect };
        let mut cut = Cut::new();
        if quotes && !are_in_header(&text, dialect) {
            cut.quoted(&text, form)?;
        } else {
            let (begin, line) = cut.head(&text, form)?;
            let lines = memchr::memchr_iter(b'\n', text.as_bytes()).count() as u64;
            require(path, cut.bytes(lines + 1).saturating_add(text.len() as u64))?;
            let pieces = pieces(&text[begin..]);
            let pieces = pieces.into_par_iter().map(|piece| Ok(Some(piece.to_string())));
            cut.below(pieces, (line, 0), &AtomicBool::new(true), form)?;
        }
        if cut.lines.is_empty() {
            return Err(wrong(path, 1, None, "there are 0 rows below the header".into()));
        }
        Ok(cut)
    }

    /// The cells of a file, cut while it is read, and the character between them; none where the text must be known as a whole: with
    /// quotes below the header, comments above it or marked by a given character, blanks between fields, a stated delimiter, another encoding than UTF-8 or one that is given, from
    /// standard input, packed, or without a row among the first lines.
    pub fn of_file(path: &Path, dialect: &Dialect) -> Result<Option<(Self, u8)>> {
        // Descriptors may share their position.
        let streams = ["/dev/stdin", "/dev/fd", "/proc/self/fd"];
        let is_stream = path == Path::new("-") || streams.iter().any(|s| path.starts_with(s));
        if is_stream || dialect.encoding.is_some() || dialect.comment.is_some() {
            return Ok(None);
        }
        let file = Pieces::of(path, size_of_piece)?;
        require(path, file.bytes())?;
        let found = Cut::of_pieces(&file, path, dialect);
        // What was read of a file that changes is no reason to blame it.
        file.require_unchanged()?;
        found
    }

    fn of_pieces(file: &Pieces, path: &Path, dialect: &Dialect) -> Result<Option<(Self, u8)>> {
        let read = |index: usize| {
            let text = source::plain(file.read(index)?, index == 0);
            Ok(text.map(|text| cleaned(Cow::Owned(text))))
        };
        let (mut head, mut known, mut lines) = (String::new(), 0, 0);
        while known < file.count() && lines <= SAMPLE {
            // The first lines are held three times: as a piece, together, and as pieces to be cut.
            require(path, bytes_of(&[3, head.len()]))?;
            let Some((text, quotes)) = read(known)? else { return Ok(None) };
            lines += memchr::memchr_iter(b'\n', text.as_bytes()).count();
            head.push_str(&text);
            known += 1;
            if quotes && (known > 1 || !are_in_header(&head, dialect)) {
                return Ok(None);
            }
        }
        let Some(delimiter) = fields_of(&head, dialect) else { return Ok(None) };
        let first = head.split_once('\n').map_or(head.as_str(), |(first, _)| first);
        if unclosed_quote(first, delimiter).is_some() {
            return Ok(None);
        }
        let form = Form { fields: delimiter, delimiter, path, dialect };
        let mut cut = Cut::new();
        let (begin, line) = cut.head(&head, form)?;
        if cut.lines.is_empty() {
            return Ok(None);
        }
        // Half of what the first lines make likely is more than enough to refuse a file before it is read.
        let rows = (lines as u64).saturating_mul(file.count() as u64) / known.max(1) as u64;
        require(path, (cut.bytes(rows) / 2).saturating_add(file.bytes()))?;
        let goes_on = AtomicBool::new(true);
        let rest = (known..file.count()).into_par_iter().map(|index| {
            if !goes_on.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let text = read(index)?.filter(|(_, quotes)| !quotes);
            goes_on.fetch_and(text.is_some(), Ordering::Relaxed);
            Ok(text.map(|(text, _)| text.into_owned()))
        });
        let held = head.len() as u64;
        let head = pieces(&head[begin..]);
        let head = head.into_par_iter().map(|piece| Ok(Some(piece.to_string())));
        Ok(cut.below(head.chain(rest), (line, held), &goes_on, form)?.then_some((cut, delimiter)))
    }

    /// The records of a text with quotes, one after the other.
    fn quoted(&mut self, text: &str, form: Form) -> Result<()> {
        let count = |wanted: u8| memchr::memchr_iter(wanted, text.as_bytes()).count() as u64;
        let rows = count(b'\n') + 1;
        let of_cells = Cells::bytes(rows, count(form.fields) + rows) + 8 * rows;
        require(form.path, of_cells.saturating_add(text.len() as u64))?;
        self.marked = true;
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(form.fields)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut record = csv::StringRecord::new();
        loop {
            let more = reader.read_record(&mut record).map_err(|e| {
                wrong(form.path, self.lines.last().copied().unwrap_or(1), None, e.to_string())
            })?;
            if !more {
                return Ok(());
            }
            let line = line_of(&record, text);
            if self.take(record.iter(), line, form)? {
                self.cells.append(record.iter())?;
            }
        }
    }

    /// Takes header and first row of a text without quotes below its first line, each of which is a line; returns where the rest begins, and
    /// its first line.
    fn head(&mut self, text: &str, form: Form) -> Result<(usize, u64)> {
        let (mut rest, mut line) = (text, 1);
        while self.lines.is_empty() && !rest.is_empty() {
            let (record, after) = rest.split_once('\n').unwrap_or((rest, ""));
            if record.contains('"') {
                self.header_in_quotes(record, line, form)?;
            } else if !record.is_empty() {
                let fields = record.split(char::from(form.fields));
                if self.take(fields.clone(), line, form)? {
                    self.marked = has_marks(record, form);
                    self.cells.append(fields)?;
                }
            }
            (rest, line) = (after, line + 1);
        }
        Ok((text.len() - rest.len(), line))
    }

    /// The bytes that so many rows take besides their text.
    fn bytes(&self, rows: u64) -> u64 {
        let of_cells = Cells::bytes(rows, rows.saturating_mul(self.width as u64));
        // Each number of a line is held twice while they are joined.
        of_cells.saturating_add(rows.saturating_mul(16))
    }

    /// Adds the rows below the first, from pieces of the text from `line` on, while so many bytes are held; returns whether each piece was there.
    /// Where memory does not suffice, nothing goes on.
    fn below(
        &mut self,
        pieces: impl ParallelIterator<Item = Result<Option<String>>>,
        (mut line, held): (u64, u64),
        goes_on: &AtomicBool,
        form: Form,
    ) -> Result<bool> {
        let (budget, taken) = (available_memory(), AtomicU64::new(held));
        let cut = |piece: Result<Option<String>>| {
            let Some(text) = piece? else { return Ok(None) };
            let lines = memchr::memchr_iter(b'\n', text.as_bytes()).count();
            let rows = lines + usize::from(!text.is_empty() && !text.ends_with('\n'));
            let need = self.bytes(rows as u64).saturating_add(text.len() as u64);
            let all = taken.fetch_add(need, Ordering::Relaxed).saturating_add(need);
            if all > budget {
                goes_on.store(false, Ordering::Relaxed);
                let what = form.path.display().to_string();
                return Err(Error::Memory { what, need: all, budget, advice: DIVIDE.into() });
            }
            let mut cut = self.beside(rows);
            let cells = cut.take_lines(text, rows, form)?;
            Ok(Some((cut, cells, lines)))
        };
        let cuts: Vec<Result<Option<(Cut, Part, usize)>>> = pieces.map(cut).collect();
        if let Some(Err(error)) = cuts.iter().find(|cut| matches!(cut, Err(Error::Memory { .. }))) {
            return Err(error.clone());
        }
        if cuts.iter().any(|cut| matches!(cut, Ok(None))) {
            return Ok(false);
        }
        let rows = cuts.iter().flatten().flatten().map(|(cut, ..)| cut.lines.len() - 1);
        self.lines.reserve(rows.sum());
        for cut in cuts {
            let found = cut.map_err(|error| moved_down(error, line))?;
            let Some((cut, cells, lines)) = found else { continue };
            self.cells.extend(cells);
            // The first stands for the row before.
            self.lines.extend(cut.lines[1..].iter().map(|of_piece| line + of_piece));
            self.comments += cut.comments;
            self.marked |= cut.marked;
            line += lines as u64;
        }
        Ok(true)
    }

    /// Takes a first line with quotes, as the header.
    fn header_in_quotes(&mut self, line: &str, number: u64, form: Form) -> Result<()> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(form.fields)
            .has_headers(false)
            .from_reader(line.as_bytes());
        for record in reader.records() {
            let record = record.map_err(|e| wrong(form.path, number, None, e.to_string()))?;
            self.take(record.iter(), number, form)?;
        }
        Ok(())
    }

    /// The cells of the lines of a text without quotes, at most so many rows; lines are counted from 0.
    fn take_lines(&mut self, text: String, rows: usize, form: Form) -> Result<Part> {
        let bytes = text.as_bytes();
        let mut cells = Part::with_room(rows, self.width);
        let quick = is_outside_numbers(form.fields);
        let begins = |b: &u8| b.is_ascii_graphic() && *b != form.fields;
        let (mut line, mut record, mut at, mut before) = (0, 0, 0, 0);
        while at < bytes.len() || record < at {
            let (end, number) = field(bytes, at, form.fields, quick);
            cells.add(end - record, number);
            at = end + 1;
            if bytes.get(end) == Some(&form.fields) {
                continue;
            }
            let is_full = cells.cells() - before == self.width;
            // Nearly all rows; what is left goes the long way.
            if is_full && bytes.get(record).is_some_and(begins) {
                self.lines.push(line);
                cells.end_row(record, end - record)?;
            } else {
                cells.take_back(before);
                let fields = text[record..end].split(char::from(form.fields));
                if end > record && self.take(fields.clone(), line, form)? {
                    cells.push(record, fields)?;
                }
            }
            (line, record, before) = (line + 1, at, cells.cells());
        }
        // A plain number may be another where a comma is the decimal mark.
        let may_mark = form.dialect.decimal == Some(',') || !cells.are_numbers();
        self.marked = may_mark && has_marks(&text, form);
        cells.text = text;
        Ok(cells)
    }

    /// A cut of rows below those of this one, whose first line stands for these.
    pub fn beside(&self, rows: usize) -> Cut {
        let mut lines = Vec::with_capacity(rows + 1);
        lines.push(self.header);
        Cut {
            names: Vec::new(),
            width: self.width,
            cells: Cells::default(),
            lines,
            labelled: self.labelled,
            header: self.header,
            comments: 0,
            marked: false,
        }
    }

    /// Takes a record, the header or a row; returns whether it is a row, whose cells are to be kept.
    pub fn take<'a>(
        &mut self,
        record: impl Iterator<Item = &'a str> + Clone,
        line: u64,
        form: Form,
    ) -> Result<bool> {
        if self.width == 0 {
            if is_blank(record.clone()) {
                return Ok(false);
            }
            self.header = line;
            self.names = match form.dialect.header {
                Some(false) => (1..=record.clone().count()).map(|i| format!("column{i}")).collect(),
                _ => names(record.clone(), line, form)?,
            };
            self.width = self.names.len();
            if form.dialect.header != Some(false) {
                return Ok(false);
            }
        }
        // Spreadsheets write rows without a value as delimiters alone.
        if is_blank(record.clone()) {
            return Ok(false);
        }
        let found = record.clone().count();
        let ends_empty = || record.clone().last() == Some("");
        if self.lines.is_empty() && found == self.width + 1 && !ends_empty() {
            self.labelled = true;
            self.names.insert(0, String::new());
            self.width += 1;
        }
        let expected = self.width;
        if found != expected {
            if record.clone().next().is_some_and(|first| first.starts_with('#')) {
                self.comments += 1;
                return Ok(false);
            }
            let hint = if expected == 1 && found > 2 {
                "; is the first line a title? Delete it, or let it begin with #"
            } else if found == expected + 1 && ends_empty() {
                "; the line ends with a delimiter, which the header does not"
            } else if found > expected && form.delimiter == b',' {
                "; a decimal comma must be a point, and text with a comma needs quotes"
            } else {
                ""
            };
            return Err(self.wrong_width(found, line, hint, form.path));
        }
        self.lines.push(line);
        Ok(true)
    }

    /// The error of a row with another number of fields than the header.
    pub fn wrong_width(&self, found: usize, line: u64, hint: &str, path: &Path) -> Error {
        let expected = self.width - usize::from(self.labelled);
        let fields = plural(found, "field");
        let why = format!("found {found} {fields}, but the header has {expected}{hint}");
        wrong(path, line, None, why)
    }

    /// The cell in `row` and `column`.
    pub fn cell(&self, row: usize, column: usize) -> &str {
        self.cells.get(row, column).unwrap_or_default()
    }

    /// Leaves out the columns of which `keep` is false.
    pub fn retain(&mut self, keep: &[bool]) -> Result<()> {
        self.cells.retain(keep)?;
        let mut kept = keep.iter();
        self.names.retain(|_| kept.next().copied().unwrap_or(true));
        Ok(())
    }
}

/// Whether a text holds a mark that may stand within a number.
fn has_marks(text: &str, form: Form) -> bool {
    let comma = if form.fields == b',' { b'\'' } else { b',' };
    memchr::memchr3(b'\'', b' ', comma, text.as_bytes()).is_some() || !text.is_ascii()
}

/// That there is memory for the text and the places of all cells.
fn require(path: &Path, need: u64) -> Result<()> {
    require_memory(&path.display().to_string(), need, DIVIDE)
}

/// The error of a line that was counted from `first` on.
fn moved_down(error: Error, first: u64) -> Error {
    match error {
        Error::Format { path, line, column, why } => {
            Error::Format { path, line: line.map(|line| first + line), column, why }
        }
        other => other,
    }
}

/// Whether only the header, which is the first line, has quotes.
fn are_in_header(text: &str, dialect: &Dialect) -> bool {
    let (first, below) = text.split_once('\n').unwrap_or((text, ""));
    dialect.header != Some(false) && !unclosed(first) && !below.contains('"')
}

/// The line of a quote that opens a field and is never closed.
pub(crate) fn unclosed_quote(text: &str, delimiter: u8) -> Option<u64> {
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

/// Whether a quote in a line is open at its end.
fn unclosed(line: &str) -> bool {
    memchr::memchr_iter(b'"', line.as_bytes()).count() % 2 == 1
}

pub(crate) fn wrong(path: &Path, line: u64, column: Option<String>, why: String) -> Error {
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

/// The bytes of a piece of a text of so many.
fn size_of_piece(bytes: u64) -> u64 {
    (bytes / (4 * rayon::current_num_threads() as u64)).clamp(SMALL, LARGE)
}

/// The text in pieces of about the same size, each of whole lines.
fn pieces(text: &str) -> Vec<&str> {
    let size = size_of_piece(text.len() as u64) as usize;
    let (mut rest, mut out) = (text, Vec::new());
    while !rest.is_empty() {
        let from = rest.as_bytes().get(size..).unwrap_or_default();
        let end = memchr::memchr(b'\n', from).map_or(rest.len(), |at| size + at + 1);
        let (piece, after) = rest.split_at(end);
        out.push(piece);
        rest = after;
    }
    out
}

/// The names of the columns.
fn names<'a>(record: impl Iterator<Item = &'a str>, line: u64, form: Form) -> Result<Vec<String>> {
    let names: Vec<String> = record.map(|name| name.trim().to_string()).collect();
    if let [only] = names.as_slice() {
        let other = [(b';', ";"), (b'\t', "tab"), (b',', ","), (b'|', "|")];
        if let Some((_, name)) =
            other.iter().find(|(c, _)| *c != form.delimiter && only.contains(char::from(*c)))
        {
            let only = short(only);
            let why = format!("the header is one field ('{only}'); try --delimiter '{name}'");
            return Err(wrong(form.path, line, None, why));
        }
    }
    distinct(&names, line, form.path)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_file_is_cut_while_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        let rows = "1,2\n".repeat(100_000);
        let is_cut = |text: &str, dialect: &Dialect| {
            std::fs::write(&path, text).unwrap();
            let cut = Cut::of_file(&path, dialect).unwrap();
            if let Some((cut, delimiter)) = &cut {
                assert_eq!((cut.lines.len(), *delimiter), (100_000, b','), "{text:.20}");
            }
            cut.is_some()
        };
        let found = Dialect::default();
        for header in ["a,b\n", "\"a\",b\n", "\u{FEFF}a,b\r\n", "\n\na,b\n"] {
            assert!(is_cut(&format!("{header}{rows}"), &found), "{header:?}");
        }
        for header in ["sep=,\na,b\n", "# a\na,b\n", "a\"b,\"c\n", "PAR1,b\n"] {
            assert!(!is_cut(&format!("{header}{rows}"), &found), "{header:?}");
        }
        for end in ["1,\"2\"", "1,\0"] {
            assert!(!is_cut(&format!("a,b\n{rows}{end}"), &found), "{end:?}");
        }
        let given = Dialect { encoding: Some("utf-8".into()), ..Dialect::default() };
        assert!(!is_cut(&format!("a,b\n{rows}"), &given));
        assert!(!is_cut("", &found) && !is_cut("a,b\n", &found));
    }
}
