//! Residuals, standardised and with Cook's distances.

use ndarray::Array2;

use super::likelihood::Family;
use super::linearized::Linearized;
use super::summary::Summary;
use crate::objective::Data;

/// The residuals of all rows, n × outputs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Residuals {
    /// y − μ.
    pub raw: Array2<f64>,
    /// √ω (y − μ)/√Var, φ = 1.
    pub pearson: Array2<f64>,
    /// Pearson's over √(φ (1 − h)), h the leverage by Gauss–Newton; NaN where that is not positive.
    pub standardized: Array2<f64>,
    /// r² h/((1 − h) edf) of one output.
    pub cooks_distance: Option<Vec<f64>>,
}

pub(super) fn residuals(
    data: &Data,
    family: &Family,
    at: &Linearized,
    summary: &Summary,
    leverage: &[f64],
) -> Residuals {
    let mut raw = data.y().clone();
    let mut pearson = Array2::zeros(raw.raw_dim());
    for (i, x) in at.outputs.outer_iter().enumerate() {
        for (o, mean) in family.mean(&x.to_vec()).into_iter().enumerate() {
            raw[[i, o]] -= mean;
            pearson[[i, o]] = raw[[i, o]] * (at.omega[i] / family.variance(o, mean)).sqrt();
        }
    }
    let mut standardized = pearson.clone();
    for (mut row, h) in standardized.outer_iter_mut().zip(leverage) {
        row /= (summary.phi * (1.0 - h)).sqrt();
    }
    let cook = |(r, h): (&f64, &f64)| r * r * h / ((1.0 - h) * summary.edf);
    let cooks_distance =
        (summary.outputs == 1).then(|| standardized.iter().zip(leverage).map(cook).collect());
    Residuals { raw, pearson, standardized, cooks_distance }
}
