//! g = log Σ_o exp x_o − Σ_o y_o x_o; with π = softmax(x), the gradient is π − y and the Hessian diag π − π πᵀ.

use super::{Definition, Parameter};
use crate::network::Activation;

pub(super) struct SoftmaxCrossEntropy;

impl Definition for SoftmaxCrossEntropy {
    const ALIASES: &'static [&'static str] = &["softmax_cross_entropy", "cross_entropy"];
    const WORDS: &'static str = "the cross-entropies";
    const IS_CLASSIFICATION: bool = true;
    const HAS_MANY: bool = true;
    const COUPLES: bool = true;

    fn refuses(y: f64) -> Option<&'static str> {
        (y < 0.0).then_some("is negative")
    }

    fn refuses_sample(y: &[f64]) -> Option<String> {
        let sum: f64 = y.iter().sum();
        ((sum - 1.0).abs() > 1e-9)
            .then(|| format!("they are class probabilities and sum to {sum}, not 1"))
    }

    #[inline(always)]
    fn value(x: &[f64], y: &[f64], _: Parameter) -> f64 {
        let (mut e, mut value) = (vec![0.0; x.len()], [0.0]);
        Self::many(x, y, &mut value, &mut e, false);
        value[0]
    }

    #[inline(always)]
    fn gradient(x: &[f64], y: &[f64], _: Parameter, out: &mut [f64]) {
        Self::many(x, y, &mut [0.0], out, true);
    }

    #[inline(always)]
    fn hessian(x: &[f64], _: &[f64], _: Parameter, out: &mut [f64]) {
        // π takes the place of the first row until that is written.
        let width = x.len();
        let (first, others) = out.split_at_mut(width);
        exponentials(x, width, first);
        let (top, sum) = (largest(x), first.iter().sum());
        let mut corner = 0.0;
        for (o, e) in first.iter_mut().enumerate() {
            let (p, rest) = probability(*e, o == top, sum);
            *e = p;
            *others.get_mut((o * width + o).wrapping_sub(width)).unwrap_or(&mut corner) = p * rest;
        }
        for (row, o) in others.chunks_exact_mut(width).zip(1..) {
            for q in (0..width).filter(|&q| q != o) {
                row[q] = -first[o] * first[q];
            }
        }
        let p = std::mem::replace(&mut first[0], corner);
        for q in &mut first[1..] {
            *q *= -p;
        }
    }

    #[inline(always)]
    fn many(x: &[f64], y: &[f64], values: &mut [f64], out: &mut [f64], with_gradient: bool) {
        let outputs = x.len() / values.len();
        exponentials(x, outputs, out);
        let samples = x.chunks_exact(outputs).zip(y.chunks_exact(outputs));
        let rows = out.chunks_exact_mut(outputs);
        for (value, ((x, y), out)) in values.iter_mut().zip(samples.zip(rows)) {
            let (top, mut others, mut linear) = (largest(x), 0.0, 0.0);
            for (o, e) in out.iter().enumerate() {
                others += e;
                linear += y[o] * (x[top] - x[o]);
            }
            // log1p over the others keeps small losses.
            *value = libm::log1p(others) + linear;
            if with_gradient {
                for (o, (out, y)) in out.iter_mut().zip(y).enumerate() {
                    let (p, rest) = probability(*out, o == top, others);
                    *out = (1.0 - y) * p - y * rest;
                }
            }
        }
    }
}

/// The output of a sample that is the largest, the first if there are several.
#[inline(always)]
fn largest(x: &[f64]) -> usize {
    let mut top = 0;
    for o in 1..x.len() {
        if x[o] > x[top] {
            top = o;
        }
    }
    top
}

/// Writes exp(x_o − M) for the samples, M being the largest x of each; 0 for that one, whose 1 is not to hide the others in a sum.
#[inline(always)]
fn exponentials(x: &[f64], outputs: usize, out: &mut [f64]) {
    for (x, out) in x.chunks_exact(outputs).zip(out.chunks_exact_mut(outputs)) {
        let top = largest(x);
        for (out, x_o) in out.iter_mut().zip(x) {
            *out = x_o - x[top];
        }
        out[top] = f64::NEG_INFINITY;
    }
    for out in out {
        *out = Activation::Exp.evaluate(*out)[0];
    }
}

/// Returns π_o and 1 − π_o of e = exp(x_o − M), `others` being the sum of all but the largest. 1 − π_o is summed from the other classes
/// where π_o is close to 1, which only the largest can be.
#[inline(always)]
fn probability(e: f64, is_largest: bool, others: f64) -> (f64, f64) {
    let total = 1.0 + others;
    if is_largest { (1.0 / total, others / total) } else { (e / total, (total - e) / total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside exponentials and sums of the standard library: by the largest part.
    #[test]
    fn every_width_is_like_the_plain_formula() {
        for width in 1..=25 {
            let x: Vec<f64> = (0..width).map(|o| 9.0 * (3.7 * o as f64 + 0.4).sin()).collect();
            let mut y = vec![0.0; width];
            (y[0], y[width - 1]) = (0.5, 0.5 + f64::from(u8::from(width == 1)) * 0.5);
            let total: f64 = x.iter().map(|x| x.exp()).sum();
            let p: Vec<f64> = x.iter().map(|x| x.exp() / total).collect();
            let near = |found: f64, sum: f64, size: f64| {
                assert!(
                    (found - sum).abs() <= 40.0 * f64::EPSILON * size,
                    "{width}: {found} {sum}"
                );
            };
            let linear: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
            let v = Parameter::All(1.0);
            near(SoftmaxCrossEntropy::value(&x, &y, v), total.ln() - linear, 20.0);
            let (mut g, mut h) = (vec![f64::NAN; width], vec![0.0; width * width]);
            SoftmaxCrossEntropy::gradient(&x, &y, v, &mut g);
            SoftmaxCrossEntropy::hessian(&x, &y, v, &mut h);
            for o in 0..width {
                near(g[o], p[o] - y[o], p[o] + y[o]);
                for q in 0..width {
                    let same = f64::from(u8::from(o == q));
                    near(h[o * width + q], p[o] * (same - p[q]), p[o] * (same + p[q]));
                }
            }
        }
    }
}
