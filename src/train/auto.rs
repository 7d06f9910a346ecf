//! The method that a problem's loss and size suggest.

use std::time::Duration;

use super::examination::FORMED;
use super::lbfgs::affordable;
use super::levenberg_marquardt::{HARDLY, window};
use super::minimize::{End, minimize};
use super::residuals::SumOfSquares;
use super::scales::scales;
use super::settings::{Settings, settings};
use super::squares::Squares;
use super::trust_region::Goal;
use super::{Control, Evaluations, Fit, Lbfgs, LevenbergMarquardt, Method, NewtonCg, Observer};
use super::{Preconditioning, Progress, Reason, Stage, State, Times, TrustRegion};
use crate::clock::Instant;
use crate::curvature::Curvature;
use crate::error::{Error, Result};
use crate::evaluate::{Parts, Request, Work, check_units};
use crate::objective::{Penalty, Reduction};
use crate::problem::Problem;

/// Up to this many multiplications the QR factorization of a Jacobian is cheap.
const CHEAP: f64 = 5e8;
/// Above so many parameters L-BFGS takes less time than the Hessians of a trust region, if a ridge keeps it quick: measured, as `examples/results/race.md` has it.
const MANY: usize = 100;
/// The same of a sum of squares whose Jacobian is cheap to factorize.
const MANY_OF_SQUARES: usize = 50;
/// The least λ of such a ridge, in units of Σ_i ω_i.
const RIDGE: f64 = 1e-6;
/// So many steps of L-BFGS count as one of Newton's.
const QUICK: usize = 10;
/// L-BFGS with fewer pairs is slow.
const FEWEST: usize = 5;
/// Where a gradient costs less than so many times the multiplications by the pairs of L-BFGS, conjugate gradients are faster: products cost as little,
/// and no pairs come on top of them. In a network with one hidden layer these are 300 rows; measured, as docs/benchmarks.md has it.
const VECTORS: f64 = 10.0;
/// How many of Gauss and Newton's own steps in a row may be slow.
const PATIENCE: usize = 3;

/// The part of the targets' squares below which residuals are small.
const SMALL: f64 = 0.01;
/// The part of the targets' squares above which a fit has explained nothing yet: no method is fast there.
const PLATEAU: f64 = 0.9;

/// [`State::stage`]: at 0 nothing is chosen yet, these are the methods.
const SQUARES: usize = 1;
const SECOND: usize = 2;
const QUASI: usize = 3;
/// Levenberg–Marquardt once more, and second derivatives after it.
const AGAIN: usize = 4;
const LAST: usize = 5;

/// The method that a problem's loss and size suggest; [`Fit::choice`] says which, and why.
///
/// On the processor, problems begin with [`Lbfgs`] on Gauss–Newton row blocks, whose steps cost a gradient each: those of more than 500
/// parameters, unless there are so few rows that gradients are cheap beside its pairs or it is a sum of squares whose Jacobian is cheap to factorize, and those of more than 100 (50 of such sums) whose ridge λ ≥ 10⁻⁶ Σ_i ω_i reaches most of them. Near the end it takes
/// Newton's steps; where it ends without a certificate, or at a saddle, second derivatives go on.
///
/// Other sums of squares whose Jacobian is cheap to factorize, m·P² ≤ 5·10⁸, start with [`LevenbergMarquardt`], whose path does not
/// depend on units. Where Gauss and Newton's steps are slow, since residuals stay large or the Jacobian is singular, or where
/// the sum falls by less than a tenth in 2000/P steps and more than a hundredth of the targets' squares is left, it goes on with second derivatives, as it does where the sum falls no further in f64 but
/// the gradient is above `gtol`. If these have made the residuals small, and not ended the fit in 2000/P steps, it returns to [`LevenbergMarquardt`]
/// once.
///
/// Second derivatives are those of [`TrustRegion`] with the exact Hessian up to 500 parameters, and of [`NewtonCg`] above. All else begins with
/// them: fewer parameters, another curvature than the exact, and an accelerator, which multiplies with the Hessian faster than the processor
/// computes gradients.
///
/// A sum of squares that second derivatives finish ends where f64 does not resolve more, or with the gradient within `gtol` and no longer falling by ten
/// from step to step; other losses end with the gradient within `gtol`. Every end that counts as converged is certified
/// ([`Fit::certificate`]). [`Fit::stages`] has the methods with their steps and times.
///
/// ```
/// use ndarray::array;
/// use secondo::{Activation, Auto, Data, Loss, Method, Network, Problem, silent};
/// let data = Data::new(array![[1.0], [2.0], [4.0]], array![[1.0], [2.5], [3.5]])?;
/// let problem = Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, data, Loss::SquaredError)?;
/// let fit = Auto::default().fit(&problem, &[0.0, 0.0], &mut silent)?; // y = 11/14 x + 1/2
/// assert!((fit.w[0] - 11.0 / 14.0).abs() + (fit.w[1] - 0.5).abs() < 1e-14);
/// assert!(fit.choice.is_some_and(|why| why.starts_with("Levenberg–Marquardt")));
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Auto {
    /// The curvature; another than `Exact` leaves out Levenberg and Marquardt's method. Default `Exact`.
    pub curvature: Curvature,
    /// The most steps to try, accepted or not, and ten times as many of L-BFGS; 0 evaluates the start and stops. Default 1000.
    pub max_iter: usize,
    /// Ends second-derivative methods where max_l |g_l| ≤ gtol · max(1, max_l |g_l| at the start). Default 10⁻⁸.
    pub gtol: f64,
    /// As of [`TrustRegion`]. Default 10⁻¹⁵.
    pub ftol: f64,
    /// As of [`TrustRegion`]. Default 10⁻¹².
    pub xtol: f64,
    /// The wall time after which the fit ends at its best point. Default none.
    pub time_limit: Option<Duration>,
    /// Whether the processor takes over where the accelerator fails. Default true.
    pub fallback: bool,
}

impl Default for Auto {
    fn default() -> Self {
        let region = TrustRegion::default();
        Auto {
            curvature: Curvature::Exact,
            max_iter: 1000,
            gtol: 1e-8,
            ftol: region.ftol,
            xtol: region.xtol,
            time_limit: None,
            fallback: true,
        }
    }
}

impl Method for Auto {
    fn name(&self) -> &'static str {
        "auto"
    }

    fn settings(&self) -> Settings {
        settings!(self: Auto { curvature, gtol, ftol, xtol } but max_iter, time_limit, fallback)
    }

    fn resume(&self, problem: &Problem, mut state: State, observe: Observer) -> Result<Fit> {
        let clock = Instant::now();
        self.region(Duration::ZERO).check(problem.parameters())?;
        // Not only when the second derivatives are reached.
        check_units(problem.network(), Some(self.curvature))?;
        state.check(&self.settings(), problem.parameters())?;
        // Another method would not go on as if nothing had happened.
        let squares = self.squares(problem, matches!(state.stage, SQUARES | AGAIN))?;
        if state.stage == 0 {
            state.stage = self.first_stage(problem, squares.as_ref().is_some_and(is_cheap));
        }
        let mut path = Path::new(&state);
        let mut choices: Vec<String> = Vec::new();
        let mut before: Option<Fit> = None;
        loop {
            let stage = state.stage;
            let (used, observe) = (clock.elapsed(), &mut *observe);
            let done = match (stage, &squares) {
                (SQUARES | AGAIN, Some(squares)) => {
                    self.fit_squares(squares, &mut state, used, observe)
                }
                (QUASI, _) => self.fit_quasi(problem, &mut state, observe),
                (_, squares) => {
                    self.fit_second(problem, squares.as_ref(), &mut state, used, observe)
                }
            };
            let fit = match (done, before.take()) {
                (Ok(fit), _) => fit,
                (Err(Error::Interrupted), Some(fit)) => {
                    let choice = Some(choices.join("; then "));
                    return Ok(path.finish(Fit { choice, reason: Reason::Interrupted, ..fit }));
                }
                // The point that one method reached is not lost because another cannot go on.
                (Err(error), Some(fit)) => {
                    choices.push(format!("another method, which failed: {error}"));
                    let choice = Some(choices.join("; then "));
                    return Ok(path.finish(Fit { choice, reason: Reason::Stalled, ..fit }));
                }
                (Err(error), None) => return Err(error),
            };
            let last = state.stage == stage;
            path.add(&fit, &state, last);
            choices.extend(fit.choice.clone());
            if last {
                return Ok(path.finish(Fit { choice: Some(choices.join("; then ")), ..fit }));
            }
            before = Some(fit);
        }
    }
}

/// The methods so far.
struct Path {
    stages: Vec<Stage>,
    tried: usize,
    evaluations: Evaluations,
    times: Times,
}

impl Path {
    fn new(state: &State) -> Self {
        let (tried, evaluations) = (state.tried, state.evaluations);
        let times = Times { total: state.elapsed, ..Times::default() };
        Path { stages: Vec::new(), tried, evaluations, times }
    }

    /// Notes the end of a method, with the state that it left, and whether it is the last.
    fn add(&mut self, fit: &Fit, state: &State, last: bool) {
        let times = fit.times;
        let before = self.times.total;
        let end = match fit.reason {
            Reason::Interrupted if !last => "another method goes on".into(),
            reason => reason.to_string(),
        };
        self.stages.push(Stage {
            method: fit.method.clone(),
            end,
            steps: state.tried - self.tried,
            evaluations: state.evaluations.since(self.evaluations),
            time: times.total.saturating_sub(before),
        });
        (self.tried, self.evaluations) = (state.tried, state.evaluations);
        self.times = Times {
            objective: self.times.objective + times.objective,
            gradient: self.times.gradient + times.gradient,
            curvature: self.times.curvature + times.curvature,
            solve: self.times.solve + times.solve,
            total: times.total,
            device: [self.times.device, times.device].into_iter().flatten().reduce(|a, b| a + b),
        };
    }

    /// The last fit with the times and the stages of all.
    fn finish(self, fit: Fit) -> Fit {
        Fit { times: self.times, stages: self.stages, ..fit }
    }
}

impl Auto {
    fn region(&self, used: Duration) -> TrustRegion {
        TrustRegion {
            max_iter: self.max_iter,
            gtol: self.gtol,
            ftol: self.ftol,
            xtol: self.xtol,
            curvature: self.curvature,
            time_limit: self.time_limit.map(|limit| limit.saturating_sub(used)),
            fallback: self.fallback,
            ..TrustRegion::default()
        }
    }

    /// The problem as a sum of squares, if it is one whose triangles fit and no other curvature is asked for.
    ///
    /// # Errors
    /// Those of reading; and that it is none, where it `must` be one.
    fn squares<'a>(&self, problem: &'a Problem, must: bool) -> Result<Option<Squares<'a>>> {
        if self.curvature != Curvature::Exact {
            return Ok(None);
        }
        match Squares::new(problem) {
            // Other methods may do without what it lacks.
            Err(_) if !must => Ok(None),
            found => Ok(Some(found?.with_targets()?)),
        }
    }

    /// Fits by Levenberg and Marquardt's method after so much time, from the start or from where `state` was left; where second
    /// derivatives are to go on, `state` is ready for them.
    fn fit_squares(
        &self,
        squares: &Squares,
        state: &mut State,
        used: Duration,
        observe: Observer,
    ) -> Result<Fit> {
        use Reason::{Interrupted, Iterations, Part, Time};
        let method = LevenbergMarquardt {
            max_iter: self.max_iter.saturating_add(state.quick),
            time_limit: self.region(used).time_limit,
            ..LevenbergMarquardt::default()
        };
        let mut model = method.model(squares, state);
        let once = state.stage == SQUARES;
        let mut choice = if once {
            format!(
                "Levenberg–Marquardt: a sum of {} squares with {} parameters, whose Jacobian is cheap to factorize",
                squares.count(),
                squares.dim()
            )
        } else {
            "Levenberg–Marquardt once more, since the residuals have become small".into()
        };
        let is_slow = |state: &State| once && is_slow(squares, state);
        let mut slow = is_slow(state) && state.reached.is_none();
        let end = if slow {
            End::because(Interrupted)
        } else {
            let watch = &mut |progress: &Progress| {
                let control = observe(progress);
                slow = control == Control::Continue && is_slow(progress.state);
                if slow { Control::Stop } else { control }
            };
            minimize(&mut model, state, watch)?
        };
        let reason = end.reason;
        let mut fit = model.fit(end, state, state.goal(self.gtol));
        if slow && reason == Interrupted {
            choice += self.leave_squares(state, None);
        } else if !matches!(reason, Interrupted | Iterations | Part | Time) {
            choice += self.leave_squares(state, Some(reason));
        }
        fit.choice = Some(choice);
        Ok(fit)
    }

    /// The method that begins: one of steps that cost little, where there are many parameters and the processor computes.
    fn first_stage(&self, problem: &Problem, is_cheap: bool) -> usize {
        let (p, many) = (problem.parameters(), if is_cheap { MANY_OF_SQUARES } else { MANY });
        let is_large = (p > FORMED && !is_cheap) || (p > many && is_ridged(problem));
        let device = || problem.session().device_for(Work::Products(self.curvature, 1));
        if is_large && self.curvature == Curvature::Exact && !device().is_accelerator() {
            return if p <= FORMED || is_led_by_rows(problem) { QUASI } else { SECOND };
        }
        if is_cheap { SQUARES } else { SECOND }
    }

    /// Fits by L-BFGS, from the start or from where `state` was left; where second derivatives are to go on, `state` is ready for
    /// them.
    fn fit_quasi(&self, problem: &Problem, state: &mut State, observe: Observer) -> Result<Fit> {
        // With room for as much again: what evaluates needs vectors, too.
        let bytes = 16 * problem.parameters() as u64;
        let room = (problem.budget() / bytes.max(1) / 2) as usize;
        let pairs = Lbfgs::default().pairs.min(room).max(FEWEST);
        let method = Lbfgs {
            pairs,
            max_iter: self.max_iter.saturating_mul(QUICK),
            gtol: self.gtol,
            time_limit: self.time_limit,
            fallback: self.fallback,
            ..Lbfgs::default()
        };
        let mut fit = method.fit_problem(problem, state, observe)?;
        let mut choice = format!(
            "L-BFGS: a step costs little more than a gradient, a Hessian of {} parameters many",
            problem.parameters()
        );
        if matches!(fit.reason, Reason::Stalled | Reason::Indefinite) {
            choice += match fit.reason {
                Reason::Indefinite => ", until it met a saddle",
                _ => ", until no step reduced the objective any more",
            };
            state.reached = (fit.reason == Reason::Indefinite).then_some(Reason::Gradient);
            state.quick = state.tried;
            begin(state, SECOND);
        }
        fit.choice = Some(choice);
        Ok(fit)
    }

    /// Makes the state ready for second derivatives, and says why Levenberg and Marquardt's method was left: it ended for
    /// `reason`, or it was slow.
    fn leave_squares(&self, state: &mut State, reason: Option<Reason>) -> &'static str {
        // Where f64 does not resolve the sum any more, it may still resolve the gradient.
        let within = state.gradient_norm <= state.goal(self.gtol);
        state.reached = reason.filter(|r| r.converged() && within);
        begin(state, if state.stage == SQUARES { SECOND } else { LAST });
        match reason {
            Some(_) if state.reached.is_some() => {
                ", until f64 resolved the sum no further: it is asked for negative curvature"
            }
            Some(reason) if reason.converged() => ", until f64 resolved the sum no further",
            Some(_) => ", until no step reduced the sum any more",
            None => ", until the sum fell slowly",
        }
    }

    /// Fits with second derivatives after so much time; of a sum of squares down to where f64 resolves no more, or until small residuals
    /// make Levenberg and Marquardt's method the better one.
    fn fit_second(
        &self,
        problem: &Problem,
        squares: Option<&Squares>,
        state: &mut State,
        used: Duration,
        observe: Observer,
    ) -> Result<Fit> {
        let p = problem.parameters();
        let region = TrustRegion {
            // A sum of squares may have parameters of any units; where the others come from networks, inputs are scaled, and
            // a D that only grows holds the steps back.
            scaling: squares.is_none().then(|| scales(problem)).transpose()?,
            max_iter: self.max_iter.saturating_add(state.quick),
            ..self.region(used)
        };
        let goal = if squares.is_some() { Goal::Polished } else { Goal::Relative };
        let once = state.stage == SECOND;
        let mut small = false;
        let watch = &mut |progress: &Progress| {
            let control = observe(progress);
            small = control == Control::Continue
                && once
                && squares.is_some_and(|squares| is_for_squares(squares, progress.state));
            if small { Control::Stop } else { control }
        };
        let (mut fit, choice) = if p <= FORMED {
            let why = format!("trust-region Newton with the exact Hessian: {p} parameters are few");
            (region.fit_problem(problem, state, goal, watch)?, why)
        } else {
            let preconditioning =
                if is_led_by_rows(problem) { affordable(problem)? } else { Preconditioning::None };
            let method = NewtonCg { region, preconditioning, ..NewtonCg::default() };
            let why = format!(
                "Newton with conjugate gradients: {p} parameters are many, and the matrix is not formed"
            );
            (method.fit_problem(problem, state, goal, watch)?, why)
        };
        if fit.converged() && fit.gradient_norm <= fit.gradient_goal {
            fit.reason = Reason::Gradient;
        }
        fit.choice = Some(choice);
        if small && fit.reason == Reason::Interrupted {
            begin(state, AGAIN);
        }
        Ok(fit)
    }
}

/// Makes the state ready for another method.
fn begin(state: &mut State, stage: usize) {
    (state.stage, state.slow) = (stage, 0);
    (state.mark, state.marked) = (state.tried, state.value);
    (state.radius, state.unit) = (0.0, 0.0);
    state.roots.clear();
    (state.pairs, state.base, state.whole) = Default::default();
    state.near = 0.0;
    (state.again, state.size, state.fleeing) = (0.0, 0.0, 0);
}

/// Whether a gradient costs [`VECTORS`] times as much as L-BFGS with its pairs: so it is but for few rows.
fn is_led_by_rows(problem: &Problem) -> bool {
    let pairs = (4 * Lbfgs::default().pairs) as f64 * problem.parameters() as f64;
    problem.plan(Request::gradient()).is_ok_and(|plan| plan.flops >= VECTORS * pairs)
}

/// Whether a ridge reaches most parameters, and is not negligible beside the data.
fn is_ridged(problem: &Problem) -> bool {
    let Parts { network, data, penalty, reduction, .. } = problem.parts();
    let zero = vec![0.0; network.parameters()];
    let (Penalty::Ridge { .. } | Penalty::RidgeVec { .. }) = penalty else {
        return false;
    };
    let least = match reduction {
        Reduction::Sum => RIDGE * data.total_weight(),
        Reduction::Mean => RIDGE,
    };
    let lambda = penalty.hessian(network, &zero).map_or(Vec::new(), |hessian| hessian.diagonal);
    let reached = lambda.iter().filter(|lambda| **lambda >= least).count();
    2 * reached > zero.len()
}

/// Whether the residuals have become small, and second derivatives have not ended the fit in a window of steps.
fn is_for_squares(squares: &Squares, state: &State) -> bool {
    let window = window(squares.dim());
    is_cheap(squares)
        && is_small(squares, state)
        && state.reached.is_none()
        && state.tried >= state.mark + window
}

/// Whether little of the targets' squares is left.
fn is_small(squares: &Squares, state: &State) -> bool {
    2.0 * state.value <= SMALL * squares.size_of_targets().powi(2)
}

/// Whether the QR factorization of the Jacobian is cheap.
fn is_cheap(squares: &Squares) -> bool {
    let (rows, p) = (squares.count() as f64, squares.dim() as f64);
    rows * p.powi(2) <= CHEAP && window(squares.dim()) > 0
}

/// Whether Levenberg and Marquardt's method is slow where second derivatives may be faster. Small residuals leave little of these
/// beside JᵀJ, and on the first plateau no method is fast: there a sum that falls slowly is no sign.
fn is_slow(squares: &Squares, state: &State) -> bool {
    let begun = 2.0 * state.value < PLATEAU * squares.size_of_targets().powi(2);
    let falling_slowly = begun && !is_small(squares, state);
    state.slow > PATIENCE && (falling_slowly || state.slow < HARDLY)
}
