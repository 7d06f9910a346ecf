//! The method that a problem's loss and size suggest.

use std::time::{Duration, Instant};

use super::levenberg_marquardt::{self, LevenbergMarquardt, Residuals};
use super::newton_cg::NewtonCg;
use super::squares::Squares;
use super::trust_region::{Goal, TrustRegion};
use super::{Fit, Method, Observer, Reason, State, Times};
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
    /// What ends second-derivative methods: max_l |g_l| ≤ gtol · max(1, max_l |g_l| at the start). Default 10⁻⁸.
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

/// [`State::stage`]: nothing yet, Levenberg–Marquardt, second derivatives.
const SQUARES: usize = 1;
const SECOND: usize = 2;

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
}

impl Method for Auto {
    fn name(&self) -> &'static str {
        "auto"
    }

    fn options(&self) -> String {
        let (curvature, gtol) = (self.curvature.name(), self.gtol);
        format!("{curvature} {gtol} {} {}", self.ftol, self.xtol)
    }

    fn resume(&self, problem: &Problem, mut state: State, observe: Observer) -> Result<Fit> {
        let clock = Instant::now();
        let p = problem.parameters();
        self.region(Duration::ZERO).check(p)?;
        // Not only when the second derivatives are reached.
        check_units(problem.network(), Some(self.curvature))?;
        state.check(&self.fingerprint(), p)?;
        // No sum of squares is no failure.
        let exact = self.curvature == Curvature::Exact;
        let squares = Squares::new(problem).ok().filter(|_| exact);
        let rows = squares.as_ref().map_or(0, Squares::count);
        let cheap = rows as f64 * (p as f64).powi(2) <= CHEAP && levenberg_marquardt::long(p) > 0;
        if state.stage == 0 {
            state.stage = match &squares {
                Some(_) if cheap => SQUARES,
                _ => SECOND,
            };
        }
        let mut choice = match (&squares, state.stage) {
            (Some(_), SQUARES) => format!(
                "Levenberg–Marquardt: a sum of {rows} squares with {p} parameters, whose Jacobian is cheap to factorize"
            ),
            _ => String::new(),
        };
        let mut spent = Times::default();
        if let (Some(squares), SQUARES) = (&squares, state.stage) {
            let method = LevenbergMarquardt {
                max_iter: self.max_iter,
                time_limit: self.time_limit,
                ..LevenbergMarquardt::default()
            };
            let mut run = levenberg_marquardt::Run::new(squares)?;
            let (reason, at) = method.run(&mut run, &mut state, PATIENCE, observe)?;
            squares.verdict(at.is_some())?;
            let account = run.account();
            if let Some(
                reason @ (Reason::Iterations | Reason::Time | Reason::Interrupted | Reason::Part),
            ) = reason
            {
                let goal = state.goal(self.gtol, true);
                let method = "Levenberg–Marquardt, the Jacobian by QR".to_string();
                let fit = Fit::new(state, run.end(reason), goal, account, method);
                return Ok(Fit {
                    choice: Some(choice),
                    ..fit
                });
            }
            // Where f64 does not resolve the sum any more, it may still resolve the gradient.
            let within = state.gradient_norm <= state.goal(self.gtol, true);
            state.reached = reason.filter(|r| r.converged() && within);
            choice += match reason {
                Some(_) if state.reached.is_some() => {
                    "; then the exact Hessian, which is asked for negative curvature"
                }
                Some(reason) if reason.converged() => {
                    "; then the exact Hessian, since f64 resolved the sum no further"
                }
                Some(_) => "; then the exact Hessian, since no step reduced the sum any more",
                None => {
                    "; then the exact Hessian, since the sum fell slowly or many steps were tried"
                }
            };
            spent = account.times;
            (state.stage, state.slow) = (SECOND, 0);
            (state.radius, state.unit) = (0.0, 0.0);
            state.roots.clear();
        } else if squares.is_some() && cheap {
            choice = "Levenberg–Marquardt before; now the exact Hessian".into();
        }
        let region = TrustRegion {
            // A sum of squares may have parameters of any units; where the others come from networks, inputs are scaled, and
            // a D that only grows holds the steps back.
            scaling: squares.is_none().then(|| vec![1.0; p]),
            ..self.region(clock.elapsed())
        };
        let goal = match squares.is_some() {
            true => Goal::Polished,
            false => Goal::Relative,
        };
        let (mut fit, second) = if p <= FORMED {
            let why = format!("trust-region Newton with the whole matrix: {p} parameters are few");
            (region.fit_problem(problem, state, goal, observe)?, why)
        } else {
            let method = NewtonCg {
                region,
                ..NewtonCg::default()
            };
            let why = format!(
                "Newton with conjugate gradients: {p} parameters are many, and the matrix is not formed"
            );
            (method.fit_problem(problem, state, goal, observe)?, why)
        };
        fit.times.objective += spent.objective;
        fit.times.curvature += spent.curvature;
        fit.times.solve += spent.solve;
        let ended = fit.converged() || fit.reason == Reason::Stalled;
        if ended && fit.gradient_norm <= fit.gradient_goal {
            fit.reason = Reason::Gradient;
        }
        fit.choice = Some(match choice.is_empty() {
            true => second,
            false => choice,
        });
        Ok(fit)
    }
}
