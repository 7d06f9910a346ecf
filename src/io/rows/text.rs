//! Tables of text, a row at a time.
//!
//! A text is UTF-8 with a line of names and one character between fields, which may be quoted; of a file that is walked again and again nothing is
//! kept but where every 16,384th row begins. Rows are told from other lines as for a table in memory, so that rows and numbers are the same; how numbers
//! are written follows from the first rows alone.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use csv::{ErrorKind, Position, StringRecord};

use super::identity::Identity;
use super::progress::{RowCounter, add_bytes};
use crate::error::{Error, Result};
use crate::io::column::Coder;
use crate::io::column::cell::{Numerals, is_missing, numeric, whole};
use crate::io::files;
use crate::io::json::format_error;
use crate::io::text::{
    Cut, Dialect, Form, MARK, NO_LABELS, SHOWN, cleaned, fields_of, plain, unclosed_quote, wrong,
};
use crate::memory::bytes_of;

/// Bytes from which delimiter and numerals are found.
const HEAD: u64 = 1 << 20;
/// Bytes that are read at once.
const PART: usize = 1 << 16;
/// Bytes of a row, at the most: a quote that is never closed would take the rest of the file.
const ROW: u64 = 1 << 24;
/// Why other text cannot be read.
const NO_UTF8: &str = "this is not UTF-8; unpack the file, or save it as UTF-8, to have its rows read as they are needed";
/// Rows between two of those whose places are known.
const STEP: usize = 1 << 14;

/// A table of text in a file.
pub(crate) struct Text {
    layout: Arc<Layout>,
    /// It has taken the header and the first row.
    cut: Cut,
    /// Where every [`STEP`]-th row begins.
    starts: Vec<Position>,
    rows: usize,
    /// Bytes of the longest row.
    longest: usize,
    /// Whether the first cells of each column are numbers, or missing.
    pub are_numbers: Vec<bool>,
    /// How numbers are written, and another way that reads the first ones to other numbers.
    pub numerals: (Numerals, Option<Numerals>),
}

/// The cells of a first column without a name, where each row has one field more than the header.
#[derive(Default)]
struct Labels {
    /// The line of the first row.
    line: u64,
    /// Its number, if it is one from which rows may be counted.
    first: Option<i64>,
    has_number: bool,
    has_gap: bool,
}

impl Labels {
    fn add(&mut self, cell: &str, row: usize, line: u64) {
        let number = whole(cell);
        if row == 0 {
            (self.line, self.first) = (line, number.filter(|first| (0..=1).contains(first)));
        }
        self.has_number |= numeric(cell);
        self.has_gap |=
            self.first.is_none() || number != self.first.map(|first| first + row as i64);
    }

    /// Whether they are text, or count the rows.
    fn are_labels(&self) -> bool {
        !self.has_number || !self.has_gap
    }
}

/// The form of the lines of a file.
struct Layout {
    path: PathBuf,
    identity: Identity,
    dialect: Dialect,
    delimiter: u8,
    /// Whether lines end with CR LF, and whether the last one ends with LF.
    has_returns: bool,
    ends: bool,
}

impl Layout {
    /// The layout that the first lines of a file show.
    fn of(path: &Path, dialect: &Dialect) -> Result<Self> {
        dialect.check()?;
        let (mut file, identity) = Identity::open(path)?;
        let (mut head, mut last) = (Vec::new(), [0]);
        let mut read = || {
            (&mut file).take(HEAD).read_to_end(&mut head)?;
            file.seek(SeekFrom::Start(identity.len.saturating_sub(1)))?;
            file.read(&mut last)
        };
        read().map_err(|e| unreadable(path, e))?;
        if (head.len() as u64) < identity.len
            && let Some(end) = memchr::memrchr(b'\n', &head)
        {
            head.truncate(end + 1);
        }
        if let Err(error) = std::str::from_utf8(&head)
            // A character of a long line may be cut.
            && (error.error_len().is_some() || head.len() as u64 == identity.len)
        {
            let before = head.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + memchr::memchr_iter(b'\n', before).count() as u64;
            return Err(wrong(path, line, None, NO_UTF8.into()));
        }
        if let Err(error) = std::str::from_utf8(&head) {
            head.truncate(error.valid_up_to());
        }
        if dialect.encoding.is_some() {
            let why = "rows are read as they are needed from UTF-8 alone; leave the encoding out";
            return Err(format_error(path, why));
        }
        if memchr::memchr(0, &head).is_some() {
            files::text(head.clone(), path)?;
        }
        let head = plain(head, true).ok_or_else(|| wrong(path, 1, None, NO_UTF8.into()))?;
        let has_returns = head.split_once('\n').is_some_and(|(first, _)| first.ends_with('\r'));
        let is_one_line = head.contains('\r') && !head.contains('\n');
        let (head, _) = cleaned(Cow::Owned(head));
        if head.trim().is_empty() {
            let why = "the file is empty: no header; the first line must name the columns".into();
            return Err(wrong(path, 1, None, why));
        }
        let has_comments = dialect.comment.is_some() || is_one_line;
        let delimiter = fields_of(&head, dialect).filter(|_| !has_comments).ok_or_else(|| {
            let why = "rows are read as they are needed from lines that end with LF or CR LF, have one character between fields, and no comments; \
                       'secondo convert' makes a Parquet file of another text";
            format_error(path, why)
        })?;
        let (path, dialect, ends) = (path.to_path_buf(), dialect.clone(), last == *b"\n");
        Ok(Layout { path, identity, dialect, delimiter, has_returns, ends })
    }

    /// The form as the parser of tables in memory takes it.
    fn form(&self) -> Form<'_> {
        let (fields, delimiter) = (self.delimiter, self.delimiter);
        Form { fields, delimiter, path: &self.path, dialect: &self.dialect }
    }
}

impl Text {
    /// The table in the file at `path`, which is read once.
    ///
    /// # Errors
    /// A file that cannot be read, is no text of the form that is needed, or has no row.
    pub fn open(path: &Path, dialect: &Dialect) -> Result<Self> {
        let layout = Arc::new(Layout::of(path, dialect)?);
        let mut walk = TextWalk::begin(layout.clone(), Cut::new(), None)?;
        let (mut starts, mut rows, mut longest) = (Vec::new(), 0usize, 0);
        let (mut sample, mut bytes) = (Vec::new(), 0);
        let mut labels = Labels::default();
        let mut last = None;
        while walk.advance()? {
            last = walk.record.position().cloned();
            if rows.is_multiple_of(STEP) {
                starts.extend(last.clone());
            }
            longest = longest.max(walk.record.as_slice().len());
            if rows < SHOWN && bytes < 4 * HEAD {
                bytes += (walk.record.as_slice().len() + 8 * walk.record.len()) as u64;
                // A copy of the record itself would have the room of the longest before.
                sample.push(StringRecord::from(walk.record.iter().collect::<Vec<_>>()));
            }
            if walk.cut.labelled {
                labels.add(walk.cell(0), rows, walk.line());
            }
            rows += 1;
        }
        walk.check()?;
        let Some(last) = last else {
            return Err(wrong(path, 1, None, "there are 0 rows below the header".into()));
        };
        layout.require_closed(&last)?;
        let cut = walk.cut;
        let mut first: Vec<&str> =
            sample.iter().filter_map(|row: &StringRecord| row.get(0)).collect();
        first.sort_unstable();
        let is_repeated = first.windows(2).any(|pair| pair[0] == pair[1]);
        if cut.labelled && (rows < 2 || is_repeated || !labels.are_labels()) {
            return Err(cut.wrong_width(cut.names.len(), labels.line, NO_LABELS, path));
        }
        let cells = sample.iter().flat_map(|row| row.iter().map(str::trim));
        let Dialect { decimal, thousands, .. } = layout.dialect;
        let numerals = Numerals::of(cells, [decimal, thousands], layout.delimiter);
        let is_number = |column: usize| {
            sample.iter().all(|row| {
                let cell = row.get(column).unwrap_or_default().trim();
                is_missing(cell) || numerals.0.parse(cell).is_some()
            })
        };
        let are_numbers = (0..cut.names.len()).map(is_number).collect();
        Ok(Text { layout, cut, starts, rows, longest, are_numbers, numerals })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The names of the columns, of which the first may have none.
    pub fn names(&self) -> &[String] {
        &self.cut.names
    }

    /// The lines that begin with # and have another number of fields than the header, which are left out.
    pub fn comments(&self) -> usize {
        self.cut.comments
    }

    /// The character between fields.
    pub fn delimiter(&self) -> u8 {
        self.layout.delimiter
    }

    /// Bytes that a walk holds: the part that was read last, and a row with the ends of its cells.
    pub fn held(&self) -> u64 {
        let row = bytes_of(&[2, self.longest]).saturating_add(bytes_of(&[8, self.cut.names.len()]));
        row.saturating_add(PART as u64)
    }

    /// A walk from a row on.
    ///
    /// # Errors
    /// The file is not there any more, or was changed.
    pub fn walk(&self, first: usize) -> Result<TextWalk> {
        let first = first.min(self.rows);
        let step = (first / STEP).min(self.starts.len().saturating_sub(1));
        let start = self.starts.get(step);
        let cut = self.cut.beside(0);
        let mut walk = TextWalk::begin(self.layout.clone(), cut, start)?;
        walk.numerals = self.numerals.0;
        for _ in step * STEP..first {
            walk.advance()?;
        }
        Ok(walk)
    }

    /// The line on which a row begins, where it can be read.
    pub fn line(&self, row: usize) -> Option<u64> {
        let mut walk = self.walk(row).ok()?;
        walk.advance().ok().filter(|is_there| *is_there)?;
        Some(walk.line())
    }
}

impl Layout {
    /// That the last row, which begins at `last`, closes its quotes.
    fn require_closed(&self, last: &Position) -> Result<()> {
        let mut text = Vec::new();
        let mut file = self.identity.again(&self.path)?;
        file.seek(SeekFrom::Start(last.byte())).map_err(|e| unreadable(&self.path, e))?;
        file.take(ROW).read_to_end(&mut text).map_err(|e| unreadable(&self.path, e))?;
        match unclosed_quote(&String::from_utf8_lossy(&text), self.delimiter) {
            None => Ok(()),
            Some(line) => {
                let why = "a quote (\") that opens on this line is never closed".into();
                Err(wrong(&self.path, last.line() + line - 1, None, why))
            }
        }
    }
}

/// A walk over the rows of a text.
pub(crate) struct TextWalk {
    layout: Arc<Layout>,
    reader: csv::Reader<Bounded>,
    record: StringRecord,
    /// Ends of lines within it.
    within: u64,
    cut: Cut,
    numerals: Numerals,
    counted: RowCounter,
}

impl TextWalk {
    /// A walk from the beginning, where the header is, or from a row.
    fn begin(layout: Arc<Layout>, cut: Cut, start: Option<&Position>) -> Result<Self> {
        let file = Bounded { file: layout.identity.again(&layout.path)?, read: 0 };
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(layout.delimiter)
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(PART)
            .from_reader(file);
        if let Some(start) = start {
            reader.seek(start.clone()).map_err(|e| unreadable(&layout.path, e))?;
        }
        let numerals = Numerals::PLAIN;
        let (record, counted) = (StringRecord::new(), RowCounter::default());
        Ok(TextWalk { layout, reader, record, within: 0, cut, numerals, counted })
    }

    /// Reads the next row; returns whether there is one.
    fn advance(&mut self) -> Result<bool> {
        loop {
            self.reader.get_mut().read = 0;
            self.within = 0;
            match self.reader.read_record(&mut self.record) {
                Ok(false) => return Ok(false),
                Ok(true) => {}
                Err(error) => return Err(self.refused(&error)),
            }
            let bytes = self.record.as_slice().as_bytes();
            self.within = memchr::memchr_iter(b'\n', bytes).count() as u64;
            if memchr::memchr3(b'\r', MARK.as_bytes()[0], 0, bytes).is_some() {
                self.clean()?;
            }
            let (record, form) = (&self.record, self.layout.form());
            // Nearly all rows.
            let is_row = record.len() == self.cut.width
                && !self.cut.lines.is_empty()
                && record.iter().any(|cell| !cell.trim().is_empty());
            if is_row {
                self.counted.add_one();
                return Ok(true);
            }
            let is_row = self.cut.take(record.iter(), 1, form).map_err(|error| match error {
                Error::Format { path, column, why, .. } => {
                    let is_last = self.reader.position().byte() >= self.layout.identity.len;
                    let begin = self.record.position().filter(|_| is_last);
                    // A quote that is open takes all that follows.
                    let open = begin.and_then(|begin| self.layout.require_closed(begin).err());
                    let line = Some(self.line());
                    open.unwrap_or(Error::Format { path, line, column, why })
                }
                other => other,
            })?;
            self.cut.lines.truncate(1);
            if is_row {
                self.counted.add_one();
                return Ok(true);
            }
        }
    }

    /// Takes byte order marks out, and has all ends of lines be LF, as in memory.
    ///
    /// # Errors
    /// A NUL.
    fn clean(&mut self) -> Result<()> {
        if self.record.as_slice().contains('\0') {
            let why = "a NUL byte; the file is not text".into();
            return Err(wrong(&self.layout.path, self.line(), None, why));
        }
        let position = self.record.position().cloned();
        let cell = |cell: &str| cell.replace(MARK, "").replace("\r\n", "\n").replace('\r', "\n");
        self.record = StringRecord::from(self.record.iter().map(cell).collect::<Vec<_>>());
        self.record.set_position(position);
        Ok(())
    }

    /// Reads the next row.
    ///
    /// # Errors
    /// The file cannot be read, was changed, or has no more rows; a row with another number of fields than the header.
    pub fn next(&mut self) -> Result<()> {
        if self.advance()? {
            return Ok(());
        }
        self.check()?;
        Err(format_error(&self.layout.path, "there are no more rows"))
    }

    /// That the file is as it was.
    ///
    /// # Errors
    /// It was changed.
    pub fn check(&self) -> Result<()> {
        self.layout.identity.check(&self.layout.path, &self.reader.get_ref().file)
    }

    /// The cell of a column in the row that was read last.
    pub fn cell(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or_default().trim()
    }

    /// The number of that cell, for the column's coding.
    ///
    /// # Errors
    /// Why it has none.
    pub fn number(&self, coder: &Coder, column: usize) -> std::result::Result<f64, String> {
        let cell = self.cell(column);
        if !coder.is_of_numbers() {
            return coder.of_text(cell);
        }
        if is_missing(cell) { Ok(f64::NAN) } else { self.numerals.number(cell) }
    }

    /// The line on which that row begins.
    pub fn line(&self) -> u64 {
        // The reader has counted the end of the row, but for the second character of CR LF.
        let after = self.reader.position();
        let is_last = after.byte() >= self.layout.identity.len;
        let counted = if is_last { self.layout.ends } else { !self.layout.has_returns };
        after.line().saturating_sub(self.within + u64::from(counted)).max(1)
    }

    fn refused(&self, error: &csv::Error) -> Error {
        if let Err(changed) = self.check() {
            return changed;
        }
        let path = &self.layout.path;
        match error.kind() {
            ErrorKind::Utf8 { .. } => wrong(path, self.line(), None, NO_UTF8.into()),
            ErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                let begin = self.record.position().unwrap_or(self.reader.position());
                let line = begin.line() + u64::from(self.layout.has_returns);
                wrong(path, line, None, error.to_string())
            }
            _ => unreadable(path, error),
        }
    }
}

/// A file of which no more than [`ROW`] bytes are read for a row.
struct Bounded {
    file: File,
    /// Bytes that were read since a row began.
    read: u64,
}

impl Read for Bounded {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.read > ROW {
            let why =
                "a row of more than 16 MiB begins near this line; is a quote (\") never closed?";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let count = self.file.read(buf)?;
        self.read += count as u64;
        add_bytes(count as u64);
        Ok(count)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn unreadable(path: &Path, error: impl ToString) -> Error {
    Error::Io { path: path.to_path_buf(), action: "read", reason: error.to_string() }
}
