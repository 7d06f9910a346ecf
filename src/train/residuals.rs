//! Residuals and their Jacobian: a user's, and as the fits ask for them.

use std::sync::Arc;

use crate::error::Result;
use crate::guard;
use crate::interrupt::Limits;

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
    /// The number of parameters p.
    fn dim(&self) -> usize;
    /// The number of residuals m.
    fn count(&self) -> usize;
    /// Writes r(x) to `out`, m numbers.
    fn residuals(&self, x: &[f64], out: &mut [f64]) -> Result<()>;
    /// Writes J(x) to `out`, m·p numbers, row-major.
    fn jacobian(&self, x: &[f64], out: &mut [f64]) -> Result<()>;
    /// The limits of its computing inside a step.
    fn limits(&self) -> Arc<Limits> {
        Arc::default()
    }
}

/// A user's residuals, whose panics are errors.
pub(super) struct Guarded<'a, R: ?Sized>(pub &'a R);

impl<R: Residuals + ?Sized> SumOfSquares for Guarded<'_, R> {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn count(&self) -> usize {
        self.0.count()
    }
    fn residuals(&self, x: &[f64], out: &mut [f64]) -> Result<()> {
        guard::call("function", "r", || self.0.residuals(x, out))
    }
    fn jacobian(&self, x: &[f64], out: &mut [f64]) -> Result<()> {
        guard::call("function", "J", || self.0.jacobian(x, out))
    }
}
