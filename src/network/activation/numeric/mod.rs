//! The arithmetic of the activations: exponentials on pairs of doubles, and the terms of derivatives of any order.

mod dd;
mod exponential;
mod gaussian;
mod scaled;
mod sigmoid;

pub use dd::Dd;
pub use exponential::{EXP_MAX, Exp, clamped_pow2, exp, exp_rate, ldexp};
pub use gaussian::{GAUSS_MAX, Hermite, INV_SQRT_TAU, gauss, mills};
pub use scaled::{Scaled, inverse_power, odd, power, sign};
pub use sigmoid::{Sigmoid, logistic};
