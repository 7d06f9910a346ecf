//! g = ½ Σ_o v_o (y_o − x_o)².

use super::{Definition, Parameter, each, sum};
use crate::error::{Error, Result};

pub(super) struct WeightedSquaredError;

impl Definition for WeightedSquaredError {
    const ALIASES: &'static [&'static str] = &["weighted_squared_error"];
    const WORDS: &'static str = "half the weighted squared errors";

    fn check_parameter(v: Parameter, outputs: usize) -> Result<()> {
        let Parameter::Each(weights) = v else {
            return Ok(());
        };
        if weights.len() != outputs {
            return Err(Error::shape("output weights", &[outputs], &[weights.len()]));
        }
        match weights.iter().position(|v| !v.is_finite() || *v < 0.0) {
            Some(o) => Err(Error::invalid(
                "output weights",
                format!("weight {o} must be finite and not negative"),
            )),
            None => Ok(()),
        }
    }

    fn value(x: &[f64], y: &[f64], v: Parameter) -> f64 {
        sum(x, y, v, |x, y, v| 0.5 * v * (y - x) * (y - x))
    }

    fn gradient(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]) {
        each(x, y, v, out, |x, y, v| (x - y) * v);
    }

    fn second(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]) {
        each(x, y, v, out, |_, _, v| v);
    }
}
