//! g = log Σ_o exp x_o − Σ_o y_o x_o; with π = softmax(x), the gradient is π − y and the Hessian diag π − π πᵀ.

use super::{Definition, Parameter};

pub(super) struct SoftmaxCrossEntropy;

impl Definition for SoftmaxCrossEntropy {
    const ALIASES: &'static [&'static str] = &["softmax_cross_entropy", "cross_entropy"];
    const WORDS: &'static str = "the cross-entropies";
    const IS_CLASSIFICATION: bool = true;
    const COUPLES: bool = true;

    fn refuses(y: f64) -> Option<&'static str> {
        (y < 0.0).then_some("is negative")
    }

    fn refuses_sample(y: &[f64]) -> Option<String> {
        let sum: f64 = y.iter().sum();
        ((sum - 1.0).abs() > 1e-9)
            .then(|| format!("they are class probabilities and sum to {sum}, not 1"))
    }

    fn value(x: &[f64], y: &[f64], _: Parameter) -> f64 {
        // log Σ exp(x − M) + Σ y (M − x), M the largest: log1p over the others keeps small losses.
        let top = largest(x);
        let others: f64 =
            (0..x.len()).filter(|&o| o != top).map(|o| libm::exp(x[o] - x[top])).sum();
        let linear: f64 = x.iter().zip(y).map(|(x_o, y)| y * (x[top] - x_o)).sum();
        libm::log1p(others) + linear
    }

    fn gradient(x: &[f64], y: &[f64], _: Parameter, out: &mut [f64]) {
        softmax(x, |o, p, rest| out[o] = (1.0 - y[o]) * p - y[o] * rest);
    }

    fn hessian(x: &[f64], _: &[f64], _: Parameter, out: &mut [f64]) {
        // The diagonal as π(1 − π) with 1 − π summed from the others.
        let width = x.len();
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
