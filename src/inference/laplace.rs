//! Laplace's approximation of the evidence, with the penalty as a Gaussian prior.

use libm::lgamma;
use ndarray::Array2;

use super::likelihood::Family;
use super::spectrum::packed;
use crate::error::Result;
use crate::network::{Activation, Network};
use crate::solve::eigenvalues;

/// The precisions of the prior.
#[derive(Debug, Clone, PartialEq)]
pub enum Alpha {
    /// One for all parameters.
    One(f64),
    /// One for each parameter.
    Each(Vec<f64>),
}

/// The Laplace approximation with prior precisions α and noise precision β.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Laplace {
    /// α = β λ.
    pub alpha: Alpha,
    /// β = 1/φ; 1 for likelihoods without dispersion.
    pub beta: f64,
    /// γ = Σ λ_i/(λ_i + α), λ_i the eigenvalues of βB: the number of parameters that the data determine. The re-estimation of α
    /// cuts negative ones to 0.
    pub gamma: f64,
    /// ln p(D | α, β).
    pub log_evidence: f64,
    /// Σ ln(s! 2^s) over the hidden units that may be permuted and, if odd, change their sign: not in `log_evidence`.
    pub log_symmetry: f64,
}

/// The parts of the evidence.
pub(super) struct Ingredients<'a> {
    pub network: &'a Network,
    /// λ of the prior, all positive.
    pub lambda: &'a [f64],
    pub is_uniform: bool,
    /// B.
    pub data_part: &'a Array2<f64>,
    /// A⁻¹.
    pub inverse: &'a Array2<f64>,
    /// ln det A.
    pub log_determinant: f64,
    /// E_data and the penalty.
    pub energies: (f64, f64),
    pub beta: f64,
    /// ln of what a likelihood has besides e^{−βE_data}.
    pub log_constant: f64,
}

impl Ingredients<'_> {
    /// The approximation; `cut` says whether negative eigenvalues of B count as 0 in γ.
    pub fn laplace(&self, cut: bool) -> Result<Laplace> {
        let (p, beta) = (self.lambda.len(), self.beta);
        let gamma = if cut {
            self.positive_part()?
        } else {
            // tr(B A⁻¹)
            (self.data_part * self.inverse).sum()
        };
        let alpha: Vec<f64> = self.lambda.iter().map(|l| beta * l).collect();
        let log_prior: f64 = alpha.iter().map(|a| a.ln()).sum();
        let log_a = p as f64 * beta.ln() + self.log_determinant;
        let (data, penalty) = self.energies;
        Ok(Laplace {
            beta,
            gamma,
            log_evidence: -beta * (data + penalty) - 0.5 * log_a
                + 0.5 * log_prior
                + self.log_constant,
            log_symmetry: log_symmetry(self.network),
            alpha: match (self.is_uniform, alpha.first()) {
                (true, Some(alpha)) => Alpha::One(*alpha),
                _ => Alpha::Each(alpha),
            },
        })
    }

    /// Σ v/(v + 1) over the positive eigenvalues v of B beside Λ.
    fn positive_part(&self) -> Result<f64> {
        let p = self.lambda.len();
        let roots: Vec<f64> = self.lambda.iter().map(|l| l.sqrt()).collect();
        let values = eigenvalues(&packed(self.data_part, &roots), p)?;
        Ok(values.iter().filter(|v| **v > 0.0).map(|v| v / (v + 1.0)).sum())
    }
}

/// Whether h(−u) = −h(u), so that a unit may change its sign with its weights.
pub(super) fn is_odd(activation: Activation) -> bool {
    matches!(
        activation,
        Activation::Tanh
            | Activation::Atan
            | Activation::Sin
            | Activation::Elliot
            | Activation::Identity
            | Activation::Reciprocal
    )
}

/// Returns Σ ln(s! 2^s): 2^s for odd linear units, s equal units of one layer.
pub(super) fn log_symmetry(network: &Network) -> f64 {
    let hidden = network.depth() - 1;
    let of_group = |group: &crate::network::GroupView| -> f64 {
        let of_run = |&(activation, units): &(Activation, usize)| {
            let signs = group.propagation.is_linear() && is_odd(activation);
            let s = units as f64;
            lgamma(s + 1.0) + if signs { s * std::f64::consts::LN_2 } else { 0.0 }
        };
        group.runs.iter().map(of_run).sum()
    };
    network.all_groups().filter(|(k, _)| *k <= hidden).map(|(_, g)| of_group(g)).sum()
}

/// Returns the response with the spread of the output taken in: σ(κx), κ = (1 + πv/8)^{−1/2}, v the variance of each output.
pub(super) fn moderated(family: &Family, x: &[f64], variances: &[f64]) -> Option<Vec<f64>> {
    if !matches!(family, Family::Bernoulli | Family::Categorical) {
        return None;
    }
    let kappa = |v: &f64| 1.0 / (1.0 + std::f64::consts::PI * v / 8.0).sqrt();
    let damped: Vec<f64> = x.iter().zip(variances).map(|(x, v)| kappa(v) * x).collect();
    Some(family.mean(&damped))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list names every odd function, and no other: a symmetry that is missed would be a silent error of the evidence.
    #[test]
    fn the_odd_activations_are_those_that_are_odd() {
        for activation in Activation::ALL {
            let mirrored = |u: f64| {
                let (plus, minus) = (activation.value(u), activation.value(-u));
                plus.is_finite() && (plus + minus).abs() <= 1e-15 * plus.abs()
            };
            let is_mirrored = [0.3, 1.1, 2.7].into_iter().all(mirrored);
            assert_eq!(is_odd(activation), is_mirrored, "{}", activation.name());
        }
    }
}
