//! Laplace's approximation for networks that have too many parameters for a matrix: by blocks, by the diagonal, by the largest
//! eigenvalues.
//!
//! ```text
//! blocks, diagonal   A ≈ its blocks                      γ = P − Σ_k λ_k [A⁻¹]_kk
//! low rank           A ≈ Λ + Λ½ V diag(μ) Vᵀ Λ½          γ = Σ μ/(1 + μ)
//! ```
//!
//! Λ is the penalty's second derivative, μ and V the largest eigenvalues and eigenvectors of Λ^−½ B Λ^−½ by Lanczos's method. Blocks
//! leave out what couples them and low rank leaves out the small eigenvalues: both say so by their name.

use std::fmt;

use ndarray::{Array1, Array2, ArrayView1, Axis, s};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::laplace::{self, Laplace};
use super::likelihood::Family;
use super::options::RowWeights;
use super::predictions::Prediction;
use super::spectrum::symmetric;
use super::summary::STATIONARY;
use super::{Alpha, Distribution, Estimate, Refusal};
use crate::curvature::{Curvature, LinearOperator, Matrix, Structure};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::evaluate::Request;
use crate::memory::{bytes_of, require_memory};
use crate::objective::{Data, Loss, Penalty};
use crate::problem::Problem;

/// The stand-in for the information matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approximation {
    /// A block for each layer.
    LayerBlocks,
    /// A block for each unit.
    RowBlocks,
    /// The diagonal.
    Diagonal,
    /// The largest eigenvalues, so many: it needs a ridge on all parameters.
    LowRank(usize),
}

impl Approximation {
    /// The approximation of that name: `layer-blocks`, `row-blocks`, `diagonal` or `low-rank:K`.
    ///
    /// # Errors
    /// An unknown name, or no number behind `low-rank:`.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "layer-blocks" => Ok(Approximation::LayerBlocks),
            "row-blocks" => Ok(Approximation::RowBlocks),
            "diagonal" => Ok(Approximation::Diagonal),
            _ => match name.strip_prefix("low-rank:").and_then(|k| k.parse().ok()) {
                Some(k @ 1..) => Ok(Approximation::LowRank(k)),
                _ => {
                    let known = "layer-blocks, row-blocks, diagonal, low-rank:K";
                    Err(Error::invalid(
                        "approximation",
                        format!("'{name}' is none; known: {known}"),
                    ))
                }
            },
        }
    }

    fn structure(self) -> Option<Structure> {
        match self {
            Approximation::LayerBlocks => Some(Structure::LayerBlocks),
            Approximation::RowBlocks => Some(Structure::RowBlocks),
            Approximation::Diagonal => Some(Structure::Diagonal),
            Approximation::LowRank(_) => None,
        }
    }

    fn request(self) -> Request {
        match self.structure() {
            Some(structure) => Request::curvature(Curvature::GaussNewton, structure),
            None => Request::gradient(),
        }
    }
}

impl fmt::Display for Approximation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Approximation::LayerBlocks => write!(f, "layer-blocks"),
            Approximation::RowBlocks => write!(f, "row-blocks"),
            Approximation::Diagonal => write!(f, "diagonal"),
            Approximation::LowRank(k) => write!(f, "low-rank:{k}"),
        }
    }
}

/// A⁻¹ as it is approximated.
#[derive(Debug, Clone)]
enum Inverse {
    Blocks(Matrix),
    /// Λ^−½, and v_i in row i with μ_i/(1 + μ_i).
    LowRank {
        roots: Vec<f64>,
        vectors: Array2<f64>,
        shares: Vec<f64>,
    },
}

/// A posterior covariance φA⁻¹ by an approximation of the Gauss–Newton matrix, with the evidence that belongs to it.
///
/// ```
/// use ndarray::array;
/// use secondo::inference::{Approximate, Approximation};
/// use secondo::{Activation, Data, Loss, Network, Penalty, Problem};
/// // One unit: its block is the whole matrix. Σx² = 5, Σx = 3, n = 3, and a ridge of 1: A = [[6, 3], [3, 4]], γ = 2 − tr A⁻¹ = 2 − 10/15.
/// let data = Data::new(array![[0.0], [1.0], [2.0]], array![[0.0], [1.0], [1.0]])?;
/// let problem = Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, data, Loss::SquaredError)?
///     .penalty(Penalty::ridge(1.0))?;
/// let found = Approximate::new(&problem, &[0.4, 0.2], Approximation::RowBlocks)?;
/// assert!((found.gamma() - (2.0 - 10.0 / 15.0)).abs() < 1e-14);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Approximate<'a> {
    problem: &'a Problem,
    data: &'a Data,
    w: Vec<f64>,
    approximation: Approximation,
    family: Family,
    inverse: Inverse,
    gamma: f64,
    log_determinant: f64,
    lambda: Vec<f64>,
    /// E_data and the penalty.
    energies: (f64, f64),
    phi: f64,
    distribution: Distribution,
    refused: Option<Refusal>,
}

impl Inverse {
    /// c′A⁻¹c.
    fn form(&self, c: &[f64]) -> Result<f64> {
        match self {
            Inverse::Blocks(matrix) => matrix.quadratic_form(c),
            Inverse::LowRank { roots, vectors, shares } => {
                let scaled: Array1<f64> = c.iter().zip(roots).map(|(c, root)| c * root).collect();
                let along = vectors.dot(&scaled);
                let taken: f64 = along.iter().zip(shares).map(|(a, share)| share * a * a).sum();
                Ok((scaled.dot(&scaled) - taken).max(0.0))
            }
        }
    }
}

impl<'a> Approximate<'a> {
    /// The approximation at a minimum w.
    ///
    /// # Errors
    /// `Unsupported` for the mean as objective, a loss without likelihood, a penalty that couples parameters, and for low rank without
    /// a ridge on all parameters; `NotPositiveDefinite` where a block is singular; `Memory` with the numbers of the plan.
    pub fn new(problem: &'a Problem, w: &[f64], approximation: Approximation) -> Result<Self> {
        let family = Family::of(problem.loss(), problem.network().outputs());
        if super::factor(problem) != 1.0 || matches!(family, Family::None | Family::Gamma) {
            return Err(unsupported("the mean as objective, or a loss that is no likelihood"));
        }
        let data = problem.data()?;
        let weights = problem.network_weights(w)?;
        let mut prior = problem.parts().penalty.hessian(problem.network(), &weights)?;
        if let Some(constraint) = problem.ties() {
            prior = prior.congruence(constraint)?;
        }
        if !prior.rank_one.is_empty() || !prior.entries.is_empty() {
            return Err(unsupported("a penalty that couples parameters"));
        }
        let lambda = prior.diagonal;
        let what = format!("the posterior of {} parameters by {approximation}", lambda.len());
        let advice = "take the diagonal, or fewer eigenvalues";
        require_memory(&what, Self::plan(problem, approximation)?, advice)?;
        let found = problem.evaluate_with(&Device::Cpu, w, approximation.request())?;
        let (inverse, gamma, log_determinant) = match (&found.curvature, approximation) {
            (Some(matrix), _) => {
                let (log_determinant, inverse) = (matrix.log_determinant()?, matrix.inverse()?);
                let shares = inverse.diagonal().into_iter().zip(&lambda).map(|(v, l)| v * l);
                let gamma = lambda.len() as f64 - shares.sum::<f64>();
                (Inverse::Blocks(inverse), gamma, log_determinant)
            }
            (None, Approximation::LowRank(k)) => low_rank(problem, w, &lambda, k)?,
            (None, _) => return Err(Error::Numerical { what: "no curvature was formed".into() }),
        };
        let energies = (found.value - found.penalty, found.penalty);
        let observations = observations(data, &family);
        let df = observations - gamma;
        let (phi, distribution) = match family {
            Family::Gaussian(_) if df > 0.0 => (2.0 * energies.0 / df, Distribution::T(df)),
            // For the report alone: standard errors are refused.
            Family::Gaussian(_) => (2.0 * energies.0 / observations, Distribution::Normal),
            _ => (1.0, Distribution::Normal),
        };
        let (decrement, limit) = (inverse.form(&found.gradient)?, STATIONARY * phi);
        let refused = if matches!(family, Family::Gaussian(_)) && df <= 0.0 {
            Some(Refusal::NoDegreesOfFreedom { observations, edf: gamma })
        } else {
            (decrement > limit).then_some(Refusal::NotStationary { decrement, limit })
        };
        let w = w.to_vec();
        Ok(Approximate {
            problem,
            data,
            w,
            approximation,
            family,
            inverse,
            gamma,
            log_determinant,
            lambda,
            energies,
            phi,
            distribution,
            refused,
        })
    }

    /// The bytes that [`new`](Self::new) takes at most besides the problem: of blocks their plan and once more their size for the
    /// inverses, of low rank Lanczos's vectors and the plan of a product.
    ///
    /// # Errors
    /// As [`Problem::plan`].
    pub fn plan(problem: &Problem, approximation: Approximation) -> Result<u64> {
        let problem = problem.clone().on(Device::Cpu);
        let plan = problem.plan(approximation.request())?;
        let bytes = match approximation {
            Approximation::LowRank(k) => {
                let p = problem.parameters();
                let vectors = bytes_of(&[8, p, lanczos_steps(k, p).saturating_add(k.min(p))]);
                vectors.saturating_add(problem.plan_products(Curvature::GaussNewton, 1)?.bytes())
            }
            _ => plan.results,
        };
        Ok(plan.bytes().saturating_add(bytes))
    }

    /// Why there are no standard errors and no evidence: the estimate is no minimum by the approximation, or leaves no degrees of
    /// freedom (blocks count a direction once for each block that it crosses).
    pub fn refused(&self) -> Option<Refusal> {
        self.refused
    }

    /// Which approximation it is.
    pub fn approximation(&self) -> Approximation {
        self.approximation
    }

    /// γ, the effective number of parameters; by low rank at most the truth.
    pub fn gamma(&self) -> f64 {
        self.gamma
    }

    /// φ = RSS/(N − γ) of squared errors, else 1.
    pub fn phi(&self) -> f64 {
        self.phi
    }

    /// The law of an output's estimate over its standard error.
    pub fn distribution(&self) -> Distribution {
        self.distribution
    }

    /// E at w.
    pub fn value(&self) -> f64 {
        self.energies.0 + self.energies.1
    }

    /// The outputs at other inputs with intervals at a level, for squared errors also for a new observation; rows at a time, so that the
    /// Jacobian of all is never formed.
    ///
    /// # Errors
    /// X has not the network's inputs, or a number is not finite.
    pub fn predictions(&self, x: &Array2<f64>, level: f64) -> Result<Vec<Prediction>> {
        let m = self.problem.network().outputs();
        let quantile = self.distribution.quantile(level);
        let rows = ((1 << 26) / (8 * m * self.w.len()).max(1)).max(1);
        let mut all = Vec::with_capacity(x.nrows());
        for chunk in x.axis_chunks_iter(Axis(0), rows) {
            let data = Data::new(chunk.to_owned(), Array2::zeros((chunk.nrows(), m)))?;
            let mut there = Problem::new(self.problem.network().clone(), data, Loss::SquaredError)?;
            if let Some(constraint) = self.problem.ties() {
                there = there.constraint(constraint.clone())?;
            }
            let (outputs, jacobian) = there.linearization(&self.w)?;
            for (i, x) in outputs.chunks(m).enumerate() {
                let rows = jacobian.slice(s![i * m..(i + 1) * m, ..]);
                let variance = |c: ArrayView1<f64>| Ok(self.phi * self.inverse.form(&c.to_vec())?);
                let variances: Vec<f64> =
                    rows.rows().into_iter().map(variance).collect::<Result<_>>()?;
                all.push(self.prediction(x, &variances, quantile));
            }
        }
        Ok(all)
    }

    fn prediction(&self, x: &[f64], variances: &[f64], quantile: f64) -> Prediction {
        let estimate = |(mean, variance): (&f64, &f64)| {
            Estimate::with_error(*mean, variance.sqrt(), quantile, self.distribution)
        };
        if self.refused.is_some() {
            let outputs = x.iter().map(|mean| Estimate::alone(*mean, true)).collect();
            return Prediction { outputs, response: None, observation: None, moderated: None };
        }
        let observation = match &self.family {
            Family::Gaussian(v) => {
                let of = |(o, (mean, variance)): (usize, (&f64, &f64))| {
                    let half = quantile * (variance + self.phi / v[o]).sqrt();
                    Some((mean - half, mean + half))
                };
                Some(x.iter().zip(variances).enumerate().map(of).collect())
            }
            _ => None,
        };
        Prediction {
            outputs: x.iter().zip(variances).map(estimate).collect(),
            response: None,
            observation,
            moderated: laplace::moderated(&self.family, x, variances),
        }
    }

    /// The evidence by this approximation; none without a ridge on all parameters, and where it is refused.
    pub fn laplace(&self) -> Option<Laplace> {
        if self.refused.is_some() {
            return None;
        }
        let beta = 1.0 / self.phi;
        if !self.lambda.iter().all(|l| *l > 0.0)
            || !super::is_quadratic(self.problem.parts().penalty)
        {
            return None;
        }
        let data = self.data;
        let constant =
            self.family.log_constant(data.y(), data.weights(), RowWeights::Precision, self.phi)?;
        let log_prior: f64 = self.lambda.iter().map(|l| (beta * l).ln()).sum();
        let log_a = self.lambda.len() as f64 * beta.ln() + self.log_determinant;
        let is_uniform = matches!(self.problem.parts().penalty, Penalty::Ridge { .. });
        Some(Laplace {
            alpha: match self.lambda.first() {
                Some(lambda) if is_uniform => Alpha::One(beta * lambda),
                _ => Alpha::Each(self.lambda.iter().map(|l| beta * l).collect()),
            },
            beta,
            gamma: self.gamma,
            log_evidence: -beta * self.value() - 0.5 * log_a + 0.5 * log_prior + constant,
            log_symmetry: laplace::log_symmetry(self.problem.network()),
        })
    }
}

fn unsupported(what: &str) -> Error {
    Error::Unsupported {
        what: format!("an approximate posterior with {what}"),
        why: "it needs a likelihood, the sum of the losses and a ridge; take the whole matrix"
            .into(),
    }
}

/// N: scalar targets of positive weight for squared errors, else rows.
fn observations(data: &Data, family: &Family) -> f64 {
    let rows = data.weights().iter().filter(|w| **w > 0.0).count() as f64;
    if matches!(family, Family::Gaussian(_)) { rows * data.y().ncols() as f64 } else { rows }
}

/// A⁻¹ by the k largest eigenvalues of Λ^−½ G Λ^−½, with γ and ln det A.
fn low_rank(problem: &Problem, w: &[f64], lambda: &[f64], k: usize) -> Result<(Inverse, f64, f64)> {
    if !lambda.iter().all(|l| *l > 0.0) {
        return Err(unsupported("low rank and parameters without a penalty"));
    }
    let roots: Vec<f64> = lambda.iter().map(|l| 1.0 / l.sqrt()).collect();
    let bare = problem.clone().on(Device::Cpu).penalty(Penalty::None)?;
    let operator = bare.operator(w, Curvature::GaussNewton)?;
    let product = |v: &[f64]| -> Result<Vec<f64>> {
        let scaled: Vec<f64> = v.iter().zip(&roots).map(|(v, r)| v * r).collect();
        let image = operator.product(&scaled)?;
        Ok(image.iter().zip(&roots).map(|(v, r)| v * r).collect())
    };
    let (values, vectors) = lanczos(product, lambda.len(), k)?;
    let shares: Vec<f64> = values.iter().map(|mu| mu / (1.0 + mu)).collect();
    let gamma = shares.iter().sum();
    let log_determinant = lambda.iter().map(|l| l.ln()).sum::<f64>()
        + values.iter().map(|mu| mu.ln_1p()).sum::<f64>();
    Ok((Inverse::LowRank { roots, vectors, shares }, gamma, log_determinant))
}

/// Returns the number of Lanczos's steps for k eigenvalues of P.
fn lanczos_steps(k: usize, p: usize) -> usize {
    k.saturating_mul(2).saturating_add(20).min(p)
}

/// Returns the k largest eigenvalues of a positive semi-definite operator and their eigenvectors in rows, by Lanczos's method with
/// 2k + 20 steps, each vector orthogonalised against all before.
///
/// Source: Golub and Van Loan, *Matrix Computations*, 4th ed., §10.1.
fn lanczos(
    product: impl Fn(&[f64]) -> Result<Vec<f64>>,
    p: usize,
    k: usize,
) -> Result<(Vec<f64>, Array2<f64>)> {
    let steps = lanczos_steps(k, p);
    let mut rng = Pcg64::seed_from_u64(0);
    let mut basis = Array2::zeros((steps, p));
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    let mut v = Array1::from_shape_simple_fn(p, || rng.random::<f64>() - 0.5);
    v /= v.dot(&v).sqrt();
    let mut used = 0;
    while used < steps {
        basis.row_mut(used).assign(&v);
        let mut image = Array1::from(product(&v.to_vec())?);
        diagonal.push(image.dot(&v));
        used += 1;
        let known = basis.slice(s![..used, ..]);
        // Twice is enough.
        for _ in 0..2 {
            image = &image - &known.t().dot(&known.dot(&image));
        }
        let length = image.dot(&image).sqrt();
        if length <= 1e-12 * diagonal[0].abs().max(f64::MIN_POSITIVE) {
            break;
        }
        beside.push(length);
        v = image / length;
    }
    let tridiagonal = Array2::from_shape_fn((used, used), |(a, b)| match a.abs_diff(b) {
        0 => diagonal[a],
        1 => beside[a.min(b)],
        _ => 0.0,
    });
    let (values, ritz) = symmetric(&tridiagonal)?;
    let kept: Vec<usize> = (0..used).rev().filter(|&i| values[i] > 0.0).take(k).collect();
    let vectors = ritz.select(Axis(0), &kept).dot(&basis.slice(s![..used, ..]));
    Ok((kept.iter().map(|&i| values[i]).collect(), vectors))
}
