//! The linear model of residuals near a point, and its damped steps.
//!
//! ```text
//! min ½‖r + Jp‖² + ½μ‖Dp‖²,   [JD⁻¹, −r] = QR
//! ```
//!
//! JᵀJ is never formed: J = QR once for each point, and for each μ a QR factorization of R over √μI.
//!
//! Source: Moré, *The Levenberg–Marquardt algorithm: implementation and theory*, Lecture Notes in Mathematics 630, 1978.

use std::sync::Arc;

use super::minimize::Point;
use super::residuals::{Factorization, SumOfSquares};
use super::{Evaluations, Times, norm, without_zeros};
use crate::clock::Instant;
use crate::error::{Error, Quantity, Result};
use crate::interrupt::Limits;
use crate::memory::{copied, shape_product, zeros};
use crate::solve::{U, back_substitute, dot, factorized, largest};

/// The damping beside a J that is singular to rounding.
const LEAST: f64 = U;

/// Makes linear models of residuals, and keeps account.
pub(super) struct Linearizer<S> {
    problem: S,
    /// The largest column norms of J so far, from which D is made.
    pub norms: Vec<f64>,
    pub evaluations: Evaluations,
    pub times: Times,
    /// ½‖r‖² where r was evaluated last.
    pub last: f64,
    /// The limits of evaluations and of a long factorization.
    pub limits: Arc<Limits>,
}

impl<S: SumOfSquares> Linearizer<S> {
    pub fn new(problem: S) -> Self {
        Linearizer {
            limits: problem.limits(),
            norms: vec![0.0; problem.dim()],
            problem,
            evaluations: Evaluations::default(),
            times: Times::default(),
            last: f64::NAN,
        }
    }

    /// The number of residuals m.
    pub fn count(&self) -> usize {
        self.problem.count()
    }

    /// r(x), as far as it is kept.
    ///
    /// # Errors
    /// [`Error::NonFinite`] for an x that has overflowed, or where ‖r‖² is not finite.
    pub fn see(&mut self, x: &[f64]) -> Result<S::Seen> {
        self.last = f64::NAN;
        if !x.iter().all(|v| v.is_finite()) {
            return Err(Error::non_finite(Quantity::Objective, &[]));
        }
        self.evaluations.objective += 1;
        let clock = Instant::now();
        let seen = self.problem.see(x);
        self.times.objective += clock.elapsed();
        let seen = seen?;
        self.last = self.problem.half_square(&seen);
        if !self.last.is_finite() {
            return Err(Error::non_finite(Quantity::Objective, &[]));
        }
        Ok(seen)
    }

    /// ½‖r‖² − ½‖r₊‖² from the point of a model to another.
    pub fn reduction(&self, from: &Linearized<S::Seen>, to: &S::Seen) -> f64 {
        self.problem.reduction(&from.seen, to)
    }

    /// The linear model at x.
    ///
    /// # Errors
    /// [`Error::NonFinite`] where J or Jᵀr is not finite.
    pub fn linearize(&mut self, x: &[f64], seen: S::Seen) -> Result<Point<Linearized<S::Seen>>> {
        self.limits.check()?;
        self.evaluations.curvature += 1;
        let clock = Instant::now();
        let found = self.problem.factor(x, &seen, &self.limits);
        self.times.curvature += clock.elapsed();
        let Factorization { mut triangle, uncertain } = found?;
        if triangle.iter().any(|v| !v.is_finite()) {
            return Err(Error::non_finite("the Jacobian", &[]));
        }
        let (scaling, unit) = self.scale(&mut triangle);
        let (value, limits) = (self.problem.half_square(&seen), self.limits.clone());
        let model = Linearized { triangle, x: x.to_vec(), seen, scaling, unit, limits };
        let gradient_norm = model.gradient_norm();
        if !gradient_norm.is_finite() {
            return Err(Error::non_finite(Quantity::Gradient, &[]));
        }
        // x is known to u, and so are the terms of each residual.
        let rounding = 16.0 * U * uncertain;
        Ok(Point {
            value,
            gradient_norm,
            slope: model.slope(),
            rounding,
            resolution: rounding,
            model,
        })
    }

    /// Replaces the triangle of [J, −r] by that of [JD⁻¹, −r/unit], and returns the diagonal of D and the unit.
    fn scale(&mut self, triangle: &mut [f64]) -> (Vec<f64>, f64) {
        let order = self.norms.len() + 1;
        for (known, column) in self.norms.iter_mut().zip(triangle.chunks_exact(order)) {
            *known = known.max(norm(column));
        }
        let scaling = without_zeros(&self.norms);
        let (columns, last) = triangle.split_at_mut(order * (order - 1));
        for (column, scale) in columns.chunks_exact_mut(order).zip(&scaling) {
            column.iter_mut().for_each(|v| *v /= scale);
        }
        let unit = match largest(last) {
            0.0 => 1.0,
            largest => largest,
        };
        last.iter_mut().for_each(|v| *v /= unit);
        (scaling, unit)
    }
}

/// A point where r and J are finite, with [JD⁻¹, −r/unit] = QR.
pub(super) struct Linearized<Seen> {
    x: Vec<f64>,
    seen: Seen,
    scaling: Vec<f64>,
    unit: f64,
    /// R, of order p + 1.
    triangle: Vec<f64>,
    limits: Arc<Limits>,
}

/// A step p of the linear model.
pub(super) struct Damped {
    pub p: Vec<f64>,
    /// ‖Dp‖.
    pub length: f64,
    /// The reduction of ½‖r‖² that the model predicts.
    pub predicted: f64,
    /// Whether the radius holds it back.
    pub bounded: bool,
}

impl<Seen> Linearized<Seen> {
    fn column(&self, a: usize) -> &[f64] {
        let n = self.x.len() + 1;
        &self.triangle[a * n..(a + 1) * n]
    }

    /// ‖Dx‖.
    pub fn size(&self) -> f64 {
        let scaled: Vec<f64> = (self.x.iter().zip(&self.scaling)).map(|(x, d)| x * d).collect();
        norm(&scaled)
    }

    /// J e_a · r / (D_a · unit), but for the sign.
    fn inner(&self, a: usize) -> f64 {
        dot(self.column(a), self.column(self.x.len()))
    }

    /// ‖D⁻¹Jᵀr‖.
    fn slope(&self) -> f64 {
        let inner: Vec<f64> = (0..self.x.len()).map(|a| self.inner(a)).collect();
        self.unit * norm(&inner)
    }

    /// max_a |J e_a · r|.
    fn gradient_norm(&self) -> f64 {
        (0..self.x.len())
            .map(|a| self.inner(a).abs() * self.scaling[a] * self.unit)
            .fold(0.0, f64::max)
    }

    /// max_a |J e_a · r| / (‖J e_a‖ ‖r‖).
    pub fn orthogonality(&self) -> f64 {
        let r = norm(self.column(self.x.len()));
        (0..self.x.len())
            .map(|a| self.inner(a).abs() / norm(self.column(a)) / r)
            // 0/0 is 0 here.
            .fold(0.0, f64::max)
    }

    /// The step with ‖Dp‖ ≤ `radius`; none if it is beyond the range of f64.
    ///
    /// # Errors
    /// [`Error::Interrupted`] at a limit.
    pub fn step(&self, radius: f64) -> Result<Option<Damped>> {
        let (d, radius) = (self.x.len(), radius / self.unit);
        let mut mu = 0.0;
        let mut found = self.damped(mu)?;
        if found.is_none() {
            mu = LEAST;
            found = self.damped(mu)?;
        }
        let Some((mut y, mut r)) = found else {
            return Ok(None);
        };
        let free = norm(&y) <= 1.1 * radius;
        // Newton's method on 1/Δ = 1/‖y(μ)‖ ascends from below.
        for _ in 0..50 {
            let length = norm(&y);
            if length <= 1.1 * radius {
                break;
            }
            let mut w = y.clone();
            for a in 0..d {
                let column = &r[a * (d + 1)..][..=a];
                w[a] = (w[a] - dot(&column[..a], &w[..a])) / column[a];
            }
            mu += (length - radius) / radius * (length / norm(&w)).powi(2);
            let Some(found) = self.damped(mu)? else {
                return Ok(None);
            };
            (y, r) = found;
        }
        let mut image = vec![0.0; d + 1];
        for (a, y) in y.iter().enumerate() {
            let column = self.column(a);
            image.iter_mut().zip(column).for_each(|(v, r)| *v += y * r);
        }
        let (along, damping) = (dot(&image, &image), mu * dot(&y, &y));
        let p: Vec<f64> = (y.iter().zip(&self.scaling)).map(|(y, d)| y * self.unit / d).collect();
        let predicted = (0.5 * along + damping) * self.unit * self.unit;
        let finite = p.iter().all(|p| p.is_finite()) && predicted.is_finite();
        let length = norm(&y) * self.unit;
        Ok(finite.then_some(Damped { p, length, predicted, bounded: !free }))
    }

    /// y = Dp/unit with damping μ, and the triangle of JD⁻¹ over √μI; none if that is singular to rounding.
    fn damped(&self, mu: f64) -> Result<Option<(Vec<f64>, Vec<f64>)>> {
        let d = self.x.len();
        let (n, rows) = (d + 1, 2 * d + 1);
        let r = if mu == 0.0 {
            copied("the triangle", &self.triangle)?
        } else {
            let mut stacked = zeros("rows to factorize", shape_product("rows", &[rows, n])?)?;
            for (a, column) in stacked.chunks_exact_mut(rows).enumerate() {
                column[..n].copy_from_slice(self.column(a));
                if a < d {
                    column[n + a] = mu.sqrt();
                }
            }
            factorized(&self.limits, stacked, rows, n)?
        };
        let mut y = r[d * n..][..d].to_vec();
        Ok(back_substitute(&r, n, d, &mut y).then_some((y, r)))
    }

    /// s √[(JᵀJ)⁻¹]_aa: the rows of R⁻¹.
    pub fn deviations(&self, s: f64) -> Option<Vec<f64>> {
        let d = self.x.len();
        let mut squares = vec![0.0; d];
        for b in 0..d {
            let mut column = vec![0.0; d];
            column[b] = 1.0;
            if !back_substitute(&self.triangle, d + 1, d, &mut column) {
                return None;
            }
            squares.iter_mut().zip(column).for_each(|(s, v)| *s += v * v);
        }
        let deviations = (squares.iter().zip(&self.scaling)).map(|(v, d)| s * v.sqrt() / d);
        Some(deviations.collect())
    }
}
