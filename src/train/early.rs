//! Early stopping: the end of a fit where the error on other rows no longer falls.
//!
//! Source: Prechelt, "Early stopping – but when?", *Neural Networks: Tricks of the Trade*, 1998 (its class UP, with the lowest point kept).

use super::settings::Settings;
use super::state::{Control, Observer, Progress, State};
use super::{Fit, Method, Reason, Refinement, Validated, Validation};
use crate::error::{Error, Result};
use crate::problem::Problem;

/// A method that is ended early: after each accepted step the objective of `validation`, a problem in the same parameters, is
/// evaluated on other rows, and the point where that was lowest is the result.
///
/// The fit ends as its method does, or after `patience` accepted steps in a row without a lower error. Where an earlier point than
/// the last was the best, its reason is [`Reason::Validation`]; [`Fit::validation`] has the curve. A state of the method does not
/// hold the curve: a resumed fit begins a new one.
///
/// ```
/// use ndarray::array;
/// use secondo::{Activation, Data, EarlyStopping, Loss, Method, Network, Problem, Reason, TrustRegion, silent};
/// let on = |y| {
///     let data = Data::new(array![[1.0]], array![[y]])?;
///     Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, data, Loss::SquaredError)
/// };
/// // The start answers what the other row asks for: every step leads away from it.
/// let (problem, validation) = (on(1.0)?, on(0.0)?);
/// let method = EarlyStopping { method: &TrustRegion::default(), validation: &validation, patience: 3 };
/// let fit = method.fit(&problem, &[0.0, 0.0], &mut silent)?;
/// assert_eq!((fit.w, fit.reason), (vec![0.0, 0.0], Reason::Validation));
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct EarlyStopping<'a> {
    /// The method.
    pub method: &'a dyn Method,
    /// The problem whose objective is the error; usually of other rows, without a penalty, and averaged.
    pub validation: &'a Problem,
    /// The accepted steps in a row without a lower error after which it ends, at least 1.
    pub patience: usize,
}

/// The best point so far.
struct Best {
    index: usize,
    w: Vec<f64>,
    gradient_norm: f64,
    /// As [`State::exact`].
    exact: Option<usize>,
}

/// The curve while the fit runs.
struct Watch<'a> {
    validation: &'a Problem,
    patience: usize,
    curve: Vec<Validated>,
    best: Option<Best>,
    ended: bool,
    failed: Option<Error>,
}

impl Watch<'_> {
    /// Notes a point, and says whether the fit goes on.
    fn see(&mut self, progress: &Progress) -> Control {
        // A method that takes over from another shows where that one ended.
        if self.curve.last().is_some_and(|last| last.step == progress.iteration) {
            return Control::Continue;
        }
        let error = match self.validation.objective(&progress.state.x) {
            Ok(error) if error.is_finite() => error,
            Ok(_) | Err(Error::NonFinite { .. }) => f64::INFINITY,
            Err(error) => {
                self.failed = Some(error);
                return Control::Stop;
            }
        };
        let index = self.curve.len();
        let (step, objective) = (progress.iteration, progress.value);
        self.curve.push(Validated { step, objective, error });
        let lowest = self.best.as_ref().map(|best| self.curve[best.index].error);
        if lowest.is_none_or(|lowest| error < lowest) {
            let (w, gradient_norm) = (progress.state.x.clone(), progress.gradient_norm);
            self.best = Some(Best { index, w, gradient_norm, exact: progress.state.exact });
        }
        let since = index - self.best.as_ref().map_or(0, |best| best.index);
        self.ended = since >= self.patience;
        if self.ended { Control::Stop } else { Control::Continue }
    }

    /// The fit at its best point.
    fn end(self, mut fit: Fit) -> Result<Fit> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let Some(Best { index, w, gradient_norm, exact }) = self.best else {
            return Ok(fit);
        };
        if index + 1 < self.curve.len() {
            use Reason::{Interrupted, NonFinite, Part, Time};
            // A reason that stopped the method stays; its own end is no minimum of the validation.
            if self.ended || !matches!(fit.reason, Interrupted | NonFinite | Part | Time) {
                fit.reason = Reason::Validation;
            }
            (fit.w, fit.value) = (w, self.curve[index].objective);
            fit.gradient_norm = gradient_norm;
            fit.refinement =
                fit.refinement.map(|refinement| Refinement { from: exact, ..refinement });
            // The gain of a step was asked elsewhere.
            fit.certificate = None;
        }
        fit.validation = Some(Validation { curve: self.curve, best: index, ended: self.ended });
        Ok(fit)
    }
}

impl Method for EarlyStopping<'_> {
    fn name(&self) -> &'static str {
        self.method.name()
    }

    fn settings(&self) -> Settings {
        self.method.settings()
    }

    fn resume(&self, problem: &Problem, state: State, observe: Observer) -> Result<Fit> {
        if self.patience == 0 {
            return Err(Error::invalid("patience", "must be at least 1"));
        }
        let (needed, found) = (problem.parameters(), self.validation.parameters());
        if needed != found {
            return Err(Error::shape("parameters of the validation", &[needed], &[found]));
        }
        let mut watch = Watch {
            validation: self.validation,
            patience: self.patience,
            curve: Vec::new(),
            best: None,
            ended: false,
            failed: None,
        };
        let fit = self.method.resume(problem, state, &mut |progress| {
            let asked = observe(progress);
            let control = watch.see(progress);
            if asked == Control::Stop { asked } else { control }
        })?;
        watch.end(fit)
    }
}
