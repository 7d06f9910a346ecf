//! The different values of the columns of a table of files, where they are few: what codings, classes and task follow from.

use std::collections::{HashMap, HashSet};
use std::path::Path;
#[cfg(feature = "parquet")]
use std::sync::Arc;

use super::cells::Files;
use super::folder::{Place, places};
#[cfg(feature = "parquet")]
use super::text::Text;
use super::{At, InFile, Named, Numbers, Target, columns_of};
use crate::error::Result;
use crate::io::column::cell::{Numerals, is_missing};
use crate::io::column::digits;
use crate::io::json::format_error;
use crate::io::text::{Dialect, NO_NAME, wrong};
use crate::objective::Window;

/// Rows of an outline, where the columns are so few that it has no more than [`CELLS`].
const ROWS: usize = 5000;
/// Cells of an outline, unless the fewest rows have more, as those of more than 8,388 columns do.
const CELLS: usize = 1 << 22;
/// The fewest rows of an outline.
const FEW: usize = 500;
/// Bytes of a text that may be a level.
const LONG: usize = 1000;
/// Rows after which a column that needs no further look is left out.
const SEGMENT: usize = 1 << 20;
/// Rows that are read at once.
const PART: usize = 4096;

/// A small table in place of another.
pub(crate) struct Outline {
    pub columns: Vec<Seen>,
    /// The names of the columns that are not read.
    pub left_out: Vec<String>,
    /// Whether columns without name and values were left out.
    pub nameless: bool,
    /// How a text is written.
    pub text: Option<Writing>,
    /// Its rows before those that are there for values and gaps alone.
    pub rows: usize,
    /// The rows after those, so that neither a value nor a gap is lost with a row that is left out.
    pub more: usize,
    /// Whether the first are the rows of the table.
    is_whole: bool,
    /// The indices of the columns in which a value is missing, where that matters.
    gaps: Vec<usize>,
}

/// How a text is written.
pub(crate) struct Writing {
    pub delimiter: u8,
    pub numerals: Numerals,
    /// Another way in which its first numbers can be read, to others.
    pub other: Option<Numerals>,
    /// Lines that were left out as comments.
    pub comments: usize,
}

/// A column as far as it was seen.
pub(crate) struct Seen {
    pub name: String,
    /// Its index in the first file; the first may hold the labels of the rows.
    pub place: usize,
    /// Whether its cells are text by their type.
    pub is_text: bool,
    /// Whether it has more different values than were noted.
    pub is_crowded: bool,
    /// Whether its cells are numbers, each larger than the one before.
    is_increasing: bool,
    last: f64,
    /// The first number, and how many there were.
    first: f64,
    count: usize,
    /// All cells of a table of few rows, empty where a value is missing; of a first column of numbers those of the first rows.
    cells: Vec<String>,
    /// The different values in their order, as long as they are few.
    values: Vec<String>,
    numbers: HashSet<u64>,
    texts: HashSet<String>,
    has_gap: bool,
}

/// How much is looked at.
#[derive(Clone, Copy)]
struct Extent {
    /// Rows of the outline.
    rows: usize,
    /// Whether it has all rows of the table.
    is_whole: bool,
    /// Whether it matters that a value is missing anywhere.
    gaps: bool,
}

impl Extent {
    /// The different values that are noted: each has several rows in the outline, as it would have in a table of many rows.
    fn values(self) -> usize {
        if self.is_whole { self.rows } else { self.rows / 5 }
    }
}

/// The outline of the table at `path`; with `gaps` it matters whether values are missing.
///
/// # Errors
/// Those of reading; files with other columns than the first.
pub(crate) fn outline(path: &Path, dialect: &Dialect, gaps: bool) -> Result<Outline> {
    Ok(with_files(path, dialect, gaps)?.0)
}

/// The outline of a table, and its files.
///
/// # Errors
/// As of [`outline`].
pub(crate) fn with_files(path: &Path, dialect: &Dialect, gaps: bool) -> Result<(Outline, Files)> {
    let open = |place: Place| Ok((Numbers::open(&place.path, dialect)?, place));
    let files: Vec<(Numbers, Place)> =
        places(path)?.into_iter().map(open).collect::<Result<_>>()?;
    let (columns, left_out) = columns_of(&files[0].1, &files[0].0);
    let text = match &files[0].0 {
        Numbers::Text(text) => {
            let (numerals, other) = text.numerals;
            let (delimiter, comments) = (text.delimiter(), text.comments());
            Some(Writing { delimiter, numerals, other, comments })
        }
        _ => None,
    };
    let rows = files.iter().fold(0usize, |rows, (table, _)| rows.saturating_add(table.rows()));
    if rows == 0 {
        return Err(format_error(path, "there are no rows"));
    }
    let most = (CELLS / columns.len().max(1)).clamp(FEW, ROWS);
    let extent = Extent { rows: rows.min(most), is_whole: rows <= most, gaps };
    let seen = |(at, column): (usize, &Named)| Seen::new(column, at);
    let mut all: Vec<Seen> = columns.iter().enumerate().map(seen).collect();
    let index: HashMap<String, usize> =
        columns.into_iter().enumerate().map(|(at, column)| (column.name, at)).collect();
    for (table, place) in &files {
        let (columns, _) = columns_of(place, table);
        let is_same = columns.iter().map(|column| &column.name).eq(all.iter().map(|of| &of.name));
        let of_name = |(at, column): (usize, &Named)| {
            if is_same { Some(at) } else { index.get(&column.name).copied() }
        };
        let order: Option<Vec<usize>> = columns.iter().enumerate().map(of_name).collect();
        let order = order.filter(|order| order.len() == all.len()).ok_or_else(|| {
            let why = "its columns are others than those of the first file";
            format_error(&place.path, why)
        })?;
        for (column, at) in columns.iter().zip(&order) {
            // Numbers in one folder and text in another are text.
            all[*at].is_text |= column.is_text;
        }
        of_file(table, &columns, &order, &mut all, extent)?;
    }
    let gaps: Vec<usize> = (0..all.len()).filter(|at| gaps && all[*at].has_gap).collect();
    let more = match (gaps.is_empty(), extent.is_whole) {
        (true, _) => 0,
        (false, true) => all.iter().map(|seen| seen.values.len()).max().unwrap_or(0),
        (false, false) => gaps.len(),
    };
    let Extent { rows, is_whole, .. } = extent;
    let nameless = false;
    let mut outline =
        Outline { columns: all, left_out, nameless, text, rows, more, is_whole, gaps };
    outline.leave_out_nameless(path)?;
    Ok((outline, Files(files)))
}

/// The outline of the text at `path`, and the text.
///
/// # Errors
/// Those of reading; a file that is no text.
#[cfg(feature = "parquet")]
pub(crate) fn of_text(path: &Path, dialect: &Dialect) -> Result<(Outline, Arc<Text>)> {
    let (outline, mut files) = with_files(path, dialect, false)?;
    match files.0.pop() {
        Some((Numbers::Text(text), _)) => Ok((outline, text)),
        _ => Err(format_error(path, "it is no text; --stream makes Parquet of texts")),
    }
}

impl Outline {
    /// Leaves out the columns without name and values, which spreadsheets append to a text.
    ///
    /// # Errors
    /// A column without a name that has values; the first may be the labels of the rows.
    fn leave_out_nameless(&mut self, path: &Path) -> Result<()> {
        let nameless = |seen: &Seen| seen.name.is_empty() && seen.place > 0;
        if let Some(at) = self.columns.iter().position(|s| nameless(s) && !s.values.is_empty()) {
            return Err(wrong(path, 1, Some((at + 1).to_string()), NO_NAME.into()));
        }
        let before = self.columns.len();
        self.gaps.retain(|at| !nameless(&self.columns[*at]));
        let kept: Vec<usize> = (0..before).filter(|at| !nameless(&self.columns[*at])).collect();
        self.gaps.iter_mut().for_each(|gap| *gap = kept.partition_point(|at| at < gap));
        self.columns.retain(|seen| !nameless(seen));
        self.nameless = self.columns.len() < before;
        Ok(())
    }

    /// Whether its first rows are those of the table.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether all of its rows are those of the table.
    pub fn is_exact(&self) -> bool {
        self.is_whole && self.more == 0
    }

    /// The cell of a column in a row: that of the table, where it has few rows or the column may hold labels, and else the different values
    /// one after the other. Behind stand, where a value is missing anywhere, rows without gaps of all values, or rows with one gap each: so no value is
    /// lost with a row that is left out, and no gap with that of another column.
    pub fn cell(&self, column: usize, row: usize) -> &str {
        let seen = &self.columns[column];
        if row < self.rows && (self.is_whole || seen.may_label()) {
            return seen.cells.get(row).map_or("", String::as_str);
        }
        let gap = row.checked_sub(self.rows).and_then(|at| self.gaps.get(at));
        if !self.is_whole && gap == Some(&column) {
            return "";
        }
        seen.values.get(row % seen.values.len().max(1)).map_or("", String::as_str)
    }
}

/// Looks at the columns of one file, whose indices among all are `order`.
fn of_file(
    table: &Numbers,
    columns: &[Named],
    order: &[usize],
    all: &mut [Seen],
    extent: Extent,
) -> Result<()> {
    let rows = table.rows();
    for row in (0..rows).step_by(SEGMENT) {
        let count = SEGMENT.min(rows - row);
        let mut in_file = Vec::new();
        for (column, &at) in columns.iter().zip(order) {
            if !all[at].is_open(extent) {
                continue;
            }
            match &column.at {
                At::Folder(value) => {
                    let times = if extent.is_whole { count } else { 1 };
                    (0..times).for_each(|_| all[at].text(Some(value), None, extent));
                }
                At::File(of) => in_file.push((*of, at, column.is_number)),
            }
        }
        if !in_file.is_empty() {
            read(table, &in_file, all, (row, count, extent))?;
        }
    }
    Ok(())
}

/// Looks at some rows of some columns, each with its index in the file, among all, and whether it is one of numbers.
fn read(
    table: &Numbers,
    columns: &[(usize, usize, bool)],
    all: &mut [Seen],
    (first, count, extent): (usize, usize, Extent),
) -> Result<()> {
    let mut done = 0;
    match table {
        Numbers::Npy(npy) => {
            let of = |(place, (column, ..)): (usize, &(usize, usize, bool))| InFile {
                column: *column,
                index: place,
                place,
                is_number: true,
            };
            let read: Vec<InFile> = columns.iter().enumerate().map(of).collect();
            let mut walk = npy.walk(first)?;
            while done < count {
                let part = PART.min(count - done);
                let mut window = Window::default();
                let mut target = Target::new(&mut window, part, columns.len(), 0);
                // Of wide arrays few rows come at once.
                let mut found = 0;
                while found < part {
                    found += walk.next(part - found, &read, &mut target, found)?;
                }
                for row in window.x.chunks_exact(columns.len()) {
                    for (v, (_, at, _)) in row.iter().zip(columns) {
                        all[*at].number(*v, extent);
                    }
                }
                done += part;
            }
        }
        Numbers::Text(text) => {
            let mut walk = text.walk(first)?;
            for _ in 0..count {
                walk.next()?;
                for (column, at, _) in columns {
                    let (seen, cell) = (&mut all[*at], walk.cell(*column));
                    // Of other columns it does not matter.
                    let number = seen.may_label().then(|| text.numerals.0.parse(cell)).flatten();
                    seen.text(Some(cell), number, extent);
                }
            }
            walk.check()?;
        }
        #[cfg(feature = "parquet")]
        Numbers::Parquet(file) => {
            let read: Vec<usize> = columns.iter().map(|(column, ..)| *column).collect();
            let mut walk = file.walk(&read, first)?;
            let mut numbers = vec![0.0; PART];
            while done < count {
                done += walk.next(PART.min(count - done), |index, batch| {
                    let (column, at, is_number) = columns[index];
                    let seen = &mut all[at];
                    if is_number && !batch.is_decimal() {
                        batch.numbers(&mut numbers, 1);
                        numbers.iter().take(batch.rows()).for_each(|v| seen.number(*v, extent));
                        return Ok(());
                    }
                    let mut wrong = None;
                    batch.texts(|row, cell| {
                        if cell.is_none() && batch.is_there(row) {
                            wrong = wrong.or(Some(first + done + row));
                        }
                        seen.text(cell, None, extent);
                    });
                    wrong.map_or(Ok(()), |row| Err(file.unreadable(column, row)))
                })?;
            }
        }
    }
    Ok(())
}

impl Seen {
    fn new(column: &Named, place: usize) -> Self {
        Seen {
            name: column.name.clone(),
            place,
            is_text: column.is_text,
            is_crowded: false,
            is_increasing: true,
            last: f64::NEG_INFINITY,
            first: f64::NAN,
            count: 0,
            cells: Vec::new(),
            values: Vec::new(),
            numbers: HashSet::new(),
            texts: HashSet::new(),
            has_gap: false,
        }
    }

    /// Whether a further row may say something new.
    fn is_open(&self, extent: Extent) -> bool {
        let is_known = self.is_crowded && (self.has_gap || !extent.gaps);
        extent.is_whole || !is_known || self.may_label()
    }

    /// Whether it may hold the labels of the rows, as far as is known.
    pub fn may_label(&self) -> bool {
        self.place == 0 && self.is_increasing
    }

    /// Whether its numbers, which increase, count all rows.
    pub fn counts(&self) -> bool {
        self.last - self.first + 1.0 == self.count as f64
    }

    fn number(&mut self, v: f64, extent: Extent) {
        if extent.is_whole || (self.may_label() && self.cells.len() < extent.rows) {
            self.cells.push(if v.is_nan() { String::new() } else { digits(v) });
        }
        self.follow(v);
        self.has_gap |= v.is_nan();
        if !self.is_crowded && v.is_finite() && self.numbers.insert(v.to_bits()) {
            self.add(digits(v), extent);
        }
    }

    /// Takes the next number.
    fn follow(&mut self, v: f64) {
        self.is_increasing = self.is_increasing && v > self.last;
        self.last = v;
        if self.count == 0 {
            self.first = v;
        }
        self.count += 1;
    }

    /// Takes the next cell, and the number that it is where it may be a label.
    fn text(&mut self, cell: Option<&str>, number: Option<f64>, extent: Extent) {
        let cell = cell.map(str::trim).filter(|cell| !is_missing(cell));
        let may_label = number.is_some() && self.cells.len() < extent.rows;
        if extent.is_whole || may_label {
            self.cells.push(cell.unwrap_or_default().to_string());
        }
        match number {
            Some(v) => self.follow(v),
            None => self.is_increasing = false,
        }
        let Some(cell) = cell else {
            self.has_gap = true;
            return;
        };
        if self.is_crowded || self.texts.contains(cell) {
            return;
        }
        if cell.len() > LONG && !extent.is_whole {
            // No name of a level; what it begins with is shown.
            self.add(cell.chars().take(100).collect(), extent);
            self.crowd();
        } else {
            self.texts.insert(cell.to_string());
            self.add(cell.to_string(), extent);
        }
    }

    fn add(&mut self, value: String, extent: Extent) {
        self.values.push(value);
        if self.values.len() > extent.values() {
            self.crowd();
        }
    }

    fn crowd(&mut self) {
        self.is_crowded = true;
        self.numbers = HashSet::new();
        self.texts = HashSet::new();
    }
}
