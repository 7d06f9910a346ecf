//! The evidence's maximum in the prior's precision α and the noise's precision β (MacKay 1992).

use super::laplace::{Alpha, Laplace};
use super::ratio::precise;
use super::{Dispersion, Inference, Options};
use crate::curvature::Curvature;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::objective::Penalty;
use crate::problem::Problem;
use crate::train::{Method, silent};

/// MacKay's re-estimation: fit, then α ← γ/(2E_W), β ← (N − γ)/(2E_D), until both stay.
///
/// Of a penalty with a λ for each parameter those with equal λ share their α, γ_g = Σ_k 1 − α_g [(βA)⁻¹]_kk: automatic relevance
/// determination by groups. Likelihoods without dispersion keep β = 1.
///
/// ```
/// use ndarray::Array2;
/// use secondo::inference::{Alpha, Evidence};
/// use secondo::{Activation, Data, Loss, Network, Penalty, Problem};
/// let x = Array2::from_shape_fn((40, 1), |(i, _)| i as f64 / 10.0 - 2.0);
/// let y = x.mapv(|v| 0.5 * v + 0.3 * (7.0 * v).sin());
/// let problem = Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, Data::new(x, y)?, Loss::SquaredError)?
///     .penalty(Penalty::ridge(0.1))?;
/// let done = Evidence::default().maximize(&problem, &[0.0, 0.0])?;
/// // At the fixed point α = γ/‖w‖².
/// let Alpha::One(alpha) = done.laplace.alpha else { unreachable!() };
/// let norm: f64 = done.w.iter().map(|w| w * w).sum();
/// assert!(done.converged && (alpha * norm / done.laplace.gamma - 1.0).abs() < 1e-4);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The information whose eigenvalues make γ. Default `GaussNewton`, which is never indefinite.
    pub information: Curvature,
    /// α at the start. Default that of the penalty.
    pub alpha: Option<f64>,
    /// β at the start. Default 1/φ at the start.
    pub beta: Option<f64>,
    /// The most cycles. Default 100.
    pub cycles: usize,
    /// Ends where α and β change by less than this part of themselves. Default 10⁻⁶.
    pub tolerance: f64,
}

impl Default for Evidence {
    fn default() -> Self {
        Evidence {
            information: Curvature::GaussNewton,
            alpha: None,
            beta: None,
            cycles: 100,
            tolerance: 1e-6,
        }
    }
}

/// One cycle: the minimum for an α and a β.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Cycle {
    /// The evidence of this α and β.
    pub laplace: Laplace,
    /// E at the minimum, with λ = α/β.
    pub value: f64,
}

/// The end of a re-estimation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Maximized {
    /// All cycles.
    pub cycles: Vec<Cycle>,
    /// The minimum for the last α and β.
    pub w: Vec<f64>,
    /// The penalty of the last cycle.
    pub penalty: Penalty,
    /// The evidence of the last α and β.
    pub laplace: Laplace,
    /// Whether α and β stay within the tolerance.
    pub converged: bool,
}

impl Evidence {
    /// Maximises from w.
    ///
    /// # Errors
    /// `Unsupported` for a prior that is not proper (a penalty other than `ridge` with biases and `ridge_vec` with positive λ), the
    /// mean as objective, a constraint, or a loss without likelihood; `Invalid` for numbers out of range; `Numerical` where a fit does
    /// not reach a minimum, or γ falls to 0 and the prior takes all weights away.
    pub fn maximize(&self, problem: &Problem, w: &[f64]) -> Result<Maximized> {
        self.check()?;
        if problem.ties().is_some() || super::factor(problem) != 1.0 {
            return Err(unsupported("a constraint or the mean as objective"));
        }
        let mut groups = Groups::of(problem)?;
        let start = Inference::with(problem, w, self.options(Dispersion::Residual))?;
        let has_dispersion = start.family.has_dispersion();
        let mut beta = match (self.beta, has_dispersion) {
            (_, false) => 1.0,
            (Some(beta), _) => beta,
            (None, _) => 1.0 / start.summary.phi,
        };
        groups.start(self.alpha, beta);
        let mut w = w.to_vec();
        let mut cycles: Vec<Cycle> = Vec::new();
        let mut converged = false;
        loop {
            let penalty = groups.penalty(beta);
            let problem = problem.clone().on(Device::Cpu).penalty(penalty.clone())?;
            w = precise().fit(&problem, &w, &mut silent)?.w;
            let options = self.options(Dispersion::Known(1.0 / beta));
            let inference = Inference::with(&problem, &w, options)?;
            let Some(laplace) = inference.laplace_with(true)? else {
                let what = "the fit ended at no minimum with a positive definite information; take the information gauss-newton";
                return Err(Error::Numerical { what: what.into() });
            };
            cycles.push(Cycle { laplace: laplace.clone(), value: inference.summary.value });
            if converged || cycles.len() >= self.cycles.max(1) {
                return Ok(Maximized { cycles, w, penalty, laplace, converged });
            }
            let change = groups.update(&inference, &laplace)?;
            let mut next = beta;
            if has_dispersion {
                next =
                    (inference.summary.observations - laplace.gamma) / (2.0 * inference.energies.0);
                if !(next > 0.0 && next.is_finite()) {
                    let what = format!("β became {next}: the data leave no noise; use fewer units");
                    return Err(Error::Numerical { what });
                }
            }
            converged = change < self.tolerance && (next / beta - 1.0).abs() < self.tolerance;
            beta = next;
        }
    }

    fn check(&self) -> Result<()> {
        let positive = |what: &str, v: Option<f64>| match v {
            Some(v) if !(v > 0.0 && v.is_finite()) => {
                Err(Error::invalid(what, format!("{v} is not a positive number")))
            }
            _ => Ok(()),
        };
        positive("alpha", self.alpha)?;
        positive("beta", self.beta)?;
        positive("tolerance", Some(self.tolerance))
    }

    fn options(&self, dispersion: Dispersion) -> Options {
        Options { information: self.information, dispersion, ..Options::default() }
    }
}

fn unsupported(what: &str) -> Error {
    Error::Unsupported {
        what: format!("the evidence with {what}"),
        why: "it needs a likelihood and a proper Gaussian prior: a ridge on all parameters".into(),
    }
}

/// The parameters that share an α.
struct Groups {
    /// The group of each parameter.
    of: Vec<usize>,
    alpha: Vec<f64>,
    is_uniform: bool,
}

impl Groups {
    fn of(problem: &Problem) -> Result<Self> {
        let p = problem.parameters();
        match problem.parts().penalty {
            Penalty::Ridge { lambda, include_bias: true } if *lambda > 0.0 => {
                Ok(Groups { of: vec![0; p], alpha: vec![*lambda], is_uniform: true })
            }
            Penalty::RidgeVec { lambda } if lambda.iter().all(|l| *l > 0.0) => {
                let mut alpha: Vec<f64> = Vec::new();
                let of = (lambda.iter())
                    .map(|l| {
                        alpha.iter().position(|a| a == l).unwrap_or_else(|| {
                            alpha.push(*l);
                            alpha.len() - 1
                        })
                    })
                    .collect();
                Ok(Groups { of, alpha, is_uniform: false })
            }
            penalty => Err(unsupported(&format!("the penalty {}", penalty.name()))),
        }
    }

    /// From λ to α, or to the α that was given.
    fn start(&mut self, alpha: Option<f64>, beta: f64) {
        self.alpha.iter_mut().for_each(|a| *a = alpha.unwrap_or(*a * beta));
    }

    fn penalty(&self, beta: f64) -> Penalty {
        if self.is_uniform {
            return Penalty::ridge(self.alpha[0] / beta);
        }
        Penalty::RidgeVec { lambda: self.of.iter().map(|&g| self.alpha[g] / beta).collect() }
    }

    /// Takes α ← γ/Σ w² for each group, and returns the largest relative change.
    fn update(&mut self, inference: &Inference, laplace: &Laplace) -> Result<f64> {
        let mut squares = vec![0.0; self.alpha.len()];
        self.of.iter().zip(&inference.w).for_each(|(&g, w)| squares[g] += w * w);
        let mut gamma = vec![0.0; self.alpha.len()];
        if self.is_uniform {
            gamma[0] = laplace.gamma;
        } else {
            for (k, &g) in self.of.iter().enumerate() {
                gamma[g] += 1.0 - self.alpha[g] * inference.inverse[[k, k]] / laplace.beta;
            }
        }
        let mut change = 0.0f64;
        for ((alpha, gamma), squares) in self.alpha.iter_mut().zip(gamma).zip(squares) {
            let next = gamma / squares;
            if !(next > 0.0 && next.is_finite() && gamma > 1e-6) {
                let what = "γ fell to 0: the evidence prefers no weights at all; the inputs tell nothing about the target, or the \
                            start was a point without effect";
                return Err(Error::Numerical { what: what.into() });
            }
            change = change.max((next / *alpha - 1.0).abs());
            *alpha = next;
        }
        Ok(change)
    }
}

impl Alpha {
    /// The precision of parameter k.
    pub fn of(&self, k: usize) -> f64 {
        match self {
            Alpha::One(alpha) => *alpha,
            Alpha::Each(alpha) => alpha[k],
        }
    }
}
