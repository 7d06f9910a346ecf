//! The driver: streams the samples through a backend in chunks and adds the penalty.
//!
//! | file | holds |
//! |---|---|
//! | `samples.rs` | X, Y and ω on the backend |
//! | `states.rs` | forward propagation: z^k, x^k, h′, h″ |
//! | `chain.rs` | the sensitivities A^k and what is propagated back through them: eq. 8, ∂x^m/∂p^k |
//! | `second.rs` | second derivatives: the recursions of S^{lk} and T^{l,r} |
//! | `sums.rs`, `pairs.rs` | what is summed over the samples: gradient and blocks of units; blocks that couple units |
//! | `assemble.rs` | the matrix from the sums |
//! | `sizes.rs` | lengths of arrays, and checks of their numbers |
//! | `products/` | the R-operator: products with vectors |
//! | `linear.rs`, `sweep.rs` | one chunk: how far it is linearized and what is kept of it; what a request adds |
//! | `chunks.rs` | chunks of samples, several at once |
//! | `lanes.rs` | parts of the samples, whose sums are added in a fixed tree |
//! | `store.rs` | what requests leave for the next ones |
//! | `plan.rs` | the cost of a request, from a rehearsal |
//! | `lagrangian.rs`, `tensor.rs`, `jacobian.rs` | the Lagrangian at any configuration, derivatives of any order, ∂x^m/∂W |
//! | `factor.rs` | the triangle of squared errors and their Jacobian, by a tree of QR factorizations |
//!
//! The results do not depend on the chunk beyond rounding, and not at all on the number of threads.

mod assemble;
mod chain;
mod chunks;
mod counters;
mod factor;
mod jacobian;
mod lagrangian;
mod lanes;
mod linear;
mod pairs;
mod plan;
mod products;
mod samples;
mod second;
mod sizes;
mod states;
mod store;
mod sums;
mod sweep;
mod tensor;

use std::sync::Mutex;

use ndarray::{Array2, ArrayRef2};

pub(crate) use assemble::places;
pub(crate) use chunks::{Division, Share};
pub(crate) use counters::Counters;
pub use counters::Counts;
pub(crate) use factor::{Factored, factors, finish_factor};
pub(crate) use jacobian::jacobian;
pub use lagrangian::{Configuration, LagrangianPoint};
pub(crate) use lagrangian::{configuration, lagrangian};
pub(crate) use lanes::{Additive, Node, push_by, root};
#[cfg(feature = "gpu")]
pub(crate) use lanes::{count as lane_count, rows as rows_of_lanes};
pub(crate) use linear::{Kept, Need};
pub use plan::Plan;
#[cfg(feature = "gpu")]
pub(crate) use plan::rehearse;
pub(crate) use plan::{Planner, Target, Theta, Work};
pub(crate) use samples::{Samples, resident_bytes};
use sizes::finite;
pub(crate) use sizes::shape_product;
pub(crate) use states::Parameters;
#[cfg(feature = "gpu")]
pub(crate) use store::of_gpu;
pub(crate) use store::{Leave, Memory, Planned, PointStore};
pub(crate) use sums::Totals;
pub(crate) use sweep::Rows;
pub(crate) use tensor::{Tensor, tensor_at, tensor_sums};

use crate::backend::{Backend, Cpu};
use crate::curvature::{Curvature, Matrix, Structure, SymmetricTensor};
use crate::error::{Error, Quantity, Result};
use crate::interrupt::Limits;
use crate::memory::{bytes_of, require_memory, with_room};
use crate::network::Network;
use crate::objective::{Data, Loss, Penalty, Reduction, Source};
use crate::scratch::reserve_scratch;
use chunks::Task;
use linear::Setting;
pub(crate) use products::ProductTotals;
use products::{ProductSums, Vectors, together};
use states::States;
use sums::Sums;
use sweep::{sweep, sweep_products};

/// The quantities to compute besides the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Request {
    /// The gradient ∂E/∂W.
    pub gradient: bool,
    /// The multipliers e^k of every layer and sample.
    pub multipliers: bool,
    /// The outputs x^m of every sample.
    pub outputs: bool,
    /// A curvature matrix in a structure.
    pub curvature: Option<(Curvature, Structure)>,
    /// The sums of that curvature's row blocks over the units of each group, too; ignored where the structure is neither row blocks nor the diagonal.
    pub pooled: bool,
}

impl Request {
    /// The value and the gradient.
    pub fn gradient() -> Self {
        Request { gradient: true, ..Request::default() }
    }

    /// The value, the gradient and a curvature.
    pub fn curvature(curvature: Curvature, structure: Structure) -> Self {
        Request { curvature: Some((curvature, structure)), ..Request::gradient() }
    }

    /// The value, the gradient, the diagonal of a curvature, and the sums of its row blocks over the units of each group:
    /// [`Evaluation::pooled`].
    ///
    /// ```
    /// use ndarray::array;
    /// use secondo::{Activation, Curvature, Data, Loss, Network, Problem, Request};
    /// // Two linear outputs, E = ½ Σ ‖Wz − y‖²: each has the block Σ_i z_i z_iᵀ, z = (x, 1).
    /// let network = Network::dense(&[1, 2], Activation::Identity)?;
    /// let data = Data::new(array![[1.0], [3.0]], array![[0.0, 1.0], [1.0, 0.0]])?;
    /// let problem = Problem::new(network, data, Loss::SquaredError)?;
    /// let at = problem.evaluate(&[0.0; 4], Request::pooled(Curvature::GaussNewton))?;
    /// assert_eq!(at.pooled, [[20.0, 8.0, 4.0]]);
    /// # Ok::<(), secondo::Error>(())
    /// ```
    pub fn pooled(curvature: Curvature) -> Self {
        Request { pooled: true, ..Request::curvature(curvature, Structure::Diagonal) }
    }

    fn is_pooled(self) -> bool {
        self.pooled && self.curvature.is_some_and(|(c, s)| !pairs::is_coupled(c, s))
    }
}

/// The computed quantities, the penalty included.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// E(W), the penalty included.
    pub value: f64,
    /// pen(W) alone.
    pub penalty: f64,
    /// ∂E/∂W, length P; ∂E/∂θ under a constraint. Empty unless asked for.
    pub gradient: Vec<f64>,
    /// e^k for k = 1 … m, n × s_k each. Empty unless asked for.
    pub multipliers: Vec<Array2<f64>>,
    /// x^m, n × outputs, when asked for.
    pub outputs: Option<Array2<f64>>,
    /// The curvature matrix, when asked for.
    pub curvature: Option<Matrix>,
    /// Σ_j B_j over the units j of each group of the network, B_j the row block of unit j without the penalty: packed lower triangles, of the order of one unit's
    /// parameters. 0 where units are not linear. In W, also under a constraint. Empty unless asked for.
    pub pooled: Vec<Vec<f64>>,
    /// The largest size of an entry of the penalty's Hessian that couples what the matrix has in different blocks, and that
    /// it therefore leaves out; 0 where it holds all. In θ under a constraint. Where group norms and other penalties of a
    /// sum reach the same parameters it is a bound, which may be larger.
    pub left_out: f64,
}

/// A problem's parts, as the driver needs them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub network: &'a Network,
    pub data: &'a Source,
    pub loss: &'a Loss,
    pub penalty: &'a Penalty,
    pub reduction: Reduction,
}

/// Where a request is computed: a backend, with what requests leave on it for the next.
pub(crate) struct Place<'a, B: Backend> {
    pub backend: &'a B,
    pub samples: &'a Samples<B>,
    /// Backends for one thread each, with the arrays that wait in them.
    pub idle: &'a Mutex<Vec<B>>,
    pub counters: &'a Counters,
    pub limits: &'a Limits,
    /// Whether arrays wait for the next request after this one.
    pub is_warm: bool,
}

/// W on the backend, and what is kept at it.
pub(crate) struct At<'a, B: Backend> {
    pub parameters: &'a Parameters<B>,
    pub kept: Option<&'a Kept<B>>,
}

impl<B: Backend> Place<'_, B> {
    /// Calls `of` with some samples on the backend, chunk after chunk.
    fn each_chunk(
        &self,
        task: &Task<B>,
        parts: Parts,
        at: &At<B>,
        chunk: usize,
        mut of: impl FnMut(Setting<B>, samples::Batch<B>, Option<&linear::Slot<B>>) -> Result<()>,
    ) -> Result<()> {
        let setting = Setting {
            b: task.b,
            network: parts.network,
            loss: parts.loss,
            parameters: at.parameters,
            counters: self.counters,
        };
        for from in task.rows.clone().step_by(chunk) {
            self.limits.check()?;
            let rows = from..task.rows.end.min(from + chunk);
            if rows.len() < chunk && from > task.rows.start {
                // The last arrays have lengths of their own.
                task.b.release();
            }
            let slot = at.kept.and_then(|kept| kept.slot(from));
            self.samples
                .with(task.b, parts, rows, self.counters, |batch| of(setting, batch, slot))?;
        }
        Ok(())
    }

    /// Frees the arrays that wait, unless they may.
    fn release(&self, is_warm: bool) {
        if is_warm {
            return;
        }
        self.backend.release();
        let mut idle = self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        idle.clear();
    }
}

/// Calls `f` where any backend computes a request of its own, from samples that are uploaded chunk by chunk.
fn alone<B: Backend, R>(
    backend: &B,
    parts: Parts,
    w: &[f64],
    chunk: usize,
    f: impl FnOnce(&Place<B>, &At<B>) -> Result<R>,
) -> Result<R> {
    parts.network.check(w)?;
    (parts.data).first_targets(|y| backend.check_parts(parts.network, parts.loss, &y))?;
    let (idle, counters, limits) = (Mutex::default(), Counters::default(), Limits::default());
    let place = Place {
        backend,
        samples: &Samples::in_windows(parts, chunk, 0..parts.data.len()),
        idle: &idle,
        counters: &counters,
        limits: &limits,
        is_warm: false,
    };
    let parameters = Parameters::upload(backend, w)?;
    let at = At { parameters: &parameters, kept: None };
    let done = f(&place, &at);
    parameters.recycle(backend);
    done
}

/// E(W) and what `request` asks for on any backend, `chunk` samples at a time.
pub(crate) fn evaluate_on<B: Backend>(
    backend: &B,
    parts: Parts,
    w: &[f64],
    request: Request,
    chunk: usize,
) -> Result<Evaluation> {
    let division = Division::new(parts.network, parts.data.len(), request.into(), chunk)?;
    let of = |place: &Place<B>, at: &At<B>| sums(place, parts, at, request, division);
    let (totals, rows) = alone(backend, parts, w, chunk, of)?.whole()?;
    finish(parts, w, request, totals, rows)
}

/// Products on any backend, `chunk` samples at a time.
pub(crate) fn products_on<B: Backend>(
    backend: &B,
    parts: Parts,
    w: &[f64],
    curvature: Curvature,
    vectors: &[f64],
    chunk: usize,
) -> Result<Vec<f64>> {
    let work = Work::Products(curvature, vectors.len() / w.len().max(1));
    let division = Division::new(parts.network, parts.data.len(), work, chunk)?;
    let (totals, _) = alone(backend, parts, w, chunk, |place, at| {
        product_sums(place, parts, at, curvature, vectors, division)
    })?
    .whole()?;
    finish_products(parts, w, curvature, vectors, &totals)
}

/// A tensor on any backend, `chunk` samples at a time.
pub(crate) fn tensor_on<B: Backend>(
    backend: &B,
    parts: Parts,
    w: &[f64],
    of: Tensor,
    chunk: usize,
) -> Result<SymmetricTensor> {
    let division = Division::new(parts.network, parts.data.len(), Work::Tensor(of), chunk)?;
    let sums = |place: &Place<B>, at: &At<B>| tensor_sums(place, parts, at, of, division);
    let (packed, _) = alone(backend, parts, w, chunk, sums)?.whole()?;
    of.of_numbers(parts.network, packed)
}

/// The part of a request that one process has: sums over its lanes, and results for each of its samples.
pub(crate) struct Partial<S> {
    pub nodes: Vec<Node<S>>,
    pub rows: Rows,
}

impl<S> Partial<S> {
    /// Returns the sums over all samples and the results for each, if this process had all lanes.
    ///
    /// # Errors
    /// Those of [`root`].
    pub(crate) fn whole(self) -> Result<(S, Rows)> {
        Ok((root(self.nodes)?, self.rows))
    }
}

/// The sums that E(W) and what `request` asks for are made of.
pub(crate) fn sums<B: Backend>(
    place: &Place<B>,
    parts: Parts,
    at: &At<B>,
    request: Request,
    division: Division,
) -> Result<Partial<Totals>> {
    let network = parts.network;
    check_units(network, request.curvature.map(|(curvature, _)| curvature))?;
    let chunk = division.positive_chunk()?;
    let n = parts.data.len();
    let of_task = |task: Task<B>| -> Result<Found> {
        let mut sums = Sums::new(task.b, network, request, task.values)?;
        // The rows of the others are added to those of the first.
        let rows = if task.rows.start == 0 { n } else { task.rows.len() };
        let mut all = Rows::with_capacity(network, request, rows);
        place.each_chunk(&task, parts, at, chunk, |setting, batch, slot| {
            all.extend(sweep(setting, batch, request, slot, &mut sums)?);
            Ok(())
        })?;
        Ok(Found { totals: sums.read(task.b)?, rows: all })
    };
    let of = |task: Task<B>| place.samples.ended(of_task(task));
    let mut rows = Rows::default();
    let take = |found: Found| {
        rows.extend(found.rows);
        found.totals
    };
    let nodes = division.run(place.backend, place.idle, of, take)?;
    let is_large = request.curvature.is_some_and(|(c, s)| pairs::is_coupled(c, s));
    place.release(place.is_warm && !is_large);
    Ok(Partial { nodes, rows })
}

/// The contribution of some samples.
struct Found {
    totals: Totals,
    rows: Rows,
}

/// Returns the results of the sums over all samples, with the penalty.
pub(crate) fn finish(
    parts: Parts,
    w: &[f64],
    request: Request,
    totals: Totals,
    rows: Rows,
) -> Result<Evaluation> {
    let Parts { network, penalty, .. } = parts;
    let n = parts.data.len();
    let pen = penalty.value(network, w)?;
    // A backend that only counts has no value.
    let value = totals.value().map_or(f64::NAN, |sum| sum + pen);
    if !value.is_finite() {
        return Err(Error::non_finite(Quantity::Objective, &[]));
    }
    let mut gradient = totals.gradient.concat();
    if request.gradient {
        let pen = penalty.gradient(network, w)?;
        gradient.iter_mut().zip(pen).for_each(|(g, p)| *g += p);
        finite(Quantity::Gradient, &gradient)?;
    }
    let mut left_out = 0.0;
    let mut curvature = None;
    totals.pooled.iter().try_for_each(|group| finite(Quantity::Curvature, group))?;
    if let Some((which, structure)) = request.curvature {
        let mut matrix = if pairs::is_coupled(which, structure) {
            assemble::assemble(network, structure, totals.pairs)?
        } else {
            assemble::expand(network, structure, totals.curvature)
        };
        // Both Exact and GaussNewton have it: their difference has not.
        if which != Curvature::Residual {
            let hessian = penalty.hessian(network, w)?;
            hessian.add_to(&mut matrix);
            left_out = hessian.left_out(&matrix)?;
        }
        curvature = Some(matrix.finite(Quantity::Curvature)?);
    }
    let multipliers = (1..).zip(rows.multipliers);
    let multipliers = multipliers.map(|(k, e)| rows_of("multipliers", n, network.width(k), e));
    let outputs = || rows_of("outputs", n, network.outputs(), rows.outputs);
    Ok(Evaluation {
        value,
        penalty: pen,
        gradient,
        multipliers: multipliers.collect::<Result<_>>()?,
        outputs: request.outputs.then(outputs).transpose()?,
        curvature,
        pooled: totals.pooled,
        left_out,
    })
}

/// Returns numbers as n rows, if all are finite.
fn rows_of(what: &str, n: usize, columns: usize, values: Vec<f64>) -> Result<Array2<f64>> {
    let len = values.len();
    if let Some(i) = values.iter().position(|v| !v.is_finite()) {
        return Err(Error::non_finite(what, &[i / columns.max(1), i % columns.max(1)]));
    }
    Array2::from_shape_vec((n, columns), values)
        .map_err(|_| Error::shape(what, &[n, columns], &[len]))
}

/// The numbers of the results for each sample.
fn kept(network: &Network, work: Work) -> usize {
    let Work::Evaluate(request) = work else {
        return 0;
    };
    let units = network.layers().iter().map(|l| l.units).sum();
    let multipliers = if request.multipliers { units } else { 0 };
    let outputs = if request.outputs { network.outputs() } else { 0 };
    multipliers + outputs
}

/// The numbers in the sums of a request.
///
/// # Errors
/// `TooLarge` if there are too many to count.
pub(crate) fn sums_of(network: &Network, work: Work) -> Result<usize> {
    let (b, counter) = Cpu::<f64>::rehearsal(1);
    match work {
        Work::Evaluate(request) => drop(Sums::new(&b, network, request, 1)?),
        Work::Products(curvature, count) => {
            drop(ProductSums::new(&b, network, curvature, count)?);
        }
        Work::Tensor(of) => return of.numbers(network),
        Work::Factor => return Ok(factor::numbers(network)),
    }
    Ok((counter.cost().peak / 8) as usize)
}

/// The lanes of n samples in chunks of so many: one where chunks would cross their borders, as those of adapters may.
fn lanes_of(n: usize, chunk: usize) -> usize {
    if chunk > 0 && lanes::UNIT.is_multiple_of(chunk) { lanes::count(n) } else { 1 }
}

impl Division {
    /// Returns how a request divides n samples into chunks.
    ///
    /// # Errors
    /// Those of [`sums_of`].
    pub(crate) fn new(network: &Network, samples: usize, work: Work, chunk: usize) -> Result<Self> {
        let sums = sums_of(network, work)?;
        let few = work.has_few(sums);
        let lanes = lanes_of(samples, chunk);
        let kept = kept(network, work);
        Ok(Division { samples, chunk, sums, few, kept, lanes, share: Share::ALL })
    }

    /// Returns how a request with this plan divides n samples into chunks of `chunk`, of which a `share` is computed here.
    pub(crate) fn planned(
        network: &Network,
        samples: usize,
        work: Work,
        plan: &Plan,
        chunk: usize,
        share: Share,
    ) -> Self {
        let is_alone = plan.device > 0 && share == Share::ALL;
        let lanes = if is_alone { 1 } else { lanes_of(samples, chunk) };
        let &Plan { sums, few, .. } = plan;
        Division { samples, chunk, sums, few, kept: kept(network, work), lanes, share }
    }

    fn positive_chunk(self) -> Result<usize> {
        if self.chunk == 0 {
            let why = "at least one sample at a time is needed";
            return Err(Error::invalid("chunk", why));
        }
        Ok(self.chunk)
    }
}

/// Refuses a curvature that needs derivatives which units do not have.
pub(crate) fn check_units(network: &Network, curvature: Option<Curvature>) -> Result<()> {
    if curvature.is_some_and(Curvature::is_exact) {
        return network.check_exact();
    }
    Ok(())
}

/// The sums that products with the vectors, rows of length P, are made of.
pub(crate) fn product_sums<B: Backend>(
    place: &Place<B>,
    parts: Parts,
    at: &At<B>,
    curvature: Curvature,
    vectors: &[f64],
    division: Division,
) -> Result<Partial<Vec<ProductTotals>>> {
    let (network, b) = (parts.network, place.backend);
    check_units(network, Some(curvature))?;
    let chunk = division.positive_chunk()?;
    finite("the vectors", vectors)?;
    let p = network.parameters();
    let count = together(network, vectors.len() / p).max(1);
    let along = (vectors.chunks(count * p))
        .map(|v| Vectors::upload(b, network, v.len() / p, v))
        .collect::<Result<Vec<_>>>()?;
    let of_task = |task: Task<B>| -> Result<Vec<ProductTotals>> {
        let mut sums = (along.iter())
            .map(|v| ProductSums::new(task.b, network, curvature, v.count))
            .collect::<Result<Vec<_>>>()?;
        place.each_chunk(&task, parts, at, chunk, |setting, batch, slot| {
            sweep_products(setting, batch, curvature, slot, &along, &mut sums)
        })?;
        sums.into_iter().map(|sums| sums.read(task.b)).collect()
    };
    let of = |task: Task<B>| place.samples.ended(of_task(task));
    let nodes = division.run(b, place.idle, of, |totals| totals)?;
    along.into_iter().for_each(|vectors| vectors.recycle(b));
    place.release(place.is_warm);
    Ok(Partial { nodes, rows: Rows::default() })
}

/// B v for each of the vectors from the sums over all samples, penalty included.
pub(crate) fn finish_products(
    parts: Parts,
    w: &[f64],
    curvature: Curvature,
    vectors: &[f64],
    totals: &[ProductTotals],
) -> Result<Vec<f64>> {
    let network = parts.network;
    let p = network.parameters();
    let count = together(network, vectors.len() / p).max(1);
    let mut out = vec![0.0; vectors.len()];
    for (totals, out) in totals.iter().zip(out.chunks_mut(count * p)) {
        totals.add_to(network, out.len() / p, out);
    }
    if curvature != Curvature::Residual {
        let penalty = parts.penalty.hessian(network, w)?;
        for (v, out) in vectors.chunks(p).zip(out.chunks_mut(p)) {
            penalty.add_product(v, out);
        }
    }
    finite("the product", &out)?;
    Ok(out)
}

/// x^m for the rows of `x`, in f64 on the processor, as many samples at a time as the memory allows.
pub(crate) fn predict(network: &Network, x: &ArrayRef2<f64>, w: &[f64]) -> Result<Array2<f64>> {
    network.check(w)?;
    let inputs = network.inputs();
    if x.ncols() != inputs {
        return Err(Error::shape("columns of X", &[inputs], &[x.ncols()]));
    }
    let backend = &Cpu::<f64>::new();
    let standard = x.as_standard_layout();
    let values = standard.as_slice().unwrap_or_default();
    let chunk = rows_at_once(network, x.nrows())?;
    let parameters = Parameters::upload(backend, w)?;
    let numbers = shape_product("the outputs", &[x.nrows(), network.outputs()])?;
    let mut out = with_room("the outputs", numbers)?;
    for rows in values.chunks(chunk * inputs) {
        let n = rows.len() / inputs;
        let x = samples::upload_inputs(backend, network, rows)?;
        let view = samples::inputs_view(network, n, &x);
        let states = States::propagate(backend, network, &parameters, view, 0)?;
        out.extend(states::download(backend, states.x(network, view, network.depth()))?);
        states.recycle(backend);
        backend.recycle([x]);
    }
    rows_of("outputs", x.nrows(), network.outputs(), out)
}

/// Returns how many of the rows are predicted at a time: up to 4096, as a rehearsal says that they fit beside all outputs.
///
/// # Errors
/// `Memory` if not even one fits.
fn rows_at_once(network: &Network, rows: usize) -> Result<usize> {
    let outputs = bytes_of(&[8, rows, network.outputs()]);
    reserve_scratch()?;
    let mut chunk = rows.clamp(1, 4096);
    loop {
        let (b, counter) = Cpu::<f64>::rehearsal(rayon::current_num_threads());
        let parameters = Parameters::blank(&b, network)?;
        let arrays = samples::Arrays::blank(&b, network, chunk)?;
        let x = arrays.batch(network, 0, chunk).x;
        States::propagate(&b, network, &parameters, x, 0)?;
        let need = counter.cost().peak.saturating_add(outputs);
        if need <= crate::available_memory() {
            return Ok(chunk);
        }
        if chunk == 1 {
            let what = format!("the outputs of {network} for {rows} rows");
            require_memory(&what, need, "predict for fewer rows at once")?;
        }
        chunk = chunk.div_ceil(2);
    }
}

/// ω as the reduction uses it: the mean divides by their sum.
pub(crate) fn weights(data: &Data, reduction: Reduction) -> Vec<f64> {
    match reduction {
        Reduction::Sum => data.weights().to_vec(),
        Reduction::Mean => {
            let total: f64 = data.weights().iter().sum();
            data.weights().iter().map(|w| w / total).collect()
        }
    }
}
