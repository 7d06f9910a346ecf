//! A dense trust-region Newton method.

use std::time::{Duration, Instant};

use super::evaluator::Evaluator;
use super::newton::{NewtonReport, TwiceDifferentiable};
use super::objective::{Ask, Dense, Local, Model, Objective, Plain};
use super::{
    Control, End, Evaluations, Fit, Method, Observer, Progress, Reason, State, check_radius,
    check_start, check_tolerances, in_range, norm, without_zeros,
};
use crate::curvature::{Curvature, Structure};
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::solve::{U, largest};

/// Newton's method within a trust region, for any function with two derivatives.
///
/// ```text
/// min gᵀp + ½pᵀBp,   ‖Dp‖ ≤ Δ,   ρ = (f(x) − f(x + p)) / (−gᵀp − ½pᵀBp)
/// ```
///
/// g is the gradient and B the Hessian (of a [`Problem`], the `curvature` that was chosen), signs included: [`trust_region`](crate::solve::trust_region) finds the minimum near-exactly, so
/// that negative curvature is used and not repaired. A step with gain ratio ρ > `eta` is accepted, so f never rises but
/// by rounding. Δ becomes ¼‖Dp‖ where ρ < ¼, and at least 2Δ where ρ > ¾ and the step ends on the boundary. A trial
/// point with a value, gradient or Hessian that is not finite counts as ρ < ¼.
///
/// D_a is the largest √|B_aa| met so far, or `scaling`: with it the iterates do not depend on the units of x. Where B_aa
/// has been 0 throughout, the largest other D stands in, or 1.
///
/// Near a positive definite minimum the steps are Newton's own. Once the predicted reduction is below the rounding of
/// f, a step is accepted if f is unchanged but for rounding and the gradient is smaller. No test of convergence succeeds
/// where the Hessian has an eigenvalue λ < −20·d·u·max|λ_i|, u = 2⁻⁵³: such a point is left along negative curvature. `xtol`
/// and `ftol` are tested after steps that the region did not hold back. The report is that of
/// [`Newton`](super::newton::Newton).
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
    /// The wall time after which the iteration ends at its best point; an evaluation or a solution that has begun is
    /// finished first. Default none.
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

/// What the gradient must come to.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Goal {
    /// ‖g‖∞ ≤ gtol.
    Absolute,
    /// ‖g‖∞ ≤ gtol · max(1, ‖g₀‖∞).
    Relative,
    /// The same, and beyond as long as each free step divides it by ten.
    Polished,
}

impl TrustRegion {
    /// Minimises f from `x0`.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::NonFinite`] for `x0`, [`Error::Shape`] and [`Error::Invalid`] for an option.
    /// Everything else is a [`Reason`] in the report.
    pub fn minimize(
        &self,
        f: &(impl TwiceDifferentiable + ?Sized),
        x0: &[f64],
    ) -> Result<NewtonReport> {
        self.check(f.dim())?;
        check_start(f.dim(), x0)?;
        let mut objective = Plain::new(f);
        let mut path = vec![x0.to_vec()];
        let watch = &mut |p: &Progress| {
            if p.iteration > 0 {
                path.push(p.state.x.clone());
            }
            Control::Continue
        };
        let mut state = State::new(x0, "");
        let done = match self.run(&mut objective, &mut state, Goal::Absolute, watch) {
            // A start without derivatives; anywhere else such a point is rejected.
            Err(Error::NonFinite { .. }) => Ok(Reason::NonFinite),
            done => done,
        };
        let End { reason, fault } = End::new(done, &state)?;
        Ok(NewtonReport {
            reason,
            fault,
            x: state.x,
            value: state.value,
            gradient_norm: state.gradient_norm,
            iterations: state.tried,
            evaluations: *objective.evaluations(),
            path,
        })
    }

    /// The loop: from a start, or from where `state` was left, until `goal` or another reason ends it. `state` has the best
    /// point, after an error too.
    ///
    /// # Errors
    /// Those of the objective; [`Error::NonFinite`] for a start.
    pub(super) fn run<O: Objective>(
        &self,
        f: &mut O,
        state: &mut State,
        test: Goal,
        observe: Observer,
    ) -> Result<Reason> {
        let (clock, before) = (Instant::now(), state.elapsed);
        let done = self.points(f, state, test, observe, clock);
        state.elapsed = before + clock.elapsed();
        done
    }

    fn points<O: Objective>(
        &self,
        f: &mut O,
        state: &mut State,
        test: Goal,
        observe: Observer,
        clock: Instant,
    ) -> Result<Reason> {
        let before = state.elapsed;
        let timeout = || (self.time_limit).is_some_and(|limit| clock.elapsed() >= limit);
        let derived = f.derive(&state.x, None);
        if let (Err(Error::NonFinite { .. }), true) = (&derived, state.is_new()) {
            state.value = f.value(&state.x)?;
        }
        let mut at = derived?;
        let mut fresh = state.is_new();
        match fresh {
            true => state.begin(at.value, largest(&at.gradient)),
            false => *f.evaluations() = state.evaluations,
        }
        let goal = state.goal(self.gtol, test != Goal::Absolute);
        if fresh && state.gradient_norm <= goal {
            state.reached = Some(Reason::Gradient);
        }
        let reason = 'points: loop {
            if fresh {
                (state.evaluations, state.elapsed) = (*f.evaluations(), before + clock.elapsed());
                let control = observe(&state.progress(self.max_iter, Some(state.radius)));
                if control == Control::Stop && state.reached.is_none() {
                    break Reason::Interrupted;
                }
            }
            let scaling = match (&self.scaling, at.model.diagonal()) {
                (Some(given), _) => given.clone(),
                (None, Some(diagonal)) => widen(&mut state.roots, &diagonal),
                (None, None) => vec![1.0; state.x.len()],
            };
            if state.unit == 0.0 {
                let scaled: Vec<f64> = state.x.iter().zip(&scaling).map(|(x, d)| x * d).collect();
                let size = norm(&scaled);
                // A step changes f by about ‖Dp‖²/2: a start so close to 0 that none of its size could be seen is one at 0.
                state.unit = match size * size > U * at.value.abs() {
                    true => size,
                    false => 1.0,
                };
            }
            let unit = state.unit;
            let range = |r: f64| in_range(r, self.max_radius * unit);
            let leaving = state.reached.is_some();
            if state.radius == 0.0 || leaving {
                state.radius = range(state.radius.max(self.initial_radius * unit));
            }
            let ratio = (state.gradient_norm / state.initial_gradient_norm).sqrt();
            let forcing = if ratio < 0.5 { ratio } else { 0.5 };
            let gradient = at.gradient.clone();
            let ask = |radius: f64| Ask {
                gradient: &gradient,
                scaling: &scaling,
                radius,
                forcing,
                leaving,
            };
            if let Some(reason) = state.reached {
                // Stationary, or as good as: leave it if f curves downwards.
                let solving = Instant::now();
                let mut indefinite = at.model.indefinite(&ask(state.radius));
                if let Err(error) = indefinite {
                    let mended = f.mend(error, &state.x, &mut at.model);
                    indefinite = mended.and_then(|()| at.model.indefinite(&ask(state.radius)));
                }
                let indefinite = match indefinite {
                    Err(error @ (Error::Gpu { .. } | Error::Part { .. })) => return Err(error),
                    // What cannot be tested is no reason to lose the point.
                    indefinite => indefinite.unwrap_or(false),
                };
                f.solved(&mut at.model, solving.elapsed());
                if !indefinite {
                    break reason;
                }
            }
            let g = norm(&gradient);
            let mut first = true;
            let (x, next, reached) = loop {
                if state.tried >= self.max_iter {
                    break 'points Reason::Iterations;
                }
                if timeout() {
                    break 'points Reason::Time;
                }
                state.tried += 1;
                let solving = Instant::now();
                let step = at.model.step(&ask(state.radius));
                f.solved(&mut at.model, solving.elapsed());
                let step = match step {
                    Ok(step) => step,
                    Err(error) => match f.mend(error, &state.x, &mut at.model) {
                        Ok(()) => continue,
                        Err(
                            error @ (Error::Gpu { .. } | Error::Memory { .. } | Error::Part { .. }),
                        ) => return Err(error),
                        Err(_) => break 'points Reason::Stalled,
                    },
                };
                let unseen = step.reduction <= 16.0 * U * state.initial_value.abs();
                if let (Some(reason), true) = (state.reached, first && unseen) {
                    // Negative curvature that promises nothing, of what f was at the start, that f64 would resolve.
                    break 'points reason;
                }
                first = false;
                let length = norm(&step.step);
                let size = norm(&state.x);
                let short = length <= self.xtol * (size + self.xtol);
                let x: Vec<f64> = state.x.iter().zip(&step.step).map(|(x, p)| x + p).collect();
                let value = f.value(&x)?;
                let finite = value.is_finite();
                // NaN where f is, and no comparison with it holds.
                let actual = at.value - value;
                let gain = actual / step.reduction;
                // Differences below this are rounding errors of f.
                let rounding = 16.0 * U * at.value.abs();
                let level = step.reduction <= rounding && actual.abs() <= rounding;
                let candidate = match gain > self.eta || (level && !leaving) {
                    true => derive(f, &x, value)?,
                    false => None,
                };
                let next = candidate.filter(|n| gain > self.eta || norm(&n.gradient) < g);
                if next.is_some() && gain > 0.75 && step.boundary {
                    state.radius = range(state.radius.max(2.0 * step.length));
                } else if next.is_none() || (gain < 0.25 && !level) {
                    state.radius = range(0.25 * step.length);
                }
                if let Some(next) = next {
                    let small = self.ftol * at.value.abs();
                    let size = largest(&next.gradient);
                    let falling = !step.boundary && size < 0.1 * state.gradient_norm && size > 0.0;
                    let reached = if size <= goal && !(falling && test == Goal::Polished) {
                        Some(Reason::Gradient)
                    } else if step.boundary {
                        // A step that the region has made short says nothing about convergence.
                        None
                    } else if short {
                        Some(Reason::Step)
                    } else if step.reduction <= small && actual.abs() <= small {
                        Some(Reason::Function)
                    } else {
                        None
                    };
                    break (x, next, reached);
                }
                let nowhere = level || short || length <= U * size;
                if leaving && nowhere {
                    break 'points Reason::Indefinite;
                }
                if level && !step.boundary {
                    // Neither f nor the gradient can be improved in f64.
                    (state.reached, fresh) = (Some(Reason::Function), false);
                    continue 'points;
                }
                if nowhere {
                    break 'points if finite {
                        Reason::Stalled
                    } else {
                        Reason::NonFinite
                    };
                }
            };
            (state.value, state.gradient_norm) = (next.value, largest(&next.gradient));
            (state.x, state.reached, fresh) = (x, reached, true);
            state.accepted += 1;
            at = next;
        };
        state.evaluations = *f.evaluations();
        Ok(reason)
    }

    pub(super) fn check(&self, d: usize) -> Result<()> {
        check_tolerances(self.gtol, self.xtol, self.ftol)?;
        check_radius(self.initial_radius, self.max_radius, self.eta)?;
        if let Some(scaling) = &self.scaling {
            if scaling.len() != d {
                return Err(Error::shape("scaling", &[d], &[scaling.len()]));
            }
            if let Some(a) = scaling.iter().position(|v| !(v.is_finite() && *v > 0.0)) {
                let why = format!("{} at index {a} is not positive and finite", scaling[a]);
                return Err(Error::invalid("scaling", why));
            }
        }
        Ok(())
    }
}

impl Method for TrustRegion {
    fn name(&self) -> &'static str {
        "trust-region"
    }

    fn options(&self) -> String {
        let TrustRegion {
            gtol,
            xtol,
            ftol,
            initial_radius,
            max_radius,
            eta,
            scaling,
            curvature,
            ..
        } = self;
        let curvature = curvature.name();
        format!("{curvature} {gtol} {xtol} {ftol} {initial_radius} {max_radius} {eta} {scaling:?}")
    }

    fn resume(&self, problem: &Problem, state: State, observe: Observer) -> Result<Fit> {
        self.check(problem.parameters())?;
        state.check(&self.fingerprint(), problem.parameters())?;
        self.fit_problem(problem, state, Goal::Relative, observe)
    }
}

impl TrustRegion {
    /// A fit from a state that has been checked.
    pub(super) fn fit_problem(
        &self,
        problem: &Problem,
        mut state: State,
        goal: Goal,
        observe: Observer,
    ) -> Result<Fit> {
        let request = Some((self.curvature, Structure::Full));
        let mut whole = Whole {
            evaluator: Evaluator::new(problem, request, self.fallback)?,
        };
        self.check_memory(problem)?;
        let done = self.run(&mut whole, &mut state, goal, observe);
        let end = End::new(done, &state)?;
        let goal = state.goal(self.gtol, true);
        let method = format!("trust-region Newton, curvature {}", self.curvature.name());
        Ok(Fit::new(
            state,
            end,
            goal,
            whole.evaluator.account(),
            method,
        ))
    }

    /// The matrix of a point, that of the next, its scaled copy and its factor must fit together: 20P² bytes, and 16P² more
    /// where eigenvectors are needed.
    fn check_memory(&self, problem: &Problem) -> Result<()> {
        let p = problem.parameters() as u64;
        let need = p.saturating_mul(p).saturating_mul(36);
        let budget = problem.budget();
        match need <= budget {
            true => Ok(()),
            false => Err(Error::Memory {
                what: format!("trust-region Newton with {p} parameters"),
                need,
                budget,
                advice: "newton-cg needs no matrix, and newton-rows only small ones".into(),
            }),
        }
    }
}

/// A problem with its whole matrix.
struct Whole<'a> {
    evaluator: Evaluator<'a>,
}

impl Objective for Whole<'_> {
    type Model = Dense;

    fn value(&mut self, x: &[f64]) -> Result<f64> {
        self.evaluator.value(x)
    }

    fn derive(&mut self, x: &[f64], _: Option<f64>) -> Result<Local<Dense>> {
        let at = self.evaluator.derivatives(x)?;
        let lower = match at.curvature {
            Some(matrix) => matrix.into_lower()?,
            None => Vec::new(),
        };
        Ok(Local {
            value: at.value,
            gradient: at.gradient,
            model: Dense::new(lower, self.evaluator.roundoff()),
        })
    }

    fn solved(&mut self, _: &mut Dense, time: Duration) {
        self.evaluator.times.solve += time;
    }

    fn evaluations(&mut self) -> &mut Evaluations {
        &mut self.evaluator.evaluations
    }
}

/// The derivatives at a trial point, if they are finite.
fn derive<O: Objective>(f: &mut O, x: &[f64], value: f64) -> Result<Option<Local<O::Model>>> {
    if !value.is_finite() {
        return Ok(None);
    }
    match f.derive(x, Some(value)) {
        Ok(local) => Ok(Some(local)),
        Err(Error::NonFinite { .. }) => Ok(None),
        Err(other) => Err(other),
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
