//! The likelihood that a loss stands for.

use std::sync::Arc;

use libm::lgamma;
use ndarray::Array2;

use super::options::RowWeights;
use crate::network::Activation;
use crate::objective::{Loss, LossFunction};

/// The model of the targets.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Family {
    /// Normal with variance φ/(v_o ω); v is 1 for `sos`.
    Gaussian(Vec<f64>),
    /// Independent Bernoulli outputs.
    Bernoulli,
    /// One of the outputs' classes.
    Categorical,
    /// Counts with mean exp x.
    Poisson,
    /// Counts with mean μ = exp x and variance μ + αμ².
    NegativeBinomial(f64),
    /// Gamma variables with mean exp x and variance φμ².
    Gamma,
    /// None: an M-estimator.
    None,
}

impl Family {
    pub fn of(loss: &Loss, outputs: usize) -> Self {
        match loss {
            Loss::SquaredError => Family::Gaussian(vec![1.0; outputs]),
            Loss::WeightedSquaredError { output_weights } => {
                Family::Gaussian(output_weights.clone())
            }
            Loss::BinaryCrossEntropy => Family::Bernoulli,
            Loss::SoftmaxCrossEntropy => Family::Categorical,
            Loss::Poisson => Family::Poisson,
            Loss::NegativeBinomial { dispersion } => Family::NegativeBinomial(*dispersion),
            Loss::Gamma => Family::Gamma,
            _ => Family::None,
        }
    }

    /// Whether φ is estimated; otherwise it is 1.
    pub fn has_dispersion(&self) -> bool {
        matches!(self, Family::Gaussian(_) | Family::Gamma)
    }

    /// Returns the mean response μ at the outputs x.
    pub fn mean(&self, x: &[f64]) -> Vec<f64> {
        match self {
            Family::Bernoulli => x.iter().map(|&x| Activation::Logistic.value(x)).collect(),
            Family::Categorical => {
                let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let parts: Vec<f64> = x.iter().map(|v| libm::exp(v - top)).collect();
                let total: f64 = parts.iter().sum();
                parts.iter().map(|v| v / total).collect()
            }
            Family::Poisson | Family::NegativeBinomial(_) | Family::Gamma => {
                x.iter().map(|&x| libm::exp(x)).collect()
            }
            Family::Gaussian(_) | Family::None => x.to_vec(),
        }
    }

    /// Whether the response is the output itself.
    pub fn is_identity(&self) -> bool {
        matches!(self, Family::Gaussian(_) | Family::None)
    }

    /// Returns the variance of output o for φ = 1 and ω = 1 at the mean μ.
    pub fn variance(&self, o: usize, mean: f64) -> f64 {
        match self {
            Family::Gaussian(v) => 1.0 / v[o],
            Family::Bernoulli | Family::Categorical => mean * (1.0 - mean),
            Family::Poisson => mean,
            Family::NegativeBinomial(alpha) => mean + alpha * mean * mean,
            Family::Gamma => mean * mean,
            Family::None => 1.0,
        }
    }

    /// Returns what the log likelihood of one row has besides −ω times its loss, φ = 1; none where that is not known.
    fn constant(&self, y: &[f64]) -> Option<f64> {
        match self {
            Family::Bernoulli | Family::Categorical => Some(0.0),
            Family::Poisson => Some(-y.iter().map(|y| lgamma(y + 1.0)).sum::<f64>()),
            Family::NegativeBinomial(alpha) => {
                let r = 1.0 / alpha;
                let of = |y: &f64| lgamma(y + r) - lgamma(r) - lgamma(y + 1.0) + y * alpha.ln();
                Some(y.iter().map(of).sum())
            }
            _ => None,
        }
    }

    /// Returns what −E_data/φ lacks to be the log likelihood: with φ for a squared error.
    pub fn log_constant(
        &self,
        y: &Array2<f64>,
        omega: &[f64],
        weights: RowWeights,
        phi: f64,
    ) -> Option<f64> {
        let m = y.ncols() as f64;
        let Family::Gaussian(v) = self else {
            let rows = y.outer_iter().zip(omega);
            return rows.map(|(y, omega)| Some(omega * self.constant(&y.to_vec())?)).sum();
        };
        let used = || omega.iter().filter(|w| **w > 0.0);
        let (n, logs): (f64, f64) = match weights {
            RowWeights::Precision => (used().count() as f64, used().map(|w| w.ln()).sum()),
            RowWeights::Frequency => (omega.iter().sum(), 0.0),
        };
        let of_outputs: f64 = v.iter().map(|v| v.ln()).sum();
        let normal = (2.0 * std::f64::consts::PI * phi).ln();
        Some(0.5 * (m * logs + n * of_outputs - n * m * normal))
    }
}

/// The mean response of one output as a loss: its sum over the rows has the averages' derivatives.
#[derive(Debug)]
pub(super) struct MeanResponse {
    pub family: Family,
    pub output: usize,
}

impl LossFunction for MeanResponse {
    fn name(&self) -> &str {
        "mean response"
    }

    fn value(&self, x: &[f64], _: &[f64]) -> f64 {
        self.family.mean(x)[self.output]
    }

    fn gradient(&self, x: &[f64], _: &[f64], out: &mut [f64]) {
        let (mean, o) = (self.family.mean(x), self.output);
        out.fill(0.0);
        match self.family {
            Family::Categorical => {
                for (q, out) in out.iter_mut().enumerate() {
                    *out = mean[o] * (f64::from(u8::from(q == o)) - mean[q]);
                }
            }
            Family::Bernoulli => out[o] = mean[o] * (1.0 - mean[o]),
            Family::Gaussian(_) | Family::None => out[o] = 1.0,
            _ => out[o] = mean[o],
        }
    }

    fn hessian(&self, x: &[f64], _: &[f64], out: &mut [f64]) {
        let (mean, o, width) = (self.family.mean(x), self.output, x.len());
        out.fill(0.0);
        let same = |a: usize, b: usize| f64::from(u8::from(a == b));
        match self.family {
            Family::Categorical => {
                for (q, of_q) in mean.iter().enumerate() {
                    for (r, of_r) in mean.iter().enumerate() {
                        let both = (same(o, q) - of_q) * (same(o, r) - of_r);
                        out[q * width + r] = mean[o] * (both - of_q * (same(q, r) - of_r));
                    }
                }
            }
            Family::Bernoulli => {
                out[o * width + o] = mean[o] * (1.0 - mean[o]) * (1.0 - 2.0 * mean[o]);
            }
            Family::Gaussian(_) | Family::None => {}
            _ => out[o * width + o] = mean[o],
        }
    }
}

impl MeanResponse {
    pub fn loss(family: &Family, output: usize) -> Loss {
        Loss::Custom(Arc::new(MeanResponse { family: family.clone(), output }))
    }
}
