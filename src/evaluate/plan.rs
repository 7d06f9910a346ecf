//! The cost of a request, before anything is allocated.

use std::fmt;

use super::chunks::{are_apart, are_few};
use super::counters::Counters;
use super::factor;
use super::lanes::{self, Additive};
use super::linear::{Extent, Linear, Need, Setting};
use super::products::{ProductSums, Vectors, together};
use super::samples::Arrays;
use super::states::Parameters;
use super::sums::Sums;
use super::sweep::{sweep, sweep_products};
use super::tensor::{Tensor, TensorSums, sweep_tensor};
use super::{Division, Request, check_units};
use crate::backend::cpu::{self, Real};
#[cfg(feature = "gpu")]
use crate::backend::gpu::Gpu;
use crate::backend::{Backend, Cost, Cpu};
use crate::curvature::{Curvature, Structure, triangle};
use crate::error::{Error, Result, bytes};
use crate::memory::{available_memory, bytes_of, is_address_space_limited};
use crate::network::Network;
use crate::objective::{Loss, Stream};
use crate::scratch::reserve_scratch;

/// Bytes of a chunk's arrays together, at the most. Of 6, 16 and 64 MiB, 16 was the best compromise on 2 cores with 2 MiB of
/// second-level cache each: 64 was 7 % faster for [32-64-1] and slower for [128-16-1] and [64-32-10].
const CHUNK: u64 = 16 << 20;
/// The same for a hardware adapter, whose launches must be long to be worth it; a choice, not a measurement.
#[cfg(feature = "gpu")]
const CHUNK_ON_DEVICE: u64 = 512 << 20;

/// Operations of a chunk that are worth waking a thread for; a choice, not a measurement.
const WORTH: f64 = 1e6;

/// Bytes of arrays that may lie in a core's second-level cache: beyond, chunks of [`cpu::BLOCK`] samples are halved. One product of
/// [32-64-1] then took 3.0 to 3.1 ms instead of 3.2 to 3.3, on 2 cores of an Intel Xeon with 2 MiB each.
const CACHE: u64 = 3 << 19;

/// Products in one request: a rehearsal takes memory for each of them.
const MOST_PRODUCTS: usize = 1 << 20;

/// A request of any kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Work {
    /// The value, and what comes with it.
    Evaluate(Request),
    /// Products of a curvature with so many vectors.
    Products(Curvature, usize),
    /// A derivative of the Lagrangian in one unit's parameters.
    Tensor(Tensor),
    /// The triangle of the residuals of squared errors and their Jacobian.
    Factor,
}

impl Work {
    /// Whether it has results for each sample.
    pub(crate) fn has_rows(self) -> bool {
        matches!(self, Work::Evaluate(Request { multipliers, outputs, .. }) if multipliers || outputs)
    }

    /// Adds the numbers of the sums over the next samples, in the order of their arrays.
    pub(crate) fn add(self, total: &mut Vec<f64>, next: Vec<f64>) {
        match self {
            Work::Factor => factor::add(total, &next),
            _ => total.add(next),
        }
    }

    /// Whether chunks may have sums of their own, if these have so many numbers.
    pub(super) fn has_few(self, sums: usize) -> bool {
        !matches!(self, Work::Tensor(_)) && are_few(sums, matches!(self, Work::Products(..)))
    }
}

impl From<Request> for Work {
    fn from(request: Request) -> Self {
        Work::Evaluate(request)
    }
}

/// The results of a request in θ, W = fixed + Cθ, besides those in W.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Theta {
    /// Bytes of what has a number for each θ, or for each pair: made beside the same in W, when the chunk is gone.
    pub results: u64,
    /// Bytes in W that the request holds from its start: the parameters, and the vectors of products.
    pub beside: u64,
}

/// Where a request is computed.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// The processor, with floats of so many bytes.
    Cpu {
        /// 4 or 8.
        float: usize,
    },
    /// An adapter.
    #[cfg(feature = "gpu")]
    Gpu(Gpu),
}

impl Target {
    /// A number that tells targets of one problem apart.
    pub(super) fn number(&self) -> u64 {
        match self {
            Target::Cpu { float } => *float as u64,
            #[cfg(feature = "gpu")]
            Target::Gpu(gpu) => gpu.number(),
        }
    }

    /// Bytes of a float.
    pub(crate) fn float(&self) -> usize {
        match self {
            Target::Cpu { float } => *float,
            #[cfg(feature = "gpu")]
            Target::Gpu(gpu) => {
                if gpu.is_f64() {
                    8
                } else {
                    4
                }
            }
        }
    }
}

/// The cost of a request and the number of samples it takes at a time.
///
/// Bytes are those that are allocated at once; what the allocator keeps of memory that was given back is not counted, so that a
/// process can have more resident.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// Samples in one chunk.
    pub chunk: usize,
    /// Bytes of X, Y and ω, which the caller holds already; 0 of samples that are read.
    pub data: u64,
    /// Bytes of what is returned.
    pub results: u64,
    /// Bytes that live only while the request runs: parameters, a chunk's arrays, scratch space, windows of samples that are read. What the matrix-product
    /// library reserves for itself once for each thread is not counted; it touches little of it.
    pub working: u64,
    /// Bytes that live on the adapter at once; 0 where the processor computes. Buffers that were given back stay for reuse
    /// besides, up to the adapter's budget.
    pub device: u64,
    /// Floating-point operations over all samples.
    pub flops: f64,
    /// Numbers that are summed over the samples.
    pub(crate) sums: usize,
    /// Whether chunks may have sums of their own.
    pub(crate) few: bool,
}

impl Plan {
    /// Bytes of the host's memory that the request takes besides the data.
    pub fn bytes(&self) -> u64 {
        self.results.saturating_add(self.working)
    }

    /// Whether chunks of n samples have sums of their own, or would if there were several.
    pub(crate) fn may_be_apart(&self, n: usize) -> bool {
        let is_whole = self.chunk == n || self.chunk.is_multiple_of(cpu::QUANTUM);
        is_whole && are_apart(self.few, cpu::QUANTUM, n)
    }

    /// The plan in θ from that in W, of whose results `kept` bytes have a number for each sample.
    fn in_theta(self, theta: Theta, kept: u64) -> Plan {
        let made = self.results.saturating_add(theta.results);
        let most = self.bytes().max(made).saturating_add(theta.beside);
        let results = kept.saturating_add(theta.results);
        Plan { results, working: most.saturating_sub(results), ..self }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of results, {} of working memory ({} samples at a time), {:.3e} flop",
            bytes(self.results),
            bytes(self.working),
            self.chunk,
            self.flops
        )?;
        match self.device {
            0 => Ok(()),
            device => write!(f, ", {} on the device", bytes(device)),
        }
    }
}

/// A request of a kind for n samples, to be planned.
pub(crate) struct Planner<'a> {
    pub network: &'a Network,
    pub loss: &'a Loss,
    pub samples: usize,
    /// The samples that are read, where they are not in memory.
    pub stream: Option<&'a Stream>,
    pub work: Work,
    pub target: &'a Target,
    pub theta: Option<Theta>,
}

/// A plan, with the bytes that live at once while it is computed, where it is computed.
type Measured = (Plan, u64);

impl Planner<'_> {
    /// Returns what the request costs in the largest comfortable chunk, or the largest that fits in `budget` bytes of the host besides
    /// the data.
    ///
    /// # Errors
    /// `Memory` with the numbers if not even one sample at a time fits, `Gpu` if an array exceeds what the adapter allows,
    /// `TooLarge` if a size overflows, `Unsupported` if units lack derivatives that the curvature needs.
    pub(crate) fn plan(&self, budget: u64) -> Result<Plan> {
        check_units(
            self.network,
            match self.work {
                Work::Evaluate(request) => request.curvature.map(|(curvature, _)| curvature),
                Work::Products(curvature, _) => Some(curvature),
                Work::Tensor(_) | Work::Factor => None,
            },
        )?;
        // With very many units that are not linear, counting takes long, too: where the matrix alone exceeds the budget, that is
        // answer enough. So it is with very many products, and with a triangle.
        let results = self.matrix_bytes().max(self.product_bytes()?).max(self.factor_bytes());
        let budget = if is_address_space_limited() {
            reserve_scratch()?;
            budget.min(available_memory())
        } else {
            budget
        };
        if results > budget {
            let plan = Plan {
                chunk: 1,
                data: 0,
                results,
                working: 0,
                device: 0,
                flops: 0.0,
                sums: 0,
                few: false,
            };
            return Err(self.refusal(&plan, budget)?);
        }
        let threads = rayon::current_num_threads();
        let mut chunk = self.comfortable_chunk()?;
        loop {
            match self.measure(chunk, threads) {
                Ok((plan, _)) if plan.bytes() <= budget && plan.device <= self.device_budget() => {
                    return Ok(plan);
                }
                Ok((plan, _)) if chunk <= 1 => return Err(self.refusal(&plan, budget)?),
                Err(error @ Error::Gpu { .. }) if chunk <= 1 => return Err(error),
                Ok(_) | Err(Error::Gpu { .. }) => chunk /= 2,
                Err(other) => return Err(other),
            }
        }
    }

    fn request(&self) -> Request {
        match self.work {
            Work::Evaluate(request) => request,
            Work::Products(..) | Work::Tensor(_) | Work::Factor => Request::default(),
        }
    }

    /// Bytes of products with vectors; 0 where there are none.
    ///
    /// # Errors
    /// `Unsupported` for more than one request can have.
    fn product_bytes(&self) -> Result<u64> {
        let Work::Products(_, count) = self.work else {
            return Ok(0);
        };
        if count > MOST_PRODUCTS {
            return Err(Error::Unsupported {
                what: format!("a request of {count} products"),
                why: format!("{MOST_PRODUCTS} are the most; divide them into several requests"),
            });
        }
        Ok(bytes_of(&[8, count, self.network.parameters()]))
    }

    /// Bytes of a triangle; 0 where there is none.
    fn factor_bytes(&self) -> u64 {
        match self.work {
            Work::Factor => bytes_of(&[8, factor::numbers(self.network)]),
            _ => 0,
        }
    }

    /// Bytes of a matrix whose blocks span units; 0 where there is none.
    fn matrix_bytes(&self) -> u64 {
        let order = |p: usize| 8u64.saturating_mul(triangle(p.min(1 << 31)) as u64);
        match self.request().curvature {
            Some((_, Structure::Full)) => order(self.network.parameters()),
            Some((_, Structure::LayerBlocks)) => {
                let layers = self.network.layers().iter();
                layers.map(|l| order(l.range.len())).fold(0, u64::saturating_add)
            }
            _ => 0,
        }
    }

    /// How many read samples at once.
    fn readers(&self) -> u64 {
        match self.target {
            #[cfg(feature = "gpu")]
            Target::Gpu(gpu) => gpu.sharers() as u64,
            _ => 1,
        }
    }

    /// Bytes that may be taken on the adapter.
    fn device_budget(&self) -> u64 {
        match self.target {
            #[cfg(feature = "gpu")]
            Target::Gpu(gpu) => gpu.memory(),
            _ => u64::MAX,
        }
    }

    /// Returns the chunk where memory is not short. It follows from the shapes alone, as if there were one thread, so that the bits
    /// of a result do not depend on the threads.
    fn comfortable_chunk(&self) -> Result<usize> {
        let n = self.samples;
        let chunk = cpu::BLOCK.min(n);
        if self.work == Work::Factor {
            return Ok(factor::chunk(self.network).clamp(chunk, lanes::UNIT).min(n));
        }
        let sums = super::sums_of(self.network, self.work)?;
        let few = self.work.has_few(sums);
        match *self.target {
            Target::Cpu { float } if are_apart(few, cpu::QUANTUM, n) => {
                self.chunk_of_one_thread(chunk, float, sums)
            }
            _ => self.longest_chunk(chunk),
        }
    }

    /// Returns a chunk that is short enough to keep some threads busy, if that is worth it, and to stay in a core's cache.
    fn chunk_of_one_thread(&self, block: usize, float: usize, sums: usize) -> Result<usize> {
        let n = self.samples;
        let (plan, _) = self.measure(block, 1)?;
        let short = cpu::block(n, false);
        let is_short_worth_it = plan.flops / n as f64 * short as f64 > WORTH;
        let chunk = if plan.flops <= 2.0 * WORTH {
            self.most_samples()
        } else if is_short_worth_it {
            short.min(n)
        } else {
            block
        };
        if chunk == cpu::BLOCK {
            let Rehearsal { before, cost, .. } = self.rehearse_on_cpu(float, chunk, 1, true)?;
            if cost.peak - before > CACHE + 8 * sums as u64 {
                return Ok(chunk / 2);
            }
        }
        Ok(chunk)
    }

    /// The longest chunk that there may be: where the samples have lanes, one that divides them.
    fn most_samples(&self) -> usize {
        match self.target {
            #[cfg(feature = "gpu")]
            Target::Gpu(gpu) if gpu.sharers() == 1 => self.samples,
            _ if lanes::count(self.samples) > 1 => lanes::UNIT,
            _ => self.samples,
        }
    }

    /// Returns the longest chunk, from this one on, whose arrays together are comfortable where it is computed.
    fn longest_chunk(&self, mut chunk: usize) -> Result<usize> {
        let comfortable = match self.target {
            #[cfg(feature = "gpu")]
            Target::Gpu(gpu) if gpu.adapter().software => 2 * CHUNK,
            #[cfg(feature = "gpu")]
            Target::Gpu(_) => CHUNK_ON_DEVICE,
            _ => CHUNK,
        };
        let (_, fixed) = self.measure(0, 1)?;
        let most = self.most_samples();
        while chunk < most {
            let next = (2 * chunk).min(most);
            match self.measure(next, 1) {
                Ok((_, bytes)) if bytes.saturating_sub(fixed) <= comfortable => chunk = next,
                // An array of that many samples may exceed what the adapter allows.
                Ok(_) | Err(Error::Gpu { .. }) => break,
                Err(other) => return Err(other),
            }
        }
        Ok(chunk)
    }

    /// Returns the plan for a chunk.
    fn measure(&self, chunk: usize, threads: usize) -> Result<Measured> {
        let division = Division::new(self.network, self.samples, self.work, chunk)?;
        let (rehearsal, device) = match self.target {
            &Target::Cpu { float } => (self.rehearse_chunks(float, division, threads)?, 0),
            #[cfg(feature = "gpu")]
            Target::Gpu(gpu) => {
                let backend = gpu.rehearsal();
                let mut measured = self.rehearse(&backend, || backend.cost(), chunk, 1)?;
                let sharers = gpu.sharers() as u64;
                if sharers > 1 {
                    // Each computes at once with the others, and holds the branches that its lanes are of the tree.
                    let branches = 2 * sharers * lanes::waiting(division.lanes);
                    let waiting = branches.min(division.lanes as u64);
                    let bytes = waiting.saturating_mul(bytes_of(&[8, division.sums]));
                    let peak = measured.cost.peak.saturating_mul(sharers);
                    measured.cost.peak = peak.saturating_add(bytes);
                }
                (measured, backend.device_peak())
            }
        };
        let peak = rehearsal.cost.peak;
        let plan = self.plan_of(division, rehearsal, device)?;
        Ok((plan, if device > 0 { device } else { peak }))
    }

    /// Rehearses a request on the processor, several chunks at once where they are apart.
    fn rehearse_chunks(
        &self,
        float: usize,
        division: Division,
        threads: usize,
    ) -> Result<Rehearsal> {
        let Division { samples: n, chunk, sums, few, kept, lanes, .. } = division;
        // The sums of lanes that wait in the tree.
        let in_tree = lanes::waiting(lanes).saturating_mul(bytes_of(&[8, sums]));
        if !are_apart(few, chunk, n) {
            let mut rehearsal = self.rehearse_on_cpu(float, chunk, threads, false)?;
            // With the rows of a lane, before they stand with those of the others.
            let rows =
                if lanes > 1 { bytes_of(&[8, kept, division.lane(lanes - 1).len()]) } else { 0 };
            rehearsal.cost.peak = rehearsal.cost.peak.saturating_add(in_tree).saturating_add(rows);
            return Ok(rehearsal);
        }
        let mut rehearsal = self.rehearse_on_cpu(float, chunk, 1, true)?;
        let (chunks, peak) = (n.div_ceil(chunk), rehearsal.cost.peak);
        // The sums of the chunks that are computed are those that wait later.
        let own = (peak - rehearsal.before).saturating_sub(8 * sums as u64);
        rehearsal.host = rehearsal.host.saturating_mul(threads.min(chunks) as u64);
        let (most, each) = division.waiting(threads);
        // With the sum of those before.
        let waiting = chunks.min(most + 1) as u64 * 8 * each as u64;
        // With the arrays of the last chunk, which is shorter, beside those of the one before it.
        rehearsal.cost.peak = own
            .saturating_mul(threads.min(chunks) as u64)
            .saturating_add((own as f64 * (n % chunk) as f64 / chunk as f64) as u64)
            .saturating_add(rehearsal.before)
            .saturating_add(waiting)
            .saturating_add(in_tree);
        Ok(rehearsal)
    }

    /// Rehearses one chunk on the processor, on so many threads or as one of several chunks that are computed at once.
    fn rehearse_on_cpu(
        &self,
        float: usize,
        chunk: usize,
        threads: usize,
        apart: bool,
    ) -> Result<Rehearsal> {
        if float == 4 {
            self.rehearse_in::<f32>(chunk, threads, apart)
        } else {
            self.rehearse_in::<f64>(chunk, threads, apart)
        }
    }

    fn rehearse_in<T: Real>(&self, chunk: usize, threads: usize, apart: bool) -> Result<Rehearsal> {
        let (mut b, counter) = Cpu::<T>::rehearsal(threads);
        let mut values = 1;
        if let Some(alone) = b.on_one_thread().filter(|_| apart) {
            (b, values) = (alone, chunk.div_ceil(cpu::QUANTUM));
        }
        self.rehearse(&b, || counter.cost(), chunk, values)
    }

    /// Runs the driver for one chunk on a backend that counts.
    fn rehearse<B: Backend>(
        &self,
        b: &B,
        cost: impl Fn() -> Cost,
        chunk: usize,
        values: usize,
    ) -> Result<Rehearsal> {
        let network = self.network;
        let counters = Counters::default();
        let parameters = Parameters::blank(b, network)?;
        let setting =
            Setting { b, network, loss: self.loss, parameters: &parameters, counters: &counters };
        let mut before = cost().live;
        let (held, host);
        match self.work {
            Work::Evaluate(request) => {
                let mut sums = Sums::new(b, network, request, values)?;
                (held, host) = (cost().live, 0);
                let arrays = Arrays::blank(b, network, chunk)?;
                let batch = arrays.batch(network, 0, chunk);
                sweep(setting, batch, request, None, &mut sums)?;
            }
            Work::Products(curvature, count) => {
                let together = together(network, count).max(1);
                let counts = (0..count).step_by(together).map(|from| together.min(count - from));
                let vectors = (counts.clone())
                    .map(|count| Vectors::blank(b, network, count))
                    .collect::<Result<Vec<_>>>()?;
                before = cost().live;
                (held, host) = (before, 0);
                let mut sums = counts
                    .map(|count| ProductSums::new(b, network, curvature, count))
                    .collect::<Result<Vec<_>>>()?;
                let arrays = Arrays::blank(b, network, chunk)?;
                let batch = arrays.batch(network, 0, chunk);
                sweep_products(setting, batch, curvature, None, &vectors, &mut sums)?;
            }
            Work::Tensor(of) => {
                let mut sums = TensorSums::new(b, network, of)?;
                held = cost().live;
                let arrays = Arrays::blank(b, network, chunk)?;
                host = sums.host_bytes(chunk);
                sweep_tensor(setting, arrays.batch(network, 0, chunk), &mut sums)?;
            }
            Work::Factor => {
                let _sums = b.sums(factor::numbers(network))?;
                (held, host) = (cost().live, factor::host_bytes(network, chunk));
                let arrays = Arrays::blank(b, network, chunk)?;
                factor::linearize(setting, arrays.batch(network, 0, chunk), &mut [])?;
            }
        }
        Ok(Rehearsal { before, held, host, cost: cost() })
    }

    /// Returns the plan that follows from the rehearsal of one chunk.
    fn plan_of(&self, division: Division, rehearsal: Rehearsal, device: u64) -> Result<Plan> {
        let (network, n, chunk) = (self.network, division.samples, division.chunk);
        let Rehearsal { before, held, host, cost } = rehearsal;
        let Cost { peak, flops, .. } = cost;
        let (p, rows) = (network.parameters() as u64, n as u64);
        let (count, on_host) = match self.work {
            Work::Evaluate(_) => (0, 0.0),
            Work::Products(_, count) => (count as u64, 0.0),
            Work::Tensor(of) => (0, of.multiplications(network, n)?),
            Work::Factor => (0, factor::multiplications(network, n)),
        };
        let of_samples = rows.saturating_mul(8 * division.kept as u64);
        // The sums become the results, and the parameters do not; unless a matrix is made of the sums: then there are both,
        // but no chunk any more.
        let matrix = self.matrix_bytes();
        let (results, most) = if matrix > 0 {
            let results = matrix.saturating_add(8 * p);
            (results, peak.max(held.saturating_add(matrix)).saturating_sub(results))
        } else if count > 0 {
            // They are made of the sums, when vectors and chunk are gone.
            let results = count.saturating_mul(8 * p);
            let at_end =
                bytes_of(&[8, division.sums]).saturating_add(results).saturating_add(8 * p);
            (results, peak.max(at_end).saturating_sub(results))
        } else {
            let sums = held - before;
            (sums.saturating_add(8 * p), peak - sums.min(peak))
        };
        let numbers = network.inputs() + network.outputs() + 1;
        let (data, windows) = match self.stream {
            None => (rows.saturating_mul(8 * numbers as u64), 0),
            Some(stream) => (0, stream.held(chunk).saturating_mul(self.readers())),
        };
        // ω of a chunk is copied where the reduction scales it.
        let omega = bytes_of(&[8, chunk, rayon::current_num_threads()]);
        let beside = windows.saturating_add(omega);
        let plan = Plan {
            chunk,
            data,
            results: results.saturating_add(of_samples),
            // The penalty's parts are vectors of length P.
            working: (most.saturating_add(host)).saturating_add(beside.saturating_add(24 * p)),
            device,
            flops: match chunk {
                0 => 0.0,
                _ => flops * n as f64 / chunk as f64 + on_host,
            },
            sums: division.sums,
            few: division.few,
        };
        Ok(match self.theta {
            None => plan,
            Some(theta) => plan.in_theta(theta, of_samples),
        })
    }

    /// Returns the error that refuses a plan, with what would need less.
    fn refusal(&self, plan: &Plan, budget: u64) -> Result<Error> {
        let network = self.network;
        let (device_budget, curvature) = (self.device_budget(), self.request().curvature);
        let on_device = plan.device > device_budget;
        let smaller = |curvature, structure: Structure, next: &str| {
            let smaller = Planner {
                work: Request::curvature(curvature, structure).into(),
                theta: None,
                ..*self
            };
            let (plan, _) = smaller.measure(1, rayon::current_num_threads())?;
            Ok(format!(
                "{} need {}{next}; or raise the memory budget, or make the layers narrower",
                structure.name(),
                bytes(plan.bytes())
            ))
        };
        let advice = match curvature {
            _ if on_device => "raise the device's memory budget, or use the CPU".into(),
            Some((c, Structure::RowBlocks)) => smaller(c, Structure::Diagonal, "")?
                .replace("diagonal need", "the diagonal alone needs"),
            Some((c, Structure::Full | Structure::LayerBlocks)) => {
                let next = ", and products hold no matrix at all";
                smaller(c, Structure::RowBlocks, next)?
            }
            _ if matches!(self.work, Work::Tensor(_)) => {
                "ask for a lower order, or raise the memory budget".into()
            }
            _ if self.work == Work::Factor => {
                "use trust-region with the curvature gauss-newton, newton-cg or lbfgs, or raise the memory budget".into()
            }
            _ => "raise the memory budget, or make the layers narrower".into(),
        };
        let mut what = match (curvature, self.work) {
            (Some((c, s)), _) => format!("{} ({}) of {network}", s.name(), c.name()),
            (_, Work::Tensor(of)) => format!(
                "the tensor of order {} of layer {}, row {}, of {network}",
                of.order, of.layer, of.row
            ),
            (_, Work::Products(c, count)) => {
                format!("{count} products ({}) of {network}", c.name())
            }
            (_, Work::Factor) => format!("the factorized Jacobian of {network}"),
            _ => format!("the evaluation of {network}"),
        };
        if on_device {
            what += ", on the device,";
        }
        Ok(Error::Memory {
            what,
            need: if on_device { plan.device } else { plan.bytes() },
            budget: if on_device { device_budget } else { budget },
            advice,
        })
    }
}

/// The cost of one chunk on the host.
struct Rehearsal {
    /// Bytes before the sums.
    before: u64,
    /// Bytes with the sums.
    held: u64,
    /// Bytes that the host holds besides, which the backend does not count.
    host: u64,
    cost: Cost,
}

/// Returns the backend of an adapter on which one chunk of a request was rehearsed.
///
/// # Errors
/// Those that the rehearsal reports.
#[cfg(feature = "gpu")]
pub(crate) fn rehearse(
    gpu: &Gpu,
    network: &Network,
    loss: &Loss,
    chunk: usize,
    work: Work,
) -> Result<Gpu> {
    let backend = gpu.rehearsal();
    let planner = Planner {
        network,
        loss,
        samples: chunk,
        stream: None,
        work,
        target: &Target::Gpu(gpu.clone()),
        theta: None,
    };
    planner.rehearse(&backend, || backend.cost(), chunk, 1)?;
    Ok(backend)
}

/// Returns the bytes that stay where a chunk is computed when all of its linearization is kept, h″ with it.
///
/// # Errors
/// Those that the rehearsal reports.
pub(crate) fn kept_bytes(
    network: &Network,
    loss: &Loss,
    chunk: usize,
    target: &Target,
) -> Result<u64> {
    fn of_chunk<B: Backend>(b: &B, network: &Network, loss: &Loss, chunk: usize) -> Result<()> {
        let parameters = Parameters::blank(b, network)?;
        let setting =
            Setting { b, network, loss, parameters: &parameters, counters: &Counters::default() };
        let arrays = Arrays::blank(b, network, chunk)?;
        let need = Need { extent: Extent::Multipliers, order: 2 };
        Linear::new(setting, arrays.batch(network, 0, chunk), need, None, None)?;
        Ok(())
    }
    match target {
        #[cfg(feature = "gpu")]
        Target::Gpu(gpu) => {
            let backend = gpu.rehearsal();
            of_chunk(&backend, network, loss, chunk)?;
            Ok(backend.device_peak())
        }
        Target::Cpu { float } => {
            let (b, counter) = Cpu::<f64>::rehearsal(1);
            of_chunk(&b, network, loss, chunk)?;
            Ok(counter.cost().peak * *float as u64 / 8)
        }
    }
}
