//! One chunk of samples: linearize it, and add what a request asks for to the sums.

use std::sync::Arc;

use super::Request;
use super::linear::{Linear, Need, Setting, Slot};
use super::pairs::{Couplings, is_coupled};
use super::products::{ProductSums, Vectors, add_products};
use super::samples::Batch;
use super::sums::Sums;
use crate::backend::Backend;
use crate::curvature::Curvature;
use crate::error::Result;
use crate::network::Network;

/// Results that have rows for each sample.
#[derive(Default)]
pub(crate) struct Rows {
    /// e^k by layer, n × s_k; none unless they were asked for.
    pub multipliers: Vec<Vec<f64>>,
    /// x^m, n × outputs.
    pub outputs: Vec<f64>,
}

impl Rows {
    /// Returns no rows yet, with room for those of n samples.
    pub(super) fn with_capacity(network: &Network, request: Request, n: usize) -> Self {
        let layers = if request.multipliers { network.layers() } else { &[] };
        let outputs = if request.outputs { network.outputs() } else { 0 };
        Rows {
            multipliers: layers.iter().map(|l| Vec::with_capacity(n * l.units)).collect(),
            outputs: Vec::with_capacity(n * outputs),
        }
    }

    /// Adds the rows of the next samples.
    pub(super) fn extend(&mut self, next: Rows) {
        if self.outputs.is_empty() && self.multipliers.is_empty() {
            // With the room that it has.
            *self = next;
            return;
        }
        for (all, e) in self.multipliers.iter_mut().zip(next.multipliers) {
            all.extend(e);
        }
        self.outputs.extend(next.outputs);
    }
}

/// Adds everything that `request` asks for of one chunk.
pub(super) fn sweep<B: Backend>(
    setting: Setting<B>,
    batch: Batch<B>,
    request: Request,
    slot: Option<&Slot<B>>,
    sums: &mut Sums<B>,
) -> Result<Rows> {
    let b = setting.b;
    let need = Need::of_request(request);
    let linear = Linear::new(setting, batch, need, slot, Some(&mut sums.value))?;
    let mut rows = Rows::default();
    if let (Some(chain), Some(backward)) = (linear.chain(setting, batch), linear.backward()) {
        if request.gradient {
            chain.add_gradient(&backward.delta, &mut sums.gradient)?;
        }
        if let Some((curvature, structure)) = request.curvature {
            let hessian = setting.loss_hessian(&chain, curvature, slot)?;
            let of_loss = hessian.as_deref();
            if is_coupled(curvature, structure) {
                let couplings = Couplings::new(&chain, curvature, structure, of_loss, backward)?;
                chain.add_pairs(structure, couplings, &mut sums.pairs)?;
            } else {
                let c = chain.coefficients(curvature, structure, of_loss, backward)?;
                let second = curvature.is_exact() || curvature == Curvature::Lagrangian;
                let delta = second.then_some(&backward.delta[..]);
                chain.add_blocks(structure, &c, delta, &mut sums.curvature)?;
                if request.is_pooled() {
                    chain.add_pooled(&c, &mut sums.pooled)?;
                }
                b.recycle(c);
            }
            b.recycle(hessian.and_then(Arc::into_inner));
        }
        if request.multipliers {
            // e = −∂g/∂x (paper eq. 7, 8); 0 − g keeps the zeros positive.
            let minus = |g: &B::Array| -> Result<Vec<f64>> {
                Ok(b.download(g)?.into_iter().map(|g| 0.0 - g).collect())
            };
            rows.multipliers = backward.multipliers.iter().map(minus).collect::<Result<_>>()?;
        }
    }
    if request.outputs {
        rows.outputs = linear.download_states(setting, batch, setting.network.depth())?;
    }
    linear.recycle(b);
    Ok(rows)
}

/// Adds the products of one chunk with each group of vectors.
pub(super) fn sweep_products<B: Backend>(
    setting: Setting<B>,
    batch: Batch<B>,
    curvature: Curvature,
    slot: Option<&Slot<B>>,
    vectors: &[Vectors<B>],
    sums: &mut [ProductSums<B>],
) -> Result<()> {
    let linear = Linear::new(setting, batch, Need::of_products(curvature), slot, None)?;
    if let Some(chain) = linear.chain(setting, batch) {
        // The residual's is 0, and so is its term.
        let hessian = match curvature {
            Curvature::Residual => None,
            _ => setting.loss_hessian(&chain, curvature, slot)?,
        };
        let backward = linear.backward();
        let of_loss = hessian.as_deref();
        add_products(&chain, curvature, of_loss, backward, vectors, sums)?;
        setting.b.recycle(hessian.and_then(Arc::into_inner));
    }
    linear.recycle(setting.b);
    Ok(())
}
