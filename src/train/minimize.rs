//! The loop of every minimiser: model, propose, judge, accept or reject, leave a saddle, stop.
//!
//! A method is a [`Model`] of the function near the best point. Whatever methods share stands here, once; where their rules
//! differ, [`Rules`] has a field for it or the model a method.
//!
//! Source: Nocedal and Wright, *Numerical Optimization*, 2nd ed., ch. 4; Conn, Gould and Toint, *Trust-Region Methods*,
//! ch. 6 and §17.4.

use std::convert::Infallible;
use std::time::Duration;

use super::certificate::{Certificate, Downward, Promise};
use super::single::{Single, decides};
use super::{Control, Evaluations, Observer, Reason, State, norm};
use crate::clock::Instant;
use crate::error::{Error, Result};
use crate::interrupt::Limits;

/// A method: a model of f near the best point, and what becomes of its steps.
pub(super) trait Model {
    /// f at a trial point, as far as [`derive`](Model::derive) has a use for it.
    type Value;
    /// The model near a point.
    type Local;

    fn rules(&self) -> Rules;

    /// f(x₊) and f(x) − f(x₊), not finite where f is not defined.
    fn value(&mut self, at: &Point<Self::Local>, x: &[f64]) -> Result<(Self::Value, f64)>;

    /// f with its derivatives at x, where it has the value `value` if that is known.
    ///
    /// # Errors
    /// [`Error::NonFinite`] where f or a derivative is not finite: such a trial point is rejected.
    fn derive(&mut self, x: &[f64], value: Option<Self::Value>) -> Result<Point<Self::Local>>;

    /// Makes ready for steps from `at`, the best point: scaling, radius, damping.
    fn prepare(&mut self, state: &mut State, at: &Point<Self::Local>);

    /// A step that reduces the model.
    ///
    /// # Errors
    /// Errors, and the [`Reason`] to end if there is no step.
    fn propose(&mut self, state: &mut State, at: &mut Point<Self::Local>) -> Proposal;

    /// Makes the region smaller or wider, or the damping heavier or lighter, after an accepted or a rejected step.
    fn adapt(&mut self, state: &mut State, trial: &Trial, accepted: bool);

    /// Whether the gradient is small enough to end at `next`, which a step led to unless it is the start.
    fn stationary(&self, state: &State, next: &Point<Self::Local>, step: Option<&Step>) -> bool;

    /// The promise of f's quadratic model at a point that met a tolerance, and whether f curves downwards there. A gain above `enough`
    /// needs no more digits, and no curvature.
    fn examine(
        &mut self,
        state: &State,
        at: &mut Point<Self::Local>,
        enough: f64,
    ) -> Result<Promise>;

    /// Whether the next step can be one without a region, since rounding hides what a bounded one does.
    fn release(&mut self) -> bool {
        false
    }

    /// Frees the model at `at`, which memory must not hold beside the next; `propose` makes it again if it must.
    fn free(&mut self, _at: &mut Point<Self::Local>) {}

    /// The steps that count towards the limit.
    fn steps(&self, state: &State) -> usize {
        state.tried
    }

    /// The function, while its value and gradient are in f32.
    fn single(&mut self) -> Option<&mut dyn Single> {
        None
    }

    /// The limits of its computing inside a step, if it has some.
    fn limits(&self) -> Option<&Limits> {
        None
    }

    /// The evaluations so far; they can be set where a fit is resumed.
    fn evaluations(&mut self) -> &mut Evaluations;
}

/// f near a point where it and its derivatives are finite.
pub(super) struct Point<M> {
    /// f(x).
    pub value: f64,
    /// max_a |∂f/∂x_a|.
    pub gradient_norm: f64,
    /// The length of the gradient, by which points are compared whose values differ by rounding only.
    pub slope: f64,
    /// Differences of f below this are rounding errors.
    pub rounding: f64,
    /// Gains below this are rounding errors, at the least `rounding`.
    pub resolution: f64,
    /// The model there.
    pub model: M,
}

/// The limits of a fit, and the rules of its method where methods differ.
pub(super) struct Rules {
    pub max_iter: usize,
    pub time_limit: Option<Duration>,
    /// The gain ratio above which a step is accepted.
    pub eta: f64,
    /// Ends after a step by which f fell by ≤ ftol · |f|, as predicted.
    pub ftol: f64,
    /// A step that changes f by rounding only is accepted if the slope falls below this part of what it was, …
    pub slope_fall: f64,
    /// … or else if its gain ratio is above eta, unless this is set.
    pub slope_decides: bool,
    /// Whether the value that comes with the derivatives must be lower, too.
    pub strict: bool,
    /// The gtol by which a [`Certificate`] is given, if the end needs one.
    pub certified: Option<f64>,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            max_iter: 0,
            time_limit: None,
            eta: 1e-4,
            ftol: 0.0,
            slope_fall: 1.0,
            slope_decides: false,
            strict: false,
            certified: None,
        }
    }
}

/// A step from the best point.
pub(super) struct Step {
    /// The trial point x₊ = x + p.
    pub x: Vec<f64>,
    /// The reduction of f that the model predicts.
    pub predicted: f64,
    /// The length of p in the norm of the region.
    pub length: f64,
    /// Whether the region makes it shorter than the model would have it. Such a step says nothing about convergence.
    pub bounded: bool,
    /// Whether it is within `xtol`.
    pub small: bool,
    /// Whether it is so short that a shorter one is not worth trying.
    pub vanishing: bool,
}

/// A step with what became of f.
pub(super) struct Trial {
    pub step: Step,
    /// f(x) − f(x₊), not finite where f(x₊) is not.
    pub actual: f64,
    /// ρ = actual / predicted; NaN where f(x₊) is, and no comparison with it holds.
    pub gain: f64,
    /// Whether f is the same but for rounding, as predicted.
    pub level: bool,
    /// The slope at the best point, and at the trial point if its derivatives were computed.
    pub slopes: (f64, Option<f64>),
}

/// A result that an end of the iteration takes the place of.
pub(super) type Outcome<T> = std::result::Result<T, Stop>;

/// A step; none if one was tried that is beyond the range of f64, and another is to follow.
pub(super) type Proposal = Outcome<Option<Step>>;

/// Why the iteration does not go on.
pub(super) enum Stop {
    Because(Reason),
    Failed(Error),
}

impl Stop {
    /// Whether it was decided by f or its derivatives; else by a limit, the observer, a part that panicked or a device that failed.
    fn is_a_decision(&self) -> bool {
        use Reason::{Interrupted, Iterations, Part, Time};
        match self {
            Stop::Because(reason) => !matches!(reason, Interrupted | Iterations | Part | Time),
            Stop::Failed(error) => matches!(error, Error::NonFinite { .. }),
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

/// The end of an iteration.
pub(super) struct End<M> {
    pub reason: Reason,
    /// The user-defined part that panicked, with its message, if one did.
    pub fault: Option<String>,
    /// The promise where the end was decided, if it was asked.
    pub certificate: Option<Certificate>,
    /// The best point, if f could be evaluated there.
    pub at: Option<Point<M>>,
}

impl<M> End<M> {
    /// The end for a reason that leaves no point.
    pub fn because(reason: Reason) -> Self {
        End { reason, fault: None, certificate: None, at: None }
    }

    /// The end of a function without a value or derivatives at its start, which is a result, not an error.
    pub fn at_start(error: Error) -> Result<Self> {
        match error {
            Error::NonFinite { .. } => Ok(End::because(Reason::NonFinite)),
            error => Err(error),
        }
    }
}

/// A gain that is this part of |f| is one that a fit does not end before.
const AWAY: f64 = 1e-3;
/// A model is asked again where its gain may be the square of this times what is allowed.
const MARGIN: f64 = 2.0;
/// How many times in a row it is promised until there is no minimum, if x has become longer.
const FLIGHT: usize = 30;
/// By which factor it must have become longer, or by which part of it the next step must change it if it became longer by less, as
/// beside large weights of columns in small units; choices.
const FURTHER: f64 = 1.0 + 1.0 / 64.0;
const FAR: f64 = 1e-6;

/// Minimises f from a start, or from where `state` was left; `state` then has the best point.
///
/// # Errors
/// Those of the model; [`Error::NonFinite`] for the start. After the start a part that panics is an end, not an error.
pub(super) fn minimize<M: Model>(
    model: &mut M,
    state: &mut State,
    observe: Observer,
) -> Result<End<M::Local>> {
    let mut run = Run {
        rules: model.rules(),
        before: state.elapsed,
        clock: Instant::now(),
        model,
        state,
        observe,
        certificate: None,
    };
    if let (Some(_), Some(single)) = (run.state.exact, run.model.single()) {
        single.refine();
    }
    let mut at = None;
    let Err(mut stop) = run.iterate(&mut at);
    while stop.is_a_decision() && run.refine() {
        Err(stop) = run.go_on(&mut at);
    }
    run.count();
    let certified = run.certificate.is_some_and(|certificate| certificate.holds());
    let (reason, fault) = match stop {
        // The method has no step, and no proof either.
        Stop::Because(reason) if reason.converged() && !certified => (Reason::Stalled, None),
        Stop::Because(reason) => (reason, None),
        Stop::Failed(error @ Error::Part { .. }) if !run.state.is_new() => {
            (Reason::Part, Some(error.to_string()))
        }
        Stop::Failed(Error::Interrupted) if !run.state.is_new() => (run.interruption(), None),
        Stop::Failed(error) => return Err(error),
    };
    Ok(End { reason, fault, certificate: run.certificate, at })
}

/// A point of a model.
type At<M> = Point<<M as Model>::Local>;

/// A step with what became of f, and the trial point where it is accepted.
type Judged<M> = (Trial, Option<At<M>>);

struct Run<'a, M> {
    model: &'a mut M,
    rules: Rules,
    state: &'a mut State,
    observe: Observer<'a>,
    clock: Instant,
    /// The wall time before a resumption.
    before: Duration,
    /// That of the best point, if it was asked for there.
    certificate: Option<Certificate>,
}

impl<M: Model> Run<'_, M> {
    /// The algorithm. It has no other end than a [`Stop`]; `best` then has the best point.
    fn iterate(&mut self, best: &mut Option<At<M>>) -> Outcome<Infallible> {
        let new = self.state.is_new();
        let at = best.insert(self.start()?);
        // Not before: a fit has a point, however short its time.
        let end = self.rules.time_limit.and_then(|limit| self.clock.checked_add(limit));
        if let (Some(limits), Some(end)) = (self.model.limits(), end) {
            limits.end_at(end);
        }
        self.arrive(at, new)?;
        self.steps(at)
    }

    /// Has f in f64 from here on, if it was in f32.
    fn refine(&mut self) -> bool {
        let Some(single) = self.model.single() else {
            return false;
        };
        single.refine();
        self.state.exact = Some(self.state.tried);
        true
    }

    /// Goes on from the best point, evaluated anew.
    fn go_on(&mut self, best: &mut Option<At<M>>) -> Outcome<Infallible> {
        if self.state.is_new() {
            return self.iterate(best);
        }
        let Some(at) = derived(self.model.derive(&self.state.x, None))? else {
            return Err(Stop::Because(Reason::NonFinite));
        };
        let at = best.insert(at);
        // The start's value was in f32.
        if self.state.accepted == 0 {
            self.state.begin(at.value, at.gradient_norm);
        }
        self.state.initial_value = self.state.initial_value.max(at.value);
        (self.state.value, self.state.gradient_norm) = (at.value, at.gradient_norm);
        let stationary = self.model.stationary(self.state, at, None);
        self.state.reached = stationary.then_some(Reason::Gradient);
        self.arrive(at, false)?;
        self.steps(at)
    }

    /// Step after step.
    fn steps(&mut self, at: &mut At<M>) -> Outcome<Infallible> {
        loop {
            self.check_limits()?;
            let step = match self.propose(at) {
                // The method's own model promises nothing that f64 resolves; the certificate's may.
                Err(Stop::Because(Reason::Function)) if !self.leaving() => {
                    self.exhaust(at, false)?;
                    continue;
                }
                step => step?,
            };
            let Some(step) = step else {
                continue;
            };
            let judged = self.judge(at, step);
            if matches!(judged, Err(Error::Interrupted)) {
                // It will be tried again when the fit is resumed.
                self.state.tried -= 1;
            }
            let Some((trial, next)) = judged? else {
                self.state.tried -= 1;
                return Err(Stop::Because(Reason::Stalled));
            };
            match next {
                Some(next) => self.accept(at, next, &trial)?,
                None => self.reject(at, &trial)?,
            }
        }
    }

    /// The point to begin at, or to go on from.
    fn start(&mut self) -> Result<At<M>> {
        let is_new = self.state.is_new();
        let at = self.model.derive(&self.state.x, None);
        if !is_new {
            // Also where the point cannot be evaluated any more.
            *self.model.evaluations() = self.state.evaluations;
        }
        let at = at?;
        // Another device may round them differently.
        (self.state.value, self.state.gradient_norm) = (at.value, at.gradient_norm);
        if is_new {
            self.state.begin(at.value, at.gradient_norm);
            let stationary = self.model.stationary(self.state, &at, None);
            self.state.reached = stationary.then_some(Reason::Gradient);
        }
        Ok(at)
    }

    /// Ends at a point that met a tolerance, unless it is a saddle; shows a new point to the observer before.
    fn arrive(&mut self, at: &mut At<M>, new: bool) -> Outcome<()> {
        self.model.prepare(self.state, at);
        let stops = new && {
            self.count();
            (self.observe)(&self.state.progress(self.rules.max_iter)) == Control::Stop
        };
        let end = match self.state.reached {
            // Not before it is evaluated in f64.
            Some(reason) if self.model.single().is_some() => Err(Stop::Because(reason)),
            Some(reason) => Ok(self.settle(at, reason)?),
            None => Ok(()),
        };
        if stops { Err(Stop::Because(Reason::Interrupted)) } else { end }
    }

    /// Ends at a point that met a tolerance if the model promises no more there. Otherwise goes on: along negative curvature, or
    /// as if no tolerance were met.
    fn settle(&mut self, at: &mut At<M>, reason: Reason) -> Outcome<()> {
        // Another examination before the gradient has changed would find the same.
        let again = self.state.again;
        if reason == Reason::Gradient && again > 0.0 && at.gradient_norm > again {
            self.state.reached = None;
            return Ok(());
        }
        let allowed = self.allowed(at);
        let promise = self.model.examine(self.state, at, allowed)?;
        let certified = self.certify(promise, allowed).holds();
        if promise.curvature == Downward::LeadsOn {
            return self.flee(at, promise);
        }
        if certified {
            let unseen = promise.curvature == Downward::Unseen;
            return Err(Stop::Because(if unseen { Reason::Indefinite } else { reason }));
        }
        self.state.reached = None;
        // Near a minimum the gain falls with the square of the gradient; far from one there is no such rule.
        let far = promise.gain.is_nan() || promise.gain > AWAY * at.value.abs();
        let fall = if far { 0.5 } else { (MARGIN * (allowed / promise.gain).sqrt()).min(0.5) };
        self.state.again = fall * at.gradient_norm;
        self.flee(at, promise)
    }

    /// The gain that a minimum may promise.
    fn allowed(&self, at: &At<M>) -> f64 {
        match self.rules.certified {
            Some(gtol) => (gtol * gtol * at.value.abs()).max(at.resolution),
            None => f64::INFINITY,
        }
    }

    /// Notes what is promised at a point beside what is allowed.
    fn certify(&mut self, promise: Promise, allowed: f64) -> Certificate {
        *self.certificate.insert(Certificate {
            gain: promise.gain,
            allowed,
            step: promise.step,
            settled: promise.settled,
        })
    }

    /// Ends where the gradient is small and yet, again and again, a step promises to lower f by a part of itself, while x leads
    /// away: there is no minimum. Near an exact fit each step gains most of f, too, but x comes to an end.
    fn flee(&mut self, at: &At<M>, promise: Promise) -> Outcome<()> {
        let size = norm(&self.state.x);
        if promise.gain.is_nan() || promise.gain <= AWAY * at.value.abs() {
            self.state.fleeing = 0;
            return Ok(());
        }
        if self.state.fleeing == 0 {
            self.state.size = size;
        }
        self.state.fleeing += 1;
        if self.state.fleeing < FLIGHT {
            return Ok(());
        }
        self.state.fleeing = 0;
        let grown = size / self.state.size;
        let leads_away = grown > FURTHER || grown > 1.0 && promise.step > FAR;
        if leads_away { Err(Stop::Because(Reason::Unbounded)) } else { Ok(()) }
    }

    fn count(&mut self) {
        self.state.evaluations = *self.model.evaluations();
        self.state.elapsed = self.before.saturating_add(self.clock.elapsed());
    }

    /// Which limit ended a step.
    fn interruption(&self) -> Reason {
        let is_late = |limit| self.clock.elapsed() >= limit;
        let late = self.rules.time_limit.is_some_and(is_late);
        if late { Reason::Time } else { Reason::Interrupted }
    }

    fn check_limits(&self) -> Outcome<()> {
        if self.model.steps(self.state) >= self.rules.max_iter {
            return Err(Stop::Because(Reason::Iterations));
        }
        match self.rules.time_limit {
            Some(limit) if self.clock.elapsed() >= limit => Err(Stop::Because(Reason::Time)),
            _ => Ok(()),
        }
    }

    fn propose(&mut self, at: &mut At<M>) -> Proposal {
        let step = self.model.propose(self.state, at)?;
        self.state.tried += 1;
        Ok(step)
    }

    /// Takes a step on trial: accepted if f falls as predicted, or if f is level and the gradient smaller. None where f32 does not decide.
    fn judge(&mut self, at: &mut At<M>, step: Step) -> Result<Option<Judged<M>>> {
        let (value, actual) = self.model.value(at, &step.x)?;
        if let Some(single) = self.model.single() {
            if single.is_lost() {
                return Ok(None);
            }
            let errors = |x: &[f64]| single.errors(x, &step.x, actual);
            // A value that f32 does not hold, or that there is not, is no reason to accept the step.
            if actual.is_finite() && !decides(self.state, step.predicted, errors)? {
                return Ok(None);
            }
        }
        let gain = actual / step.predicted;
        let level = step.predicted <= at.rounding && actual.abs() <= at.rounding;
        let falls = gain > self.rules.eta && actual.is_finite();
        let mut next = None;
        // A level step does not lead away from a saddle.
        if falls || (level && !self.leaving()) {
            self.model.free(at);
            next = derived(self.model.derive(&step.x, Some(value)))?;
        }
        let slopes = (at.slope, next.as_ref().map(|next| next.slope));
        let rules = &self.rules;
        let by_value = falls && !(level && rules.slope_decides);
        let next = next
            .filter(|next| by_value || next.slope < rules.slope_fall * at.slope)
            .filter(|next| !rules.strict || next.value < at.value);
        let trial = Trial { step, actual, gain, level, slopes };
        Ok(Some((trial, next)))
    }

    fn accept(&mut self, at: &mut At<M>, next: At<M>, trial: &Trial) -> Outcome<()> {
        let reached = self.reached(at, &next, trial);
        self.model.adapt(self.state, trial, true);
        self.certificate = None;
        *at = next;
        (self.state.value, self.state.gradient_norm) = (at.value, at.gradient_norm);
        self.state.x.clone_from(&trial.step.x);
        self.state.reached = reached;
        self.state.accepted += 1;
        self.arrive(at, true)
    }

    /// The tolerance that an accepted step meets, if it meets one.
    fn reached(&self, at: &At<M>, next: &At<M>, trial: &Trial) -> Option<Reason> {
        let step = &trial.step;
        let small = self.rules.ftol * at.value.abs();
        if self.model.stationary(self.state, next, Some(step)) {
            Some(Reason::Gradient)
        } else if step.bounded {
            None
        } else if step.small {
            Some(Reason::Step)
        } else if step.predicted <= small && trial.actual.abs() <= small {
            Some(Reason::Function)
        } else {
            None
        }
    }

    /// Has the next step made shorter, or ends where that leads nowhere.
    fn reject(&mut self, at: &mut At<M>, trial: &Trial) -> Outcome<()> {
        let step = &trial.step;
        let futile = trial.level || step.vanishing;
        if futile && self.leaving() {
            return Err(Stop::Because(Reason::Indefinite));
        }
        if trial.level && step.bounded && self.model.release() {
            return Ok(());
        }
        self.model.adapt(self.state, trial, false);
        if !futile {
            return Ok(());
        }
        if !trial.actual.is_finite() {
            return Err(Stop::Because(Reason::NonFinite));
        }
        // Neither f nor the gradient can be improved in f64.
        let hidden = !step.bounded && step.predicted <= at.rounding;
        self.exhaust(at, hidden)
    }

    /// Ends where no step reduces f: at a minimum, if that is `hidden` by rounding or certified.
    fn exhaust(&mut self, at: &mut At<M>, hidden: bool) -> Outcome<()> {
        if self.model.single().is_some() {
            return Err(Stop::Because(Reason::Stalled));
        }
        let promise = self.model.examine(self.state, at, f64::INFINITY)?;
        let certified = self.certify(promise, self.allowed(at)).holds();
        match promise.curvature {
            Downward::LeadsOn if hidden => {
                self.state.reached = Some(Reason::Function);
                self.model.prepare(self.state, at);
                Ok(())
            }
            Downward::Nowhere if certified && (hidden || self.rules.certified.is_some()) => {
                Err(Stop::Because(Reason::Function))
            }
            Downward::Unseen if certified => Err(Stop::Because(Reason::Indefinite)),
            _ => Err(Stop::Because(Reason::Stalled)),
        }
    }

    /// Whether the point met a tolerance, and only negative curvature leads on.
    fn leaving(&self) -> bool {
        self.state.reached.is_some()
    }
}

/// The derivatives at a trial point, if they are finite.
fn derived<P>(found: Result<P>) -> Result<Option<P>> {
    match found {
        Ok(next) => Ok(Some(next)),
        Err(Error::NonFinite { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}
