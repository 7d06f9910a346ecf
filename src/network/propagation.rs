//! The propagation of a group of units: linear, radial, normalised, or of the user's own.

use std::sync::Arc;

use super::radial::{Normalized, Radial};
use super::unit::Unit;
use crate::check;
use crate::error::Result;
use crate::guard;

/// Inputs and parameters up to which a unit is checked when a network is made.
const CHECKED: usize = 64;

/// Returns the number of parameters of a unit, whose code runs here first; in debug builds checks its derivatives.
pub(super) fn parameters(propagation: &Propagation, inputs: usize, bias: bool) -> Result<usize> {
    let Propagation::Unit(unit) = propagation else {
        return Ok(propagation.parameters(inputs, bias));
    };
    let row = guard::named("unit", || unit.name(), |_| unit.parameters(inputs))?;
    if cfg!(debug_assertions) && inputs.saturating_add(row) <= CHECKED {
        propagation.check(inputs)?;
    }
    Ok(row)
}

/// The propagation of a group of units.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Propagation {
    /// p = w·z, z with the constant 1 if the layer has a bias.
    Linear,
    /// p = (z − μ)ᵀ M (z − μ); the constant is not part of its z, here and below.
    Radial(Radial),
    /// p = e^(−z_j/2) / Σ_c e^(−z_c/2), without parameters: a unit of [`Layer::normalized`](crate::Layer::normalized).
    Normalized(Normalized),
    /// Any other function, from code of the user's own.
    Unit(Arc<dyn Unit>),
}

impl Propagation {
    /// The number of parameters of one unit.
    pub fn parameters(&self, inputs: usize, bias: bool) -> usize {
        match self {
            // Saturated, so that the check of the sizes sees it.
            Propagation::Linear => inputs.saturating_add(usize::from(bias)),
            Propagation::Radial(radial) => Unit::parameters(radial, inputs),
            Propagation::Normalized(_) => 0,
            Propagation::Unit(unit) => unit.parameters(inputs),
        }
    }

    /// The unit, unless it is linear.
    pub fn unit(&self) -> Option<&dyn Unit> {
        match self {
            Propagation::Linear => None,
            Propagation::Radial(radial) => Some(radial),
            Propagation::Normalized(normalized) => Some(normalized),
            Propagation::Unit(unit) => Some(unit.as_ref()),
        }
    }

    /// Compares a unit's derivatives, for that many inputs, with differences ([`crate::check`]) at two random points, the
    /// numbers of one of them positive. Units that are linear have nothing to compare.
    ///
    /// In debug builds, [`Network::new`](crate::Network::new) does so for units of the user's own with up to 64 inputs and parameters together.
    ///
    /// # Errors
    /// [`Error::Derivative`](crate::Error::Derivative): which derivative is wrong, where, and what is right. [`Error::Part`](crate::Error::Part): the unit panics.
    pub fn check(&self, inputs: usize) -> Result<()> {
        let Some(unit) = self.unit() else {
            return Ok(());
        };
        let compare = |name: &str| {
            let part = format!("the unit '{name}'");
            let t = unit.parameters(inputs);
            let mut points = check::points(2, inputs + t, 1);
            points[1].iter_mut().for_each(|v| *v = 0.25 + v.abs());
            for point in points {
                let (z, w) = point.split_at(inputs);
                let value_w = |w: &[f64], p: &mut [f64]| p[0] = unit.value(z, w);
                let value_z = |z: &[f64], p: &mut [f64]| p[0] = unit.value(z, w);
                let phi_w = |w: &[f64], phi: &mut [f64]| unit.d_w(z, w, phi);
                let phi_z = |z: &[f64], phi: &mut [f64]| unit.d_w(z, w, phi);
                let a_z = |z: &[f64], a: &mut [f64]| unit.d_z(z, w, a);
                check::jacobian(&part, "d_w", 1, value_w, phi_w, w)?;
                check::jacobian(&part, "d_z", 1, value_z, a_z, z)?;
                check::jacobian(&part, "d_ww", t, phi_w, |w, psi| unit.d_ww(z, w, psi), w)?;
                if let Some(exact) = unit.exact() {
                    check::jacobian(&part, "d_wz", t, phi_z, |z, out| exact.d_wz(z, w, out), z)?;
                    check::jacobian(&part, "d_zz", inputs, a_z, |z, out| exact.d_zz(z, w, out), z)?;
                }
            }
            Ok(())
        };
        guard::named("unit", || unit.name(), compare)?
    }

    /// Whether p is linear in z and in w.
    pub fn is_linear(&self) -> bool {
        matches!(self, Propagation::Linear)
    }

    /// The name used in files.
    pub fn name(&self) -> &str {
        self.unit().map_or("linear", Unit::name)
    }
}
