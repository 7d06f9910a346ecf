//! The method that a problem's loss and size suggest.

use std::time::{Duration, Instant};

use super::minimize::{End, minimize};
use super::residuals::SumOfSquares;
use super::settings::{Settings, settings};
use super::squares::Squares;
use super::trust_region::Goal;
use super::{Control, Fit, LevenbergMarquardt, Method, NewtonCg, Observer, Progress, Reason};
use super::{State, TrustRegion};
use crate::curvature::Curvature;
use crate::error::Result;
use crate::evaluate::check_units;
use crate::problem::Problem;

/// Up to this many parameters a factorization costs less than the products that it saves.
const FORMED: usize = 500;
/// Up to this many multiplications the QR factorization of a Jacobian is cheap.
const CHEAP: f64 = 5e8;
/// How many of Gauss and Newton's own steps in a row may be slow.
const PATIENCE: usize = 3;

/// [`State::stage`]: at 0 nothing is chosen yet, these are Levenberg–Marquardt and second derivatives.
const SQUARES: usize = 1;
const SECOND: usize = 2;

/// The method that a problem's loss and size suggest; [`Fit::choice`] says which, and why.
///
/// Sums of squares whose Jacobian is cheap to factorize, m·P² ≤ 5·10⁸, start with [`LevenbergMarquardt`], whose path does not
/// depend on units; where Gauss and Newton's steps are slow, since residuals stay large or the Jacobian is singular, or 2000/P steps have been tried, it goes
/// on with second derivatives, as it does where the sum falls no further in f64 but the gradient is above `gtol`. These are
/// [`TrustRegion`] with the exact Hessian for up to 500 parameters, and above that [`NewtonCg`] with row blocks as
/// preconditioner. Where Levenberg and Marquardt's method converged, the exact Hessian is asked once whether it is a minimum, and
/// a saddle is left.
///
/// A sum of squares ends where f64 does not resolve more, or with the gradient within `gtol` and no longer falling by ten
/// from step to step; other losses end with the gradient within `gtol`. An end within `gtol` is reported as such.
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
    /// The most steps to try, accepted or not; 0 evaluates the start and stops. Default 1000.
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
        let squares = self.squares(problem);
        let cheap = squares.as_ref().is_some_and(is_cheap);
        if state.stage == 0 {
            state.stage = if cheap { SQUARES } else { SECOND };
        }
        let mut first = None;
        if let (Some(squares), SQUARES) = (&squares, state.stage) {
            let fit = self.fit_squares(squares, &mut state, &mut *observe)?;
            if state.stage == SQUARES {
                return Ok(fit);
            }
            first = Some(fit);
        }
        let sum = squares.is_some();
        let mut fit = self.fit_second(problem, sum, state, clock.elapsed(), observe)?;
        if let Some(first) = first {
            fit.times.objective += first.times.objective;
            fit.times.curvature += first.times.curvature;
            fit.times.solve += first.times.solve;
            fit.choice = first.choice;
        } else if cheap {
            fit.choice = Some("Levenberg–Marquardt before; now the exact Hessian".into());
        }
        Ok(fit)
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

    /// The problem as a sum of squares, if it is one and no other curvature is asked for.
    fn squares<'a>(&self, problem: &'a Problem) -> Option<Squares<'a>> {
        if self.curvature == Curvature::Exact { Squares::new(problem).ok() } else { None }
    }

    /// Fits by Levenberg and Marquardt's method, from the start or from where `state` was left; where second derivatives
    /// are to go on, `state` is ready for them.
    fn fit_squares(&self, squares: &Squares, state: &mut State, observe: Observer) -> Result<Fit> {
        use Reason::{Interrupted, Iterations, Part, Time};
        let method = LevenbergMarquardt {
            max_iter: self.max_iter,
            time_limit: self.time_limit,
            ..LevenbergMarquardt::default()
        };
        let mut model = method.model(squares, state)?;
        let mut choice = format!(
            "Levenberg–Marquardt: a sum of {} squares with {} parameters, whose Jacobian is cheap to factorize",
            squares.count(),
            squares.dim()
        );
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
        let mut fit = model.fit(end, state.clone(), state.goal(self.gtol));
        if slow && reason == Interrupted {
            choice += self.leave_squares(state, None);
        } else if !matches!(reason, Interrupted | Iterations | Part | Time) {
            choice += self.leave_squares(state, Some(reason));
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
        (state.stage, state.slow) = (SECOND, 0);
        (state.radius, state.unit) = (0.0, 0.0);
        state.roots.clear();
        match reason {
            Some(_) if state.reached.is_some() => {
                "; then the exact Hessian, which is asked for negative curvature"
            }
            Some(reason) if reason.converged() => {
                "; then the exact Hessian, since f64 resolved the sum no further"
            }
            Some(_) => "; then the exact Hessian, since no step reduced the sum any more",
            None => "; then the exact Hessian, since the sum fell slowly or many steps were tried",
        }
    }

    /// Fits with second derivatives after so much time; of a sum of squares down to where f64 resolves no more.
    fn fit_second(
        &self,
        problem: &Problem,
        sum: bool,
        state: State,
        used: Duration,
        observe: Observer,
    ) -> Result<Fit> {
        let p = problem.parameters();
        let region = TrustRegion {
            // A sum of squares may have parameters of any units; where the others come from networks, inputs are scaled, and
            // a D that only grows holds the steps back.
            scaling: (!sum).then(|| vec![1.0; p]),
            ..self.region(used)
        };
        let goal = if sum { Goal::Polished } else { Goal::Relative };
        let (mut fit, choice) = if p <= FORMED {
            let why = format!("trust-region Newton with the whole matrix: {p} parameters are few");
            (region.fit_problem(problem, state, goal, observe)?, why)
        } else {
            let method = NewtonCg { region, ..NewtonCg::default() };
            let why = format!(
                "Newton with conjugate gradients: {p} parameters are many, and the matrix is not formed"
            );
            (method.fit_problem(problem, state, goal, observe)?, why)
        };
        let ended = fit.converged() || fit.reason == Reason::Stalled;
        if ended && fit.gradient_norm <= fit.gradient_goal {
            fit.reason = Reason::Gradient;
        }
        fit.choice = Some(choice);
        Ok(fit)
    }
}

/// Whether the QR factorization of the Jacobian is cheap.
fn is_cheap(squares: &Squares) -> bool {
    let (rows, p) = (squares.count() as f64, squares.dim() as f64);
    rows * p.powi(2) <= CHEAP && many(squares.dim()) > 0
}

/// Whether Levenberg and Marquardt's method falls slowly, or many steps were tried.
fn is_slow(state: &State) -> bool {
    state.slow > PATIENCE || state.tried >= many(state.x.len())
}

/// After how many steps with p parameters it goes on with second derivatives: many where they cost nothing.
fn many(p: usize) -> usize {
    2000 / p.max(1)
}
