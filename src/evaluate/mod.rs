//! The driver: streams the samples through a backend in chunks and adds the penalty.
//!
//! [`sweep`] holds the mathematics of one chunk, [`plan`](Plan) the memory and the chunk. What comes out does not
//! depend on the chunk beyond rounding, and not at all on the number of threads.

mod blocks;
mod chunks;
mod jacobian;
mod lagrangian;
mod plan;
mod products;
mod sweep;
mod tensor;

use std::ops::Range;

use ndarray::Array2;

pub(crate) use blocks::places;
pub(crate) use jacobian::jacobian;
pub use lagrangian::{Configuration, LagrangianPoint};
pub(crate) use lagrangian::{configuration, lagrangian};
pub use plan::Plan;
#[cfg(feature = "gpu")]
pub(crate) use plan::rehearse;
pub(crate) use plan::{Target, Theta, Work, plan, shape_product};
pub(crate) use tensor::{Tensor, tensor, tensor_at};

use crate::backend::{Backend, Meter};
use crate::curvature::{Curvature, Matrix, Structure};
use crate::error::{Error, Quantity, Result};
use crate::network::{GroupView, Network};
use crate::objective::{Data, Loss, Penalty, Reduction};
use chunks::over_samples;
use products::{ProductSums, ProductTotals, Vectors, sweep_products, together};
use sweep::{Batch, Parameters, Sums, Totals, sweep};

/// What to compute besides the value.
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
}

impl Request {
    /// The value and the gradient.
    pub fn gradient() -> Self {
        Request {
            gradient: true,
            ..Request::default()
        }
    }

    /// The value, the gradient and a curvature.
    pub fn curvature(curvature: Curvature, structure: Structure) -> Self {
        Request {
            curvature: Some((curvature, structure)),
            ..Request::gradient()
        }
    }

    /// Whether the multipliers must be propagated back.
    fn backward(&self) -> bool {
        self.gradient || self.multipliers || self.curvature.is_some()
    }
}

/// What was computed, the penalty included.
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
    /// The largest size of an entry of the penalty's Hessian that couples what the matrix has in different blocks, and that
    /// it therefore leaves out; 0 where it holds all. In θ under a constraint. Where group norms and other penalties of a
    /// sum reach the same parameters it is a bound, which may be larger.
    pub left_out: f64,
}

/// A problem's parts, as the driver needs them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub network: &'a Network,
    pub data: &'a Data,
    pub loss: &'a Loss,
    pub penalty: &'a Penalty,
    pub reduction: Reduction,
}

/// E(W) and what `request` asks for, on `backend`, in chunks of `chunk` samples.
pub(crate) fn evaluate<B: Backend>(
    backend: &B,
    parts: Parts,
    w: &[f64],
    request: Request,
    chunk: usize,
) -> Result<Evaluation> {
    let Parts {
        network,
        data,
        loss,
        penalty,
        reduction,
    } = parts;
    network.check(w)?;
    check_units(network, request.curvature.map(|(curvature, _)| curvature))?;
    if chunk == 0 {
        return Err(Error::invalid(
            "chunk",
            "at least one sample at a time is needed",
        ));
    }
    backend.check_parts(network, loss, data.y())?;
    let n = data.len();
    let omega = weights(data, reduction);
    let parameters = Parameters::upload(backend, network, w)?;
    let add_up = |b: &B, samples: Range<usize>| -> Result<Found> {
        let mut sums = Sums::new(b, network, request, b.values(samples.len()))?;
        let held = match (request.multipliers, samples.start) {
            (false, _) => 0,
            // What those of the others are added to.
            (true, 0) => n,
            (true, _) => samples.len(),
        };
        let multipliers = network.layers().iter();
        let mut multipliers: Vec<Vec<f64>> = multipliers
            .map(|l| Vec::with_capacity(held * l.units))
            .collect();
        let mut outputs = Vec::new();
        for from in samples.clone().step_by(chunk) {
            let rows = from..samples.end.min(from + chunk);
            if rows.len() < chunk {
                // The last arrays have lengths of their own.
                b.release();
            }
            let batch = batch(b, parts, &omega, rows)?;
            let states = sweep(b, network, loss, &parameters, batch, request, &mut sums)?;
            if request.multipliers {
                for (all, g) in multipliers.iter_mut().zip(&states.multipliers) {
                    // e = −∂g/∂x (paper eq. 7, 8); 0 − g keeps the zeros positive.
                    all.extend(b.download(g)?.into_iter().map(|g| 0.0 - g));
                }
            }
            if request.outputs {
                outputs.extend(b.download(&states.output)?);
            }
            b.recycle(states.multipliers.into_iter().chain([states.output]));
        }
        Ok(Found {
            totals: sums.read(b)?,
            multipliers,
            outputs,
        })
    };
    let numbers = (sums_of(network, request.into())?, kept(network, request));
    let found = over_samples(backend, n, chunk, numbers, add_up, Found::add)?;
    backend.release();
    let Found {
        totals,
        multipliers,
        outputs,
    } = found;

    let pen = penalty.value(network, w)?;
    // A backend that only counts has no value.
    let value = (totals.value.into_iter().reduce(|sum, v| sum + v)).map_or(f64::NAN, |v| v + pen);
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
    let curvature = match request.curvature {
        None => None,
        Some((curvature, structure)) => {
            let mut matrix = match blocks::is_coupled(curvature, structure) {
                true => blocks::assemble(network, structure, totals.pairs)?,
                false => blocks::expand(network, structure, totals.curvature),
            };
            // Both Exact and GaussNewton have it: their difference has not.
            if curvature != Curvature::Residual {
                let hessian = penalty.hessian(network, w)?;
                hessian.add_to(&mut matrix);
                left_out = hessian.left_out(&matrix);
            }
            Some(matrix.finite(Quantity::Curvature)?)
        }
    };
    let shape = |what: &str, columns: usize, values: Vec<f64>| {
        let len = values.len();
        Array2::from_shape_vec((n, columns), values)
            .map_err(|_| Error::shape(what, &[n, columns], &[len]))
    };
    Ok(Evaluation {
        value,
        penalty: pen,
        gradient,
        multipliers: match request.multipliers {
            false => Vec::new(),
            true => (multipliers.into_iter().enumerate())
                .map(|(k, e)| shape("multipliers", network.width(k + 1), e))
                .collect::<Result<_>>()?,
        },
        outputs: match request.outputs {
            false => None,
            true => Some(shape("outputs", network.outputs(), outputs)?),
        },
        curvature,
        left_out,
    })
}

/// What some samples contribute.
struct Found {
    totals: Totals,
    multipliers: Vec<Vec<f64>>,
    outputs: Vec<f64>,
}

impl Found {
    /// Adds what the next samples contribute.
    fn add(&mut self, next: Found) {
        self.totals.add(next.totals);
        for (all, e) in self.multipliers.iter_mut().zip(next.multipliers) {
            all.extend(e);
        }
        self.outputs.extend(next.outputs);
    }
}

/// Numbers of the results for each sample.
pub(crate) fn kept(network: &Network, request: Request) -> usize {
    let units = network.layers().iter().map(|l| l.units).sum();
    let multipliers = if request.multipliers { units } else { 0 };
    let outputs = if request.outputs {
        network.outputs()
    } else {
        0
    };
    multipliers + outputs
}

/// Numbers in the sums of a request.
pub(crate) fn sums_of(network: &Network, work: Work) -> Result<usize> {
    let meter = Meter::new(8, 1);
    match work {
        Work::Evaluate(request) => drop(Sums::new(&meter, network, request, 1)?),
        Work::Products(curvature, count) => {
            drop(ProductSums::new(&meter, network, curvature, count)?);
        }
        // Not divided.
        Work::Tensor(_) => return Ok(usize::MAX),
    }
    Ok((meter.cost().peak / 8) as usize)
}

/// Refuses a curvature that needs derivatives which units do not have.
pub(crate) fn check_units(network: &Network, curvature: Option<Curvature>) -> Result<()> {
    match curvature.is_some_and(Curvature::is_exact) {
        true => network.check_exact(),
        false => Ok(()),
    }
}

/// Some samples on the backend.
fn batch<B: Backend>(
    backend: &B,
    parts: Parts,
    omega: &[f64],
    rows: Range<usize>,
) -> Result<Batch<B>> {
    let Parts { network, data, .. } = parts;
    let part = |what: &str, values: &[f64], width: usize, constant: bool| {
        let part = &values[rows.start * width..rows.end * width];
        let first = rows.start;
        let place = || format!("{what} from row {first} on, {width} numbers a row");
        (backend.upload_rows(part, width, constant)).map_err(|e| e.inside(&place()))
    };
    let constant = network.constant_behind(0);
    Ok(Batch {
        n: rows.len(),
        x: part("X", slice(data.x())?, network.inputs(), constant)?,
        y: part("Y", slice(data.y())?, network.outputs(), false)?,
        omega: part("the sample weights", omega, 1, false)?,
    })
}

/// B v for each of the vectors, rows of length P, penalty included; in chunks of `chunk` samples.
pub(crate) fn products<B: Backend>(
    backend: &B,
    parts: Parts,
    w: &[f64],
    curvature: Curvature,
    vectors: &[f64],
    chunk: usize,
) -> Result<Vec<f64>> {
    let Parts {
        network,
        data,
        loss,
        penalty,
        reduction,
    } = parts;
    network.check(w)?;
    check_units(network, Some(curvature))?;
    if chunk == 0 {
        return Err(Error::invalid(
            "chunk",
            "at least one sample at a time is needed",
        ));
    }
    finite("the vectors", vectors)?;
    backend.check_parts(network, loss, data.y())?;
    let (n, p) = (data.len(), network.parameters());
    let omega = weights(data, reduction);
    let parameters = Parameters::upload(backend, network, w)?;
    let mut out = vec![0.0; vectors.len()];
    let count = together(network, vectors.len() / p).max(1);
    let along = (vectors.chunks(count * p))
        .map(|v| Vectors::new(backend, network, v.len() / p, v))
        .collect::<Result<Vec<_>>>()?;
    let add_up = |b: &B, samples: Range<usize>| -> Result<Vec<ProductTotals>> {
        let mut sums = (along.iter())
            .map(|v| ProductSums::new(b, network, curvature, v.count))
            .collect::<Result<Vec<_>>>()?;
        for from in samples.clone().step_by(chunk) {
            let rows = from..samples.end.min(from + chunk);
            if rows.len() < chunk {
                // The last arrays have lengths of their own.
                b.release();
            }
            let batch = batch(b, parts, &omega, rows)?;
            sweep_products(
                b,
                network,
                loss,
                &parameters,
                batch,
                curvature,
                &along,
                &mut sums,
            )?;
        }
        sums.into_iter().map(|sums| sums.read(b)).collect()
    };
    let add = |totals: &mut Vec<ProductTotals>, next: Vec<ProductTotals>| {
        (totals.iter_mut().zip(next)).for_each(|(total, next)| total.add(next));
    };
    let numbers = (
        sums_of(network, Work::Products(curvature, vectors.len() / p))?,
        0,
    );
    let totals = over_samples(backend, n, chunk, numbers, add_up, add)?;
    backend.release();
    let places = along.iter().zip(out.chunks_mut(count * p));
    for (totals, (vectors, out)) in totals.iter().zip(places) {
        totals.spread(network, vectors.count, out);
    }
    if curvature != Curvature::Residual {
        let penalty = penalty.hessian(network, w)?;
        for (v, out) in vectors.chunks(p).zip(out.chunks_mut(p)) {
            penalty.add_product(v, out);
        }
    }
    finite("the product", &out)?;
    Ok(out)
}

/// x^m for the rows of `x`, in chunks of `chunk` samples.
pub(crate) fn predict<B: Backend>(
    backend: &B,
    network: &Network,
    x: &Array2<f64>,
    w: &[f64],
    chunk: usize,
) -> Result<Array2<f64>> {
    network.check(w)?;
    if x.ncols() != network.inputs() {
        return Err(Error::shape(
            "columns of X",
            &[network.inputs()],
            &[x.ncols()],
        ));
    }
    let standard = x.as_standard_layout();
    let values = standard.as_slice().unwrap_or_default();
    let parameters = Parameters::upload(backend, network, w)?;
    let mut out = Vec::new();
    for from in (0..x.nrows()).step_by(chunk.max(1)) {
        let to = x.nrows().min(from + chunk);
        let input = &values[from * network.inputs()..to * network.inputs()];
        let input = sweep::upload_inputs(backend, network, input)?;
        let states = sweep::propagate(backend, network, &parameters, to - from, input, 0)?;
        out.extend(backend.download(states.output())?);
    }
    let len = out.len();
    Array2::from_shape_vec((x.nrows(), network.outputs()), out)
        .map_err(|_| Error::shape("outputs", &[x.nrows(), network.outputs()], &[len]))
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

/// The matrix of the packed numbers of each group, blocks of units or entries of the diagonal.
fn by_group(network: &Network, structure: Structure, parts: Vec<Vec<f64>>) -> Matrix {
    let groups = network.groups().zip(parts);
    let groups = groups.map(|((k, g), part)| (k, g.units.clone(), g.range.clone(), part));
    Matrix::by_group(structure, groups)
}

/// The numbers in the lower triangles of a group's units.
fn row_triangles(g: &GroupView) -> Result<usize> {
    let lengths = [g.range.len(), g.row.saturating_add(1)];
    Ok(shape_product("the row blocks", &lengths)? / 2)
}

fn slice(a: &Array2<f64>) -> Result<&[f64]> {
    // Data keeps its arrays in standard layout.
    a.as_slice()
        .ok_or_else(|| Error::invalid("data", "the rows are not contiguous"))
}

fn finite(what: impl Into<Quantity>, values: &[f64]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(Error::non_finite(what, &[i])),
        None => Ok(()),
    }
}
