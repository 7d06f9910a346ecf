//! Columns of a table as inputs of a network.

use std::collections::{HashMap, HashSet};

use ndarray::{Array2, Axis, s};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::cell::{list, plural, short};
use super::classes::{Index, values};
use super::{Missing, Table, time};
use crate::error::{Error, Result};
use crate::io::json::{array, field, format_error, number, object, size, wrong};
use crate::memory::{bytes_of, require_memory};

/// More levels than this, in columns where most rows differ, are names and no groups.
const FEW: usize = 20;
/// More levels than this are never made inputs unless it is said.
const MANY: usize = 100;

/// A column of a table and the inputs that it becomes.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The name of the column.
    pub name: String,
    /// How its values become numbers.
    pub coding: Coding,
    /// The substitute for a missing value; a further input then tells which rows had none. Without it a missing value is an error.
    pub fill: Option<Fill>,
}

/// How the values of a column become numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Coding {
    /// One input, the number.
    Number,
    /// An input for each level, 1 in its rows and 0 in others, but for the reference, whose rows have 0 in all.
    Levels {
        /// The levels.
        levels: Vec<String>,
        /// The index of the reference; without one every level is an input.
        reference: Option<usize>,
    },
    /// One input: days since 1970-01-01, or hours since midnight for a form without a date.
    Time {
        /// The form, as in `%Y-%m-%d`.
        format: String,
    },
}

/// The substitute for a missing value.
#[derive(Debug, Clone, PartialEq)]
pub enum Fill {
    /// The mean of the column.
    Number(f64),
    /// The index of its most frequent level.
    Level(usize),
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

impl Column {
    /// A column of numbers without missing values.
    pub fn number(name: impl Into<String>) -> Self {
        Column { name: name.into(), coding: Coding::Number, fill: None }
    }

    /// The names of the inputs, in their order.
    pub fn inputs(&self) -> Vec<String> {
        let name = &self.name;
        let mut out = match &self.coding {
            Coding::Levels { levels, reference } => (levels.iter().enumerate())
                .filter(|(index, _)| Some(*index) != *reference)
                .map(|(_, level)| format!("{name}={level}"))
                .collect(),
            _ => vec![name.clone()],
        };
        if self.fill.is_some() {
            out.push(format!("{name} missing"));
        }
        out
    }

    /// The coding in words; none for plain numbers.
    pub fn in_words(&self) -> Option<String> {
        let name = &self.name;
        let coding = match &self.coding {
            Coding::Number => None,
            Coding::Time { format } => Some(format!("{}, read as {format}", time::unit(format))),
            Coding::Levels { levels, reference } => {
                let against = reference.and_then(|r| levels.get(r));
                let rest: Vec<String> =
                    levels.iter().filter(|level| Some(*level) != against).cloned().collect();
                let against = against.map(|r| format!(" against {}", short(r)));
                Some(format!("{}{}", list(&rest), against.unwrap_or_default()))
            }
        };
        let fill = match (&self.fill, &self.coding) {
            (Some(Fill::Number(mean)), _) => Some(format!("{mean} where missing")),
            (Some(Fill::Level(level)), Coding::Levels { levels, .. }) => {
                levels.get(*level).map(|level| format!("{} where missing", short(level)))
            }
            _ => None,
        };
        let parts: Vec<String> = coding.into_iter().chain(fill).collect();
        (!parts.is_empty()).then(|| format!("{name}: {}", parts.join("; ")))
    }

    /// The column as JSON.
    pub fn to_json(&self) -> Value {
        let mut out = json!({"name": self.name});
        match &self.coding {
            Coding::Number => out["coding"] = json!("number"),
            Coding::Levels { levels, reference } => {
                out["coding"] = json!("levels");
                out["levels"] = json!(levels);
                out["reference"] = json!(reference);
            }
            Coding::Time { format } => {
                out["coding"] = json!("time");
                out["format"] = json!(format);
            }
        }
        match self.fill {
            None => {}
            Some(Fill::Number(mean)) => out["fill"] = json!(mean),
            Some(Fill::Level(level)) => out["fill_level"] = json!(level),
        }
        out
    }

    /// The column that [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// A key that is missing or has a wrong value.
    pub fn from_json(value: &Value) -> Result<Self> {
        let map = object(value, "column")?;
        let name = text(map, "name")?;
        let index = |key: &str, levels: usize| match map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match size(value, key)? {
                index if index < levels => Ok(Some(index)),
                _ => Err(wrong(key, "there is no such level")),
            },
        };
        let (coding, count) = match text(map, "coding")?.as_str() {
            "number" => (Coding::Number, 0),
            "time" => (Coding::Time { format: text(map, "format")? }, 0),
            "levels" => {
                let levels: Vec<String> = (array(field(map, "levels", "column")?, "levels")?
                    .iter())
                .map(|v| v.as_str().map(String::from))
                .collect::<Option<_>>()
                .ok_or_else(|| wrong("levels", "must be a list of names"))?;
                let count = levels.len();
                (Coding::Levels { levels, reference: index("reference", count)? }, count)
            }
            other => {
                let why = format!("unknown coding '{other}'; known: number, levels, time");
                return Err(wrong("coding", why));
            }
        };
        let fill = match map.get("fill") {
            None => index("fill_level", count)?.map(Fill::Level),
            Some(mean) => Some(Fill::Number(number(mean, "fill")?)),
        };
        Ok(Column { name, coding, fill })
    }
}

fn text(map: &Map<String, Value>, key: &str) -> Result<String> {
    (field(map, key, "column")?.as_str().map(String::from))
        .ok_or_else(|| wrong(key, "must be text"))
}

impl Table {
    /// How a column becomes inputs: as `how` says, or as its values in `rows` suggest; with `fill` missing values are replaced.
    ///
    /// # Errors
    /// Values that are not all of one kind, or more levels than a network can learn.
    pub(super) fn learn(
        &self,
        column: usize,
        rows: &[usize],
        how: Option<&Encode>,
        fill: bool,
    ) -> Result<Column> {
        let all = || rows.iter().map(|&row| (row, self.text_at(row, column)));
        let known = || all().filter(|(_, cell)| !self.is_missing(cell));
        let cells = || known().map(|(_, cell)| cell);
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
                let numbers = cells().filter(|cell| self.numerals.parse(cell).is_some()).count();
                if numbers == known().count() {
                    Coding::Number
                } else if numbers > 0 {
                    return Err(self.mixed(column, rows, numbers));
                } else {
                    self.text_or_time(column, rows)?
                }
            }
        };
        let gaps = fill && all().any(|(_, cell)| self.is_missing(cell));
        let mut out = Column { name: self.names[column].clone(), coding, fill: None };
        if gaps && known().next().is_some() {
            out.fill =
                Some(self.fill_of(&out, column, &known().map(|(r, _)| r).collect::<Vec<_>>())?);
        }
        Ok(out)
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
        let cells = || {
            let cells = rows.iter().map(|&row| self.text_at(row, column));
            cells.filter(|cell| !self.is_missing(cell))
        };
        let name = &self.names[column];
        let refused = |why: String| Error::Format {
            path: self.path.clone(),
            line: None,
            column: Some(short(name)),
            why,
        };
        match time::formats(cells).as_slice() {
            [] => {}
            [format] => return Ok(Coding::Time { format: format.to_string() }),
            [first, second, ..] => {
                return Err(refused(format!(
                    "its dates may be {first} or {second}; say which by --encode '{name}={first}'"
                )));
            }
        }
        let levels = values(cells());
        let (count, all) = (levels.len(), rows.len());
        if count > MANY || (count > FEW && count * 2 > all) {
            return Err(refused(format!(
                "text with {count} different values in {all} rows is not encoded; leave the column out with --ignore '{name}', or \
                 make an input of each value with --encode '{name}'"
            )));
        }
        Ok(Coding::Levels { levels, reference: Some(0) })
    }

    /// The mean of a column's numbers, or its most frequent level, the first of several.
    fn fill_of(&self, column: &Column, at: usize, rows: &[usize]) -> Result<Fill> {
        match &column.coding {
            Coding::Levels { levels, .. } => {
                let mut counts = vec![0usize; levels.len()];
                let index = Index::of(levels);
                (rows.iter())
                    .filter_map(|&row| index.find(self.text_at(row, at)))
                    .for_each(|level| counts[level] += 1);
                let most = counts.iter().max().copied().unwrap_or(0);
                Ok(Fill::Level(counts.iter().position(|c| *c == most).unwrap_or(0)))
            }
            _ => {
                let numbers = self.coded(column, at, rows, Unknown::Error)?;
                let n = numbers.len() as f64;
                Ok(Fill::Number(numbers.iter().map(|v| v / n).sum()))
            }
        }
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

    /// The rows that have a value in every one of `columns` without a fill and in each of `others`, and the number of the rest;
    /// unknown levels may count as missing.
    ///
    /// # Errors
    /// A column that the table has not; a missing value, unless such rows are to be dropped; no row is left.
    pub fn usable_rows(
        &self,
        columns: &[Column],
        others: &[usize],
        missing: Missing,
        unknown: Unknown,
    ) -> Result<(Vec<usize>, usize)> {
        let places = self.places(columns)?;
        let needed: Vec<_> = (columns.iter().zip(&places))
            .filter(|(column, _)| column.fill.is_none())
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
        let empty = |row, c| self.is_missing(self.text_at(row, c));
        self.rows_without(missing, |row| {
            let gap = |(place, index): &(usize, Option<Index>)| {
                let strange =
                    || index.as_ref().is_some_and(|i| i.find(self.text_at(row, *place)).is_none());
                (empty(row, *place) || strange()).then_some(*place)
            };
            let other = || others.iter().copied().find(|&c| empty(row, c));
            needed.iter().find_map(gap).or_else(other)
        })
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
        let widths: Vec<usize> = columns.iter().map(|column| column.inputs().len()).collect();
        let width = widths.iter().sum();
        let size = crate::evaluate::shape_product("the table", &[rows.len(), width])?;
        let what = format!("the numbers of {} rows and {width} inputs", rows.len());
        // By columns, and as the rows that they become.
        require_memory(&what, bytes_of(&[16, size]), "leave out rows or columns")?;
        let parts: Vec<Vec<f64>> = (columns.par_iter().zip(&places))
            .map(|(column, &place)| self.coded(column, place, rows, unknown))
            .collect::<Result<_>>()?;
        let mut x = Array2::zeros((rows.len(), width));
        let mut from = 0;
        for (part, &width) in parts.into_iter().zip(&widths) {
            if width > 0 {
                let part = Array2::from_shape_vec((rows.len(), width), part)
                    .map_err(|e| format_error(&self.path, e.to_string()))?;
                x.slice_mut(s![.., from..from + width]).assign(&part);
                from += width;
            }
        }
        debug_assert_eq!(x.len_of(Axis(1)), from);
        Ok(x)
    }

    /// The inputs of one column, row by row.
    fn coded(
        &self,
        column: &Column,
        place: usize,
        rows: &[usize],
        unknown: Unknown,
    ) -> Result<Vec<f64>> {
        let index = match &column.coding {
            Coding::Levels { levels, .. } => Some(Index::of(levels)),
            _ => None,
        };
        let width = column.inputs().len();
        let mut out = Vec::with_capacity(rows.len() * width);
        for &row in rows {
            let cell = self.text_at(row, place);
            let mut gap = self.is_missing(cell);
            match (&column.coding, &index) {
                (Coding::Levels { levels, reference }, Some(index)) => {
                    let mut level = index.find(cell).filter(|_| !gap);
                    if level.is_none() && !gap {
                        match unknown {
                            Unknown::Error => return Err(self.unknown_level(row, place, levels)),
                            Unknown::Missing => gap = true,
                            Unknown::Reference => level = *reference,
                        }
                    }
                    if let (true, Some(Fill::Level(fill))) = (gap, &column.fill) {
                        level = Some(*fill);
                    }
                    let indicator = |i: usize| f64::from(u8::from(level == Some(i)));
                    let others = (0..levels.len()).filter(|i| Some(*i) != *reference);
                    out.extend(others.map(indicator));
                }
                (coding, _) => out.push(match (gap, &column.fill) {
                    (true, Some(Fill::Number(mean))) => *mean,
                    (true, _) => 0.0,
                    (false, _) => self.number_of(coding, row, place, cell)?,
                }),
            }
            if column.fill.is_some() {
                out.push(f64::from(u8::from(gap)));
            } else if gap {
                let why = format!("the value is missing ('{}')", short(cell));
                return Err(self.wrong(row, place, why));
            }
        }
        Ok(out)
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
