//! A table from its text: what was found, and what the first line and the first column are.

use std::borrow::Cow;
use std::path::Path;

use super::{Table, header};
use crate::error::Result;
use crate::io::column::cell::{Numerals, plural};
use crate::io::text::{Cut, Dialect, SHOWN, prepare, read, unclosed_quote, wrong};

impl Table {
    /// The table in the file at `path`, or on standard input for `-`; gzip and zstd files are unpacked, and Parquet files and arrays of
    /// NumPy are known by their extensions.
    ///
    /// # Errors
    /// A file that cannot be read, is not text, has no header or no row, an empty or repeated name, a row with another number of
    /// fields than the header, a quote that is not closed: each with its line.
    pub fn from_path(path: &Path, dialect: &Dialect) -> Result<Self> {
        if let Some(table) = Table::typed(path, dialect)? {
            return Ok(table);
        }
        dialect.check()?;
        if let Some((cut, delimiter)) = Cut::of_file(path, dialect)? {
            return Table::of_cut(cut, delimiter, path, dialect);
        }
        let source = read(path, dialect.encoding.as_deref())?;
        let mut table = Table::of(source.text.into(), path, dialect)?;
        if let (Some(name), None) = (source.found, &dialect.encoding) {
            table.found.insert(0, format!("--encoding {}", name.to_lowercase()));
        }
        Ok(table)
    }

    /// The table in `text`; `path` is for messages.
    ///
    /// # Errors
    /// As [`from_path`](Self::from_path).
    pub fn parse(text: &str, path: &Path, dialect: &Dialect) -> Result<Self> {
        Table::of(text.into(), path, dialect)
    }

    fn of(text: Cow<str>, path: &Path, dialect: &Dialect) -> Result<Self> {
        dialect.check()?;
        let prepared = prepare(text, path, dialect)?;
        let (delimiter, comments) = (prepared.delimiter, prepared.comments);
        if prepared.quotes
            && let Some(line) = unclosed_quote(&prepared.text, prepared.fields)
        {
            let why = "a quote (\") that opens on this line is never closed";
            return Err(wrong(path, line, None, why.into()));
        }
        let mut cut = Cut::of(prepared, path, dialect)?;
        cut.comments += comments;
        Table::of_cut(cut, delimiter, path, dialect)
    }

    fn of_cut(mut cut: Cut, delimiter: u8, path: &Path, dialect: &Dialect) -> Result<Self> {
        let (width, comments) = (cut.names.len(), cut.comments);
        header::settle(&mut cut, path)?;
        let mut table = Table {
            path: path.to_path_buf(),
            names: cut.names,
            cells: cut.cells,
            lines: cut.lines,
            numerals: Numerals::PLAIN,
            missing: dialect.missing.clone(),
            labels: None,
            texts: None,
            outlined: None,
            is_part: false,
            found: Vec::new(),
            warnings: Vec::new(),
        };
        if table.names.len() < width {
            table.warnings.push(header::NAMELESS.into());
        }
        table.tell_delimiter(dialect, delimiter);
        table.find_numerals(dialect, delimiter, cut.marked);
        table.tell_comments(dialect, comments);
        header::check_names(&mut table, dialect)?;
        table.find_labels(dialect, cut.labelled)?;
        Ok(table)
    }

    /// Tells the delimiter that was found, where it is no comma.
    pub(super) fn tell_delimiter(&mut self, dialect: &Dialect, delimiter: u8) {
        if delimiter != b',' && dialect.delimiter.is_none() {
            let shown = match delimiter {
                b'\t' => "tab".to_string(),
                b' ' => "blank".into(),
                other => format!("'{}'", char::from(other)),
            };
            self.found.push(format!("--delimiter {shown}"));
        }
    }

    /// Tells how many lines were left out as comments.
    pub(super) fn tell_comments(&mut self, dialect: &Dialect, comments: usize) {
        if comments > 0 && dialect.comment.is_none() {
            let lines = plural(comments, "line");
            self.found.push(format!("--comment '#' ({comments} {lines} left out)"));
        }
    }

    /// Finds how numbers are written; `marked` tells whether a cell may hold a mark other than a point.
    fn find_numerals(&mut self, dialect: &Dialect, delimiter: u8, marked: bool) {
        let rows = if marked {
            self.rows()
        } else if delimiter == b';' {
            self.rows().min(SHOWN)
        } else {
            1
        };
        let columns = self.names.len();
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let cells = cells.map(|(row, column)| self.text_at(row, column));
        let (numerals, other) =
            Numerals::of(cells, [dialect.decimal, dialect.thousands], delimiter);
        self.set_numerals(dialect, numerals, other);
    }

    /// Takes numbers to be written so, and tells it; `other` reads as many, to others.
    pub(super) fn set_numerals(
        &mut self,
        dialect: &Dialect,
        numerals: Numerals,
        other: Option<Numerals>,
    ) {
        if let Some(other) = other {
            self.warnings.push(format!(
                "numbers are read with {}; if that is wrong, say {}",
                numerals.options(),
                other.options()
            ));
        }
        if numerals != Numerals::PLAIN && (dialect.decimal, dialect.thousands) == (None, None) {
            self.found.push(numerals.options());
        }
        self.numerals = numerals;
        self.forget_other_numbers();
    }

    /// Forgets the numbers that cells are where they may mean others, or a missing value.
    pub(super) fn forget_other_numbers(&mut self) {
        if self.numerals != Numerals::PLAIN || !self.missing.is_empty() {
            self.cells.forget_numbers();
        }
    }
}
