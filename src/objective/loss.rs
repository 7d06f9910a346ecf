//! Losses g(x, y) of one sample, with gradient and Hessian in the output x.
//!
//! Losses with a link (logistic, softmax, Poisson) take the linear predictor: the output layer is
//! linear and the link stands inside the loss. The forms neither overflow nor cancel where the result
//! does not. No weight is included: the sample's ω multiplies all three.

use crate::error::{Error, Result};
use crate::network::Activation;

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

    /// The name used in files.
    pub fn name(&self) -> &'static str {
        match self {
            Loss::SquaredError => "sos",
            Loss::WeightedSquaredError { .. } => "wsos",
            Loss::BinaryCrossEntropy => "bce_logits",
            Loss::SoftmaxCrossEntropy => "softmax_ce",
            Loss::Poisson => "poisson",
            Loss::LogCosh { .. } => "logcosh",
            Loss::PseudoHuber { .. } => "pseudo_huber",
        }
    }

    /// Whether ∂²g/∂x² is diagonal: the outputs do not couple.
    pub fn hessian_is_diagonal(&self) -> bool {
        !matches!(self, Loss::SoftmaxCrossEntropy)
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
    /// x and y are empty or differ in length, or have not the length of the output weights.
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
        self.gradient(x, y, &mut g);
        self.hessian(x, y, &mut h);
        Ok((self.value(x, y), g, h))
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
                Loss::SoftmaxCrossEntropy => unreachable!("handled above"),
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
