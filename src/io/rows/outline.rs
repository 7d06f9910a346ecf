//! The different values of the columns of a table of files, where they are few: what codings, classes and task follow from.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::folder::{Place, places};
use super::{At, InFile, Named, Numbers, Target, columns_of};
use crate::error::Result;
use crate::io::column::cell::is_missing;
use crate::io::column::digits;
use crate::io::json::format_error;
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
    /// Its rows before those that are there for values and gaps alone.
    pub rows: usize,
    /// The rows after those, so that neither a value nor a gap is lost with a row that is left out.
    pub more: usize,
    /// Whether the first are the rows of the table.
    is_whole: bool,
    /// The indices of the columns in which a value is missing, where that matters.
    gaps: Vec<usize>,
}

/// A column as far as it was seen.
pub(crate) struct Seen {
    pub name: String,
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
    /// Whether it is the first, which may hold the labels of the rows.
    is_first: bool,
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
pub(crate) fn outline(path: &Path, gaps: bool) -> Result<Outline> {
    let places = places(path)?;
    let (columns, left_out) = columns_of(&places[0])?;
    let mut rows = 0usize;
    for place in &places {
        rows = rows.saturating_add(Numbers::open(&place.path)?.rows());
    }
    if rows == 0 {
        return Err(format_error(path, "there are no rows"));
    }
    let most = (CELLS / columns.len().max(1)).clamp(FEW, ROWS);
    let extent = Extent { rows: rows.min(most), is_whole: rows <= most, gaps };
    let seen = |(at, column): (usize, &Named)| Seen::new(column, at == 0);
    let mut all: Vec<Seen> = columns.iter().enumerate().map(seen).collect();
    let index: HashMap<String, usize> =
        columns.into_iter().enumerate().map(|(at, column)| (column.name, at)).collect();
    for place in &places {
        let (columns, _) = columns_of(place)?;
        let order: Option<Vec<usize>> =
            columns.iter().map(|column| index.get(&column.name).copied()).collect();
        let order = order.filter(|order| order.len() == all.len()).ok_or_else(|| {
            let why = "its columns are others than those of the first file";
            format_error(&place.path, why)
        })?;
        for (column, at) in columns.iter().zip(&order) {
            // Numbers in one folder and text in another are text.
            all[*at].is_text |= column.is_text;
        }
        of_file(place, &columns, &order, &mut all, extent)?;
    }
    let gaps: Vec<usize> = (0..all.len()).filter(|at| gaps && all[*at].has_gap).collect();
    let more = match (gaps.is_empty(), extent.is_whole) {
        (true, _) => 0,
        (false, true) => all.iter().map(|seen| seen.values.len()).max().unwrap_or(0),
        (false, false) => gaps.len(),
    };
    let Extent { rows, is_whole, .. } = extent;
    Ok(Outline { columns: all, left_out, rows, more, is_whole, gaps })
}

impl Outline {
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
    place: &Place,
    columns: &[Named],
    order: &[usize],
    all: &mut [Seen],
    extent: Extent,
) -> Result<()> {
    let table = Numbers::open(&place.path)?;
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
                    (0..times).for_each(|_| all[at].text(Some(value), extent));
                    all[at].is_increasing = false;
                }
                At::File(of) => in_file.push((*of, at, column.is_number)),
            }
        }
        if !in_file.is_empty() {
            read(&table, &in_file, all, (row, count, extent))?;
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
                        seen.text(cell, extent);
                    });
                    wrong.map_or(Ok(()), |row| Err(file.unreadable(column, row)))
                })?;
            }
        }
    }
    Ok(())
}

impl Seen {
    fn new(column: &Named, is_first: bool) -> Self {
        Seen {
            name: column.name.clone(),
            is_text: column.is_text,
            is_crowded: false,
            is_increasing: true,
            last: f64::NEG_INFINITY,
            first: f64::NAN,
            count: 0,
            is_first,
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
        self.is_first && self.is_increasing
    }

    /// Whether its numbers, which increase, count all rows.
    pub fn counts(&self) -> bool {
        self.last - self.first + 1.0 == self.count as f64
    }

    fn number(&mut self, v: f64, extent: Extent) {
        if extent.is_whole || (self.may_label() && self.cells.len() < extent.rows) {
            self.cells.push(if v.is_nan() { String::new() } else { digits(v) });
        }
        self.is_increasing = self.is_increasing && v > self.last;
        self.last = v;
        if self.count == 0 {
            self.first = v;
        }
        self.count += 1;
        self.has_gap |= v.is_nan();
        if !self.is_crowded && v.is_finite() && self.numbers.insert(v.to_bits()) {
            self.add(digits(v), extent);
        }
    }

    fn text(&mut self, cell: Option<&str>, extent: Extent) {
        let cell = cell.map(str::trim).filter(|cell| !is_missing(cell));
        if extent.is_whole {
            self.cells.push(cell.unwrap_or_default().to_string());
        }
        self.is_increasing = false;
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
