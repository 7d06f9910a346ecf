//! Losses g(x, y) of one sample, with gradient and Hessian in the output x.
//!
//! Losses with a link (logistic, softmax, Poisson) take the linear predictor: the output layer is
//! linear and the link stands inside the loss. The forms neither overflow nor cancel where the result
//! does not. No weight is included: the sample's ω multiplies all three.

use std::fmt;
use std::sync::Arc;

use crate::check;
use crate::error::{Error, Result};
use crate::guard;
use crate::network::Activation;

/// A user-defined loss g(x, y) of one sample, with its derivatives in the output x; in a problem as [`Loss::Custom`].
///
/// x and y have one number for each output; matrices are row-major, outputs × outputs. No weight and no mean: the engine
/// multiplies by ω_i and sums over the samples. It is evaluated in f64 whatever the backend's precision.
///
/// What it does wrong becomes an error that names it. In debug builds [`Problem::new`](crate::Problem::new) compares the
/// derivatives with differences ([`check`]). A panic is [`Error::Part`], a NaN of finite numbers [`Error::NonFinite`]; a fit
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
    /// g(x, y).
    fn value(&self, x: &[f64], y: &[f64]) -> f64;
    /// ∂g/∂x_o.
    fn gradient(&self, x: &[f64], y: &[f64], out: &mut [f64]);
    /// ∂²g/∂x_o∂x_q, the whole symmetric matrix; `out` holds zeros before.
    fn hessian(&self, x: &[f64], y: &[f64], out: &mut [f64]);
    /// Whether ∂²g/∂x² is diagonal: the outputs do not couple. Default no.
    fn hessian_is_diagonal(&self) -> bool {
        false
    }
    /// Refuses targets of one sample for which it is not defined, with the reason. Default none.
    #[allow(unused_variables)]
    fn check(&self, y: &[f64]) -> std::result::Result<(), String> {
        Ok(())
    }
    /// The same in WGSL, for accelerators; without it they have it computed by the processor. Default none.
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

/// Two are the same if they are one.
impl PartialEq for dyn LossFunction {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(self, other)
    }
}

/// The loss g(x, y) of one sample; sums over the outputs o.
///
/// ```
/// use secondo::Loss;
/// let (value, gradient, hessian) = Loss::SquaredError.derivatives(&[3.0], &[1.0])?;
/// assert_eq!((value, gradient, hessian), (2.0, vec![2.0], vec![1.0])); // ½(1 − 3)²
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// ½ Σ_o (y_o − x_o)².
    SquaredError,
    /// ½ Σ_o v_o (y_o − x_o)², v_o ≥ 0.
    WeightedSquaredError {
        /// v, one for each output.
        output_weights: Vec<f64>,
    },
    /// Σ_o softplus(x_o) − y_o x_o with 0 ≤ y_o ≤ 1: the negative log likelihood of independent Bernoulli
    /// outputs with probability logistic(x_o).
    BinaryCrossEntropy,
    /// log Σ_o exp x_o − Σ_o y_o x_o with y_o ≥ 0, Σ_o y_o = 1: the negative log likelihood of one of the
    /// outputs' classes with probabilities softmax(x).
    SoftmaxCrossEntropy,
    /// Σ_o exp x_o − y_o x_o with y_o ≥ 0: the negative log likelihood of Poisson counts with mean exp x_o,
    /// without the constant log y_o!.
    Poisson,
    /// Σ_o δ² log cosh((y_o − x_o)/δ).
    LogCosh {
        /// δ > 0: squared error well inside it, absolute error well outside.
        delta: f64,
    },
    /// Σ_o δ² (√(1 + ((y_o − x_o)/δ)²) − 1).
    PseudoHuber {
        /// δ > 0: squared error well inside it, absolute error well outside.
        delta: f64,
    },
    /// A user's.
    Custom(Arc<dyn LossFunction>),
}

impl Loss {
    /// The names used in files, without parameters.
    pub const NAMES: [&'static str; 7] = [
        "sos",
        "wsos",
        "bce_logits",
        "softmax_ce",
        "poisson",
        "logcosh",
        "pseudo_huber",
    ];

    /// The name used in files; files do not hold a user's loss.
    pub fn name(&self) -> &str {
        match self {
            Loss::SquaredError => "sos",
            Loss::WeightedSquaredError { .. } => "wsos",
            Loss::BinaryCrossEntropy => "bce_logits",
            Loss::SoftmaxCrossEntropy => "softmax_ce",
            Loss::Poisson => "poisson",
            Loss::LogCosh { .. } => "logcosh",
            Loss::PseudoHuber { .. } => "pseudo_huber",
            Loss::Custom(custom) => custom.name(),
        }
    }

    /// Whether and as what an accelerator computes it: the text of a user's loss, empty for the others.
    #[cfg(feature = "gpu")]
    pub(crate) fn wgsl(&self) -> Result<Option<&str>> {
        match self {
            Loss::Custom(custom) => self.guarded(|| custom.wgsl()),
            _ => Ok(Some("")),
        }
    }

    /// Calls of a user's loss inside `f`, with its panics as errors.
    pub(crate) fn guarded<T>(&self, f: impl FnOnce() -> T) -> Result<T> {
        match self {
            Loss::Custom(custom) => guard::named("loss", || custom.name(), |_| f()),
            _ => Ok(f()),
        }
    }

    /// Compares the derivatives of a user's loss with differences at points around the first targets.
    pub(crate) fn verify(&self, y: &ndarray::Array2<f64>) -> Result<()> {
        let Loss::Custom(custom) = self else {
            return Ok(());
        };
        let outputs = y.ncols();
        let points = y.outer_iter().zip(check::points(4, outputs, 1));
        let one = |y: Vec<f64>, apart: Vec<f64>| {
            let x: Vec<f64> = y.iter().zip(apart).map(|(y, d)| y + d).collect();
            let part = format!("the loss '{}'", custom.name());
            let value = |x: &[f64], out: &mut [f64]| out[0] = custom.value(x, &y);
            let gradient = |x: &[f64], out: &mut [f64]| custom.gradient(x, &y, out);
            let hessian = |x: &[f64], out: &mut [f64]| {
                out.fill(0.0);
                custom.hessian(x, &y, out);
                if custom.hessian_is_diagonal() {
                    (0..outputs * outputs)
                        .filter(|i| i % (outputs + 1) > 0)
                        .for_each(|i| out[i] = 0.0);
                }
            };
            check::jacobian(&part, "the gradient", 1, value, gradient, &x)?;
            check::jacobian(&part, "the Hessian", outputs, gradient, hessian, &x)
        };
        self.guarded(|| {
            points
                .into_iter()
                .try_for_each(|(y, apart)| one(y.to_vec(), apart))
        })?
    }

    /// Whether ∂²g/∂x² is diagonal: the outputs do not couple.
    pub fn hessian_is_diagonal(&self) -> bool {
        match self {
            Loss::SoftmaxCrossEntropy => false,
            Loss::Custom(custom) => custom.hessian_is_diagonal(),
            _ => true,
        }
    }

    /// Whether ∂g/∂x_o is one function of x_o and y_o alone, the same for all outputs.
    pub(crate) fn is_elementwise(&self) -> bool {
        !matches!(
            self,
            Loss::WeightedSquaredError { .. } | Loss::SoftmaxCrossEntropy | Loss::Custom(_)
        )
    }

    /// The parameters and the targets are what the loss is defined for.
    pub(crate) fn check(&self, outputs: usize, y: &ndarray::Array2<f64>) -> Result<()> {
        match self {
            Loss::WeightedSquaredError { output_weights } => {
                if output_weights.len() != outputs {
                    return Err(Error::shape(
                        "output weights",
                        &[outputs],
                        &[output_weights.len()],
                    ));
                }
                if let Some(o) = output_weights
                    .iter()
                    .position(|v| !v.is_finite() || *v < 0.0)
                {
                    return Err(Error::invalid(
                        "output weights",
                        format!("weight {o} must be finite and not negative"),
                    ));
                }
            }
            Loss::LogCosh { delta } | Loss::PseudoHuber { delta }
                if !delta.is_finite() || *delta <= 0.0 =>
            {
                return Err(Error::invalid("delta", format!("{delta} is not positive")));
            }
            _ => {}
        }
        let bad = |i: usize, o: usize, why: &str| {
            Err(Error::invalid(
                format!("target of sample {i}, output {o}"),
                format!("{} {why}", y[(i, o)]),
            ))
        };
        for ((i, o), &t) in y.indexed_iter() {
            match self {
                Loss::BinaryCrossEntropy if !(0.0..=1.0).contains(&t) => {
                    return bad(i, o, "is not a probability between 0 and 1");
                }
                Loss::SoftmaxCrossEntropy | Loss::Poisson if t < 0.0 => {
                    return bad(i, o, "is negative");
                }
                _ => {}
            }
        }
        if let Loss::Custom(custom) = self {
            for (i, row) in y.outer_iter().enumerate() {
                if let Err(why) = self.guarded(|| custom.check(&row.to_vec()))? {
                    return Err(Error::invalid(format!("targets of sample {i}"), why));
                }
            }
        }
        if matches!(self, Loss::SoftmaxCrossEntropy) {
            for (i, row) in y.outer_iter().enumerate() {
                if (row.sum() - 1.0).abs() > 1e-9 {
                    return Err(Error::invalid(
                        format!("targets of sample {i}"),
                        format!(
                            "they are class probabilities and sum to {}, not 1",
                            row.sum()
                        ),
                    ));
                }
            }
        }
        Ok(())
    }

    /// g(x, y) with ∂g/∂x_o (length outputs) and ∂²g/∂x_o∂x_q (outputs × outputs, row-major), without a weight.
    ///
    /// # Errors
    /// x and y are empty or differ in length, or have not the length of the output weights; a user's loss panics or gives NaN.
    pub fn derivatives(&self, x: &[f64], y: &[f64]) -> Result<(f64, Vec<f64>, Vec<f64>)> {
        let outputs = x.len();
        if outputs == 0 {
            return Err(Error::invalid("outputs", "at least one is needed"));
        }
        if y.len() != outputs {
            return Err(Error::shape("targets", &[outputs], &[y.len()]));
        }
        self.check(outputs, &ndarray::Array2::zeros((0, outputs)))?;
        let (mut g, mut h) = (vec![0.0; outputs], vec![0.0; outputs * outputs]);
        let value = self.guarded(|| {
            self.gradient(x, y, &mut g);
            self.refuse_nan("the gradient", x, y, &g)?;
            self.hessian(x, y, &mut h);
            self.refuse_nan("the Hessian", x, y, &h)?;
            let value = self.value(x, y);
            self.refuse_nan("the value", x, y, &[value])?;
            Ok(value)
        })??;
        Ok((value, g, h))
    }

    /// Refuses a NaN that a user's loss made of finite numbers.
    ///
    /// # Errors
    /// `NonFinite` with its name.
    #[inline]
    pub(crate) fn refuse_nan(&self, what: &str, x: &[f64], y: &[f64], made: &[f64]) -> Result<()> {
        match self {
            Loss::Custom(custom) => guard::refuse_nan("loss", custom.name(), what, &[x, y], made),
            _ => Ok(()),
        }
    }

    /// g(x, y).
    pub(crate) fn value(&self, x: &[f64], y: &[f64]) -> f64 {
        let pairs = || x.iter().zip(y).map(|(&x, &y)| (x, y));
        match self {
            Loss::SquaredError => pairs().map(|(x, y)| 0.5 * (y - x) * (y - x)).sum(),
            Loss::WeightedSquaredError { output_weights } => pairs()
                .zip(output_weights)
                .map(|((x, y), v)| 0.5 * v * (y - x) * (y - x))
                .sum(),
            // softplus(x) − yx = softplus(−|x|) + (max(x, 0) − yx): exact zeros at y = 0 and y = 1.
            Loss::BinaryCrossEntropy => pairs()
                .map(|(x, y)| {
                    let linear = if x > 0.0 { (1.0 - y) * x } else { -y * x };
                    libm::log1p(libm::exp(-x.abs())) + linear
                })
                .sum(),
            // log Σ exp(x − M) + Σ y (M − x), M the largest: log1p over the others keeps small losses.
            Loss::SoftmaxCrossEntropy => {
                let top = largest(x);
                let others: f64 = (0..x.len())
                    .filter(|&o| o != top)
                    .map(|o| libm::exp(x[o] - x[top]))
                    .sum();
                libm::log1p(others) + pairs().map(|(v, y)| y * (x[top] - v)).sum::<f64>()
            }
            Loss::Poisson => pairs().map(|(x, y)| libm::exp(x) - y * x).sum(),
            Loss::LogCosh { delta } => pairs()
                .map(|(x, y)| delta * delta * log_cosh((y - x) / delta))
                .sum(),
            Loss::PseudoHuber { delta } => pairs()
                .map(|(x, y)| {
                    // √(1+t²) − 1 = t · t/(1 + √(1+t²)): neither cancels nor overflows before the result.
                    let t = (y - x) / delta;
                    delta * delta * t * (t / (1.0 + libm::hypot(1.0, t)))
                })
                .sum(),
            Loss::Custom(custom) => custom.value(x, y),
        }
    }

    /// ∂g/∂x_o, length outputs.
    pub(crate) fn gradient(&self, x: &[f64], y: &[f64], out: &mut [f64]) {
        match self {
            Loss::SquaredError => each(x, y, out, |x, y| x - y),
            Loss::WeightedSquaredError { output_weights } => {
                each(x, y, out, |x, y| x - y);
                out.iter_mut()
                    .zip(output_weights)
                    .for_each(|(g, v)| *g *= v);
            }
            // σ(x) − y, written so that y = 1 gives −σ(−x) without cancellation.
            Loss::BinaryCrossEntropy => {
                each(x, y, out, |x, y| (1.0 - y) * logistic(x) - y * logistic(-x))
            }
            Loss::SoftmaxCrossEntropy => {
                softmax(x, |o, p, rest| out[o] = (1.0 - y[o]) * p - y[o] * rest)
            }
            Loss::Poisson => each(x, y, out, |x, y| libm::exp(x) - y),
            Loss::LogCosh { delta } => {
                each(x, y, out, |x, y| delta * libm::tanh((x - y) / delta));
            }
            Loss::PseudoHuber { delta } => each(x, y, out, |x, y| {
                let t = (x - y) / delta;
                // For huge t the quotient t/√(1+t²) is its limit ±1.
                delta
                    * if t.abs() > 1e9 {
                        t.signum()
                    } else {
                        t / libm::hypot(1.0, t)
                    }
            }),
            Loss::Custom(custom) => custom.gradient(x, y, out),
        }
    }

    /// ∂²g/∂x_o∂x_q, outputs × outputs row-major, written whole.
    pub(crate) fn hessian(&self, x: &[f64], y: &[f64], out: &mut [f64]) {
        let width = x.len();
        if let Loss::SoftmaxCrossEntropy = self {
            // diag π − ππᵀ; the diagonal as π(1 − π) with 1 − π summed from the others.
            let mut p = vec![0.0; width];
            softmax(x, |o, value, rest| {
                p[o] = value;
                out[o * width + o] = value * rest;
            });
            for o in 0..width {
                for q in (0..width).filter(|&q| q != o) {
                    out[o * width + q] = -p[o] * p[q];
                }
            }
            return;
        }
        out.fill(0.0);
        if let Loss::Custom(custom) = self {
            return custom.hessian(x, y, out);
        }
        for o in 0..width {
            let (x, y) = (x[o], y[o]);
            out[o * width + o] = match self {
                Loss::SquaredError => 1.0,
                Loss::WeightedSquaredError { output_weights } => output_weights[o],
                Loss::BinaryCrossEntropy => logistic(x) * logistic(-x),
                Loss::Poisson => libm::exp(x),
                Loss::LogCosh { delta } => Activation::Tanh.derivatives((x - y) / delta)[1],
                Loss::PseudoHuber { delta } => {
                    let r = libm::hypot(1.0, (x - y) / delta);
                    1.0 / r / r / r
                }
                Loss::SoftmaxCrossEntropy | Loss::Custom(_) => unreachable!("handled above"),
            };
        }
    }
}

fn each(x: &[f64], y: &[f64], out: &mut [f64], f: impl Fn(f64, f64) -> f64) {
    for ((out, &x), &y) in out.iter_mut().zip(x).zip(y) {
        *out = f(x, y);
    }
}

fn logistic(x: f64) -> f64 {
    Activation::Logistic.derivatives(x)[0]
}

/// log cosh t = |t| − log 2 + log1p(e^{−2|t|}); near 0, where that cancels, ½ log1p(sinh² t).
fn log_cosh(t: f64) -> f64 {
    let t = t.abs();
    if t < 1.0 {
        let s = libm::sinh(t);
        0.5 * libm::log1p(s * s)
    } else {
        t - std::f64::consts::LN_2 + libm::log1p(libm::exp(-2.0 * t))
    }
}

fn largest(x: &[f64]) -> usize {
    (1..x.len()).fold(0, |top, o| if x[o] > x[top] { o } else { top })
}

/// Calls `f(o, π_o, 1 − π_o)` for the softmax π of x. 1 − π_o is summed from the other classes where
/// π_o is close to 1, which only the largest can be.
fn softmax(x: &[f64], mut f: impl FnMut(usize, f64, f64)) {
    let top = largest(x);
    let exp = |o: usize| libm::exp(x[o] - x[top]);
    let others: f64 = (0..x.len()).filter(|&o| o != top).map(exp).sum();
    let total = 1.0 + others;
    for o in 0..x.len() {
        if o == top {
            f(o, 1.0 / total, others / total);
        } else {
            f(o, exp(o) / total, (total - exp(o)) / total);
        }
    }
}
