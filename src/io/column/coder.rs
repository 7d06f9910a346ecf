//! Cells of one column as inputs, where they come from a file of typed columns and not from a table of text.

use super::cell::{is_missing, list, short};
use super::classes::Index;
use super::{Cell, Coding, Column, digits, time};

/// How the cells of one column become its inputs.
///
/// Each cell is a number at first: itself, a time as a number, or the index of its level; NaN where the value is missing.
#[derive(Debug, Clone)]
pub(crate) struct Coder {
    column: Column,
    /// Of levels.
    index: Option<Index>,
}

impl Coder {
    pub fn of(column: &Column) -> Self {
        let index = match &column.coding {
            Coding::Levels { levels, .. } => Some(Index::of(levels)),
            _ => None,
        };
        Coder { column: column.clone(), index }
    }

    /// The column.
    pub fn column(&self) -> &Column {
        &self.column
    }

    /// Whether the numbers of the column are its inputs.
    pub fn is_plain(&self) -> bool {
        self.is_of_numbers() && self.column.fill.is_none()
    }

    /// Whether the column must be one of numbers.
    pub fn is_of_numbers(&self) -> bool {
        self.column.coding == Coding::Number
    }

    /// The number of a cell of text.
    ///
    /// # Errors
    /// Why it has none.
    pub fn of_text(&self, cell: &str) -> Result<f64, String> {
        let cell = cell.trim();
        if is_missing(cell) {
            return Ok(f64::NAN);
        }
        match (&self.column.coding, &self.index) {
            (Coding::Levels { levels, .. }, Some(index)) => found(index.find(cell), cell, levels),
            (Coding::Time { format }, _) => time::number(cell, format)
                .ok_or_else(|| format!("'{}' is not of the form {format}", short(cell))),
            _ => (cell.parse().ok().filter(|v: &f64| v.is_finite()))
                .ok_or_else(|| format!("'{}' is not a number", short(cell))),
        }
    }

    /// The number of a cell that is one.
    ///
    /// # Errors
    /// Why it has none.
    pub fn of_number(&self, number: f64) -> Result<f64, String> {
        match (&self.column.coding, &self.index) {
            (Coding::Levels { levels, .. }, Some(index)) if !number.is_nan() => {
                if number.abs() >= 9_007_199_254_740_992.0 {
                    return Err(format!("{number} is too large for the name of a level"));
                }
                match index.find_number(number) {
                    Some(level) => Ok(level as f64),
                    None => found(None, &digits(number), levels),
                }
            }
            (Coding::Time { .. }, _) if !number.is_nan() => self.of_text(&digits(number)),
            _ => Ok(number),
        }
    }

    /// Writes the inputs of a cell by its number; without a substitute a missing value is NaN.
    pub fn write(&self, number: f64, out: &mut [f64]) {
        let cell = match &self.index {
            _ if number.is_nan() => Cell::Missing,
            Some(_) => Cell::Level(Some(number as usize)),
            None => Cell::Number(number),
        };
        if !self.column.write(cell, out) {
            out[0] = f64::NAN;
        }
    }
}

fn found(level: Option<usize>, cell: &str, levels: &[String]) -> Result<f64, String> {
    let unknown = || format!("the value '{}' is unknown; known: {}", short(cell), list(levels));
    level.map(|level| level as f64).ok_or_else(unknown)
}
