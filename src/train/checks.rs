//! Checks of options and starting points.

use crate::error::{Error, Result};
use crate::memory::{bytes_of, require_memory};
use crate::problem::Problem;
use crate::scratch;

/// Refuses tolerances that are negative or not finite.
pub(super) fn check_tolerances(gtol: f64, xtol: f64, ftol: f64) -> Result<()> {
    [("gtol", gtol), ("xtol", xtol), ("ftol", ftol)]
        .into_iter()
        .try_for_each(|(name, value)| check_tolerance(name, value))
}

/// Refuses a tolerance that is negative or not finite.
pub(super) fn check_tolerance(name: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    let why = format!("{value} is not a finite number ≥ 0");
    Err(Error::invalid(name, why))
}

/// Refuses a radius that is not positive, a largest that is smaller, and an acceptance of steps that the radius rules call
/// bad.
pub(super) fn check_radius(initial: f64, max: f64, eta: f64) -> Result<()> {
    if !(initial.is_finite() && initial > 0.0) {
        let why = format!("{initial} is not positive and finite");
        return Err(Error::invalid("initial_radius", why));
    }
    if max.is_nan() || max < initial {
        let why = format!("{max} is not ≥ initial_radius");
        return Err(Error::invalid("max_radius", why));
    }
    if !(0.0..0.25).contains(&eta) {
        return Err(Error::invalid("eta", format!("{eta} is not in [0, ¼)")));
    }
    Ok(())
}

/// Refuses a starting point of another length, or one that is not finite.
pub(super) fn check_start(d: usize, x0: &[f64]) -> Result<()> {
    if x0.len() != d {
        return Err(Error::shape("starting point", &[d], &[x0.len()]));
    }
    match x0.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(Error::non_finite("starting point", &[i])),
        None => Ok(()),
    }
}

/// Refuses a solver with formed matrices of d unknowns that do not fit: as packed triangles, squares and eigenvectors at most 36d²
/// bytes.
pub(super) fn check_dense(what: &str, d: usize) -> Result<()> {
    let advice = "NewtonCg needs products alone";
    require_memory(&format!("{what} of {d} unknowns"), bytes_of(&[36, d, d]), advice)?;
    scratch::of_this_thread()
}

/// Refuses a Jacobian of `rows` residuals and `columns` parameters that does not fit: as it is computed, as columns, factorized; and
/// its triangle, with those of damped ones; and residuals at some points.
pub(super) fn check_jacobian(rows: usize, columns: usize) -> Result<()> {
    let triangles = bytes_of(&[40, columns.saturating_add(1), columns.saturating_add(1)]);
    let need = bytes_of(&[24, rows, columns.saturating_add(2)]).saturating_add(triangles);
    let what =
        format!("a Jacobian of {rows} residuals and {columns} parameters, with its factorization,");
    require_memory(&what, need, "take fewer residuals or parameters")?;
    scratch::of_this_thread()
}

/// Returns the bytes of squares of these orders.
pub(super) fn squares(orders: &[u64]) -> u64 {
    let square = |d: &u64| d.saturating_mul(*d).saturating_mul(8);
    orders.iter().map(square).fold(0, u64::saturating_add)
}

/// Refuses a method for a problem where it needs more memory than it may take.
pub(super) fn check_memory(problem: &Problem, what: String, need: u64, advice: &str) -> Result<()> {
    let budget = problem.budget();
    if need <= budget {
        return Ok(());
    }
    Err(Error::Memory { what, need, budget, advice: advice.into() })
}
