//! A problem as the methods ask for it: values, and values with derivatives, on its device and beside it.
//!
//! On a device in f32 everything comes from there as long as f32 decides; then value and gradient are the processor's in f64, so that the
//! fit ends at the gradient norm that it would reach on the processor, and the device goes on with the curvature (`single.rs`). Where
//! the accelerator fails, the processor takes over from the last accepted point, if that is allowed.
//!
//! All is asked in one session: a point whose value was computed keeps its states, while memory allows, for its derivatives and
//! products.

use std::sync::Arc;
use std::time::Duration;

use super::report::{Account, Evaluations, Times};
use super::scales::{scales, size_of_targets};
use super::single::Single;
use crate::clock::Instant;
use crate::curvature::{Curvature, Matrix, Structure};
use crate::device::{Device, Precision};
use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, Request, Work};
use crate::interrupt::Limits;
use crate::problem::Problem;
use crate::session::{Operator, Point, Session};
use crate::solve::{Preconditioner, U};

/// Vectors of length P that a fit holds besides its requests, at the most.
const VECTORS: u64 = 32;

/// Evaluates a problem for a fit, and keeps account.
pub(super) struct Evaluator<'a> {
    session: Session<'a>,
    /// The point that was asked last.
    point: Option<Point<'a>>,
    /// The device for the curvature, until it failed.
    device: Device,
    /// The request for derivatives.
    whole: Request,
    /// The curvature of the method, formed or by products.
    pub curvature: Option<Curvature>,
    /// Whether the processor takes over where the accelerator fails.
    fallback: bool,
    /// Why it took over.
    failure: Option<String>,
    /// Whether value and gradient are in f32, too.
    is_single: bool,
    /// The device's time before the fit, where it has a clock.
    before: Option<Duration>,
    /// The floating-point operations, as planned, and the part of them in f64 on the processor.
    flops: [f64; 2],
    pub evaluations: Evaluations,
    pub times: Times,
    /// The largest entry of the penalty's Hessian that the structure had no place for.
    pub left_out: f64,
    /// R, the units of the parameters.
    scales: Vec<f64>,
    /// √(Σ_io ω_i v_o y_io²) of a squared error.
    targets: Option<f64>,
}

impl<'a> Evaluator<'a> {
    /// An evaluator for fits that ask for gradients with a curvature in a structure, or with none.
    ///
    /// # Errors
    /// That request cannot fit.
    pub fn new(
        problem: &'a Problem,
        curvature: Option<(Curvature, Structure)>,
        fallback: bool,
    ) -> Result<Self> {
        Self::of(problem, Request { curvature, ..Request::gradient() }, fallback)
    }

    /// The same for any such request.
    pub fn of(problem: &'a Problem, largest: Request, fallback: bool) -> Result<Self> {
        let session = problem.session();
        let device = session.device_for(largest.into());
        let mut failure = None;
        match session.planned(&device, largest.into()) {
            // A fit factorizes its matrix, and holds that of two points.
            Ok((_, planned)) => {
                let vectors = 8 * VECTORS * problem.parameters() as u64;
                let matrices = planned.plan.results.saturating_mul(3);
                session.reserve(matrices.saturating_add(vectors));
            }
            // A request that does not fit the accelerator may fit the processor.
            Err(error) if device.is_accelerator() && fallback => failure = Some(error.to_string()),
            Err(error) => return Err(error),
        }
        let is_single = device.precision() == Precision::F32;
        session.limits().heed(problem.interrupt());
        if is_single {
            // Of the processor.
            session.expect(Request::gradient().into());
        }
        session.expect(largest.into());
        let before = device.kernel_time();
        Ok(Evaluator {
            before,
            session,
            point: None,
            device,
            whole: largest,
            curvature: largest.curvature.map(|(curvature, _)| curvature),
            fallback,
            is_single: is_single && failure.is_none(),
            failure,
            flops: [0.0; 2],
            evaluations: Evaluations::default(),
            times: Times::default(),
            left_out: 0.0,
            scales: scales(problem)?,
            targets: size_of_targets(problem)?,
        })
    }

    /// The same evaluator for fits that also take products with a curvature.
    pub fn with_products(mut self, curvature: Curvature) -> Self {
        self.curvature = Some(curvature);
        let products = Work::Products(curvature, 1);
        self.session.expect(products);
        // Planned now, so that nothing is kept in the memory that they need; whether they fit is told when they are asked for.
        let _ = self.session.planned(&self.computes(), products);
        self
    }

    /// The point w: the last one, if that is it.
    pub fn at(&mut self, w: &[f64]) -> Result<&Point<'a>> {
        let point = match self.point.take().filter(|point| point.w() == w) {
            Some(point) => point,
            None => self.session.at(w)?,
        };
        Ok(self.point.insert(point))
    }

    /// The device for the curvature.
    pub fn computes(&self) -> Device {
        match self.failure {
            None => self.device.clone(),
            Some(_) => Device::Cpu,
        }
    }

    /// E(w); infinite where it is not finite.
    pub fn value(&mut self, w: &[f64]) -> Result<f64> {
        self.evaluations.objective += 1;
        match self.evaluate(&self.decides(), w, Request::default(), |t| &mut t.objective) {
            Ok(at) => Ok(at.value),
            Err(Error::NonFinite { .. }) => Ok(f64::INFINITY),
            Err(other) => Err(other),
        }
    }

    /// E(w) with its gradient.
    pub fn gradient(&mut self, w: &[f64]) -> Result<Evaluation> {
        self.evaluations.gradient += 1;
        self.evaluate(&self.decides(), w, Request::gradient(), |t| &mut t.gradient)
    }

    /// E(w) with gradient and curvature.
    pub fn derivatives(&mut self, w: &[f64]) -> Result<Evaluation> {
        self.evaluations.gradient += 1;
        let whole = self.whole;
        self.evaluations.curvature += usize::from(whole.curvature.is_some());
        if self.is_single || self.failure.is_some() || self.precision() == Precision::F64 {
            return self.evaluate(&self.decides(), w, whole, |t| &mut t.curvature);
        }
        let exact = self.evaluate(&Device::Cpu, w, Request::gradient(), |t| &mut t.gradient)?;
        if whole.curvature.is_none() {
            return Ok(exact);
        }
        let curvature = Request { gradient: false, ..whole };
        let single = self.evaluate(&self.device.clone(), w, curvature, |t| &mut t.curvature);
        let computed = match single {
            Ok(at) => at,
            Err(error) => {
                self.take_over(error)?;
                self.evaluate(&Device::Cpu, w, whole, |t| &mut t.curvature)?
            }
        };
        let Evaluation { curvature, pooled, left_out, .. } = computed;
        Ok(Evaluation { curvature, pooled, left_out, ..exact })
    }

    /// The exact Hessian, a packed lower triangle.
    pub fn whole(&mut self, w: &[f64]) -> Result<Vec<f64>> {
        self.evaluations.curvature += 1;
        let request = Request::curvature(Curvature::Exact, Structure::Full);
        let request = Request { gradient: false, ..request };
        // In f64, also while the rest is in f32: it judges curvature, and is made again where a fit is resumed.
        let device = match self.precision() {
            Precision::F32 => Device::Cpu,
            Precision::F64 => self.computes(),
        };
        let at = self.evaluate(&device, w, request, |t| &mut t.curvature)?;
        at.curvature.map_or(Ok(Vec::new()), Matrix::into_lower)
    }

    /// The row blocks at w from a device in f32, with which the processor needs fewer products in f64; none for other fits.
    pub fn blocks_in_f32(&mut self, w: &[f64]) -> Option<Preconditioner> {
        let is_apart = self.precision() == Precision::F32 && self.failure.is_none();
        let is_rows = |(_, structure): &(_, Structure)| *structure == Structure::RowBlocks;
        self.whole.curvature.filter(|curvature| is_apart && is_rows(curvature))?;
        let request = Request { gradient: false, ..self.whole };
        self.evaluations.curvature += 1;
        // Where that fails they are not needed either.
        let at = self.ask(&self.device.clone(), w, request).ok()?;
        Preconditioner::blocks_in(blocks(at.curvature.as_ref()?), &self.scales).ok()
    }

    /// The device for the numbers that decisions rest on.
    pub fn decides(&self) -> Device {
        match self.precision() {
            Precision::F32 if !self.is_single => Device::Cpu,
            _ => self.computes(),
        }
    }

    /// E(w) and what a request asks for, from a device.
    ///
    /// # Errors
    /// Those of the device.
    pub fn ask(&mut self, device: &Device, w: &[f64], request: Request) -> Result<Evaluation> {
        self.spend(device, request.into(), 1);
        self.at(w)?.evaluate_on(device, request)
    }

    /// Notes products with a curvature that a device has computed.
    pub fn multiplied(&mut self, device: &Device, curvature: Curvature, count: usize) {
        self.evaluations.products += count;
        self.spend(device, Work::Products(curvature, 1), count);
    }

    /// Notes the operations of some requests of a kind.
    fn spend(&mut self, device: &Device, work: Work, count: usize) {
        // What cannot be planned is refused before it costs anything.
        if let Ok((_, planned)) = self.session.planned(device, work) {
            let flops = count as f64 * planned.plan.flops;
            self.flops[0] += flops;
            self.flops[1] += if matches!(device, Device::Cpu) { flops } else { 0.0 };
        }
    }

    /// The function, while its value and gradient are in f32.
    pub fn single(&mut self) -> Option<&mut dyn Single> {
        if self.is_single { Some(self) } else { None }
    }

    fn evaluate(
        &mut self,
        device: &Device,
        w: &[f64],
        request: Request,
        stage: fn(&mut Times) -> &mut Duration,
    ) -> Result<Evaluation> {
        let clock = Instant::now();
        let mut done = self.ask(device, w, request);
        if let Err(error @ Error::Gpu { .. }) = done {
            done = match self.take_over(error) {
                Ok(()) => self.ask(&Device::Cpu, w, request),
                Err(error) => Err(error),
            };
        }
        if let (true, Err(Error::Invalid { .. })) = (self.is_single, &done) {
            // A number that f32 does not hold.
            done = Err(Error::non_finite("the objective in f32", &[]));
        }
        *stage(&mut self.times) += clock.elapsed();
        if let Ok(at) = &done {
            self.left_out = self.left_out.max(at.left_out);
        }
        done
    }

    /// Evaluations, times and device, for the report.
    pub fn account(&self) -> Account {
        let adapter = self.device.adapter();
        Account {
            evaluations: self.evaluations,
            times: Times {
                device: self.device.kernel_time().zip(self.before).map(|(now, then)| now - then),
                ..self.times
            },
            adapter: match self.failure {
                None => adapter,
                Some(_) => format!("{adapter}, then {}", Device::Cpu.adapter()),
            },
            failure: self.failure.clone(),
            precision: self.precision(),
            is_single: self.is_single,
            share: (self.precision() == Precision::F32)
                .then(|| self.flops[1] / self.flops[0].max(1.0)),
            is_positive: self.problem().loss().kind().is_some_and(|kind| kind.is_classification),
        }
    }

    /// The precision of the curvature.
    fn precision(&self) -> Precision {
        self.device.precision()
    }

    /// The unit roundoff of the curvature.
    pub fn roundoff(&self) -> f64 {
        match (&self.failure, self.precision()) {
            (None, Precision::F32) => f64::from(f32::EPSILON) / 2.0,
            _ => U,
        }
    }

    /// The problem.
    pub fn problem(&self) -> &'a Problem {
        self.session.problem()
    }

    /// The limits of its requests.
    pub fn limits(&self) -> &Arc<Limits> {
        self.session.limits()
    }

    /// R, the units of the parameters.
    pub fn scales(&self) -> &[f64] {
        &self.scales
    }

    /// The gains at a point with this value that are rounding errors: 16u|E|; of a squared error also what u in the targets' size
    /// does to its residuals.
    pub fn resolution(&self, value: f64) -> f64 {
        let value = value.abs();
        let residuals = self.targets.map_or(0.0, |targets| (2.0 * value).sqrt() * targets);
        16.0 * U * (value + residuals)
    }

    /// The matrix by its products, from what computes curvature.
    ///
    /// # Errors
    /// As [`derivatives`](Evaluator::derivatives).
    pub fn operator(&mut self, w: &[f64], curvature: Curvature) -> Result<Operator<'a>> {
        let device = self.computes();
        let made = self.at(w)?.operator_on(&device, curvature);
        made.or_else(|error| self.recover(error, w, curvature))
    }

    /// The products from the processor after the accelerator failed, or the failure.
    ///
    /// # Errors
    /// The failure, where the processor does not take over.
    pub fn recover(
        &mut self,
        error: Error,
        w: &[f64],
        curvature: Curvature,
    ) -> Result<Operator<'a>> {
        self.take_over(error)?;
        self.at(w)?.operator_on(&Device::Cpu, curvature)
    }

    /// Lets the processor compute from here on, after an accelerator failed or f32 did not hold what is finite in f64.
    ///
    /// # Errors
    /// `error`, where it is another, or where the processor does not take over.
    pub fn take_over(&mut self, error: Error) -> Result<()> {
        let reason = match &error {
            Error::Gpu { .. } => error.to_string(),
            // Value and gradient at the point are finite: the processor has computed them.
            Error::NonFinite { .. } | Error::Invalid { .. }
                if self.precision() == Precision::F32 =>
            {
                format!("in f32 {error}")
            }
            _ => return Err(error),
        };
        if !self.fallback || self.failure.is_some() {
            return Err(error);
        }
        self.failure = Some(reason);
        Ok(())
    }
}

impl Single for Evaluator<'_> {
    fn errors(&mut self, x: &[f64], trial: &[f64], fall: f64) -> Result<Option<[f64; 2]>> {
        let clock = Instant::now();
        let device = self.decides();
        let mut measure = || {
            let after = self.ask(&Device::Cpu, trial, Request::default())?.value;
            let rounded = self.ask(&device, x, Request::gradient())?;
            let exact = self.ask(&Device::Cpu, x, Request::gradient())?;
            let off = rounded.gradient.iter().zip(&exact.gradient).map(|(a, b)| (a - b).abs());
            Ok([(fall - (exact.value - after)).abs(), off.fold(0.0, f64::max)])
        };
        let found = match measure() {
            // f32 does not hold what f64 may.
            Err(Error::NonFinite { .. } | Error::Invalid { .. }) => None,
            Err(error @ Error::Gpu { .. }) => {
                self.take_over(error)?;
                None
            }
            found => Some(found?),
        };
        self.times.gradient += clock.elapsed();
        // An accelerator that failed has left the rest to the processor.
        Ok(found.filter(|_| self.failure.is_none()))
    }

    fn is_lost(&self) -> bool {
        self.failure.is_some()
    }

    fn refine(&mut self) {
        self.is_single = false;
    }
}

/// The packed lower triangles of the blocks, with their orders.
pub(super) fn blocks(matrix: &Matrix) -> impl Iterator<Item = (&[f64], usize)> {
    matrix.blocks().map(|b| (b.packed(), b.order()))
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::{Activation, Data, Loss, Network};

    /// The errors that decide are those of two problems that know nothing of each other.
    #[test]
    fn the_errors_of_f32_are_measured() {
        let number = |k: usize| f64::from((k * 7919 % 2003) as u32) / 1001.0 - 1.0;
        let x = Array2::from_shape_fn((200, 3), |(i, j)| number(3 * i + j));
        let y = Array2::from_shape_fn((200, 1), |(i, _)| number(5 * i));
        let network = Network::dense(&[3, 4, 1], Activation::Tanh).unwrap();
        let right = Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap();
        let rounded = right.clone().on(Device::CpuF32);
        let w: Vec<f64> = (0..right.parameters()).map(|l| 0.5 * number(31 * l)).collect();
        let trial: Vec<f64> = w.iter().map(|w| 0.99 * w).collect();
        let fall = |p: &Problem| p.objective(&w).unwrap() - p.objective(&trial).unwrap();
        let (single, double) = (fall(&rounded), fall(&right));
        let pairs = rounded.gradient(&w).unwrap().into_iter().zip(right.gradient(&w).unwrap());
        let gradient = pairs.fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
        let mut evaluator = Evaluator::new(&rounded, None, true).unwrap();
        let measured = evaluator.single().unwrap().errors(&w, &trial, single).unwrap().unwrap();
        assert_eq!(measured, [(single - double).abs(), gradient]);
        assert!(measured.iter().all(|error| *error > 0.0), "{measured:?}");
        // A fall that is none shows as an error of its size.
        let off = evaluator.single().unwrap().errors(&w, &trial, single + 1.0).unwrap().unwrap();
        assert!((off[0] - 1.0).abs() < 1e-3 && off[1] == gradient, "{off:?}");
        evaluator.single().unwrap().refine();
        assert!(evaluator.single().is_none());
        // In f64 there is nothing to measure.
        assert!(Evaluator::new(&right, None, true).unwrap().single().is_none());
    }
}
