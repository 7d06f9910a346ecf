//! Damped Newton steps with the blocks of a curvature matrix.

use std::time::Duration;

use super::certificate::{Promise, Question};
use super::checks::{check_memory, check_tolerances};
use super::evaluator::{Evaluator, blocks};
use super::examination::examine;
use super::minimize::{Model, Point, Proposal, Rules, Step, Stop, Trial, minimize};
use super::scales::divide;
use super::settings::{Settings, settings};
use super::single::Single;
use super::{Evaluations, Fit, Method, Observer, Reason, State, moved};
use crate::clock::Instant;
use crate::curvature::{Curvature, Matrix, Structure};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, Request};
use crate::interrupt::Limits;
use crate::problem::Problem;
use crate::solve::{Decompositions, Indefinite, Steps, U, largest};

/// Block Newton: every unit, or every layer, takes its own damped Newton step, all at once.
///
/// ```text
/// p_j = −(B̃_j + μR_j²)⁻¹ g_j,   ρ = (E(w) − E(w + p)) / Σ_j (−g_jᵀp_j − ½ p_jᵀB_jp_j)
/// ```
///
/// B_j is the block of unit or layer j, B̃_j the block made positive definite by `indefinite`, R the diagonal of the root mean
/// squares of the inputs that weights multiply, and 1 for other parameters. A step is accepted if ρ > 10⁻⁴,
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
    /// How blocks that are not positive definite are made so. Default `Absolute`.
    pub indefinite: Indefinite,
    /// The most accepted steps (rejected trials do not count); 0 evaluates the start and stops. Default 200.
    pub max_iter: usize,
    /// Stops where max_l |g_l| ≤ gtol · max(1, max_l |g_l| at the start). Default 10⁻⁸.
    pub gtol: f64,
    /// Stops after a step by which E fell little, as its model had predicted: both by ≤ ftol · |E|. Default 0: never.
    pub ftol: f64,
    /// Stops after an accepted step with max_l |p_l| ≤ xtol · (xtol + max_l |w_l|). Default 0: never.
    pub xtol: f64,
    /// The damping of the first step, relative to the largest diagonal entry of the blocks in units R. Default 10⁻³.
    pub mu: f64,
    /// As of [`TrustRegion`](super::TrustRegion), but that blocks which are being factorized are finished. Default none.
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

    fn settings(&self) -> Settings {
        settings!(self: BlockNewton {
            structure, curvature, indefinite, gtol, ftol, xtol, mu
        } but max_iter, time_limit, fallback)
    }

    fn resume(&self, problem: &Problem, mut state: State, observe: Observer) -> Result<Fit> {
        self.check()?;
        state.check(&self.settings(), problem.parameters())?;
        let request = Some((self.curvature, self.structure));
        let evaluator = Evaluator::new(problem, request, self.fallback)?;
        self.check_memory(problem, &evaluator.computes())?;
        let mut model = Damped { evaluator, options: self, modified: 0 };
        let end = minimize(&mut model, &mut state, observe)?;
        let goal = state.goal(self.gtol);
        let method = self.words(model.evaluator.left_out);
        let account = model.evaluator.account();
        Ok(Fit::new(&state, end, goal, account, method))
    }
}

impl BlockNewton {
    /// The method in words; entries of the penalty's Hessian of up to `left_out` are in no block.
    fn words(&self, left_out: f64) -> String {
        let what = match self.structure {
            Structure::RowBlocks => "row-block",
            _ => "layer-block",
        };
        let left_out = match left_out {
            0.0 => String::new(),
            largest => format!(
                "; the blocks leave out entries of the penalty's Hessian of up to {largest:.1e}"
            ),
        };
        format!(
            "{what} Newton, curvature {}, indefinite blocks {}{left_out}",
            self.curvature.name(),
            self.indefinite.name()
        )
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
        let what = format!("the solution with {}", self.structure.name());
        let advice = "narrower layers need less, and so do the policies shift and ldlt for indefinite blocks";
        check_memory(problem, what, need, advice)
    }

    fn check(&self) -> Result<()> {
        check_tolerances(self.gtol, self.xtol, self.ftol)?;
        if !matches!(self.structure, Structure::RowBlocks | Structure::LayerBlocks) {
            let why =
                format!("'{}' is not one of row-blocks and layer-blocks", self.structure.name());
            return Err(Error::invalid("structure", why));
        }
        if !(self.mu.is_finite() && self.mu > 0.0) {
            return Err(Error::invalid("mu", format!("{} is not positive", self.mu)));
        }
        Ok(())
    }
}

/// The model whose matrix has the blocks alone, with damping μ.
struct Damped<'a> {
    evaluator: Evaluator<'a>,
    options: &'a BlockNewton,
    /// How many blocks the policy for indefiniteness changed for the last step.
    modified: usize,
}

/// The gradient, and the blocks until they are freed, in units R of the parameters: R⁻¹g and R_j⁻¹B_jR_j⁻¹.
struct Blocks {
    gradient: Vec<f64>,
    matrix: Option<Matrix>,
    decompositions: Option<Decompositions>,
}

impl Blocks {
    /// A point with these blocks. No step is proposed that promises less than `rounding`.
    fn point(mut at: Evaluation, resolution: f64, scales: &[f64]) -> Point<Self> {
        let size = largest(&at.gradient);
        at.gradient.iter_mut().zip(scales).for_each(|(g, scale)| *g /= scale);
        for (range, lower) in at.curvature.iter_mut().flat_map(Matrix::blocks_mut) {
            divide(lower, &scales[range]);
        }
        Point {
            value: at.value,
            gradient_norm: size,
            slope: size,
            rounding: U * at.value.abs(),
            resolution,
            model: Blocks { gradient: at.gradient, matrix: at.curvature, decompositions: None },
        }
    }

    /// The step with damping μ; none beyond the range of f64.
    fn step(&mut self, policy: Indefinite, mu: f64) -> Result<Option<Steps>> {
        let blocks: Vec<_> = self.matrix.iter().flat_map(blocks).collect();
        let decompositions = match self.decompositions.take() {
            Some(made) => made,
            None => Decompositions::new(&blocks, policy)?,
        };
        let found = decompositions.step(&blocks, mu, &self.gradient);
        self.decompositions = Some(decompositions);
        Ok(found.ok())
    }
}

/// Heavier damping after a rejected step: μ is multiplied by 2, 4, 8, …
fn heavier(state: &mut State) {
    (state.mu, state.growth) = (state.mu * state.growth, 2.0 * state.growth);
}

/// Lighter damping after an accepted step with gain ratio ρ: μ · max(⅓, 1 − (2ρ − 1)³).
fn lighter(state: &mut State, gain: f64) {
    let factor = (1.0 - (2.0 * gain - 1.0).powi(3)).max(1.0 / 3.0);
    (state.mu, state.growth) = ((state.mu * factor).max(f64::MIN_POSITIVE), 2.0);
}

impl Model for Damped<'_> {
    type Value = f64;
    type Local = Blocks;

    fn rules(&self) -> Rules {
        Rules {
            max_iter: self.options.max_iter,
            time_limit: self.options.time_limit,
            ftol: self.options.ftol,
            strict: true,
            certified: Some(self.options.gtol),
            ..Rules::default()
        }
    }

    fn value(&mut self, at: &Point<Blocks>, w: &[f64]) -> Result<(f64, f64)> {
        let value = self.evaluator.value(w)?;
        Ok((value, at.value - value))
    }

    fn derive(&mut self, w: &[f64], _: Option<f64>) -> Result<Point<Blocks>> {
        let at = self.evaluator.derivatives(w)?;
        let resolution = self.evaluator.resolution(at.value);
        Ok(Blocks::point(at, resolution, self.evaluator.scales()))
    }

    fn prepare(&mut self, state: &mut State, at: &Point<Blocks>) {
        // Only the start has no damping: accepted steps leave it positive.
        if let (0.0, Some(matrix)) = (state.mu, &at.model.matrix) {
            let largest = largest(&matrix.diagonal());
            state.mu = self.options.mu * if largest > 0.0 { largest } else { 1.0 };
        }
    }

    fn propose(&mut self, state: &mut State, at: &mut Point<Blocks>) -> Proposal {
        if !state.mu.is_finite() {
            return Err(Stop::Because(Reason::Stalled));
        }
        if at.model.matrix.is_none() {
            *at = self.derive(&state.x, None)?;
        }
        let solving = Instant::now();
        self.evaluator.limits().check()?;
        let found = at.model.step(self.options.indefinite, state.mu)?;
        self.evaluator.times.solve += solving.elapsed();
        let Some(found) = found else {
            // Beyond the range of f64: a longer step than any that is sensible.
            state.mu = state.mu.max(U);
            heavier(state);
            return Ok(None);
        };
        let scales = self.evaluator.scales();
        let step: Vec<f64> = found.step.iter().zip(scales).map(|(p, scale)| p / scale).collect();
        let (x, predicted) = (moved(&state.x, &step), found.reduction());
        if x == state.x || predicted <= at.rounding {
            return Err(Stop::Because(Reason::Function));
        }
        self.modified = found.indefinite;
        let length = (state.x.iter().zip(&x)).fold(0.0f64, |m, (w, t)| m.max((t - w).abs()));
        let xtol = self.options.xtol;
        Ok(Some(Step {
            x,
            predicted,
            length,
            bounded: false,
            small: length <= xtol * (xtol + largest(&state.x)),
            vanishing: false,
        }))
    }

    fn adapt(&mut self, state: &mut State, trial: &Trial, accepted: bool) {
        if accepted {
            lighter(state, trial.gain);
            state.modified_blocks += self.modified;
        } else {
            heavier(state);
        }
    }

    fn stationary(&self, state: &State, next: &Point<Blocks>, _: Option<&Step>) -> bool {
        next.gradient_norm <= state.goal(self.options.gtol)
    }

    fn examine(&mut self, state: &State, at: &mut Point<Blocks>, enough: f64) -> Result<Promise> {
        let scaled = at.model.gradient.iter().zip(self.evaluator.scales());
        let gradient: Vec<f64> = scaled.map(|(g, scale)| g * scale).collect();
        let question = Question::of(&gradient, enough);
        examine(&mut self.evaluator, &state.x, question)
    }

    fn free(&mut self, at: &mut Point<Blocks>) {
        // The old blocks and their factors go before the new ones come.
        (at.model.matrix, at.model.decompositions) = (None, None);
    }

    fn steps(&self, state: &State) -> usize {
        state.accepted
    }

    fn single(&mut self) -> Option<&mut dyn Single> {
        self.evaluator.single()
    }

    fn limits(&self) -> Option<&Limits> {
        Some(self.evaluator.limits())
    }

    fn evaluations(&mut self) -> &mut Evaluations {
        &mut self.evaluator.evaluations
    }
}
