//! Samples: inputs X, targets Y and optional weights ω.

use ndarray::Array2;

use crate::error::{Error, Result};

/// n samples: X (n × inputs), Y (n × outputs) and the weights ω (all 1 unless given).
///
/// Every number is finite and every weight is not negative: both are checked on construction.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    x: Array2<f64>,
    y: Array2<f64>,
    weights: Vec<f64>,
}

impl Data {
    /// Samples with the weight 1 each.
    ///
    /// # Errors
    /// X and Y differ in their number of rows; no row; a number that is not finite.
    pub fn new(x: Array2<f64>, y: Array2<f64>) -> Result<Self> {
        if x.nrows() != y.nrows() {
            return Err(Error::shape("rows of Y", &[x.nrows()], &[y.nrows()]));
        }
        if x.nrows() == 0 {
            return Err(Error::invalid("data", "there are no rows"));
        }
        finite("X", &x)?;
        finite("Y", &y)?;
        Ok(Data {
            weights: vec![1.0; x.nrows()],
            // The kernels read rows as slices: a transposed view is copied once, here.
            x: x.as_standard_layout().into_owned(),
            y: y.as_standard_layout().into_owned(),
        })
    }

    /// The same samples with weights ω_i ≥ 0.
    ///
    /// # Errors
    /// A wrong length, a negative weight or one that is not finite, or all weights 0.
    pub fn weighted(mut self, weights: Vec<f64>) -> Result<Self> {
        if weights.len() != self.x.nrows() {
            return Err(Error::shape("sample weights", &[self.x.nrows()], &[weights.len()]));
        }
        if let Some(i) = weights.iter().position(|v| !v.is_finite()) {
            return Err(Error::non_finite("sample weights", &[i]));
        }
        if let Some(i) = weights.iter().position(|&v| v < 0.0) {
            return Err(Error::invalid(
                "sample weights",
                format!("weight {i} is {}; weights must not be negative", weights[i]),
            ));
        }
        if weights.iter().all(|&v| v == 0.0) {
            return Err(Error::invalid("sample weights", "all are 0"));
        }
        self.weights = weights;
        Ok(self)
    }

    /// Returns n, the number of samples.
    pub fn len(&self) -> usize {
        self.x.nrows()
    }

    /// Returns false: data have at least one row.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Returns X, n × inputs.
    pub fn x(&self) -> &Array2<f64> {
        &self.x
    }

    /// Returns Y, n × outputs.
    pub fn y(&self) -> &Array2<f64> {
        &self.y
    }

    /// Returns ω, length n.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }
}

fn finite(what: &str, values: &Array2<f64>) -> Result<()> {
    match values.indexed_iter().find(|(_, v)| !v.is_finite()) {
        Some(((row, column), _)) => Err(Error::non_finite(what, &[row, column])),
        None => Ok(()),
    }
}
