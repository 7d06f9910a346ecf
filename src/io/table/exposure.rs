//! Exposures: the amounts by which counts are known to grow.

use serde_json::{Value, json};

use super::Table;
use crate::error::{Error, Result};
use crate::io::json::{field, object, wrong};
use crate::objective::Loss;

/// The column of the exposures E > 0 of a model with the mean E exp x, such as the years in which events were counted.
///
/// log E is an offset of the linear predictor x: known, and not multiplied by a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// The name of the column.
    pub column: String,
    /// Whether it holds the offset log E.
    pub is_log: bool,
}

impl Exposure {
    /// The exposure as JSON.
    pub fn to_json(&self) -> Value {
        json!({"column": self.column, "log": self.is_log})
    }

    /// The exposure that [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// A key that is missing or has a wrong value.
    pub fn from_json(value: &Value) -> Result<Self> {
        let map = object(value, "exposure")?;
        let column = field(map, "column", "exposure")?.as_str().map(String::from);
        let is_log = field(map, "log", "exposure")?.as_bool();
        Ok(Exposure {
            column: column.ok_or_else(|| wrong("exposure.column", "must be text"))?,
            is_log: is_log.ok_or_else(|| wrong("exposure.log", "must be true or false"))?,
        })
    }

    /// That the loss has an exposure: with the weight ω and the target y the poisson loss of the mean E exp x is that of exp x with ωE
    /// and y/E, and the gamma loss that with ω and y/E, both but for a constant.
    ///
    /// # Errors
    /// Another loss.
    pub fn check(loss: &Loss) -> Result<()> {
        match loss {
            Loss::Poisson | Loss::Gamma => Ok(()),
            other => {
                let why = format!(
                    "the loss {} has none; poisson and gamma have",
                    other.guarded(|| other.name().to_string())?
                );
                Err(Error::invalid("exposure", why))
            }
        }
    }
}

impl Table {
    /// The exposures E in some rows.
    ///
    /// # Errors
    /// A cell that is not a number, or an exposure that is not positive and finite, with line and column.
    pub fn exposures(
        &self,
        exposure: &Exposure,
        column: usize,
        rows: &[usize],
    ) -> Result<Vec<f64>> {
        let numbers = self.numbers(column, rows)?;
        let of = |(&row, number): (&usize, f64)| {
            let value = if exposure.is_log { libm::exp(number) } else { number };
            if value > 0.0 && value.is_finite() {
                return Ok(value);
            }
            let why = if exposure.is_log {
                format!("the exposure exp({number}) is beyond the range of a 64-bit float")
            } else {
                format!("the exposure {number} is not positive; leave such rows out")
            };
            Err(self.wrong(row, column, why))
        };
        rows.iter().zip(numbers).map(of).collect()
    }
}
