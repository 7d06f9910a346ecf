//! Damped Newton steps with the row blocks of a curvature matrix.

use std::time::{Duration, Instant};

use super::evaluator::Evaluator;
use super::{Control, Fit, Progress, Reason, check_tolerances};
use crate::curvature::{Curvature, Structure};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::evaluate::Request;
use crate::problem::Problem;
use crate::solve::{Batch, Indefinite, U};

/// Row-block Newton: every unit takes its own damped Newton step, all at once.
///
/// ```text
/// p_j = −(B̃_j + μI)⁻¹ g_j,   ρ = (E(w) − E(w + p)) / Σ_j (−g_jᵀp_j − ½ p_jᵀB_jp_j)
/// ```
///
/// B_j is the block of unit j, B̃_j the block made positive definite by `indefinite`. A step is accepted if ρ > 10⁻⁴,
/// so the objective never rises; then μ ← μ · max(⅓, 1 − (2ρ − 1)³), and after a rejection μ is multiplied by 2, 4, 8, …
/// (Nielsen 1999). A trial point whose objective is not finite is rejected.
///
/// The blocks leave out how the units act together, so the method trains slowly by nature; near a minimum it converges
/// linearly, not quadratically.
///
/// ```
/// use ndarray::array;
/// use secondo::{Activation, Data, Loss, Network, Penalty, Problem, RowNewton};
/// // A linear unit: its row block is the whole Hessian, and the minimum is that of ridge regression.
/// let data = Data::new(array![[1.0], [2.0]], array![[1.0], [2.0]])?;
/// let problem = Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, data, Loss::SquaredError)?;
/// let fit = RowNewton::default().minimize(&problem, &[0.0, 0.0], &mut RowNewton::silent)?;
/// assert!(fit.converged());
/// assert!((fit.w[0] - 1.0).abs() < 1e-7 && fit.w[1].abs() < 1e-7); // y = x
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RowNewton {
    /// The curvature whose row blocks are used. Default `Exact`.
    pub curvature: Curvature,
    /// What is done with blocks that are not positive definite. Default `Absolute`.
    pub indefinite: Indefinite,
    /// The most accepted steps (rejected trials do not count); 0 evaluates the start and stops. Default 200.
    pub max_iter: usize,
    /// Stops where max_l |g_l| ≤ gtol · max(1, max_l |g_l| at the start). Default 10⁻⁸.
    pub gtol: f64,
    /// Stops after an accepted step with |ΔE| ≤ ftol · |E|. Default 0: never.
    pub ftol: f64,
    /// Stops after an accepted step with max_l |p_l| ≤ xtol · (xtol + max_l |w_l|). Default 0: never.
    pub xtol: f64,
    /// The damping of the first step, relative to the largest diagonal entry of the blocks. Default 10⁻³.
    pub mu: f64,
    /// The wall time after which the fit ends at its best point; an evaluation or a solution that has begun is finished
    /// first. Default none.
    pub time_limit: Option<Duration>,
    /// Whether the processor takes over from the last accepted point where the accelerator fails; the report says so. If
    /// not, the fit ends with the error. Default true.
    pub fallback: bool,
}

impl Default for RowNewton {
    fn default() -> Self {
        RowNewton {
            curvature: Curvature::Exact,
            indefinite: Indefinite::Absolute,
            max_iter: 200,
            gtol: 1e-8,
            ftol: 0.0,
            xtol: 0.0,
            mu: 1e-3,
            time_limit: None,
            fallback: true,
        }
    }
}

/// max_l |v_l|.
fn largest(v: &[f64]) -> f64 {
    v.iter().fold(0.0, |m, v| v.abs().max(m))
}

impl RowNewton {
    /// The observer that looks on.
    pub fn silent(_: &Progress) -> Control {
        Control::Continue
    }

    /// Minimises the problem's objective from `start`. `observe` is called at the start and after every accepted step.
    ///
    /// Returns the best accepted point with the reason of the end.
    ///
    /// # Errors
    /// An option out of range; a start with the wrong length or where objective or gradient are not finite; `Unsupported`
    /// under a constraint; too little memory.
    pub fn minimize(
        &self,
        problem: &Problem,
        start: &[f64],
        observe: &mut dyn FnMut(&Progress) -> Control,
    ) -> Result<Fit> {
        self.check()?;
        let clock = Instant::now();
        let timeout = || {
            self.time_limit
                .is_some_and(|limit| clock.elapsed() >= limit)
        };
        let mut evaluator =
            Evaluator::new(problem, self.curvature, Structure::RowBlocks, self.fallback)?;
        self.check_memory(problem, &evaluator.computes())?;
        let mut w = start.to_vec();
        let mut at = evaluator.derivatives(&w)?;
        let initial_value = at.value;
        let goal = self.gtol * largest(&at.gradient).max(1.0);
        let (mut mu, mut growth) = (f64::NAN, 2.0);
        let (mut iterations, mut rejected, mut modified) = (0, 0, 0);
        let mut reached = None;
        let reason = 'points: loop {
            let gradient_norm = largest(&at.gradient);
            let progress = Progress {
                iteration: iterations,
                max_iter: self.max_iter,
                value: at.value,
                gradient_norm,
                mu: if mu.is_nan() { 0.0 } else { mu },
            };
            let control = observe(&progress);
            if gradient_norm <= goal {
                break Reason::Gradient;
            }
            if let Some(reason) = reached {
                break reason;
            }
            if iterations >= self.max_iter {
                break Reason::Iterations;
            }
            if control == Control::Stop {
                break Reason::Interrupted;
            }
            let Some(blocks) = &at.curvature else {
                return Err(Error::Numerical {
                    what: "the row blocks were not computed".into(),
                });
            };
            if mu.is_nan() {
                mu = self.mu * largest(&blocks.diagonal()).max(f64::MIN_POSITIVE);
            }
            if timeout() {
                break Reason::Time;
            }
            let solving = Instant::now();
            let parts = blocks.blocks().map(|b| (b.packed(), b.order()));
            let batch = Batch::new(parts, self.indefinite)?;
            evaluator.times.solve += solving.elapsed();
            let (trial, gain, indefinite) = loop {
                if timeout() {
                    break 'points Reason::Time;
                }
                if !mu.is_finite() {
                    break 'points Reason::Stalled;
                }
                let solving = Instant::now();
                let steps = batch.step(mu, &at.gradient);
                evaluator.times.solve += solving.elapsed();
                // Beyond the range of f64: a longer step than any that is sensible.
                let Ok(steps) = steps else {
                    rejected += 1;
                    (mu, growth) = (mu.max(U) * growth, 2.0 * growth);
                    continue;
                };
                let predicted = steps.reduction();
                let trial: Vec<f64> = w.iter().zip(&steps.step).map(|(w, p)| w + p).collect();
                if trial == w || predicted <= U * at.value.abs() {
                    break 'points Reason::Stalled;
                }
                let value = evaluator.value(&trial)?;
                let gain = (at.value - value) / predicted;
                if gain > 1e-4 && value < at.value {
                    break (trial, gain, steps.indefinite);
                }
                rejected += 1;
                (mu, growth) = (mu * growth, 2.0 * growth);
            };
            // The old blocks and their factors go before the new ones come.
            drop(batch);
            at.curvature = None;
            let next = match evaluator.derivatives(&trial) {
                Ok(next) if next.value < at.value => next,
                // The objective was finite and lower, but gradient or blocks are not finite (or rounding hid the decrease).
                Ok(_) | Err(Error::NonFinite { .. }) => {
                    rejected += 1;
                    (mu, growth) = (mu * growth, 2.0 * growth);
                    at = evaluator.derivatives(&w)?;
                    continue;
                }
                Err(other) => return Err(other),
            };
            let step = w
                .iter()
                .zip(&trial)
                .fold(0.0f64, |m, (w, t)| m.max((t - w).abs()));
            if self.ftol > 0.0 && at.value - next.value <= self.ftol * next.value.abs() {
                reached = Some(Reason::Function);
            } else if step <= self.xtol * (self.xtol + largest(&w)) {
                reached = Some(Reason::Step);
            }
            mu *= (1.0 - (2.0 * gain - 1.0).powi(3)).max(1.0 / 3.0);
            growth = 2.0;
            modified += indefinite;
            iterations += 1;
            (w, at) = (trial, next);
        };
        evaluator.times.total = clock.elapsed();
        Ok(Fit {
            value: at.value,
            initial_value,
            gradient_norm: largest(&at.gradient),
            gradient_goal: goal,
            w,
            iterations,
            rejected,
            evaluations: evaluator.evaluations,
            times: evaluator.times,
            modified_blocks: modified,
            reason,
            method: format!(
                "row-block Newton, curvature {}, indefinite blocks {}",
                self.curvature.name(),
                self.indefinite.name()
            ),
            adapter: evaluator.adapter(),
            failure: evaluator.failure().map(str::to_string),
            precision: evaluator.precision(),
        })
    }

    /// Blocks and their factors must fit together: eigenvectors of blocks that are not positive definite take 8d² bytes
    /// each, twice the block.
    fn check_memory(&self, problem: &Problem, device: &Device) -> Result<()> {
        let request = Request::curvature(self.curvature, Structure::RowBlocks);
        let plan = problem.plan_on(device, request.into())?;
        let widest = (problem.network().rows())
            .map(|(_, _, r)| r.len() as u64)
            .max()
            .unwrap_or(0);
        let workspaces = 16 * widest * widest * rayon::current_num_threads() as u64;
        let eigenvectors = match self.indefinite {
            Indefinite::Absolute | Indefinite::Clip => 2 * plan.results,
            _ => 0,
        };
        let need = (plan.bytes()).max(plan.results + eigenvectors + workspaces);
        let budget = problem.budget();
        match need <= budget {
            true => Ok(()),
            false => Err(Error::Memory {
                what: "the solution with row blocks".into(),
                need,
                budget,
                advice: "narrower layers need less, and so do the policies shift and ldlt for indefinite blocks".into(),
            }),
        }
    }

    fn check(&self) -> Result<()> {
        check_tolerances(self.gtol, self.xtol, self.ftol)?;
        if !(self.mu.is_finite() && self.mu > 0.0) {
            return Err(Error::invalid("mu", format!("{} is not positive", self.mu)));
        }
        Ok(())
    }
}
