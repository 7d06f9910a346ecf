//! Columns of a table as inputs of a network.

use std::collections::{HashMap, HashSet};

use ndarray::Array2;
use rayon::prelude::*;

use super::{Missing, Table};
use crate::error::{Error, Result};
use crate::io::column::cell::{are_words, list, plural, short};
use crate::io::column::classes::{Index, values};
use crate::io::column::{Cell, Coding, Column, Fill, time};
use crate::memory::{bytes_of, require_memory};

/// More levels than this, in columns where most rows differ, are names and no groups.
const FEW: usize = 20;
/// More levels than this are never made inputs unless it is said.
const MANY: usize = 100;

/// The rows that are read together, column by column: their text stays at hand.
const PART: usize = 4096;

/// The cells of a column that have a value, and those of them that are numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    known: usize,
    numbers: usize,
}

/// How a column is to become inputs, where the choice is not left to its values.
#[derive(Debug, Clone, PartialEq)]
pub enum Encode {
    /// A number.
    Number,
    /// Indicators of its levels but the reference: the level of this name, or the first.
    Levels(Option<String>),
    /// Indicators of all its levels.
    OneHot,
    /// A date or a time in this form, as in `%d.%m.%Y`.
    Time(String),
}

/// The treatment of a level that a model does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unknown {
    /// Refuse it and name the place.
    #[default]
    Error,
    /// As a missing value.
    Missing,
    /// As the reference.
    Reference,
}

impl Table {
    /// How a column becomes inputs: as `how` says, or as its values in `rows` suggest; with `fill`, missing values are to have a
    /// substitute, which [`impute`](super::impute) learns.
    ///
    /// # Errors
    /// Values that are not all of one kind, or more levels than a network can learn.
    pub(super) fn learn(
        &self,
        column: usize,
        rows: &[usize],
        how: Option<&Encode>,
        tally: Tally,
        fill: bool,
    ) -> Result<Column> {
        let all = || rows.iter().map(|&row| (row, self.text_at(row, column)));
        let known = || all().filter(|(_, cell)| !self.is_missing(cell));
        let cells = || known().map(|(_, cell)| cell);
        if matches!(how, Some(Encode::OneHot | Encode::Levels(_))) {
            self.refuse_crowded(column)?;
        }
        let coding = match how {
            Some(Encode::Number) => Coding::Number,
            Some(Encode::Time(format)) => Coding::Time { format: format.clone() },
            Some(Encode::OneHot) => Coding::Levels { levels: values(cells()), reference: None },
            Some(Encode::Levels(reference)) => {
                let levels = values(cells());
                let reference = match reference {
                    None => 0,
                    Some(name) => Index::of(&levels).find(name).ok_or_else(|| {
                        let why = format!("there is no level '{name}'; known: {}", list(&levels));
                        Error::invalid(format!("column '{}'", self.names[column]), why)
                    })?,
                };
                Coding::Levels { levels, reference: Some(reference) }
            }
            None => {
                let numbers = tally.numbers;
                if numbers == tally.known {
                    Coding::Number
                } else if numbers > 0 {
                    return Err(self.mixed(column, rows, numbers));
                } else {
                    self.text_or_time(column, rows)?
                }
            }
        };
        let mut out = Column { name: self.names[column].clone(), coding, fill: None };
        let gaps = || all().any(|(_, cell)| self.is_missing(cell));
        if fill && gaps() && known().next().is_some() {
            out.fill = Some(match out.coding {
                Coding::Levels { .. } => Fill::Level(0),
                _ => Fill::Number(0.0),
            });
        }
        Ok(out)
    }

    /// How many cells of each column have a value, and how many of these are numbers.
    pub(super) fn tally(&self, columns: &[usize], rows: &[usize]) -> Vec<Tally> {
        let none = || vec![Tally::default(); columns.len()];
        let of_part = |mut tallies: Vec<Tally>, rows: &[usize]| {
            for &row in rows {
                for (tally, &column) in tallies.iter_mut().zip(columns) {
                    if !self.has_gap(row, column) {
                        tally.known += 1;
                        let is_number =
                            !self.is_text(column) && self.number_at(row, column).is_some();
                        tally.numbers += usize::from(is_number);
                    }
                }
            }
            tallies
        };
        let sum = |mut a: Vec<Tally>, b: Vec<Tally>| {
            for (a, b) in a.iter_mut().zip(b) {
                a.known += b.known;
                a.numbers += b.numbers;
            }
            a
        };
        rows.par_chunks(PART).fold(none, of_part).reduce(none, sum)
    }

    /// The error of a column with numbers and other text.
    fn mixed(&self, column: usize, rows: &[usize], numbers: usize) -> Error {
        let odd = (rows.iter()).find_map(|&row| {
            let cell = self.text_at(row, column);
            let why = self.numerals.number(cell).err()?;
            (!self.is_missing(cell)).then_some((row, cell, why))
        });
        let (row, cell, why) = odd.unwrap_or((0, "", String::new()));
        let name = short(&self.names[column]);
        let others = plural(numbers, "other value");
        let are = if numbers == 1 { "is" } else { "are" };
        let cell = short(cell);
        let why = format!(
            "{why}; {numbers} {others} {are}. Correct it, or say --encode '{name}' (each value is a level), --na '{cell}' (it means \
             missing) or --ignore '{name}'"
        );
        self.wrong(row, column, why)
    }

    /// The coding of a column without a number.
    fn text_or_time(&self, column: usize, rows: &[usize]) -> Result<Coding> {
        let known = || rows.iter().copied().filter(|&row| !self.has_gap(row, column));
        let cells = || known().map(|row| self.text_at(row, column));
        let name = &self.names[column];
        let refused = |why: String| Error::Format {
            path: self.path.clone(),
            line: None,
            column: Some(short(name)),
            why,
        };
        match time::formats(cells).as_slice() {
            [] => {
                if let Some((format, at)) = time::broken(cells)
                    && let Some(row) = known().nth(at)
                {
                    let cell = short(self.text_at(row, column));
                    let why = format!(
                        "'{cell}' is not of the form {format}, which the others have; correct it, or say --na '{cell}' (it means \
                         missing) or --ignore '{name}'"
                    );
                    return Err(self.wrong(row, column, why));
                }
            }
            [format] => return Ok(Coding::Time { format: format.to_string() }),
            [first, second, ..] => {
                return Err(refused(format!(
                    "its dates may be {first} or {second}; say which by --encode '{name}={first}'"
                )));
            }
        }
        self.refuse_crowded(column)?;
        let levels = values(cells());
        let (count, all) = (levels.len(), self.rows_of(rows));
        if count > MANY || (count > FEW && count * 2 > all) {
            if let Some(cell) = cells().next().filter(|_| !are_words(cells())) {
                return Err(refused(format!(
                    "its values look like numbers with signs or units, as '{}', and are none; write plain numbers, leave the column out with \
                     --ignore '{name}', or make an input of each value with --encode '{name}'",
                    short(cell)
                )));
            }
            let groups = match known().count() - count {
                0 => String::new(),
                _ => format!("keep its equal rows together with --groups '{name}', "),
            };
            return Err(refused(format!(
                "text with {count} different values in {all} rows is not encoded; leave the column out with --ignore '{name}', {groups}or \
                 make an input of each value with --encode '{name}'"
            )));
        }
        Ok(Coding::Levels { levels, reference: Some(0) })
    }

    /// The indices of the columns that `columns` name.
    ///
    /// # Errors
    /// A column that the table has not.
    pub fn places(&self, columns: &[Column]) -> Result<Vec<usize>> {
        // Of the names that are needed: a table may have far more.
        let wanted: HashSet<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        let places: HashMap<&str, usize> = (self.names.iter().enumerate())
            .map(|(place, name)| (name.as_str(), place))
            .filter(|(name, _)| wanted.contains(name))
            .collect();
        let place = |name: &str| places.get(name).map_or_else(|| self.column(name), |&c| Ok(c));
        columns.iter().map(|column| place(&column.name)).collect()
    }

    /// The rows among `rows` that have a value in every one of `columns` without a fill and in each of `others`, and the number of the
    /// rest; unknown levels may count as missing. Where rows are to be dropped, a fill is not used.
    ///
    /// # Errors
    /// A column that the table has not; a missing value, unless such rows are to be dropped, or a fill is asked for that there is not; no row is left.
    pub fn usable_rows(
        &self,
        rows: &[usize],
        columns: &[Column],
        others: &[usize],
        missing: Missing,
        unknown: Unknown,
    ) -> Result<(Vec<usize>, usize)> {
        let places = self.places(columns)?;
        let needed: Vec<_> = (columns.iter().zip(&places))
            .filter(|(column, _)| column.fill.is_none() || missing == Missing::Drop)
            .map(|(column, &place)| {
                let index = match &column.coding {
                    Coding::Levels { levels, .. } if unknown == Unknown::Missing => {
                        Some(Index::of(levels))
                    }
                    _ => None,
                };
                (place, index)
            })
            .collect();
        let empty = |row, c| self.has_gap(row, c);
        let unfilled = |row| {
            let gap = |(place, index): &(usize, Option<Index>)| {
                let strange =
                    || index.as_ref().is_some_and(|i| i.find(self.text_at(row, *place)).is_none());
                (empty(row, *place) || strange()).then_some(*place)
            };
            needed.iter().find_map(gap)
        };
        if missing == Missing::Impute
            && let Some((row, place)) = rows.iter().find_map(|&row| Some((row, unfilled(row)?)))
        {
            let why = format!(
                "the value is missing ('{}'), and the model has none to fill in: this column had no gap when it was fitted; leave such rows \
                 out with --missing drop",
                short(self.text_at(row, place))
            );
            return Err(self.wrong(row, place, why));
        }
        let other = |row| others.iter().copied().find(|&c| empty(row, c));
        self.rows_without(rows, missing, |row| unfilled(row).or_else(|| other(row)), |_| false)
    }

    /// The inputs that `columns` give in `rows`, rows × inputs.
    ///
    /// # Errors
    /// A cell that is not what its column needs, with line and column; a missing value that nothing replaces.
    pub fn inputs(
        &self,
        columns: &[Column],
        rows: &[usize],
        unknown: Unknown,
    ) -> Result<Array2<f64>> {
        let places = self.places(columns)?;
        let widths: Vec<usize> = columns.iter().map(Column::width).collect();
        let width = widths.iter().sum();
        let indices: Vec<Option<Index>> = (columns.iter())
            .map(|column| match &column.coding {
                Coding::Levels { levels, .. } => Some(Index::of(levels)),
                _ => None,
            })
            .collect();
        self.filled(rows, width, |rows, x| {
            let mut rest = x;
            for &row in rows {
                let places = columns.iter().zip(&indices).zip(&places).zip(&widths);
                for (((column, index), &place), &width) in places {
                    let (out, after) = rest.split_at_mut(width);
                    self.code(column, index.as_ref(), (row, place), unknown, out)?;
                    rest = after;
                }
            }
            Ok(())
        })
    }

    /// The numbers of `columns` in `rows`, if every cell is one.
    pub(super) fn numbers_alone(&self, columns: &[usize], rows: &[usize]) -> Option<Array2<f64>> {
        let is_number = |row, c| !self.is_text(c) && self.number_at(row, c).is_some();
        let first = rows.first()?;
        // A number may stand for a missing value; and most tables with text show it in their first row.
        if !self.missing.is_empty() || !columns.iter().all(|&c| is_number(*first, c)) {
            return None;
        }
        let numbers = self.filled(rows, columns.len(), |rows, x| {
            let of_rows = rows.iter().zip(self.cells.numbers_of(rows));
            for ((&row, of_row), x) in of_rows.zip(x.chunks_mut(columns.len().max(1))) {
                for (x, &column) in x.iter_mut().zip(columns) {
                    *x = match of_row.get(column) {
                        Some(known) if !known.is_nan() => *known,
                        _ => (self.finite_at(row, column))
                            .map_err(|why| Error::invalid("table", why))?,
                    };
                }
            }
            Ok(())
        });
        numbers.ok()
    }

    /// The array, rows × width, of which `write` gives some rows at a time.
    fn filled(
        &self,
        rows: &[usize],
        width: usize,
        write: impl Fn(&[usize], &mut [f64]) -> Result<()> + Sync,
    ) -> Result<Array2<f64>> {
        let size = crate::evaluate::shape_product("the table", &[rows.len(), width])?;
        let what = format!("the numbers of {} rows and {width} inputs", rows.len());
        require_memory(&what, bytes_of(&[8, size]), "leave out rows or columns")?;
        let mut x = vec![0.0; size];
        let parts = x.par_chunks_mut(PART * width.max(1)).zip(rows.par_chunks(PART));
        let read: Vec<Result<()>> = parts.map(|(x, rows)| write(rows, x)).collect();
        // The first in the file is the one to tell.
        read.into_iter().collect::<Result<()>>()?;
        let shape = (rows.len(), width);
        Array2::from_shape_vec(shape, x).map_err(|e| Error::invalid("the table", e.to_string()))
    }

    /// Writes the inputs of one column in one row.
    fn code(
        &self,
        column: &Column,
        index: Option<&Index>,
        (row, place): (usize, usize),
        unknown: Unknown,
        out: &mut [f64],
    ) -> Result<()> {
        if let (Coding::Number, Some(number)) = (&column.coding, self.cells.number(row, place)) {
            out.fill(0.0);
            out[0] = number;
            return Ok(());
        }
        let cell = self.text_at(row, place);
        let value = match (&column.coding, index) {
            _ if self.is_missing(cell) => Cell::Missing,
            (Coding::Levels { levels, reference }, Some(index)) => {
                match (index.find(cell), unknown) {
                    (Some(level), _) => Cell::Level(Some(level)),
                    (None, Unknown::Error) => return Err(self.unknown_level(row, place, levels)),
                    (None, Unknown::Missing) => Cell::Missing,
                    (None, Unknown::Reference) => Cell::Level(*reference),
                }
            }
            (coding, _) => Cell::Number(self.number_of(coding, row, place, cell)?),
        };
        if column.write(value, out) {
            return Ok(());
        }
        let why = format!("the value is missing ('{}')", short(cell));
        Err(self.wrong(row, place, why))
    }

    /// The number of a cell with a value.
    fn number_of(&self, coding: &Coding, row: usize, place: usize, cell: &str) -> Result<f64> {
        if let Coding::Time { format } = coding {
            return time::number(cell, format).ok_or_else(|| {
                let why = format!("'{}' is not of the form {format}", short(cell));
                self.wrong(row, place, why)
            });
        }
        self.numerals.number(cell).map_err(|why| {
            let name = short(&self.names[place]);
            let why = format!("{why}; a fit leaves the column out with --ignore '{name}'");
            self.wrong(row, place, why)
        })
    }

    fn unknown_level(&self, row: usize, place: usize, levels: &[String]) -> Error {
        let cell = short(self.text_at(row, place));
        let why = format!(
            "the value '{cell}' is unknown to the model; known: {}. --unknown reference takes it for the reference, --unknown \
             missing for a missing value",
            list(levels)
        );
        self.wrong(row, place, why)
    }
}
