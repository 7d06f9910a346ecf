//! Estimates with standard errors and intervals, and Wald tests of sets.

use ndarray::{Array1, Array2, ArrayView1};

use super::probability::{Distribution, chi2_upper, f_upper};
use super::product::product;
use super::spectrum::symmetric;
use crate::error::Result;

/// A null-space component up to this part of a vector is rounding.
const ESTIMABLE: f64 = 1e-7;
/// Scaled eigenvalues of a covariance up to this part of the largest are 0.
const REGULAR: f64 = 1e-13;

/// A number that was estimated; what is not identified or was refused is `None`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Estimate {
    /// The estimate.
    pub estimate: f64,
    /// Whether the data determine it.
    pub identified: bool,
    /// Its standard error.
    pub std_error: Option<f64>,
    /// Estimate over standard error.
    pub statistic: Option<f64>,
    /// The probability of a statistic at least as large in size where the true number is 0.
    pub p_value: Option<f64>,
    /// The lower end of the interval.
    pub lower: Option<f64>,
    /// The upper end of the interval.
    pub upper: Option<f64>,
}

impl Estimate {
    /// The estimate `value` without a standard error.
    pub(super) fn alone(estimate: f64, identified: bool) -> Self {
        Estimate {
            estimate,
            identified,
            std_error: None,
            statistic: None,
            p_value: None,
            lower: None,
            upper: None,
        }
    }

    /// The estimate `value` with this standard error.
    pub(super) fn with_error(
        value: f64,
        std_error: f64,
        quantile: f64,
        distribution: Distribution,
    ) -> Self {
        let statistic = (std_error > 0.0).then(|| value / std_error);
        Estimate {
            estimate: value,
            identified: true,
            std_error: Some(std_error),
            statistic,
            p_value: statistic.map(|t| distribution.two_sided(t)),
            lower: Some(value - quantile * std_error),
            upper: Some(value + quantile * std_error),
        }
    }
}

/// A Wald test that a set of parameters is 0; `None` where it is not testable or was refused.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Wald {
    /// The number of parameters.
    pub size: usize,
    /// The number of their combinations that the data determine.
    pub df: usize,
    /// w_Sᵀ (V_SS)⁻¹ w_S.
    pub chi2: Option<f64>,
    /// The probability of a χ² at least as large.
    pub p_chi2: Option<f64>,
    /// χ²/df where φ is estimated.
    pub f: Option<f64>,
    /// The probability of an F at least as large.
    pub p_f: Option<f64>,
}

/// The law by which estimates are judged.
#[derive(Debug, Clone)]
pub(super) struct Judge<'a> {
    /// V, or none where it was refused.
    pub covariance: Option<&'a Array2<f64>>,
    /// N, a vector in each row.
    pub null: &'a Array2<f64>,
    pub distribution: Distribution,
    pub level: f64,
}

impl Judge<'_> {
    /// Whether c′w is determined by the data.
    pub fn is_estimable(&self, c: ArrayView1<f64>) -> bool {
        let size = c.dot(&c).sqrt();
        let outside = self.null.dot(&c);
        outside.dot(&outside).sqrt() <= ESTIMABLE * size
    }

    /// The standard error of c′w.
    pub fn std_error(&self, c: ArrayView1<f64>) -> Option<f64> {
        let covariance = self.covariance.filter(|_| self.is_estimable(c))?;
        // A weight alone has one number that is not 0.
        let parts: Vec<(usize, f64)> =
            c.iter().copied().enumerate().filter(|(_, c)| *c != 0.0).collect();
        let of_row = |a: usize| parts.iter().map(|&(b, c)| covariance[[a, b]] * c).sum::<f64>();
        let variance: f64 = parts.iter().map(|&(a, c)| c * of_row(a)).sum();
        Some(variance.max(0.0).sqrt())
    }

    /// The factor of a standard error in an interval.
    pub fn quantile(&self) -> f64 {
        self.distribution.quantile(self.level)
    }

    /// The estimate `value`, whose gradient in the parameters is c.
    pub fn estimate(&self, value: f64, c: ArrayView1<f64>, quantile: f64) -> Estimate {
        match self.std_error(c) {
            Some(error) => Estimate::with_error(value, error, quantile, self.distribution),
            None => Estimate::alone(value, self.is_estimable(c)),
        }
    }

    /// The test that `values`, whose gradients are the rows of `rows`, are all 0.
    pub fn wald(&self, rows: &Array2<f64>, values: &Array1<f64>) -> Result<Wald> {
        let size = rows.nrows();
        // L: the combinations that the null space leaves alone.
        let length = |c: ArrayView1<f64>| match c.dot(&c).sqrt() {
            // A weight that is fixed.
            0.0 => 1.0,
            length => length,
        };
        let lengths: Vec<f64> = rows.rows().into_iter().map(length).collect();
        let mut outside = rows.dot(&self.null.t());
        outside.rows_mut().into_iter().zip(&lengths).for_each(|(mut r, l)| r /= *l);
        let (values_of, vectors) = symmetric(&outside.dot(&outside.t()))?;
        let kept: Vec<usize> =
            (0..size).filter(|&i| values_of[i] <= ESTIMABLE * ESTIMABLE).collect();
        let mut wald = Wald { size, df: kept.len(), chi2: None, p_chi2: None, f: None, p_f: None };
        let l = match self.null.nrows() {
            0 => Array2::eye(size),
            _ => {
                let mut l = vectors.select(ndarray::Axis(0), &kept);
                l.columns_mut().into_iter().zip(&lengths).for_each(|(mut c, l)| c /= *l);
                l
            }
        };
        let (Some(covariance), 1..) = (self.covariance, wald.df) else {
            return Ok(wald);
        };
        let (rows, values) = (l.dot(rows), l.dot(values));
        let (chi2, df) = form(&product(&product(&rows, covariance), &rows.t()), &values)?;
        wald.df = df;
        if df == 0 {
            return Ok(wald);
        }
        wald.chi2 = Some(chi2);
        wald.p_chi2 = Some(chi2_upper(chi2, df as f64));
        if let Distribution::T(residual) = self.distribution {
            let f = chi2 / df as f64;
            (wald.f, wald.p_f) = (Some(f), Some(f_upper(f, df as f64, residual)));
        }
        Ok(wald)
    }
}

/// Returns rᵀ V⁻¹ r and the rank of V.
fn form(covariance: &Array2<f64>, r: &Array1<f64>) -> Result<(f64, usize)> {
    let root = |d: &f64| if *d > 0.0 { d.sqrt() } else { 1.0 };
    let scale: Array1<f64> = covariance.diag().iter().map(root).collect();
    let scaled = Array2::from_shape_fn(covariance.raw_dim(), |(a, b)| {
        covariance[[a, b]] / (scale[a] * scale[b])
    });
    let (values, vectors) = symmetric(&scaled)?;
    let largest = values.last().copied().unwrap_or(0.0);
    let along = vectors.dot(&(r / &scale));
    let terms = along.iter().zip(&values).filter(|(_, v)| **v > REGULAR * largest);
    let (sum, rank) = terms.fold((0.0, 0), |(sum, rank), (a, v)| (sum + a * a / v, rank + 1));
    Ok((sum, rank))
}
