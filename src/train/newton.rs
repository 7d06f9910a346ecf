//! Newton's method for any function with two derivatives, and the kind of its critical points.
//!
//! ```text
//! x ← x − (∇²f(x))⁻¹ ∇f(x)
//! ```
//!
//! [`Newton::minimize`] is the method to use: damped, it goes downhill and leaves saddles.
//! [`Newton::pure`] is the iteration as above, for study: it goes to any critical point.
//! [`newton_root`] solves f(x) = 0 by the same step, and [`classify`] names what was found.

use std::fmt;

use super::objective::{Objective, Plain, negative_curvature};
pub use super::{Evaluations, Reason};
use super::{check_start, check_tolerances, norm};
use crate::error::{Error, Result};
use crate::guard;
use crate::solve::{Factor, Indefinite, U, dot, eigenvalues, largest, lu_solve, quadratic_form};

/// A function with two derivatives.
///
/// ```text
/// f: ℝᵈ → ℝ,   ∇f_a = ∂f/∂x_a,   ∇²f_ab = ∂²f/∂x_a∂x_b
/// ```
///
/// `x` and the gradient have d numbers; the Hessian is the packed lower triangle, entry (a, b),
/// a ≥ b, at a(a+1)/2 + b, d(d+1)/2 numbers. Where f is not defined, return NaN: the minimiser
/// rejects such a step; a panic ends it at its best point. For closures there are [`function`] and, for one variable, [`univariate`].
///
/// Source: Nocedal and Wright, *Numerical Optimization*, 2nd ed., ch. 2.
///
/// ```
/// use secondo::train::newton::{Newton, TwiceDifferentiable};
///
/// /// Σ_a (a + 1)(x_a − 1)²
/// struct Bowl(usize);
///
/// impl TwiceDifferentiable for Bowl {
///     fn dim(&self) -> usize {
///         self.0
///     }
///     fn value(&self, x: &[f64]) -> f64 {
///         (1..).zip(x).map(|(k, x)| f64::from(k) * (x - 1.0).powi(2)).sum()
///     }
///     fn gradient(&self, x: &[f64], out: &mut [f64]) {
///         for (a, x) in x.iter().enumerate() {
///             out[a] = 2.0 * (a + 1) as f64 * (x - 1.0);
///         }
///     }
///     fn hessian(&self, _: &[f64], out: &mut [f64]) {
///         out.fill(0.0);
///         for a in 0..self.0 {
///             out[a * (a + 1) / 2 + a] = 2.0 * (a + 1) as f64;
///         }
///     }
/// }
///
/// let found = Newton::default().minimize(&Bowl(3), &[0.0, 5.0, -2.0])?;
/// assert!(found.converged());
/// assert!(found.x.iter().all(|x| (x - 1.0).abs() < 1e-15));
/// # Ok::<(), secondo::Error>(())
/// ```
pub trait TwiceDifferentiable {
    /// The number of variables d.
    fn dim(&self) -> usize;
    /// f(x).
    fn value(&self, x: &[f64]) -> f64;
    /// Writes ∇f(x) to `out`, d numbers.
    fn gradient(&self, x: &[f64], out: &mut [f64]);
    /// Writes the lower triangle of ∇²f(x) to `out`, d(d+1)/2 numbers.
    fn hessian(&self, x: &[f64], out: &mut [f64]);
}

struct Closures<F, G, H> {
    dim: usize,
    value: F,
    gradient: G,
    hessian: H,
}

impl<F, G, H> TwiceDifferentiable for Closures<F, G, H>
where
    F: Fn(&[f64]) -> f64,
    G: Fn(&[f64], &mut [f64]),
    H: Fn(&[f64], &mut [f64]),
{
    fn dim(&self) -> usize {
        self.dim
    }
    fn value(&self, x: &[f64]) -> f64 {
        (self.value)(x)
    }
    fn gradient(&self, x: &[f64], out: &mut [f64]) {
        (self.gradient)(x, out);
    }
    fn hessian(&self, x: &[f64], out: &mut [f64]) {
        (self.hessian)(x, out);
    }
}

/// A function of `dim` variables from closures for f, ∇f and the packed ∇²f.
///
/// ```
/// use secondo::train::newton::{Newton, function};
///
/// // f = x² + xy + y² − 3x has its minimum at (2, −1).
/// let f = function(
///     2,
///     |x| x[0] * x[0] + x[0] * x[1] + x[1] * x[1] - 3.0 * x[0],
///     |x, g| g.copy_from_slice(&[2.0 * x[0] + x[1] - 3.0, x[0] + 2.0 * x[1]]),
///     |_, h| h.copy_from_slice(&[2.0, 1.0, 2.0]),
/// );
/// let found = Newton::default().minimize(&f, &[0.0, 0.0])?;
/// assert!((found.x[0] - 2.0).abs() + (found.x[1] + 1.0).abs() < 1e-14);
/// # Ok::<(), secondo::Error>(())
/// ```
pub fn function(
    dim: usize,
    value: impl Fn(&[f64]) -> f64,
    gradient: impl Fn(&[f64], &mut [f64]),
    hessian: impl Fn(&[f64], &mut [f64]),
) -> impl TwiceDifferentiable {
    Closures {
        dim,
        value,
        gradient,
        hessian,
    }
}

/// A function of one variable from closures for f, f′ and f″.
///
/// ```
/// use secondo::train::newton::{Newton, univariate};
///
/// // g = eˣ − ln x has its minimum where x eˣ = 1, at 0.5671…
/// let g = univariate(|x| x.exp() - x.ln(), |x| x.exp() - 1.0 / x, |x| x.exp() + x.powi(-2));
/// let found = Newton::default().minimize(&g, &[0.05])?;
/// assert!((found.x[0] - 0.567143290409784).abs() < 1e-14);
/// # Ok::<(), secondo::Error>(())
/// ```
pub fn univariate(
    value: impl Fn(f64) -> f64,
    first: impl Fn(f64) -> f64,
    second: impl Fn(f64) -> f64,
) -> impl TwiceDifferentiable {
    function(
        1,
        move |x| value(x[0]),
        move |x, g| g[0] = first(x[0]),
        move |x, h| h[0] = second(x[0]),
    )
}

/// Options of Newton's method.
///
/// The tolerances are ≥ 0; with 0 the test succeeds only where it cannot get better.
///
/// ```
/// use secondo::train::newton::Newton;
///
/// let options = Newton { max_iter: 8, gtol: 0.0, ..Newton::default() };
/// assert_eq!(options.xtol, 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Newton {
    /// The most steps to try, accepted or not; 0 evaluates the start and stops. Default 100.
    pub max_iter: usize,
    /// Stops where the gradient (of a root: the residual) is small. Default 10⁻⁸.
    ///
    /// ```text
    /// max_a |∂f/∂x_a| ≤ gtol
    /// ```
    pub gtol: f64,
    /// Stops after a small step p. Default 10⁻¹².
    ///
    /// ```text
    /// ‖p‖₂ ≤ xtol · (‖x‖₂ + xtol)
    /// ```
    pub xtol: f64,
    /// Stops after a step by which f fell little, as its model had predicted. Default 10⁻¹⁵.
    ///
    /// ```text
    /// predicted ≤ ftol · |f|   and   |actual| ≤ ftol · |f|
    /// ```
    pub ftol: f64,
    /// What `minimize` does where the Hessian is not positive definite. Default `Absolute`.
    pub indefinite: Indefinite,
}

impl Default for Newton {
    fn default() -> Self {
        Newton {
            max_iter: 100,
            gtol: 1e-8,
            xtol: 1e-12,
            ftol: 1e-15,
            indefinite: Indefinite::Absolute,
        }
    }
}

/// What an iteration of Newton's method found; it always has a point.
///
/// `Display` puts it into a sentence.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NewtonReport {
    /// Why it ended.
    pub reason: Reason,
    /// The message of the function's panic, if one ended it.
    pub fault: Option<String>,
    /// The last accepted point; of `minimize`, the best.
    pub x: Vec<f64>,
    /// f(x); of a root, ‖f(x)‖∞.
    pub value: f64,
    /// ‖∇f(x)‖∞; of a root, ‖f(x)‖∞.
    pub gradient_norm: f64,
    /// Steps that were tried, accepted or not.
    pub iterations: usize,
    /// Evaluations by kind.
    pub evaluations: Evaluations,
    /// x⁽⁰⁾, x⁽¹⁾, …: the start and every accepted point.
    pub path: Vec<Vec<f64>>,
}

impl NewtonReport {
    /// Whether a tolerance was met ([`Reason::converged`]).
    ///
    /// This is no proof of a minimum: the Hessian may be singular there ([`classify`] says so), and
    /// `pure` converges to saddles and maxima as well.
    pub fn converged(&self) -> bool {
        self.reason.converged()
    }
}

impl fmt::Display for NewtonReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.converged() {
            true => "converged",
            false => "not converged",
        };
        let Evaluations {
            objective,
            gradient,
            curvature,
            ..
        } = self.evaluations;
        write!(
            f,
            "{verdict} after {} iterations ({}): value {:e}, gradient {:.1e}; \
             evaluations: {objective} of the value, {gradient} of the gradient, {curvature} of the Hessian",
            self.iterations, self.reason, self.value, self.gradient_norm
        )
    }
}

impl Newton {
    /// Minimises f from `x0` by damped Newton steps.
    ///
    /// ```text
    /// p = −(B̃ + μI)⁻¹ g,   ρ = (f(x) − f(x + p)) / (−gᵀp − ½pᵀBp)
    /// ```
    ///
    /// g and B are gradient and Hessian, and B̃ is B made positive definite by
    /// [`Newton::indefinite`], so that p is downhill. A step with gain ratio ρ > 10⁻⁴ is accepted;
    /// μ, 0 at first, falls to an eighth, and at last to 0, where ρ > 0.75, and rises to at least
    /// −gᵀp/‖p‖² where ρ < 0.25. Near a positive definite minimum the steps are Newton's own. Once
    /// the predicted reduction is below the rounding of f, a step is accepted if f is unchanged but
    /// for rounding and the gradient is smaller.
    ///
    /// `xtol` and `ftol` are tested after steps of which damping did not take half or more. No test
    /// of convergence succeeds where the Hessian has an eigenvalue λ < −20·d·u·max|λ_i|, u = 2⁻⁵³:
    /// f is then reduced along its eigenvector, and the iteration goes on. A point with a value,
    /// gradient or Hessian that is not finite is rejected like one that does not reduce f.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::NonFinite`] for `x0`, [`Error::Invalid`] for an option, [`Error::Part`] for a panic at
    /// `x0`. Everything else is a [`Reason`] in the report.
    ///
    /// Source: Nocedal and Wright, *Numerical Optimization*, 2nd ed., §3.4 and ch. 4; the rule for μ
    /// follows Nielsen, report IMM-REP-1999-05.
    ///
    /// ```
    /// use secondo::train::newton::{Newton, function};
    ///
    /// // x² − y² + y⁴: minima at (0, ±1/√2), a saddle at (0, 0) on the way from (1, 0).
    /// let f = function(
    ///     2,
    ///     |x| x[0] * x[0] - x[1] * x[1] + x[1].powi(4),
    ///     |x, g| g.copy_from_slice(&[2.0 * x[0], -2.0 * x[1] + 4.0 * x[1].powi(3)]),
    ///     |x, h| h.copy_from_slice(&[2.0, 0.0, -2.0 + 12.0 * x[1] * x[1]]),
    /// );
    /// let found = Newton::default().minimize(&f, &[1.0, 0.0])?;
    /// assert!(found.converged());
    /// assert!((found.value + 0.25).abs() < 1e-15);
    /// assert_eq!(Newton::default().pure(&f, &[1.0, 0.0])?.x, [0.0, 0.0]);
    /// # Ok::<(), secondo::Error>(())
    /// ```
    pub fn minimize(
        &self,
        f: &(impl TwiceDifferentiable + ?Sized),
        x0: &[f64],
    ) -> Result<NewtonReport> {
        self.check(f.dim(), x0)?;
        let mut run = Run::new(f, x0);
        let start = run.value(x0.to_vec());
        let value = start.value;
        let Some(mut at) = run.derive(start) else {
            return match run.fault.take() {
                Some(fault) => Err(fault),
                None => Ok(run.report(Reason::NonFinite, x0.to_vec(), value, f64::NAN)),
            };
        };
        let (mut mu, mut growth) = (0.0, 4.0);
        let mut done = (at.gradient_norm() <= self.gtol).then_some(Reason::Gradient);
        let reason = 'points: loop {
            if let Some(reason) = done {
                // Stationary, or as good as: leave it if f curves downwards.
                let Some((curvature, direction)) = negative_curvature(&at.hessian, &at.gradient, U)
                else {
                    break reason;
                };
                if run.iterations == self.max_iter {
                    break Reason::Iterations;
                }
                run.iterations += 1;
                let Some(lower) = self.descend(&mut run, &at, curvature, &direction) else {
                    break match run.fault {
                        Some(_) => Reason::Part,
                        None => Reason::Indefinite,
                    };
                };
                at = lower;
                run.path.push(at.x.clone());
                done = (at.gradient_norm() <= self.gtol).then_some(Reason::Gradient);
                continue;
            }
            let Ok(factor) = Factor::new(&at.hessian, at.x.len(), self.indefinite) else {
                break Reason::Stalled;
            };
            let g = norm(&at.gradient);
            let mut settled = false;
            let (next, reached) = loop {
                if run.iterations == self.max_iter {
                    break 'points Reason::Iterations;
                }
                run.iterations += 1;
                let mut p: Vec<f64> = at.gradient.iter().map(|g| -g).collect();
                if factor.solve(mu, &mut p).is_err() {
                    // The step is beyond the range of f64: ask for one as long as x.
                    mu = (growth * mu).max(g / (1.0 + norm(&at.x)));
                    growth *= 2.0;
                    continue;
                }
                let length = norm(&p);
                let short = length <= self.xtol * (norm(&at.x) + self.xtol);
                let downhill = -dot(&at.gradient, &p);
                let predicted = downhill - 0.5 * quadratic_form(&at.hessian, &p);
                // Curvature of the model along p: as much again about halves the step.
                let along = downhill / length / length;
                // A step that damping has made short says nothing about convergence.
                let damped = mu > 0.5 * along;
                let x = at.x.iter().zip(&p).map(|(x, p)| x + p).collect();
                let trial = run.value(x);
                let finite = trial.value.is_finite();
                // NaN where f is, and no comparison with it holds.
                let actual = at.value - trial.value;
                let gain = actual / predicted;
                // Differences below this are rounding errors of f.
                let rounding = 16.0 * U * at.value.abs();
                let level = predicted <= rounding && actual.abs() <= rounding;
                settled |= predicted <= rounding && !damped;
                let candidate = (gain > 1e-4 || level).then(|| run.derive(trial)).flatten();
                if run.fault.is_some() {
                    break 'points Reason::Part;
                }
                let next = candidate.filter(|n| gain > 1e-4 || norm(&n.gradient) < g);
                if next.is_some() && gain > 0.75 {
                    // Below this μ no longer slows the last steps.
                    mu = if mu > 1e-6 * along { mu / 8.0 } else { 0.0 };
                } else if next.is_none() || (gain < 0.25 && !level) {
                    mu = (growth * mu).max(along);
                    growth *= 2.0;
                }
                if let Some(next) = next {
                    growth = 4.0;
                    let small = self.ftol * at.value.abs();
                    let reached = if next.gradient_norm() <= self.gtol {
                        Some(Reason::Gradient)
                    } else if damped {
                        None
                    } else if short {
                        Some(Reason::Step)
                    } else if predicted <= small && actual.abs() <= small {
                        Some(Reason::Function)
                    } else {
                        None
                    };
                    break (next, reached);
                }
                if level && settled {
                    // Neither f nor the gradient can be improved in f64.
                    done = Some(Reason::Function);
                    continue 'points;
                }
                if level {
                    break 'points Reason::Stalled;
                }
                if short || length <= U * norm(&at.x) {
                    break 'points if finite {
                        Reason::Stalled
                    } else {
                        Reason::NonFinite
                    };
                }
            };
            at = next;
            run.path.push(at.x.clone());
            done = reached;
        };
        let g = at.gradient_norm();
        Ok(run.report(reason, at.x, at.value, g))
    }

    /// Reduces f along ±`direction`, an eigenvector with eigenvalue `curvature` < 0.
    ///
    /// The steps α = max(1, ‖x‖), α/2, α/4, … are tried until f falls by a quarter of ½α²|λ|.
    fn descend<F: TwiceDifferentiable + ?Sized>(
        &self,
        run: &mut Run<'_, F>,
        at: &Point,
        curvature: f64,
        direction: &[f64],
    ) -> Option<Point> {
        let size = norm(&at.x);
        let mut alpha = size.max(1.0);
        while alpha > self.xtol.max(U) * (size + self.xtol.max(U)) {
            for signed in [alpha, -alpha] {
                let x = (at.x.iter().zip(direction)).map(|(x, v)| x + signed * v);
                let trial = run.value(x.collect());
                let enough = at.value + 0.125 * alpha * alpha * curvature;
                let lower = trial.value <= enough && trial.value < at.value;
                if let Some(point) = lower.then(|| run.derive(trial)).flatten() {
                    return Some(point);
                }
                if run.fault.is_some() {
                    return None;
                }
            }
            alpha *= 0.5;
        }
        None
    }

    /// The undamped iteration, for study: it goes to saddles and maxima as well, and may diverge.
    ///
    /// ```text
    /// x⁽ᵏ⁺¹⁾ = x⁽ᵏ⁾ − (∇²f(x⁽ᵏ⁾))⁻¹ ∇f(x⁽ᵏ⁾)
    /// ```
    ///
    /// [`newton_root`] applied to ∇f; all iterates are in [`NewtonReport::path`], and f is
    /// evaluated at the last only. `ftol` and `indefinite` have no part in it.
    ///
    /// # Errors
    /// those of [`Newton::minimize`].
    ///
    /// Source: Nocedal and Wright, *Numerical Optimization*, 2nd ed., §3.3.
    ///
    /// ```
    /// use secondo::train::newton::{Newton, Reason, univariate};
    ///
    /// // −x² has a maximum at 0, and that is where pure Newton goes, in one step.
    /// let f = univariate(|x| -x * x, |x| -2.0 * x, |_| -2.0);
    /// let found = Newton::default().pure(&f, &[3.0])?;
    /// assert_eq!((found.x[0], found.reason), (0.0, Reason::Gradient));
    /// assert_eq!(found.path, [[3.0], [0.0]]);
    /// # Ok::<(), secondo::Error>(())
    /// ```
    pub fn pure(
        &self,
        f: &(impl TwiceDifferentiable + ?Sized),
        x0: &[f64],
    ) -> Result<NewtonReport> {
        let d = f.dim();
        // For the length of x0, before anything of order d is made.
        self.check(d, x0)?;
        let mut lower = vec![0.0; d * (d + 1) / 2];
        let hessian = |x: &[f64], out: &mut [f64]| {
            f.hessian(x, &mut lower);
            for a in 0..d {
                for b in 0..=a {
                    out[a * d + b] = lower[a * (a + 1) / 2 + b];
                    out[b * d + a] = out[a * d + b];
                }
            }
        };
        let mut report = newton_root(|x, g| f.gradient(x, g), hessian, x0, self)?;
        report.value = guard::call("function", "f", || f.value(&report.x))?;
        report.evaluations.objective = 1;
        Ok(report)
    }

    fn check(&self, d: usize, x0: &[f64]) -> Result<()> {
        check_tolerances(self.gtol, self.xtol, self.ftol)?;
        check_start(d, x0)
    }
}

/// Solves f(x) = 0, one equation or d equations in d unknowns, by Newton's method.
///
/// ```text
/// x⁽ᵏ⁺¹⁾ = x⁽ᵏ⁾ − J(x⁽ᵏ⁾)⁻¹ f(x⁽ᵏ⁾),   J_ab = ∂f_a/∂x_b
/// ```
///
/// `f(x, out)` writes d numbers and `jacobian(x, out)` d², row-major, J_ab at a·d + b. It ends where
/// ‖f‖∞ ≤ `gtol` or the step is within `xtol`; the steps are neither damped nor chosen, so start
/// near a root. A singular J ends it with [`Reason::Singular`], a point where f or J is not finite with
/// [`Reason::NonFinite`]; the report then has the last good point.
///
/// # Errors
/// [`Error::NonFinite`] for `x0`, [`Error::Invalid`] for an option, [`Error::Part`] for a panic at `x0`.
///
/// Source: Nocedal and Wright, *Numerical Optimization*, 2nd ed., §11.1; Dennis and Schnabel,
/// *Numerical Methods for Unconstrained Optimization and Nonlinear Equations*, §5.1.
///
/// ```
/// use secondo::train::newton::{Newton, newton_root};
///
/// let root = newton_root(
///     |x, f| f[0] = x[0] * x[0] - 2.0,
///     |x, j| j[0] = 2.0 * x[0],
///     &[1.0],
///     &Newton::default(),
/// )?;
/// assert!(root.converged());
/// assert_eq!(root.path[1], [1.5]);
/// assert!((root.x[0] - 2.0_f64.sqrt()).abs() < 1e-11);
/// # Ok::<(), secondo::Error>(())
/// ```
pub fn newton_root(
    mut f: impl FnMut(&[f64], &mut [f64]),
    mut jacobian: impl FnMut(&[f64], &mut [f64]),
    x0: &[f64],
    options: &Newton,
) -> Result<NewtonReport> {
    let d = x0.len();
    options.check(d, x0)?;
    let mut x = x0.to_vec();
    let mut residual = vec![0.0; d];
    let mut matrix = vec![0.0; d * d];
    let mut evaluations = Evaluations::default();
    let mut path = vec![x.clone()];
    let mut iterations = 0;
    let mut short = false;
    guard::call("function", "f", || f(&x, &mut residual))?;
    evaluations.gradient += 1;
    let mut fault = None;
    let reason = loop {
        if residual.iter().any(|v| !v.is_finite()) {
            break Reason::NonFinite;
        }
        if largest(&residual) <= options.gtol {
            break Reason::Gradient;
        }
        if short {
            break Reason::Step;
        }
        if iterations == options.max_iter {
            break Reason::Iterations;
        }
        fault = guard::call("function", "J", || jacobian(&x, &mut matrix)).err();
        if fault.is_some() {
            break Reason::Part;
        }
        evaluations.curvature += 1;
        if matrix.iter().any(|v| !v.is_finite()) {
            break Reason::NonFinite;
        }
        iterations += 1;
        let mut step = residual.clone();
        if !lu_solve(&mut matrix, d, &mut step) {
            break Reason::Singular;
        }
        let next: Vec<f64> = x.iter().zip(&step).map(|(x, s)| x - s).collect();
        if next.iter().any(|v| !v.is_finite()) {
            break Reason::NonFinite;
        }
        let mut new = vec![0.0; d];
        fault = guard::call("function", "f", || f(&next, &mut new)).err();
        if fault.is_some() {
            break Reason::Part;
        }
        evaluations.gradient += 1;
        if new.iter().any(|v| !v.is_finite()) {
            break Reason::NonFinite;
        }
        short = norm(&step) <= options.xtol * (norm(&x) + options.xtol);
        (x, residual) = (next, new);
        path.push(x.clone());
    };
    let size = match residual.iter().any(|v| v.is_nan()) {
        true => f64::NAN,
        false => largest(&residual),
    };
    Ok(NewtonReport {
        reason,
        fault: fault.map(|e| e.to_string()),
        x,
        value: size,
        gradient_norm: size,
        iterations,
        evaluations,
        path,
    })
}

/// What kind of critical point the Hessian says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CriticalKind {
    /// All eigenvalues are positive.
    Minimum,
    /// All eigenvalues are negative.
    Maximum,
    /// There are eigenvalues of both signs.
    Saddle,
    /// Some are zero to tolerance and no two have opposite signs: second derivatives do not tell.
    Inconclusive,
}

impl fmt::Display for CriticalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CriticalKind::Minimum => "minimum",
            CriticalKind::Maximum => "maximum",
            CriticalKind::Saddle => "saddle",
            CriticalKind::Inconclusive => "inconclusive",
        })
    }
}

/// The kind of a critical point, with the eigenvalues that say so.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Critical {
    /// Its kind.
    pub kind: CriticalKind,
    /// The eigenvalues of the Hessian, ascending.
    pub eigenvalues: Vec<f64>,
}

/// The kind of a critical point by the eigenvalues of its Hessian.
///
/// ```text
/// t = tol · max_i |λ_i|;   all λ_i > t: minimum;   all λ_i < −t: maximum;
/// some λ_i > t and some λ_j < −t: saddle;   otherwise: inconclusive
/// ```
///
/// `hessian` is the packed lower triangle of order `d`; 10⁻¹⁰ is a usual tolerance. That the gradient
/// is 0 is for the caller to know. A zero matrix, and order 0, are inconclusive.
///
/// # Errors
/// [`Error::Shape`], [`Error::NonFinite`], [`Error::Invalid`] for a tolerance outside [0, 1).
///
/// Source: Magnus and Neudecker, *Matrix Differential Calculus*, ch. 7.
///
/// ```
/// use secondo::train::newton::{CriticalKind, classify};
///
/// // 2x² − 2y² at (0, 0).
/// let point = classify(&[4.0, 0.0, -4.0], 2, 1e-10)?;
/// assert_eq!(point.kind, CriticalKind::Saddle);
/// assert_eq!(point.eigenvalues, [-4.0, 4.0]);
/// # Ok::<(), secondo::Error>(())
/// ```
pub fn classify(hessian: &[f64], d: usize, tol: f64) -> Result<Critical> {
    if !(0.0..1.0).contains(&tol) {
        return Err(Error::invalid("tol", format!("{tol} is not in [0, 1)")));
    }
    let eigenvalues = eigenvalues(hessian, d)?;
    let zero = tol * largest(&eigenvalues);
    let positive = eigenvalues.iter().filter(|&&v| v > zero).count();
    let negative = eigenvalues.iter().filter(|&&v| v < -zero).count();
    let kind = match (positive, negative) {
        (0, 0) => CriticalKind::Inconclusive,
        (1.., 1..) => CriticalKind::Saddle,
        (p, _) if p == d => CriticalKind::Minimum,
        (_, n) if n == d => CriticalKind::Maximum,
        _ => CriticalKind::Inconclusive,
    };
    Ok(Critical { kind, eigenvalues })
}

/// A point where f, gradient and Hessian are finite.
struct Point {
    x: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
    hessian: Vec<f64>,
}

impl Point {
    fn gradient_norm(&self) -> f64 {
        largest(&self.gradient)
    }
}

/// A point where only f is known; it may be NaN.
struct Trial {
    x: Vec<f64>,
    value: f64,
}

/// The function, and what has been counted so far.
struct Run<'a, F: ?Sized> {
    f: Plain<'a, F>,
    /// The panic of f.
    fault: Option<Error>,
    iterations: usize,
    path: Vec<Vec<f64>>,
}

impl<'a, F: TwiceDifferentiable + ?Sized> Run<'a, F> {
    fn new(f: &'a F, x0: &[f64]) -> Self {
        Run {
            f: Plain::new(f),
            fault: None,
            iterations: 0,
            path: vec![x0.to_vec()],
        }
    }

    /// f(x); NaN for an x that has overflowed.
    fn value(&mut self, x: Vec<f64>) -> Trial {
        let value = self.f.value(&x);
        let value = self.noted(value).unwrap_or(f64::NAN);
        Trial { x, value }
    }

    /// The derivatives, if they and f are finite.
    fn derive(&mut self, trial: Trial) -> Option<Point> {
        let Trial { x, value } = trial;
        let local = self.f.derive(&x, Some(value));
        let local = self.noted(local)?;
        Some(Point {
            x,
            value,
            gradient: local.gradient,
            hessian: local.model.lower,
        })
    }

    /// What was computed; a panic is kept.
    fn noted<T>(&mut self, done: Result<T>) -> Option<T> {
        match done {
            Ok(done) => return Some(done),
            Err(fault @ Error::Part { .. }) => self.fault = Some(fault),
            Err(_) => {}
        }
        None
    }

    fn report(
        mut self,
        reason: Reason,
        x: Vec<f64>,
        value: f64,
        gradient_norm: f64,
    ) -> NewtonReport {
        NewtonReport {
            reason,
            fault: self.fault.as_ref().map(Error::to_string),
            x,
            value,
            gradient_norm,
            iterations: self.iterations,
            evaluations: *self.f.evaluations(),
            path: self.path,
        }
    }
}
