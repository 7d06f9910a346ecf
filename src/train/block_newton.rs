//! Damped Newton steps with the blocks of a curvature matrix.

use std::time::{Duration, Instant};

use super::evaluator::{Evaluator, blocks};
use super::{Control, End, Fit, Method, Observer, Reason, State, check_tolerances};
use crate::curvature::{Curvature, Structure};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::evaluate::Request;
use crate::problem::Problem;
use crate::solve::{Batch, Indefinite, U, largest};

/// Block Newton: every unit, or every layer, takes its own damped Newton step, all at once.
///
/// ```text
/// p_j = −(B̃_j + μI)⁻¹ g_j,   ρ = (E(w) − E(w + p)) / Σ_j (−g_jᵀp_j − ½ p_jᵀB_jp_j)
/// ```
///
/// B_j is the block of unit or layer j, B̃_j the block made positive definite by `indefinite`. A step is accepted if ρ > 10⁻⁴,
/// so the objective never rises; then μ ← μ · max(⅓, 1 − (2ρ − 1)³), and after a rejection μ is multiplied by 2, 4, 8, …
/// (Nielsen 1999). A trial point whose objective is not finite is rejected.
///
/// The blocks leave out how the units (the layers) act together, so the method trains slowly by nature; near a minimum it
/// converges linearly, not quadratically.
///
/// ```
/// use ndarray::array;
/// use secondo::{Activation, BlockNewton, Data, Loss, Method, Network, Problem, silent};
/// // A linear unit: its row block is the whole Hessian, and the minimum is that of ridge regression.
/// let data = Data::new(array![[1.0], [2.0]], array![[1.0], [2.0]])?;
/// let problem = Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, data, Loss::SquaredError)?;
/// let fit = BlockNewton::default().fit(&problem, &[0.0, 0.0], &mut silent)?;
/// assert!(fit.converged());
/// assert!((fit.w[0] - 1.0).abs() < 1e-7 && fit.w[1].abs() < 1e-7); // y = x
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct BlockNewton {
    /// The curvature whose blocks are used. Default `Exact`.
    pub curvature: Curvature,
    /// `RowBlocks` or `LayerBlocks`. Default `RowBlocks`.
    pub structure: Structure,
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

impl Default for BlockNewton {
    fn default() -> Self {
        BlockNewton {
            curvature: Curvature::Exact,
            structure: Structure::RowBlocks,
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

impl Method for BlockNewton {
    fn name(&self) -> &'static str {
        match self.structure {
            Structure::RowBlocks => "newton-rows",
            _ => "newton-layers",
        }
    }

    fn options(&self) -> String {
        let BlockNewton {
            curvature,
            structure,
            indefinite,
            gtol,
            ftol,
            xtol,
            mu,
            ..
        } = self;
        let (curvature, structure) = (curvature.name(), structure.name());
        format!("{structure} {curvature} {indefinite} {gtol} {ftol} {xtol} {mu}")
    }

    fn resume(&self, problem: &Problem, mut state: State, observe: Observer) -> Result<Fit> {
        self.check()?;
        state.check(&self.fingerprint(), problem.parameters())?;
        let request = Some((self.curvature, self.structure));
        let mut evaluator = Evaluator::new(problem, request, self.fallback)?;
        self.check_memory(problem, &evaluator.computes())?;
        let (clock, before) = (Instant::now(), state.elapsed);
        let done = self.points(&mut evaluator, &mut state, observe, clock);
        state.elapsed = before + clock.elapsed();
        let end = End::new(done, &state)?;
        let goal = state.goal(self.gtol, true);
        let what = match self.structure {
            Structure::RowBlocks => "row-block",
            _ => "layer-block",
        };
        let left_out = match evaluator.left_out {
            0.0 => String::new(),
            largest => format!(
                "; the blocks leave out entries of the penalty's Hessian of up to {largest:.1e}"
            ),
        };
        let method = format!(
            "{what} Newton, curvature {}, indefinite blocks {}{left_out}",
            self.curvature.name(),
            self.indefinite.name()
        );
        Ok(Fit::new(state, end, goal, evaluator.account(), method))
    }
}

impl BlockNewton {
    /// The loop: from a start, or from where `state` was left. `state` has the best point, after an error too.
    fn points(
        &self,
        evaluator: &mut Evaluator,
        state: &mut State,
        observe: Observer,
        clock: Instant,
    ) -> Result<Reason> {
        let before = state.elapsed;
        let timeout = || {
            self.time_limit
                .is_some_and(|limit| clock.elapsed() >= limit)
        };
        let mut at = evaluator.derivatives(&state.x)?;
        let mut fresh = state.is_new();
        match fresh {
            true => state.begin(at.value, largest(&at.gradient)),
            false => evaluator.evaluations = state.evaluations,
        }
        let goal = state.goal(self.gtol, true);
        if fresh && state.gradient_norm <= goal {
            state.reached = Some(Reason::Gradient);
        }
        let reason = 'points: loop {
            let mut control = Control::Continue;
            if fresh {
                state.evaluations = evaluator.evaluations;
                state.elapsed = before + clock.elapsed();
                control = observe(&state.progress(self.max_iter, None));
            }
            if let Some(reason) = state.reached {
                break reason;
            }
            if state.accepted >= self.max_iter {
                break Reason::Iterations;
            }
            if control == Control::Stop {
                break Reason::Interrupted;
            }
            let Some(matrix) = &at.curvature else {
                break Reason::Stalled;
            };
            if state.mu == 0.0 {
                // Only the start has none: accepted steps leave it positive.
                let largest = largest(&matrix.diagonal());
                state.mu = self.mu * if largest > 0.0 { largest } else { 1.0 };
            }
            if timeout() {
                break Reason::Time;
            }
            let solving = Instant::now();
            let batch = Batch::new(blocks(matrix), self.indefinite)?;
            evaluator.times.solve += solving.elapsed();
            let (mu, growth) = (&mut state.mu, &mut state.growth);
            let (trial, gain, indefinite) = loop {
                if timeout() {
                    break 'points Reason::Time;
                }
                if !mu.is_finite() {
                    break 'points Reason::Stalled;
                }
                let solving = Instant::now();
                let steps = batch.step(*mu, &at.gradient);
                evaluator.times.solve += solving.elapsed();
                // Beyond the range of f64: a longer step than any that is sensible.
                let Ok(steps) = steps else {
                    state.tried += 1;
                    (*mu, *growth) = (mu.max(U) * *growth, 2.0 * *growth);
                    continue;
                };
                let predicted = steps.reduction();
                let trial: Vec<f64> = state
                    .x
                    .iter()
                    .zip(&steps.step)
                    .map(|(w, p)| w + p)
                    .collect();
                if trial == state.x || predicted <= U * at.value.abs() {
                    break 'points Reason::Stalled;
                }
                let value = evaluator.value(&trial)?;
                state.tried += 1;
                let gain = (at.value - value) / predicted;
                if gain > 1e-4 && value < at.value {
                    break (trial, gain, steps.indefinite);
                }
                (*mu, *growth) = (*mu * *growth, 2.0 * *growth);
            };
            // The old blocks and their factors go before the new ones come.
            drop(batch);
            at.curvature = None;
            let next = match evaluator.derivatives(&trial) {
                Ok(next) if next.value < at.value => next,
                // The objective was finite and lower, but gradient or blocks are not finite (or rounding hid the decrease).
                Ok(_) | Err(Error::NonFinite { .. }) => {
                    (*mu, *growth) = (*mu * *growth, 2.0 * *growth);
                    at = evaluator.derivatives(&state.x)?;
                    fresh = false;
                    continue;
                }
                Err(other) => return Err(other),
            };
            let step = (state.x.iter().zip(&trial)).fold(0.0f64, |m, (w, t)| m.max((t - w).abs()));
            let gradient_norm = largest(&next.gradient);
            state.reached = if gradient_norm <= goal {
                Some(Reason::Gradient)
            } else if self.ftol > 0.0 && at.value - next.value <= self.ftol * next.value.abs() {
                Some(Reason::Function)
            } else if step <= self.xtol * (self.xtol + largest(&state.x)) {
                Some(Reason::Step)
            } else {
                None
            };
            let factor = (1.0 - (2.0 * gain - 1.0).powi(3)).max(1.0 / 3.0);
            *mu = (*mu * factor).max(f64::MIN_POSITIVE);
            *growth = 2.0;
            state.modified_blocks += indefinite;
            state.accepted += 1;
            (state.value, state.gradient_norm) = (next.value, gradient_norm);
            (state.x, at, fresh) = (trial, next, true);
        };
        Ok(reason)
    }

    /// Blocks and their factors must fit together: eigenvectors of blocks that are not positive definite take 8d² bytes
    /// each, twice the block.
    fn check_memory(&self, problem: &Problem, device: &Device) -> Result<()> {
        let request = Request::curvature(self.curvature, self.structure);
        let plan = problem.plan_on(device, request.into())?;
        let network = problem.network();
        let widest = match self.structure {
            Structure::RowBlocks => network.rows().map(|(_, _, r)| r.len()).max(),
            _ => network.layers().iter().map(|l| l.range.len()).max(),
        };
        let widest = widest.unwrap_or(0) as u64;
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
                what: format!("the solution with {}", self.structure.name()),
                need,
                budget,
                advice: "narrower layers need less, and so do the policies shift and ldlt for indefinite blocks".into(),
            }),
        }
    }

    fn check(&self) -> Result<()> {
        check_tolerances(self.gtol, self.xtol, self.ftol)?;
        if !matches!(
            self.structure,
            Structure::RowBlocks | Structure::LayerBlocks
        ) {
            let why = format!(
                "'{}' is not one of row-blocks and layer-blocks",
                self.structure.name()
            );
            return Err(Error::invalid("structure", why));
        }
        if !(self.mu.is_finite() && self.mu > 0.0) {
            return Err(Error::invalid("mu", format!("{} is not positive", self.mu)));
        }
        Ok(())
    }
}
