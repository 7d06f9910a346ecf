//! Certificates: what the quadratic model of the objective still promises where a fit ends.
//!
//! A small gradient is no proof of a minimum: its entries have units, and its size at the start says how bad the start was, not
//! how good the end is. Newton's decrement has neither fault. It is what an undamped step of the exact model would gain,
//!
//! ```text
//! δ = ½ gᵀH⁻¹g,   p = −H⁻¹g
//! ```
//!
//! the same number in any units of inputs and parameters; beside |E| it does not depend on the units of the objective either. p is the
//! distance to the model's minimum, and so an estimate of the error of the parameters.
//!
//! Source: Boyd and Vandenberghe, *Convex Optimization*, §9.5.1; Dennis and Schnabel, *Numerical Methods for Unconstrained
//! Optimization and Nonlinear Equations*, §7.2.

use std::fmt;

use super::scales::divide;
use crate::error::Result;
use crate::memory::copied;
use crate::solve::{Cholesky, Preconditioner, U, dot, eigen, largest};

/// The promise of the quadratic model at the end of a fit, and how much of it counts as nothing.
///
/// `Display` puts it into a sentence.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Certificate {
    /// The gain δ that an undamped step of the exact model promises, ½ gᵀH⁻¹g; NaN where it could not be computed.
    pub gain: f64,
    /// The largest gain of a point that counts as a minimum: max(gtol², 16u) · |E|, u = 2⁻⁵³, and for a squared error no less than the
    /// rounding of its residuals leaves.
    pub allowed: f64,
    /// ‖Rp‖/‖Rw‖, the length of that step beside the parameters, each in units of what it multiplies.
    pub step: f64,
    /// Whether that step changes no parameter by more than 16u of it: then f64 holds no better ones.
    pub settled: bool,
}

impl Certificate {
    /// Whether the model promises no more than is allowed, or nothing that parameters in f64 could hold.
    pub fn holds(&self) -> bool {
        self.gain <= self.allowed || self.allowed == f64::INFINITY || self.settled
    }

    /// The decimal digits of the parameters that the step leaves as they are, at most 16; none where nothing is known.
    pub fn digits(&self) -> Option<f64> {
        let step = if self.step < U { U } else { self.step };
        let certain = -step.log10();
        certain.is_finite().then(|| certain.max(0.0))
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.gain.is_nan() {
            return write!(f, "the model could not be asked what a Newton step would gain");
        }
        write!(f, "a Newton step would gain {:.1e}", self.gain)?;
        if self.allowed.is_finite() {
            write!(f, " (converged: ≤ {:.1e})", self.allowed)?;
        }
        match self.digits() {
            Some(digits) => {
                write!(f, " and leave {digits:.0} digits of the parameters as they are")
            }
            None => Ok(()),
        }
    }
}

/// A question to a model.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    /// The gradient at the point.
    pub gradient: &'a [f64],
    /// A gain above this needs no more digits, and no search for negative curvature: the fit goes on.
    pub enough: f64,
    /// A matrix with which conjugate gradients are fast, if the method has one.
    pub preconditioner: Option<&'a Preconditioner>,
    /// Whether directions can be judged by it: it is nearly the matrix itself, or products cost much.
    pub is_whole: bool,
}

impl<'a> Question<'a> {
    /// The question of a method that has no such matrix.
    pub fn of(gradient: &'a [f64], enough: f64) -> Self {
        Question { gradient, enough, preconditioner: None, is_whole: false }
    }
}

/// The promise of a model at a point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Promise {
    /// δ.
    pub gain: f64,
    /// ‖Rp‖/‖Rw‖.
    pub step: f64,
    /// Whether |p_l| ≤ 16u |w_l| for all l.
    pub settled: bool,
    /// Whether the objective curves downwards somewhere beyond rounding.
    pub curvature: Downward,
}

/// Whether the objective curves downwards somewhere, and what that means to a method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Downward {
    Nowhere,
    /// It does, and the next step of the method leads there.
    LeadsOn,
    /// It does, but the method's own model does not see it.
    Unseen,
}

impl Promise {
    /// That of a model which could not be asked.
    pub const UNKNOWN: Promise =
        Promise { gain: f64::NAN, step: f64::NAN, settled: false, curvature: Downward::Nowhere };

    /// The same from another model than the method's own.
    pub fn of_another_model(mut self) -> Self {
        if self.curvature == Downward::LeadsOn {
            self.curvature = Downward::Unseen;
        }
        self
    }

    /// The promise of a step p at x, in units R.
    pub fn of_step(gain: f64, step: &[f64], x: &[f64], scales: &[f64]) -> Self {
        let scaled = |v: &[f64]| {
            let v: Vec<f64> = v.iter().zip(scales).map(|(v, scale)| v * scale).collect();
            super::norm(&v)
        };
        let settled = step.iter().zip(x).all(|(p, x)| p.abs() <= 16.0 * U * x.abs());
        let step = scaled(step) / scaled(x);
        Promise { gain, step, settled, curvature: Downward::Nowhere }
    }

    /// That of a matrix H, a packed lower triangle with entries known to `roundoff`, in units R.
    ///
    /// Eigenvalues of R⁻¹HR⁻¹ that are 0 to rounding count as 20·d·u·max|λ|: a direction that the data do not determine
    /// promises nothing as long as the gradient along it is rounding.
    ///
    /// # Errors
    /// `NonFinite` for an eigenvalue that is beyond the range of f64; `Memory` where there is no room.
    pub fn of_matrix(
        lower: &[f64],
        gradient: &[f64],
        x: &[f64],
        scales: &[f64],
        roundoff: f64,
    ) -> Result<Self> {
        let d = gradient.len();
        let mut scaled = copied("a matrix in units of its scales", lower)?;
        divide(&mut scaled, scales);
        let g: Vec<f64> = gradient.iter().zip(scales).map(|(g, scale)| g / scale).collect();
        let back = |y: &[f64]| -> Vec<f64> { y.iter().zip(scales).map(|(y, r)| y / r).collect() };
        if let Ok(factor) = Cholesky::new(&scaled, d)
            && !factor.is_singular()
        {
            let mut y = g.clone();
            factor.solve(&mut y)?;
            return Ok(Promise::of_step(0.5 * dot(&g, &y), &back(&y), x, scales));
        }
        let (values, vectors) = eigen(&scaled, d)?;
        let tolerance = 20.0 * d as f64 * roundoff * largest(&values);
        let (mut gain, mut step) = (0.0, vec![0.0; d]);
        for (value, vector) in values.iter().zip(vectors.chunks_exact(d.max(1))) {
            let part = dot(vector, &g);
            if part != 0.0 {
                let along = part / value.abs().max(tolerance);
                gain += 0.5 * along * part;
                (step.iter_mut().zip(vector)).for_each(|(p, v)| *p -= along * v);
            }
        }
        let promise = Promise::of_step(gain, &back(&step), x, scales);
        let indefinite = values.first().is_some_and(|lowest| *lowest < -tolerance);
        let curvature = if indefinite { Downward::LeadsOn } else { Downward::Nowhere };
        Ok(Promise { curvature, ..promise })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H = [4 1; 1 3], g = (1, 2): H⁻¹g = (1, 7)/11 and δ = 15/22; in any units.
    #[test]
    fn the_gain_of_a_newton_step_has_no_units() {
        for scale in [1.0, 1e-8, 1e8] {
            let lower = [4.0 * scale * scale, scale, 3.0];
            let (gradient, x) = ([scale, 2.0], [1.0 / scale, 1.0]);
            let found = Promise::of_matrix(&lower, &gradient, &x, &[scale, 1.0], U).unwrap();
            assert!((found.gain - 15.0 / 22.0).abs() < 1e-14, "{found:?}");
            assert!((found.step - (50.0f64 / 121.0 / 2.0).sqrt()).abs() < 1e-14, "{found:?}");
            assert_eq!(found.curvature, Downward::Nowhere);
        }
    }

    #[test]
    fn a_direction_without_curvature_promises_nothing_without_a_slope() {
        let of = |gradient: [f64; 2]| {
            Promise::of_matrix(&[1.0, 1.0, 1.0], &gradient, &[1.0; 2], &[1.0; 2], U).unwrap()
        };
        assert!((of([0.5, 0.5]).gain - 0.125).abs() < 1e-14);
        // Downhill without an end.
        assert!(of([0.5, -0.5]).gain > 1e10);
    }

    #[test]
    fn a_negative_eigenvalue_is_seen() {
        let found = Promise::of_matrix(&[1.0, 0.0, -1e-3], &[0.0; 2], &[1.0; 2], &[1.0; 2], U);
        assert_eq!(found.unwrap().curvature, Downward::LeadsOn);
    }
}
