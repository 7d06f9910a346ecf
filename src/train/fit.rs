//! The report of a fit.

use std::fmt;
use std::time::Duration;

use super::certificate::Certificate;
use super::minimize::End;
use super::report::{Account, Evaluations, Reason, Refinement, Stage, Times, Validation, plural};
use super::state::State;
use crate::device::Precision;

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
    /// The gradient norm that `gtol` asks for.
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
    /// The error on other rows along the fit, where it was watched ([`EarlyStopping`](super::EarlyStopping)).
    pub validation: Option<Validation>,
    /// The gain that a Newton step would still have at `w`, where the end depends on it.
    pub certificate: Option<Certificate>,
    /// The user-defined part that panicked and ended it, with its message, if one did.
    pub fault: Option<String>,
    /// The method, with curvature and policy.
    pub method: String,
    /// The choice of `auto`, and why it chose so.
    pub choice: Option<String>,
    /// The methods that `auto` used one after the other since it began or was resumed; empty for other methods.
    pub stages: Vec<Stage>,
    /// The device that computed.
    pub adapter: String,
    /// Why the processor took over from the accelerator, if it did.
    pub failure: Option<String>,
    /// The precision of the device.
    pub precision: Precision,
    /// Where it is f32: from which step value, gradient and decisions were the processor's in f64.
    pub refinement: Option<Refinement>,
}

impl Fit {
    /// The report of a fit with its best point in `state`.
    pub(super) fn new<M>(
        state: &State,
        end: End<M>,
        gradient_goal: f64,
        account: Account,
        method: String,
    ) -> Self {
        let (mut reason, mut certificate) = (end.reason, end.certificate);
        let decided = reason.converged() || matches!(reason, Reason::Stalled | Reason::Indefinite);
        // From a start at 0 nothing was fitted: no sample may have a weight.
        if decided && account.is_positive && state.value == 0.0 && state.initial_value > 0.0 {
            (reason, certificate) = (Reason::Unbounded, None);
        }
        Fit {
            value: state.value,
            initial_value: state.initial_value,
            gradient_norm: state.gradient_norm,
            gradient_goal,
            w: state.x.clone(),
            iterations: state.accepted,
            rejected: state.tried - state.accepted,
            evaluations: account.evaluations,
            times: Times { total: state.elapsed, ..account.times },
            modified_blocks: state.modified_blocks,
            reason,
            validation: None,
            certificate,
            fault: end.fault,
            method,
            choice: None,
            stages: Vec::new(),
            adapter: account.adapter,
            failure: account.failure,
            precision: account.precision,
            refinement: account.share.map(|share| Refinement {
                // Where the device computed nothing all was in f64.
                from: state.exact.or((!account.is_single).then_some(0)),
                share,
            }),
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
        if self.stages.len() > 1 {
            (self.stages.iter()).try_for_each(|stage| writeln!(f, "stage        {stage}"))?;
        }
        write!(f, "computed on  {} ({}", self.adapter, self.precision)?;
        match self.refinement {
            None => writeln!(f, ")")?,
            Some(refinement) => writeln!(f, "{refinement})")?,
        }
        if let Some(failure) = &self.failure {
            writeln!(f, "failure      {failure}; the cpu went on from the last accepted point")?;
        }
        match &self.fault {
            None => writeln!(f, "ended        {}", self.reason)?,
            Some(fault) => writeln!(f, "ended        {}: {fault}", self.reason)?,
        }
        if let Some(validation) = &self.validation {
            writeln!(f, "validation   {validation}")?;
        }
        let (value, start) = (readable(self.value), readable(self.initial_value));
        writeln!(f, "objective    {value} (start {start})")?;
        let (gradient, goal) = (self.gradient_norm, self.gradient_goal);
        writeln!(f, "gradient     {gradient:.3e} (largest entry; goal {goal:.1e})")?;
        if let Some(certificate) = &self.certificate {
            writeln!(f, "certificate  {certificate}")?;
        }
        writeln!(
            f,
            "steps        {} accepted, {} rejected; {} made positive definite",
            self.iterations,
            self.rejected,
            plural(self.modified_blocks, "block")
        )?;
        let products = match self.evaluations.products {
            0 => String::new(),
            products => format!(", {}", plural(products, "product")),
        };
        let alone = self.evaluations.gradient.saturating_sub(self.evaluations.curvature);
        let gradients = match alone {
            0 => String::new(),
            alone => format!("{} alone, ", plural(alone, "gradient")),
        };
        writeln!(
            f,
            "evaluations  {} alone, {gradients}{} with gradient{products}",
            plural(self.evaluations.objective, "objective"),
            plural(self.evaluations.curvature, "curvature")
        )?;
        write!(
            f,
            "time         {} (objective {}, gradient {}, curvature {}, solve {})",
            seconds(self.times.total),
            seconds(self.times.objective),
            seconds(self.times.gradient),
            seconds(self.times.curvature),
            seconds(self.times.solve)
        )?;
        match self.times.device {
            None => Ok(()),
            Some(device) => write!(f, "; kernels on the device {}", seconds(device)),
        }
    }
}

/// The text behind the device's precision.
impl fmt::Display for Refinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            None => write!(f, ", value and gradient too"),
            Some(step) => write!(
                f,
                "; from step {step} on value and gradient on the cpu in f64, {:.1} % of all operations",
                100.0 * self.share
            ),
        }
    }
}

/// The lowest error, and where.
impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |index: usize| self.curve.get(index);
        let (Some(best), Some(last)) = (at(self.best), self.curve.last()) else {
            return Ok(());
        };
        let (lowest, end) = (readable(best.error), readable(last.error));
        write!(f, "error {lowest}, the lowest, after step {}", best.step)?;
        if best.step < last.step {
            write!(f, "; {end} after step {}, the last", last.step)?;
        }
        Ok(())
    }
}

/// Ten digits of a number, with a power of ten only where it needs one.
fn readable(v: f64) -> String {
    match v.abs() {
        0.0 | 1e-3..1e7 => format!("{v:.6}"),
        _ => format!("{v:.9e}"),
    }
}
