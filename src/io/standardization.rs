//! Inputs and targets with mean 0 and standard deviation 1.

use ndarray::Array2;
use serde_json::{Value, json};

use super::json::{field, numbers, object};
use crate::error::{Error, Result};
use crate::memory::{bytes_of, require_memory};

/// Mean and scale of every input and of every target: (x − mean)/scale has mean 0 and standard deviation 1.
///
/// The scale is the standard deviation with n, not n − 1, in the denominator; a column that is constant has scale 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardization {
    /// The mean of each input.
    pub x_mean: Vec<f64>,
    /// The scale of each input, positive.
    pub x_scale: Vec<f64>,
    /// The mean of each target; 0 where targets are not standardised.
    pub y_mean: Vec<f64>,
    /// The scale of each target, positive; 1 where targets are not standardised.
    pub y_scale: Vec<f64>,
}

impl Standardization {
    /// Means 0 and scales 1.
    pub fn none(inputs: usize, targets: usize) -> Self {
        Standardization {
            x_mean: vec![0.0; inputs],
            x_scale: vec![1.0; inputs],
            y_mean: vec![0.0; targets],
            y_scale: vec![1.0; targets],
        }
    }

    /// The lists under `x_mean`, `x_scale`, `y_mean` and `y_scale`.
    pub fn to_json(&self) -> Value {
        json!({
            "x_mean": self.x_mean, "x_scale": self.x_scale, "y_mean": self.y_mean, "y_scale": self.y_scale,
        })
    }

    /// The standardisation as [`to_json`](Self::to_json) writes it.
    ///
    /// # Errors
    /// A list that is missing or holds something else than finite numbers.
    pub fn from_json(value: &Value) -> Result<Self> {
        let map = object(value, "standardization")?;
        let list = |name: &str| {
            let place = format!("standardization.{name}");
            numbers(field(map, name, "standardization")?, &place)
        };
        Ok(Standardization {
            x_mean: list("x_mean")?,
            x_scale: list("x_scale")?,
            y_mean: list("y_mean")?,
            y_scale: list("y_scale")?,
        })
    }

    /// Mean and scale of the columns of `x`, and remarks on columns that are constant or nearly so. Targets stay as
    /// they are.
    ///
    /// # Errors
    /// Values so large that their spread overflows.
    pub fn of_inputs(
        x: &Array2<f64>,
        names: &[String],
        targets: usize,
    ) -> Result<(Self, Vec<String>)> {
        let mut out = Standardization::none(x.ncols(), targets);
        let mut remarks = Vec::new();
        for (c, column) in x.columns().into_iter().enumerate() {
            let values = column.to_vec();
            let name = names.get(c).map_or("", String::as_str);
            (out.x_mean[c], out.x_scale[c]) = spread(&values, name, &mut remarks)?;
        }
        Ok((out, remarks))
    }

    /// The same with the targets' mean and scale, and remarks as above.
    ///
    /// # Errors
    /// As [`of_inputs`](Self::of_inputs); as many columns as there are targets are needed.
    pub fn with_targets(
        mut self,
        y: &Array2<f64>,
        names: &[String],
    ) -> Result<(Self, Vec<String>)> {
        if y.ncols() != self.y_mean.len() {
            return Err(Error::shape("targets", &[self.y_mean.len()], &[y.ncols()]));
        }
        let mut remarks = Vec::new();
        for (c, column) in y.columns().into_iter().enumerate() {
            let values = column.to_vec();
            let name = names.get(c).map_or("", String::as_str);
            (self.y_mean[c], self.y_scale[c]) = spread(&values, name, &mut remarks)?;
        }
        Ok((self, remarks))
    }

    /// Inputs as the network sees them.
    ///
    /// # Errors
    /// Another number of columns than there are inputs.
    pub fn inputs(&self, x: &Array2<f64>) -> Result<Array2<f64>> {
        map("inputs", x, &self.x_mean, &self.x_scale, standard)
    }

    /// Targets as the network sees them.
    ///
    /// # Errors
    /// Another number of columns than there are targets.
    pub fn targets(&self, y: &Array2<f64>) -> Result<Array2<f64>> {
        map("targets", y, &self.y_mean, &self.y_scale, standard)
    }

    /// The network's outputs in the units of the targets.
    ///
    /// # Errors
    /// Another number of columns than there are targets.
    pub fn original(&self, outputs: &Array2<f64>) -> Result<Array2<f64>> {
        map("outputs", outputs, &self.y_mean, &self.y_scale, |v, mean, scale| v * scale + mean)
    }
}

/// (v − mean)/scale; the difference of huge numbers may overflow where the quotient does not.
fn standard(v: f64, mean: f64, scale: f64) -> f64 {
    let difference = v - mean;
    if difference.is_finite() { difference / scale } else { v / scale - mean / scale }
}

fn map(
    what: &str,
    values: &Array2<f64>,
    mean: &[f64],
    scale: &[f64],
    f: impl Fn(f64, f64, f64) -> f64,
) -> Result<Array2<f64>> {
    if values.ncols() != mean.len() || mean.len() != scale.len() {
        return Err(Error::shape(
            format!("columns of the {what}"),
            &[mean.len()],
            &[values.ncols()],
        ));
    }
    require_memory(
        &format!("standardised {what}"),
        bytes_of(&[8, values.len()]),
        "take fewer rows",
    )?;
    let mut out = values.clone();
    for mut row in out.rows_mut() {
        for ((v, &mean), &scale) in row.iter_mut().zip(mean).zip(scale) {
            *v = f(*v, mean, scale);
        }
    }
    Ok(out)
}

/// Mean and standard deviation in two passes; the scale 1 for a constant.
fn spread(values: &[f64], name: &str, remarks: &mut Vec<String>) -> Result<(f64, f64)> {
    let n = values.len() as f64;
    let first = values.first().copied().unwrap_or(0.0);
    if values.iter().all(|&v| v == first) {
        remarks.push(format!(
            "the column '{name}' is constant ({first}); it is only centred, with scale 1"
        ));
        return Ok((first, 1.0));
    }
    // Both sums are over values of size 1 at most: they neither overflow nor vanish.
    let size = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let rough = values.iter().map(|v| v / size).sum::<f64>() / n * size;
    let deviation = values.iter().fold(0.0, |m: f64, v| m.max((v - rough).abs()));
    let unit = |v: &f64| (v - rough) / deviation;
    let shift = values.iter().map(unit).sum::<f64>() / n;
    let mean = rough + deviation * shift;
    let variance = values.iter().map(|v| (unit(v) - shift).powi(2)).sum::<f64>() / n;
    let scale = deviation * variance.sqrt();
    if !mean.is_finite() || !scale.is_finite() || scale <= 0.0 {
        return Err(Error::invalid(
            format!("column '{name}'"),
            "its spread is beyond the range of a 64-bit float; rescale it",
        ));
    }
    if scale < 1e-9 * mean.abs() {
        let digits = (scale / (mean.abs() * f64::EPSILON)).log10().max(0.0).floor();
        remarks.push(format!(
            "the column '{name}' varies by {scale:.1e} around {mean:.6e}: about {digits} digits of its variation are \
             left; subtract a constant in the file to keep more"
        ));
    }
    Ok((mean, scale))
}
