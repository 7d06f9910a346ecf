//! Scaled Levenberg–Marquardt for residual problems, with standard deviations.

use std::fmt;
use std::time::Duration;

use super::certificate::{Downward, Promise};
use super::checks::{check_jacobian, check_radius, check_start, check_tolerance, check_tolerances};
use super::linearized::{Linearized, Linearizer};
use super::minimize::{End, Model, Point, Proposal, Rules, Step, Stop, Trial, minimize};
use super::residuals::{Guarded, Residuals, SumOfSquares};
use super::settings::{Settings, settings};
use super::squares::Squares;
use super::{Evaluations, Fit, Method, Observer, Reason, State};
use super::{in_range, moved, report::Account, silent};
use crate::clock::Instant;
use crate::error::{Error, Result};
use crate::interrupt::Limits;
use crate::problem::Problem;

/// Levenberg and Marquardt's method for ½‖r(x)‖².
///
/// ```text
/// (JᵀJ + μD²) p = −Jᵀr,   ρ = (‖r(x)‖² − ‖r(x + p)‖²) / (‖Jp‖² + 2μ‖Dp‖²),   ‖Dp‖ ≤ Δ
/// ```
///
/// μ = 0 where Gauss and Newton's step has ‖Dp‖ ≤ Δ; otherwise the μ that makes ‖Dp‖ = Δ to a tenth. A step with
/// ρ > `eta` is accepted, so ‖r‖ never rises but by rounding. Δ becomes ½‖Dp‖ where ρ < ¼ and 2‖Dp‖ where ρ > ¾, or
/// where ρ > ½ and μ = 0. A point where r or J is not finite counts as ρ < ¼.
///
/// D_a is the largest column norm ‖J e_a‖ met so far: with it the iterates do not depend on the units of x. (Where the
/// column has been 0 throughout, the largest other D stands in, or 1.)
///
/// JᵀJ is never formed: J = QR once for each point, and for each μ a QR factorization of R over √μD. This keeps the
/// digits that squaring the condition number would take.
///
/// The rounding error of ½‖r‖² that comes from x's own, u = 2⁻⁵³, is estimated as
///
/// ```text
/// 16 u Σ_i |r_i| (|r_i| + Σ_a |J_ia x_a|)
/// ```
///
/// (under W = fixed + Cθ with Σ_l |∂r_i/∂W_l| Σ_a |C_la θ_a| in the place of the last sum).
///
/// Once the predicted reduction is below that, a step is accepted if ‖r‖² is unchanged but for it and ‖D⁻¹Jᵀr‖ falls by a
/// tenth; the fit ends where that fails with μ = 0: with [`Reason::Function`], as near to the minimum as f64 sees it, or
/// with [`Reason::Stalled`] if Gauss and Newton's step predicts more than rounding. The tolerances, which are all 0 by
/// default, end it before. `xtol` and `ftol` are tested after steps with μ = 0.
///
/// Source: Moré, *The Levenberg–Marquardt algorithm: implementation and theory*, Lecture Notes in Mathematics 630, 1978.
///
/// ```
/// use secondo::train::{LevenbergMarquardt, residual_function};
///
/// // y = a·exp(b t) at t = 0, 1, 2 through 1.0, 2.1, 3.9.
/// let (t, y) = ([0.0, 1.0, 2.0], [1.0, 2.1, 3.9]);
/// let problem = residual_function(
///     2,
///     3,
///     |x, r| (0..3).for_each(|i| r[i] = x[0] * (x[1] * t[i]).exp() - y[i]),
///     |x, j| {
///         for i in 0..3 {
///             let e = (x[1] * t[i]).exp();
///             j[2 * i..][..2].copy_from_slice(&[e, x[0] * t[i] * e]);
///         }
///     },
/// );
/// let found = LevenbergMarquardt::default().minimize(&problem, &[1.0, 0.0])?;
/// assert!(found.converged());
/// assert!((found.x[0] - 1.060055).abs() < 1e-6 && (found.x[1] - 0.653408).abs() < 1e-6);
/// assert_eq!(found.freedom, 1);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevenbergMarquardt {
    /// The most steps to try, accepted or not; 0 evaluates the start and stops. Default 1000.
    pub max_iter: usize,
    /// Stops where the residuals are orthogonal to every column of J. Default 0.
    ///
    /// ```text
    /// max_a |J e_a · r| / (‖J e_a‖ ‖r‖) ≤ gtol
    /// ```
    pub gtol: f64,
    /// Stops after a step with ‖Dp‖ ≤ xtol · ‖Dx‖. Default 0.
    pub xtol: f64,
    /// Stops after a step by which ‖r‖² fell little, as its model had predicted: both by ≤ ftol · ‖r‖². Default 0.
    pub ftol: f64,
    /// The first Δ, as of [`TrustRegion`](super::TrustRegion). Default 1.
    pub initial_radius: f64,
    /// The largest Δ, in the same units. Default infinite.
    pub max_radius: f64,
    /// As of [`TrustRegion`](super::TrustRegion). Default 10⁻⁴.
    pub eta: f64,
    /// Stops where max_a |J e_a · r| ≤ goal, times that of the start where it is above 1. Default 0.
    pub goal: f64,
    /// As of [`TrustRegion`](super::TrustRegion). Default none.
    pub time_limit: Option<Duration>,
}

impl Default for LevenbergMarquardt {
    fn default() -> Self {
        LevenbergMarquardt {
            max_iter: 1000,
            gtol: 0.0,
            xtol: 0.0,
            ftol: 0.0,
            initial_radius: 1.0,
            max_radius: f64::INFINITY,
            eta: 1e-4,
            goal: 0.0,
            time_limit: None,
        }
    }
}

/// The result of [`LevenbergMarquardt::minimize`]; it always has a point.
///
/// `Display` puts it into a sentence.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LeastSquares {
    /// Why it ended.
    pub reason: Reason,
    /// The message of a panic of r or J, if one ended it.
    pub fault: Option<String>,
    /// The best accepted point.
    pub x: Vec<f64>,
    /// ½‖r(x)‖².
    pub value: f64,
    /// max_a |J e_a · r| / (‖J e_a‖ ‖r‖) at `x`, in [0, 1]; 0 where r is 0.
    pub gradient_norm: f64,
    /// Steps that were tried, accepted or not.
    pub iterations: usize,
    /// Accepted steps.
    pub accepted: usize,
    /// Evaluations: objectives are residuals, curvatures are Jacobians.
    pub evaluations: Evaluations,
    /// Degrees of freedom, m − p, or 0.
    pub freedom: usize,
    /// The residual standard deviation s, where there are degrees of freedom.
    ///
    /// ```text
    /// s² = ‖r‖² / (m − p)
    /// ```
    pub residual_deviation: Option<f64>,
    /// The standard deviations of the parameters, where there are degrees of freedom and J has full rank.
    ///
    /// ```text
    /// sd_a = s √[(JᵀJ)⁻¹]_aa
    /// ```
    pub deviations: Option<Vec<f64>>,
}

impl LeastSquares {
    /// Whether a tolerance was met ([`Reason::converged`]). This is no proof of a minimum.
    pub fn converged(&self) -> bool {
        self.reason.converged()
    }
}

impl fmt::Display for LeastSquares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.converged() { "" } else { "not " };
        write!(
            f,
            "{not}converged after {} iterations ({}): half the sum of squares {:e}, orthogonality {:.1e}; \
             evaluations: {} of the residuals, {} of the Jacobian",
            self.iterations,
            self.reason,
            self.value,
            self.gradient_norm,
            self.evaluations.objective,
            self.evaluations.curvature
        )
    }
}

impl LevenbergMarquardt {
    /// Minimises ½‖r‖² from `x0`.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::NonFinite`] for `x0`, [`Error::Invalid`] for an option, [`Error::TooLarge`],
    /// [`Error::Part`] for a panic at `x0`. Everything else is a [`Reason`] in the report.
    pub fn minimize(
        &self,
        problem: &(impl Residuals + ?Sized),
        x0: &[f64],
    ) -> Result<LeastSquares> {
        self.check()?;
        check_start(problem.dim(), x0)?;
        check_jacobian(problem.count(), problem.dim())?;
        let mut state = State::new(x0, Settings::default());
        let mut model = self.model(Guarded(problem), &state);
        let end = minimize(&mut model, &mut state, &mut silent).or_else(End::at_start)?;
        if end.at.is_none() {
            state.value = model.linearizer.last;
        }
        Ok(model.report(end, state))
    }

    /// The bytes that a fit of a problem needs besides the data: the triangles of two points and of damped steps, and chunks of rows with their triangles. Less
    /// is enough where chunks can be shorter.
    ///
    /// ```
    /// use ndarray::Array2;
    /// use secondo::{Activation, Data, LevenbergMarquardt, Loss, Network, Problem};
    /// let of_rows = |n| {
    ///     let data = Data::new(Array2::ones((n, 2)), Array2::zeros((n, 1)))?;
    ///     let problem = Problem::new(Network::dense(&[2, 100, 1], Activation::Tanh)?, data, Loss::SquaredError)?;
    ///     LevenbergMarquardt::default().memory(&problem)
    /// };
    /// // Five squares of 402 columns, and chunks of rows; how many rows there are hardly matters.
    /// let need = of_rows(1 << 18)?;
    /// assert!(need > 5 * 8 * 402 * 402 && of_rows(1 << 19)? < need + (16 << 20));
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Unsupported` for a problem that is no sum of squares, `Memory` if no chunk fits the problem's budget.
    pub fn memory(&self, problem: &Problem) -> Result<u64> {
        Ok(Squares::new(problem)?.memory())
    }

    fn check(&self) -> Result<()> {
        check_tolerances(self.gtol, self.xtol, self.ftol)?;
        check_tolerance("goal", self.goal)?;
        check_radius(self.initial_radius, self.max_radius, self.eta)
    }

    /// The method as a model of these residuals, at its start or where `state` was left.
    pub(super) fn model<S: SumOfSquares>(&self, problem: S, state: &State) -> GaussNewton<'_, S> {
        let mut linearizer = Linearizer::new(problem);
        if !state.roots.is_empty() {
            linearizer.norms.clone_from(&state.roots);
        }
        GaussNewton { linearizer, options: self, released: false }
    }
}

impl Method for LevenbergMarquardt {
    fn name(&self) -> &'static str {
        "lm"
    }

    fn settings(&self) -> Settings {
        settings!(self: LevenbergMarquardt {
            gtol, xtol, ftol, initial_radius, max_radius, eta, goal
        } but max_iter, time_limit)
    }

    fn resume(&self, problem: &Problem, mut state: State, observe: Observer) -> Result<Fit> {
        self.check()?;
        state.check(&self.settings(), problem.parameters())?;
        let squares = Squares::new(problem)?;
        let mut model = self.model(&squares, &state);
        let end = minimize(&mut model, &mut state, observe)?;
        let goal = state.goal(self.goal);
        Ok(model.fit(end, &state, goal))
    }
}

/// Gauss and Newton's linear model of the residuals, damped to stay within ‖Dp‖ ≤ Δ.
pub(super) struct GaussNewton<'a, S> {
    linearizer: Linearizer<S>,
    options: &'a LevenbergMarquardt,
    /// Whether the next step is Gauss and Newton's own, however long.
    released: bool,
}

impl<S: SumOfSquares> GaussNewton<'_, S> {
    /// Evaluations and times; on the processor in f64.
    pub fn account(&self) -> Account {
        Account::of_processor(self.linearizer.evaluations, self.linearizer.times)
    }

    /// The report of a fit of a problem.
    pub fn fit(&self, end: End<Linearized<S::Seen>>, state: &State, goal: f64) -> Fit {
        let method = "Levenberg–Marquardt, the Jacobian by QR".to_string();
        Fit::new(state, end, goal, self.account(), method)
    }

    fn report(&self, end: End<Linearized<S::Seen>>, state: State) -> LeastSquares {
        let at = end.at.as_ref();
        let freedom = self.linearizer.count().saturating_sub(state.x.len());
        let s = (freedom > 0).then(|| (2.0 * state.value / freedom as f64).sqrt());
        let s = s.filter(|s| s.is_finite());
        LeastSquares {
            reason: end.reason,
            fault: end.fault,
            x: state.x,
            value: state.value,
            gradient_norm: at.map_or(f64::NAN, |at| at.model.orthogonality()),
            iterations: state.tried,
            accepted: state.accepted,
            evaluations: self.linearizer.evaluations,
            freedom,
            residual_deviation: s,
            deviations: at.zip(s).and_then(|(at, s)| at.model.deviations(s)),
        }
    }

    /// A radius within the largest.
    fn range(&self, state: &State, radius: f64) -> f64 {
        in_range(radius, self.options.max_radius * state.unit)
    }

    /// The radius after a step, by its gain ratio ρ.
    fn radius(&self, state: &State, trial: &Trial, accepted: bool) -> f64 {
        let (step, gain) = (&trial.step, trial.gain);
        if !accepted || (gain < 0.25 && !trial.level) {
            self.range(state, 0.5 * step.length)
        } else if !trial.level && (gain > 0.75 || (gain > 0.5 && !step.bounded)) {
            self.range(state, 2.0 * step.length)
        } else {
            state.radius
        }
    }
}

/// [`State::slow`] where the sum has hardly fallen in a window of steps.
pub(super) const HARDLY: usize = 1 << 30;

/// After how many steps with p parameters the fall of the sum is looked at: many where they cost nothing.
pub(super) fn window(p: usize) -> usize {
    2000 / p.max(1)
}

/// Notes, once in a window of steps, whether the sum fell by less than a tenth in it.
fn look(state: &mut State, trial: &Trial) {
    if state.tried < state.mark.saturating_add(window(state.x.len())) {
        return;
    }
    let before = if state.mark == 0 { state.initial_value } else { state.marked };
    (state.mark, state.marked) = (state.tried, state.value - trial.actual);
    if state.marked > 0.9 * before {
        state.slow = HARDLY;
    }
}

impl<S: SumOfSquares> Model for GaussNewton<'_, S> {
    type Value = Option<S::Seen>;
    type Local = Linearized<S::Seen>;

    fn rules(&self) -> Rules {
        Rules {
            max_iter: self.options.max_iter,
            time_limit: self.options.time_limit,
            eta: self.options.eta,
            ftol: self.options.ftol,
            // Clearly smaller: the gradient has rounding errors as well.
            slope_fall: 0.9,
            slope_decides: true,
            certified: (self.options.goal > 0.0).then_some(self.options.goal),
            ..Rules::default()
        }
    }

    fn value(&mut self, at: &Point<Self::Local>, x: &[f64]) -> Result<(Option<S::Seen>, f64)> {
        match self.linearizer.see(x) {
            Ok(seen) => {
                let reduction = self.linearizer.reduction(&at.model, &seen);
                Ok((Some(seen), reduction))
            }
            Err(Error::NonFinite { .. }) => Ok((None, f64::NAN)),
            Err(other) => Err(other),
        }
    }

    fn derive(&mut self, x: &[f64], seen: Option<Option<S::Seen>>) -> Result<Point<Self::Local>> {
        let seen = match seen.flatten() {
            Some(seen) => seen,
            None => self.linearizer.see(x)?,
        };
        self.linearizer.linearize(x, seen)
    }

    fn prepare(&mut self, state: &mut State, at: &Point<Self::Local>) {
        state.roots.clone_from(&self.linearizer.norms);
        self.released = false;
        if state.unit == 0.0 {
            state.unit = match at.model.size() {
                0.0 => 1.0,
                size => size,
            };
            state.radius = self.range(state, self.options.initial_radius * state.unit);
        }
    }

    fn propose(&mut self, state: &mut State, at: &mut Point<Self::Local>) -> Proposal {
        let solving = Instant::now();
        let radius = if self.released { f64::MAX } else { state.radius };
        let found = at.model.step(radius)?;
        self.linearizer.times.solve += solving.elapsed();
        let Some(found) = found else {
            return Err(Stop::Because(Reason::Stalled));
        };
        let x = moved(&state.x, &found.p);
        Ok(Some(Step {
            predicted: found.predicted,
            length: found.length,
            bounded: found.bounded,
            small: found.length <= self.options.xtol * at.model.size(),
            vanishing: self.released || x == state.x,
            x,
        }))
    }

    fn adapt(&mut self, state: &mut State, trial: &Trial, accepted: bool) {
        state.radius = self.radius(state, trial, accepted);
        if let (true, (slope, Some(next))) = (accepted, trial.slopes) {
            let slow = !trial.step.bounded && 3.0 * next > slope;
            state.slow = if slow { (state.slow + 1).min(HARDLY) } else { 0 };
        }
        if accepted {
            look(state, trial);
        }
    }

    fn stationary(&self, state: &State, next: &Point<Self::Local>, _: Option<&Step>) -> bool {
        let goal = state.goal(self.options.goal);
        next.model.orthogonality() <= self.options.gtol || next.gradient_norm <= goal
    }

    /// Gauss and Newton's step, whose matrix has no negative eigenvalue.
    fn examine(&mut self, _: &State, at: &mut Point<Self::Local>, _: f64) -> Result<Promise> {
        Ok(match at.model.step(f64::MAX)? {
            Some(found) => Promise {
                gain: found.predicted,
                step: found.length / at.model.size(),
                settled: false,
                curvature: Downward::Nowhere,
            },
            None => Promise::UNKNOWN,
        })
    }

    fn release(&mut self) -> bool {
        // Rounding hides what a damped step does: see whether Gauss and Newton's is better.
        !std::mem::replace(&mut self.released, true)
    }

    fn limits(&self) -> Option<&Limits> {
        Some(&self.linearizer.limits)
    }

    fn evaluations(&mut self) -> &mut Evaluations {
        &mut self.linearizer.evaluations
    }
}
