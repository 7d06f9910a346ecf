//! Residuals and their Jacobian: a user's, and as the fits ask for them.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::evaluate::shape_product;
use crate::guard;
use crate::interrupt::Limits;
use crate::memory::zeros;
use crate::solve::{dot, factorized};

/// Residuals and their Jacobian.
///
/// ```text
/// r: ℝᵖ → ℝᵐ,   J_ia = ∂r_i/∂x_a,   E(x) = ½ Σ_i r_i(x)²
/// ```
///
/// The Jacobian is row-major, J_ia at i·p + a, m·p numbers. Where r is not defined, return NaN: the step is rejected. A
/// panic ends the iteration at its best point.
/// For closures there is [`residual_function`].
///
/// Source: Nocedal and Wright, *Numerical Optimization*, 2nd ed., ch. 10.
pub trait Residuals {
    /// The number of parameters p.
    fn dim(&self) -> usize;
    /// The number of residuals m.
    fn count(&self) -> usize;
    /// Writes r(x) to `out`, m numbers.
    fn residuals(&self, x: &[f64], out: &mut [f64]);
    /// Writes J(x) to `out`, m·p numbers.
    fn jacobian(&self, x: &[f64], out: &mut [f64]);
}

struct Closures<R, J> {
    dim: usize,
    count: usize,
    residuals: R,
    jacobian: J,
}

impl<R: Fn(&[f64], &mut [f64]), J: Fn(&[f64], &mut [f64])> Residuals for Closures<R, J> {
    fn dim(&self) -> usize {
        self.dim
    }
    fn count(&self) -> usize {
        self.count
    }
    fn residuals(&self, x: &[f64], out: &mut [f64]) {
        (self.residuals)(x, out);
    }
    fn jacobian(&self, x: &[f64], out: &mut [f64]) {
        (self.jacobian)(x, out);
    }
}

/// `count` residuals of `dim` parameters from closures for r and J; see [`LevenbergMarquardt`](super::LevenbergMarquardt) for an example.
pub fn residual_function(
    dim: usize,
    count: usize,
    residuals: impl Fn(&[f64], &mut [f64]),
    jacobian: impl Fn(&[f64], &mut [f64]),
) -> impl Residuals {
    Closures { dim, count, residuals, jacobian }
}

/// A sum of squares ½‖r(x)‖², whose evaluation may fail.
pub(super) trait SumOfSquares {
    /// The part of r(x) that is kept.
    type Seen;
    /// The number of parameters p.
    fn dim(&self) -> usize;
    /// The number of residuals m.
    fn count(&self) -> usize;
    /// Returns r(x), as far as it is kept.
    fn see(&self, x: &[f64]) -> Result<Self::Seen>;
    /// Returns ½‖r‖²; not finite where r is not.
    fn half_square(&self, seen: &Self::Seen) -> f64;
    /// Returns ½‖r‖² − ½‖r₊‖², as exactly as both are known; not finite where one is not.
    fn reduction(&self, from: &Self::Seen, to: &Self::Seen) -> f64;
    /// Returns the triangle at x, where r is `seen`, within the limits of a fit.
    fn factor(&self, x: &[f64], seen: &Self::Seen, limits: &Limits) -> Result<Factorization>;
    /// The limits that a fit of it has.
    fn limits(&self) -> Arc<Limits> {
        Arc::default()
    }
}

/// The triangle of [J, −r] = QR.
pub(super) struct Factorization {
    /// R, of order p + 1, by columns with zeros below the diagonal.
    pub triangle: Vec<f64>,
    /// Σ_i |r_i| (|r_i| + Σ_a |J_ia x_a|).
    pub uncertain: f64,
}

/// A user's residuals, whose panics are errors.
pub(super) struct Guarded<'a, R: ?Sized>(pub &'a R);

impl<R: Residuals + ?Sized> SumOfSquares for Guarded<'_, R> {
    type Seen = Vec<f64>;

    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn count(&self) -> usize {
        self.0.count()
    }

    fn see(&self, x: &[f64]) -> Result<Vec<f64>> {
        let mut out = zeros("the residuals", self.count())?;
        out.fill(f64::NAN);
        guard::call("function", "r", || self.0.residuals(x, &mut out))?;
        Ok(out)
    }

    fn half_square(&self, seen: &Vec<f64>) -> f64 {
        0.5 * dot(seen, seen)
    }

    fn reduction(&self, from: &Vec<f64>, to: &Vec<f64>) -> f64 {
        (from.iter().zip(to)).map(|(r, new)| 0.5 * (r - new) * (r + new)).sum()
    }

    fn factor(&self, x: &[f64], seen: &Vec<f64>, limits: &Limits) -> Result<Factorization> {
        let (m, p) = (seen.len(), x.len());
        let mut jacobian = zeros("the Jacobian", shape_product("the Jacobian", &[m, p])?)?;
        guard::call("function", "J", || self.0.jacobian(x, &mut jacobian))?;
        if let Some(at) = jacobian.iter().position(|v| !v.is_finite()) {
            return Err(Error::non_finite("the Jacobian", &[at / p, at % p]));
        }
        let uncertain = seen.iter().enumerate().map(|(i, r)| {
            let row = &jacobian[i * p..][..p];
            let moved: f64 = row.iter().zip(x).map(|(j, x)| (j * x).abs()).sum();
            r.abs() * (r.abs() + moved)
        });
        let uncertain = uncertain.sum();
        let mut columns = zeros("the Jacobian", shape_product("the Jacobian", &[m, p + 1])?)?;
        for (a, column) in columns.chunks_exact_mut(m.max(1)).take(p).enumerate() {
            (column.iter_mut().zip(jacobian.chunks_exact(p))).for_each(|(v, row)| *v = row[a]);
        }
        columns[m * p..].iter_mut().zip(seen).for_each(|(v, r)| *v = -r);
        let triangle = factorized(limits, columns, m, p + 1)?;
        Ok(Factorization { triangle, uncertain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Instant;

    /// As many numbers as take long to factorize.
    #[test]
    fn a_long_factorization_of_ones_own_residuals_heeds_the_limits_of_the_fit() {
        let (m, p) = (2_000, 600);
        let ones = residual_function(p, m, |_, r| r.fill(1.0), |_, j| j.fill(1.0));
        let problem = Guarded(&ones);
        let x = vec![0.0; p];
        let seen = problem.see(&x).unwrap();
        let limits = Limits::default();
        limits.end_at(Instant::now());
        let found = problem.factor(&x, &seen, &limits).map(drop);
        assert_eq!(found, Err(Error::Interrupted));
    }
}
