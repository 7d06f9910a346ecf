//! The promise of a problem's exact model at a point, whatever the model of the method is.

use super::certificate::{Promise, Question};
use super::evaluator::Evaluator;
use super::multiplied::Multiplied;
use super::objective::{Ellipsoid, Formed, Quadratic};
use super::preconditioning::{Preconditioning, whole_cost};
use crate::clock::Instant;
use crate::curvature::{Curvature, Matrix, Structure};
use crate::error::{Error, Result};
use crate::evaluate::Request;
use crate::problem::Problem;
use crate::solve::U;

/// Up to this many parameters a factorization costs less than the products that it saves.
pub(super) const FORMED: usize = 500;
/// The most products of one iteration, of which a look at the model takes up to three, …
const PRODUCTS: usize = 300;
/// … and how many it usually takes.
const USUAL: f64 = 150.0;

/// The promise of the exact model at w; that of Gauss and Newton, where a unit has no second derivatives.
///
/// # Errors
/// As [`Evaluator::derivatives`].
pub(super) fn examine(evaluator: &mut Evaluator, w: &[f64], question: Question) -> Result<Promise> {
    let clock = Instant::now();
    let scales = evaluator.scales().to_vec();
    let region = Ellipsoid {
        x: w,
        gradient: question.gradient,
        scales: &scales,
        scaling: &scales,
        radius: 1.0,
        forcing: 0.0,
        leaving: false,
    };
    let found = examine_on_its_device(evaluator, &region, question);
    evaluator.times.solve += clock.elapsed();
    match found {
        Err(error @ (Error::Gpu { .. } | Error::Interrupted | Error::Part { .. })) => Err(error),
        // A test that fails is no reason to lose the point, only to leave it without a certificate. The method's own model does
        // not see where the exact one leads.
        found => Ok(found.unwrap_or(Promise::UNKNOWN).of_another_model()),
    }
}

/// By the processor, if the accelerator fails and it may.
fn examine_on_its_device(
    evaluator: &mut Evaluator,
    region: &Ellipsoid,
    question: Question,
) -> Result<Promise> {
    match examine_by(evaluator, region, question) {
        Err(error @ Error::Gpu { .. }) => {
            evaluator.take_over(error)?;
            examine_by(evaluator, region, question)
        }
        found => found,
    }
}

/// With the exact curvature, or that of Gauss and Newton.
fn examine_by(
    evaluator: &mut Evaluator,
    region: &Ellipsoid,
    question: Question,
) -> Result<Promise> {
    match examine_in(evaluator, Curvature::Exact, region, question) {
        Err(Error::Unsupported { .. }) => {
            examine_in(evaluator, Curvature::GaussNewton, region, question)
        }
        found => found,
    }
}

/// The same for a method with another curvature, or with a matrix in f32; nothing for one with the exact in f64.
pub(super) fn examine_another(
    evaluator: &mut Evaluator,
    w: &[f64],
    question: Question,
) -> Option<Result<Promise>> {
    let own = evaluator.curvature == Some(Curvature::Exact) && evaluator.roundoff() == U;
    (!own).then(|| examine(evaluator, w, question))
}

/// Whether a whole matrix costs less than the products that would do.
fn is_cheap(problem: &Problem, curvature: Curvature) -> bool {
    let product = || problem.plan_products(curvature, 1).map(|plan| plan.flops);
    whole_cost(problem).is_some_and(|cost| product().is_ok_and(|product| cost <= USUAL * product))
}

/// From the whole matrix where that costs little, else from products.
fn examine_in(
    evaluator: &mut Evaluator,
    curvature: Curvature,
    region: &Ellipsoid,
    question: Question,
) -> Result<Promise> {
    let device = evaluator.decides();
    let request = |curvature, structure| Request {
        gradient: false,
        ..Request::curvature(curvature, structure)
    };
    let problem = evaluator.problem();
    let is_small = region.x.len() <= FORMED && problem.network().parameters() <= 2 * FORMED;
    if is_small || question.preconditioner.is_none() && is_cheap(problem, curvature) {
        let whole = request(curvature, Structure::Full);
        let at = evaluator.ask(&device, region.x, whole)?;
        evaluator.evaluations.curvature += 1;
        let lower = at.curvature.map_or(Ok(Vec::new()), Matrix::into_lower)?;
        return Formed::new(lower, U).within(evaluator.limits()).examine(region);
    }
    // Where a θ reaches several units a diagonal would need the whole matrix.
    let diagonal = match Preconditioning::Diagonal.available(problem).request() {
        Some((curvature, structure)) => {
            let diagonal = request(curvature, structure);
            evaluator.ask(&device, region.x, diagonal)?.curvature
        }
        None => None,
    };
    let operator = evaluator.at(region.x)?.operator_on(&device, curvature)?;
    let mut matrix = Multiplied::new(operator, diagonal, PRODUCTS, U);
    let scaling = matrix.roots(region.scales);
    let found = matrix.promise(&Ellipsoid { scaling: &scaling, ..*region }, question);
    evaluator.multiplied(&device, curvature, matrix.take_used());
    found
}
