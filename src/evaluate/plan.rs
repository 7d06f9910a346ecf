//! What a request costs, before anything is allocated.

use std::fmt;

use super::chunks::{is_apart, waiting};
use super::products::{ProductSums, Vectors, sweep_products, together};
use super::sweep::{Batch, Parameters, Sums, sweep};
use super::tensor::{Tensor, TensorSums, sweep_tensor};
use super::{Request, Structure, check_units, kept, sums_of};
#[cfg(feature = "gpu")]
use crate::backend::gpu::{Gpu, Rehearsed};
use crate::backend::{Backend, Cost, Meter, cpu};
use crate::curvature::{Curvature, triangle};
use crate::error::{Error, Result, bytes};
use crate::network::Network;
use crate::objective::Loss;

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

/// What is asked of the driver.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Work {
    /// The value, and what comes with it.
    Evaluate(Request),
    /// Products of a curvature with so many vectors.
    Products(Curvature, usize),
    /// A derivative of the Lagrangian in one unit's parameters.
    Tensor(Tensor),
}

impl From<Request> for Work {
    fn from(request: Request) -> Self {
        Work::Evaluate(request)
    }
}

/// What W = fixed + Cθ makes of the results of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Theta {
    /// Bytes of what has a number for each θ, or for each pair: made beside the same in W, when the chunk is gone.
    pub results: u64,
    /// Bytes in W that the request holds from its start: the parameters, and the vectors of products.
    pub beside: u64,
}

/// What a request is planned for.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// The processor, with floats of so many bytes.
    Cpu { float: usize },
    /// An adapter.
    #[cfg(feature = "gpu")]
    Gpu(Gpu),
}

/// The cost of a request and the number of samples it takes at a time.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// Samples in one chunk.
    pub chunk: usize,
    /// Bytes of X, Y and ω, which the caller holds already.
    pub data: u64,
    /// Bytes of what is returned.
    pub results: u64,
    /// Bytes that live only while the request runs: parameters, a chunk's arrays, scratch space. What the matrix-product
    /// library reserves for itself once for each thread is not counted; it touches little of it.
    pub working: u64,
    /// Bytes that live on the adapter at once; 0 where the processor computes. Buffers that were given back stay for reuse
    /// besides, up to the adapter's budget.
    pub device: u64,
    /// Floating-point operations over all samples.
    pub flops: f64,
}

impl Plan {
    /// Bytes of the host's memory that the request takes besides the data.
    pub fn bytes(&self) -> u64 {
        self.results.saturating_add(self.working)
    }

    /// The plan in θ from that in W, of whose results `kept` bytes have a number for each sample.
    fn in_theta(self, theta: Theta, kept: u64) -> Plan {
        let made = self.results.saturating_add(theta.results);
        let most = self.bytes().max(made).saturating_add(theta.beside);
        let results = kept.saturating_add(theta.results);
        Plan {
            results,
            working: most.saturating_sub(results),
            ..self
        }
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

/// A product of lengths, or the error that names what is too large.
pub(crate) fn shape_product(what: &str, lengths: &[usize]) -> Result<usize> {
    crate::backend::product(lengths).map_err(|_| Error::TooLarge { what: what.into() })
}

/// What the request costs for `n` samples on a target, in the largest comfortable chunk, or the largest that fits in
/// `budget` bytes of the host besides the data.
///
/// # Errors
/// `Memory` with the numbers if not even one sample at a time fits, `Gpu` if an array exceeds what the adapter allows,
/// `TooLarge` if a size overflows, `Unsupported` if units lack derivatives that the curvature needs.
pub(crate) fn plan(
    network: &Network,
    loss: &Loss,
    n: usize,
    work: Work,
    target: &Target,
    budget: u64,
    theta: Option<Theta>,
) -> Result<Plan> {
    check_units(
        network,
        match work {
            Work::Evaluate(request) => request.curvature.map(|(curvature, _)| curvature),
            Work::Products(curvature, _) => Some(curvature),
            Work::Tensor(_) => None,
        },
    )?;
    let kept = match work {
        Work::Evaluate(request) => of_samples(network, n, request),
        Work::Products(..) | Work::Tensor(_) => 0,
    };
    let measure = |chunk, threads| {
        let (plan, bytes) = measure(network, loss, n, chunk, work, target, threads)?;
        let plan = match theta {
            None => plan,
            Some(theta) => plan.in_theta(theta, kept),
        };
        Ok((plan, bytes))
    };
    // What lives as long as a chunk is limited where it is computed.
    let comfortable = match target {
        #[cfg(feature = "gpu")]
        Target::Gpu(gpu) if gpu.adapter().software => 2 * CHUNK,
        #[cfg(feature = "gpu")]
        Target::Gpu(_) => CHUNK_ON_DEVICE,
        _ => CHUNK,
    };
    let device_budget = match target {
        #[cfg(feature = "gpu")]
        Target::Gpu(gpu) => gpu.memory(),
        _ => u64::MAX,
    };
    let fits = |plan: &Plan| plan.bytes() <= budget && plan.device <= device_budget;
    // With very many units that are not linear, counting takes long, too: where the matrix alone exceeds the budget, that is
    // answer enough.
    let matrix = match work {
        Work::Evaluate(request) => request.curvature.map_or(0, |(_, s)| match s {
            Structure::Full | Structure::LayerBlocks => matrix_bytes(network, s),
            _ => 0,
        }),
        Work::Products(..) | Work::Tensor(_) => 0,
    };
    let threads = rayon::current_num_threads();
    let best = 'best: {
        if matrix > budget {
            break 'best Plan {
                chunk: 1,
                data: 0,
                results: matrix,
                working: 0,
                device: 0,
                flops: 0.0,
            };
        }
        // Chunks follow from the shapes alone, as if there were one thread, so that the bits of a result do not depend on
        // the threads; only where memory is short do they get smaller.
        let (_, fixed) = measure(0, 1)?;
        let mut chunk = cpu::BLOCK.min(n);
        let sums = sums_of(network, work)?;
        let apart = match *target {
            Target::Cpu { float } if is_apart(sums, cpu::QUANTUM, n) => Some(float),
            _ => None,
        };
        if let Some(float) = apart {
            // Short enough to keep some threads busy, if that is worth it.
            let (plan, _) = measure(chunk, 1)?;
            let short = plan.flops / n as f64 * cpu::block(n, false) as f64;
            chunk = match plan.flops > 2.0 * WORTH {
                true if short > WORTH => cpu::block(n, false).min(n),
                true => chunk,
                false => n,
            };
            if chunk == cpu::BLOCK {
                let meter = Meter::of_part(float);
                let part = run(&meter, || meter.cost(), network, loss, chunk, work)?;
                if part.cost.peak - part.before > CACHE + 8 * sums as u64 {
                    chunk /= 2;
                }
            }
        }
        while chunk < n && apart.is_none() {
            let next = (2 * chunk).min(n);
            match measure(next, 1) {
                Ok((_, bytes)) if bytes.saturating_sub(fixed) <= comfortable => chunk = next,
                Ok(_) => break,
                // An array of that many samples exceeds what the adapter allows.
                Err(Error::Gpu { .. }) => break,
                Err(other) => return Err(other),
            }
        }
        loop {
            match measure(chunk, threads) {
                Ok((plan, _)) if fits(&plan) => return Ok(plan),
                Ok((plan, _)) if chunk <= 1 => break plan,
                Err(error @ Error::Gpu { .. }) if chunk <= 1 => return Err(error),
                Ok(_) | Err(Error::Gpu { .. }) => chunk /= 2,
                Err(other) => return Err(other),
            }
        }
    };
    let on_device = best.device > device_budget;
    let request = match work {
        Work::Evaluate(request) => request.curvature,
        Work::Products(..) | Work::Tensor(_) => None,
    };
    let smaller = |curvature, structure: Structure, next: &str| {
        let request = Request::curvature(curvature, structure).into();
        let (plan, _) = self::measure(network, loss, n, 1, request, target, threads)?;
        Ok(format!(
            "{} need {}{next}; or raise the memory budget, or make the layers narrower",
            structure.name(),
            bytes(plan.bytes())
        ))
    };
    let advice = match request {
        _ if on_device => "raise the device's memory budget, or use the CPU".into(),
        Some((c, Structure::RowBlocks)) => smaller(c, Structure::Diagonal, "")?
            .replace("diagonal need", "the diagonal alone needs"),
        Some((c, Structure::Full | Structure::LayerBlocks)) => smaller(
            c,
            Structure::RowBlocks,
            ", and products hold no matrix at all",
        )?,
        _ if matches!(work, Work::Tensor(_)) => {
            "ask for a lower order, or raise the memory budget".into()
        }
        _ => "raise the memory budget, or make the layers narrower".into(),
    };
    let what = match (request, work) {
        (Some((c, s)), _) => format!("{} ({}) of {network}", s.name(), c.name()),
        (_, Work::Tensor(of)) => format!(
            "the tensor of order {} of layer {}, row {}, of {network}",
            of.order, of.layer, of.row
        ),
        (_, Work::Products(c, count)) => format!("{count} products ({}) of {network}", c.name()),
        _ => format!("the evaluation of {network}"),
    };
    Err(Error::Memory {
        what: match on_device {
            true => format!("{what}, on the device,"),
            false => what,
        },
        need: if on_device { best.device } else { best.bytes() },
        budget: if on_device { device_budget } else { budget },
        advice,
    })
}

/// What one chunk takes on the host: before the sums, with the sums, at the most; and flops.
struct Measured {
    before: u64,
    held: u64,
    /// What the host holds besides, which the backend does not count.
    host: u64,
    cost: Cost,
}

/// Runs the driver for one chunk on a backend that counts.
fn run<B: Backend>(
    backend: &B,
    cost: impl Fn() -> Cost,
    network: &Network,
    loss: &Loss,
    chunk: usize,
    work: Work,
) -> Result<Measured> {
    let parameters = Parameters::zeros(backend, network)?;
    let before = cost().live;
    let batch = |backend: &B| -> Result<Batch<B>> {
        let inputs = network.inputs();
        let x = backend.zeros(shape_product("the inputs", &[chunk, inputs])?)?;
        Ok(Batch {
            n: chunk,
            x: backend.with_one(chunk, inputs, x, network.constant_behind(0))?,
            y: backend.zeros(shape_product("the targets", &[chunk, network.outputs()])?)?,
            omega: backend.zeros(chunk)?,
        })
    };
    let request = match work {
        Work::Evaluate(request) => request,
        Work::Products(curvature, count) => {
            let together = together(network, count).max(1);
            let counts = || {
                (0..count)
                    .step_by(together)
                    .map(|from| together.min(count - from))
            };
            let vectors = counts()
                .map(|count| Vectors::new(backend, network, count, &[]))
                .collect::<Result<Vec<_>>>()?;
            let before = cost().live;
            let mut sums = counts()
                .map(|count| ProductSums::new(backend, network, curvature, count))
                .collect::<Result<Vec<_>>>()?;
            let batch = batch(backend)?;
            sweep_products(
                backend,
                network,
                loss,
                &parameters,
                batch,
                curvature,
                &vectors,
                &mut sums,
            )?;
            let cost = cost();
            return Ok(Measured {
                before,
                held: before,
                host: 0,
                cost,
            });
        }
        Work::Tensor(of) => {
            let mut sums = TensorSums::new(backend, network, of)?;
            let held = cost().live;
            sweep_tensor(
                backend,
                network,
                loss,
                &parameters,
                batch(backend)?,
                &mut sums,
            )?;
            let cost = cost();
            let host = sums.host_bytes(chunk);
            return Ok(Measured {
                before,
                held,
                host,
                cost,
            });
        }
    };
    let mut sums = Sums::new(backend, network, request, backend.values(chunk))?;
    let held = cost().live;
    let batch = batch(backend)?;
    let swept = sweep(
        backend,
        network,
        loss,
        &parameters,
        batch,
        request,
        &mut sums,
    )?;
    if request.multipliers {
        for g in &swept.multipliers {
            backend.download(g)?;
        }
    }
    if request.outputs {
        backend.download(&swept.output)?;
    }
    let cost = cost();
    Ok(Measured {
        before,
        held,
        host: 0,
        cost,
    })
}

/// What an adapter does for one chunk.
#[cfg(feature = "gpu")]
pub(crate) fn rehearse(
    gpu: &Gpu,
    network: &Network,
    loss: &Loss,
    chunk: usize,
    work: Work,
) -> Result<Rehearsed> {
    let (backend, rehearsed) = gpu.rehearsal();
    run(&backend, || rehearsed.cost(), network, loss, chunk, work)?;
    Ok(rehearsed)
}

/// The plan for a chunk, with the bytes that live at once while it is computed, where it is computed.
fn measure(
    network: &Network,
    loss: &Loss,
    n: usize,
    chunk: usize,
    work: Work,
    target: &Target,
    threads: usize,
) -> Result<(Plan, u64)> {
    let (measured, device) = match target {
        &Target::Cpu { float } => {
            let sums = sums_of(network, work)?;
            if !is_apart(sums, chunk, n) {
                let meter = Meter::new(float, threads);
                let measured = run(&meter, || meter.cost(), network, loss, chunk, work)?;
                (measured, 0)
            } else {
                let meter = Meter::of_part(float);
                let mut measured = run(&meter, || meter.cost(), network, loss, chunk, work)?;
                let (chunks, peak) = (n.div_ceil(chunk), measured.cost.peak);
                // The sums of the chunks that are computed are those that wait later.
                let own = (peak - measured.before).saturating_sub(8 * sums as u64);
                let each = match work {
                    Work::Evaluate(request) => sums + chunk * kept(network, request),
                    _ => sums,
                };
                let waiting = chunks.min(waiting(each, threads)) as u64 * 8 * each as u64;
                // With the arrays of the last chunk, which is shorter, beside those of the one before it.
                measured.cost.peak = own
                    .saturating_mul(threads.min(chunks) as u64)
                    .saturating_add((own as f64 * (n % chunk) as f64 / chunk as f64) as u64)
                    .saturating_add(measured.before)
                    .saturating_add(waiting);
                (measured, 0)
            }
        }
        #[cfg(feature = "gpu")]
        Target::Gpu(gpu) => {
            let (backend, rehearsed) = gpu.rehearsal();
            let cost = || rehearsed.cost();
            let measured = run(&backend, cost, network, loss, chunk, work)?;
            (measured, rehearsed.device_peak())
        }
    };
    let Cost { peak, flops, .. } = measured.cost;
    let p = network.parameters() as u64;
    let rows = n as u64;
    let (request, count, on_host) = match work {
        Work::Evaluate(request) => (request, 0, 0.0),
        Work::Products(_, count) => (Request::default(), count as u64, 0.0),
        Work::Tensor(of) => (Request::default(), 0, of.multiplications(network, n)?),
    };
    // The sums become the results, and the parameters do not; unless a matrix is made of the sums: then there are both,
    // but no chunk any more.
    let (sums, mut host, most) = match request.curvature {
        Some((_, s @ (Structure::Full | Structure::LayerBlocks))) => {
            let matrix = matrix_bytes(network, s);
            let made = measured.held.saturating_add(matrix);
            let of_gradient = 8 * p;
            (
                0,
                of_gradient.saturating_add(matrix),
                (peak.max(made)).saturating_sub(of_gradient.saturating_add(matrix)),
            )
        }
        _ if count > 0 => (0, count.saturating_mul(8 * p), peak),
        _ => {
            let sums = measured.held - measured.before;
            (sums, 8 * p, peak - sums.min(peak))
        }
    };
    host = host.saturating_add(of_samples(network, n, request));
    let samples = rows.saturating_mul(8 * (network.inputs() + network.outputs() + 1) as u64);
    let plan = Plan {
        chunk,
        data: samples,
        results: sums.saturating_add(host),
        // ω is copied once, scaled by the reduction; the penalty's parts are vectors of length P.
        working: (most.saturating_add(measured.host)).saturating_add(8 * rows + 24 * p),
        device,
        flops: if chunk == 0 {
            0.0
        } else {
            flops * n as f64 / chunk as f64 + on_host
        },
    };
    Ok((plan, if device > 0 { device } else { peak }))
}

/// Bytes of the results that have numbers for each sample.
fn of_samples(network: &Network, n: usize, request: Request) -> u64 {
    (n as u64).saturating_mul(8 * kept(network, request) as u64)
}

/// Bytes of a matrix whose blocks span units.
fn matrix_bytes(network: &Network, structure: Structure) -> u64 {
    let order = |p: usize| 8u64.saturating_mul(triangle(p.min(1 << 31)) as u64);
    match structure {
        Structure::LayerBlocks => (network.layers().iter())
            .map(|l| order(l.range.len()))
            .sum(),
        _ => order(network.parameters()),
    }
}
