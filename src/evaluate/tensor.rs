//! Derivatives of any order of the Lagrangian in one unit's parameters, at fixed states X and multipliers E (paper eq. 12).
//!
//! For linear units
//!
//! ```text
//! T_{a₁…a_q} = −Σ_i e_ij h⁽q⁾(p_ij) z_ia₁ … z_ia_q
//! ```
//!
//! and for other units, over the partitions π of the q indices into blocks B (Faà di Bruno's formula),
//!
//! ```text
//! T_{a₁…a_q} = −Σ_i e_ij Σ_π h⁽|π|⁾(p_ij) Π_{B ∈ π} ∂^|B| p_ij / Π_{r ∈ B} ∂w_{a_r}
//! ```
//!
//! The backend propagates forth and back and sums over the samples. The coefficients −e h⁽q⁾(p) are computed on the host, in
//! f64, one number for each sample; so is all that belongs to units that are not linear.

use rayon::prelude::*;

use super::chunks::Task;
use super::lagrangian::{Configuration, check, each_chunk, rows_of};
use super::linear::{Linear, Need, Setting};
use super::samples::Batch;
use super::states::{Parameters, States, download, pre_activations};
use super::{At, Division, Partial, Parts, Place as Where, Rows};
use crate::backend::kernel::TensorSum;
use crate::backend::{Backend, Cpu, Layout, View};
use crate::curvature::{Indices, SymmetricTensor};
use crate::error::{Error, Result};
use crate::guard;
use crate::network::{Activation, GroupView, LayerView, Network, Unit};

/// The highest order for units that are not linear: 4,213,597 partitions of twelve indices.
const PARTITIONS: usize = 12;
/// The most multiplications for a unit that is not linear; each takes some nanoseconds.
const MULTIPLICATIONS: f64 = 1e12;
/// Samples in one partial sum on the host.
const BLOCK: usize = 512;
/// Partial sums on the host that are held at once.
const HELD: usize = 8;

/// Which tensor is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tensor {
    /// k, from 1.
    pub layer: usize,
    /// j, from 0.
    pub row: usize,
    /// q, from 1.
    pub order: usize,
}

impl Tensor {
    /// Multiplications on the host for n samples: for units that are not linear C(t + q − 1, q) (B_{q+1} − B_q) n, the blocks of
    /// all partitions of q indices, with Bell's numbers B; 0 for linear ones.
    ///
    /// # Errors
    /// `Unsupported` if they would take too long, and what [`place`](Self::place) refuses.
    pub(super) fn multiplications(&self, network: &Network, n: usize) -> Result<f64> {
        let place = self.place(network)?;
        let Some(unit) = place.group.propagation.unit() else {
            return Ok(0.0);
        };
        let count = place.len as f64 * (bell(self.order + 1) - bell(self.order)) * n as f64;
        if count > MULTIPLICATIONS {
            return Err(Error::Unsupported {
                what: format!("the tensor of order {} of a unit '{}'", self.order, unit.name()),
                why: format!(
                    "its {} numbers, the partitions of the indices and {n} samples make {count:.1e} multiplications, \
                     more than {MULTIPLICATIONS:e}; ask for a lower order, or take fewer samples",
                    place.len
                ),
            });
        }
        Ok(count)
    }

    /// Returns how many numbers the tensor has.
    ///
    /// # Errors
    /// Those of [`place`](Self::place).
    pub(super) fn numbers(&self, network: &Network) -> Result<usize> {
        Ok(self.place(network)?.len)
    }

    /// Returns the tensor with these numbers.
    ///
    /// # Errors
    /// Those of [`place`](Self::place), and another number of them.
    pub(crate) fn of_numbers(
        &self,
        network: &Network,
        packed: Vec<f64>,
    ) -> Result<SymmetricTensor> {
        SymmetricTensor::new(self.place(network)?.group.row, self.order, packed)
    }

    /// The unit's place, after a check of everything that can be wrong.
    fn place<'a>(&self, network: &'a Network) -> Result<Place<'a>> {
        let &Tensor { layer: k, row, order } = self;
        let layer = network.layer(k).ok_or_else(|| {
            let why = format!("there is no layer {k}; they run from 1 to {}", network.depth());
            Error::invalid("layer", why)
        })?;
        let group = (layer.groups.iter()).find(|g| g.units.contains(&row)).ok_or_else(|| {
            let why = format!("layer {k} has no row {row}; they run from 0 to {}", layer.units - 1);
            Error::invalid("row", why)
        })?;
        if !(1..=Activation::MAX_ORDER).contains(&order) {
            let why = format!("{order}, where 1 to {} are possible", Activation::MAX_ORDER);
            return Err(Error::invalid("order", why));
        }
        if let Some(unit) = group.propagation.unit() {
            let ask = |name: &str| {
                let what = format!("the tensor of order {order} of a unit '{name}'");
                (what, unit.higher().is_some())
            };
            let (what, higher) = guard::named("unit", || unit.name(), ask)?;
            if order > 2 && !higher {
                return Err(Error::Unsupported {
                    what,
                    why: "it supplies ∂p/∂w and ∂²p/∂w², no derivative of higher order (Unit::higher); \
                          ask for order 1 or 2"
                        .into(),
                });
            }
            if order > PARTITIONS {
                return Err(Error::Unsupported {
                    what,
                    why: format!(
                        "its terms, the partitions of the indices, are too many beyond order {PARTITIONS}"
                    ),
                });
            }
        }
        let activation = (group.activations().nth(row - group.units.start))
            .ok_or_else(|| Error::invalid("row", "a unit without an activation"))?;
        let len = SymmetricTensor::length(group.row, order)?;
        Ok(Place { of: *self, layer, group, activation, len })
    }
}

/// B_q, the number of partitions of q things, by Bell's triangle.
fn bell(q: usize) -> f64 {
    let mut row = vec![1.0];
    for _ in 0..q {
        let mut next = vec![row[row.len() - 1]];
        for above in row {
            next.push(next[next.len() - 1] + above);
        }
        row = next;
    }
    row[0]
}

/// The unit that a tensor belongs to.
struct Place<'a> {
    of: Tensor,
    layer: &'a LayerView,
    group: &'a GroupView,
    activation: Activation,
    /// Numbers in the tensor.
    len: usize,
}

/// A tensor's sums.
pub(super) struct TensorSums<'a, B: Backend> {
    place: Place<'a>,
    /// The backend's sums: all, for linear units.
    sum: B::Sum,
    /// The host's sums: all, for other units. Empty before the first sample.
    other: Vec<f64>,
}

impl<'a, B: Backend> TensorSums<'a, B> {
    pub(super) fn new(b: &B, network: &'a Network, of: Tensor) -> Result<Self> {
        let place = of.place(network)?;
        Ok(TensorSums { sum: b.sums(place.len)?, other: Vec::new(), place })
    }

    /// Bytes that the host holds for a chunk of n samples, besides the sums.
    pub(super) fn host_bytes(&self, n: usize) -> u64 {
        let Place { layer, group, len, .. } = &self.place;
        let (z, sums) =
            if group.propagation.is_linear() { (1, 0) } else { (layer.width(), 1 + HELD) };
        let samples = (n as u64).saturating_mul((2 * layer.units + z) as u64);
        samples.saturating_add((sums as u64).saturating_mul(*len as u64)).saturating_mul(8)
    }

    /// Adds the samples of a chunk: z, n × 1 × d; p and ∂g/∂x = −e of the unit's layer, n × s_k.
    fn add(
        &mut self,
        b: &B,
        parameters: &Parameters<B>,
        z: View<B::Array>,
        p: &B::Array,
        g_x: &[f64],
    ) -> Result<()> {
        let place = &self.place;
        let (n, Tensor { row, order, .. }) = (z.shape()[0], place.of);
        let p = b.download(p)?;
        // A backend that only counts has no numbers.
        let own = |values: &[f64], i: usize| values.get(i * place.layer.units + row).copied();
        let h = place.activation;
        let derivative =
            |u: f64, order: usize| guard::call("activation", h.name(), || h.derivative(u, order))?;
        let Some(unit) = place.group.propagation.unit() else {
            let c = (0..n).into_par_iter().map(|i| match (own(&p, i), own(g_x, i)) {
                (Some(p), Some(g)) => Ok(g * derivative(p, order)?),
                _ => Ok(0.0),
            });
            let c = b.upload(&c.collect::<Result<Vec<_>>>()?);
            let c = c.map_err(|e| e.inside("the coefficients"))?;
            let sum = &mut self.sum;
            let weights = View::new(&c, Layout::rows_of(n, 1));
            b.run(TensorSum { order, c: weights, z, sum }.into())?;
            b.recycle([c]);
            return Ok(());
        };
        if p.is_empty() {
            return Ok(());
        }
        self.other.resize(place.len, 0.0);
        let other = &mut self.other;
        let inputs = place.layer.inputs;
        let z = download(b, z.with(|l| l.columns(0..inputs)))?;
        let local = row - place.group.units.start;
        let w = parameters.of(1, place.group).with(|l| l.rows(local..local + 1));
        let w = download(b, w)?;
        let sample = |i: usize, out: &mut [f64]| -> Result<()> {
            if let (Some(p), Some(g)) = (own(&p, i), own(g_x, i)) {
                let h = (1..=order).map(|r| derivative(p, r));
                let h: Vec<f64> = h.collect::<Result<_>>()?;
                add_terms(unit, &z[i * inputs..(i + 1) * inputs], &w, g, &h, out)?;
            }
            Ok(())
        };
        let blocks: Vec<usize> = (0..n).step_by(BLOCK).collect();
        let all = |_: &str| {
            for held in blocks.chunks(HELD) {
                let partial = held.par_iter().map(|&from| {
                    let mut partial = vec![0.0; place.len];
                    (from..n.min(from + BLOCK)).try_for_each(|i| sample(i, &mut partial))?;
                    Ok(partial)
                });
                for partial in partial.collect::<Result<Vec<_>>>()? {
                    (other.iter_mut().zip(partial)).for_each(|(out, v)| *out += v);
                }
            }
            Ok(())
        };
        guard::named("unit", || unit.name(), all)?
    }

    /// Returns the tensor's numbers on the host.
    fn read(self, b: &B) -> Result<Vec<f64>> {
        let mut packed = b.read(self.sum)?;
        (packed.iter_mut().zip(self.other)).for_each(|(sum, v)| *sum += v);
        Ok(packed)
    }
}

/// out += g Σ_π h⁽|π|⁾ Π_B ∂p: what one sample adds to the tensor of a unit that is not linear; h starts with h′.
fn add_terms(
    unit: &dyn Unit,
    z: &[f64],
    w: &[f64],
    g: f64,
    h: &[f64],
    out: &mut [f64],
) -> Result<()> {
    let t = w.len();
    let (mut phi, mut psi) = (vec![0.0; t], vec![0.0; t * t]);
    unit.d_w(z, w, &mut phi);
    unit.d_ww(z, w, &mut psi);
    let derivative = |block: &[usize]| {
        let v = match *block {
            [a] => phi[a],
            [a, b] => psi[a * t + b],
            // Without it only orders 1 and 2 come this far.
            _ => unit.higher().map_or(0.0, |unit| unit.derivative(z, w, block)),
        };
        guard::refuse_nan("unit", unit.name(), "a derivative in w", &[z, w], &[v])?;
        Ok(v)
    };
    for (indices, out) in Indices::new(t, h.len()).zip(out) {
        let mut sum = Ok(0.0);
        partitions(&indices, &mut Vec::new(), &mut |blocks| {
            let product = blocks.iter().map(|block| derivative(block)).product::<Result<f64>>();
            sum = sum.clone().and_then(|sum| Ok(sum + h[blocks.len() - 1] * product?));
        });
        *out += g * sum?;
    }
    Ok(())
}

/// Calls `f` with every partition of the indices into blocks that starts with `blocks`.
fn partitions(rest: &[usize], blocks: &mut Vec<Vec<usize>>, f: &mut impl FnMut(&[Vec<usize>])) {
    let Some((&first, rest)) = rest.split_first() else {
        return f(blocks);
    };
    for at in 0..blocks.len() {
        blocks[at].push(first);
        partitions(rest, blocks, f);
        blocks[at].pop();
    }
    blocks.push(vec![first]);
    partitions(rest, blocks, f);
    blocks.pop();
}

/// Adds the samples of one chunk.
pub(super) fn sweep_tensor<B: Backend>(
    setting: Setting<B>,
    batch: Batch<B>,
    sums: &mut TensorSums<B>,
) -> Result<()> {
    let Setting { b, network, parameters, .. } = setting;
    let linear = Linear::new(setting, batch, Need::of_tensor(), None, None)?;
    if let (Some(chain), Some(backward)) = (linear.chain(setting, batch), linear.backward()) {
        let k = sums.place.of.layer;
        let p = pre_activations(b, network, parameters, k, chain.z(k))?;
        let g_x = b.download(&backward.multipliers[k - 1])?;
        sums.add(b, parameters, chain.z(k), &p, &g_x)?;
        b.recycle([p]);
    }
    linear.recycle(b);
    Ok(())
}

/// The sums that are the tensor at the states that W propagates and their multipliers.
pub(crate) fn tensor_sums<B: Backend>(
    place: &Where<B>,
    parts: Parts,
    at: &At<B>,
    of: Tensor,
    division: Division,
) -> Result<Partial<Vec<f64>>> {
    of.multiplications(parts.network, parts.data.len())?;
    let chunk = division.positive_chunk()?;
    let of_task = |task: Task<B>| -> Result<Vec<f64>> {
        let mut sums = TensorSums::new(task.b, parts.network, of)?;
        place.each_chunk(&task, parts, at, chunk, |setting, batch, _| {
            sweep_tensor(setting, batch, &mut sums)
        })?;
        sums.read(task.b)
    };
    let of_task = |task: Task<B>| place.samples.ended(of_task(task));
    let nodes = division.run(place.backend, place.idle, of_task, |packed| packed)?;
    Ok(Partial { nodes, rows: Rows::default() })
}

/// The tensor at any states and multipliers.
pub(crate) fn tensor_at(
    parts: Parts,
    w: &[f64],
    at: &Configuration,
    of: Tensor,
) -> Result<SymmetricTensor> {
    let network = parts.network;
    check(parts, at)?;
    let b = Cpu::<f64>::new();
    let parameters = Parameters::upload(&b, w)?;
    let mut sums = TensorSums::new(&b, network, of)?;
    each_chunk(&b, parts, |batch, rows| {
        let x = (at.states.iter()).map(|x| b.upload(&rows_of(x, rows.clone())));
        let states = States::given(&b, network, batch.x, x.collect::<Result<_>>()?, 1)?;
        let z = states.z(network, batch.x, of.layer);
        let p = pre_activations(&b, network, &parameters, of.layer, z)?;
        let mut minus_e = rows_of(&at.multipliers[of.layer - 1], rows);
        minus_e.iter_mut().for_each(|e| *e = -*e);
        sums.add(&b, &parameters, z, &p, &minus_e)
    })?;
    of.of_numbers(network, sums.read(&b)?)
}
