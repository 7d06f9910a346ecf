//! Inputs and targets with mean 0 and standard deviation 1.

use ndarray::{Array2, ArrayView1};
use serde_json::{Value, json};

use super::json::{field, numbers, object};
use crate::error::{Error, Result};
use crate::memory::{bytes_of, require_memory};

/// Mean and scale of every input and of every target: (x − mean)/scale has mean 0 and standard deviation 1.
///
/// With weights ω the mean is Σ_i ω_i x_i / Σ_i ω_i and the scale √(Σ_i ω_i (x_i − mean)² / Σ_i ω_i), as of rows repeated ω_i times:
/// the standard deviation with n, not n − 1, in the denominator. A column that is constant has scale 1.
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

    /// Mean and scale of the columns of `x`, weighted where there are weights, and remarks on columns that are constant or
    /// nearly so. Targets stay as they are.
    ///
    /// ```
    /// use ndarray::array;
    /// use secondo::io::Standardization;
    /// // The row of weight 3 counts three times, that of weight 0 not at all.
    /// let x = array![[1.0], [5.0], [1e9]];
    /// let (s, _) = Standardization::of_inputs(&x, &["x".into()], 0, Some(&[3.0, 1.0, 0.0]))?;
    /// assert_eq!((s.x_mean[0], s.x_scale[0]), (2.0, 3f64.sqrt()));
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// Values that are not finite, or so large that their spread overflows; another number of weights than rows.
    pub fn of_inputs(
        x: &Array2<f64>,
        names: &[String],
        targets: usize,
        weights: Option<&[f64]>,
    ) -> Result<(Self, Vec<String>)> {
        let mut out = Standardization::none(x.ncols(), targets);
        let mut remarks = Vec::new();
        for (c, column) in x.columns().into_iter().enumerate() {
            let rows = weighted(column, weights)?;
            let name = names.get(c).map_or("", String::as_str);
            (out.x_mean[c], out.x_scale[c]) = spread(&rows, name, &mut remarks)?;
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
        weights: Option<&[f64]>,
    ) -> Result<(Self, Vec<String>)> {
        if y.ncols() != self.y_mean.len() {
            return Err(Error::shape("targets", &[self.y_mean.len()], &[y.ncols()]));
        }
        let mut remarks = Vec::new();
        for (c, column) in y.columns().into_iter().enumerate() {
            let rows = weighted(column, weights)?;
            let name = names.get(c).map_or("", String::as_str);
            (self.y_mean[c], self.y_scale[c]) = spread(&rows, name, &mut remarks)?;
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

/// Values with their weights, but for those of weight 0. The weights are divided by the largest: their sum cannot overflow.
fn weighted(column: ArrayView1<f64>, weights: Option<&[f64]>) -> Result<Vec<(f64, f64)>> {
    let Some(weights) = weights else {
        return Ok(column.iter().map(|&v| (v, 1.0)).collect());
    };
    if weights.len() != column.len() {
        return Err(Error::shape("weights", &[column.len()], &[weights.len()]));
    }
    let largest = weights.iter().fold(0.0, |m: f64, w| m.max(*w));
    Ok((column.iter().zip(weights))
        .filter(|(_, w)| **w > 0.0)
        .map(|(&v, w)| (v, w / largest))
        .collect())
}

/// Mean and standard deviation of values with weights, in two passes; the scale 1 for a constant.
fn spread(rows: &[(f64, f64)], name: &str, remarks: &mut Vec<String>) -> Result<(f64, f64)> {
    let n = rows.iter().map(|(_, w)| w).sum::<f64>();
    let first = rows.first().map_or(0.0, |(v, _)| *v);
    if let Some(i) = rows.iter().position(|(v, _)| !v.is_finite()) {
        return Err(Error::non_finite(format!("column '{name}'"), &[i]));
    }
    if rows.iter().all(|(v, _)| *v == first) {
        remarks.push(format!(
            "the column '{name}' is constant ({first}); it is only centred, with scale 1"
        ));
        return Ok((first, 1.0));
    }
    // All sums are over values of size 1 at most: they neither overflow nor vanish.
    let size = rows.iter().fold(0.0, |m: f64, (v, _)| m.max(v.abs()));
    let rough = rows.iter().map(|(v, w)| w * (v / size)).sum::<f64>() / n * size;
    let deviation = rows.iter().fold(0.0, |m: f64, (v, _)| m.max((v - rough).abs()));
    let unit = |v: f64| (v - rough) / deviation;
    let shift = rows.iter().map(|(v, w)| w * unit(*v)).sum::<f64>() / n;
    let mean = rough + deviation * shift;
    let variance = rows.iter().map(|(v, w)| w * (unit(*v) - shift).powi(2)).sum::<f64>() / n;
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
