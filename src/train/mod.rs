//! Newton-type training: loops that end in a report with a reason.

mod auto;
mod block_newton;
mod evaluator;
mod levenberg_marquardt;
pub mod newton;
mod newton_cg;
mod objective;
mod squares;
mod state;
mod trust_region;

pub use auto::Auto;
pub use block_newton::BlockNewton;
pub use levenberg_marquardt::{LeastSquares, LevenbergMarquardt, Residuals, residual_function};
pub use newton_cg::{NewtonCg, Preconditioning};
pub use state::State;
pub use trust_region::TrustRegion;

use std::fmt;
use std::time::Duration;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::solve::largest;

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
    /// The function or a derivative is not finite at the start, or wherever the iteration would go.
    NonFinite,
    /// The gradient is 0 to tolerance and the model's matrix (the Hessian, or the curvature that was chosen) has a negative eigenvalue, but the function could not be reduced
    /// along its eigenvector.
    Indefinite,
    /// The matrix of the step, Hessian or Jacobian, is singular to rounding.
    Singular,
    /// The observer asked to stop.
    Interrupted,
    /// A user-defined part or function panicked; the report has its name and its message as `fault`.
    Part,
}

impl Reason {
    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Gradient => "gradient",
            Reason::Step => "step",
            Reason::Function => "function",
            Reason::Iterations => "iterations",
            Reason::Time => "time",
            Reason::Stalled => "stalled",
            Reason::NonFinite => "non-finite",
            Reason::Indefinite => "indefinite",
            Reason::Singular => "singular",
            Reason::Interrupted => "interrupted",
            Reason::Part => "part",
        }
    }

    /// Whether a tolerance was met. It does not prove a minimum.
    pub fn converged(self) -> bool {
        matches!(self, Reason::Gradient | Reason::Step | Reason::Function)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Gradient => "the gradient is within gtol",
            Reason::Step => "the step is within xtol",
            Reason::Function => "the change of the function is within ftol",
            Reason::Iterations => "the iterations are used up (max_iter)",
            Reason::Time => "the time is used up",
            Reason::Stalled => "no step reduces the function",
            Reason::NonFinite => "the function or a derivative is not finite",
            Reason::Indefinite => "stationary, but the matrix of the model is indefinite",
            Reason::Singular => "the matrix of the step is singular",
            Reason::Interrupted => "it was interrupted",
            Reason::Part => "a user-defined part failed",
        })
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

/// Wall time by stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Objectives of trial points.
    pub objective: Duration,
    /// Gradients by the processor in f64, where the curvature comes from a device in f32.
    pub gradient: Duration,
    /// Curvatures, with gradients where these are not apart.
    pub curvature: Duration,
    /// Factorizations and solves.
    pub solve: Duration,
    /// Everything.
    pub total: Duration,
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

/// What an observer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// End the fit at its best point.
    Stop,
}

/// The end of a fit: the best accepted point and how it was reached.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Fit {
    /// The best accepted parameters (θ under a constraint).
    pub w: Vec<f64>,
    /// E at `w`, the penalty included.
    pub value: f64,
    /// E at the start.
    pub initial_value: f64,
    /// max_l |g_l| at `w`.
    pub gradient_norm: f64,
    /// What `gtol` asks of the gradient norm.
    pub gradient_goal: f64,
    /// Accepted steps.
    pub iterations: usize,
    /// Rejected trial points, those with an objective that is not finite included.
    pub rejected: usize,
    /// Evaluations by kind.
    pub evaluations: Evaluations,
    /// Wall time by stage.
    pub times: Times,
    /// Blocks that the policy for indefiniteness changed, over all iterations.
    pub modified_blocks: usize,
    /// Why it ended.
    pub reason: Reason,
    /// The user-defined part that panicked and ended it, with its message, if one did.
    pub fault: Option<String>,
    /// The method, with curvature and policy.
    pub method: String,
    /// What `auto` chose, and why.
    pub choice: Option<String>,
    /// The device that computed.
    pub adapter: String,
    /// Why the processor took over from the accelerator, if it did.
    pub failure: Option<String>,
    /// The precision of the device; where it is f32, value, gradient and decisions are the processor's in f64.
    pub precision: &'static str,
}

/// A method for problems: options that fit from a start, or from where a fit was left.
///
/// ```
/// use ndarray::array;
/// use secondo::{Activation, Control, Data, Loss, Method, Network, Problem, TrustRegion, silent};
/// let data = Data::new(array![[1.0], [2.0], [4.0]], array![[1.0], [2.5], [3.5]])?;
/// let problem = Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, data, Loss::SquaredError)?;
/// let method = TrustRegion::default();
/// let fit = method.fit(&problem, &[0.0, 0.0], &mut silent)?; // y = 11/14 x + 1/2
/// assert!((fit.w[0] - 11.0 / 14.0).abs() + (fit.w[1] - 0.5).abs() < 1e-12);
///
/// // Stopped at its start and resumed, it is the same fit.
/// let mut kept = None;
/// method.fit(&problem, &[0.0, 0.0], &mut |p| {
///     kept = Some(p.state.clone());
///     Control::Stop
/// })?;
/// let Some(kept) = kept else { unreachable!() };
/// assert_eq!(method.resume(&problem, kept, &mut silent)?.w, fit.w);
/// # Ok::<(), secondo::Error>(())
/// ```
pub trait Method {
    /// The name on the command line.
    fn name(&self) -> &'static str;

    /// The options that the path depends on, in words; limits are not among them.
    fn options(&self) -> String;

    /// Goes on from where a fit of the same problem by the same method was left.
    ///
    /// # Errors
    /// As [`fit`](Method::fit); `Invalid` for a state of another method, or of other options.
    fn resume(&self, problem: &Problem, state: State, observe: Observer) -> Result<Fit>;

    /// Minimises the problem's objective from `start`. `observe` is called at the start and after every accepted step.
    ///
    /// Returns the best accepted point with the reason of the end. A step to where a user-defined part gives NaN is rejected;
    /// a panic of one ends the fit.
    ///
    /// # Errors
    /// An option out of range; a start with the wrong length or where objective or gradient are not finite; a curvature
    /// that the problem does not have (`Unsupported`); too little memory; a device that fails, without `fallback`.
    fn fit(&self, problem: &Problem, start: &[f64], observe: Observer) -> Result<Fit> {
        self.resume(problem, State::new(start, self.fingerprint()), observe)
    }

    /// Name and options: what [`State::method`] holds.
    fn fingerprint(&self) -> String {
        format!("{} {}", self.name(), self.options())
    }
}

/// Why an iteration ended, with the user-defined part that panicked, if one did.
struct End {
    reason: Reason,
    fault: Option<String>,
}

impl End {
    /// The end of a loop whose best point is in `state`: where a part panics after the start, that point is its result.
    fn new(done: Result<Reason>, state: &State) -> Result<Self> {
        let (reason, fault) = match done {
            Err(error @ Error::Part { .. }) if !state.is_new() => {
                (Reason::Part, Some(error.to_string()))
            }
            done => (done?, None),
        };
        Ok(End { reason, fault })
    }
}

/// What a fit took, and what computed it.
struct Account {
    evaluations: Evaluations,
    times: Times,
    adapter: String,
    failure: Option<String>,
    precision: &'static str,
}

impl Default for Account {
    /// Nothing yet, on the processor in f64.
    fn default() -> Self {
        Account {
            evaluations: Evaluations::default(),
            times: Times::default(),
            adapter: Device::Cpu.adapter(),
            failure: None,
            precision: Device::Cpu.precision(),
        }
    }
}

/// The observer that looks on.
pub fn silent(_: &Progress) -> Control {
    Control::Continue
}

impl Fit {
    fn new(
        state: State,
        End { reason, fault }: End,
        gradient_goal: f64,
        account: Account,
        method: String,
    ) -> Self {
        Fit {
            value: state.value,
            initial_value: state.initial_value,
            gradient_norm: state.gradient_norm,
            gradient_goal,
            w: state.x,
            iterations: state.accepted,
            rejected: state.tried - state.accepted,
            evaluations: account.evaluations,
            times: Times {
                total: state.elapsed,
                ..account.times
            },
            modified_blocks: state.modified_blocks,
            reason,
            fault,
            method,
            choice: None,
            adapter: account.adapter,
            failure: account.failure,
            precision: account.precision,
        }
    }

    /// Whether a tolerance was met; see [`Reason::converged`].
    pub fn converged(&self) -> bool {
        self.reason.converged()
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |d: Duration| format!("{:.3} s", d.as_secs_f64());
        writeln!(f, "method       {}", self.method)?;
        if let Some(choice) = &self.choice {
            writeln!(f, "chosen       {choice}")?;
        }
        let precision = match self.precision {
            "f32" => "the curvature, in f32; the rest on the cpu in f64",
            other => other,
        };
        writeln!(f, "computed on  {} ({precision})", self.adapter)?;
        if let Some(failure) = &self.failure {
            writeln!(
                f,
                "failure      {failure}; the cpu went on from the last accepted point"
            )?;
        }
        match &self.fault {
            None => writeln!(f, "ended        {}", self.reason)?,
            Some(fault) => writeln!(f, "ended        {}: {fault}", self.reason)?,
        }
        let (value, start) = (readable(self.value), readable(self.initial_value));
        writeln!(f, "objective    {value} (start {start})")?;
        let (gradient, goal) = (self.gradient_norm, self.gradient_goal);
        writeln!(
            f,
            "gradient     {gradient:.3e} (largest entry; goal {goal:.1e})"
        )?;
        writeln!(
            f,
            "steps        {} accepted, {} rejected; {} blocks made positive definite",
            self.iterations, self.rejected, self.modified_blocks
        )?;
        let products = match self.evaluations.products {
            0 => String::new(),
            products => format!(", {products} products"),
        };
        writeln!(
            f,
            "evaluations  {} objectives alone, {} curvatures with gradient{products}",
            self.evaluations.objective, self.evaluations.curvature
        )?;
        write!(
            f,
            "time         {} (objective {}, gradient {}, curvature {}, solve {})",
            seconds(self.times.total),
            seconds(self.times.objective),
            seconds(self.times.gradient),
            seconds(self.times.curvature),
            seconds(self.times.solve)
        )
    }
}

/// Ten digits of a number, with a power of ten only where it needs one.
fn readable(v: f64) -> String {
    match v.abs() {
        0.0 | 1e-3..1e7 => format!("{v:.6}"),
        _ => format!("{v:.9e}"),
    }
}

/// Refuses tolerances that are negative or not finite.
fn check_tolerances(gtol: f64, xtol: f64, ftol: f64) -> Result<()> {
    for (name, value) in [("gtol", gtol), ("xtol", xtol), ("ftol", ftol)] {
        if !(value.is_finite() && value >= 0.0) {
            return Err(Error::invalid(
                name,
                format!("{value} is not a finite number ≥ 0"),
            ));
        }
    }
    Ok(())
}

/// Refuses a radius that is not positive, a largest that is smaller, and an acceptance of steps that the radius rules call bad.
fn check_radius(initial: f64, max: f64, eta: f64) -> Result<()> {
    if !(initial.is_finite() && initial > 0.0) {
        let why = format!("{initial} is not positive and finite");
        return Err(Error::invalid("initial_radius", why));
    }
    if max.is_nan() || max < initial {
        let why = format!("{max} is not ≥ initial_radius");
        return Err(Error::invalid("max_radius", why));
    }
    if !(0.0..0.25).contains(&eta) {
        return Err(Error::invalid("eta", format!("{eta} is not in [0, ¼)")));
    }
    Ok(())
}

/// Refuses a starting point of another length, or one that is not finite.
fn check_start(d: usize, x0: &[f64]) -> Result<()> {
    if x0.len() != d {
        return Err(Error::shape("starting point", &[d], &[x0.len()]));
    }
    match x0.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(Error::non_finite("starting point", &[i])),
        None => Ok(()),
    }
}

/// A radius within what f64 and the largest allow.
fn in_range(radius: f64, largest: f64) -> f64 {
    radius.clamp(
        f64::MIN_POSITIVE,
        largest.clamp(f64::MIN_POSITIVE, f64::MAX),
    )
}

/// ‖v‖₂, without overflow.
fn norm(v: &[f64]) -> f64 {
    let scale = largest(v);
    if scale == 0.0 || !scale.is_finite() {
        return scale;
    }
    scale * v.iter().map(|v| (v / scale).powi(2)).sum::<f64>().sqrt()
}

/// The scaling D whose zeros, of variables that have not mattered yet, are its largest entry, or 1.
fn without_zeros(scaling: &[f64]) -> Vec<f64> {
    let substitute = match largest(scaling) {
        0.0 => 1.0,
        largest => largest,
    };
    (scaling.iter())
        .map(|&d| if d > 0.0 { d } else { substitute })
        .collect()
}
