//! g = ½ Σ_o (y_o − x_o)².

use super::{Definition, Parameter, each, sum};

pub(super) struct SquaredError;

impl Definition for SquaredError {
    const ALIASES: &'static [&'static str] = &["squared_error", "sum_of_squares"];
    const WORDS: &'static str = "half the squared errors";
    const IS_LOCATION: bool = true;

    fn value(x: &[f64], y: &[f64], v: Parameter) -> f64 {
        sum(x, y, v, |x, y, _| 0.5 * (y - x) * (y - x))
    }

    fn gradient(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]) {
        each(x, y, v, out, |x, y, _| x - y);
    }

    fn second(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]) {
        each(x, y, v, out, |_, _, _| 1.0);
    }
}
