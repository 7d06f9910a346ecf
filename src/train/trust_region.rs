//! Newton's method within a trust region: the model, and its form with the whole matrix.

use std::time::{Duration, Instant};

use super::certificate::{Downward, Promise, Question};
use super::checks::{check_dense, check_memory, check_radius, check_start, check_tolerances};
use super::evaluator::Evaluator;
use super::examination::examine_another;
use super::minimize::{End, Model, Point, Proposal, Rules, Step, Stop, Trial, minimize};
use super::newton::{NewtonReport, TwiceDifferentiable};
use super::objective::{Ellipsoid, Formed, Local, Objective, Plain, Quadratic, Short};
use super::settings::{Settings, settings};
use super::{Control, Evaluations, Fit, Method, Observer, Progress, Reason, State};
use super::{in_range, moved, norm, without_zeros};
use crate::curvature::{Curvature, Structure};
use crate::error::{Error, Result};
use crate::interrupt::Limits;
use crate::problem::Problem;
use crate::solve::U;

/// Newton's method within a trust region, for any function with two derivatives.
///
/// ```text
/// min gᵀp + ½pᵀBp,   ‖Dp‖ ≤ Δ,   ρ = (f(x) − f(x + p)) / (−gᵀp − ½pᵀBp)
/// ```
///
/// g is the gradient and B the Hessian (of a [`Problem`], the `curvature` that was chosen), signs included: [`trust_region`](crate::solve::trust_region) finds the minimum near-exactly, so
/// that negative curvature is used and not repaired. A step with gain ratio ρ > `eta` is accepted, so f never rises but
/// by rounding. Δ becomes ¼‖Dp‖ where ρ < ¼, and at least 2‖Dp‖ where ρ > ¾ and the step ends on the boundary. A trial
/// point with a value, gradient or Hessian that is not finite counts as ρ < ¼.
///
/// D_a is the largest √|B_aa| met so far, or `scaling`: with it the iterates do not depend on the units of x. Where B_aa
/// has been 0 throughout, the largest other D stands in, or 1.
///
/// Near a positive definite minimum the steps are Newton's own. Once the predicted reduction is below the rounding of
/// f, a step is accepted if f is unchanged but for rounding and the gradient is smaller. No test of convergence succeeds
/// where the Hessian has an eigenvalue λ < −20·d·u·max|λ_i|, u = 2⁻⁵³: such a point is left along negative curvature. `xtol`
/// and `ftol` are tested after steps that the region did not hold back. Where the predicted reduction of such a step is
/// below the rounding of f, and neither f nor the gradient can be reduced, the iteration ends with [`Reason::Function`].
///
/// Source: Nocedal and Wright, *Numerical Optimization*, 2nd ed., ch. 4; the scaling is Moré's, in *Numerical Analysis*,
/// Lecture Notes in Mathematics 630, 1978.
///
/// ```
/// use secondo::train::{TrustRegion, newton::function};
///
/// // x² − y² + y⁴: minima of −¼ at (0, ±1/√2). At (0, 0) the gradient is 0.
/// let f = function(
///     2,
///     |x| x[0] * x[0] - x[1] * x[1] + x[1].powi(4),
///     |x, g| g.copy_from_slice(&[2.0 * x[0], -2.0 * x[1] + 4.0 * x[1].powi(3)]),
///     |x, h| h.copy_from_slice(&[2.0, 0.0, -2.0 + 12.0 * x[1] * x[1]]),
/// );
/// let found = TrustRegion::default().minimize(&f, &[0.0, 0.0])?;
/// assert!(found.converged());
/// assert!((found.value + 0.25).abs() < 1e-15);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TrustRegion {
    /// The most steps to try, accepted or not; 0 evaluates the start and stops. Default 200.
    pub max_iter: usize,
    /// Stops where max_a |∂f/∂x_a| ≤ gtol; of a problem, times that of the start where it is above 1. Default 10⁻⁸.
    pub gtol: f64,
    /// Stops after a step with ‖p‖₂ ≤ xtol · (‖x‖₂ + xtol). Default 10⁻¹².
    pub xtol: f64,
    /// Stops after a step by which f fell little, as its model had predicted: both by ≤ ftol · |f|. Default 10⁻¹⁵.
    pub ftol: f64,
    /// The first Δ in units of ‖Dx⁽⁰⁾‖, or of 1 where that is 0. Default 1.
    pub initial_radius: f64,
    /// The largest Δ, in the same units. Default infinite.
    pub max_radius: f64,
    /// The gain ratio above which a step is accepted, in [0, ¼). Default 10⁻⁴.
    pub eta: f64,
    /// The diagonal of D if it is to stay as it is, positive numbers. Default none: the rule above.
    pub scaling: Option<Vec<f64>>,
    /// The matrix B of a [`Problem`]. Default `Exact`.
    pub curvature: Curvature,
    /// The wall time after which the iteration ends at its best point, inside a step, too: between two chunks of samples, between two
    /// products, or while a large matrix is factorized. The start is evaluated however long that takes, and so is a function of the
    /// user's own. Default none.
    pub time_limit: Option<Duration>,
    /// Of a [`Problem`], whether the processor takes over from the last accepted point where the accelerator fails; the
    /// report says so. If not, the fit ends with the error. Default true.
    pub fallback: bool,
}

impl Default for TrustRegion {
    fn default() -> Self {
        TrustRegion {
            max_iter: 200,
            gtol: 1e-8,
            xtol: 1e-12,
            ftol: 1e-15,
            initial_radius: 1.0,
            max_radius: f64::INFINITY,
            eta: 1e-4,
            scaling: None,
            curvature: Curvature::Exact,
            time_limit: None,
            fallback: true,
        }
    }
}

/// The gradient at which a fit ends.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Goal {
    /// ‖g‖∞ ≤ gtol.
    Absolute,
    /// ‖g‖∞ ≤ gtol · max(1, ‖g₀‖∞).
    Relative,
    /// The same, and beyond as long as each step within the region divides it by ten.
    Polished,
}

impl TrustRegion {
    /// Minimises f from `x0`.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::NonFinite`] for `x0`, [`Error::Shape`] and [`Error::Invalid`] for an option,
    /// [`Error::Part`] for a panic at `x0`. Everything else is a [`Reason`] in the report.
    pub fn minimize(
        &self,
        f: &(impl TwiceDifferentiable + ?Sized),
        x0: &[f64],
    ) -> Result<NewtonReport> {
        self.check(f.dim())?;
        check_start(f.dim(), x0)?;
        check_dense("a Hessian", x0.len())?;
        let mut path = vec![x0.to_vec()];
        let watch = &mut |p: &Progress| {
            if p.iteration > 0 {
                path.push(p.state.x.clone());
            }
            Control::Continue
        };
        let mut state = State::new(x0, Settings::default());
        let mut region = Region::new(Plain::new(f), self, Goal::Absolute);
        let end = minimize(&mut region, &mut state, watch).or_else(End::at_start)?;
        if end.at.is_none() {
            state.value = region.f.last;
        }
        Ok(NewtonReport {
            reason: end.reason,
            fault: end.fault,
            x: state.x,
            value: state.value,
            gradient_norm: state.gradient_norm,
            iterations: state.tried,
            evaluations: *region.f.evaluations(),
            path,
        })
    }

    pub(super) fn check(&self, d: usize) -> Result<()> {
        check_tolerances(self.gtol, self.xtol, self.ftol)?;
        check_radius(self.initial_radius, self.max_radius, self.eta)?;
        let Some(scaling) = &self.scaling else {
            return Ok(());
        };
        if scaling.len() != d {
            return Err(Error::shape("scaling", &[d], &[scaling.len()]));
        }
        match scaling.iter().position(|v| !(v.is_finite() && *v > 0.0)) {
            Some(a) => {
                let why = format!("{} at index {a} is not positive and finite", scaling[a]);
                Err(Error::invalid("scaling", why))
            }
            None => Ok(()),
        }
    }

    /// A fit from a state that has been checked, which then has its end.
    pub(super) fn fit_problem(
        &self,
        problem: &Problem,
        state: &mut State,
        goal: Goal,
        observe: Observer,
    ) -> Result<Fit> {
        let request = Some((self.curvature, Structure::Full));
        let whole = Whole(Evaluator::new(problem, request, self.fallback)?);
        self.check_memory(problem)?;
        let mut region = Region::new(whole, self, goal);
        let end = minimize(&mut region, state, observe)?;
        let goal = state.goal(self.gtol);
        let method = format!("trust-region Newton, curvature {}", self.curvature.name());
        let account = region.f.0.account();
        Ok(Fit::new(state, end, goal, account, method))
    }

    /// The matrix of a point, that of the next, its scaled copy and its factor must fit together: 20P² bytes, and 16P² more
    /// where eigenvectors are needed.
    fn check_memory(&self, problem: &Problem) -> Result<()> {
        let p = problem.parameters() as u64;
        let need = p.saturating_mul(p).saturating_mul(36);
        let what = format!("trust-region Newton with {p} parameters");
        let advice = "newton-cg needs no matrix, and newton-rows only small ones";
        check_memory(problem, what, need, advice)
    }
}

impl Method for TrustRegion {
    fn name(&self) -> &'static str {
        "trust-region"
    }

    fn settings(&self) -> Settings {
        settings!(self: TrustRegion {
            curvature, gtol, xtol, ftol, initial_radius, max_radius, eta, scaling
        } but max_iter, time_limit, fallback)
    }

    fn resume(&self, problem: &Problem, mut state: State, observe: Observer) -> Result<Fit> {
        self.check(problem.parameters())?;
        state.check(&self.settings(), problem.parameters())?;
        self.fit_problem(problem, &mut state, Goal::Relative, observe)
    }
}

/// The quadratic model of an objective within a region ‖Dp‖ ≤ Δ.
pub(super) struct Region<'a, O> {
    pub f: O,
    options: &'a TrustRegion,
    goal: Goal,
    /// R, the units of the parameters.
    scales: Vec<f64>,
    /// The diagonal of D.
    scaling: Vec<f64>,
    /// Whether no step has been tried from this point.
    first: bool,
}

impl<'a, O: Objective> Region<'a, O> {
    pub fn new(f: O, options: &'a TrustRegion, goal: Goal) -> Self {
        Region { f, options, goal, scales: Vec::new(), scaling: Vec::new(), first: true }
    }

    /// The diagonal of D: the options' or the largest √|B_aa| so far.
    fn scale(&mut self, roots: &mut Vec<f64>, at: &Local<O::Matrix>) {
        self.scaling = match (&self.options.scaling, at.matrix.diagonal()) {
            (Some(given), _) => given.clone(),
            (None, Some(diagonal)) => widen(roots, &diagonal),
            (None, None) => self.scales.clone(),
        };
    }

    /// The answer of the matrix at the best point; of another matrix where the device fails.
    fn ask<T>(
        &mut self,
        state: &State,
        at: &mut Local<O::Matrix>,
        question: impl Fn(&mut O::Matrix, &Ellipsoid) -> Result<T>,
    ) -> Result<T> {
        let region = ellipsoid(state, &at.gradient, &self.scales, &self.scaling);
        let solving = Instant::now();
        let mut answer = question(&mut at.matrix, &region);
        if let Err(error) = answer {
            self.f.recover(error, &state.x, &mut at.matrix)?;
            answer = question(&mut at.matrix, &region);
        }
        self.f.solved(&mut at.matrix, solving.elapsed());
        answer
    }

    /// The unit of the radius, ‖Dx‖ of the start.
    fn unit(&self, x: &[f64], value: f64) -> f64 {
        let scaled: Vec<f64> = (x.iter().zip(&self.scaling)).map(|(x, d)| x * d).collect();
        let size = norm(&scaled);
        // A step changes f by about ‖Dp‖²/2: a start so close to 0 that none of its size could be seen is one at 0.
        if size * size > U * value.abs() { size } else { 1.0 }
    }

    /// A radius within the largest.
    fn range(&self, state: &State, radius: f64) -> f64 {
        in_range(radius, self.options.max_radius * state.unit)
    }

    /// The step that was found, from the best point.
    fn step_from(&self, x: &[f64], found: Short) -> Step {
        let (length, size, xtol) = (norm(&found.step), norm(x), self.options.xtol);
        let small = length <= xtol * (size + xtol);
        Step {
            x: moved(x, &found.step),
            predicted: found.reduction,
            length: found.length,
            bounded: found.boundary,
            small,
            vanishing: small || length <= U * size,
        }
    }
}

/// The region around a point, with a gradient there.
fn ellipsoid<'a>(
    state: &'a State,
    gradient: &'a [f64],
    scales: &'a [f64],
    scaling: &'a [f64],
) -> Ellipsoid<'a> {
    let ratio = (state.gradient_norm / state.initial_gradient_norm).sqrt();
    Ellipsoid {
        x: &state.x,
        gradient,
        scales,
        scaling,
        radius: state.radius,
        forcing: if ratio < 0.5 { ratio } else { 0.5 },
        leaving: state.reached.is_some(),
    }
}

impl<O: Objective> Model for Region<'_, O> {
    type Value = f64;
    type Local = Local<O::Matrix>;

    fn rules(&self) -> Rules {
        Rules {
            max_iter: self.options.max_iter,
            time_limit: self.options.time_limit,
            eta: self.options.eta,
            ftol: self.options.ftol,
            // Whoever minimises a function of their own knows its units.
            certified: (self.goal != Goal::Absolute).then_some(self.options.gtol),
            ..Rules::default()
        }
    }

    fn value(&mut self, at: &Point<Self::Local>, x: &[f64]) -> Result<(f64, f64)> {
        let value = self.f.value(x)?;
        Ok((value, at.value - value))
    }

    fn derive(&mut self, x: &[f64], value: Option<f64>) -> Result<Point<Self::Local>> {
        self.f.derive(x, value)
    }

    fn prepare(&mut self, state: &mut State, at: &Point<Self::Local>) {
        if self.scales.is_empty() {
            self.scales = self.f.scales(state.x.len());
        }
        self.scale(&mut state.roots, &at.model);
        self.first = true;
        if state.unit == 0.0 {
            state.unit = self.unit(&state.x, at.value);
        }
        if state.radius == 0.0 || state.reached.is_some() {
            let first = self.options.initial_radius * state.unit;
            state.radius = self.range(state, state.radius.max(first));
        }
    }

    fn propose(&mut self, state: &mut State, at: &mut Point<Self::Local>) -> Proposal {
        let found = match self.ask(state, &mut at.model, Quadratic::step) {
            Ok(found) => found,
            Err(
                error @ (Error::Gpu { .. }
                | Error::Interrupted
                | Error::Memory { .. }
                | Error::Part { .. }),
            ) => {
                return Err(error.into());
            }
            Err(_) => return Err(Stop::Because(Reason::Stalled)),
        };
        let first = std::mem::replace(&mut self.first, false);
        let unseen = found.reduction <= at.rounding;
        match state.reached {
            // Negative curvature that promises nothing that f64 would resolve.
            Some(reason) if first && unseen => Err(Stop::Because(reason)),
            _ => Ok(Some(self.step_from(&state.x, found))),
        }
    }

    fn adapt(&mut self, state: &mut State, trial: &Trial, accepted: bool) {
        let (step, gain) = (&trial.step, trial.gain);
        if accepted && gain > 0.75 && step.bounded {
            state.radius = self.range(state, state.radius.max(2.0 * step.length));
        } else if !accepted || (gain < 0.25 && !trial.level) {
            state.radius = self.range(state, 0.25 * step.length);
        }
    }

    fn stationary(&self, state: &State, next: &Point<Self::Local>, step: Option<&Step>) -> bool {
        let size = next.gradient_norm;
        let goal = match self.goal {
            Goal::Absolute => self.options.gtol,
            Goal::Relative | Goal::Polished => state.goal(self.options.gtol),
        };
        let free = step.is_some_and(|step| !step.bounded);
        let falling = free && size < 0.1 * state.gradient_norm && size > 0.0;
        size <= goal && !(falling && self.goal == Goal::Polished)
    }

    fn examine(
        &mut self,
        state: &State,
        at: &mut Point<Self::Local>,
        enough: f64,
    ) -> Result<Promise> {
        let question = Question::of(&at.model.gradient, enough);
        let exact = self.f.examine(&state.x, question).transpose()?;
        if let Some(exact) = exact.filter(|exact| exact.curvature != Downward::Unseen) {
            return Ok(exact);
        }
        let own = match self.ask(state, &mut at.model, Quadratic::examine) {
            Err(error @ (Error::Gpu { .. } | Error::Interrupted | Error::Part { .. })) => {
                return Err(error);
            }
            // A test that fails is no reason to lose the point, only to leave it without a certificate.
            own => own.unwrap_or(Promise::UNKNOWN),
        };
        // Where both see it, the next step leads there.
        Ok(match exact {
            Some(exact) if own.curvature == Downward::LeadsOn => {
                Promise { curvature: Downward::LeadsOn, ..exact }
            }
            Some(exact) => exact,
            None => own,
        })
    }

    fn limits(&self) -> Option<&Limits> {
        self.f.limits()
    }

    fn evaluations(&mut self) -> &mut Evaluations {
        self.f.evaluations()
    }
}

/// The diagonal of D after one more matrix; `roots` are the largest √|B_aa| so far.
fn widen(roots: &mut Vec<f64>, diagonal: &[f64]) -> Vec<f64> {
    roots.resize(diagonal.len(), 0.0);
    for (root, entry) in roots.iter_mut().zip(diagonal) {
        *root = root.max(entry.abs().sqrt());
    }
    without_zeros(roots)
}

/// A problem with its whole matrix.
struct Whole<'a>(Evaluator<'a>);

impl Objective for Whole<'_> {
    type Matrix = Formed;

    fn value(&mut self, x: &[f64]) -> Result<f64> {
        self.0.value(x)
    }

    fn derive(&mut self, x: &[f64], _: Option<f64>) -> Result<Point<Local<Formed>>> {
        let at = self.0.derivatives(x)?;
        let lower = match at.curvature {
            Some(matrix) => matrix.into_lower()?,
            None => Vec::new(),
        };
        let matrix = Formed::new(lower, self.0.roundoff()).within(self.0.limits());
        let resolution = self.0.resolution(at.value);
        Ok(Local::point(at.value, at.gradient, matrix, resolution))
    }

    fn examine(&mut self, x: &[f64], question: Question) -> Option<Result<Promise>> {
        examine_another(&mut self.0, x, question)
    }

    fn scales(&self, _: usize) -> Vec<f64> {
        self.0.scales().to_vec()
    }

    fn solved(&mut self, _: &mut Formed, time: Duration) {
        self.0.times.solve += time;
    }

    fn limits(&self) -> Option<&Limits> {
        Some(self.0.limits())
    }

    fn evaluations(&mut self) -> &mut Evaluations {
        &mut self.0.evaluations
    }
}
