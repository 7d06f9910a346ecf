//! Sessions: many requests for one problem, with what each leaves for the next.
//!
//! A [`Session`] remembers, and promises:
//!
//! * **One plan for a kind of request.** The memory budget is read once, when the session is made; each kind of request is planned
//!   once for a problem, and refused before anything is allocated if it cannot fit.
//! * **One upload of the data.** X, Y and ω are copied to where the arithmetic is done at the first request and stay there, if they
//!   take no more than half of what the budget leaves; otherwise each chunk of samples is copied when it is computed.
//! * **Linearized points.** [`Session::at`] gives a [`Point`]: value, gradient, matrices and products at one w. The states of its
//!   samples, h′ and h″, the sensitivities and the multipliers are kept while the budget has room: then the forward and the backward
//!   sweep run once for a point, whatever is asked at it and by however many threads. Where there is no room, each request computes
//!   them anew. Either way the bits of the results are the same.
//! * **Warm buffers.** Arrays wait for the next request where a request takes a small part of the budget.
//!
//! A session may be shared by threads, and several may live at once: nothing is common to them but the problem's plans. [`Session::counts`] tells what was
//! done. Operators ([`Problem::operator`]) and fits have sessions of their own; [`Problem`]'s own requests leave for the next ones what
//! is small, such as plans and arrays of small problems.

#[cfg(feature = "gpu")]
mod gpus;
mod operator;
mod point;
mod ranks;
mod requests;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use operator::Operator;
pub use point::Point;

use crate::backend::Backend;
use crate::backend::cpu::BLOCK;
#[cfg(feature = "gpu")]
use crate::backend::gpu::Gpu;
use crate::device::Device;
#[cfg(feature = "gpu")]
use crate::device::WORTHWHILE;
use crate::error::Result;
#[cfg(feature = "gpu")]
use crate::error::{Error, Fault};
#[cfg(feature = "gpu")]
use crate::evaluate::rehearse;
use crate::evaluate::{
    Additive, At, Counts, Division, Leave, Memory, Need, Partial, Parts, Place, Plan, Planned,
    PointStore, Request, Rows, Share, Target, Work, resident_bytes,
};
use crate::interrupt::Limits;
use crate::problem::Problem;
use crate::team::Asked;
use point::Stores;

/// Bytes that the requests of a problem may leave without a session: 4 MiB, a choice.
const SMALL: u64 = 4 << 20;

/// The processor, whose memory all requests share.
const HOST: Target = Target::Cpu { float: 8 };

/// Many requests for one problem on its device; see `src/session/mod.rs`.
///
/// ```
/// use ndarray::array;
/// use secondo::{Activation, Curvature, Data, LinearOperator, Loss, Network, Problem};
/// let data = Data::new(array![[0.0], [1.0], [2.0]], array![[0.0], [0.8], [0.9]])?;
/// let problem = Problem::new(Network::dense(&[1, 2, 1], Activation::Tanh)?, data, Loss::SquaredError)?;
/// let session = problem.session();
/// let point = session.at(&[0.5; 7])?;
/// let gradient = point.gradient()?;
/// let operator = point.operator(Curvature::Exact)?;
/// let product = operator.product(&gradient)?;
/// // Errors were propagated back once through the three samples, for the gradient and for the product.
/// assert_eq!(session.counts().backward, 3);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Session<'a> {
    problem: &'a Problem,
    device: Device,
    memory: Arc<Memory>,
    terms: Terms,
}

/// How much is remembered.
#[derive(Debug, Clone)]
enum Terms {
    /// As much as is small.
    Call,
    /// As much as fits in the budget, less what others need of it besides.
    Lasting {
        budget: u64,
        /// Bytes that others hold while requests are computed.
        reserve: Arc<AtomicU64>,
        /// Bytes of the largest plan on the processor so far.
        largest: Arc<AtomicU64>,
    },
}

impl<'a> Session<'a> {
    /// Returns a session that reads the budget now.
    pub(crate) fn new(problem: &'a Problem, device: Device) -> Self {
        Session {
            problem,
            device,
            memory: Arc::new(Memory::within(problem.memory())),
            terms: Terms::Lasting {
                budget: problem.budget(),
                reserve: Arc::default(),
                largest: Arc::default(),
            },
        }
    }

    /// Returns the session of a problem's own requests.
    fn of_call(problem: &'a Problem, device: &Device) -> Self {
        Session {
            problem,
            device: device.clone(),
            memory: problem.memory().clone(),
            terms: Terms::Call,
        }
    }

    /// The problem.
    pub fn problem(&self) -> &'a Problem {
        self.problem
    }

    /// Returns the plans, uploads and sweeps so far.
    pub fn counts(&self) -> Counts {
        self.memory.counters.read()
    }

    /// Returns the point w, to be linearized when something is asked at it.
    ///
    /// # Errors
    /// A wrong length, a number that is not finite.
    pub fn at(&self, w: &[f64]) -> Result<Point<'a>> {
        Point::new(self.clone(), w)
    }

    /// Returns what `request` costs; see [`Problem::plan`].
    ///
    /// # Errors
    /// As [`Problem::plan`].
    pub fn plan(&self, request: Request) -> Result<Plan> {
        let (_, planned) = self.planned(&self.device, request.into())?;
        Ok(planned.plan.clone())
    }

    /// Returns the device that computes a kind of request: what `Auto` chooses, or the session's own.
    pub(crate) fn device_for(&self, work: Work) -> Device {
        #[cfg(feature = "gpu")]
        if let Device::Auto(_) = self.device {
            return match self.planned(&self.device, work) {
                Ok((Target::Gpu(gpu), _)) => Device::Gpu(gpu),
                _ => Device::Cpu,
            };
        }
        let _ = work;
        self.device.clone()
    }

    /// Returns the same session with less of a budget, since others hold so many bytes.
    pub(crate) fn beside(mut self, bytes: u64) -> Self {
        if let Terms::Lasting { budget, .. } = &mut self.terms {
            *budget = budget.saturating_sub(bytes);
        }
        self
    }

    /// Leaves so many bytes of the budget to others.
    pub(crate) fn reserve(&self, bytes: u64) {
        if let Terms::Lasting { reserve, .. } = &self.terms {
            reserve.fetch_max(bytes, Ordering::Relaxed);
        }
    }

    /// The limits of its requests.
    pub(crate) fn limits(&self) -> &Arc<Limits> {
        &self.memory.limits
    }

    /// Linearizes points so that this kind of request will find all that it needs.
    pub(crate) fn expect(&self, work: Work) {
        self.memory.expect(work);
        self.memory.expect_order(need(work).order);
    }

    /// Returns where a request is computed on a device, with its plan: `Auto` chooses by the request's size, and takes the processor
    /// where it does not fit the adapter.
    ///
    /// # Errors
    /// `Memory` with the numbers and an alternative if it cannot fit.
    pub(crate) fn planned(&self, device: &Device, work: Work) -> Result<(Target, Arc<Planned>)> {
        let on_cpu = |float| self.planned_for(Target::Cpu { float }, work);
        match device {
            Device::CpuF32 => on_cpu(4),
            Device::Cpu => on_cpu(8),
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu) => self.planned_for(Target::Gpu(gpu.clone()), work),
            // Of the one whose memory allows the least.
            #[cfg(feature = "gpu")]
            Device::Gpus(gpus) => {
                let plan = |(gpu, _): (&Gpu, _)| self.planned_for(Target::Gpu(gpu.clone()), work);
                let plans = gpus.adapters().map(plan).collect::<Result<Vec<_>>>()?;
                let least = plans.into_iter().min_by_key(|(_, planned)| planned.plan.chunk);
                least.ok_or_else(|| Error::invalid("the adapters", "at least one is needed"))
            }
            #[cfg(feature = "gpu")]
            Device::Auto(_) => {
                let on_cpu = on_cpu(8);
                // A request that the processor cannot hold is large.
                let is_large = (on_cpu.as_ref()).map_or(true, |(_, p)| p.plan.flops >= WORTHWHILE);
                let adapter = is_large.then(|| device.automatic()).flatten();
                match adapter.map(|adapter| self.planned(&adapter, work)) {
                    Some(Ok(planned)) => Ok(planned),
                    _ => on_cpu,
                }
            }
        }
    }

    fn planned_for(&self, target: Target, work: Work) -> Result<(Target, Arc<Planned>)> {
        // A request that is small needs no look at the memory.
        let budget = || match &self.terms {
            Terms::Call => self.problem.budget(),
            Terms::Lasting { budget, .. } => *budget,
        };
        let fits = |plan: &Plan| plan.bytes() <= SMALL || plan.bytes() <= budget();
        let planned = match self.memory.plan(&target, work, fits) {
            Some(planned) => planned,
            None => {
                let budget = budget();
                let plan = self.problem.plan_for(&target, work, budget)?;
                self.memory.planned(&target, work, plan)
            }
        };
        if let Terms::Lasting { largest, .. } = &self.terms {
            largest.fetch_max(planned.plan.bytes(), Ordering::Relaxed);
        }
        Ok((target, planned))
    }

    /// Bytes of samples and linearizations that may stay beside a request with this plan.
    fn room(&self, target: &Target, plan: &Plan) -> u64 {
        match (&self.terms, target) {
            #[cfg(feature = "gpu")]
            (Terms::Lasting { .. }, Target::Gpu(gpu)) => {
                gpu.memory().saturating_sub(plan.device) / 2
            }
            (Terms::Lasting { budget, reserve, largest }, _) => {
                let [reserve, largest] = [reserve, largest].map(|a| a.load(Ordering::Relaxed));
                budget.saturating_sub(reserve.saturating_add(largest)) / 2
            }
            (Terms::Call, _) => SMALL.saturating_sub(plan.bytes()),
        }
    }

    /// The arrays that a request for n samples may leave behind.
    fn leave(&self, target: &Target, plan: &Plan, n: usize) -> Leave {
        let samples = resident_bytes(self.problem.network(), n, target.float());
        Leave {
            samples: samples <= self.room(target, plan),
            arrays: match &self.terms {
                Terms::Call => plan.bytes() <= SMALL,
                Terms::Lasting { .. } => plan.bytes() <= self.room(&HOST, plan) / 4,
            },
        }
    }

    /// Does a job where `device` computes it, with other processes where there are any that share the samples.
    fn run<J: Job>(&self, device: &Device, stores: &Stores, job: &J) -> Result<J::Done> {
        let work = job.work();
        #[cfg(feature = "gpu")]
        if let Device::Gpus(gpus) = device {
            return self.run_on_gpus(gpus, stores, job);
        }
        let (target, planned) = self.planned(device, work)?;
        let chunk = self.chunk(device, work, &planned);
        let own = |share| self.compute(&target, &planned, stores, job, chunk, share);
        let (parts, weights) = (self.problem.parts(), stores.weights());
        // Results for each sample are not summed, and the others have no adapter.
        let is_shared = matches!(target, Target::Cpu { .. }) && !work.has_rows();
        if let Some(ranks) = self.problem.ranks().filter(|_| is_shared) {
            let work = self.problem.in_network(work);
            let vectors = Cow::Borrowed(job.vectors());
            let asked = Asked { work, float: target.float(), chunk, vectors };
            let own = || Ok(own(Share::Rank(0, ranks.size()))?.nodes);
            return job.finish(parts, weights, ranks.ask(asked, weights, own)?, Rows::default());
        }
        let found = own(Share::ALL);
        #[cfg(feature = "gpu")]
        if let (Err(Error::Gpu { .. }), Device::Auto(_)) = (&found, device) {
            return self.run(&Device::Cpu, stores, job);
        }
        let (total, rows) = found?.whole()?;
        job.finish(parts, weights, total, rows)
    }

    /// Computes the share of this process, by its rank and their number, in a job.
    fn compute<J: Job>(
        &self,
        target: &Target,
        planned: &Planned,
        stores: &Stores,
        job: &J,
        chunk: usize,
        share: Share,
    ) -> Result<Partial<J::Total>> {
        self.memory.expect_order(need(job.work()).order);
        let here = Here { target, planned, chunk, share };
        match target {
            Target::Cpu { float: 4 } => self.run_on(&here, stores, &stores.f32, job),
            Target::Cpu { .. } => self.run_on(&here, stores, &stores.f64, job),
            #[cfg(feature = "gpu")]
            Target::Gpu(gpu) => self.run_on_gpu(gpu, here, stores, job),
        }
    }

    /// Returns the number of samples at a time: that of the request's plan, or a shorter one that it shares with the other requests
    /// that are expected at a point. The value has the same bits in all of them on the processor.
    fn chunk(&self, device: &Device, work: Work, planned: &Planned) -> usize {
        let (own, n) = (planned.plan.chunk, self.problem.rows());
        if matches!(self.terms, Terms::Call) || n <= own && n <= BLOCK {
            return own;
        }
        let expected = self.memory.expected();
        let is_value = work == Request::default().into();
        if !is_value && !expected.contains(&work) {
            return own;
        }
        let plans = expected.iter().filter_map(|work| self.planned(device, *work).ok());
        let plans: Vec<_> = plans.map(|(_, planned)| planned).collect();
        let first = if is_value { plans.first().map_or(planned, |p| p) } else { planned };
        if !first.plan.may_be_apart(n) {
            return first.plan.chunk;
        }
        let shared = plans.iter().filter(|p| p.plan.may_be_apart(n)).map(|p| p.plan.chunk);
        shared.min().unwrap_or(own)
    }

    fn run_on<B: Backend, J: Job>(
        &self,
        &Here { target, planned, chunk, share }: &Here,
        stores: &Stores,
        store: &PointStore<B>,
        job: &J,
    ) -> Result<Partial<J::Total>> {
        let (parts, plan, work) = (self.problem.parts(), &planned.plan, job.work());
        let (n, work) = (parts.data.len(), self.problem.in_network(work));
        let division = Division::planned(parts.network, n, work, plan, chunk, share);
        let rows = division.rows_here();
        let n = rows.len();
        let leave = self.leave(target, plan, n);
        let mut kept = None;
        if let Terms::Lasting { .. } = self.terms {
            kept = store.kept(&self.memory, &rows, chunk, |held| {
                let bytes = self.memory.kept_bytes(target, parts, n, chunk)?;
                let mut taken = held.saturating_add(bytes);
                if leave.samples {
                    taken += resident_bytes(parts.network, n, target.float());
                }
                let room = self.room(target, plan);
                let outputs = parts.network.outputs() as u64;
                let hessians = (n as u64 * target.float() as u64).saturating_mul(outputs * outputs);
                let all = taken.saturating_add(hessians) <= room;
                let bytes = if all { bytes.saturating_add(hessians) } else { bytes };
                Ok((taken <= room).then_some((bytes, all)))
            })?;
        }
        let shared = (&*self.memory.counters, &*self.memory.limits);
        store.store().place(parts, (plan, chunk, rows), leave, shared, |place| {
            store.at(stores.weights(), kept.as_deref(), |at| job.sums(parts, place, at, division))
        })
    }

    #[cfg(feature = "gpu")]
    fn run_on_gpu<J: Job>(
        &self,
        gpu: &Gpu,
        mut here: Here,
        stores: &Stores,
        job: &J,
    ) -> Result<Partial<J::Total>> {
        let (parts, work, planned) = (self.problem.parts(), job.work(), here.planned);
        if planned.prepared.get().is_none() {
            // Before the texts are compiled, so that a part whose text is wrong is named.
            (parts.data).first_targets(|y| gpu.check_parts(parts.network, parts.loss, &y))?;
            for n in [here.chunk, parts.data.len() % here.chunk] {
                let work = self.problem.in_network(work);
                gpu.prepare(&rehearse(gpu, parts.network, parts.loss, n, work)?)?;
            }
            planned.prepared.get_or_init(|| ());
        }
        let store = stores.gpu(&self.memory, gpu);
        loop {
            match self.run_on(&here, stores, &store, job) {
                // Others may hold the device's memory: what was planned need not be there. Several adapters have one length of chunks.
                Err(Error::Gpu { fault: Fault::OutOfMemory { .. }, .. })
                    if here.chunk > 64 && here.share == Share::ALL =>
                {
                    here.chunk /= 2
                }
                done => return done,
            }
        }
    }
}

/// Where and how a job is computed.
struct Here<'a> {
    target: &'a Target,
    planned: &'a Planned,
    chunk: usize,
    share: Share,
}

/// Something that the driver does on any backend.
trait Job: Sync {
    /// The sums over the samples.
    type Total: Additive;

    /// The result.
    type Done;

    /// The kind of request.
    fn work(&self) -> Work;

    /// The vectors of products, in W, or the sizes of parameters.
    fn vectors(&self) -> &[f64] {
        &[]
    }

    /// Computes the sums over the samples of this process, in W.
    fn sums<B: Backend>(
        &self,
        parts: Parts,
        place: &Place<B>,
        at: &At<B>,
        division: Division,
    ) -> Result<Partial<Self::Total>>;

    /// Returns the result that all samples have.
    fn finish(&self, parts: Parts, w: &[f64], total: Self::Total, rows: Rows)
    -> Result<Self::Done>;
}

/// Returns the parts of the linearization that a request of a kind needs.
fn need(work: Work) -> Need {
    match work {
        Work::Evaluate(request) => Need::of_request(request),
        Work::Products(curvature, _) => Need::of_products(curvature),
        Work::Tensor(_) => Need::of_tensor(),
        Work::Factor => Need::of_jacobian(),
    }
}
