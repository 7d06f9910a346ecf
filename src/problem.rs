//! A network, data, a loss and a penalty: what can be evaluated and minimised.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ndarray::{Array2, ArrayView2};

use crate::available_memory;
#[cfg(feature = "gpu")]
use crate::backend::gpu::Gpu;
use crate::backend::{Backend, Cpu};
use crate::curvature::{Curvature, LinearOperator, Matrix, Structure, SymmetricTensor, triangle};
use crate::device::Device;
#[cfg(feature = "gpu")]
use crate::device::WORTHWHILE;
#[cfg(feature = "gpu")]
use crate::error::Fault;
use crate::error::{Error, Quantity, Result};
use crate::evaluate::{
    self, Configuration, Division, Evaluation, LagrangianPoint, Parts, Plan, Planner, Request,
    Target, Tensor, Theta, Work,
};
use crate::network::{Constraint, Network};
use crate::objective::{Data, Loss, Penalty, Reduction};

/// E(W) = Σ_i ω_i g(x_i^m, y_i) + pen(W): the sum over samples unless the mean is asked for.
///
/// ```
/// use ndarray::array;
/// use secondo::{Activation, Curvature, Data, Loss, Network, Problem, Structure};
/// // f(x) = w₂ tanh(w₁ x), one sample x = 1, y = 0, at w = (1, 1).
/// use secondo::Layer;
/// let net = Network::new(1, vec![
///     Layer::dense(1, Activation::Tanh).without_bias(),
///     Layer::dense(1, Activation::Identity).without_bias(),
/// ])?;
/// let problem = Problem::new(net, Data::new(array![[1.0]], array![[0.0]])?, Loss::SquaredError)?;
/// let at = problem.curvature(&[1.0, 1.0], Curvature::Exact, Structure::Diagonal)?;
/// let h = at.curvature.map(|m| m.diagonal()).unwrap_or_default();
/// assert!((h[0] + 0.31081).abs() < 1e-5 && (h[1] - 0.58003).abs() < 1e-5);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Problem {
    network: Network,
    data: Data,
    loss: Loss,
    penalty: Penalty,
    reduction: Reduction,
    constraint: Option<Constraint>,
    device: Device,
    budget: Option<u64>,
}

impl Problem {
    /// The sum of the losses, without a penalty, on the CPU in f64.
    ///
    /// # Errors
    /// The data do not have the network's inputs and outputs, or the targets are none that the loss knows. In debug builds,
    /// `Derivative` for a user's loss whose derivatives are not its own.
    pub fn new(network: Network, data: Data, loss: Loss) -> Result<Self> {
        if data.x().ncols() != network.inputs() {
            let (want, have) = (network.inputs(), data.x().ncols());
            return Err(Error::shape("columns of X", &[want], &[have]));
        }
        if data.y().ncols() != network.outputs() {
            let (want, have) = (network.outputs(), data.y().ncols());
            return Err(Error::shape("columns of Y", &[want], &[have]));
        }
        loss.check(network.outputs(), data.y())?;
        if cfg!(debug_assertions) {
            loss.verify(data.y())?;
        }
        Ok(Problem {
            network,
            data,
            loss,
            penalty: Penalty::None,
            reduction: Reduction::Sum,
            constraint: None,
            device: Device::default(),
            budget: None,
        })
    }

    /// The same problem with this penalty.
    ///
    /// # Errors
    /// A λ that is negative or not finite, or the wrong number of them. In debug builds, `Derivative` for a user's penalty
    /// whose derivatives are not its own.
    pub fn penalty(mut self, penalty: Penalty) -> Result<Self> {
        penalty.check(&self.network)?;
        if cfg!(debug_assertions) {
            penalty.verify(&self.network)?;
        }
        self.penalty = penalty;
        Ok(self)
    }

    /// The same problem with the losses summed or averaged.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// The same problem in the free parameters θ of W = fixed + Cθ.
    ///
    /// # Errors
    /// C has not as many rows as the network has parameters.
    pub fn constraint(mut self, constraint: Constraint) -> Result<Self> {
        if constraint.parameters() != self.network.parameters() {
            return Err(Error::shape(
                "rows of C",
                &[self.network.parameters()],
                &[constraint.parameters()],
            ));
        }
        self.constraint = Some(constraint);
        Ok(self)
    }

    /// The same problem on a device.
    pub fn on(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// The same problem with at most `bytes` of memory for one evaluation, the data not counted. Without this, four fifths of the
    /// memory that the system reports as available.
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.budget = Some(bytes);
        self
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The samples.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The loss.
    pub fn loss(&self) -> &Loss {
        &self.loss
    }

    /// W = fixed + Cθ, if its parameters are θ.
    pub(crate) fn ties(&self) -> Option<&Constraint> {
        self.constraint.as_ref()
    }

    /// Where it is evaluated.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The length of the parameter vector: P, or dim θ under a constraint.
    pub fn parameters(&self) -> usize {
        (self.constraint.as_ref()).map_or(self.network.parameters(), Constraint::free)
    }

    /// E at w. Under a constraint, here and below, w is θ.
    ///
    /// # Errors
    /// A wrong length, a number that is not finite (the objective itself included), too little memory.
    pub fn objective(&self, w: &[f64]) -> Result<f64> {
        Ok(self.evaluate(w, Request::default())?.value)
    }

    /// ∂E/∂w, length [`parameters`](Problem::parameters).
    ///
    /// # Errors
    /// As [`objective`](Problem::objective).
    pub fn gradient(&self, w: &[f64]) -> Result<Vec<f64>> {
        Ok(self.evaluate(w, Request::gradient())?.gradient)
    }

    /// The multipliers e_i^k = −∂(ω_i g)/∂x_i^k, total derivatives through later layers (paper eq. 7, 8), for k = 1 … m, n × s_k each.
    ///
    /// # Errors
    /// As [`objective`](Problem::objective).
    pub fn multipliers(&self, w: &[f64]) -> Result<Vec<Array2<f64>>> {
        let request = Request {
            multipliers: true,
            ..Request::default()
        };
        Ok(self.evaluate(w, request)?.multipliers)
    }

    /// A curvature matrix in a structure, with the value and the gradient.
    ///
    /// # Errors
    /// As [`objective`](Problem::objective); under a constraint, `Unsupported` for blocks that share a θ.
    pub fn curvature(
        &self,
        w: &[f64],
        curvature: Curvature,
        structure: Structure,
    ) -> Result<Evaluation> {
        self.evaluate(w, Request::curvature(curvature, structure))
    }

    /// The curvature at w as an operator: products with vectors without the matrix, on the problem's device.
    ///
    /// # Errors
    /// As [`objective`](Problem::objective); `Memory` if even one product cannot fit.
    pub fn operator(&self, w: &[f64], curvature: Curvature) -> Result<Operator<'_>> {
        self.operator_on(&self.device, w, curvature)
    }

    pub(crate) fn operator_on(
        &self,
        device: &Device,
        w: &[f64],
        curvature: Curvature,
    ) -> Result<Operator<'_>> {
        self.network_weights(w)?;
        self.plan_on(device, Work::Products(curvature, 1))?;
        Ok(Operator {
            problem: self,
            device: device.clone(),
            w: w.to_vec(),
            curvature,
        })
    }

    /// ∂x_io^m/∂w: a row for each sample i and output o, n·outputs × P; ∂/∂θ under a constraint. On the CPU in f64.
    ///
    /// # Errors
    /// As [`objective`](Problem::objective).
    pub fn jacobian(&self, w: &[f64]) -> Result<Array2<f64>> {
        Ok(self.linearization(w)?.1)
    }

    /// The outputs x^m, n·outputs, and their Jacobian.
    pub(crate) fn linearization(&self, w: &[f64]) -> Result<(Vec<f64>, Array2<f64>)> {
        let weights = self.network_weights(w)?;
        let (p, rows) = (weights.len(), self.data.len() * self.network.outputs());
        let pulled_back = self.constraint.as_ref().map_or(0, Constraint::free);
        let need = 8 * (rows as u64).saturating_mul((p + pulled_back) as u64);
        let budget = self.budget();
        if need > budget {
            return Err(Error::Memory {
                what: format!("the Jacobian of {} outputs by {p} parameters", rows),
                need,
                budget,
                advice: "use products, or the Gauss–Newton matrix".into(),
            });
        }
        let (jacobian, outputs) =
            evaluate::jacobian(&Cpu::<f64>::new(), self.parts(), &weights, 1024)?;
        let jacobian = match &self.constraint {
            None => jacobian,
            Some(constraint) => {
                let rows = jacobian.chunks(p).map(|row| constraint.pull_back(row));
                rows.collect::<Result<Vec<_>>>()?.concat()
            }
        };
        let shape = (rows, self.parameters());
        let jacobian = Array2::from_shape_vec(shape, jacobian)
            .map_err(|_| Error::shape("the Jacobian", &[shape.0, shape.1], &[0]))?;
        Ok((outputs, jacobian))
    }

    /// What `request` costs on the problem's device.
    ///
    /// # Errors
    /// `Memory` with the numbers and an alternative if it cannot fit.
    pub fn plan(&self, request: Request) -> Result<Plan> {
        self.plan_on(&self.device, request.into())
    }

    /// What `count` products with a curvature cost on the problem's device.
    ///
    /// # Errors
    /// As [`plan`](Problem::plan).
    pub fn plan_products(&self, curvature: Curvature, count: usize) -> Result<Plan> {
        self.plan_on(&self.device, Work::Products(curvature, count))
    }

    pub(crate) fn plan_on(&self, device: &Device, work: Work) -> Result<Plan> {
        let target = match self.device_for(device, work) {
            Device::CpuF32 => Target::Cpu { float: 4 },
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu) => Target::Gpu(gpu),
            _ => Target::Cpu { float: 8 },
        };
        self.plan_for(&target, work)
    }

    fn plan_for(&self, target: &Target, work: Work) -> Result<Plan> {
        let theta = match &self.constraint {
            None => None,
            Some(constraint) => Some(self.theta(constraint, work)?),
        };
        let planner = Planner {
            network: &self.network,
            loss: &self.loss,
            samples: self.data.len(),
            work: self.in_network(work),
            target,
            theta,
        };
        let plan = |budget| planner.plan(budget);
        match self.budget {
            Some(budget) => plan(budget),
            None => match plan(recently_available()) {
                Err(Error::Memory { .. }) => plan(available_memory()),
                other => other,
            },
        }
    }

    /// What a constraint adds to a request.
    fn theta(&self, constraint: &Constraint, work: Work) -> Result<Theta> {
        let (free, p) = (constraint.free() as u64, self.network.parameters() as u64);
        let (numbers, vectors) = match work {
            Work::Products(_, count) => (free.saturating_mul(count as u64), count as u64),
            // In W alone.
            Work::Tensor(_) => (0, 0),
            Work::Evaluate(request) => match request.curvature {
                None => (free, 0),
                Some((_, Structure::Diagonal)) => (2 * free, 0),
                Some((_, structure)) => {
                    let orders = self.block_orders(structure)?;
                    let entries = orders.iter().map(|d| triangle(*d as usize) as u64);
                    (entries.fold(free, u64::saturating_add), 0)
                }
            },
        };
        Ok(Theta {
            results: numbers.saturating_mul(8),
            beside: p.saturating_mul(8 * (1 + vectors)),
        })
    }

    /// The orders of a structure's blocks, in θ under a constraint; not for a diagonal.
    ///
    /// # Errors
    /// `Unsupported` where C does not keep each block to θ of its own.
    pub(crate) fn block_orders(&self, structure: Structure) -> Result<Vec<u64>> {
        let blocks = evaluate::places(&self.network, structure);
        let ranges = match &self.constraint {
            None => blocks.into_iter().map(|b| b.range).collect(),
            Some(constraint) => constraint.ranges(structure, &blocks)?,
        };
        Ok(ranges.iter().map(|r| r.len() as u64).collect())
    }

    /// What of `device` computes a request: `Auto` chooses by its size, and takes the processor where it does not fit.
    pub(crate) fn device_for(&self, device: &Device, work: Work) -> Device {
        #[cfg(feature = "gpu")]
        if let Device::Auto(_) = device {
            // What the processor cannot hold is large.
            let plan = self.plan_for(&Target::Cpu { float: 8 }, work);
            let large = plan.map_or(true, |plan| plan.flops >= WORTHWHILE);
            let adapter = large.then(|| device.automatic()).flatten();
            return match adapter {
                Some(adapter) if self.plan_on(&adapter, work).is_ok() => adapter,
                _ => Device::Cpu,
            };
        }
        let _ = work;
        device.clone()
    }

    /// The bytes that one request may take.
    pub(crate) fn budget(&self) -> u64 {
        self.budget.unwrap_or_else(available_memory)
    }

    /// E(w) and what `request` asks for.
    ///
    /// # Errors
    /// As [`curvature`](Problem::curvature).
    pub fn evaluate(&self, w: &[f64], request: Request) -> Result<Evaluation> {
        self.evaluate_with(&self.device, w, request)
    }

    /// E(w) and what `request` asks for, on a device that may be another than the problem's.
    pub(crate) fn evaluate_with(
        &self,
        device: &Device,
        w: &[f64],
        request: Request,
    ) -> Result<Evaluation> {
        self.network_weights(w)?;
        self.run(device, request.into(), &Evaluate { w, request })
    }

    /// Products with vectors, rows of P numbers, on a device that may be another than the problem's.
    pub(crate) fn products_with(
        &self,
        device: &Device,
        w: &[f64],
        curvature: Curvature,
        vectors: &[f64],
    ) -> Result<Vec<f64>> {
        let p = self.parameters().max(1);
        let count = vectors.len() / p;
        let work = Work::Products(curvature, count);
        let chosen = self.device_for(device, work);
        if count > 1 && matches!(self.plan_on(&chosen, work), Err(Error::Memory { .. })) {
            // As many at a time as fit.
            let (first, rest) = vectors.split_at(count / 2 * p);
            let mut out = self.products_with(device, w, curvature, first)?;
            out.extend(self.products_with(device, w, curvature, rest)?);
            return Ok(out);
        }
        let job = Products {
            w,
            curvature,
            vectors,
        };
        self.run(device, work, &job)
    }

    /// Does a job on what `device` chooses for its work.
    fn run<J: Job>(&self, device: &Device, work: Work, job: &J) -> Result<J::Done> {
        let chosen = self.device_for(device, work);
        let plan = self.plan_on(&chosen, work)?;
        match &chosen {
            Device::CpuF32 => in_pool(|| job.run(self, &Cpu::<f32>::new(), plan.chunk)),
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu) => match self.run_on_gpu(gpu, work, job, plan.chunk) {
                Err(Error::Gpu { .. }) if matches!(device, Device::Auto(_)) => {
                    self.run(&Device::Cpu, work, job)
                }
                done => done,
            },
            _ => in_pool(|| job.run(self, &Cpu::<f64>::new(), plan.chunk)),
        }
    }

    #[cfg(feature = "gpu")]
    fn run_on_gpu<J: Job>(
        &self,
        gpu: &Gpu,
        work: Work,
        job: &J,
        mut chunk: usize,
    ) -> Result<J::Done> {
        // Before the texts are compiled, so that a part whose text is wrong is named.
        gpu.check_parts(&self.network, &self.loss, self.data.y())?;
        for n in [chunk, self.data.len() % chunk] {
            let work = self.in_network(work);
            let rehearsed = evaluate::rehearse(gpu, &self.network, &self.loss, n, work)?;
            gpu.prepare(&rehearsed)?;
        }
        loop {
            match job.run(self, gpu, chunk) {
                // Others may hold the device's memory: what was planned need not be there.
                Err(Error::Gpu {
                    fault: Fault::OutOfMemory { .. },
                    ..
                }) if chunk > 64 => chunk /= 2,
                done => return done,
            }
        }
    }

    /// E(w) and what `request` asks for on any backend, `chunk` samples at a time.
    ///
    /// # Errors
    /// As [`curvature`](Problem::curvature), and what the backend reports.
    pub fn evaluate_on<B: Backend>(
        &self,
        backend: &B,
        w: &[f64],
        request: Request,
        chunk: usize,
    ) -> Result<Evaluation> {
        let weights = self.network_weights(w)?;
        let parts = self.parts();
        let in_network = self.request_in_network(request);
        let division = Division::new(&self.network, self.data.len(), in_network.into(), chunk)?;
        let mut result = evaluate::alone(backend, parts, &weights, |place, at| {
            evaluate::evaluate(place, parts, at, in_network, division)
        })?;
        let Some(constraint) = &self.constraint else {
            return Ok(result);
        };
        if request.gradient {
            result.gradient = constraint.pull_back(&result.gradient)?;
        }
        if let (Some(matrix), Some((curvature, structure))) = (&result.curvature, request.curvature)
        {
            let matrix = match structure {
                Structure::Diagonal => Matrix::from_diagonal(constraint.diagonal(matrix)?)?,
                _ => constraint.congruence(matrix)?.finite(Quantity::Curvature)?,
            };
            if curvature != Curvature::Residual {
                let hessian = self.penalty.hessian(&self.network, &weights)?;
                result.left_out = hessian.congruence(constraint)?.left_out(&matrix);
            }
            result.curvature = Some(matrix);
        }
        Ok(result)
    }

    /// What a request in θ needs in W: ties mix entries that a diagonal does not hold.
    fn request_in_network(&self, mut request: Request) -> Request {
        if let (Some((_, structure)), Some(constraint)) = (&mut request.curvature, &self.constraint)
            && *structure == Structure::Diagonal
        {
            *structure = constraint.of_diagonal(&self.network);
        }
        request
    }

    fn in_network(&self, work: Work) -> Work {
        match work {
            Work::Evaluate(request) => Work::Evaluate(self.request_in_network(request)),
            other => other,
        }
    }

    /// B v for each of the vectors, rows of P numbers, on any backend, `chunk` samples at a time.
    ///
    /// # Errors
    /// As [`curvature`](Problem::curvature), and what the backend reports.
    pub fn products_on<B: Backend>(
        &self,
        backend: &B,
        w: &[f64],
        curvature: Curvature,
        vectors: &[f64],
        chunk: usize,
    ) -> Result<Vec<f64>> {
        let weights = self.network_weights(w)?;
        let p = self.parameters();
        if p == 0 || !vectors.len().is_multiple_of(p) {
            return Err(Error::shape("vectors", &[p], &[vectors.len()]));
        }
        let parts = self.parts();
        let products = |v: &[f64]| {
            let work = Work::Products(curvature, v.len() / weights.len());
            let division = Division::new(&self.network, self.data.len(), work, chunk)?;
            evaluate::alone(backend, parts, &weights, |place, at| {
                evaluate::products(place, parts, at, curvature, v, division)
            })
        };
        let Some(constraint) = &self.constraint else {
            return products(vectors);
        };
        let mut moved = Vec::with_capacity(vectors.len() / p * weights.len());
        for v in vectors.chunks(p) {
            moved.extend(constraint.push_forward(v)?);
        }
        let done = products(&moved)?;
        let mut back = Vec::with_capacity(vectors.len());
        for v in done.chunks(weights.len()) {
            back.extend(constraint.pull_back(v)?);
        }
        Ok(back)
    }

    /// The states X that w propagates, with the multipliers E: where the [Lagrangian](Problem::lagrangian) is stationary
    /// in both. On the CPU in f64.
    ///
    /// # Errors
    /// As [`objective`](Problem::objective).
    pub fn configuration(&self, w: &[f64]) -> Result<Configuration> {
        let weights = self.network_weights(w)?;
        evaluate::configuration(self.parts(), &weights)
    }

    /// The paper's Lagrangian (eq. 6) with its derivatives in W, X and E at any configuration.
    ///
    /// L(W, X, E) = Σ_i ω_i g(x_i^m, y_i) + pen(W) + Σ_i Σ_k e_i^k · (x_i^k − h(P^k(z_i^k; W^k))), on the CPU in f64.
    ///
    /// # Errors
    /// Arrays that are not n × s_k or not finite; otherwise as [`curvature`](Problem::curvature).
    pub fn lagrangian(&self, w: &[f64], at: &Configuration) -> Result<LagrangianPoint> {
        let weights = self.lagrangian_weights(w)?;
        evaluate::lagrangian(self.parts(), weights, at)
    }

    /// W, the Lagrangian's argument.
    fn lagrangian_weights<'a>(&self, w: &'a [f64]) -> Result<&'a [f64]> {
        if self.constraint.is_some() {
            return Err(Error::Unsupported {
                what: "the Lagrangian under W = fixed + Cθ".into(),
                why: "its arguments are W, X and E; use a problem without the constraint".into(),
            });
        }
        self.network.check(w)?;
        Ok(w)
    }

    /// ∂^q L/∂w_j^q, the derivative of order q of the Lagrangian in the parameters of one unit at fixed states X and
    /// multipliers E: those that w propagates.
    ///
    /// ```text
    /// T_{a₁…a_q} = −Σ_i e_ij h⁽q⁾(p_ij) z_ia₁ … z_ia_q        linear units
    /// ```
    ///
    /// for unit j = `row` (from 0) of layer k = `layer` (from 1), z = z^k with the constant last, the sum over the samples with
    /// their weights (the mean where that was asked for). Derivatives in weights of different rows or layers are 0 from q = 2
    /// on. The penalty is **not** in it, whatever q: with it, q = 1 is the row's gradient and q = 2 its block of
    /// [`Curvature::Lagrangian`]. Like these from q = 2 on it is no derivative of E(W), which moves X and E with W.
    ///
    /// Units that are not linear supply ∂^r p/∂w^r, r ≤ q (Faà di Bruno's formula): orders 1 and 2 are always there, higher ones
    /// need [`HigherUnit`](crate::HigherUnit) and go to 12. Computed on the problem's device, where adapters go to order 4
    /// ([`Device::Auto`] takes the processor beyond); −e h⁽q⁾(p), one number for each sample, is computed on the host in f64.
    ///
    /// Source: paper eq. 12.
    ///
    /// ```
    /// use ndarray::array;
    /// use secondo::{Activation, Data, Layer, Loss, Network, Problem};
    /// // f = e^(w₁x₁ + w₂x₂), x = (1, 2), y = 0 at w = 0: e = −f = −1, h‴ = 1, T_abc = x_a x_b x_c.
    /// let net = Network::new(2, vec![Layer::dense(1, Activation::Exp).without_bias()])?;
    /// let problem = Problem::new(net, Data::new(array![[1.0, 2.0]], array![[0.0]])?, Loss::SquaredError)?;
    /// let t = problem.lagrangian_tensor(&[0.0, 0.0], 1, 0, 3)?;
    /// assert_eq!(t.packed(), [1.0, 2.0, 4.0, 8.0]);
    /// assert_eq!(t.entry(&[0, 1, 1])?, 4.0);
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` for a layer, row or order that there is not (orders go to [`Activation::MAX_ORDER`](crate::Activation::MAX_ORDER)),
    /// `TooLarge` if C(d + q − 1, q) overflows, `Memory` with the numbers before anything is allocated, `NonFinite` with the
    /// indices, `Unsupported` for a unit that does not supply the order or would take more than 10¹² multiplications, for more than order 4 on an adapter, and under a
    /// constraint; otherwise as [`objective`](Problem::objective).
    pub fn lagrangian_tensor(
        &self,
        w: &[f64],
        layer: usize,
        row: usize,
        order: usize,
    ) -> Result<SymmetricTensor> {
        self.lagrangian_weights(w)?;
        let of = Tensor { layer, row, order };
        self.run(&self.device, Work::Tensor(of), &TensorOf { w, of })
    }

    /// The same at states and multipliers of any kind, in f64 on the processor.
    ///
    /// # Errors
    /// Those of [`lagrangian_tensor`](Problem::lagrangian_tensor) and [`lagrangian`](Problem::lagrangian).
    pub fn lagrangian_tensor_at(
        &self,
        w: &[f64],
        at: &Configuration,
        layer: usize,
        row: usize,
        order: usize,
    ) -> Result<SymmetricTensor> {
        let weights = self.lagrangian_weights(w)?;
        let of = Tensor { layer, row, order };
        self.plan_for(&Target::Cpu { float: 8 }, Work::Tensor(of))?;
        in_pool(|| evaluate::tensor_at(self.parts(), weights, at, of))
    }

    /// The same at the states that w propagates on any backend, `chunk` samples at a time.
    ///
    /// # Errors
    /// As [`lagrangian_tensor`](Problem::lagrangian_tensor), and what the backend reports.
    pub fn lagrangian_tensor_on<B: Backend>(
        &self,
        backend: &B,
        w: &[f64],
        layer: usize,
        row: usize,
        order: usize,
        chunk: usize,
    ) -> Result<SymmetricTensor> {
        let weights = self.lagrangian_weights(w)?;
        let of = Tensor { layer, row, order };
        let parts = self.parts();
        evaluate::alone(backend, parts, weights, |place, at| {
            evaluate::tensor(place, parts, at, of, chunk)
        })
    }

    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts {
            network: &self.network,
            data: &self.data,
            loss: &self.loss,
            penalty: &self.penalty,
            reduction: self.reduction,
        }
    }

    /// W from w, which is θ under a constraint.
    pub(crate) fn network_weights<'a>(&self, w: &'a [f64]) -> Result<Cow<'a, [f64]>> {
        let Some(constraint) = &self.constraint else {
            self.network.check(w)?;
            return Ok(Cow::Borrowed(w));
        };
        if let Some(i) = w.iter().position(|v| !v.is_finite()) {
            return Err(Error::non_finite("θ", &[i]));
        }
        let weights = constraint.weights(w)?;
        self.network.check(&weights)?;
        Ok(Cow::Owned(weights))
    }

    /// The network's outputs x^m for other inputs, rows × outputs.
    ///
    /// # Errors
    /// X has not the network's inputs, w the wrong length, or a number is not finite.
    pub fn predict(&self, w: &[f64], x: &Array2<f64>) -> Result<Array2<f64>> {
        match &self.constraint {
            None => self.network.predict(w, x),
            Some(constraint) => self.network.predict(&constraint.weights(w)?, x),
        }
    }
}

/// The available memory of some moment in the last 20 ms: good enough to allow a request, not to refuse one. To ask the system
/// takes longer than to plan a small request, and every step of a fit asks.
fn recently_available() -> u64 {
    static LAST: Mutex<Option<(Instant, u64)>> = Mutex::new(None);
    let last = || LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let known = *last();
    match known {
        Some((at, bytes)) if at.elapsed() < Duration::from_millis(20) => bytes,
        _ => {
            let bytes = available_memory();
            *last() = Some((Instant::now(), bytes));
            bytes
        }
    }
}

/// Calls `f` on a thread of the current pool: each of the many kernels would be handed over to one otherwise.
fn in_pool<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| f())
}

/// Something that the driver does on any backend.
trait Job: Sync {
    type Done: Send;
    fn run<B: Backend>(&self, problem: &Problem, backend: &B, chunk: usize) -> Result<Self::Done>;
}

struct Evaluate<'a> {
    w: &'a [f64],
    request: Request,
}

impl Job for Evaluate<'_> {
    type Done = Evaluation;
    fn run<B: Backend>(&self, problem: &Problem, b: &B, chunk: usize) -> Result<Evaluation> {
        problem.evaluate_on(b, self.w, self.request, chunk)
    }
}

struct TensorOf<'a> {
    w: &'a [f64],
    of: Tensor,
}

impl Job for TensorOf<'_> {
    type Done = SymmetricTensor;
    fn run<B: Backend>(&self, problem: &Problem, b: &B, chunk: usize) -> Result<SymmetricTensor> {
        let Tensor { layer, row, order } = self.of;
        problem.lagrangian_tensor_on(b, self.w, layer, row, order, chunk)
    }
}

struct Products<'a> {
    w: &'a [f64],
    curvature: Curvature,
    vectors: &'a [f64],
}

impl Job for Products<'_> {
    type Done = Vec<f64>;
    fn run<B: Backend>(&self, problem: &Problem, b: &B, chunk: usize) -> Result<Vec<f64>> {
        problem.products_on(b, self.w, self.curvature, self.vectors, chunk)
    }
}

/// A curvature at a point that is never formed: products with vectors by the R-operator.
///
/// ```text
/// B v = ∂/∂ε ∇E(w + εv) at ε = 0    for the exact Hessian; the other curvatures leave terms of it out
/// ```
///
/// Each product costs a few gradients and holds no more than a chunk of samples; several vectors share the forward and
/// backward propagation. The penalty is included, but for `Residual`. Under a constraint, vectors are directions in θ.
///
/// Source: Pearlmutter, *Neural Computation* 6, 1994; Bishop, *Pattern Recognition and Machine Learning*, 5.4.6.
///
/// ```
/// use ndarray::array;
/// use secondo::{Activation, Curvature, Data, Layer, LinearOperator, Loss, Network, Problem};
/// // f(x) = w₂ tanh(w₁ x), x = 1, y = 0: the Hessian at (1, 1) is [[−0.31081, 0.63970], [0.63970, 0.58003]].
/// let net = Network::new(1, vec![
///     Layer::dense(1, Activation::Tanh).without_bias(),
///     Layer::dense(1, Activation::Identity).without_bias(),
/// ])?;
/// let problem = Problem::new(net, Data::new(array![[1.0]], array![[0.0]])?, Loss::SquaredError)?;
/// let h = problem.operator(&[1.0, 1.0], Curvature::Exact)?;
/// let hv = h.product(&[1.0, 0.0])?;
/// assert!((hv[0] + 0.31081).abs() < 1e-5 && (hv[1] - 0.63970).abs() < 1e-5);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Operator<'a> {
    problem: &'a Problem,
    device: Device,
    w: Vec<f64>,
    curvature: Curvature,
}

impl Operator<'_> {
    /// What the matrix is.
    pub fn curvature(&self) -> Curvature {
        self.curvature
    }
}

impl LinearOperator for Operator<'_> {
    fn order(&self) -> usize {
        self.problem.parameters()
    }

    fn products(&self, vectors: ArrayView2<f64>) -> Result<Array2<f64>> {
        if vectors.ncols() != self.order() {
            return Err(Error::shape("vectors", &[self.order()], &[vectors.ncols()]));
        }
        let rows = vectors.as_standard_layout();
        let numbers = rows.as_slice().unwrap_or_default();
        let products =
            (self.problem).products_with(&self.device, &self.w, self.curvature, numbers)?;
        let found = products.len();
        Array2::from_shape_vec(vectors.raw_dim(), products)
            .map_err(|_| Error::shape("products", vectors.shape(), &[found]))
    }
}

impl Network {
    /// The outputs x^m for the rows of `x`, rows × outputs, on the CPU in f64.
    ///
    /// # Errors
    /// X has not the network's inputs, w the wrong length, or a number is not finite.
    pub fn predict(&self, w: &[f64], x: &Array2<f64>) -> Result<Array2<f64>> {
        if let Some(((i, j), _)) = x.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(Error::non_finite("X", &[i, j]));
        }
        evaluate::predict(&Cpu::<f64>::new(), self, x, w, 4096)
    }
}
