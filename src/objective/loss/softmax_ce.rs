//! g = log Σ_o exp x_o − Σ_o y_o x_o; with π = softmax(x), the gradient is π − y and the Hessian diag π − π πᵀ.

use super::{Definition, Parameter};
use crate::network::Activation;

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

    #[inline(always)]
    fn value(x: &[f64], y: &[f64], _: Parameter) -> f64 {
        // log Σ exp(x − M) + Σ y (M − x), M the largest: log1p over the others keeps small losses.
        let top = largest(x);
        let mut others = 0.0;
        for (at, few) in x.chunks(FEW).enumerate() {
            let e = exponentials(few, x[top]);
            others += sum_but(&e[..few.len()], top.wrapping_sub(at * FEW));
        }
        let linear: f64 = x.iter().zip(y).map(|(x_o, y)| y * (x[top] - x_o)).sum();
        libm::log1p(others) + linear
    }

    #[inline(always)]
    fn gradient(x: &[f64], y: &[f64], _: Parameter, out: &mut [f64]) {
        let (top, others) = scaled(x, out);
        let total = 1.0 + others;
        for (o, (out, y)) in out.iter_mut().zip(y).enumerate() {
            let (p, rest) = probability(*out, o == top, total, others);
            *out = (1.0 - y) * p - y * rest;
        }
    }

    #[inline(always)]
    fn hessian(x: &[f64], _: &[f64], _: Parameter, out: &mut [f64]) {
        // The diagonal as π(1 − π) with 1 − π summed from the others.
        let width = x.len();
        let mut p = vec![0.0; width];
        let (top, others) = scaled(x, &mut p);
        let total = 1.0 + others;
        for (o, p) in p.iter_mut().enumerate() {
            let (value, rest) = probability(*p, o == top, total, others);
            *p = value;
            out[o * width + o] = value * rest;
        }
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

/// So many exponentials are computed at once: the lanes of the widest registers.
const FEW: usize = 8;

/// Returns exp(x_o − `top`) of a few outputs, and 1 after them.
#[inline(always)]
fn exponentials(x: &[f64], top: f64) -> [f64; FEW] {
    let mut e = [top; FEW];
    e[..x.len()].copy_from_slice(x);
    for e in &mut e {
        *e = Activation::Exp.evaluate(*e - top)[0];
    }
    e
}

/// Returns the sum of all but one.
#[inline(always)]
fn sum_but(e: &[f64], one: usize) -> f64 {
    e.iter().enumerate().filter(|(o, _)| *o != one).map(|(_, e)| e).sum()
}

/// Writes exp(x_o − M), M the largest x; returns which that is, and the sum of the others.
#[inline(always)]
fn scaled(x: &[f64], out: &mut [f64]) -> (usize, f64) {
    let top = largest(x);
    let x_top = x[top];
    for (x, out) in x.chunks(FEW).zip(out.chunks_mut(FEW)) {
        out.copy_from_slice(&exponentials(x, x_top)[..x.len()]);
    }
    (top, sum_but(out, top))
}

/// Returns π_o and 1 − π_o of e = exp(x_o − M). 1 − π_o is summed from the other classes where π_o is close to 1, which only the
/// largest can be.
#[inline(always)]
fn probability(e: f64, is_largest: bool, total: f64, others: f64) -> (f64, f64) {
    if is_largest { (1.0 / total, others / total) } else { (e / total, (total - e) / total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside exponentials and sums of the standard library: by the largest part, at widths around those that are computed at once.
    #[test]
    fn every_width_is_like_the_plain_formula() {
        for width in 1..=3 * FEW + 1 {
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
