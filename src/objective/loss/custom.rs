//! Losses that are not built in: the user's own code.

use std::fmt;

/// A user-defined loss g(x, y) of one sample, with its derivatives in the output x; in a problem as [`Loss::Custom`](crate::Loss::Custom).
///
/// x and y have one number for each output; matrices are row-major, outputs × outputs. No weight and no mean: the engine
/// multiplies by ω_i and sums over the samples. It is evaluated in f64 whatever the backend's precision.
///
/// Its mistakes become errors that name it. In debug builds [`Problem::new`](crate::Problem::new) compares the
/// derivatives with differences ([`check`](crate::check)). A panic is [`Error::Part`](crate::Error::Part), a NaN of finite numbers [`Error::NonFinite`](crate::Error::NonFinite); a fit
/// rejects a step to where there is a NaN, and ends at its best point with a panic.
///
/// ```
/// use secondo::{Loss, LossFunction};
///
/// /// ½ (ν + s) ln(1 + ‖x − y‖²/ν) for s outputs: multivariate Student errors, which couple the outputs.
/// #[derive(Debug)]
/// struct Student {
///     nu: f64,
/// }
///
/// impl Student {
///     /// x − y, ν + s and ν + ‖x − y‖².
///     fn parts(&self, x: &[f64], y: &[f64]) -> (Vec<f64>, f64, f64) {
///         let r: Vec<f64> = x.iter().zip(y).map(|(x, y)| x - y).collect();
///         let square: f64 = r.iter().map(|r| r * r).sum();
///         (r, self.nu + x.len() as f64, self.nu + square)
///     }
/// }
///
/// impl LossFunction for Student {
///     fn name(&self) -> &str {
///         "student"
///     }
///     fn value(&self, x: &[f64], y: &[f64]) -> f64 {
///         let (_, factor, size) = self.parts(x, y);
///         0.5 * factor * (size / self.nu).ln()
///     }
///     fn gradient(&self, x: &[f64], y: &[f64], out: &mut [f64]) {
///         let (r, factor, size) = self.parts(x, y);
///         out.iter_mut().zip(&r).for_each(|(out, r)| *out = factor * r / size);
///     }
///     fn hessian(&self, x: &[f64], y: &[f64], out: &mut [f64]) {
///         let (r, factor, size) = self.parts(x, y);
///         for (o, a) in r.iter().enumerate() {
///             for (q, b) in r.iter().enumerate() {
///                 let same = f64::from(u8::from(o == q));
///                 out[o * r.len() + q] = factor * (same - 2.0 * a * b / size) / size;
///             }
///         }
///     }
/// }
///
/// let loss = Loss::Custom(std::sync::Arc::new(Student { nu: 1.0 }));
/// let (value, gradient, hessian) = loss.derivatives(&[1.0, 0.0], &[0.0, 0.0])?;
/// assert_eq!(value, 1.5 * 2.0_f64.ln());
/// assert_eq!(gradient, [1.5, 0.0]);
/// assert_eq!(hessian, [0.0, 0.0, 0.0, 1.5]);
/// # Ok::<(), secondo::Error>(())
/// ```
pub trait LossFunction: fmt::Debug + Send + Sync {
    /// A short name for messages.
    fn name(&self) -> &str;
    /// Returns g(x, y).
    fn value(&self, x: &[f64], y: &[f64]) -> f64;
    /// Writes ∂g/∂x_o.
    fn gradient(&self, x: &[f64], y: &[f64], out: &mut [f64]);
    /// Writes ∂²g/∂x_o∂x_q, the whole symmetric matrix; `out` holds zeros before.
    fn hessian(&self, x: &[f64], y: &[f64], out: &mut [f64]);
    /// Whether ∂²g/∂x² is diagonal: the outputs do not couple. Default no.
    fn hessian_is_diagonal(&self) -> bool {
        false
    }
    /// Returns why it is not defined for the targets of one sample, if it is not. Default: it is.
    #[allow(unused_variables)]
    fn check(&self, y: &[f64]) -> std::result::Result<(), String> {
        Ok(())
    }
    /// Returns the same functions in WGSL for adapters, which have it computed by the processor without them. Default none.
    ///
    /// The text defines, entry by entry, for the thread's sample,
    ///
    /// ```text
    /// fn loss_value() -> real                       g(x, y)
    /// fn loss_gradient(o: u32) -> real              ∂g/∂x_o
    /// fn loss_hessian(o: u32, q: u32) -> real       ∂²g/∂x_o∂x_q
    /// ```
    ///
    /// and may call `predicted(o: u32) -> real` (x_o), `observed(o: u32) -> real` (y_o), the constant `OUTPUTS` (u32) and,
    /// after `#include "lib/exp.wgsl"` and the like, what stands in `shaders/lib`; `real` is f32 or f64. The builtin exp,
    /// log, tanh … are inaccurate, and f64 does not have them. At its first use on an adapter it is compared with the Rust
    /// form at points around the first targets where that is finite: a difference of more than 10⁻³ (f64: 10⁻⁹) of the largest entry is refused
    /// with the numbers, and so is a text that does not compile. A NaN that only WGSL makes is one of the objective.
    fn wgsl(&self) -> Option<&str> {
        None
    }
}

/// Two losses are equal if they are the same object.
impl PartialEq for dyn LossFunction {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(self, other)
    }
}
