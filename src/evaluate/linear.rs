//! The linearization of a chunk at W: its states, and what was propagated back. Requests at the same W share it where it is kept.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Request;
use super::chain::{Backward, Chain, Sensitivities};
use super::counters::Counters;
use super::samples::Batch;
use super::states::{Parameters, States, download};
use crate::backend::kernel::{LossHessian, LossValue};
use crate::backend::{Backend, ViewMut, product};
use crate::curvature::Curvature;
use crate::error::Result;
use crate::network::Network;
use crate::objective::Loss;
use crate::sync::lock;

/// The state that all chunks of a request share.
pub(super) struct Setting<'a, B: Backend> {
    pub b: &'a B,
    pub network: &'a Network,
    pub loss: &'a Loss,
    pub parameters: &'a Parameters<B>,
    pub counters: &'a Counters,
}

// Not derived: a backend need not be `Copy`.
impl<B: Backend> Clone for Setting<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Setting<'_, B> {}

/// How far a chunk is linearized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Extent {
    /// x^m.
    Outputs,
    /// A^k, too.
    Sensitivities,
    /// δ^k, too.
    Gradient,
    /// ∂g/∂x^k, too.
    Multipliers,
}

/// The parts of the linearization that a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    pub extent: Extent,
    /// How many derivatives of h.
    pub order: usize,
}

impl Need {
    /// Returns the needs of an evaluation.
    pub(crate) fn of_request(request: Request) -> Self {
        let curvature = request.curvature.map(|(curvature, _)| curvature);
        let second = |c: Curvature| c.is_exact() || c == Curvature::Lagrangian;
        let (extent, order) = if curvature.is_some_and(second) {
            (Extent::Multipliers, 2)
        } else if request.multipliers {
            (Extent::Multipliers, 1)
        } else if request.gradient || curvature.is_some() {
            (Extent::Gradient, 1)
        } else {
            (Extent::Outputs, 0)
        };
        Need { extent, order }
    }

    /// Returns the needs of a tensor.
    pub(crate) fn of_tensor() -> Self {
        Need { extent: Extent::Multipliers, order: 1 }
    }

    /// Returns the needs of the Jacobian of the outputs.
    pub(crate) fn of_jacobian() -> Self {
        Need { extent: Extent::Sensitivities, order: 1 }
    }

    /// Returns the needs of products with a curvature.
    pub(crate) fn of_products(curvature: Curvature) -> Self {
        match curvature {
            Curvature::GaussNewton => Need::of_jacobian(),
            Curvature::EmpiricalFisher => Need { extent: Extent::Multipliers, order: 1 },
            _ => Need { extent: Extent::Multipliers, order: 2 },
        }
    }
}

/// A chunk at W, linearized as far as a request needs it.
pub(super) struct Linear<B: Backend> {
    states: Arc<States<B>>,
    back: Option<Arc<Back<B>>>,
}

/// The arrays of the backward propagation.
pub(crate) struct Back<B: Backend> {
    sensitivities: Sensitivities<B>,
    /// None where nothing but the sensitivities was needed.
    backward: Option<Backward<B>>,
}

impl<B: Backend> Linear<B> {
    /// Linearizes a chunk as far as needed, from what is kept of it, and keeps what is new. The value is added to `value`, if given.
    pub(super) fn new(
        setting: Setting<B>,
        batch: Batch<B>,
        mut need: Need,
        slot: Option<&Slot<B>>,
        value: Option<&mut B::Sum>,
    ) -> Result<Self> {
        let kept = slot.map(Slot::read).unwrap_or_default();
        if let Some(slot) = slot {
            need = slot.whole(need);
        }
        let Setting { b, network, parameters, .. } = setting;
        let states = match kept.states.filter(|states| states.order >= need.order) {
            Some(states) => states,
            None => {
                setting.counters.forward(batch.n);
                let made = States::propagate(b, network, parameters, batch.x, need.order)?;
                Arc::new(made)
            }
        };
        let kept = kept.back.filter(|_| need.extent > Extent::Outputs);
        let missing = kept.is_none() && need.extent >= Extent::Gradient;
        let seed = setting.loss(batch, &states, value, missing)?;
        let back = match kept {
            Some(back) => Some(back),
            None if need.extent == Extent::Outputs => None,
            None => Some(Arc::new(Back::new(setting, batch, &states, need.extent, seed)?)),
        };
        let linear = Linear { states, back };
        if let Some(slot) = slot {
            slot.keep(&linear);
        }
        Ok(linear)
    }

    /// The chunk's chain rule; `None` where only the outputs were needed.
    pub(super) fn chain<'a>(
        &'a self,
        setting: Setting<'a, B>,
        batch: Batch<'a, B>,
    ) -> Option<Chain<'a, B>> {
        let Setting { b, network, parameters, .. } = setting;
        Some(Chain {
            b,
            n: batch.n,
            network,
            parameters,
            states: &self.states,
            batch,
            sensitivities: &self.back.as_ref()?.sensitivities,
        })
    }

    /// The errors propagated back, where they were needed.
    pub(super) fn backward(&self) -> Option<&Backward<B>> {
        self.back.as_ref()?.backward.as_ref()
    }

    /// Returns x^k on the host, n × s_k.
    pub(super) fn download_states(
        &self,
        setting: Setting<B>,
        batch: Batch<B>,
        k: usize,
    ) -> Result<Vec<f64>> {
        download(setting.b, self.states.x(setting.network, batch.x, k))
    }

    /// Gives back the arrays that are not kept.
    pub(super) fn recycle(self, b: &B) {
        if let Some(states) = Arc::into_inner(self.states) {
            states.recycle(b);
        }
        if let Some(back) = self.back.and_then(Arc::into_inner) {
            back.recycle(b);
        }
    }
}

impl<B: Backend> Back<B> {
    fn new(
        setting: Setting<B>,
        batch: Batch<B>,
        states: &States<B>,
        extent: Extent,
        seed: Option<B::Array>,
    ) -> Result<Self> {
        let Setting { b, network, parameters, counters, .. } = setting;
        let sensitivities = Sensitivities::new(b, network, parameters, states, &batch)?;
        let Some(seed) = seed else {
            return Ok(Back { sensitivities, backward: None });
        };
        let chain = Chain {
            b,
            n: batch.n,
            network,
            parameters,
            states,
            batch,
            sensitivities: &sensitivities,
        };
        counters.backward(batch.n);
        let backward = chain.back_propagate(seed, extent == Extent::Multipliers)?;
        Ok(Back { sensitivities, backward: Some(backward) })
    }

    fn recycle(self, b: &B) {
        self.sensitivities.recycle(b);
        if let Some(backward) = self.backward {
            backward.recycle(b);
        }
    }
}

impl<B: Backend> Setting<'_, B> {
    /// Adds Σ_i ω_i g to `value`, if given, and returns ω_i ∂g/∂x_i^m, n × outputs, if asked for.
    pub(super) fn loss(
        &self,
        batch: Batch<B>,
        states: &States<B>,
        value: Option<&mut B::Sum>,
        gradient: bool,
    ) -> Result<Option<B::Array>> {
        if value.is_none() && !gradient {
            return Ok(None);
        }
        let (b, network) = (self.b, self.network);
        let x = states.x(network, batch.x, network.depth());
        let mut unused = None;
        let value = match value {
            Some(value) => value,
            None => unused.insert(b.sums(1)?),
        };
        let mut seed = gradient.then(|| b.alloc(product(&x.shape())?)).transpose()?;
        let kernel = LossValue {
            loss: self.loss,
            x,
            y: batch.y,
            omega: batch.omega,
            value,
            gradient: seed.as_mut().map(|seed| ViewMut::new(seed, x.layout)),
        };
        b.run(kernel.into())?;
        Ok(seed)
    }

    /// Returns ω_i ∂²g/∂x_i², n × outputs × outputs, where a curvature has it; 0 for the residual.
    pub(super) fn loss_hessian(
        &self,
        chain: &Chain<B>,
        curvature: Curvature,
        slot: Option<&Slot<B>>,
    ) -> Result<Option<Arc<B::Array>>> {
        let (b, outputs, m) = (self.b, self.network.outputs(), self.network.depth());
        match curvature {
            Curvature::GaussNewton | Curvature::Exact => {}
            Curvature::Residual => {
                let zeros = b.zeros(product(&[chain.n, outputs, outputs])?)?;
                return Ok(Some(Arc::new(zeros)));
            }
            _ => return Ok(None),
        }
        if let Some(kept) = slot.and_then(Slot::hessian) {
            return Ok(Some(kept));
        }
        let mut hessian = chain.alloc(outputs, m)?;
        let kernel = LossHessian {
            loss: self.loss,
            x: chain.output(),
            y: chain.batch.y,
            omega: chain.batch.omega,
            out: ViewMut::new(&mut hessian, chain.layout(outputs, m)),
        };
        b.run(kernel.into())?;
        let hessian = Arc::new(hessian);
        if let Some(slot) = slot {
            slot.keep_hessian(&hessian);
        }
        Ok(Some(hessian))
    }
}

/// The linearizations of all chunks of so many samples, at one W.
pub(crate) struct Kept<B: Backend> {
    chunk: usize,
    /// The samples of these chunks.
    rows: Range<usize>,
    slots: Vec<Slot<B>>,
}

impl<B: Backend> Kept<B> {
    /// Keeps nothing yet of some samples, in chunks of `chunk`; later, h′ and h″ up to the greatest order that was needed,
    /// and ∂²g/∂x² if `hessians` are to be kept.
    pub(crate) fn new(
        rows: Range<usize>,
        chunk: usize,
        order: Arc<AtomicUsize>,
        hessians: bool,
    ) -> Self {
        let slot = |_| Slot { order: order.clone(), hessians, kept: Mutex::default() };
        Kept { chunk, slots: (0..rows.len().div_ceil(chunk)).map(slot).collect(), rows }
    }

    /// Whether it is of these samples in chunks of so many.
    pub(crate) fn is_of(&self, rows: &Range<usize>, chunk: usize) -> bool {
        (&self.rows, self.chunk) == (rows, chunk)
    }

    /// The place of the chunk that starts with a sample.
    pub(super) fn slot(&self, first: usize) -> Option<&Slot<B>> {
        self.slots.get(first.checked_sub(self.rows.start)? / self.chunk)
    }

    /// Gives the arrays of each chunk back to the next backend.
    pub(crate) fn recycle<'b>(self, mut next: impl FnMut() -> Option<&'b B>)
    where
        B: 'b,
    {
        for slot in self.slots {
            let kept = slot.kept.into_inner().unwrap_or_else(PoisonError::into_inner);
            let Some(b) = next() else {
                return;
            };
            if let Some(states) = kept.states.and_then(Arc::into_inner) {
                states.recycle(b);
            }
            if let Some(back) = kept.back.and_then(Arc::into_inner) {
                back.recycle(b);
            }
            b.recycle(kept.hessian.and_then(Arc::into_inner));
        }
    }
}

/// The place of one chunk's linearization.
pub(super) struct Slot<B: Backend> {
    order: Arc<AtomicUsize>,
    /// Whether ∂²g/∂x² is kept, too.
    hessians: bool,
    kept: Mutex<Linearized<B>>,
}

/// The parts of a chunk's linearization that exist.
struct Linearized<B: Backend> {
    states: Option<Arc<States<B>>>,
    back: Option<Arc<Back<B>>>,
    hessian: Option<Arc<B::Array>>,
}

// Not derived: a backend need not have a default.
impl<B: Backend> Default for Linearized<B> {
    fn default() -> Self {
        Linearized { states: None, back: None, hessian: None }
    }
}

impl<B: Backend> Slot<B> {
    fn read(&self) -> Linearized<B> {
        let kept = lock(&self.kept);
        Linearized { states: kept.states.clone(), back: kept.back.clone(), hessian: None }
    }

    fn hessian(&self) -> Option<Arc<B::Array>> {
        let kept = lock(&self.kept);
        kept.hessian.clone()
    }

    fn keep_hessian(&self, hessian: &Arc<B::Array>) {
        let mut kept = lock(&self.kept);
        kept.hessian = Some(hessian.clone()).filter(|_| self.hessians);
    }

    fn keep(&self, linear: &Linear<B>) {
        let mut kept = lock(&self.kept);
        kept.states = Some(linear.states.clone());
        if let Some(back) = &linear.back {
            kept.back = Some(back.clone());
        }
    }

    /// The parts that are kept for later requests.
    fn whole(&self, need: Need) -> Need {
        let order = self.order.fetch_max(need.order, Ordering::Relaxed).max(need.order);
        let extent = match need.extent {
            Extent::Outputs => Extent::Outputs,
            _ => Extent::Multipliers,
        };
        Need { extent, order }
    }
}
