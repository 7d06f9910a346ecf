//! g = Σ_o r_o − 1 − log r_o with r_o = y_o e^(−x_o), ∂g/∂x_o = 1 − r_o, ∂²g/∂x_o² = r_o.
//!
//! Half the unit deviance of gamma variables with means μ_o = exp x_o, constants included: 0 at μ = y, and positive elsewhere.
//! Times the shape, it is the negative log likelihood less its value at μ = y.

use super::{Definition, Parameter, each, sum};

pub(super) struct Gamma;

/// Returns y e⁻ˣ, which overflows or vanishes only where it must: e^(−x/2) is in range longer.
fn ratio(x: f64, y: f64) -> f64 {
    let half = libm::exp(-0.5 * x);
    y * half * half
}

impl Definition for Gamma {
    const WORDS: &'static str = "half the gamma deviances";

    fn mean(x: f64) -> f64 {
        libm::exp(x)
    }

    fn refuses(y: f64) -> Option<&'static str> {
        (y <= 0.0).then_some("is not positive")
    }

    fn value(x: &[f64], y: &[f64], v: Parameter) -> f64 {
        sum(x, y, v, |x, y, _| {
            // r = eᵗ, and near t = 0 the series of eᵗ − 1 − t, where that cancels.
            let t = libm::log(y) - x;
            if t.abs() < 1.0 {
                let series = (3..=20).rev().fold(1.0, |series, k| 1.0 + t * series / f64::from(k));
                0.5 * t * t * series
            } else {
                ratio(x, y) - 1.0 - t
            }
        })
    }

    fn gradient(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]) {
        each(x, y, v, out, |x, y, _| 1.0 - ratio(x, y));
    }

    fn second(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]) {
        each(x, y, v, out, |x, y, _| ratio(x, y));
    }
}
