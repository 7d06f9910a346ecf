//! A network, data, a loss and a penalty: what can be evaluated and minimised.

use std::borrow::Cow;
use std::sync::Arc;

use ndarray::{Array2, ArrayRef2};

use crate::available_memory;
use crate::backend::{Backend, Cpu};
use crate::curvature::{Curvature, Matrix, Structure, SymmetricTensor, triangle};
use crate::device::Device;
use crate::error::{Error, Quantity, Result};
use crate::evaluate::{
    self, Configuration, Evaluation, LagrangianPoint, Memory, Parts, Plan, Planner, Request,
    Target, Tensor, Theta, Work,
};
use crate::interrupt::Interrupt;
use crate::memory::{bytes_of, with_room};
use crate::network::{Constraint, Network};
use crate::objective::{Data, Loss, Penalty, Reduction, Samples, Source, Stream, targets};
use crate::scratch::reserve_scratch;
use crate::team::Ranks;

/// Samples of the Jacobian that are computed at a time.
const JACOBIAN_CHUNK: usize = 1024;

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
#[derive(Debug)]
pub struct Problem {
    network: Network,
    data: Source,
    loss: Loss,
    penalty: Penalty,
    reduction: Reduction,
    constraint: Option<Constraint>,
    device: Device,
    budget: Option<u64>,
    interrupt: Interrupt,
    /// The other processes that compute with this one.
    ranks: Option<Arc<Ranks>>,
    /// The things that its own requests leave, as far as they are small.
    memory: Arc<Memory>,
}

// Not derived: what requests leave belongs to this problem alone.
impl Clone for Problem {
    fn clone(&self) -> Self {
        Problem {
            network: self.network.clone(),
            data: self.data.clone(),
            loss: self.loss.clone(),
            penalty: self.penalty.clone(),
            reduction: self.reduction,
            constraint: self.constraint.clone(),
            device: self.device.clone(),
            budget: self.budget,
            interrupt: self.interrupt.clone(),
            ranks: self.ranks.clone(),
            memory: Arc::default(),
        }
    }
}

impl Problem {
    /// The sum of the losses, without a penalty, on the CPU in f64.
    ///
    /// # Errors
    /// The data do not have the network's inputs and outputs, or the targets are none that the loss knows. In debug builds,
    /// `Derivative` for a user's loss whose derivatives are not its own.
    pub fn new(network: Network, data: Data, loss: Loss) -> Result<Self> {
        check_columns(&network, data.x().ncols(), data.y().ncols())?;
        loss.check(network.outputs(), 0, data.y())?;
        Self::of(network, Source::Memory(data), loss)
    }

    /// The same over samples that are read when they are needed: memory then does not depend on their number. They are walked once
    /// here, to check them.
    ///
    /// Value, derivatives, products, standard errors and all methods of fitting have the bits
    /// that they have with the same rows in memory. A session keeps all samples in memory where its budget has room for them, and
    /// reads them only once. What needs each row by itself, such as inference, returns `Unsupported`.
    ///
    /// # Errors
    /// As [`new`](Self::new); no rows, a number that is not finite, weights that are negative or all 0; those of reading.
    pub fn over(network: Network, samples: Arc<dyn Samples>, loss: Loss) -> Result<Self> {
        check_columns(&network, samples.inputs(), samples.outputs())?;
        let outputs = network.outputs();
        let stream =
            Stream::new(samples, |rows| loss.check(outputs, rows.first, &targets(&rows, outputs)))?;
        Self::of(network, Source::Stream(stream), loss)
    }

    fn of(network: Network, data: Source, loss: Loss) -> Result<Self> {
        if cfg!(debug_assertions) {
            data.first_targets(|y| loss.verify(&y))?;
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
            interrupt: Interrupt::default(),
            ranks: None,
            memory: Arc::default(),
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
        Ok(self.changed())
    }

    /// The same problem with the losses summed or averaged.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        if self.reduction != reduction {
            // They sum what they were told before.
            self.ranks = None;
        }
        self.reduction = reduction;
        self.changed()
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
        Ok(self.changed())
    }

    /// The same problem on a device.
    pub fn on(mut self, device: Device) -> Self {
        self.device = device;
        self.changed()
    }

    /// The same problem with at most `bytes` of memory for one evaluation, the data not counted. Without this, what
    /// [`available_memory`] returns.
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.budget = Some(bytes);
        self.changed()
    }

    /// The same problem, whose fits end when this flag is set, even inside a step: at their best point, for
    /// [`Reason::Interrupted`](crate::Reason::Interrupted), or with [`Error::Interrupted`] before there is one, and while rows that are read are measured
    /// before a fit goes on from a checkpoint. Other requests do not heed it.
    pub fn interrupted_by(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = interrupt;
        self
    }

    /// The same problem, of which requests have left nothing.
    fn changed(mut self) -> Self {
        self.memory = Arc::default();
        self
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The samples, where they are in memory.
    ///
    /// # Errors
    /// `Unsupported` for those of [`over`](Self::over).
    pub fn data(&self) -> Result<&Data> {
        self.data.data()
    }

    /// n, the number of samples.
    pub fn rows(&self) -> usize {
        self.data.len()
    }

    /// The loss.
    pub fn loss(&self) -> &Loss {
        &self.loss
    }

    /// W = fixed + Cθ, if its parameters are θ.
    pub(crate) fn ties(&self) -> Option<&Constraint> {
        self.constraint.as_ref()
    }

    /// ∂²pen/∂w² as a whole matrix, P × P; in θ under a constraint.
    pub(crate) fn penalty_hessian(&self, w: &[f64]) -> Result<Matrix> {
        let weights = self.network_weights(w)?;
        let mut hessian = self.penalty.hessian(&self.network, &weights)?;
        if let Some(constraint) = &self.constraint {
            hessian = hessian.congruence(constraint)?;
        }
        let p = self.parameters();
        let mut matrix = Matrix::full(p, vec![0.0; triangle(p)])?;
        hessian.add_to(&mut matrix);
        Ok(matrix)
    }

    /// Where it is evaluated.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The length of the parameter vector: P, or dim θ under a constraint.
    pub fn parameters(&self) -> usize {
        (self.constraint.as_ref()).map_or(self.network.parameters(), Constraint::free)
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
        let (p, outputs) = (weights.len(), self.network.outputs());
        let rows = evaluate::shape_product("the outputs", &[self.data.len(), outputs])?;
        let free = self.constraint.as_ref().map_or(0, Constraint::free);
        // Of a chunk there are ∂x^m/∂p for each unit besides.
        let units = self.network.layers().iter().map(|l| l.units as u64).sum::<u64>();
        let chunk = JACOBIAN_CHUNK.min(self.data.len());
        let need = (bytes_of(&[8, rows, p.saturating_add(free)]))
            .saturating_add(bytes_of(&[8, chunk, outputs]).saturating_mul(units));
        let budget = self.budget();
        if need > budget {
            return Err(Error::Memory {
                what: format!("the Jacobian of {} outputs by {p} parameters", rows),
                need,
                budget,
                advice: "use products, or the Gauss–Newton matrix".into(),
            });
        }
        reserve_scratch()?;
        let backend = Cpu::<f64>::new();
        let (jacobian, outputs) =
            evaluate::jacobian(&backend, self.parts(), &weights, JACOBIAN_CHUNK)?;
        let jacobian = match &self.constraint {
            None => jacobian,
            Some(constraint) => {
                let mut pulled = with_room("the Jacobian", rows.saturating_mul(free))?;
                for row in jacobian.chunks(p) {
                    pulled.extend(constraint.pull_back(row)?);
                }
                pulled
            }
        };
        let shape = (rows, self.parameters());
        let jacobian = Array2::from_shape_vec(shape, jacobian)
            .map_err(|_| Error::shape("the Jacobian", &[shape.0, shape.1], &[0]))?;
        Ok((outputs, jacobian))
    }

    /// Returns the plan of a request where it is computed, within a budget.
    ///
    /// # Errors
    /// `Memory` with the numbers and an alternative if it cannot fit.
    pub(crate) fn plan_for(&self, target: &Target, work: Work, budget: u64) -> Result<Plan> {
        let theta = (self.constraint.as_ref()).map(|constraint| self.theta(constraint, work));
        let planner = Planner {
            network: &self.network,
            loss: &self.loss,
            samples: self.data.len(),
            stream: self.data.stream(),
            work: self.in_network(work),
            target,
            theta: theta.transpose()?,
        };
        planner.plan(budget)
    }

    /// Returns the cost that a constraint adds to a request.
    fn theta(&self, constraint: &Constraint, work: Work) -> Result<Theta> {
        let (free, p) = (constraint.free() as u64, self.network.parameters() as u64);
        let (numbers, vectors) = match work {
            Work::Products(_, count) => (free.saturating_mul(count as u64), count as u64),
            // In W alone.
            Work::Tensor(_) => (0, 0),
            // With the sizes of the parameters.
            Work::Factor => (0, 1),
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
            beside: p.saturating_mul(8).saturating_mul(vectors.saturating_add(1)),
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

    /// The other processes that compute with this one.
    pub(crate) fn ranks(&self) -> Option<&Ranks> {
        self.ranks.as_deref()
    }

    /// The same problem, which other processes compute with this one.
    pub(crate) fn with_ranks(mut self, ranks: Option<Arc<Ranks>>) -> Self {
        self.ranks = ranks;
        self.changed()
    }

    /// The same problem in W.
    pub(crate) fn unconstrained(mut self) -> Self {
        self.constraint = None;
        self.changed()
    }

    /// The things that its own requests leave.
    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// The flag that ends its fits.
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// The bytes that one request may take.
    pub(crate) fn budget(&self) -> u64 {
        self.budget.unwrap_or_else(available_memory)
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
        let in_network = self.request_in_network(request);
        let result = evaluate::evaluate_on(backend, self.parts(), &weights, in_network, chunk)?;
        self.in_theta(&weights, request, result)
    }

    /// Returns results in θ from those in W.
    pub(crate) fn in_theta(
        &self,
        weights: &[f64],
        request: Request,
        mut result: Evaluation,
    ) -> Result<Evaluation> {
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
                let hessian = self.penalty.hessian(&self.network, weights)?;
                result.left_out = hessian.congruence(constraint)?.left_out(&matrix)?;
            }
            result.curvature = Some(matrix);
        }
        Ok(result)
    }

    /// The request in W that one in θ needs: ties mix entries that a diagonal does not hold.
    pub(crate) fn request_in_network(&self, mut request: Request) -> Request {
        if let (Some((_, structure)), Some(constraint)) = (&mut request.curvature, &self.constraint)
            && *structure == Structure::Diagonal
        {
            *structure = constraint.of_diagonal(&self.network);
        }
        request
    }

    /// The same for any kind of request.
    pub(crate) fn in_network(&self, work: Work) -> Work {
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
        self.products_in_theta(vectors, |v| {
            evaluate::products_on(backend, self.parts(), &weights, curvature, v, chunk)
        })
    }

    /// Returns the products in θ from those in W.
    pub(crate) fn products_in_theta(
        &self,
        vectors: &[f64],
        products: impl FnOnce(&[f64]) -> Result<Vec<f64>>,
    ) -> Result<Vec<f64>> {
        let p = self.parameters();
        if p == 0 || !vectors.len().is_multiple_of(p) {
            return Err(Error::shape("vectors", &[p], &[vectors.len()]));
        }
        let Some(constraint) = &self.constraint else {
            return products(vectors);
        };
        let weights = self.network.parameters();
        let mut moved = Vec::with_capacity(vectors.len() / p * weights);
        for v in vectors.chunks(p) {
            moved.extend(constraint.push_forward(v)?);
        }
        let done = products(&moved)?;
        let mut back = Vec::with_capacity(vectors.len());
        for v in done.chunks(weights) {
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
    pub(crate) fn lagrangian_weights<'a>(&self, w: &'a [f64]) -> Result<&'a [f64]> {
        if self.constraint.is_some() {
            return Err(Error::Unsupported {
                what: "the Lagrangian under W = fixed + Cθ".into(),
                why: "its arguments are W, X and E; use a problem without the constraint".into(),
            });
        }
        self.network.check(w)?;
        Ok(w)
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
        evaluate::tensor_on(backend, self.parts(), weights, of, chunk)
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
    pub fn predict(&self, w: &[f64], x: &ArrayRef2<f64>) -> Result<Array2<f64>> {
        match &self.constraint {
            None => self.network.predict(w, x),
            Some(constraint) => self.network.predict(&constraint.weights(w)?, x),
        }
    }
}

/// Refuses columns that are not the network's.
fn check_columns(network: &Network, inputs: usize, outputs: usize) -> Result<()> {
    for (what, want, have) in
        [("columns of X", network.inputs(), inputs), ("columns of Y", network.outputs(), outputs)]
    {
        if want != have {
            return Err(Error::shape(what, &[want], &[have]));
        }
    }
    Ok(())
}

impl Network {
    /// The outputs x^m for the rows of `x`, rows × outputs, on the CPU in f64.
    ///
    /// # Errors
    /// X has not the network's inputs, w the wrong length, or a number is not finite.
    pub fn predict(&self, w: &[f64], x: &ArrayRef2<f64>) -> Result<Array2<f64>> {
        if let Some(((i, j), _)) = x.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(Error::non_finite("X", &[i, j]));
        }
        evaluate::predict(self, x, w)
    }
}
