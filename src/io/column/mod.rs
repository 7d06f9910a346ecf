//! Columns of files, and how their cells become inputs of a network: what tables and rows that are read share.

pub(crate) mod cell;
pub(crate) mod classes;
mod coder;
pub(crate) mod time;

pub(crate) use coder::Coder;

use serde_json::{Map, Value, json};

use super::json::{array, field, number, object, size, wrong};
use crate::error::Result;
use cell::{list, short};

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

/// The value of a column in one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell {
    /// A number, or a time as one.
    Number(f64),
    /// The index of a level; none of those that are known.
    Level(Option<usize>),
    Missing,
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

    /// The number of its inputs.
    pub fn width(&self) -> usize {
        let coded = match &self.coding {
            Coding::Levels { levels, reference } => {
                levels.len() - usize::from(reference.is_some_and(|r| r < levels.len()))
            }
            _ => 1,
        };
        coded + usize::from(self.fill.is_some())
    }

    /// Writes its inputs in one row; false for a missing value without a substitute.
    pub(crate) fn write(&self, value: Cell, out: &mut [f64]) -> bool {
        out.fill(0.0);
        let (mut value, is_gap) = (value, value == Cell::Missing);
        if is_gap {
            value = match self.fill {
                Some(Fill::Number(mean)) => Cell::Number(mean),
                Some(Fill::Level(level)) => Cell::Level(Some(level)),
                None => return false,
            };
            if let Some(mark) = out.last_mut() {
                *mark = 1.0;
            }
        }
        match (value, &self.coding) {
            // The levels but the reference, in their order.
            (Cell::Level(Some(level)), Coding::Levels { levels, reference })
                if level < levels.len() && Some(level) != *reference =>
            {
                out[level - usize::from(reference.is_some_and(|r| r < level))] = 1.0;
            }
            (Cell::Number(number), Coding::Number | Coding::Time { .. }) => out[0] = number,
            _ => {}
        }
        true
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

/// The number as text that reads back to the same bits, without many zeros.
pub(crate) fn digits(v: f64) -> String {
    if v == 0.0 || (1e-5..1e17).contains(&v.abs()) { v.to_string() } else { format!("{v:e}") }
}
