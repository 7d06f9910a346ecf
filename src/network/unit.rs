//! How a unit turns its inputs and its parameters into a pre-activation.
//!
//! Linear units (p = w·z) are the fast case: their derivatives are z and w themselves, and the kernels
//! never form them. Any other unit implements [`Unit`], in the notation
//!
//! ```text
//! φ = ∂p/∂w   a = ∂p/∂z   Ψ = ∂²p/∂w²   ∂²p/∂z²   ∂²p/∂w∂z
//! ```

use std::fmt;
use std::sync::Arc;

use super::radial::{Normalized, Radial};
use crate::error::{Error, Result};

/// A unit's propagation p(z; w) with its first and second derivatives, for one sample and one unit.
///
/// z holds the outputs of the layer's sources, without a constant. Matrices are row-major and are
/// written whole. The derivatives are evaluated in f64 whatever the backend's precision.
///
/// The paper's matrix, Gauss–Newton and the empirical Fisher matrix need no more than these; what only the exact Hessian
/// and its residual part need besides is an [`ExactUnit`].
pub trait Unit: fmt::Debug + Send + Sync {
    /// A short name for messages.
    fn name(&self) -> &str;
    /// t, the number of parameters of one unit with `inputs` inputs.
    fn parameters(&self, inputs: usize) -> usize;
    /// p(z; w).
    fn value(&self, z: &[f64], w: &[f64]) -> f64;
    /// φ_a = ∂p/∂w_a, length t.
    fn d_w(&self, z: &[f64], w: &[f64], phi: &mut [f64]);
    /// a_c = ∂p/∂z_c, length d.
    fn d_z(&self, z: &[f64], w: &[f64], a: &mut [f64]);
    /// Ψ_ab = ∂²p/∂w_a∂w_b, t × t.
    fn d_ww(&self, z: &[f64], w: &[f64], psi: &mut [f64]);
    /// The derivatives that only the exact Hessian needs; without them, asking for it is an error.
    fn exact(&self) -> Option<&dyn ExactUnit> {
        None
    }
    /// The derivatives of third and higher order in w, where the unit supplies them: only
    /// [`Problem::lagrangian_tensor`](crate::Problem::lagrangian_tensor) of order 3 and more needs them.
    fn higher(&self) -> Option<&dyn HigherUnit> {
        None
    }
    /// The same functions in WGSL, for adapters; without them, the processor computes the unit for these.
    fn wgsl(&self) -> Option<&str> {
        None
    }
}

/// The second derivatives of a [`Unit`] in its inputs, by the same conventions.
pub trait ExactUnit: Send + Sync {
    /// ∂²p/∂z_a∂z_b, d × d.
    fn d_zz(&self, z: &[f64], w: &[f64], out: &mut [f64]);
    /// ∂²p/∂w_a∂z_c, t × d.
    fn d_wz(&self, z: &[f64], w: &[f64], out: &mut [f64]);
}

/// The derivatives of a [`Unit`] in its parameters beyond the second.
pub trait HigherUnit: Send + Sync {
    /// ∂^r p/∂w_{a₁} … ∂w_{a_r} for r = `indices.len()` ≥ 3; the indices stand in any order.
    fn derivative(&self, z: &[f64], w: &[f64], indices: &[usize]) -> f64;
}

/// The second derivatives in a unit's inputs.
///
/// # Errors
/// `Unsupported`: it has none.
pub(crate) fn exact(unit: &dyn Unit) -> Result<&dyn ExactUnit> {
    unit.exact().ok_or_else(|| Error::Unsupported {
        what: format!("the exact Hessian of units '{}'", unit.name()),
        why: "they have no ∂²p/∂z² and ∂²p/∂w∂z (Unit::exact); implement ExactUnit, or use \
              gauss-newton, empirical-fisher or lagrangian"
            .into(),
    })
}

/// The propagation of a group of units.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Propagation {
    /// p = w·z, z with the constant 1 if the layer has a bias.
    Linear,
    /// p = (z − μ)ᵀ M (z − μ); the constant is not part of its z, here and below.
    Radial(Radial),
    /// A part of a sum, without parameters.
    Normalized(Normalized),
    /// Anything else.
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

    /// Whether p is linear in z and in w.
    pub fn is_linear(&self) -> bool {
        matches!(self, Propagation::Linear)
    }

    /// The name used in files.
    pub fn name(&self) -> &str {
        self.unit().map_or("linear", Unit::name)
    }
}
