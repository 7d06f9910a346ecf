//! Penalties pen(W) with gradient and the parts of their Hessian that each structure can hold.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::network::Network;

/// The penalty pen(W), added once, never divided by the number of samples.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum Penalty {
    /// 0.
    #[default]
    None,
    /// ½ λ Σ_l w_l² (weight decay).
    Ridge {
        /// λ ≥ 0.
        lambda: f64,
        /// Whether the biases of linear units take part.
        include_bias: bool,
    },
    /// ½ Σ_l λ_l w_l².
    RidgeVec {
        /// λ_l ≥ 0, one for each parameter.
        lambda: Vec<f64>,
    },
    /// λ Σ_k ‖W^k‖, the norms not squared: the paper's penalty.
    ///
    /// Its Hessian λ(I/‖W^k‖ − W^k W^kᵀ/‖W^k‖³) couples all rows of a layer; row blocks hold the entries
    /// inside each row. At W^k = 0 it has no derivative: the subgradient of least norm, 0, is returned
    /// there, and 0 for the Hessian.
    GroupNorm {
        /// λ ≥ 0.
        lambda: f64,
        /// Whether the biases of linear units take part.
        include_bias: bool,
    },
}

impl Penalty {
    /// The names used in files.
    pub const NAMES: [&'static str; 3] = ["ridge", "ridge_vec", "group_norm"];

    /// ½ λ |w|² over all parameters, biases included.
    pub fn ridge(lambda: f64) -> Self {
        Penalty::Ridge {
            lambda,
            include_bias: true,
        }
    }

    /// The name used in files.
    pub fn name(&self) -> &'static str {
        match self {
            Penalty::None => "none",
            Penalty::Ridge { .. } => "ridge",
            Penalty::RidgeVec { .. } => "ridge_vec",
            Penalty::GroupNorm { .. } => "group_norm",
        }
    }

    pub(crate) fn check(&self, network: &Network) -> Result<()> {
        let one = |l: f64| match l.is_finite() && l >= 0.0 {
            true => Ok(()),
            false => Err(Error::invalid(
                "penalty: lambda",
                format!("{l} must be finite and not negative"),
            )),
        };
        match self {
            Penalty::None => Ok(()),
            Penalty::Ridge { lambda, .. } | Penalty::GroupNorm { lambda, .. } => one(*lambda),
            Penalty::RidgeVec { lambda } if lambda.len() != network.parameters() => Err(
                Error::shape("penalty: lambda", &[network.parameters()], &[lambda.len()]),
            ),
            Penalty::RidgeVec { lambda } => lambda.iter().try_for_each(|&l| one(l)),
        }
    }

    /// pen(W).
    pub(crate) fn value(&self, network: &Network, w: &[f64]) -> f64 {
        match self {
            Penalty::GroupNorm { lambda, .. } => {
                let scale = self.scale(network);
                let norm = |r: Range<usize>| masked_norm(&w[r.clone()], &scale[r]);
                lambda
                    * network
                        .layers()
                        .iter()
                        .map(|l| norm(l.range.clone()))
                        .sum::<f64>()
            }
            _ => {
                0.5 * w
                    .iter()
                    .zip(self.scale(network))
                    .map(|(w, l)| l * w * w)
                    .sum::<f64>()
            }
        }
    }

    /// ∂pen/∂W, length P.
    pub(crate) fn gradient(&self, network: &Network, w: &[f64]) -> Vec<f64> {
        let mut out = self.hessian(network, w).diagonal;
        out.iter_mut().zip(w).for_each(|(d, w)| *d *= w);
        out
    }

    /// ∂²pen/∂W² as a diagonal less one rank-one term for each layer.
    pub(crate) fn hessian(&self, network: &Network, w: &[f64]) -> PenaltyHessian {
        let mut diagonal = self.scale(network);
        let mut rank_one = Vec::new();
        if let Penalty::GroupNorm { lambda, .. } = *self {
            for layer in network.layers() {
                let (part, w) = (&mut diagonal[layer.range.clone()], &w[layer.range.clone()]);
                let norm = masked_norm(w, part);
                let coefficient = if norm > 0.0 { lambda / norm } else { 0.0 };
                let direction = (w.iter().zip(part.iter()))
                    .map(|(w, &l)| if l > 0.0 && norm > 0.0 { w / norm } else { 0.0 })
                    .collect();
                part.iter_mut()
                    .for_each(|l| *l = if *l > 0.0 { coefficient } else { 0.0 });
                rank_one.push(RankOne {
                    range: layer.range.clone(),
                    coefficient,
                    direction,
                });
            }
        }
        PenaltyHessian { diagonal, rank_one }
    }

    /// λ for each parameter; 0 where the penalty does not reach.
    fn scale(&self, network: &Network) -> Vec<f64> {
        match self {
            Penalty::None => vec![0.0; network.parameters()],
            Penalty::RidgeVec { lambda } => lambda.clone(),
            Penalty::Ridge {
                lambda,
                include_bias,
            }
            | Penalty::GroupNorm {
                lambda,
                include_bias,
            } => (network.is_bias().iter())
                .map(|&bias| if bias && !include_bias { 0.0 } else { *lambda })
                .collect(),
        }
    }
}

/// ∂²pen/∂W² = diag(D) − Σ_k c_k u_k u_kᵀ; u_k has entries in layer k only.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PenaltyHessian {
    /// D, length P.
    pub diagonal: Vec<f64>,
    /// The layers' terms c_k u_k u_kᵀ; none for penalties that couple no parameters.
    pub rank_one: Vec<RankOne>,
}

/// c u uᵀ, with u on a range of the flat vector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RankOne {
    /// Where u stands in the flat vector.
    pub range: Range<usize>,
    /// c.
    pub coefficient: f64,
    /// u on the range.
    pub direction: Vec<f64>,
}

impl PenaltyHessian {
    /// out += (the matrix) v, both of length P.
    pub fn add_product(&self, v: &[f64], out: &mut [f64]) {
        for ((out, d), v) in out.iter_mut().zip(&self.diagonal).zip(v) {
            *out += d * v;
        }
        for term in &self.rank_one {
            let (v, out) = (&v[term.range.clone()], &mut out[term.range.clone()]);
            let along: f64 = term.direction.iter().zip(v).map(|(u, v)| u * v).sum();
            for (out, u) in out.iter_mut().zip(&term.direction) {
                *out -= term.coefficient * along * u;
            }
        }
    }

    /// Adds the entries inside `range` to a packed lower triangle, row by row.
    pub fn add_block(&self, range: Range<usize>, packed: &mut [f64]) {
        for (a, d) in self.diagonal[range.clone()].iter().enumerate() {
            packed[a * (a + 1) / 2 + a] += d;
        }
        for term in &self.rank_one {
            let from = range.start.max(term.range.start);
            let to = range.end.min(term.range.end);
            for a in from..to {
                let row = (a - range.start) * (a - range.start + 1) / 2;
                for b in from..=a {
                    let (a, b) = (a - term.range.start, b - term.range.start);
                    let (u, v) = (term.direction[a], term.direction[b]);
                    packed[row + b + term.range.start - range.start] -= term.coefficient * u * v;
                }
            }
        }
    }
}

/// The norm of the entries of w where the scale is not 0, without overflow or underflow on the way.
fn masked_norm(w: &[f64], scale: &[f64]) -> f64 {
    let reached = || {
        w.iter()
            .zip(scale)
            .filter(|(_, l)| **l > 0.0)
            .map(|(w, _)| w.abs())
    };
    let top = reached().fold(0.0, f64::max);
    if top == 0.0 {
        return 0.0;
    }
    top * reached().map(|w| (w / top) * (w / top)).sum::<f64>().sqrt()
}
