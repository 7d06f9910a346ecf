//! A network, data, a loss and a penalty: what can be evaluated and minimised.

use std::borrow::Cow;

use ndarray::Array2;

#[cfg(feature = "gpu")]
use crate::backend::gpu::Gpu;
use crate::backend::{Backend, Cpu};
use crate::curvature::{Curvature, Structure};
use crate::device::Device;
#[cfg(feature = "gpu")]
use crate::device::WORTHWHILE;
#[cfg(feature = "gpu")]
use crate::error::Fault;
use crate::error::{Error, Result};
use crate::evaluate::{
    self, Configuration, Evaluation, LagrangianPoint, Parts, Plan, Request, Target,
};
use crate::network::{Constraint, Network};
use crate::objective::{Data, Loss, Penalty, Reduction};

/// E(W) = Σ_i ω_i g(x_i^m, y_i) + pen(W): the sum over samples unless the mean is asked for.
///
/// ```
/// use ndarray::array;
/// use secondo::{Activation, Curvature, Data, Loss, Matrix, Network, Problem, Structure};
/// // f(x) = w₂ tanh(w₁ x), one sample x = 1, y = 0, at w = (1, 1).
/// use secondo::Layer;
/// let net = Network::new(1, vec![
///     Layer::dense(1, Activation::Tanh).without_bias(),
///     Layer::dense(1, Activation::Identity).without_bias(),
/// ])?;
/// let problem = Problem::new(net, Data::new(array![[1.0]], array![[0.0]])?, Loss::SquaredError)?;
/// let at = problem.curvature(&[1.0, 1.0], Curvature::Exact, Structure::Diagonal)?;
/// let Some(Matrix::Diagonal(h)) = at.curvature else { panic!() };
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
    /// The data do not have the network's inputs and outputs, or the targets are none that the loss knows.
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
    /// A λ that is negative or not finite, or the wrong number of them.
    pub fn penalty(mut self, penalty: Penalty) -> Result<Self> {
        penalty.check(&self.network)?;
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

    /// The same problem with at most `bytes` of memory for one evaluation, the data not counted. Without this, the
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
    /// As [`objective`](Problem::objective); `Unsupported` under a constraint.
    pub fn curvature(
        &self,
        w: &[f64],
        curvature: Curvature,
        structure: Structure,
    ) -> Result<Evaluation> {
        self.evaluate(w, Request::curvature(curvature, structure))
    }

    /// What `request` costs on the problem's device.
    ///
    /// # Errors
    /// `Memory` with the numbers and an alternative if it cannot fit.
    pub fn plan(&self, request: Request) -> Result<Plan> {
        self.plan_on(&self.device, request)
    }

    pub(crate) fn plan_on(&self, device: &Device, request: Request) -> Result<Plan> {
        let target = match self.device_for(device, request) {
            Device::CpuF32 => Target::Cpu { float: 4 },
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu) => Target::Gpu(gpu),
            _ => Target::Cpu { float: 8 },
        };
        self.plan_for(&target, request)
    }

    fn plan_for(&self, target: &Target, request: Request) -> Result<Plan> {
        let n = self.data.len();
        evaluate::plan(&self.network, &self.loss, n, request, target, self.budget())
    }

    /// What of `device` computes a request: `Auto` chooses by its size, and takes the processor where it does not fit.
    pub(crate) fn device_for(&self, device: &Device, request: Request) -> Device {
        #[cfg(feature = "gpu")]
        if let Device::Auto(_) = device {
            // What the processor cannot hold is large.
            let plan = self.plan_for(&Target::Cpu { float: 8 }, request);
            let large = plan.map_or(true, |plan| plan.flops >= WORTHWHILE);
            let adapter = large.then(|| device.automatic()).flatten();
            return match adapter {
                Some(adapter) if self.plan_on(&adapter, request).is_ok() => adapter,
                _ => Device::Cpu,
            };
        }
        let _ = request;
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
        self.network_weights(w, request)?;
        let chosen = self.device_for(device, request);
        let plan = self.plan_on(&chosen, request)?;
        match &chosen {
            Device::CpuF32 => self.evaluate_on(&Cpu::<f32>::new(), w, request, plan.chunk),
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu) => match self.evaluate_gpu(gpu, w, request, plan.chunk) {
                Err(Error::Gpu { .. }) if matches!(device, Device::Auto(_)) => {
                    self.evaluate_with(&Device::Cpu, w, request)
                }
                done => done,
            },
            _ => self.evaluate_on(&Cpu::<f64>::new(), w, request, plan.chunk),
        }
    }

    #[cfg(feature = "gpu")]
    fn evaluate_gpu(
        &self,
        gpu: &Gpu,
        w: &[f64],
        request: Request,
        mut chunk: usize,
    ) -> Result<Evaluation> {
        for n in [chunk, self.data.len() % chunk] {
            let rehearsed = evaluate::rehearse(gpu, &self.network, &self.loss, n, request)?;
            gpu.prepare(&rehearsed)?;
        }
        loop {
            match self.evaluate_on(gpu, w, request, chunk) {
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
        let weights = self.network_weights(w, request)?;
        let mut result = evaluate::evaluate(backend, self.parts(), &weights, request, chunk)?;
        if let Some(constraint) = self.constraint.as_ref().filter(|_| request.gradient) {
            result.gradient = constraint.pull_back(&result.gradient)?;
        }
        Ok(result)
    }

    /// The states X that w propagates, with the multipliers E: where the [Lagrangian](Problem::lagrangian) is stationary
    /// in both. On the CPU in f64.
    ///
    /// # Errors
    /// As [`objective`](Problem::objective).
    pub fn configuration(&self, w: &[f64]) -> Result<Configuration> {
        let weights = self.network_weights(w, Request::default())?;
        evaluate::configuration(self.parts(), &weights)
    }

    /// The paper's Lagrangian (eq. 6) with its derivatives in W, X and E at any configuration.
    ///
    /// L(W, X, E) = Σ_i ω_i g(x_i^m, y_i) + pen(W) + Σ_i Σ_k e_i^k · (x_i^k − h(P^k(z_i^k; W^k))), on the CPU in f64.
    ///
    /// # Errors
    /// Arrays that are not n × s_k or not finite; otherwise as [`curvature`](Problem::curvature).
    pub fn lagrangian(&self, w: &[f64], at: &Configuration) -> Result<LagrangianPoint> {
        let request = Request::curvature(Curvature::Lagrangian, Structure::RowBlocks);
        let weights = self.network_weights(w, request)?;
        evaluate::lagrangian(self.parts(), &weights, at)
    }

    fn parts(&self) -> Parts<'_> {
        Parts {
            network: &self.network,
            data: &self.data,
            loss: &self.loss,
            penalty: &self.penalty,
            reduction: self.reduction,
        }
    }

    /// W from w, which is θ under a constraint.
    fn network_weights<'a>(&self, w: &'a [f64], request: Request) -> Result<Cow<'a, [f64]>> {
        let Some(constraint) = &self.constraint else {
            self.network.check(w)?;
            return Ok(Cow::Borrowed(w));
        };
        if request.curvature.is_some() {
            return Err(Error::Unsupported {
                what: "curvature under W = fixed + Cθ".into(),
                why: "ties need entries between rows, which row blocks and the diagonal do not hold; \
                      objective and gradient in θ are available"
                    .into(),
            });
        }
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

/// The bytes that one request may take unless [`Problem::memory_budget`] says otherwise: four fifths of the memory that the
/// system reports as available; 4 GiB where it reports nothing.
pub fn available_memory() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    (meminfo.lines())
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map_or(4 << 30, |kib| kib / 5 * 4 * 1024)
}
