//! The score test for neglected non-linearity: whether the residuals go with products of the inputs.

use ndarray::{Array1, Array2, Axis, concatenate};

use super::Inference;
use super::likelihood::Family;
use super::probability::{chi2_upper, f_upper};
use super::spectrum::{Spectrum, scales};
use crate::error::{Error, Result};

/// A score test that products of the inputs add nothing to the function.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ScoreTest {
    /// The products: `quadratic and cubic`, or for many inputs `powers`, their squares and cubes alone.
    pub terms: &'static str,
    /// The number of products that are not functions of the weights' own directions.
    pub df: usize,
    /// n (RSS₀ − RSS₁)/RSS₀.
    pub chi2: f64,
    /// The probability of a χ² at least as large.
    pub p_chi2: f64,
    /// ((RSS₀ − RSS₁)/df)/(RSS₁/(n − rank)).
    pub f: f64,
    /// The probability of an F at least as large.
    pub p_f: f64,
}

impl Inference<'_> {
    /// The score test for neglected non-linearity: the residuals are regressed on the derivatives ∂f/∂w and on products of two and
    /// three inputs, and the products should not help. It asks whether another unit could find something, without a fit that has
    /// no regular law under that hypothesis. None with a penalty, for several outputs, for losses that are no squared error, where
    /// the estimate is no minimum, or where the rows are too few for the products.
    ///
    /// ```text
    /// √ω e = √ω J b + √ω T c + …,   F = ((RSS₀ − RSS₁)/df)/(RSS₁/(n − rank [J T])),   H₀: c = 0
    /// ```
    ///
    /// Source: Teräsvirta, Lin and Granger, *Journal of Time Series Analysis* 14 (1993).
    ///
    /// # Errors
    /// Eigenvalues that do not converge.
    pub fn neglected_nonlinearity(&self) -> Result<Option<ScoreTest>> {
        let is_gaussian = matches!(self.family, Family::Gaussian(_)) && self.summary.outputs == 1;
        if !is_gaussian || !self.prior.is_none || !self.summary.stationary {
            return Ok(None);
        }
        let Some((terms, products)) = self.products() else {
            return Ok(None);
        };
        let roots = Array1::from(self.at.omega.clone()).mapv(f64::sqrt).insert_axis(Axis(1));
        let e = (self.data.y() - &self.at.outputs) * &roots;
        let e = e.column(0).to_owned();
        let (j, t) = (&self.at.jacobian * &roots, products * &roots);
        let both = concatenate(Axis(1), &[j.view(), t.view()])
            .map_err(|_| Error::shape("the products", &[j.nrows()], &[t.nrows()]))?;
        let (rank_0, rss_0) = regression(&j, &e)?;
        let (rank_1, rss_1) = regression(&both, &e)?;
        let (df, rest) = (rank_1.saturating_sub(rank_0), self.summary.rows - rank_1 as f64);
        if df == 0 || rest < 1.0 || rss_1 <= 0.0 {
            return Ok(None);
        }
        let gain = (rss_0 - rss_1).max(0.0);
        let (chi2, f) = (self.summary.rows * gain / rss_0, gain / df as f64 / (rss_1 / rest));
        let (p_chi2, p_f) = (chi2_upper(chi2, df as f64), f_upper(f, df as f64, rest));
        Ok(Some(ScoreTest { terms, df, chi2, p_chi2, f, p_f }))
    }

    /// The products of the standardised inputs, as many as the rows bear.
    fn products(&self) -> Option<(&'static str, Array2<f64>)> {
        let x = self.data.x();
        let (n, d) = x.dim();
        let mut z = x.to_owned();
        for mut column in z.columns_mut() {
            let mean = column.sum() / n as f64;
            column -= mean;
            let size = (column.dot(&column) / n as f64).sqrt();
            if size > 0.0 {
                column /= size;
            }
        }
        let room = ((self.summary.df_residual / 3.0).max(0.0)) as usize;
        let pairs = d * (d + 1) / 2;
        let triples = pairs.saturating_mul(d + 2) / 3;
        let mut sets: Vec<Vec<usize>> = Vec::new();
        let name = if pairs + triples <= room {
            for a in 0..d {
                for b in a..d {
                    sets.push(vec![a, b]);
                    sets.extend((b..d).map(|c| vec![a, b, c]));
                }
            }
            "quadratic and cubic"
        } else if 0 < d && 2 * d <= room {
            sets.extend((0..d).flat_map(|a| [vec![a; 2], vec![a; 3]]));
            "powers"
        } else {
            return None;
        };
        let of = |(i, s): (usize, usize)| sets[s].iter().map(|&a| z[[i, a]]).product();
        Some((name, Array2::from_shape_fn((n, sets.len()), of)))
    }
}

/// Returns the rank of the columns of `z`, and the sum of squares that a regression of `e` on them leaves.
fn regression(z: &Array2<f64>, e: &Array1<f64>) -> Result<(usize, f64)> {
    let squares: Array1<f64> = z.columns().into_iter().map(|c| c.dot(&c)).collect();
    let spectrum = Spectrum::of_root(z, scales(&Array2::from_diag(&squares)))?;
    let fitted = z.dot(&spectrum.inverse().dot(&z.t().dot(e)));
    let left = e - &fitted;
    Ok((spectrum.inertia().0, left.dot(&left)))
}
