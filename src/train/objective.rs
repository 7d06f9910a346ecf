//! What the minimisers ask of a function: values, and a quadratic model that they can take a step with.

use std::time::Duration;

use super::Evaluations;
use super::newton::TwiceDifferentiable;
use crate::error::{Error, Result};
use crate::guard;
use crate::solve::{Cholesky, U, dot, eigen, largest, trust_region};

/// A function to minimise. Every method may fail, since devices do.
pub(super) trait Objective {
    type Model: Model;

    /// f(x); not finite where f is not defined.
    fn value(&mut self, x: &[f64]) -> Result<f64>;

    /// The derivatives at x, where f has the value `value` if it is known.
    ///
    /// # Errors
    /// [`Error::NonFinite`] where f or a derivative is not finite: minimisers reject such a point and go on.
    fn derive(&mut self, x: &[f64], value: Option<f64>) -> Result<Local<Self::Model>>;

    /// Mends the model at x after it failed, or gives the error back.
    fn mend(&mut self, error: Error, _x: &[f64], _model: &mut Self::Model) -> Result<()> {
        Err(error)
    }

    /// Notes what a step has cost.
    fn solved(&mut self, _model: &mut Self::Model, _time: Duration) {}

    /// What has been evaluated so far; it can be set where a fit is resumed.
    fn evaluations(&mut self) -> &mut Evaluations;
}

/// f near a point.
pub(super) struct Local<M> {
    pub value: f64,
    pub gradient: Vec<f64>,
    pub model: M,
}

/// A step within the region ‖Dp‖ ≤ Δ.
pub(super) struct Step {
    pub step: Vec<f64>,
    /// What the model promises, ≥ 0.
    pub reduction: f64,
    /// ‖Dp‖.
    pub length: f64,
    /// Whether the region holds it back.
    pub boundary: bool,
}

/// What a model is asked for a step.
pub(super) struct Ask<'a> {
    pub gradient: &'a [f64],
    /// The diagonal of D.
    pub scaling: &'a [f64],
    pub radius: f64,
    /// How exactly an iteration must solve its system, relative to the gradient.
    pub forcing: f64,
    /// Whether the point is stationary, or as good as, and only negative curvature leads on.
    pub leaving: bool,
}

/// gᵀp + ½pᵀBp.
pub(super) trait Model {
    /// The diagonal of B, or of what stands for it: |B_aa| sets the scale of variable a. None: all have the scale 1.
    fn diagonal(&self) -> Option<Vec<f64>>;

    /// A step that reduces the model.
    fn step(&mut self, ask: &Ask) -> Result<Step>;

    /// Whether B has a negative eigenvalue beyond rounding.
    fn indefinite(&mut self, ask: &Ask) -> Result<bool>;
}

/// A model whose matrix is formed.
pub(super) struct Dense {
    /// The packed lower triangle.
    pub lower: Vec<f64>,
    /// The unit roundoff of its entries.
    roundoff: f64,
}

impl Dense {
    pub fn new(lower: Vec<f64>, roundoff: f64) -> Self {
        Dense { lower, roundoff }
    }
}

/// How near to the boundary a step must end; λ is exact for the length that it gets.
const PRECISION: f64 = 0.1;

impl Model for Dense {
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

    fn step(&mut self, ask: &Ask) -> Result<Step> {
        let found = trust_region(
            &self.lower,
            ask.gradient,
            ask.scaling,
            ask.radius,
            PRECISION,
        )?;
        Ok(Step {
            step: found.step,
            reduction: found.reduction,
            length: found.length,
            boundary: found.boundary,
        })
    }

    fn indefinite(&mut self, ask: &Ask) -> Result<bool> {
        Ok(negative_curvature(&self.lower, ask.gradient, self.roundoff).is_some())
    }
}

/// The most negative eigenvalue of the Hessian and its eigenvector, if it is beyond rounding, −20·d·u·max|λ|.
pub(super) fn negative_curvature(
    hessian: &[f64],
    gradient: &[f64],
    roundoff: f64,
) -> Option<(f64, Vec<f64>)> {
    let d = gradient.len();
    // Far cheaper than eigenvalues.
    if Cholesky::new(hessian, d).is_ok() {
        return None;
    }
    let (values, vectors) = eigen(hessian, d).ok()?;
    let lowest = *values.first()?;
    let tolerance = 20.0 * d as f64 * roundoff * largest(&values);
    (lowest < -tolerance).then(|| {
        let mut v = vectors[..d].to_vec();
        // Downhill first; an eigenvector has no sign of its own.
        if dot(&v, gradient) > 0.0 {
            v.iter_mut().for_each(|v| *v = -*v);
        }
        (lowest, v)
    })
}

/// Any function with two derivatives, and what has been counted so far.
pub(super) struct Plain<'a, F: ?Sized> {
    f: &'a F,
    evaluations: Evaluations,
}

impl<'a, F: ?Sized> Plain<'a, F> {
    pub fn new(f: &'a F) -> Self {
        Plain {
            f,
            evaluations: Evaluations::default(),
        }
    }
}

impl<F: TwiceDifferentiable + ?Sized> Objective for Plain<'_, F> {
    type Model = Dense;

    fn value(&mut self, x: &[f64]) -> Result<f64> {
        // An x that has overflowed.
        if !x.iter().all(|v| v.is_finite()) {
            return Ok(f64::NAN);
        }
        self.evaluations.objective += 1;
        guard::call("function", "f", || self.f.value(x))
    }

    fn derive(&mut self, x: &[f64], value: Option<f64>) -> Result<Local<Dense>> {
        let value = match value {
            Some(value) => value,
            None => self.value(x)?,
        };
        if !value.is_finite() {
            return Err(Error::non_finite("the function", &[]));
        }
        let d = x.len();
        let (mut gradient, mut hessian) = (vec![0.0; d], vec![0.0; d * (d + 1) / 2]);
        self.evaluations.gradient += 1;
        guard::call("function", "f", || self.f.gradient(x, &mut gradient))?;
        self.evaluations.curvature += 1;
        guard::call("function", "f", || self.f.hessian(x, &mut hessian))?;
        for (what, values) in [("the gradient", &gradient), ("the Hessian", &hessian)] {
            if let Some(a) = values.iter().position(|v| !v.is_finite()) {
                return Err(Error::non_finite(what, &[a]));
            }
        }
        Ok(Local {
            value,
            gradient,
            model: Dense::new(hessian, U),
        })
    }

    fn evaluations(&mut self) -> &mut Evaluations {
        &mut self.evaluations
    }
}
