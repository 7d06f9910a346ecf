//! g = Σ_o δ² (r_o − 1) with r_o = √(1 + t_o²), t_o = (x_o − y_o)/δ; ∂g/∂x_o = δ t_o/r_o, ∂²g/∂x_o² = 1/r_o³.

use super::{Definition, Parameter, each, positive, sum};
use crate::error::Result;

pub(super) struct PseudoHuber;

impl Definition for PseudoHuber {
    const WORDS: &'static str = "the pseudo-Huber losses";
    const IS_LOCATION: bool = true;

    fn check_parameter(v: Parameter, _: usize) -> Result<()> {
        positive("delta", v)
    }

    fn value(x: &[f64], y: &[f64], v: Parameter) -> f64 {
        sum(x, y, v, |x, y, delta| {
            // √(1+t²) − 1 = t · t/(1 + √(1+t²)): neither cancels nor overflows before the result.
            let t = (y - x) / delta;
            delta * delta * t * (t / (1.0 + libm::hypot(1.0, t)))
        })
    }

    fn gradient(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]) {
        each(x, y, v, out, |x, y, delta| {
            let t = (x - y) / delta;
            // For huge t the quotient t/√(1+t²) is its limit ±1.
            delta * if t.abs() > 1e9 { t.signum() } else { t / libm::hypot(1.0, t) }
        });
    }

    fn second(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]) {
        each(x, y, v, out, |x, y, delta| {
            let r = libm::hypot(1.0, (x - y) / delta);
            1.0 / r / r / r
        });
    }
}
