//! A dense trust-region Newton method.

use super::newton::{NewtonReport, Run, TwiceDifferentiable, negative_curvature};
use super::{Reason, check_radius, check_start, check_tolerances, norm, without_zeros};
use crate::error::{Error, Result};
use crate::solve::{U, trust_region};

/// Newton's method within a trust region, for any function with two derivatives.
///
/// ```text
/// min gᵀp + ½pᵀBp,   ‖Dp‖ ≤ Δ,   ρ = (f(x) − f(x + p)) / (−gᵀp − ½pᵀBp)
/// ```
///
/// g and B are gradient and Hessian, signs of curvature included: [`trust_region`] finds the minimum near-exactly, so
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
    /// Stops where max_a |∂f/∂x_a| ≤ gtol. Default 10⁻⁸.
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
        }
    }
}

/// How near to the boundary a step must end; λ is exact for the length that it gets.
const PRECISION: f64 = 0.1;

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
        self.check(f.dim(), x0)?;
        let mut run = Run::new(f, x0);
        let start = run.value(x0.to_vec());
        let value = start.value;
        let Some(mut at) = run.derive(start) else {
            return Ok(run.report(Reason::NonFinite, x0.to_vec(), value, f64::NAN));
        };
        let mut roots = vec![0.0; x0.len()];
        let mut unit = None;
        let mut radius: f64 = 0.0;
        let mut done = (at.gradient_norm() <= self.gtol).then_some(Reason::Gradient);
        let reason = 'points: loop {
            let leaving = done.is_some();
            if let Some(reason) = done {
                // Stationary, or as good as: leave it if f curves downwards.
                if negative_curvature(&at).is_none() {
                    break reason;
                }
            }
            let scaling = match &self.scaling {
                Some(given) => given.clone(),
                None => widen(&mut roots, &at.hessian),
            };
            let unit = *unit.get_or_insert_with(|| {
                let scaled: Vec<f64> = x0.iter().zip(&scaling).map(|(x, d)| x * d).collect();
                let size = norm(&scaled);
                if size > 0.0 { size } else { 1.0 }
            });
            let range = |r: f64| r.clamp(f64::MIN_POSITIVE, f64::MAX.min(self.max_radius * unit));
            if radius == 0.0 || leaving {
                radius = range(radius.max(self.initial_radius * unit));
            }
            let g = norm(&at.gradient);
            let (next, reached) = loop {
                if run.iterations == self.max_iter {
                    break 'points Reason::Iterations;
                }
                run.iterations += 1;
                let Ok(step) = trust_region(&at.hessian, &at.gradient, &scaling, radius, PRECISION)
                else {
                    break 'points Reason::Stalled;
                };
                let length = norm(&step.step);
                let short = length <= self.xtol * (norm(&at.x) + self.xtol);
                let x = at.x.iter().zip(&step.step).map(|(x, p)| x + p).collect();
                let trial = run.value(x);
                let finite = trial.value.is_finite();
                // NaN where f is, and no comparison with it holds.
                let actual = at.value - trial.value;
                let gain = actual / step.reduction;
                // Differences below this are rounding errors of f.
                let rounding = 16.0 * U * at.value.abs();
                let level = step.reduction <= rounding && actual.abs() <= rounding;
                let candidate = (gain > self.eta || (level && !leaving))
                    .then(|| run.derive(trial))
                    .flatten();
                let next = candidate.filter(|n| gain > self.eta || norm(&n.gradient) < g);
                if next.is_some() && gain > 0.75 && step.boundary {
                    radius = range(radius.max(2.0 * step.length));
                } else if next.is_none() || (gain < 0.25 && !level) {
                    radius = range(0.25 * step.length);
                }
                if let Some(next) = next {
                    let small = self.ftol * at.value.abs();
                    let reached = if next.gradient_norm() <= self.gtol {
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
                    break (next, reached);
                }
                let nowhere = level || short || length <= U * norm(&at.x);
                if leaving && nowhere {
                    break 'points Reason::Indefinite;
                }
                if level && !step.boundary {
                    // Neither f nor the gradient can be improved in f64.
                    done = Some(Reason::Function);
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
            at = next;
            run.path.push(at.x.clone());
            done = reached;
        };
        let g = at.gradient_norm();
        Ok(run.report(reason, at.x, at.value, g))
    }

    fn check(&self, d: usize, x0: &[f64]) -> Result<()> {
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
        check_start(d, x0)
    }
}

/// The diagonal of D after one more Hessian; `roots` are the largest √|B_aa| so far.
fn widen(roots: &mut [f64], hessian: &[f64]) -> Vec<f64> {
    for (a, root) in roots.iter_mut().enumerate() {
        *root = root.max(hessian[a * (a + 1) / 2 + a].abs().sqrt());
    }
    without_zeros(roots)
}
