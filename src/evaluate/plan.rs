//! What a request costs, before anything is allocated.

use std::fmt;

use super::sweep::{Batch, Parameters, Sums, sweep};
use super::{Request, Structure};
use crate::backend::{Backend, Cost, Meter};
use crate::error::{Error, Result, bytes};
use crate::network::Network;
use crate::objective::Loss;

/// Bytes of a chunk's arrays together, at the most. Of 6, 16 and 64 MiB, 16 was the best compromise on 2 cores with 2 MiB of
/// second-level cache each: 64 was 7 % faster for [32-64-1] and slower for [128-16-1] and [64-32-10].
const COMFORTABLE: u64 = 16 << 20;

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
    /// Floating-point operations over all samples.
    pub flops: f64,
}

impl Plan {
    /// Bytes that the request takes besides the data.
    pub fn bytes(&self) -> u64 {
        self.results.saturating_add(self.working)
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
        )
    }
}

/// A product of lengths, or the error that names what is too large.
pub(crate) fn shape_product(what: &str, lengths: &[usize]) -> Result<usize> {
    crate::backend::product(lengths).map_err(|_| Error::TooLarge { what: what.into() })
}

/// What the request costs for `n` samples on a backend with floats of `float` bytes, in the largest comfortable chunk,
/// or the largest that fits in `budget` bytes besides the data.
///
/// # Errors
/// `Memory` with the numbers if not even one sample at a time fits, `TooLarge` if a size overflows.
pub(crate) fn plan(
    network: &Network,
    loss: &Loss,
    n: usize,
    request: Request,
    float: usize,
    budget: u64,
) -> Result<Plan> {
    let measure = |chunk, threads| measure(network, loss, n, chunk, request, float, threads);
    let fits = |plan: &Plan| plan.bytes() <= budget;
    // Chunks follow from the shapes alone, as if there were one thread, so that the bits of a result do not depend on
    // the threads; only where memory is short do they get smaller.
    let fixed = measure(0, 1)?.working;
    let mut chunk = crate::backend::cpu::BLOCK.min(n);
    while chunk < n {
        let next = (2 * chunk).min(n);
        if measure(next, 1)?.working.saturating_sub(fixed) > COMFORTABLE {
            break;
        }
        chunk = next;
    }
    let threads = rayon::current_num_threads();
    let measure = |chunk| measure(chunk, threads);
    let mut best = measure(chunk)?;
    while !fits(&best) && chunk > 1 {
        chunk /= 2;
        best = measure(chunk)?;
    }
    if fits(&best) {
        return Ok(best);
    }
    let advice = match request.curvature {
        Some((curvature, Structure::RowBlocks)) => {
            let diagonal = Request::curvature(curvature, Structure::Diagonal);
            let plan = self::measure(network, loss, n, 1, diagonal, float, threads)?;
            format!(
                "the diagonal alone needs {}; or raise the memory budget, or make the layers narrower",
                bytes(plan.bytes())
            )
        }
        _ => "raise the memory budget, or make the layers narrower".into(),
    };
    Err(Error::Memory {
        what: match request.curvature {
            Some((c, s)) => format!("{} ({}) of {network}", s.name(), c.name()),
            None => format!("the evaluation of {network}"),
        },
        need: best.bytes(),
        budget,
        advice,
    })
}

/// Runs the driver for one chunk on the meter.
fn measure(
    network: &Network,
    loss: &Loss,
    n: usize,
    chunk: usize,
    request: Request,
    float: usize,
    threads: usize,
) -> Result<Plan> {
    let meter = Meter::new(float, threads);
    let parameters = Parameters::zeros(&meter, network)?;
    let mut sums = Sums::new(&meter, network, request)?;
    let held = meter.cost();
    let batch = Batch {
        n: chunk,
        x: meter.zeros(shape_product("the inputs", &[chunk, network.inputs()])?)?,
        y: meter.zeros(shape_product("the targets", &[chunk, network.outputs()])?)?,
        omega: meter.zeros(chunk)?,
    };
    let swept = sweep(
        &meter,
        network,
        loss,
        &parameters,
        batch,
        request,
        &mut sums,
    )?;
    let Cost { peak, flops, .. } = meter.cost();
    drop((swept, sums));

    // The sums become the results; the parameters do not.
    let p = network.parameters() as u64;
    let sums = held.live.saturating_sub(p.saturating_mul(float as u64));
    let rows = n as u64;
    let mut host = 8 * p;
    if request.multipliers {
        let units: u64 = network.layers().iter().map(|l| l.units as u64).sum();
        host = host.saturating_add(rows.saturating_mul(8 * units));
    }
    if request.outputs {
        host = host.saturating_add(rows.saturating_mul(8 * network.outputs() as u64));
    }
    let samples = rows.saturating_mul(8 * (network.inputs() + network.outputs() + 1) as u64);
    Ok(Plan {
        chunk,
        data: samples,
        results: sums.saturating_add(host),
        // ω is copied once, scaled by the reduction; the penalty's parts are vectors of length P.
        working: (peak - sums.min(peak)).saturating_add(8 * rows + 24 * p),
        flops: if chunk == 0 {
            0.0
        } else {
            flops * n as f64 / chunk as f64
        },
    })
}
