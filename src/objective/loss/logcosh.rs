//! g = Σ_o δ² log cosh t_o with t_o = (x_o − y_o)/δ, ∂g/∂x_o = δ tanh t_o, ∂²g/∂x_o² = 1 − tanh² t_o.

use super::{Definition, Parameter, each, positive, sum};
use crate::error::Result;
use crate::network::Activation;

pub(super) struct LogCosh;

impl Definition for LogCosh {
    const ALIASES: &'static [&'static str] = &["log_cosh"];
    const WORDS: &'static str = "the log-cosh losses";
    const IS_LOCATION: bool = true;

    fn check_parameter(v: Parameter, _: usize) -> Result<()> {
        positive("delta", v)
    }

    fn value(x: &[f64], y: &[f64], v: Parameter) -> f64 {
        sum(x, y, v, |x, y, delta| delta * delta * log_cosh((y - x) / delta))
    }

    fn gradient(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]) {
        each(x, y, v, out, |x, y, delta| delta * libm::tanh((x - y) / delta));
    }

    fn second(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]) {
        each(x, y, v, out, |x, y, delta| Activation::Tanh.derivatives((x - y) / delta)[1]);
    }
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
