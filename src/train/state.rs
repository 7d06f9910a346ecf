//! Where a fit stands, and who watches it.

use std::collections::VecDeque;
use std::time::Duration;

use super::checks::check_start;
use super::report::{Evaluations, Reason};
use super::settings::Settings;
use crate::error::{Error, Result};

/// Where a fit stands after an accepted step, as plain numbers: the content of a checkpoint.
///
/// A fit that is resumed from it with the same problem goes on as if it had not been interrupted, on the processor bit for
/// bit. An observer finds it in [`Progress::state`]; [`Method::resume`](super::Method::resume) starts from it. Numbers that a
/// method has no use for are 0, none or empty.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct State {
    /// The method with those of its options that the path depends on.
    pub settings: Settings,
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
    /// ‖Dx⁽⁰⁾‖, the unit of the radius; of a quasi-Newton method ‖R⁻¹g⁽⁰⁾‖.
    pub unit: f64,
    /// The largest roots of the diagonal so far, from which D is made.
    pub roots: Vec<f64>,
    /// The damping μ.
    pub mu: f64,
    /// By what the next rejection multiplies μ.
    pub growth: f64,
    /// Which of its methods `auto` is at.
    pub stage: usize,
    /// Steps of L-BFGS that it began with, which do not count towards the limit of the methods that go on.
    pub quick: usize,
    /// For how many accepted steps in a row Levenberg and Marquardt's method has been slow; 2³⁰ where the sum has hardly fallen in
    /// many steps.
    pub slow: usize,
    /// The gradient norm at which the model is examined again, after it was found that a fit must go on; 0 before.
    pub again: f64,
    /// ‖x‖ at the first of the points in a row that promised much.
    pub size: f64,
    /// How many examinations in a row found that much is promised.
    pub fleeing: usize,
    /// The steps that were tried when the fall of a sum of squares was looked at last, …
    pub mark: usize,
    /// … and the sum then.
    pub marked: f64,
    /// Accepted steps.
    pub accepted: usize,
    /// Steps that were tried, accepted or not.
    pub tried: usize,
    /// Blocks that the policy for indefiniteness changed.
    pub modified_blocks: usize,
    /// s = Δx and y = Δg of the last steps of a quasi-Newton method, the oldest first.
    pub pairs: VecDeque<(Vec<f64>, Vec<f64>)>,
    /// The point at which its initial matrix was made; none before.
    pub base: Vec<f64>,
    /// Whether it is the exact Hessian.
    pub whole: bool,
    /// The steps since then.
    pub since: usize,
    /// ‖R⁻¹g‖ at and below which the exact Hessian is tried as the initial matrix; 0 before there is one.
    pub near: f64,
    /// Of a device in f32: the reduction and the gradient norm at and below which the rounding errors of f32 are measured again; 0 before they
    /// were measured.
    pub compared: [f64; 2],
    /// The steps that had been tried when value and gradient became the processor's in f64; none while they are in f32, or were never.
    pub exact: Option<usize>,
    /// Evaluations by kind.
    pub evaluations: Evaluations,
    /// The tolerance that the last step met, if it met one.
    pub reached: Option<Reason>,
    /// Wall time so far.
    pub elapsed: Duration,
}

/// Counts up to here are whole as f64, and leave room for those of any fit.
const MOST: u64 = 1 << 53;

impl State {
    /// The state before a fit from `x`.
    pub(crate) fn new(x: &[f64], settings: Settings) -> Self {
        State {
            settings,
            x: x.to_vec(),
            value: f64::NAN,
            gradient_norm: f64::NAN,
            initial_value: f64::NAN,
            initial_gradient_norm: f64::NAN,
            growth: 2.0,
            ..State::default()
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

    /// The gradient norm that ends a fit: gtol · max(1, ‖g₀‖∞).
    pub(super) fn goal(&self, gtol: f64) -> f64 {
        gtol * self.initial_gradient_norm.max(1.0)
    }

    /// Where the fit stands, for an observer.
    pub(super) fn progress(&self, max_iter: usize) -> Progress<'_> {
        Progress {
            iteration: self.accepted,
            max_iter,
            value: self.value,
            gradient_norm: self.gradient_norm,
            mu: self.mu,
            radius: (self.radius > 0.0).then_some(self.radius),
            elapsed: self.elapsed,
            state: self,
        }
    }

    /// Refuses a state of another problem, of another method, or of a method with other options.
    pub(super) fn check(&self, settings: &Settings, d: usize) -> Result<()> {
        if let Some(why) = self.settings.difference(settings) {
            return Err(Error::invalid("state", why));
        }
        check_start(d, &self.x)?;
        if !self.roots.is_empty() && self.roots.len() != d {
            return Err(Error::shape("state: roots", &[d], &[self.roots.len()]));
        }
        let lengths = self.pairs.iter().flat_map(|(s, y)| [s.len(), y.len()]);
        let base = (!self.base.is_empty()).then_some(self.base.len());
        if let Some(wrong) = lengths.chain(base).find(|&len| len != d) {
            return Err(Error::shape("state: pairs", &[d], &[wrong]));
        }
        let remembered = self.pairs.iter().flat_map(|(s, y)| s.iter().chain(y));
        if let Some(a) = remembered.chain(&self.base).position(|v| !v.is_finite()) {
            return Err(Error::non_finite("state: pairs", &[a]));
        }
        if self.accepted > self.tried {
            let why = format!("{} of {} steps were accepted", self.accepted, self.tried);
            return Err(Error::invalid("state", why));
        }
        let e = &self.evaluations;
        let counts = [
            self.tried,
            self.slow,
            self.stage,
            self.quick,
            self.fleeing,
            self.mark,
            self.since,
            self.modified_blocks,
            self.exact.unwrap_or(0),
            e.objective,
            e.gradient,
            e.curvature,
            e.products,
        ];
        if counts.iter().any(|count| *count as u64 > MOST) || self.elapsed.as_secs() > MOST {
            let why = "a count in it, or its time, is beyond what a fit can reach";
            return Err(Error::invalid("state", why));
        }
        let good = |v: &f64| v.is_finite() && *v >= 0.0;
        if let Some(a) = self.roots.iter().position(|v| !good(v)) {
            return Err(Error::non_finite("state: roots", &[a]));
        }
        let numbers = [self.value, self.gradient_norm, self.initial_value, self.growth];
        let sizes = [
            self.initial_gradient_norm,
            self.radius,
            self.unit,
            self.mu,
            self.again,
            self.size,
            self.marked,
            self.near,
            self.compared[0],
            self.compared[1],
        ];
        let sound = numbers.iter().all(|v| v.is_finite()) && sizes.iter().all(good);
        if !(self.is_new() || sound) {
            let why = "a number in it is not finite or negative";
            return Err(Error::invalid("state", why));
        }
        Ok(())
    }
}

/// Where a running fit stands.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// Accepted steps so far; 0 at the start.
    pub iteration: usize,
    /// The iteration limit.
    pub max_iter: usize,
    /// The objective at the best point.
    pub value: f64,
    /// max_l |g_l| at the best point.
    pub gradient_norm: f64,
    /// The damping μ, or 0.
    pub mu: f64,
    /// The radius Δ of methods that have one.
    pub radius: Option<f64>,
    /// Wall time so far, that before a resumption included.
    pub elapsed: Duration,
    /// Everything that the fit needs to go on from here.
    pub state: &'a State,
}

impl Progress<'_> {
    /// The wall time that the rest takes at most, at the pace so far; none at the start.
    pub fn remaining(&self) -> Option<Duration> {
        // Block methods count accepted steps, the others all.
        let steps = match self.radius {
            Some(_) => self.state.tried,
            None => self.iteration,
        };
        let steps = u32::try_from(steps).ok()?;
        let left = u32::try_from(self.max_iter.saturating_sub(steps as usize)).ok()?;
        (steps > 0).then(|| (self.elapsed / steps).saturating_mul(left))
    }
}

/// Sees where a fit stands, at its start and after every accepted step, and says whether it goes on.
pub type Observer<'a> = &'a mut dyn FnMut(&Progress) -> Control;

/// The answer of an observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// End the fit at its best point.
    Stop,
}

/// The observer that looks on and never stops a fit.
pub fn silent(_: &Progress) -> Control {
    Control::Continue
}
