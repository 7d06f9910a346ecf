//! Newton's method within a trust region by products, without a matrix.

use std::time::Duration;

use super::certificate::{Promise, Question};
use super::checks::{check_memory, squares};
use super::evaluator::Evaluator;
use super::examination::examine;
use super::minimize::{Point, minimize};
use super::multiplied::Multiplied;
use super::objective::{Local, Objective};
use super::preconditioning::Preconditioning;
use super::settings::Settings;
use super::single::Single;
use super::trust_region::{Goal, Region, TrustRegion};
use super::{Evaluations, Fit, Method, Observer, State};
use crate::curvature::Structure;
use crate::error::{Error, Result};
use crate::evaluate::Request;
use crate::interrupt::Limits;
use crate::memory::bytes_of;
use crate::problem::Problem;

/// How many vectors of length P live while a point is derived: the two points, gradients, scales, the step.
const DERIVING: usize = 10;
/// The same while conjugate gradients take a product.
const SOLVING: usize = 12;

/// Newton's method within a trust region by conjugate gradients: the matrix is only multiplied with vectors.
///
/// ```text
/// min gᵀp + ½pᵀBp,   ‖p‖_M ≤ Δ,   until ‖g + Bp‖_M⁻¹ ≤ min(½, √(‖g‖∞/‖g₀‖∞)) ‖g‖_M⁻¹
/// ```
///
/// See [`conjugate_gradients`](crate::solve::conjugate_gradients) for the step and [`TrustRegion`] for everything around it. The forcing term makes the
/// convergence superlinear. M is the preconditioner. A stationary point is left if conjugate gradients from a fixed random
/// vector meet negative curvature.
///
/// Source: Nocedal and Wright, *Numerical Optimization*, 2nd ed., §7.1.
///
/// ```
/// use ndarray::array;
/// use secondo::{Activation, Data, Loss, Method, Network, NewtonCg, Problem, silent};
/// let data = Data::new(array![[1.0], [2.0], [4.0]], array![[1.0], [2.5], [3.5]])?;
/// let problem = Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, data, Loss::SquaredError)?;
/// let fit = NewtonCg::default().fit(&problem, &[0.0, 0.0], &mut silent)?; // y = 11/14 x + 1/2
/// assert!(fit.converged());
/// assert!((fit.w[0] - 11.0 / 14.0).abs() + (fit.w[1] - 0.5).abs() < 1e-7);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct NewtonCg {
    /// The region, with curvature, tolerances and limits. Default that of [`TrustRegion`], with 1000 steps.
    pub region: TrustRegion,
    /// The preconditioner. Under W = fixed + Cθ, `RowBlocks` becomes `Diagonal` where C does not keep each unit to
    /// neighbouring θ of its own, and both become `None` where a θ reaches several units; the report says which it was.
    /// Default `RowBlocks`.
    pub preconditioning: Preconditioning,
    /// The most products for one step. Default 200.
    pub products: usize,
}

impl Default for NewtonCg {
    fn default() -> Self {
        NewtonCg {
            region: TrustRegion { max_iter: 1000, ..TrustRegion::default() },
            preconditioning: Preconditioning::RowBlocks,
            products: 200,
        }
    }
}

impl NewtonCg {
    /// The bytes that a fit takes at most besides the data: the factors of a preconditioner of row blocks, with the blocks
    /// of the next point or a product, and some vectors.
    ///
    /// # Errors
    /// As [`Problem::plan`].
    ///
    /// ```
    /// use ndarray::Array2;
    /// use secondo::{Activation, Data, Loss, Network, NewtonCg, Preconditioning, Problem};
    /// let data = Data::new(Array2::ones((50, 200)), Array2::zeros((50, 1)))?;
    /// let problem = Problem::new(Network::dense(&[200, 100, 1], Activation::Tanh)?, data, Loss::SquaredError)?;
    /// let rows = NewtonCg::default();
    /// let diagonal = NewtonCg { preconditioning: Preconditioning::Diagonal, ..rows.clone() };
    /// // A hundred blocks of order 201, once as triangles and once as squares.
    /// let blocks = 8 * 100 * (201 * 202 / 2 + 201 * 201);
    /// assert!(rows.memory(&problem)? > blocks && diagonal.memory(&problem)? < blocks / 4);
    /// # Ok::<(), secondo::Error>(())
    /// ```
    pub fn memory(&self, problem: &Problem) -> Result<u64> {
        let request = self.preconditioning.available(problem).request();
        let derivatives = problem.plan(Request { curvature: request, ..Request::gradient() })?;
        let product = problem.plan_products(self.region.curvature, 1)?;
        let blocks = match request {
            Some((_, Structure::RowBlocks)) => problem.block_orders(Structure::RowBlocks)?,
            _ => Vec::new(),
        };
        let factors = squares(&blocks);
        let vectors = |count: usize| bytes_of(&[8, count, problem.parameters()]);
        let deriving = derivatives.bytes().saturating_add(vectors(DERIVING));
        let solving = product.bytes().saturating_add(vectors(SOLVING));
        Ok(factors.saturating_add(deriving.max(solving)))
    }

    fn check_memory(&self, problem: &Problem) -> Result<()> {
        let (p, name) = (problem.parameters(), self.preconditioning.name());
        let what = format!("Newton–CG with {p} parameters and the preconditioner {name}");
        let advice = match self.preconditioning {
            Preconditioning::RowBlocks => "the preconditioner diagonal needs no blocks",
            _ => "raise the memory budget, or make the layers narrower",
        };
        check_memory(problem, what, self.memory(problem)?, advice)
    }

    /// A fit from a state that has been checked, which then has its end.
    pub(super) fn fit_problem(
        &self,
        problem: &Problem,
        state: &mut State,
        goal: Goal,
        observe: Observer,
    ) -> Result<Fit> {
        let method =
            &NewtonCg { preconditioning: self.preconditioning.available(problem), ..self.clone() };
        let request = method.preconditioning.request();
        let products = Products {
            evaluator: Evaluator::new(problem, request, self.region.fallback)?
                .with_products(self.region.curvature),
            method,
        };
        method.check_memory(problem)?;
        let mut region = Region::new(products, &method.region, goal);
        let end = minimize(&mut region, state, observe)?;
        let goal = state.goal(self.region.gtol);
        let words = format!(
            "Newton with conjugate gradients, curvature {}, preconditioner {}",
            self.region.curvature.name(),
            method.preconditioning.name()
        );
        let account = region.f.evaluator.account();
        Ok(Fit::new(state, end, goal, account, words))
    }
}

impl Method for NewtonCg {
    fn name(&self) -> &'static str {
        "newton-cg"
    }

    fn settings(&self) -> Settings {
        let NewtonCg { region, preconditioning, products } = self;
        Settings::new(self.name())
            .with_those_of(region.settings())
            .with("preconditioning", preconditioning)
            .with("products", products)
    }

    fn resume(&self, problem: &Problem, mut state: State, observe: Observer) -> Result<Fit> {
        let dim = problem.parameters();
        self.region.check(dim)?;
        if self.products == 0 {
            return Err(Error::invalid("products", "at least one is needed"));
        }
        state.check(&self.settings(), dim)?;
        self.fit_problem(problem, &mut state, Goal::Relative, observe)
    }
}

/// A problem whose matrix is not formed.
struct Products<'a> {
    evaluator: Evaluator<'a>,
    method: &'a NewtonCg,
}

impl<'a> Objective for Products<'a> {
    type Matrix = Multiplied<'a>;

    fn value(&mut self, x: &[f64]) -> Result<f64> {
        self.evaluator.value(x)
    }

    fn derive(&mut self, x: &[f64], _: Option<f64>) -> Result<Point<Local<Multiplied<'a>>>> {
        let at = self.evaluator.derivatives(x)?;
        let curvature = self.method.region.curvature;
        let operator = self.evaluator.operator(x, curvature)?;
        let most = self.method.products;
        let matrix = Multiplied::new(operator, at.curvature, most, self.evaluator.roundoff());
        let resolution = self.evaluator.resolution(at.value);
        Ok(Local::point(at.value, at.gradient, matrix, resolution))
    }

    fn examine(&mut self, x: &[f64], question: Question) -> Option<Result<Promise>> {
        let blocks = self.evaluator.blocks_in_f32(x);
        let question =
            Question { preconditioner: blocks.as_ref(), is_whole: blocks.is_some(), ..question };
        Some(examine(&mut self.evaluator, x, question))
    }

    fn scales(&self, _: usize) -> Vec<f64> {
        self.evaluator.scales().to_vec()
    }

    fn recover(&mut self, error: Error, x: &[f64], matrix: &mut Multiplied<'a>) -> Result<()> {
        let curvature = self.method.region.curvature;
        let operator = self.evaluator.recover(error, x, curvature)?;
        matrix.go_on_with(operator, self.evaluator.roundoff());
        Ok(())
    }

    fn solved(&mut self, matrix: &mut Multiplied<'a>, time: Duration) {
        let device = self.evaluator.computes();
        self.evaluator.multiplied(&device, self.method.region.curvature, matrix.take_used());
        self.evaluator.times.solve += time;
    }

    fn single(&mut self) -> Option<&mut dyn Single> {
        self.evaluator.single()
    }

    fn limits(&self) -> Option<&Limits> {
        Some(self.evaluator.limits())
    }

    fn evaluations(&mut self) -> &mut Evaluations {
        &mut self.evaluator.evaluations
    }
}
