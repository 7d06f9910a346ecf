//! The limited-memory BFGS method, with blocks of the Gauss–Newton matrix as its initial matrix.

use std::collections::VecDeque;
use std::time::Duration;

use super::certificate::{Promise, Question};
use super::checks::{check_memory, check_tolerances, squares};
use super::evaluator::{Evaluator, blocks};
use super::examination::examine;
use super::minimize::{Model, Point, Proposal, Rules, Step, Trial, minimize};
use super::objective::LONG;
use super::pooled;
use super::preconditioning::{Preconditioning, whole_cost};
use super::settings::{Settings, settings};
use super::single::Single;
use super::wolfe::{Sample, search};
use super::{Evaluations, Fit, Method, Observer, State, moved, norm};
use crate::clock::Instant;
use crate::curvature::{Matrix, Structure};
use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, Request};
use crate::interrupt::Limits;
use crate::memory::bytes_of;
use crate::problem::Problem;
use crate::solve::{Cholesky, Preconditioner, U, add_multiple, dot, largest};

/// Blocks that cost more gradients than this are not worth it.
const DEAR: f64 = 300.0;
/// Units share blocks where those of their own cost more gradients than this, and more than twice as much: measured, as docs/benchmarks.md has it.
const OWN: f64 = 60.0;
/// The same of the whole Hessian, which is made few times, by products of large matrices: these run several times as fast.
const WHOLE: f64 = 1500.0;
/// At least so many steps between two initial matrices, …
const APART: usize = 60;
/// … and as many as make their share of the time small.
const SHARE: f64 = 5.0;
/// The first initial matrix is made once the gradient has fallen to this part: before, the blocks change too fast.
const SETTLED: f64 = 1e-2;
/// It stays for so many steps: where these do not reach the end, it was made too far from it.
const TRUSTED: usize = 20;
/// The exact Hessian is tried once the gradient has fallen to this part: far from the end it is rarely positive definite. One that is dear must
/// not be tried in vain: this part is divided by the square of its cost in units of [`APART`] gradients, …
const NEAR: f64 = 1e-5;
/// … and where it was not positive definite, again once it has fallen by this much more.
const NEARER: f64 = 0.1;

/// L-BFGS: a quasi-Newton method that remembers the last steps and what they did to the gradient.
///
/// ```text
/// p = −t H g,   H from the pairs s = Δw, y = Δg of the last steps, by the BFGS formula from H₀
/// H₀ = γ M⁻¹,   γ = sᵀy / yᵀM⁻¹y of the last pair
/// ```
///
/// M is the initial matrix: the Gauss–Newton row blocks, made anew after sixty steps or more, so that they cost a small part of
/// the time; the diagonal; or with `None` R² alone, the mean squares of the inputs that the weights multiply. t satisfies the
/// strong Wolfe conditions. The cost of a step is about one gradient and 4·`pairs`·P multiplications.
///
/// Where the blocks would cost more than 60 gradients, and all units are linear, those of a layer share one: the sum of their blocks, for each unit in proportion to the
/// trace of its own. Where these cost more than 300, or blocks that cannot be shared do, M is the diagonal. Where row blocks are asked for, and the whole exact
/// Hessian takes at most 1500 times the multiplications of a gradient, M becomes it once the gradient is small, the smaller the more it costs, if
/// it is positive definite there, with γ = 1: the last steps are nearly Newton's, and the end is certified by a few products. Where twenty such steps do not reach
/// the end, the blocks take its place again until the gradient has fallen further; a Hessian that costs at most sixty gradients is made anew.
///
/// Source: Nocedal and Wright, *Numerical Optimization*, 2nd ed., §7.2.
///
/// ```
/// use ndarray::array;
/// use secondo::{Activation, Data, Lbfgs, Loss, Method, Network, Problem, silent};
/// let data = Data::new(array![[1.0], [2.0], [4.0]], array![[1.0], [2.5], [3.5]])?;
/// let problem = Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, data, Loss::SquaredError)?;
/// let fit = Lbfgs::default().fit(&problem, &[0.0, 0.0], &mut silent)?; // y = 11/14 x + 1/2
/// assert!(fit.converged());
/// assert!((fit.w[0] - 11.0 / 14.0).abs() + (fit.w[1] - 0.5).abs() < 1e-7);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Lbfgs {
    /// How many pairs are remembered. Default 30.
    pub pairs: usize,
    /// The initial matrix; as of [`NewtonCg`](super::NewtonCg) where W = fixed + Cθ. Default `RowBlocks`.
    pub initial: Preconditioning,
    /// The most steps; 0 evaluates the start and stops. Default 10,000.
    pub max_iter: usize,
    /// As of [`TrustRegion`](super::TrustRegion). Default 10⁻⁸.
    pub gtol: f64,
    /// As of [`BlockNewton`](super::BlockNewton). Default 0: never.
    pub ftol: f64,
    /// As of [`BlockNewton`](super::BlockNewton). Default 0: never.
    pub xtol: f64,
    /// As of [`TrustRegion`](super::TrustRegion). Default none.
    pub time_limit: Option<Duration>,
    /// As of [`TrustRegion`](super::TrustRegion). Default true.
    pub fallback: bool,
}

impl Default for Lbfgs {
    fn default() -> Self {
        Lbfgs {
            pairs: 30,
            initial: Preconditioning::RowBlocks,
            max_iter: 10_000,
            gtol: 1e-8,
            ftol: 0.0,
            xtol: 0.0,
            time_limit: None,
            fallback: true,
        }
    }
}

impl Method for Lbfgs {
    fn name(&self) -> &'static str {
        "lbfgs"
    }

    fn settings(&self) -> Settings {
        settings!(self: Lbfgs { pairs, initial, gtol, ftol, xtol } but max_iter, time_limit, fallback)
    }

    fn resume(&self, problem: &Problem, mut state: State, observe: Observer) -> Result<Fit> {
        self.check()?;
        state.check(&self.settings(), problem.parameters())?;
        self.fit_problem(problem, &mut state, observe)
    }
}

impl Lbfgs {
    pub(super) fn check(&self) -> Result<()> {
        check_tolerances(self.gtol, self.xtol, self.ftol)?;
        match self.pairs {
            0 => Err(Error::invalid("pairs", "at least one is needed")),
            _ => Ok(()),
        }
    }

    /// A fit from a state that has been checked, which then has its end.
    pub(super) fn fit_problem(
        &self,
        problem: &Problem,
        state: &mut State,
        observe: Observer,
    ) -> Result<Fit> {
        let initial = Initial::choose(problem, self.initial, true)?;
        let count = self.pairs.saturating_mul(2).saturating_add(12);
        let vectors = bytes_of(&[8, count, problem.parameters()]);
        let what = format!("L-BFGS with {} pairs of {} numbers", self.pairs, problem.parameters());
        let advice = "fewer pairs, or the initial matrix diagonal, need less";
        check_memory(problem, what, vectors.saturating_add(initial.bytes), advice)?;
        let evaluator = Evaluator::of(problem, initial.request, self.fallback)?;
        let words = format!(
            "L-BFGS with {} pairs, initial matrix {}",
            self.pairs,
            match initial.request.curvature {
                None => "by the size of the inputs",
                Some(_) if initial.request.pooled => "shared row-blocks",
                Some((_, Structure::Diagonal)) => "diagonal",
                Some(_) => "row-blocks",
            }
            .to_string()
                + if initial.whole.is_some() { ", near the end the exact Hessian" } else { "" }
        );
        let mut model = Secant {
            evaluator,
            options: self,
            every: initial.every,
            whole: initial.whole,
            matrix: Preconditioner::None,
            trial: None,
        };
        let end = minimize(&mut model, state, observe)?;
        let goal = state.goal(self.gtol);
        let account = model.evaluator.account();
        Ok(Fit::new(state, end, goal, account, words))
    }
}

/// The initial matrix that blocks are to be where they do not cost too much, else the diagonal.
///
/// # Errors
/// As [`Problem::plan`].
pub(super) fn affordable(problem: &Problem) -> Result<Preconditioning> {
    let initial = Initial::choose(problem, Preconditioning::RowBlocks, false)?;
    Ok(match initial.request.curvature {
        None => Preconditioning::None,
        Some((_, Structure::Diagonal)) => Preconditioning::Diagonal,
        Some(_) => Preconditioning::RowBlocks,
    })
}

/// Which initial matrix, and how often.
struct Initial {
    /// The gradient, and what the matrix is made of.
    request: Request,
    every: usize,
    bytes: u64,
    /// The cost of a whole exact Hessian in gradients, where it is to take its place.
    whole: Option<f64>,
}

impl Initial {
    /// The one that is asked for; where its blocks cost too much, those that units share, if they may, or the diagonal.
    fn choose(problem: &Problem, wanted: Preconditioning, may_share: bool) -> Result<Self> {
        let available = wanted.available(problem);
        let Some((curvature, structure)) = available.request() else {
            let request = Request::gradient();
            return Ok(Initial { request, every: usize::MAX, bytes: 0, whole: None });
        };
        let gradient = problem.plan(Request::gradient())?.flops.max(1.0);
        let of = |request: Request, orders: Vec<u64>| {
            let plan = problem.plan(request)?;
            let factors: f64 = orders.iter().map(|d| (*d as f64).powi(3) / 3.0).sum();
            let bytes = plan.bytes().saturating_add(squares(&orders));
            let cost = (plan.flops + factors) / gradient;
            let every = APART.max((SHARE * cost) as usize);
            Ok::<_, Error>((Initial { request, every, bytes, whole: None }, cost))
        };
        let within = |(initial, cost): &(Initial, f64), most| {
            *cost <= most && initial.bytes <= problem.budget()
        };
        let diagonal = || of(Request::curvature(curvature, Structure::Diagonal), Vec::new());
        let own = match structure {
            Structure::Diagonal => diagonal(),
            _ => problem
                .block_orders(structure)
                .and_then(|orders| of(Request::curvature(curvature, structure), orders)),
        };
        let shared = (may_share && structure == Structure::RowBlocks)
            .then(|| pooled::orders(problem))
            .flatten()
            .and_then(|orders| of(Request::pooled(curvature), orders).ok())
            .filter(|shared| within(shared, DEAR));
        let most = shared.as_ref().map_or(DEAR, |(_, cost)| OWN.max(2.0 * cost));
        let (initial, _) = match (own, shared) {
            (Ok(own), _) if within(&own, most) => own,
            (Ok(_) | Err(Error::Memory { .. }), Some(shared)) => shared,
            (Ok(_) | Err(Error::Memory { .. }), None) if structure != Structure::Diagonal => {
                diagonal()?
            }
            (own, _) => own?,
        };
        let ratio = whole_cost(problem).map(|cost| cost / gradient);
        let ratio = ratio.filter(|ratio| structure == Structure::RowBlocks && *ratio <= WHOLE);
        Ok(Initial { whole: ratio, ..initial })
    }
}

/// A quadratic model by what the last steps did to the gradient.
struct Secant<'a> {
    evaluator: Evaluator<'a>,
    options: &'a Lbfgs,
    /// The steps between two initial matrices.
    every: usize,
    /// The cost of an exact Hessian in gradients, where it can be one.
    whole: Option<f64>,
    /// M, or `None` for R².
    matrix: Preconditioner,
    /// The end of the last line search.
    trial: Option<Found>,
}

/// A point with its gradient.
struct Found {
    x: Vec<f64>,
    at: Evaluation,
    /// s and y of the step that led there.
    pair: (Vec<f64>, Vec<f64>),
}

impl Secant<'_> {
    /// Makes the initial matrix where it is time: the blocks, or the exact Hessian, where it is positive definite.
    fn renew(&mut self, state: &mut State, slope: f64) -> Result<()> {
        self.recall(state)?;
        if self.every == usize::MAX {
            return Ok(());
        }
        if state.base.is_empty() {
            if slope > SETTLED * state.unit {
                return Ok(());
            }
            let dear = self.whole.map_or(1.0, |ratio| (ratio / APART as f64).max(1.0));
            state.near = NEAR / (dear * dear) * state.unit;
        }
        let every = if state.whole { TRUSTED } else { self.every };
        let is_old = state.base.is_empty() || state.since >= every;
        let is_near = slope <= state.near && (!state.whole || is_old);
        let is_cheap = self.whole.is_some_and(|ratio| ratio <= APART as f64);
        if self.whole.is_some() && (is_near || state.whole && is_old && is_cheap) {
            state.near = NEARER * slope;
            if self.form_whole(&state.x)? {
                state.base.clone_from(&state.x);
                (state.since, state.whole) = (0, true);
                // They know less than it does.
                state.pairs.clear();
                return Ok(());
            }
        }
        if is_old {
            state.base.clone_from(&state.x);
            (state.since, state.whole) = (0, false);
            self.form(&state.base)?;
        }
        Ok(())
    }

    /// Makes the initial matrix of a fit that is resumed, as it was.
    fn recall(&mut self, state: &State) -> Result<()> {
        if !matches!(self.matrix, Preconditioner::None) || state.base.is_empty() {
            return Ok(());
        }
        if state.whole {
            return self.form_whole(&state.base).map(drop);
        }
        self.form(&state.base)
    }

    /// Makes the exact Hessian the initial matrix, if it is there and positive definite; says whether it is.
    fn form_whole(&mut self, base: &[f64]) -> Result<bool> {
        let lower = match self.evaluator.whole(base) {
            Err(Error::Memory { .. } | Error::NonFinite { .. }) => return Ok(false),
            lower => lower?,
        };
        let solving = Instant::now();
        let d = base.len();
        let factorize = move || Cholesky::new(&lower, d);
        let limits = self.evaluator.limits();
        let factor = if d >= LONG { limits.run(factorize)? } else { factorize() };
        let factor = factor.ok().filter(|factor| !factor.is_singular());
        let is_definite = factor.is_some();
        if let Some(factor) = factor {
            self.matrix = Preconditioner::Blocks(vec![factor]);
        }
        self.evaluator.times.solve += solving.elapsed();
        Ok(is_definite)
    }

    fn form(&mut self, base: &[f64]) -> Result<()> {
        let at = self.evaluator.derivatives(base)?;
        let solving = Instant::now();
        if let Some(matrix) = at.curvature {
            let (scales, limits) = (self.evaluator.scales(), self.evaluator.limits());
            self.matrix = if at.pooled.is_empty() {
                initial(&matrix, scales)?
            } else {
                let own = matrix.diagonal();
                pooled::preconditioner(self.evaluator.problem(), at.pooled, &own, scales, limits)?
            };
        }
        self.evaluator.times.solve += solving.elapsed();
        Ok(())
    }

    /// M⁻¹v.
    fn inverse(&self, v: &[f64]) -> Result<Vec<f64>> {
        match &self.matrix {
            Preconditioner::None => {
                let scaled = v.iter().zip(self.evaluator.scales());
                Ok(scaled.map(|(v, scale)| v / scale / scale).collect())
            }
            matrix => matrix.apply(v),
        }
    }

    /// −Hg, by the two loops over the pairs (s, y), the oldest first.
    fn direction(
        &self,
        pairs: &VecDeque<(Vec<f64>, Vec<f64>)>,
        whole: bool,
        g: &[f64],
    ) -> Result<Vec<f64>> {
        let mut q: Vec<f64> = g.iter().map(|g| -g).collect();
        let mut parts = Vec::with_capacity(pairs.len());
        for (s, y) in pairs.iter().rev() {
            let curvature = dot(s, y);
            let alpha = dot(s, &q) / curvature;
            add_multiple(&mut q, -alpha, y);
            parts.push((alpha, curvature));
        }
        let mut r = self.inverse(&q)?;
        // The exact Hessian has the right size.
        if let (Some((_, y)), Some((_, curvature)), false) = (pairs.back(), parts.first(), whole) {
            let gamma = curvature / dot(y, &self.inverse(y)?);
            r.iter_mut().for_each(|r| *r *= gamma);
        }
        for ((s, y), (alpha, curvature)) in pairs.iter().zip(parts.into_iter().rev()) {
            let beta = dot(y, &r) / curvature;
            add_multiple(&mut r, alpha - beta, s);
        }
        Ok(r)
    }

    /// A point along `direction` that satisfies Wolfe's conditions, if there is one.
    fn search(
        &mut self,
        at: &Point<Vec<f64>>,
        x: &[f64],
        direction: &[f64],
        first: f64,
    ) -> Result<Option<Found>> {
        let gradient = &at.model;
        let slope = dot(gradient, direction);
        if !(slope < 0.0 && slope.is_finite()) {
            return Ok(None);
        }
        let start = Sample { t: 0.0, value: at.value, slope };
        let mut last = None;
        let evaluator = &mut self.evaluator;
        let found = search(start, first, at.rounding, |t| {
            let x: Vec<f64> = x.iter().zip(direction).map(|(x, d)| x + t * d).collect();
            let evaluation = match evaluator.gradient(&x) {
                Ok(evaluation) => evaluation,
                Err(Error::NonFinite { .. }) => return Ok((f64::NAN, f64::NAN)),
                Err(error) => return Err(error),
            };
            let sample = (evaluation.value, dot(&evaluation.gradient, direction));
            last = Some((x, evaluation));
            Ok(sample)
        })?;
        Ok(found.and(last).map(|(trial, at)| {
            let s = trial.iter().zip(x).map(|(new, old)| new - old).collect();
            let y = at.gradient.iter().zip(gradient).map(|(new, old)| new - old).collect();
            Found { x: trial, at, pair: (s, y) }
        }))
    }

    fn point(&self, at: Evaluation) -> Point<Vec<f64>> {
        let scales = self.evaluator.scales();
        let scaled: Vec<f64> = at.gradient.iter().zip(scales).map(|(g, scale)| g / scale).collect();
        Point {
            value: at.value,
            gradient_norm: largest(&at.gradient),
            slope: norm(&scaled),
            rounding: 16.0 * U * at.value.abs(),
            resolution: self.evaluator.resolution(at.value),
            model: at.gradient,
        }
    }
}

/// The initial matrix from a curvature.
fn initial(matrix: &Matrix, scales: &[f64]) -> Result<Preconditioner> {
    if matrix.structure() != Structure::Diagonal {
        return Preconditioner::blocks_in(blocks(matrix), scales);
    }
    let diagonal = matrix.diagonal();
    let relative = diagonal.iter().zip(scales).map(|(v, scale)| v / scale / scale);
    // As the blocks have it: a parameter that hardly matters must not take steps of any length.
    let least = match 1e-3 * relative.fold(0.0, f64::max) {
        0.0 => 1.0,
        least => least,
    };
    let sum = diagonal.iter().zip(scales).map(|(v, scale)| v + least * scale * scale);
    Ok(Preconditioner::Diagonal(sum.collect()))
}

impl Model for Secant<'_> {
    type Value = ();
    type Local = Vec<f64>;

    fn rules(&self) -> Rules {
        Rules {
            max_iter: self.options.max_iter,
            time_limit: self.options.time_limit,
            ftol: self.options.ftol,
            certified: Some(self.options.gtol),
            ..Rules::default()
        }
    }

    fn value(&mut self, at: &Point<Vec<f64>>, x: &[f64]) -> Result<((), f64)> {
        let value = match &self.trial {
            Some(found) if found.x == x => found.at.value,
            _ => self.evaluator.value(x)?,
        };
        Ok(((), at.value - value))
    }

    fn derive(&mut self, x: &[f64], _: Option<()>) -> Result<Point<Vec<f64>>> {
        let at = match &self.trial {
            Some(found) if found.x == x => found.at.clone(),
            _ => self.evaluator.gradient(x)?,
        };
        Ok(self.point(at))
    }

    fn prepare(&mut self, state: &mut State, at: &Point<Vec<f64>>) {
        if state.unit == 0.0 {
            state.unit = at.slope;
        }
    }

    fn propose(&mut self, state: &mut State, at: &mut Point<Vec<f64>>) -> Proposal {
        self.renew(state, at.slope)?;
        self.trial = None;
        while self.trial.is_none() {
            let solving = Instant::now();
            let direction = self.direction(&state.pairs, state.whole, &at.model)?;
            self.evaluator.times.solve += solving.elapsed();
            // Before anything is remembered the length of the step is a guess: a tenth of x, or of a unit.
            let known = !state.pairs.is_empty() || !matches!(self.matrix, Preconditioner::None);
            let scales = self.evaluator.scales();
            let size =
                |v: &[f64]| norm(&v.iter().zip(scales).map(|(v, r)| v * r).collect::<Vec<_>>());
            let first = if known { 1.0 } else { 0.1 * size(&state.x).max(1.0) / size(&direction) };
            self.trial = self.search(at, &state.x, &direction, first)?;
            // The pairs may have become useless; without it the slope alone counts.
            if self.trial.is_none() && std::mem::take(&mut state.pairs).is_empty() {
                break;
            }
        }
        let Some(found) = &self.trial else {
            return Ok(Some(Step {
                x: state.x.clone(),
                predicted: 0.0,
                length: 0.0,
                bounded: false,
                small: false,
                vanishing: true,
            }));
        };
        let (s, _) = &found.pair;
        let (longest, xtol) = (largest(s), self.options.xtol);
        Ok(Some(Step {
            x: found.x.clone(),
            predicted: 0.5 * dot(&at.model, s).abs(),
            length: longest,
            bounded: false,
            small: longest <= xtol * (xtol + largest(&state.x)),
            // A step along the slope alone that is rejected would be found again.
            vanishing: state.pairs.is_empty() || moved(&state.x, s) == state.x,
        }))
    }

    fn adapt(&mut self, state: &mut State, _: &Trial, accepted: bool) {
        let Some(Found { pair: (s, y), .. }) = self.trial.take() else {
            return;
        };
        if !accepted {
            state.pairs.clear();
            return;
        }
        state.since += 1;
        // Wolfe's second condition has sᵀy > 0; rounding may not.
        if dot(&s, &y) > U * norm(&s) * norm(&y) {
            // After a resumption there may be more.
            while state.pairs.len() >= self.options.pairs {
                state.pairs.pop_front();
            }
            state.pairs.push_back((s, y));
        }
    }

    fn stationary(&self, state: &State, next: &Point<Vec<f64>>, _: Option<&Step>) -> bool {
        next.gradient_norm <= state.goal(self.options.gtol)
    }

    fn examine(&mut self, state: &State, at: &mut Point<Vec<f64>>, enough: f64) -> Result<Promise> {
        self.recall(state)?;
        use Preconditioner::{Blocks, Shared};
        let has_blocks = matches!(self.matrix, Blocks(_) | Shared(_));
        let blocks = has_blocks.then_some(&self.matrix);
        let question = Question {
            preconditioner: blocks,
            is_whole: state.whole,
            ..Question::of(&at.model, enough)
        };
        examine(&mut self.evaluator, &state.x, question)
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
