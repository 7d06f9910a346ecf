//! A function with a quadratic model within a region, as the trust region sees it.

use std::sync::Arc;
use std::time::Duration;

use super::certificate::{Promise, Question};
use super::minimize::Point;
use super::newton::TwiceDifferentiable;
use super::single::Single;
use super::{Evaluations, norm};
use crate::error::{Error, Result};
use crate::guard;
use crate::interrupt::Limits;
use crate::memory::{copied, zeros};
use crate::solve::{U, largest, trust_region};

/// A function to minimise. Every method may fail, since devices do.
pub(super) trait Objective {
    /// The matrix B of its model.
    type Matrix: Quadratic;

    /// f(x); not finite where f is not defined.
    fn value(&mut self, x: &[f64]) -> Result<f64>;

    /// The derivatives at x, where f has the value `value` if it is known.
    ///
    /// # Errors
    /// [`Error::NonFinite`] where f or a derivative is not finite.
    fn derive(&mut self, x: &[f64], value: Option<f64>) -> Result<Point<Local<Self::Matrix>>>;

    /// Replaces the matrix at x after a product with it failed, or gives the error back.
    fn recover(&mut self, error: Error, _x: &[f64], _matrix: &mut Self::Matrix) -> Result<()> {
        Err(error)
    }

    /// The promise of the exact model at x, if B is another matrix, or does not tell.
    fn examine(&mut self, _x: &[f64], _question: Question) -> Option<Result<Promise>> {
        None
    }

    /// The function, while its value and gradient are in f32.
    fn single(&mut self) -> Option<&mut dyn Single> {
        None
    }

    /// R, the units of the parameters.
    fn scales(&self, d: usize) -> Vec<f64> {
        vec![1.0; d]
    }

    /// Adds the cost of a step to the account.
    fn solved(&mut self, _matrix: &mut Self::Matrix, _time: Duration) {}

    /// The limits of its computing inside a step, if it has some.
    fn limits(&self) -> Option<&Limits> {
        None
    }

    /// The evaluations so far; they can be set where a fit is resumed.
    fn evaluations(&mut self) -> &mut Evaluations;
}

/// The matrix B of the model gᵀp + ½pᵀBp, formed or by its products.
pub(super) trait Quadratic {
    /// The diagonal of B, or of what stands for it: |B_aa| sets the scale of variable a. None: all have the scale 1.
    fn diagonal(&self) -> Option<Vec<f64>>;

    /// A step that reduces the model.
    fn step(&mut self, region: &Ellipsoid) -> Result<Short>;

    /// The promise of the model without a region. Where B has a negative eigenvalue beyond rounding, a step that is to leave the point
    /// leads along it.
    fn examine(&mut self, region: &Ellipsoid) -> Result<Promise>;
}

/// The quadratic model near a point.
pub(super) struct Local<M> {
    pub gradient: Vec<f64>,
    pub matrix: M,
}

impl<M> Local<M> {
    /// A point with this model, where gains below `resolution` are rounding errors.
    pub fn point(value: f64, gradient: Vec<f64>, matrix: M, resolution: f64) -> Point<Self> {
        Point {
            value,
            gradient_norm: largest(&gradient),
            slope: norm(&gradient),
            rounding: 16.0 * U * value.abs(),
            resolution,
            model: Local { gradient, matrix },
        }
    }
}

/// The region ‖Dp‖ ≤ Δ in which a step is asked for, and for which gradient.
pub(super) struct Ellipsoid<'a> {
    /// The point.
    pub x: &'a [f64],
    pub gradient: &'a [f64],
    /// R, the units of the parameters.
    pub scales: &'a [f64],
    /// The diagonal of D.
    pub scaling: &'a [f64],
    pub radius: f64,
    /// How exactly an iteration must solve its system, relative to the gradient.
    pub forcing: f64,
    /// Whether the point is stationary, or as good as, and only negative curvature leads on.
    pub leaving: bool,
}

/// A step p within the region.
pub(super) struct Short {
    pub step: Vec<f64>,
    /// The reduction that the model predicts, ≥ 0.
    pub reduction: f64,
    /// ‖Dp‖.
    pub length: f64,
    /// Whether the region holds it back.
    pub boundary: bool,
}

/// A matrix that is formed.
pub(super) struct Formed {
    /// The packed lower triangle.
    lower: Arc<Vec<f64>>,
    /// The unit roundoff of its entries.
    roundoff: f64,
    /// The limits of a long factorization.
    limits: Option<Arc<Limits>>,
}

/// A factorization of this order may take more than a tenth of a second.
pub(super) const LONG: usize = 700;

/// How near to the boundary a step must end; λ is exact for the length that it gets.
const PRECISION: f64 = 0.1;

impl Formed {
    pub fn new(lower: Vec<f64>, roundoff: f64) -> Self {
        Formed { lower: Arc::new(lower), roundoff, limits: None }
    }

    /// The same, whose factorizations end at limits.
    pub fn within(self, limits: &Arc<Limits>) -> Self {
        Formed { limits: Some(limits.clone()), ..self }
    }
}

impl Quadratic for Formed {
    fn diagonal(&self) -> Option<Vec<f64>> {
        let mut rest = self.lower.as_slice();
        let mut out = Vec::new();
        while rest.len() > out.len() {
            let (row, below) = rest.split_at(out.len() + 1);
            out.push(row[out.len()]);
            rest = below;
        }
        Some(out)
    }

    fn step(&mut self, region: &Ellipsoid) -> Result<Short> {
        let (gradient, scaling, radius) = (region.gradient, region.scaling, region.radius);
        let found = match &self.limits {
            Some(limits) if gradient.len() >= LONG => {
                let lower = copied("the Hessian", &self.lower)?;
                let (gradient, scaling) = (gradient.to_vec(), scaling.to_vec());
                let step = move || trust_region(&lower, &gradient, &scaling, radius, PRECISION);
                limits.run(step)??
            }
            _ => trust_region(&self.lower, gradient, scaling, radius, PRECISION)?,
        };
        Ok(Short {
            step: found.step,
            reduction: found.reduction,
            length: found.length,
            boundary: found.boundary,
        })
    }

    fn examine(&mut self, region: &Ellipsoid) -> Result<Promise> {
        let Ellipsoid { x, gradient, scales, .. } = *region;
        match &self.limits {
            Some(limits) if gradient.len() >= LONG => {
                let (x, gradient, scales) = (x.to_vec(), gradient.to_vec(), scales.to_vec());
                let (lower, roundoff) = (copied("the Hessian", &self.lower)?, self.roundoff);
                limits.run(move || Promise::of_matrix(&lower, &gradient, &x, &scales, roundoff))?
            }
            _ => Promise::of_matrix(&self.lower, gradient, x, scales, self.roundoff),
        }
    }
}

/// Any function with two derivatives.
pub(super) struct Plain<'a, F: ?Sized> {
    f: &'a F,
    evaluations: Evaluations,
    /// f where it was evaluated last.
    pub last: f64,
}

impl<'a, F: ?Sized> Plain<'a, F> {
    pub fn new(f: &'a F) -> Self {
        Plain { f, evaluations: Evaluations::default(), last: f64::NAN }
    }
}

impl<F: TwiceDifferentiable + ?Sized> Objective for Plain<'_, F> {
    type Matrix = Formed;

    fn value(&mut self, x: &[f64]) -> Result<f64> {
        // An x that has overflowed.
        if !x.iter().all(|v| v.is_finite()) {
            return Ok(f64::NAN);
        }
        self.evaluations.objective += 1;
        self.last = guard::call("function", "f", || self.f.value(x))?;
        Ok(self.last)
    }

    fn derive(&mut self, x: &[f64], value: Option<f64>) -> Result<Point<Local<Formed>>> {
        let value = match value {
            Some(value) => value,
            None => self.value(x)?,
        };
        if !value.is_finite() {
            return Err(Error::non_finite("the function", &[]));
        }
        let d = x.len();
        let (mut gradient, mut hessian) = (vec![0.0; d], zeros("the Hessian", d * (d + 1) / 2)?);
        self.evaluations.gradient += 1;
        guard::call("function", "f", || self.f.gradient(x, &mut gradient))?;
        self.evaluations.curvature += 1;
        guard::call("function", "f", || self.f.hessian(x, &mut hessian))?;
        for (what, values) in [("the gradient", &gradient), ("the Hessian", &hessian)] {
            if let Some(a) = values.iter().position(|v| !v.is_finite()) {
                return Err(Error::non_finite(what, &[a]));
            }
        }
        let resolution = 16.0 * U * value.abs();
        Ok(Local::point(value, gradient, Formed::new(hessian, U), resolution))
    }

    fn evaluations(&mut self) -> &mut Evaluations {
        &mut self.evaluations
    }
}
