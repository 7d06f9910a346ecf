//! What the exact model of a problem promises at a point, whatever the model of the method is.

use std::time::Instant;

use super::certificate::Promise;
use super::evaluator::Evaluator;
use super::multiplied::Multiplied;
use super::objective::{Ellipsoid, Formed, Quadratic};
use crate::curvature::{Curvature, Matrix, Structure};
use crate::error::{Error, Result};
use crate::evaluate::Request;
use crate::solve::U;

/// Up to this many parameters a factorization costs less than the products that it saves.
pub(super) const FORMED: usize = 500;
/// The most products for one look at the model.
const PRODUCTS: usize = 300;

/// What the exact model promises at w; that of Gauss and Newton, where a unit has no second derivatives.
///
/// # Errors
/// As [`Evaluator::derivatives`].
pub(super) fn examine(evaluator: &mut Evaluator, w: &[f64], gradient: &[f64]) -> Result<Promise> {
    let clock = Instant::now();
    let scales = evaluator.scales().to_vec();
    let region = Ellipsoid {
        x: w,
        gradient,
        scales: &scales,
        scaling: &scales,
        radius: 1.0,
        forcing: 0.0,
        leaving: false,
    };
    let found = match examine_in(evaluator, Curvature::Exact, &region) {
        Err(Error::Unsupported { .. }) => examine_in(evaluator, Curvature::GaussNewton, &region),
        found => found,
    };
    evaluator.times.solve += clock.elapsed();
    // The method's own model does not see where the exact one leads.
    found.map(Promise::of_another_model)
}

/// The same for a method with another curvature; nothing for one with the exact.
pub(super) fn examine_another(
    evaluator: &mut Evaluator,
    w: &[f64],
    gradient: &[f64],
) -> Option<Result<Promise>> {
    let own = evaluator.curvature == Some(Curvature::Exact);
    (!own).then(|| examine(evaluator, w, gradient))
}

/// From the whole matrix where that costs little, else from products.
fn examine_in(
    evaluator: &mut Evaluator,
    curvature: Curvature,
    region: &Ellipsoid,
) -> Result<Promise> {
    let device = evaluator.decides();
    let request = |curvature, structure| Request {
        gradient: false,
        ..Request::curvature(curvature, structure)
    };
    if region.x.len() <= FORMED {
        let whole = request(curvature, Structure::Full);
        let at = evaluator.at(region.x)?.evaluate_on(&device, whole)?;
        evaluator.evaluations.curvature += 1;
        let lower = at.curvature.map_or(Ok(Vec::new()), Matrix::into_lower)?;
        return Formed::new(lower, U).examine(region);
    }
    let diagonal = request(Curvature::GaussNewton, Structure::Diagonal);
    let diagonal = evaluator.at(region.x)?.evaluate_on(&device, diagonal)?;
    let operator = evaluator.at(region.x)?.operator_on(&device, curvature)?;
    let mut matrix = Multiplied::new(operator, diagonal.curvature, PRODUCTS, U);
    let scaling = matrix.roots(region.scales);
    let found = matrix.promise(&Ellipsoid { scaling: &scaling, ..*region });
    evaluator.evaluations.products += matrix.take_used();
    found
}
