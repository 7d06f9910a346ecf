//! g = Σ_o softplus(x_o) − y_o x_o; with s the logistic function, ∂g/∂x_o = s(x_o) − y_o and ∂²g/∂x_o² = s(x_o) s(−x_o).

use super::{Definition, Parameter, each, sum};
use crate::network::Activation;

pub(super) struct BinaryCrossEntropy;

#[inline(always)]
fn logistic(x: f64) -> f64 {
    Activation::Logistic.evaluate(x)[0]
}

/// softplus(−|x|) + (max(x, 0) − yx): exact zeros at y = 0 and y = 1.
#[inline(always)]
fn term(x: f64, y: f64) -> f64 {
    let linear = if x > 0.0 { (1.0 - y) * x } else { -y * x };
    Activation::Softplus.evaluate(-x.abs())[0] + linear
}

impl Definition for BinaryCrossEntropy {
    const ALIASES: &'static [&'static str] = &["binary_cross_entropy"];
    const WORDS: &'static str = "the logistic losses";
    const IS_CLASSIFICATION: bool = true;
    const HAS_MANY: bool = true;

    fn refuses(y: f64) -> Option<&'static str> {
        (!(0.0..=1.0).contains(&y)).then_some("is not a probability between 0 and 1")
    }

    fn value(x: &[f64], y: &[f64], v: Parameter) -> f64 {
        sum(x, y, v, |x, y, _| term(x, y))
    }

    #[inline(always)]
    fn gradient(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]) {
        // Written so that y = 1 gives −s(−x) without cancellation.
        each(
            x,
            y,
            v,
            out,
            #[inline(always)]
            |x, y, _| (1.0 - y) * logistic(x) - y * logistic(-x),
        );
    }

    #[inline(always)]
    fn second(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]) {
        each(
            x,
            y,
            v,
            out,
            #[inline(always)]
            |x, _, _| logistic(x) * logistic(-x),
        );
    }

    #[inline(always)]
    fn many(x: &[f64], y: &[f64], values: &mut [f64], out: &mut [f64], with_gradient: bool) {
        each(
            x,
            y,
            Parameter::All(1.0),
            out,
            #[inline(always)]
            |x, y, _| term(x, y),
        );
        let outputs = x.len() / values.len();
        for (value, terms) in values.iter_mut().zip(out.chunks_exact(outputs)) {
            *value = terms.iter().sum();
        }
        if with_gradient {
            Self::gradient(x, y, Parameter::All(1.0), out);
        }
    }
}
