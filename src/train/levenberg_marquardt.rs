//! Scaled Levenberg–Marquardt for residual problems, with standard deviations.

use std::fmt;
use std::time::{Duration, Instant};

use super::squares::Squares;
use super::{
    Account, Control, End, Evaluations, Fit, Method, Observer, Reason, State, check_radius,
    check_start, check_tolerances, in_range, norm, silent, without_zeros,
};
use crate::error::{Error, Result};
use crate::guard;
use crate::problem::Problem;
use crate::solve::{U, back_substitute, dot, largest, triangle};

/// Residuals and their Jacobian.
///
/// ```text
/// r: ℝᵖ → ℝᵐ,   J_ia = ∂r_i/∂x_a,   E(x) = ½ Σ_i r_i(x)²
/// ```
///
/// The Jacobian is row-major, J_ia at i·p + a, m·p numbers. Where r is not defined, return NaN: the step is rejected. A
/// panic ends the iteration at its best point.
/// For closures there is [`residual_function`].
///
/// Source: Nocedal and Wright, *Numerical Optimization*, 2nd ed., ch. 10.
pub trait Residuals {
    /// The number of parameters p.
    fn dim(&self) -> usize;
    /// The number of residuals m.
    fn count(&self) -> usize;
    /// Writes r(x) to `out`, m numbers.
    fn residuals(&self, x: &[f64], out: &mut [f64]);
    /// Writes J(x) to `out`, m·p numbers.
    fn jacobian(&self, x: &[f64], out: &mut [f64]);
}

struct Closures<R, J> {
    dim: usize,
    count: usize,
    residuals: R,
    jacobian: J,
}

impl<R: Fn(&[f64], &mut [f64]), J: Fn(&[f64], &mut [f64])> Residuals for Closures<R, J> {
    fn dim(&self) -> usize {
        self.dim
    }
    fn count(&self) -> usize {
        self.count
    }
    fn residuals(&self, x: &[f64], out: &mut [f64]) {
        (self.residuals)(x, out);
    }
    fn jacobian(&self, x: &[f64], out: &mut [f64]) {
        (self.jacobian)(x, out);
    }
}

/// `count` residuals of `dim` parameters from closures for r and J; see [`LevenbergMarquardt`] for an example.
pub fn residual_function(
    dim: usize,
    count: usize,
    residuals: impl Fn(&[f64], &mut [f64]),
    jacobian: impl Fn(&[f64], &mut [f64]),
) -> impl Residuals {
    Closures {
        dim,
        count,
        residuals,
        jacobian,
    }
}

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
/// What x's own rounding, u = 2⁻⁵³, does to ½‖r‖² is taken as
///
/// ```text
/// 16 u Σ_i |r_i| (|r_i| + Σ_a |J_ia x_a|)
/// ```
///
/// Once the predicted reduction is below that, a step is accepted if ‖r‖² is unchanged but for it and ‖D⁻¹Jᵀr‖ falls by a
/// tenth; the fit ends where that fails with μ = 0: with [`Reason::Function`], as near to the minimum as f64 sees it, or
/// with [`Reason::Stalled`] if Gauss and Newton's step promises more than rounding. The tolerances, which are all 0 by
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

/// What [`LevenbergMarquardt::minimize`] found; it always has a point.
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
        let verdict = match self.converged() {
            true => "converged",
            false => "not converged",
        };
        write!(
            f,
            "{verdict} after {} iterations ({}): half the sum of squares {:e}, orthogonality {:.1e}; \
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

/// The damping beside a J that is singular to rounding.
const LEAST: f64 = U;

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
        let mut state = State::new(x0, "");
        let mut run = Run::new(problem)?;
        let (reason, at) = self.run(&mut run, &mut state, usize::MAX, &mut silent)?;
        Ok(run.report(reason.unwrap_or(Reason::Stalled), state, at.as_ref()))
    }

    /// The loop: from a start, or from where `state` was left. No reason: more than `patience` of Gauss and Newton's own
    /// steps in a row took less than two thirds off the gradient, or there is a long way to go yet. No point: r or J is not
    /// finite at the start.
    pub(super) fn run<P: Residuals + ?Sized>(
        &self,
        run: &mut Run<'_, P>,
        state: &mut State,
        patience: usize,
        observe: Observer,
    ) -> Result<(Option<Reason>, Option<Point>)> {
        let (clock, before) = (Instant::now(), state.elapsed);
        let timeout = || (self.time_limit).is_some_and(|limit| clock.elapsed() >= limit);
        if !state.roots.is_empty() {
            run.norms.clone_from(&state.roots);
        }
        let mut fresh = state.is_new();
        let residuals = run.residuals(&state.x);
        let value = 0.5 * dot(&residuals, &residuals);
        let linear = run.linearize(state.x.clone(), residuals);
        run.ended()?;
        let Some(mut at) = linear else {
            state.value = value;
            return Ok((Some(Reason::NonFinite), None));
        };
        match fresh {
            true => {
                state.begin(at.value, at.gradient_norm());
                state.unit = match at.size() {
                    0.0 => 1.0,
                    size => size,
                };
                let largest = self.max_radius * state.unit;
                state.radius = in_range(self.initial_radius * state.unit, largest);
            }
            false => run.evaluations = state.evaluations,
        }
        let unit = state.unit;
        let range = |r: f64| in_range(r, self.max_radius * unit);
        let goal = state.goal(self.goal, true);
        let reason = 'points: loop {
            if fresh {
                (state.evaluations, state.elapsed) = (run.evaluations, before + clock.elapsed());
                state.roots.clone_from(&run.norms);
                let control = observe(&state.progress(self.max_iter, Some(state.radius)));
                if control == Control::Stop && state.reached.is_none() {
                    break Some(Reason::Interrupted);
                }
            }
            fresh = true;
            if at.orthogonality() <= self.gtol || state.gradient_norm <= goal {
                break Some(Reason::Gradient);
            }
            if state.reached.is_some() {
                break state.reached;
            }
            if state.slow > patience
                || (patience < usize::MAX && state.tried >= long(state.x.len()))
            {
                break None;
            }
            // Whether the step is Gauss and Newton's, however long.
            let mut plain = false;
            let (next, reached, free) = loop {
                if state.tried >= self.max_iter {
                    break 'points Some(Reason::Iterations);
                }
                if timeout() {
                    break 'points Some(Reason::Time);
                }
                state.tried += 1;
                let solving = Instant::now();
                let step = at.step(if plain { f64::MAX } else { state.radius });
                run.solving += solving.elapsed();
                let Some(step) = step else {
                    break 'points Some(Reason::Stalled);
                };
                let x: Vec<f64> = at.x.iter().zip(&step.p).map(|(x, p)| x + p).collect();
                let still = x == at.x;
                let residuals = run.residuals(&x);
                let finite = residuals.iter().all(|r| r.is_finite());
                // ½‖r‖² − ½‖r₊‖² without its cancellation; NaN where r₊ is not finite.
                let actual: f64 = (at.residuals.iter().zip(&residuals))
                    .map(|(r, new)| 0.5 * (r - new) * (r + new))
                    .sum();
                let gain = actual / step.predicted;
                let level = step.predicted <= at.rounding && actual.abs() <= at.rounding;
                let candidate = (gain > self.eta || level)
                    .then(|| run.linearize(x, residuals))
                    .flatten();
                if run.failed()? {
                    break 'points Some(Reason::Part);
                }
                // Clearly smaller: the gradient has rounding errors as well.
                let next = candidate.filter(|n| !level || n.slope() < 0.9 * at.slope());
                if let Some(next) = next {
                    if level {
                    } else if gain < 0.25 {
                        state.radius = range(0.5 * step.length);
                    } else if gain > 0.75 || (gain > 0.5 && !step.bounded) {
                        state.radius = range(2.0 * step.length);
                    }
                    let small = self.ftol * at.value;
                    let reached = if step.bounded {
                        None
                    } else if step.length <= self.xtol * at.size() {
                        Some(Reason::Step)
                    } else if step.predicted <= small && actual.abs() <= small {
                        Some(Reason::Function)
                    } else {
                        None
                    };
                    break (next, reached, !step.bounded);
                }
                if plain || (level && !step.bounded) {
                    break 'points Some(match (finite, step.predicted <= at.rounding) {
                        (true, true) => Reason::Function,
                        (true, false) => Reason::Stalled,
                        (false, _) => Reason::NonFinite,
                    });
                }
                if level {
                    // Rounding hides what a damped step does: see whether Gauss and Newton's is better.
                    plain = true;
                    continue;
                }
                if still {
                    break 'points Some(match finite {
                        true => Reason::Stalled,
                        false => Reason::NonFinite,
                    });
                }
                state.radius = range(0.5 * step.length);
            };
            let slow = free && 3.0 * next.slope() > at.slope();
            state.slow = if slow { state.slow + 1 } else { 0 };
            at = next;
            state.x.clone_from(&at.x);
            (state.value, state.gradient_norm) = (at.value, at.gradient_norm());
            (state.accepted, state.reached) = (state.accepted + 1, reached);
        };
        (state.evaluations, state.elapsed) = (run.evaluations, before + clock.elapsed());
        Ok((reason, Some(at)))
    }

    pub(super) fn check(&self) -> Result<()> {
        check_tolerances(self.gtol, self.xtol, self.ftol)?;
        check_radius(self.initial_radius, self.max_radius, self.eta)?;
        match self.goal.is_finite() && self.goal >= 0.0 {
            true => Ok(()),
            false => Err(Error::invalid(
                "goal",
                format!("{} is not a finite number ≥ 0", self.goal),
            )),
        }
    }
}

impl Method for LevenbergMarquardt {
    fn name(&self) -> &'static str {
        "lm"
    }

    fn options(&self) -> String {
        let LevenbergMarquardt {
            gtol,
            xtol,
            ftol,
            initial_radius,
            max_radius,
            eta,
            goal,
            ..
        } = self;
        format!("{gtol} {xtol} {ftol} {initial_radius} {max_radius} {eta} {goal}")
    }

    fn resume(&self, problem: &Problem, mut state: State, observe: Observer) -> Result<Fit> {
        self.check()?;
        state.check(&self.fingerprint(), problem.parameters())?;
        let squares = Squares::new(problem)?;
        let mut run = Run::new(&squares)?;
        let (reason, at) = self.run(&mut run, &mut state, usize::MAX, observe)?;
        squares.verdict(at.is_some())?;
        let end = run.end(reason.unwrap_or(Reason::Stalled));
        let goal = state.goal(self.goal, true);
        let method = "Levenberg–Marquardt, the Jacobian by QR".to_string();
        Ok(Fit::new(state, end, goal, run.account(), method))
    }
}

/// After how many steps with p parameters `auto` goes on with second derivatives: many where they cost nothing.
pub(super) fn long(p: usize) -> usize {
    2000 / p.max(1)
}

/// The problem, and what has been counted so far.
pub(super) struct Run<'a, P: ?Sized> {
    problem: &'a P,
    /// The largest column norms of J so far.
    norms: Vec<f64>,
    pub evaluations: Evaluations,
    /// The panic of r or J, or what else kept them from being computed.
    fault: Option<Error>,
    jacobian: Vec<f64>,
    /// Wall time of the residuals, the Jacobians and the steps.
    valuing: Duration,
    deriving: Duration,
    solving: Duration,
}

impl<'a, P: Residuals + ?Sized> Run<'a, P> {
    pub fn new(problem: &'a P) -> Result<Self> {
        let (m, p) = (problem.count(), problem.dim());
        // R over √μD and J with r: both must be addressable.
        let largest = (m.checked_add(2).and_then(|m| m.checked_add(p)))
            .and_then(|rows| rows.checked_mul(p.checked_add(1)?));
        if largest.is_none() {
            return Err(Error::TooLarge {
                what: format!("a Jacobian of {m} residuals and {p} parameters"),
            });
        }
        Ok(Run {
            problem,
            norms: vec![0.0; p],
            evaluations: Evaluations::default(),
            fault: None,
            jacobian: vec![0.0; m * p],
            valuing: Duration::ZERO,
            deriving: Duration::ZERO,
            solving: Duration::ZERO,
        })
    }

    /// r(x); NaN for an x that has overflowed.
    pub fn residuals(&mut self, x: &[f64]) -> Vec<f64> {
        let mut out = vec![f64::NAN; self.problem.count()];
        if x.iter().all(|v| v.is_finite()) {
            self.evaluations.objective += 1;
            let clock = Instant::now();
            let done = guard::call("function", "r", || self.problem.residuals(x, &mut out));
            self.valuing += clock.elapsed();
            if let Err(fault) = done {
                out.fill(f64::NAN);
                self.fault = Some(fault);
            }
        }
        out
    }

    /// Refuses what could not be computed at all.
    pub fn ended(&mut self) -> Result<()> {
        self.fault.take().map_or(Ok(()), Err)
    }

    /// Whether a user-defined part has panicked.
    ///
    /// # Errors
    /// Anything else that failed.
    fn failed(&mut self) -> Result<bool> {
        match self.fault.take() {
            None => Ok(false),
            Some(fault @ Error::Part { .. }) => {
                self.fault = Some(fault);
                Ok(true)
            }
            Some(other) => Err(other),
        }
    }

    /// The end for this reason, with the fault.
    pub fn end(&self, reason: Reason) -> End {
        End {
            reason,
            fault: self.fault.as_ref().map(Error::to_string),
        }
    }

    /// The linear model at x, if r, J and ‖r‖² are finite.
    pub fn linearize(&mut self, x: Vec<f64>, residuals: Vec<f64>) -> Option<Point> {
        let value = 0.5 * dot(&residuals, &residuals);
        if !value.is_finite() {
            return None;
        }
        let (m, p) = (residuals.len(), x.len());
        self.evaluations.curvature += 1;
        let clock = Instant::now();
        let done = guard::call("function", "J", || {
            self.problem.jacobian(&x, &mut self.jacobian);
        });
        self.deriving += clock.elapsed();
        if let Err(fault) = done {
            self.fault = Some(fault);
            return None;
        }
        if !self.jacobian.iter().all(|v| v.is_finite()) {
            return None;
        }
        let uncertain = (residuals.iter().enumerate()).map(|(i, r)| {
            let row = &self.jacobian[i * p..(i + 1) * p];
            let moved: f64 = row.iter().zip(&x).map(|(j, x)| (j * x).abs()).sum();
            r.abs() * (r.abs() + moved)
        });
        let rounding = 16.0 * U * uncertain.sum::<f64>();
        let mut columns = vec![0.0; m * (p + 1)];
        for (a, column) in columns.chunks_exact_mut(m.max(1)).take(p).enumerate() {
            for (v, row) in column.iter_mut().zip(self.jacobian.chunks_exact(p)) {
                *v = row[a];
            }
            self.norms[a] = self.norms[a].max(norm(column));
        }
        let scaling = without_zeros(&self.norms);
        for (column, scale) in columns.chunks_exact_mut(m.max(1)).zip(&scaling) {
            column.iter_mut().for_each(|v| *v /= scale);
        }
        let unit = match largest(&residuals) {
            0.0 => 1.0,
            largest => largest,
        };
        let last = &mut columns[m * p..];
        (last.iter_mut().zip(&residuals)).for_each(|(v, r)| *v = -r / unit);
        let clock = Instant::now();
        let triangle = triangle(&mut columns, m, p + 1);
        self.solving += clock.elapsed();
        Some(Point {
            triangle,
            x,
            residuals,
            value,
            rounding,
            scaling,
            unit,
        })
    }

    /// What it took, for the report; on the processor in f64.
    pub fn account(&self) -> Account {
        Account {
            evaluations: self.evaluations,
            times: super::Times {
                objective: self.valuing,
                curvature: self.deriving,
                solve: self.solving,
                ..super::Times::default()
            },
            ..Account::default()
        }
    }

    fn report(self, reason: Reason, state: State, at: Option<&Point>) -> LeastSquares {
        let End { reason, fault } = self.end(reason);
        let value = state.value;
        let freedom = self.problem.count().saturating_sub(state.x.len());
        let s = (freedom > 0).then(|| (2.0 * value / freedom as f64).sqrt());
        let s = s.filter(|s| s.is_finite());
        LeastSquares {
            reason,
            fault,
            x: state.x,
            value,
            gradient_norm: at.map_or(f64::NAN, Point::orthogonality),
            iterations: state.tried,
            accepted: state.accepted,
            evaluations: self.evaluations,
            freedom,
            residual_deviation: s,
            deviations: at.zip(s).and_then(|(at, s)| at.deviations(s)),
        }
    }
}

/// A point where r and J are finite, with [JD⁻¹, −r/unit] = QR.
pub(super) struct Point {
    x: Vec<f64>,
    residuals: Vec<f64>,
    value: f64,
    /// Differences of ½‖r‖² below this are rounding errors: x is known to u, and so are the terms of each residual.
    rounding: f64,
    scaling: Vec<f64>,
    unit: f64,
    /// R, of order p + 1.
    triangle: Vec<f64>,
}

struct Step {
    p: Vec<f64>,
    /// ‖Dp‖.
    length: f64,
    predicted: f64,
    /// Whether the radius holds it back.
    bounded: bool,
}

impl Point {
    fn column(&self, a: usize) -> &[f64] {
        let n = self.x.len() + 1;
        &self.triangle[a * n..(a + 1) * n]
    }

    /// ‖Dx‖.
    fn size(&self) -> f64 {
        let scaled: Vec<f64> = (self.x.iter().zip(&self.scaling))
            .map(|(x, d)| x * d)
            .collect();
        norm(&scaled)
    }

    /// J e_a · r / (D_a · unit), but for the sign.
    fn inner(&self, a: usize) -> f64 {
        dot(self.column(a), self.column(self.x.len()))
    }

    /// ‖D⁻¹Jᵀr‖.
    fn slope(&self) -> f64 {
        let inner: Vec<f64> = (0..self.x.len()).map(|a| self.inner(a)).collect();
        self.unit * norm(&inner)
    }

    /// max_a |J e_a · r|.
    fn gradient_norm(&self) -> f64 {
        (0..self.x.len())
            .map(|a| self.inner(a).abs() * self.scaling[a] * self.unit)
            .fold(0.0, f64::max)
    }

    /// max_a |J e_a · r| / (‖J e_a‖ ‖r‖).
    fn orthogonality(&self) -> f64 {
        let r = norm(self.column(self.x.len()));
        (0..self.x.len())
            .map(|a| self.inner(a).abs() / norm(self.column(a)) / r)
            // 0/0 is 0 here.
            .fold(0.0, f64::max)
    }

    /// The step with ‖Dp‖ ≤ `radius`; none if it is beyond the range of f64.
    fn step(&self, radius: f64) -> Option<Step> {
        let (d, radius) = (self.x.len(), radius / self.unit);
        let mut mu = 0.0;
        let mut found = self.damped(mu);
        if found.is_none() {
            mu = LEAST;
            found = self.damped(mu);
        }
        let (mut y, mut r) = found?;
        let free = norm(&y) <= 1.1 * radius;
        // Newton's method on 1/Δ = 1/‖y(μ)‖ ascends from below.
        for _ in 0..50 {
            let length = norm(&y);
            if length <= 1.1 * radius {
                break;
            }
            let mut w = y.clone();
            for a in 0..d {
                let column = &r[a * (d + 1)..][..=a];
                w[a] = (w[a] - dot(&column[..a], &w[..a])) / column[a];
            }
            mu += (length - radius) / radius * (length / norm(&w)).powi(2);
            (y, r) = self.damped(mu)?;
        }
        let mut image = vec![0.0; d + 1];
        for (a, y) in y.iter().enumerate() {
            let column = self.column(a);
            image.iter_mut().zip(column).for_each(|(v, r)| *v += y * r);
        }
        let (along, damping) = (dot(&image, &image), mu * dot(&y, &y));
        let p: Vec<f64> = (y.iter().zip(&self.scaling))
            .map(|(y, d)| y * self.unit / d)
            .collect();
        let predicted = (0.5 * along + damping) * self.unit * self.unit;
        let finite = p.iter().all(|p| p.is_finite()) && predicted.is_finite();
        finite.then(|| Step {
            p,
            length: norm(&y) * self.unit,
            predicted,
            bounded: !free,
        })
    }

    /// y = Dp/unit with damping μ, and the triangle of JD⁻¹ over √μI; none if that is singular to rounding.
    fn damped(&self, mu: f64) -> Option<(Vec<f64>, Vec<f64>)> {
        let d = self.x.len();
        let (n, rows) = (d + 1, 2 * d + 1);
        let r = if mu == 0.0 {
            self.triangle.clone()
        } else {
            let mut stacked = vec![0.0; rows * n];
            for (a, column) in stacked.chunks_exact_mut(rows).enumerate() {
                column[..n].copy_from_slice(self.column(a));
                if a < d {
                    column[n + a] = mu.sqrt();
                }
            }
            triangle(&mut stacked, rows, n)
        };
        let mut y = r[d * n..][..d].to_vec();
        back_substitute(&r, n, d, &mut y).then_some((y, r))
    }

    /// s √[(JᵀJ)⁻¹]_aa: the rows of R⁻¹.
    pub fn deviations(&self, s: f64) -> Option<Vec<f64>> {
        let d = self.x.len();
        let mut squares = vec![0.0; d];
        for b in 0..d {
            let mut column = vec![0.0; d];
            column[b] = 1.0;
            if !back_substitute(&self.triangle, d + 1, d, &mut column) {
                return None;
            }
            squares
                .iter_mut()
                .zip(column)
                .for_each(|(s, v)| *s += v * v);
        }
        let deviations = (squares.iter().zip(&self.scaling)).map(|(v, d)| s * v.sqrt() / d);
        Some(deviations.collect())
    }
}
