//! Newton's method for any function with two derivatives, and the kind of its critical points.
//!
//! ```text
//! x ← x − (∇²f(x))⁻¹ ∇f(x)
//! ```
//!
//! [`TrustRegion::minimize`](super::TrustRegion::minimize) is the method to use: it goes downhill within a region, takes
//! Newton's own steps near a minimum, and leaves saddles.
//! [`Newton::pure`] is the iteration as above, for study: it goes to any critical point.
//! [`newton_root`] solves f(x) = 0 by the same step, and [`classify`] names what was found.

use std::fmt;

use super::checks::{check_dense, check_start, check_tolerances};
use super::norm;
pub use super::report::{Evaluations, Reason};
use crate::error::{Error, Result};
use crate::guard;
use crate::memory::zeros;
use crate::solve::{eigenvalues, largest, lu_solve};

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
/// use secondo::train::TrustRegion;
/// use secondo::train::newton::TwiceDifferentiable;
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
/// let found = TrustRegion::default().minimize(&Bowl(3), &[0.0, 5.0, -2.0])?;
/// assert!(found.converged());
/// assert!(found.x.iter().all(|x| (x - 1.0).abs() < 1e-14));
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
/// use secondo::train::{TrustRegion, newton::function};
///
/// // f = x² + xy + y² − 3x has its minimum at (2, −1).
/// let f = function(
///     2,
///     |x| x[0] * x[0] + x[0] * x[1] + x[1] * x[1] - 3.0 * x[0],
///     |x, g| g.copy_from_slice(&[2.0 * x[0] + x[1] - 3.0, x[0] + 2.0 * x[1]]),
///     |_, h| h.copy_from_slice(&[2.0, 1.0, 2.0]),
/// );
/// let found = TrustRegion::default().minimize(&f, &[0.0, 0.0])?;
/// assert!((found.x[0] - 2.0).abs() + (found.x[1] + 1.0).abs() < 1e-14);
/// # Ok::<(), secondo::Error>(())
/// ```
pub fn function(
    dim: usize,
    value: impl Fn(&[f64]) -> f64,
    gradient: impl Fn(&[f64], &mut [f64]),
    hessian: impl Fn(&[f64], &mut [f64]),
) -> impl TwiceDifferentiable {
    Closures { dim, value, gradient, hessian }
}

/// A function of one variable from closures for f, f′ and f″.
///
/// ```
/// use secondo::train::{TrustRegion, newton::univariate};
///
/// // g = eˣ − ln x has its minimum where x eˣ = 1, at 0.5671…
/// let g = univariate(|x| x.exp() - x.ln(), |x| x.exp() - 1.0 / x, |x| x.exp() + x.powi(-2));
/// let exact = TrustRegion { gtol: 1e-12, ..TrustRegion::default() };
/// let found = exact.minimize(&g, &[0.05])?;
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

/// Options of Newton's iteration without any safeguard: [`pure`](Newton::pure) and [`newton_root`].
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
    /// The most steps; 0 evaluates the start and stops. Default 100.
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
}

impl Default for Newton {
    fn default() -> Self {
        Newton { max_iter: 100, gtol: 1e-8, xtol: 1e-12 }
    }
}

/// The result of an iteration of Newton's method; it always has a point.
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
        let not = if self.converged() { "" } else { "not " };
        let Evaluations { objective, gradient, curvature, .. } = self.evaluations;
        write!(
            f,
            "{not}converged after {} iterations ({}): value {:e}, gradient {:.1e}; \
             evaluations: {objective} of the value, {gradient} of the gradient, {curvature} of the Hessian",
            self.iterations, self.reason, self.value, self.gradient_norm
        )
    }
}

impl Newton {
    /// The undamped iteration, for study: it goes to saddles and maxima as well, and may diverge.
    ///
    /// ```text
    /// x⁽ᵏ⁺¹⁾ = x⁽ᵏ⁾ − (∇²f(x⁽ᵏ⁾))⁻¹ ∇f(x⁽ᵏ⁾)
    /// ```
    ///
    /// [`newton_root`] applied to ∇f; all iterates are in [`NewtonReport::path`], and f is
    /// evaluated at the last only.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::NonFinite`] for `x0`, [`Error::Invalid`] for an option, [`Error::Part`] for a panic at
    /// `x0` or of f. Everything else is a [`Reason`] in the report.
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
        let mut lower = zeros("the Hessian", d * (d + 1) / 2)?;
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
        check_tolerances(self.gtol, self.xtol, 0.0)?;
        check_start(d, x0)?;
        check_dense("a Jacobian", d)
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
    let mut matrix = zeros("the Jacobian", d * d)?;
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
    let size = if residual.iter().any(|v| v.is_nan()) { f64::NAN } else { largest(&residual) };
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

/// The kind of a critical point.
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
