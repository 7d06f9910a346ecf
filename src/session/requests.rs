//! Requests of a problem without a session.

use ndarray::Array2;

use super::{Operator, Session};
use crate::curvature::{Curvature, Structure, SymmetricTensor};
use crate::device::Device;
use crate::error::Result;
use crate::evaluate::{self, Configuration, Counts, Evaluation, Plan, Request, Tensor, Work};
use crate::problem::Problem;

impl Problem {
    /// Returns a session on the problem's device, for many requests.
    pub fn session(&self) -> Session<'_> {
        Session::new(self, self.device().clone())
    }

    /// Returns the plans, uploads and sweeps so far, those of the problem's sessions, operators and fits with its own.
    pub fn counts(&self) -> Counts {
        self.memory().counters.read()
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
        let request = Request { multipliers: true, ..Request::default() };
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

    /// E(w) and what `request` asks for.
    ///
    /// # Errors
    /// As [`curvature`](Problem::curvature).
    pub fn evaluate(&self, w: &[f64], request: Request) -> Result<Evaluation> {
        self.evaluate_with(self.device(), w, request)
    }

    /// E(w) and what `request` asks for, on a device that may be another than the problem's.
    pub(crate) fn evaluate_with(
        &self,
        device: &Device,
        w: &[f64],
        request: Request,
    ) -> Result<Evaluation> {
        Session::of_call(self, device).at(w)?.evaluate(request)
    }

    /// The curvature at w as an operator: products with vectors without the matrix, on the problem's device.
    ///
    /// # Errors
    /// As [`objective`](Problem::objective); `Memory` if even one product cannot fit.
    pub fn operator(&self, w: &[f64], curvature: Curvature) -> Result<Operator<'_>> {
        self.session().at(w)?.operator(curvature)
    }

    /// Returns the cost of `request` on the problem's device.
    ///
    /// # Errors
    /// `Memory` with the numbers and an alternative if it cannot fit.
    pub fn plan(&self, request: Request) -> Result<Plan> {
        self.plan_on(self.device(), request.into())
    }

    /// Returns the cost of `count` products with a curvature on the problem's device.
    ///
    /// # Errors
    /// As [`plan`](Problem::plan).
    pub fn plan_products(&self, curvature: Curvature, count: usize) -> Result<Plan> {
        self.plan_on(self.device(), Work::Products(curvature, count))
    }

    pub(crate) fn plan_on(&self, device: &Device, work: Work) -> Result<Plan> {
        let (_, planned) = Session::of_call(self, device).planned(device, work)?;
        Ok(planned.plan.clone())
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
        let w = self.lagrangian_weights(w)?;
        let point = Session::of_call(self, self.device()).at(w)?;
        point.tensor(Tensor { layer, row, order })
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
        self.plan_on(&Device::Cpu, Work::Tensor(of))?;
        evaluate::tensor_at(self.parts(), weights, at, of)
    }
}
