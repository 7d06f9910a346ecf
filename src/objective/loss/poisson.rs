//! g = Σ_o exp x_o − y_o x_o, ∂g/∂x_o = exp x_o − y_o, ∂²g/∂x_o² = exp x_o.

use super::{Definition, Parameter, each, sum};

pub(super) struct Poisson;

impl Definition for Poisson {
    const WORDS: &'static str = "the Poisson losses";

    fn mean(x: f64) -> f64 {
        libm::exp(x)
    }

    fn refuses(y: f64) -> Option<&'static str> {
        (y < 0.0).then_some("is negative")
    }

    fn value(x: &[f64], y: &[f64], v: Parameter) -> f64 {
        sum(x, y, v, |x, y, _| libm::exp(x) - y * x)
    }

    fn gradient(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]) {
        each(x, y, v, out, |x, y, _| libm::exp(x) - y);
    }

    fn second(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]) {
        each(x, y, v, out, |x, _, _| libm::exp(x));
    }
}
