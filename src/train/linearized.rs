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
use super::residuals::SumOfSquares;
use super::{Evaluations, Times, norm, without_zeros};
use crate::clock::Instant;
use crate::error::{Error, Quantity, Result};
use crate::interrupt::Limits;
use crate::memory::zeros;
use crate::solve::{U, back_substitute, dot, largest, triangle};

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
    jacobian: Vec<f64>,
    /// The limits of evaluations and of a long factorization.
    pub limits: Arc<Limits>,
}

impl<S: SumOfSquares> Linearizer<S> {
    /// # Errors
    /// [`Error::TooLarge`] for a Jacobian that is not addressable.
    pub fn new(problem: S) -> Result<Self> {
        let (m, p) = (problem.count(), problem.dim());
        // R over √μD and J with r: both must be addressable.
        let largest = (m.checked_add(2).and_then(|m| m.checked_add(p)))
            .and_then(|rows| rows.checked_mul(p.checked_add(1)?));
        if largest.is_none() {
            return Err(Error::TooLarge {
                what: format!("a Jacobian of {m} residuals and {p} parameters"),
            });
        }
        Ok(Linearizer {
            limits: problem.limits(),
            problem,
            norms: vec![0.0; p],
            evaluations: Evaluations::default(),
            times: Times::default(),
            last: f64::NAN,
            jacobian: zeros("the Jacobian", m * p)?,
        })
    }

    /// The number of residuals m.
    pub fn count(&self) -> usize {
        self.problem.count()
    }

    /// r(x); NaN for an x that has overflowed.
    pub fn residuals(&mut self, x: &[f64]) -> Result<Vec<f64>> {
        let mut out = zeros("the residuals", self.count())?;
        out.fill(f64::NAN);
        if x.iter().all(|v| v.is_finite()) {
            self.evaluations.objective += 1;
            let clock = Instant::now();
            let done = self.problem.residuals(x, &mut out);
            self.times.objective += clock.elapsed();
            done?;
        }
        self.last = 0.5 * dot(&out, &out);
        Ok(out)
    }

    /// The linear model at x.
    ///
    /// # Errors
    /// [`Error::NonFinite`] where r, ‖r‖², J or Jᵀr is not finite.
    pub fn linearize(&mut self, x: &[f64], residuals: Vec<f64>) -> Result<Point<Linearized>> {
        let value = 0.5 * dot(&residuals, &residuals);
        if !value.is_finite() {
            return Err(Error::non_finite(Quantity::Objective, &[]));
        }
        self.limits.check()?;
        self.evaluations.curvature += 1;
        let clock = Instant::now();
        let done = self.problem.jacobian(x, &mut self.jacobian);
        self.times.curvature += clock.elapsed();
        done?;
        if let Some(at) = self.jacobian.iter().position(|v| !v.is_finite()) {
            return Err(Error::non_finite("the Jacobian", &[at / x.len(), at % x.len()]));
        }
        let rounding = self.rounding(x, &residuals);
        let (columns, scaling, unit) = self.columns(&residuals);
        let clock = Instant::now();
        let limits = self.limits.clone();
        let triangle = factorized(&limits, columns, residuals.len(), x.len() + 1)?;
        self.times.solve += clock.elapsed();
        let model = Linearized { triangle, x: x.to_vec(), residuals, scaling, unit, limits };
        let gradient_norm = model.gradient_norm();
        if !gradient_norm.is_finite() {
            return Err(Error::non_finite(Quantity::Gradient, &[]));
        }
        Ok(Point {
            value,
            gradient_norm,
            slope: model.slope(),
            rounding,
            resolution: rounding,
            model,
        })
    }

    /// 16 u Σ_i |r_i| (|r_i| + Σ_a |J_ia x_a|): x is known to u, and so are the terms of each residual.
    fn rounding(&self, x: &[f64], residuals: &[f64]) -> f64 {
        let p = x.len();
        let uncertain = (residuals.iter().enumerate()).map(|(i, r)| {
            let row = &self.jacobian[i * p..(i + 1) * p];
            let moved: f64 = row.iter().zip(x).map(|(j, x)| (j * x).abs()).sum();
            r.abs() * (r.abs() + moved)
        });
        16.0 * U * uncertain.sum::<f64>()
    }

    /// The columns of [JD⁻¹, −r/unit], the diagonal of D and the unit.
    fn columns(&mut self, residuals: &[f64]) -> (Vec<f64>, Vec<f64>, f64) {
        let (m, p) = (residuals.len(), self.norms.len());
        let mut columns = vec![0.0; m * (p + 1)];
        for (a, column) in columns.chunks_exact_mut(m.max(1)).take(p).enumerate() {
            for (v, row) in column.iter_mut().zip(self.jacobian.chunks_exact(p)) {
                *v = row[a];
            }
            self.norms[a] = self.norms[a].max(norm(column));
        }
        let scaling = without_zeros(&self.norms);
        for (column, scale) in columns.chunks_exact_mut(m.max(1)).zip(&scaling) {
            column.iter_mut().for_each(|v| *v /= scale);
        }
        let unit = match largest(residuals) {
            0.0 => 1.0,
            largest => largest,
        };
        let last = &mut columns[m * p..];
        (last.iter_mut().zip(residuals)).for_each(|(v, r)| *v = -r / unit);
        (columns, scaling, unit)
    }
}

/// A point where r and J are finite, with [JD⁻¹, −r/unit] = QR.
pub(super) struct Linearized {
    x: Vec<f64>,
    residuals: Vec<f64>,
    scaling: Vec<f64>,
    unit: f64,
    /// R, of order p + 1.
    triangle: Vec<f64>,
    limits: Arc<Limits>,
}

/// A QR factorization of so many multiplications may take more than a tenth of a second.
const LONG: f64 = 5e8;

/// The triangle of a matrix, column-major.
///
/// # Errors
/// [`Error::Interrupted`] at a limit.
fn factorized(limits: &Limits, mut a: Vec<f64>, rows: usize, columns: usize) -> Result<Vec<f64>> {
    if rows as f64 * (columns as f64).powi(2) < LONG {
        return Ok(triangle(&mut a, rows, columns));
    }
    limits.run(move || triangle(&mut a, rows, columns))
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

impl Linearized {
    fn column(&self, a: usize) -> &[f64] {
        let n = self.x.len() + 1;
        &self.triangle[a * n..(a + 1) * n]
    }

    /// ½‖r‖² − ½‖r₊‖² without its cancellation; not finite where r₊ is not.
    pub fn reduction(&self, residuals: &[f64]) -> f64 {
        (self.residuals.iter().zip(residuals)).map(|(r, new)| 0.5 * (r - new) * (r + new)).sum()
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
            self.triangle.clone()
        } else {
            let mut stacked = vec![0.0; rows * n];
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
