//! Why an iteration ended, and its account: evaluations, wall time, and the device that computed.

use std::fmt;
use std::time::Duration;

use crate::device::{Device, Precision};

/// Why an iteration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The gradient (of a root: the residual) is within `gtol`.
    Gradient,
    /// The last step was within `xtol`.
    Step,
    /// The last step changed the function by no more than `ftol`.
    Function,
    /// `max_iter` was reached.
    Iterations,
    /// The time was up.
    Time,
    /// No step along the descent direction reduces the function any more: it is as low as its rounding lets it be seen,
    /// or the derivatives are not its own.
    Stalled,
    /// There is no minimum that it could find: the function falls by a part of itself from step to step while the parameters grow,
    /// as for classes that are separated.
    Unbounded,
    /// The function or a derivative is not finite at the start, or wherever the iteration would go.
    NonFinite,
    /// The gradient is 0 to tolerance and the model's matrix (the Hessian, or the curvature that was chosen) has a
    /// negative eigenvalue, but the function could not be reduced along its eigenvector.
    Indefinite,
    /// The matrix of the step, Hessian or Jacobian, is singular to rounding.
    Singular,
    /// The error on other rows was lowest at an earlier point, which is the result ([`EarlyStopping`](super::EarlyStopping)).
    Validation,
    /// The observer asked to stop.
    Interrupted,
    /// A user-defined part or function panicked; the report has its name and its message as `fault`.
    Part,
}

impl Reason {
    /// The name used in reports.
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// Whether a tolerance was met, and a fit of a [`Problem`](crate::Problem) certified ([`Certificate`](super::Certificate)).
    pub fn converged(self) -> bool {
        matches!(self, Reason::Gradient | Reason::Step | Reason::Function)
    }

    /// The name and the sentence.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Reason::Gradient => ("gradient", "the gradient is within gtol"),
            Reason::Step => ("step", "the step is within xtol"),
            Reason::Function => ("function", "the change of the function is within ftol"),
            Reason::Iterations => ("iterations", "the iterations are used up (max_iter)"),
            Reason::Time => ("time", "the time is used up"),
            Reason::Stalled => ("stalled", "no step reduces the function"),
            Reason::Unbounded => {
                let why = "no minimum: the function falls on and on as the parameters grow without limit, as for classes that \
                           are separated";
                ("unbounded", why)
            }
            Reason::NonFinite => ("non-finite", "the function or a derivative is not finite"),
            Reason::Indefinite => {
                let why = "stationary, but the matrix of the model is indefinite";
                ("indefinite", why)
            }
            Reason::Singular => ("singular", "the matrix of the step is singular"),
            Reason::Validation => {
                ("validation", "the error on the validation rows was lowest there (early stopping)")
            }
            Reason::Interrupted => ("interrupted", "it was interrupted"),
            Reason::Part => ("part", "a user-defined part failed"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words().1)
    }
}

/// How often a function and its derivatives were evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evaluations {
    /// Values alone.
    pub objective: usize,
    /// Gradients; of a root: residuals.
    pub gradient: usize,
    /// Hessians or other curvature matrices; of a root: Jacobians.
    pub curvature: usize,
    /// Products of the curvature matrix with a vector, where it is not formed.
    pub products: usize,
}

/// Wall time by stage, and the device's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Objectives of trial points.
    pub objective: Duration,
    /// Gradients alone: of L-BFGS, and of the processor in f64 where a device in f32 goes on with the curvature.
    pub gradient: Duration,
    /// Curvatures, with gradients where these are not apart; Jacobians with their factorization.
    pub curvature: Duration,
    /// Factorizations and solves.
    pub solve: Duration,
    /// Everything.
    pub total: Duration,
    /// Kernels by the adapter's own clock, which run while the host waits in one of the others; none where it has no clock.
    pub device: Option<Duration>,
}

/// One of the methods that a fit used one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The method, with curvature and policy.
    pub method: String,
    /// Why it ended, or why another went on.
    pub end: String,
    /// Steps that were tried.
    pub steps: usize,
    /// Evaluations by kind.
    pub evaluations: Evaluations,
    /// Wall time.
    pub time: Duration,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Evaluations { objective, gradient, curvature, products } = self.evaluations;
        write!(
            f,
            "{}: {}, {} alone, {}, {}, {}, {:.3} s; {}",
            self.method,
            plural(self.steps, "step"),
            plural(objective, "objective"),
            plural(gradient, "gradient"),
            plural(curvature, "curvature"),
            plural(products, "product"),
            self.time.as_secs_f64(),
            self.end
        )
    }
}

/// A number of things, as in `1 step` and `2 steps`.
pub(super) fn plural(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

impl Evaluations {
    /// Those that came after others.
    pub(super) fn since(self, before: Evaluations) -> Self {
        Evaluations {
            objective: self.objective.saturating_sub(before.objective),
            gradient: self.gradient.saturating_sub(before.gradient),
            curvature: self.curvature.saturating_sub(before.curvature),
            products: self.products.saturating_sub(before.products),
        }
    }
}

/// The error on other rows along a fit.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Validation {
    /// The start, and the point after each accepted step.
    pub curve: Vec<Validated>,
    /// The index of the first with the lowest error, which is the result.
    pub best: usize,
    /// Whether the patience ended the fit.
    pub ended: bool,
}

/// One point of a fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Validated {
    /// The steps that were accepted before.
    pub step: usize,
    /// The objective that is minimised.
    pub objective: f64,
    /// The error on the other rows; infinite where it is not finite.
    pub error: f64,
}

/// How a fit on a device in f32 was completed in f64.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Refinement {
    /// The steps that had been tried when value and gradient became the processor's in f64; none where a limit ended the fit before, whose
    /// value and gradient norm have the digits of f32 then.
    pub from: Option<usize>,
    /// The processor's part of all floating-point operations, as planned, since the method began or was resumed, measurements of the
    /// errors and the certificate included.
    pub share: f64,
}

/// How often a fit evaluated, how long it took, and on which device.
pub(super) struct Account {
    pub evaluations: Evaluations,
    pub times: Times,
    pub adapter: String,
    /// Why the processor took over from the accelerator, if it did.
    pub failure: Option<String>,
    pub precision: Precision,
    /// Whether value and gradient were in f32 to the end.
    pub is_single: bool,
    /// The processor's share of the work of a fit in f32.
    pub share: Option<f64>,
    /// Whether the loss is 0 at infinity alone: an objective of 0 has then underflowed on the way there.
    pub is_positive: bool,
}

impl Account {
    /// The account of a fit by the processor in f64.
    pub fn of_processor(evaluations: Evaluations, times: Times) -> Self {
        Account {
            evaluations,
            times,
            adapter: Device::Cpu.adapter(),
            failure: None,
            precision: Device::Cpu.precision(),
            is_single: false,
            is_positive: false,
            share: None,
        }
    }
}
