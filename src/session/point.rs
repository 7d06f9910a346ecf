//! Points: what is asked at one w, and what is kept there.

use std::sync::Arc;
#[cfg(feature = "gpu")]
use std::sync::Mutex;

use super::{Job, Session};
#[cfg(feature = "gpu")]
use crate::backend::gpu::Gpu;
use crate::backend::{Backend, Cpu};
use crate::curvature::{Curvature, SymmetricTensor};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::evaluate::{
    self, At, Division, Evaluation, Factored, Partial, Parts, Place, PointStore, ProductTotals,
    Request, Rows, Tensor, Totals, Work,
};
#[cfg(feature = "gpu")]
use crate::evaluate::{Memory, of_gpu};

/// A problem at one w: value, derivatives and products from one linearization; see [`Session`].
///
/// It may be shared by threads. What is kept of it is freed with its last clone and operator.
#[derive(Clone)]
pub struct Point<'a> {
    session: Session<'a>,
    stores: Arc<Stores>,
}

/// The arrays that are kept at one w, wherever it is computed.
pub(super) struct Stores {
    w: Vec<f64>,
    /// W = fixed + Cθ, where w is θ.
    weights: Option<Vec<f64>>,
    pub f64: PointStore<Cpu<f64>>,
    pub f32: PointStore<Cpu<f32>>,
    #[cfg(feature = "gpu")]
    gpus: Mutex<Vec<(u64, Arc<PointStore<Gpu>>)>>,
}

impl Stores {
    /// W, the network's parameters.
    pub(super) fn weights(&self) -> &[f64] {
        self.weights.as_ref().unwrap_or(&self.w)
    }

    /// The arrays that are kept on an adapter.
    #[cfg(feature = "gpu")]
    pub(super) fn gpu(&self, memory: &Memory, gpu: &Gpu) -> Arc<PointStore<Gpu>> {
        of_gpu(&self.gpus, gpu, || Arc::new(PointStore::new(memory.on_gpu(gpu))))
    }
}

impl std::fmt::Debug for Point<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Point").field("w", &self.stores.w).finish_non_exhaustive()
    }
}

impl<'a> Point<'a> {
    pub(super) fn new(session: Session<'a>, w: &[f64]) -> Result<Self> {
        let weights = session.problem.network_weights(w)?;
        let weights = (session.problem.ties().is_some()).then(|| weights.into_owned());
        let memory = &session.memory;
        let stores = Stores {
            w: w.to_vec(),
            weights,
            f64: PointStore::new(memory.f64.clone()),
            f32: PointStore::new(memory.f32.clone()),
            #[cfg(feature = "gpu")]
            gpus: Mutex::default(),
        };
        Ok(Point { session, stores: Arc::new(stores) })
    }

    /// w; θ under a constraint.
    pub fn w(&self) -> &[f64] {
        &self.stores.w
    }

    /// Returns E(w).
    ///
    /// # Errors
    /// As [`Problem::objective`](crate::Problem::objective).
    pub fn value(&self) -> Result<f64> {
        Ok(self.evaluate(Request::default())?.value)
    }

    /// Returns ∂E/∂w.
    ///
    /// # Errors
    /// As [`Problem::objective`](crate::Problem::objective).
    pub fn gradient(&self) -> Result<Vec<f64>> {
        Ok(self.evaluate(Request::gradient())?.gradient)
    }

    /// Returns E(w) and what `request` asks for.
    ///
    /// # Errors
    /// As [`Problem::curvature`](crate::Problem::curvature).
    pub fn evaluate(&self, request: Request) -> Result<Evaluation> {
        self.evaluate_on(&self.session.device, request)
    }

    pub(crate) fn evaluate_on(&self, device: &Device, request: Request) -> Result<Evaluation> {
        let problem = self.session.problem;
        let job = Evaluate { request, in_network: problem.request_in_network(request) };
        let found = self.session.run(device, &self.stores, &job)?;
        problem.in_theta(self.stores.weights(), request, found)
    }

    /// The arrays that are kept at it.
    pub(super) fn stores(&self) -> &Stores {
        &self.stores
    }

    /// The session that it is a point of.
    pub(super) fn session(&self) -> &Session<'a> {
        &self.session
    }

    /// The number of free parameters.
    pub(super) fn parameters(&self) -> usize {
        self.session.problem.parameters()
    }

    /// Returns the products with vectors, rows of P numbers, as many at a time as fit.
    pub(super) fn products(
        &self,
        device: &Device,
        curvature: Curvature,
        vectors: &[f64],
    ) -> Result<Vec<f64>> {
        let p = self.parameters().max(1);
        let count = vectors.len() / p;
        let planned = self.session.planned(device, Work::Products(curvature, count));
        if count > 1 && matches!(planned, Err(Error::Memory { .. })) {
            let (first, rest) = vectors.split_at(count / 2 * p);
            let mut out = self.products(device, curvature, first)?;
            out.extend(self.products(device, curvature, rest)?);
            return Ok(out);
        }
        (self.session.problem).products_in_theta(vectors, |vectors| {
            let job = Products { curvature, vectors, count };
            self.session.run(device, &self.stores, &job)
        })
    }

    /// Returns the triangle of the residuals of squared errors and their Jacobian in W, with parameters W_l of size s_l, computed by the processor.
    pub(crate) fn factor(&self, sizes: &[f64]) -> Result<Factored> {
        self.session.run(&Device::Cpu, &self.stores, &Triangle { sizes })
    }

    /// Returns a derivative of the Lagrangian in one unit's parameters.
    pub(super) fn tensor(&self, of: Tensor) -> Result<SymmetricTensor> {
        self.session.run(&self.session.device, &self.stores, &of)
    }
}

/// An evaluation, with what it needs in W.
pub(super) struct Evaluate {
    pub request: Request,
    pub in_network: Request,
}

impl Job for Evaluate {
    type Total = Totals;
    type Done = Evaluation;

    fn work(&self) -> Work {
        Work::Evaluate(self.request)
    }

    fn sums<B: Backend>(
        &self,
        parts: Parts,
        place: &Place<B>,
        at: &At<B>,
        division: Division,
    ) -> Result<Partial<Totals>> {
        evaluate::sums(place, parts, at, self.in_network, division)
    }

    fn finish(&self, parts: Parts, w: &[f64], totals: Totals, rows: Rows) -> Result<Evaluation> {
        evaluate::finish(parts, w, self.in_network, totals, rows)
    }
}

/// Products with some vectors in W.
pub(super) struct Products<'a> {
    pub curvature: Curvature,
    pub vectors: &'a [f64],
    pub count: usize,
}

impl Job for Products<'_> {
    type Total = Vec<ProductTotals>;
    type Done = Vec<f64>;

    fn work(&self) -> Work {
        Work::Products(self.curvature, self.count)
    }

    fn vectors(&self) -> &[f64] {
        self.vectors
    }

    fn sums<B: Backend>(
        &self,
        parts: Parts,
        place: &Place<B>,
        at: &At<B>,
        division: Division,
    ) -> Result<Partial<Self::Total>> {
        evaluate::product_sums(place, parts, at, self.curvature, self.vectors, division)
    }

    fn finish(&self, parts: Parts, w: &[f64], totals: Self::Total, _: Rows) -> Result<Vec<f64>> {
        evaluate::finish_products(parts, w, self.curvature, self.vectors, &totals)
    }
}

/// The triangle of squared errors, with the sizes of the parameters.
pub(super) struct Triangle<'a> {
    pub sizes: &'a [f64],
}

impl Job for Triangle<'_> {
    type Total = Factored;
    type Done = Factored;

    fn work(&self) -> Work {
        Work::Factor
    }

    fn vectors(&self) -> &[f64] {
        self.sizes
    }

    fn sums<B: Backend>(
        &self,
        parts: Parts,
        place: &Place<B>,
        at: &At<B>,
        division: Division,
    ) -> Result<Partial<Factored>> {
        evaluate::factors(place, parts, at, self.sizes, division)
    }

    fn finish(&self, _: Parts, _: &[f64], total: Factored, _: Rows) -> Result<Factored> {
        evaluate::finish_factor(total)
    }
}

impl Job for Tensor {
    type Total = Vec<f64>;
    type Done = SymmetricTensor;

    fn work(&self) -> Work {
        Work::Tensor(*self)
    }

    fn sums<B: Backend>(
        &self,
        parts: Parts,
        place: &Place<B>,
        at: &At<B>,
        division: Division,
    ) -> Result<Partial<Vec<f64>>> {
        evaluate::tensor_sums(place, parts, at, *self, division)
    }

    fn finish(
        &self,
        parts: Parts,
        _: &[f64],
        packed: Vec<f64>,
        _: Rows,
    ) -> Result<SymmetricTensor> {
        self.of_numbers(parts.network, packed)
    }
}
