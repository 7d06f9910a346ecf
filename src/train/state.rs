//! Where a fit stands: what a checkpoint holds.

use std::time::Duration;

use super::{Evaluations, Progress, Reason};
use crate::error::{Error, Result};

/// Where a fit stands after an accepted step, as plain numbers.
///
/// A fit that is resumed from it with the same problem goes on as if it had not been interrupted, on the processor bit for
/// bit. An observer finds it in [`Progress::state`]; [`Method::resume`](super::Method::resume) starts from it. What a method
/// has no use for is 0, none or empty.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct State {
    /// The method with those of its options that the path depends on.
    pub method: String,
    /// The best point.
    pub x: Vec<f64>,
    /// f(x); NaN before the first evaluation.
    pub value: f64,
    /// max_a |∂f/∂x_a|.
    pub gradient_norm: f64,
    /// f at the start.
    pub initial_value: f64,
    /// The gradient norm of the start.
    pub initial_gradient_norm: f64,
    /// The radius Δ.
    pub radius: f64,
    /// ‖Dx⁽⁰⁾‖, the unit of the radius.
    pub unit: f64,
    /// The largest roots of the diagonal so far, from which D is made.
    pub roots: Vec<f64>,
    /// The damping μ.
    pub mu: f64,
    /// By what the next rejection multiplies μ.
    pub growth: f64,
    /// Which of its methods `auto` is at.
    pub stage: usize,
    /// For how many accepted steps in a row `auto` has found its method slow.
    pub slow: usize,
    /// Accepted steps.
    pub accepted: usize,
    /// Steps that were tried, accepted or not.
    pub tried: usize,
    /// Blocks that the policy for indefiniteness changed.
    pub modified_blocks: usize,
    /// Evaluations by kind.
    pub evaluations: Evaluations,
    /// The tolerance that the last step met, if it met one.
    pub reached: Option<Reason>,
    /// Wall time so far.
    pub elapsed: Duration,
}

impl State {
    /// The state before a fit from `x`.
    pub(crate) fn new(x: &[f64], method: impl Into<String>) -> Self {
        State {
            method: method.into(),
            x: x.to_vec(),
            value: f64::NAN,
            gradient_norm: f64::NAN,
            initial_value: f64::NAN,
            initial_gradient_norm: f64::NAN,
            radius: 0.0,
            unit: 0.0,
            roots: Vec::new(),
            mu: 0.0,
            growth: 2.0,
            stage: 0,
            slow: 0,
            accepted: 0,
            tried: 0,
            modified_blocks: 0,
            evaluations: Evaluations::default(),
            reached: None,
            elapsed: Duration::ZERO,
        }
    }

    /// Whether nothing has been evaluated yet.
    pub(super) fn is_new(&self) -> bool {
        self.initial_value.is_nan()
    }

    /// Notes the start's value and gradient norm.
    pub(super) fn begin(&mut self, value: f64, gradient_norm: f64) {
        (self.value, self.initial_value) = (value, value);
        (self.gradient_norm, self.initial_gradient_norm) = (gradient_norm, gradient_norm);
    }

    /// The gradient norm that ends the fit.
    pub(super) fn goal(&self, gtol: f64, relative: bool) -> f64 {
        match relative {
            true => gtol * self.initial_gradient_norm.max(1.0),
            false => gtol,
        }
    }

    /// What an observer sees.
    pub(super) fn progress(&self, max_iter: usize, radius: Option<f64>) -> Progress<'_> {
        Progress {
            iteration: self.accepted,
            max_iter,
            value: self.value,
            gradient_norm: self.gradient_norm,
            mu: self.mu,
            radius,
            elapsed: self.elapsed,
            state: self,
        }
    }

    /// Refuses a state of another problem, or of a method with other options.
    pub(super) fn check(&self, method: &str, d: usize) -> Result<()> {
        if self.method != method {
            let why = format!("it is one of '{}', not of '{method}'", self.method);
            return Err(Error::invalid("state", why));
        }
        super::check_start(d, &self.x)?;
        if !self.roots.is_empty() && self.roots.len() != d {
            return Err(Error::shape("state: roots", &[d], &[self.roots.len()]));
        }
        if self.accepted > self.tried {
            let why = format!("{} of {} steps were accepted", self.accepted, self.tried);
            return Err(Error::invalid("state", why));
        }
        if let Some(a) = self
            .roots
            .iter()
            .position(|v| !(v.is_finite() && *v >= 0.0))
        {
            return Err(Error::non_finite("state: roots", &[a]));
        }
        let numbers = [
            self.value,
            self.gradient_norm,
            self.initial_value,
            self.growth,
        ];
        let sizes = [self.initial_gradient_norm, self.radius, self.unit, self.mu];
        let good = |v: &f64| v.is_finite() && *v >= 0.0;
        match self.is_new() || (numbers.iter().all(|v| v.is_finite()) && sizes.iter().all(good)) {
            true => Ok(()),
            false => Err(Error::invalid(
                "state",
                "a number in it is not finite or negative",
            )),
        }
    }
}
