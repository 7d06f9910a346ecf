//! Propagations: a unit's pre-activation as a function of its inputs and parameters.
//!
//! Linear units (p = w·z) are the fast case: their derivatives are z and w themselves, and the kernels
//! never form them. Any other unit implements [`Unit`], in the notation
//!
//! ```text
//! φ = ∂p/∂w   a = ∂p/∂z   Ψ = ∂²p/∂w²   ∂²p/∂z²   ∂²p/∂w∂z
//! ```

use std::fmt;

use crate::error::{Error, Result};
use crate::guard;

/// A unit's propagation p(z; w) with its first and second derivatives, for one sample and one unit.
///
/// z holds the outputs of the layer's sources, without a constant. Matrices are row-major and are
/// written whole. The processor evaluates them in f64 whatever the backend's precision.
///
/// The paper's matrix, Gauss–Newton and the empirical Fisher matrix need the required methods alone; an [`ExactUnit`] has the
/// other second derivatives, for the exact Hessian and its residual part.
///
/// `examples/custom_propagation.rs` trains one, with its text in WGSL. A panic in a unit's code, and a NaN that it makes of finite
/// numbers, end as errors that name the unit. In debug builds, [`Network::new`](crate::Network::new) compares the derivatives with differences ([`Propagation::check`](crate::Propagation::check)).
///
/// ```
/// use std::sync::Arc;
/// use ndarray::array;
/// use secondo::{Activation, Data, ExactUnit, Group, Layer, Loss, Network, Problem, Propagation, Unit};
///
/// /// p = w z₀ z₁.
/// #[derive(Debug)]
/// struct Product;
///
/// impl Unit for Product {
///     fn name(&self) -> &str { "product" }
///     fn parameters(&self, _: usize) -> usize { 1 }
///     fn value(&self, z: &[f64], w: &[f64]) -> f64 { w[0] * z[0] * z[1] }
///     fn d_w(&self, z: &[f64], _: &[f64], phi: &mut [f64]) { phi[0] = z[0] * z[1] }
///     fn d_z(&self, z: &[f64], w: &[f64], a: &mut [f64]) { a.copy_from_slice(&[w[0] * z[1], w[0] * z[0]]) }
///     fn d_ww(&self, _: &[f64], _: &[f64], psi: &mut [f64]) { psi[0] = 0.0 }
///     fn exact(&self) -> Option<&dyn ExactUnit> { Some(self) }
/// }
///
/// impl ExactUnit for Product {
///     fn d_zz(&self, _: &[f64], w: &[f64], out: &mut [f64]) { out.copy_from_slice(&[0.0, w[0], w[0], 0.0]) }
///     fn d_wz(&self, z: &[f64], _: &[f64], out: &mut [f64]) { out.copy_from_slice(&[z[1], z[0]]) }
/// }
///
/// let unit = Propagation::Unit(Arc::new(Product));
/// let layer = Layer::of(vec![Group::uniform(unit, 1, Activation::Identity)]);
/// let net = Network::new(2, vec![layer])?;
/// let problem = Problem::new(net, Data::new(array![[2.0, 3.0]], array![[0.0]])?, Loss::SquaredError)?;
/// // f = 6w, E = ½ (6w)²: E = 72 and E′ = 72 at w = 2.
/// assert_eq!(problem.objective(&[2.0])?, 72.0);
/// assert_eq!(problem.gradient(&[2.0])?, [72.0]);
/// # Ok::<(), secondo::Error>(())
/// ```
pub trait Unit: fmt::Debug + Send + Sync {
    /// A short name for messages.
    fn name(&self) -> &str;
    /// Returns t, the number of parameters of one unit with `inputs` inputs.
    fn parameters(&self, inputs: usize) -> usize;
    /// Returns p(z; w).
    fn value(&self, z: &[f64], w: &[f64]) -> f64;
    /// Writes φ_a = ∂p/∂w_a, length t.
    fn d_w(&self, z: &[f64], w: &[f64], phi: &mut [f64]);
    /// Writes a_c = ∂p/∂z_c, length d.
    fn d_z(&self, z: &[f64], w: &[f64], a: &mut [f64]);
    /// Writes Ψ_ab = ∂²p/∂w_a∂w_b, t × t.
    fn d_ww(&self, z: &[f64], w: &[f64], psi: &mut [f64]);
    /// Returns the derivatives that only the exact Hessian needs; without them, asking for it is an error.
    fn exact(&self) -> Option<&dyn ExactUnit> {
        None
    }
    /// Returns the derivatives of third and higher order in w, where the unit supplies them: only
    /// [`Problem::lagrangian_tensor`](crate::Problem::lagrangian_tensor) of order 3 and more needs them.
    fn higher(&self) -> Option<&dyn HigherUnit> {
        None
    }
    /// Returns the same functions in WGSL for adapters, which have the unit computed by the processor without them.
    ///
    /// The text defines, for the sample and unit at hand,
    ///
    /// ```text
    /// fn unit_value() -> real                 p
    /// fn unit_d_w(a: u32) -> real             ∂p/∂w_a
    /// fn unit_d_z(c: u32) -> real             ∂p/∂z_c
    /// fn unit_d_ww(a: u32, b: u32) -> real    ∂²p/∂w_a∂w_b
    /// fn unit_d_zz(b: u32, c: u32) -> real    ∂²p/∂z_b∂z_c     these two with an exact part only
    /// fn unit_d_wz(a: u32, c: u32) -> real    ∂²p/∂w_a∂z_c
    /// ```
    ///
    /// of `z(c: u32) -> real`, `w(a: u32) -> real` and the constants `INPUTS` and `PARAMETERS`; `real` is f32 or f64. No
    /// builtin exp, log, tanh …: they are too weak in f32 and missing in f64; `#include "lib/exp.wgsl"` and its neighbours in
    /// `shaders/lib` have `exp_` and others. Names of its own start with `unit_`, so that no kernel has them.
    ///
    /// Before an adapter uses a text, its numbers are compared with those of the Rust form at random points, with tolerances
    /// of 10⁻⁴ in f32 and 10⁻¹⁰ in f64; second derivatives as long as there are no more than a million. A text that differs or does not compile is an [`Error::Part`] that names the unit.
    ///
    /// ```text
    /// fn unit_value() -> real { return w(0u) * z(0u) * z(1u); }          // of the example above
    /// fn unit_d_w(a: u32) -> real { return z(0u) * z(1u); }
    /// fn unit_d_z(c: u32) -> real { return w(0u) * z(1u - c); }
    /// fn unit_d_ww(a: u32, b: u32) -> real { return 0.0; }
    /// fn unit_d_zz(b: u32, c: u32) -> real { return select(real(0.0), w(0u), b != c); }
    /// fn unit_d_wz(a: u32, c: u32) -> real { return z(1u - c); }
    /// ```
    fn wgsl(&self) -> Option<&str> {
        None
    }
}

/// The second derivatives of a [`Unit`] in its inputs, by the same conventions.
pub trait ExactUnit: Send + Sync {
    /// Writes ∂²p/∂z_a∂z_b, d × d.
    fn d_zz(&self, z: &[f64], w: &[f64], out: &mut [f64]);
    /// Writes ∂²p/∂w_a∂z_c, t × d.
    fn d_wz(&self, z: &[f64], w: &[f64], out: &mut [f64]);
}

/// The derivatives of a [`Unit`] in its parameters beyond the second.
pub trait HigherUnit: Send + Sync {
    /// Returns ∂^r p/∂w_{a₁} … ∂w_{a_r} for r = `indices.len()` ≥ 3; the indices stand in any order.
    fn derivative(&self, z: &[f64], w: &[f64], indices: &[usize]) -> f64;
}

/// Returns the second derivatives in a unit's inputs.
///
/// # Errors
/// `Unsupported`: it has none.
pub(crate) fn exact(unit: &dyn Unit) -> Result<&dyn ExactUnit> {
    let (name, exact) = guard::named("unit", || unit.name(), |name| (name, unit.exact()))?;
    exact.ok_or_else(|| Error::Unsupported {
        what: format!("the exact Hessian of units '{name}'"),
        why: "they have no ∂²p/∂z² and ∂²p/∂w∂z (Unit::exact); implement ExactUnit, or use \
              gauss-newton, empirical-fisher or lagrangian"
            .into(),
    })
}
