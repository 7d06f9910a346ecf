//! The things that requests for one problem leave for the next ones: plans, samples on the backend, arrays that wait, and linearizations.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::counters::Counters;
use super::linear::Kept;
use super::plan::kept_bytes;
use super::samples::Samples;
use super::states::Parameters;
use super::{At, Parts, Place, Plan, Request, Target, Work};
#[cfg(feature = "gpu")]
use crate::backend::gpu::Gpu;
use crate::backend::{Backend, Cpu};
use crate::error::{Error, Result};
use crate::interrupt::Limits;
use crate::sync::lock;

/// Operations of a request that are worth handing to other threads; a choice, not a measurement.
const WORTH: f64 = 2e6;

/// The plan of a kind of request.
pub(crate) struct Planned {
    target: u64,
    work: Work,
    pub plan: Plan,
    /// Set when the adapter has built its pipelines for it.
    #[cfg(feature = "gpu")]
    pub prepared: OnceLock<()>,
}

/// The plans of a problem.
#[derive(Default)]
struct Plans {
    plans: Mutex<Vec<Arc<Planned>>>,
    /// Bytes that stay of a linearized chunk, by target and chunk.
    kept_bytes: Mutex<Vec<(u64, usize, u64)>>,
}

/// Everything that requests for one problem leave.
pub(crate) struct Memory {
    pub counters: Arc<Counters>,
    /// The limits of its requests.
    pub limits: Arc<Limits>,
    plans: Arc<Plans>,
    /// How many derivatives of h requests needed at the most.
    order: Arc<AtomicUsize>,
    expected: Mutex<Vec<Work>>,
    pub f64: Arc<Store<Cpu<f64>>>,
    pub f32: Arc<Store<Cpu<f32>>>,
    #[cfg(feature = "gpu")]
    gpus: Mutex<Vec<(u64, Arc<Store<Gpu>>)>>,
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            counters: Arc::default(),
            limits: Arc::default(),
            plans: Arc::default(),
            order: Arc::default(),
            expected: Mutex::default(),
            f64: Arc::new(Store::new(Cpu::new(), Some(Cpu::sequential()))),
            f32: Arc::new(Store::new(Cpu::new(), Some(Cpu::sequential()))),
            #[cfg(feature = "gpu")]
            gpus: Mutex::default(),
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({:?})", self.counters.read())
    }
}

impl Memory {
    /// Returns a memory that has nothing in common with another but the plans; its counts belong to those of the other, too.
    pub(crate) fn within(whole: &Memory) -> Self {
        Memory {
            counters: Arc::new(Counters::within(whole.counters.clone())),
            plans: whole.plans.clone(),
            ..Memory::default()
        }
    }

    /// The arrays that requests leave on an adapter.
    #[cfg(feature = "gpu")]
    pub(crate) fn on_gpu(&self, gpu: &Gpu) -> Arc<Store<Gpu>> {
        let store = || Arc::new(Store::new(gpu.clone(), None));
        of_gpu(&self.gpus, gpu, store)
    }

    /// The plan of a kind of request, if there is one that `fits`.
    pub(crate) fn plan(
        &self,
        target: &Target,
        work: Work,
        fits: impl Fn(&Plan) -> bool,
    ) -> Option<Arc<Planned>> {
        let is_it = |p: &&Arc<Planned>| p.work == work && p.target == target.number();
        let found = lock(&self.plans.plans).iter().find(is_it).cloned();
        found.filter(|planned| fits(&planned.plan))
    }

    /// Remembers a plan, in the place of one that did not fit.
    pub(crate) fn planned(&self, target: &Target, work: Work, plan: Plan) -> Arc<Planned> {
        self.counters.plan();
        let planned = Arc::new(Planned {
            target: target.number(),
            work,
            plan,
            #[cfg(feature = "gpu")]
            prepared: OnceLock::new(),
        });
        let mut plans = lock(&self.plans.plans);
        plans.retain(|p| (p.work, p.target) != (work, planned.target));
        plans.push(planned.clone());
        planned
    }

    /// Requests to come need h up to this order.
    pub(crate) fn expect_order(&self, order: usize) {
        self.order.fetch_max(order, Ordering::Relaxed);
    }

    /// Requests of this kind will come, at the same points as others that were expected.
    pub(crate) fn expect(&self, work: Work) {
        let mut expected = lock(&self.expected);
        if !expected.contains(&work) {
            expected.push(work);
        }
    }

    /// Returns the kinds of requests that are expected, the usual one first: the gradient, unless others were named.
    pub(crate) fn expected(&self) -> Vec<Work> {
        let expected = lock(&self.expected).clone();
        if expected.is_empty() {
            return vec![Request::gradient().into()];
        }
        expected
    }

    /// Returns the bytes that stay where they are computed if n samples, in chunks of so many, are linearized and kept.
    ///
    /// # Errors
    /// Those that the rehearsal reports.
    pub(crate) fn kept_bytes(
        &self,
        target: &Target,
        parts: Parts,
        n: usize,
        chunk: usize,
    ) -> Result<u64> {
        let key = (target.number(), chunk);
        let known = |all: &[(u64, usize, u64)]| {
            all.iter().find(|(target, chunk, _)| (*target, *chunk) == key).map(|found| found.2)
        };
        let found = known(&lock(&self.plans.kept_bytes));
        let each = match found {
            Some(bytes) => bytes,
            None => {
                let bytes = kept_bytes(parts.network, parts.loss, chunk, target)?;
                lock(&self.plans.kept_bytes).push((key.0, key.1, bytes));
                bytes
            }
        };
        Ok(each.saturating_mul(n.div_ceil(chunk) as u64))
    }
}

/// Returns what there is for an adapter, made by `make` the first time.
#[cfg(feature = "gpu")]
pub(crate) fn of_gpu<T: Clone>(
    all: &Mutex<Vec<(u64, T)>>,
    gpu: &Gpu,
    make: impl FnOnce() -> T,
) -> T {
    let mut all = lock(all);
    if let Some((_, found)) = all.iter().find(|(number, _)| *number == gpu.number()) {
        return found.clone();
    }
    let made = make();
    all.push((gpu.number(), made.clone()));
    made
}

/// The arrays that a request may leave behind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leave {
    /// All samples, on the backend.
    pub samples: bool,
    /// Arrays that wait for the next request.
    pub arrays: bool,
}

/// The arrays that requests leave on one backend.
pub(crate) struct Store<B: Backend> {
    backend: B,
    /// The calling thread alone, with the same bits: for what is not worth waking others.
    small: Option<B>,
    /// Backends for one thread each, for chunks that are computed at once.
    idle: Mutex<Vec<B>>,
    samples: Mutex<Option<Arc<Samples<B>>>>,
    /// Bytes of the linearizations that are kept.
    held: AtomicU64,
}

impl<B: Backend> Store<B> {
    /// Returns a store that holds nothing yet.
    pub(crate) fn new(backend: B, small: Option<B>) -> Self {
        Store {
            backend,
            small,
            idle: Mutex::default(),
            samples: Mutex::default(),
            held: AtomicU64::new(0),
        }
    }

    /// Calls `f` where some rows of a request with this plan are computed, in chunks of so many.
    ///
    /// # Errors
    /// A number that the backend's floats do not hold; those of `f`.
    pub(crate) fn place<R: Send>(
        &self,
        parts: Parts,
        (plan, chunk, rows): (&Plan, usize, Range<usize>),
        leave: Leave,
        (counters, limits): (&Counters, &Limits),
        f: impl FnOnce(&Place<B>) -> Result<R> + Send,
    ) -> Result<R> {
        let samples = self.samples(parts, chunk, rows, leave.samples, counters)?;
        let small = self.small.as_ref().filter(|_| plan.flops < WORTH);
        let place = Place {
            backend: small.unwrap_or(&self.backend),
            samples: &samples,
            idle: &self.idle,
            counters,
            limits,
            is_warm: leave.arrays,
        };
        if small.is_some() || self.small.is_none() {
            return f(&place);
        }
        // On a thread of the pool: each of the many kernels would be handed over to one otherwise.
        rayon::scope(|_| f(&place))
    }

    /// The samples on the backend, or such that are uploaded chunk by chunk.
    fn samples(
        &self,
        parts: Parts,
        chunk: usize,
        rows: Range<usize>,
        is_resident: bool,
        counters: &Counters,
    ) -> Result<Arc<Samples<B>>> {
        let mut known = lock(&self.samples);
        let is_here = |samples: &&Arc<Samples<B>>| is_resident && samples.are(&rows);
        if let Some(samples) = known.as_ref().filter(is_here) {
            return Ok(samples.clone());
        }
        // The samples of before go first: they make room.
        *known = None;
        let mut samples = Samples::in_windows(parts, chunk, rows);
        if is_resident {
            match samples.make_resident(&self.backend, parts, counters) {
                // Where all do not fit, chunks may.
                Ok(()) | Err(Error::Gpu { .. } | Error::Memory { .. } | Error::TooLarge { .. }) => {
                }
                Err(other) => return Err(other),
            }
        }
        // Those that are read go with their request: it takes each row once.
        let is_kept = samples.is_resident();
        let samples = Arc::new(samples);
        if is_kept {
            *known = Some(samples.clone());
        }
        Ok(samples)
    }

    /// Bytes of the linearizations that are kept.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

/// The arrays that are kept at one W on one backend.
pub(crate) struct PointStore<B: Backend> {
    store: Arc<Store<B>>,
    parameters: OnceLock<Parameters<B>>,
    /// The linearizations, by the length of their chunks, with their bytes.
    kept: Mutex<Vec<(Arc<Kept<B>>, u64)>>,
}

impl<B: Backend> PointStore<B> {
    /// Returns a store that holds nothing yet.
    pub(crate) fn new(store: Arc<Store<B>>) -> Self {
        PointStore { store, parameters: OnceLock::new(), kept: Mutex::default() }
    }

    /// The store of the backend.
    pub(crate) fn store(&self) -> &Store<B> {
        &self.store
    }

    /// Calls `f` with W on the backend and what is kept at it.
    ///
    /// # Errors
    /// A number that the backend's floats do not hold; those of `f`.
    pub(crate) fn at<R>(
        &self,
        w: &[f64],
        kept: Option<&Kept<B>>,
        f: impl FnOnce(&At<B>) -> Result<R>,
    ) -> Result<R> {
        let parameters = match self.parameters.get() {
            Some(parameters) => parameters,
            None => {
                let uploaded = Parameters::upload(&self.store.backend, w)?;
                self.parameters.get_or_init(|| uploaded)
            }
        };
        f(&At { parameters, kept })
    }

    /// The linearizations of these samples in chunks of so many, if they are kept, or if `room` finds room for them beside what is held: it
    /// returns their bytes, and whether ∂²g/∂x² is among them.
    ///
    /// # Errors
    /// Those of counting the bytes.
    pub(crate) fn kept(
        &self,
        memory: &Memory,
        rows: &Range<usize>,
        chunk: usize,
        room: impl FnOnce(u64) -> Result<Option<(u64, bool)>>,
    ) -> Result<Option<Arc<Kept<B>>>> {
        let mut all = lock(&self.kept);
        if let Some((kept, _)) = all.iter().find(|(kept, _)| kept.is_of(rows, chunk)) {
            return Ok(Some(kept.clone()));
        }
        let Some((bytes, hessians)) = room(self.store.held())? else {
            return Ok(None);
        };
        self.store.held.fetch_add(bytes, Ordering::Relaxed);
        let kept = Arc::new(Kept::new(rows.clone(), chunk, memory.order.clone(), hessians));
        all.push((kept.clone(), bytes));
        Ok(Some(kept))
    }
}

impl<B: Backend> Drop for PointStore<B> {
    /// The arrays wait for the next point where others wait, too.
    fn drop(&mut self) {
        if let Some(parameters) = self.parameters.take() {
            parameters.recycle(&self.store.backend);
        }
        let kept = std::mem::take(&mut *lock(&self.kept));
        let idle = lock(&self.store.idle);
        let mut backends = idle.iter().chain(&self.store.small).cycle();
        for (kept, bytes) in kept {
            self.store.held.fetch_sub(bytes, Ordering::Relaxed);
            if let (Some(kept), Some(_)) = (Arc::into_inner(kept), self.store.small.as_ref()) {
                kept.recycle(|| backends.next());
            }
        }
    }
}
