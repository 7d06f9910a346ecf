//! g = Σ_o (y_o + 1/α) log(1 + αμ_o) − y_o x_o with μ_o = exp x_o; ∂g/∂x_o = (μ_o − y_o)/(1 + αμ_o),
//! ∂²g/∂x_o² = (αy_o + 1) μ_o/(1 + αμ_o)².
//!
//! The negative log likelihood of counts with means μ_o and variances μ_o + αμ_o², without what depends on y_o and α alone,
//! log Γ(1/α) + log y_o! − log Γ(y_o + 1/α) − y_o log α. For α → 0 it is the Poisson loss.

use super::{Definition, Parameter, each, positive, sum};
use crate::error::{Error, Result};

pub(super) struct NegativeBinomial;

impl Definition for NegativeBinomial {
    const ALIASES: &'static [&'static str] = &["negbin"];
    const WORDS: &'static str = "the negative binomial losses";

    fn check_parameter(v: Parameter, _: usize) -> Result<()> {
        positive("dispersion", v)?;
        match v {
            Parameter::All(alpha) if alpha < f64::MIN_POSITIVE => {
                let why = format!("{alpha} is too small; poisson is its limit");
                Err(Error::invalid("dispersion", why))
            }
            _ => Ok(()),
        }
    }

    fn mean(x: f64) -> f64 {
        libm::exp(x)
    }

    fn refuses(y: f64) -> Option<&'static str> {
        (y < 0.0).then_some("is negative")
    }

    // Where αμ > 1, in terms of its inverse b = e⁻ˣ/α: μ may overflow, where the results do not.

    fn value(x: &[f64], y: &[f64], v: Parameter) -> f64 {
        sum(x, y, v, |x, y, alpha| {
            let a = alpha * libm::exp(x);
            let counts = y + 1.0 / alpha;
            if a <= 1.0 {
                return counts * libm::log1p(a) - y * x;
            }
            let (b, log) = (libm::exp(-x) / alpha, libm::log(alpha));
            counts * libm::log1p(b) + (x + log) / alpha + y * log
        })
    }

    fn gradient(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]) {
        each(x, y, v, out, |x, y, alpha| {
            let mean = libm::exp(x);
            let a = alpha * mean;
            if a <= 1.0 {
                return (mean - y) / (1.0 + a);
            }
            let b = libm::exp(-x) / alpha;
            (1.0 / alpha - y * b) / (1.0 + b)
        });
    }

    fn second(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]) {
        each(x, y, v, out, |x, y, alpha| {
            let mean = libm::exp(x);
            let a = alpha * mean;
            if a <= 1.0 {
                return (alpha * y + 1.0) * mean / ((1.0 + a) * (1.0 + a));
            }
            let b = libm::exp(-x) / alpha;
            (y + 1.0 / alpha) * b / ((1.0 + b) * (1.0 + b))
        });
    }
}
