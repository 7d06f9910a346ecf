//! The Hessian as information matrix: standard errors, tests, intervals, effects, diagnostics, evidence, pruning.
//!
//! At a minimum w of E(w) = Σ_i ω_i g_i + pen(w)
//!
//! ```text
//! G = Σ ω_i J_iᵀ (∂²g/∂x²) J_i     H = ∂²(E − pen)     B ∈ {H, G}     A = B + ∂²pen     s_i = J_iᵀ ∂g/∂x
//! model φ A⁻¹ B A⁻¹     posterior φ A⁻¹     hc0 A⁻¹ (Σ ω_i² s_i s_iᵀ) A⁻¹     φ = RSS/(N − edf)     edf = tr((G + ∂²pen)⁻¹ G)
//! ```
//!
//! [`Inference`] computes them, on the processor in f64; matrices as they come: a singular one has a rank and a null space, and
//! says what is identified; an indefinite one, or an estimate that is no minimum, is refused with the reason. Everything is in θ
//! under W = fixed + Cθ.
//!
//! | file | holds |
//! |---|---|
//! | `options.rs` | what may be chosen, and the refusals |
//! | `likelihood.rs`, `summary.rs` | the likelihood behind a loss; degrees of freedom, dispersion, log likelihood |
//! | `linearized.rs`, `spectrum.rs`, `expected.rs` | J and the scores; rank, null space and inverse of an information matrix; those of G + ∂²pen |
//! | `covariance.rs`, `wald.rs`, `probability.rs` | covariances, tests, tails of t, F, χ² and the normal law |
//! | `effects.rs`, `predictions.rs`, `diagnostics.rs` | average slopes and partial effects, intervals, leverage and Cook's distance |
//! | `score.rs` | the score test for neglected non-linearity |
//! | `causes.rs` | why something is not identified |
//! | `ratio.rs`, `bootstrap.rs`, `profile.rs` | likelihood ratios with their law by simulation, profile intervals: by refitting |
//! | `laplace.rs`, `evidence.rs` | the evidence, and its maximum in α and β |
//! | `approximate.rs` | the same for large P: blocks, diagonal, low rank |
//! | `pruning.rs`, `quadratic.rs`, `compact.rs` | optimal brain surgeon and its relatives; the model that they prune by; a network without useless units |
//! | `names.rs`, `report.rs` | names of parameters; all of it as one text |
//!
//! Sources: Seber and Wild, *Nonlinear Regression* (1989); White, *Econometrica* 50 (1982); MacKay, *Neural Computation* 4 (1992);
//! Hassibi and Stork, NIPS 5 (1993).

mod approximate;
mod bootstrap;
mod causes;
mod compact;
mod covariance;
mod diagnostics;
mod effects;
mod evidence;
mod expected;
mod laplace;
mod likelihood;
mod linearized;
mod names;
mod options;
mod predictions;
mod probability;
mod product;
mod profile;
mod pruning;
mod quadratic;
mod ratio;
mod report;
mod score;
mod spectrum;
mod summary;
mod wald;

pub use approximate::{Approximate, Approximation};
pub use causes::Warning;
pub use compact::compact;
pub use diagnostics::Residuals;
pub use evidence::{Cycle, Evidence, Maximized, PriorGroup, Sharing, Width};
pub use laplace::{Alpha, Laplace};
pub use names::{Names, Place};
pub use options::{Covariance, Dispersion, Options, Refusal, RowWeights};
pub use predictions::Prediction;
pub use probability::{Distribution, chi2_upper, f_upper};
pub use pruning::{Piece, Pruned, Pruning, Removal, saliencies};
pub use quadratic::{Criterion, Scheme};
pub use ratio::LikelihoodRatio;
pub use report::{Effect, InputTest, Report, Scaling, WeightRow};
pub use score::ScoreTest;
pub use summary::{Scale, Summary};
pub use wald::{Estimate, Wald};

use ndarray::{Array1, Array2};

use crate::curvature::{Curvature, Structure};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::evaluate::Request;
use crate::objective::{Data, Penalty, Reduction};
use crate::problem::Problem;
use covariance::{Ingredients, Outcome};
use effects::{Average, Slopes};
use expected::Expected;
use likelihood::Family;
use linearized::Linearized;
use spectrum::Spectrum;
use summary::{Judged, Objective};
use wald::Judge;

/// Everything that can be inferred at a minimum of a problem's objective.
///
/// ```
/// use ndarray::array;
/// use secondo::inference::Inference;
/// use secondo::{Activation, Data, Loss, Network, Problem};
/// // The line through (0, 0), (1, 1), (2, 1): slope ½, RSS 1/6, Σ(x − x̄)² = 2, so se² = (1/6)/(3 − 2)/2.
/// let data = Data::new(array![[0.0], [1.0], [2.0]], array![[0.0], [1.0], [1.0]])?;
/// let problem = Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, data, Loss::SquaredError)?;
/// let inference = Inference::new(&problem, &[0.5, 1.0 / 6.0])?;
/// let slope = &inference.parameters()?[0];
/// assert!((slope.std_error.unwrap() - (1.0_f64 / 12.0).sqrt()).abs() < 1e-14);
/// println!("{}", inference.report(None)?);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Inference<'a> {
    problem: &'a Problem,
    data: &'a Data,
    w: Vec<f64>,
    options: Options,
    kind: Covariance,
    family: Family,
    at: Linearized,
    prior: Prior,
    /// Of A.
    chosen: Spectrum,
    /// B.
    data_part: Array2<f64>,
    /// A⁺.
    inverse: Array2<f64>,
    null: Array2<f64>,
    /// By Gauss–Newton, and by the chosen information.
    leverage: [Vec<f64>; 2],
    energies: (f64, f64),
    summary: Summary,
    covariance: Outcome,
}

/// The penalty's second derivative, for the sum over the rows.
#[derive(Debug, Clone)]
struct Prior {
    hessian: Array2<f64>,
    is_none: bool,
    /// λ, if it is the precision of a proper Gaussian prior, and whether it is one number.
    gaussian: Option<(Vec<f64>, bool)>,
}

impl Prior {
    fn new(problem: &Problem, w: &[f64], factor: f64) -> Result<Self> {
        let hessian = problem.penalty_hessian(w)?.dense()? * factor;
        let is_none = hessian.iter().all(|v| *v == 0.0);
        let penalty = problem.parts().penalty;
        let is_diagonal = hessian.indexed_iter().all(|((a, b), v)| a == b || *v == 0.0);
        let proper =
            is_diagonal && hessian.diag().iter().all(|l| *l > 0.0) && is_quadratic(penalty);
        // Ties add up the λ of the weights that share a θ.
        let is_uniform = matches!(penalty, Penalty::Ridge { .. })
            && hessian.diag().iter().all(|l| *l == hessian[[0, 0]]);
        let gaussian = proper.then(|| (hessian.diag().to_vec(), is_uniform));
        Ok(Prior { hessian, is_none, gaussian })
    }
}

fn is_quadratic(penalty: &Penalty) -> bool {
    match penalty {
        Penalty::Ridge { .. } | Penalty::RidgeVec { .. } => true,
        Penalty::Sum(terms) => terms.iter().all(is_quadratic),
        _ => false,
    }
}

/// The factor from the problem's objective to the sum over the rows.
fn factor(problem: &Problem) -> f64 {
    match problem.parts().reduction {
        Reduction::Sum => 1.0,
        Reduction::Mean => problem.parts().data.total_weight(),
    }
}

impl<'a> Inference<'a> {
    /// The inference at w with the default options.
    ///
    /// # Errors
    /// As [`with`](Self::with).
    pub fn new(problem: &'a Problem, w: &[f64]) -> Result<Self> {
        Self::with(problem, w, Options::default())
    }

    /// The inference at w; where no covariance has a meaning, [`refused`](Self::refused) has the reason.
    ///
    /// # Errors
    /// Options out of range; a curvature that a user's units do not have; too little memory; numbers that are not finite.
    pub fn with(problem: &'a Problem, w: &[f64], options: Options) -> Result<Self> {
        options.check()?;
        let (data, factor) = (problem.data()?, factor(problem));
        let request = match options.information {
            Curvature::Exact => Request::curvature(Curvature::Residual, Structure::Full),
            _ => Request::gradient(),
        };
        let evaluation = problem.evaluate_with(&Device::Cpu, w, request)?;
        let family = Family::of(problem.loss(), problem.network().outputs());
        let at = Linearized::new(problem, w)?;
        let prior = Prior::new(problem, w, factor)?;
        let gauss_newton = at.gauss_newton();
        let residual = match &evaluation.curvature {
            Some(residual) => residual.dense()? * factor,
            None => Array2::zeros(gauss_newton.raw_dim()),
        };
        let is_linear = residual.iter().all(|v| *v == 0.0);
        let data_part = &gauss_newton + &residual;
        let expected = Expected::new(&at, &prior, &gauss_newton, is_linear)?;
        let scale = expected.scale;
        let (chosen, inverse) = match expected.spectrum {
            // The same matrix, with the digits that only the root keeps.
            Some(spectrum) if is_linear => (spectrum, expected.inverse.clone()),
            _ => {
                let chosen = Spectrum::of_matrix(&(&data_part + &prior.hessian), scale.clone())?;
                let inverse = chosen.inverse();
                (chosen, inverse)
            }
        };
        let leverage = [at.leverage(&expected.inverse), at.leverage(&inverse)];
        let gradient: Vec<f64> = evaluation.gradient.iter().map(|g| g * factor).collect();
        let judged = Judged {
            edf: expected.positive as f64 - (&expected.inverse * &prior.hessian).sum(),
            decrement: chosen.decrement(&gradient),
            nonlinearity: norm(&residual) / norm(&gauss_newton),
        };
        let penalty = evaluation.penalty * factor;
        let objective = Objective { value: evaluation.value * factor, penalty, gradient };
        let summary = Summary::new(data, &family, &at, &objective, &options, judged);
        let kind = options.covariance.unwrap_or(match (&family, prior.is_none) {
            (Family::None, _) => Covariance::Hc0,
            (_, true) => Covariance::Model,
            (_, false) => Covariance::Posterior,
        });
        let covariance = Ingredients {
            family: &family,
            at: &at,
            options: &options,
            summary: &summary,
            spectrum: &chosen,
            inverse: &inverse,
            data_part: (!prior.is_none).then_some(&data_part),
            scale: &scale,
            leverage: &leverage[1],
            size: size(data, &family),
        }
        .covariance(kind)?;
        Ok(Inference {
            problem,
            data,
            w: w.to_vec(),
            kind,
            null: chosen.null_space(),
            energies: (objective.value - penalty, penalty),
            options,
            family,
            at,
            prior,
            chosen,
            data_part,
            inverse,
            leverage,
            summary,
            covariance,
        })
    }

    /// The problem.
    pub fn problem(&self) -> &'a Problem {
        self.problem
    }

    /// The estimate w.
    pub fn w(&self) -> &[f64] {
        &self.w
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The numbers about the fit as a whole.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The kind of the covariance.
    pub fn covariance_kind(&self) -> Covariance {
        self.kind
    }

    /// The covariance of the parameters, P × P; where A is singular only the variances of what is estimable have a meaning.
    pub fn covariance(&self) -> Option<&Array2<f64>> {
        self.covariance.as_ref().ok()
    }

    /// Why there is no covariance.
    pub fn refused(&self) -> Option<Refusal> {
        self.covariance.as_ref().err().copied()
    }

    /// The eigenvalues of D⁻¹AD⁻¹, D = √diag G, ascending.
    pub fn eigenvalues(&self) -> &[f64] {
        &self.chosen.values
    }

    /// The numbers of positive, zero and negative eigenvalues.
    pub fn inertia(&self) -> (usize, usize, usize) {
        self.chosen.inertia()
    }

    /// max |λ| / min |λ| over the scaled eigenvalues that are not zero.
    pub fn condition(&self) -> f64 {
        self.chosen.condition()
    }

    /// An orthonormal basis of the null space of A, a vector in each row.
    pub fn null_space(&self) -> &Array2<f64> {
        &self.null
    }

    fn judge(&self) -> Judge<'_> {
        Judge {
            covariance: self.covariance(),
            null: &self.null,
            distribution: self.summary.distribution,
            level: self.options.level,
        }
    }

    /// The parameters, w or θ, in their order.
    ///
    /// # Errors
    /// None that [`with`](Self::with) has not.
    pub fn parameters(&self) -> Result<Vec<Estimate>> {
        let rows = Array2::eye(self.w.len());
        Ok(self.estimates(&rows, &self.w))
    }

    /// The weights of the network, in the order of the flat vector; under a constraint those that W = fixed + Cθ makes.
    ///
    /// # Errors
    /// None that [`with`](Self::with) has not.
    pub fn weights(&self) -> Result<Vec<Estimate>> {
        let weights = self.problem.network_weights(&self.w)?;
        let all: Vec<usize> = (0..weights.len()).collect();
        Ok(self.estimates(&self.rows_of(&all), &weights))
    }

    fn estimates(&self, rows: &Array2<f64>, values: &[f64]) -> Vec<Estimate> {
        let judge = self.judge();
        let quantile = judge.quantile();
        let pairs = rows.rows().into_iter().zip(values);
        pairs.map(|(c, &value)| judge.estimate(value, c, quantile)).collect()
    }

    /// The rows of ∂W/∂w for these weights.
    fn rows_of(&self, set: &[usize]) -> Array2<f64> {
        let mut rows = Array2::zeros((set.len(), self.w.len()));
        for (mut row, &l) in rows.rows_mut().into_iter().zip(set) {
            match self.problem.ties() {
                None => row[l] = 1.0,
                Some(constraint) => constraint.row(l).for_each(|(a, c)| row[a] += c),
            }
        }
        rows
    }

    /// The Wald test that these weights of the network are all 0.
    ///
    /// # Errors
    /// `Invalid` for a weight that there is not.
    pub fn wald(&self, set: &[usize]) -> Result<Wald> {
        let weights = self.problem.network_weights(&self.w)?;
        if let Some(bad) = set.iter().find(|&&l| l >= weights.len()) {
            let why = format!("there is no weight {bad}, but {}", weights.len());
            return Err(Error::invalid("set of weights", why));
        }
        let values: Array1<f64> = set.iter().map(|&l| weights[l]).collect();
        self.judge().wald(&self.rows_of(set), &values)
    }

    /// The Wald test that input j has no weight anywhere; none where units that are not linear see it.
    ///
    /// # Errors
    /// `Invalid` for an input that there is not.
    pub fn input(&self, j: usize) -> Result<Option<Wald>> {
        let inputs = self.problem.network().inputs();
        if j >= inputs {
            return Err(Error::invalid("input", format!("there is no input {j}, but {inputs}")));
        }
        names::of_input(self.problem.network(), j).map(|set| self.wald(&set)).transpose()
    }

    /// The average slopes of the mean response in the inputs, outputs × inputs.
    ///
    /// # Errors
    /// `Unsupported` for units of a user's without second derivatives.
    pub fn slopes(&self) -> Result<Vec<Vec<Estimate>>> {
        let outputs = 0..self.summary.outputs;
        outputs
            .map(|o| {
                let Slopes { slopes, gradients } = effects::slopes(
                    self.problem,
                    &self.w,
                    &self.family,
                    self.options.weights_are,
                    o,
                )?;
                Ok(self.estimates(&gradients, &slopes.to_vec()))
            })
            .collect()
    }

    /// The partial effects of the inputs on an output's mean response: the mean over a grid of numbers v from −3 to 3 of
    /// (1/n) Σ_i μ(x_ij := v + d) − μ(x_ij := v), d the standard deviation of input j. Meant for standardised inputs. Of an input with
    /// two values it is the difference between them.
    ///
    /// # Errors
    /// As [`slopes`](Self::slopes); `Invalid` for an output that there is not.
    pub fn partial_effects(&self, output: usize) -> Result<Vec<Estimate>> {
        let inputs = 0..self.problem.network().inputs();
        let of = |input| self.average(input, output)?.partial();
        let (values, gradients): (Vec<f64>, Vec<_>) =
            inputs.map(of).collect::<Result<Vec<_>>>()?.into_iter().unzip();
        Ok(self.estimates(&stacked(&gradients, self.w.len()), &values))
    }

    /// The average of an output's mean response over the rows, with input j held at each of these numbers in turn.
    ///
    /// # Errors
    /// As [`slopes`](Self::slopes); `Invalid` for an input or output that there is not.
    pub fn effect_curve(&self, input: usize, output: usize, at: &[f64]) -> Result<Vec<Estimate>> {
        let average = self.average(input, output)?;
        let (values, gradients): (Vec<f64>, Vec<_>) =
            at.iter().map(|v| average.at(*v)).collect::<Result<Vec<_>>>()?.into_iter().unzip();
        Ok(self.estimates(&stacked(&gradients, self.w.len()), &values))
    }

    fn average(&self, input: usize, output: usize) -> Result<Average<'_>> {
        let network = self.problem.network();
        for (what, at, count) in
            [("input", input, network.inputs()), ("output", output, network.outputs())]
        {
            if at >= count {
                return Err(Error::invalid(what, format!("there is no {what} {at}, but {count}")));
            }
        }
        let (problem, w, family) = (self.problem, &self.w, &self.family);
        let weights_are = self.options.weights_are;
        Ok(Average { problem, w, family, weights_are, output, input })
    }

    /// h_i = tr(ω_i (∂²g/∂x²) J_i A⁻¹ J_iᵀ) by the chosen information, length n; none where A is indefinite.
    pub fn leverage(&self) -> Option<&[f64]> {
        let (.., negative) = self.inertia();
        (negative == 0).then_some(&self.leverage[1])
    }

    /// Residuals with their diagnostics, by Gauss–Newton's leverage.
    pub fn residuals(&self) -> Residuals {
        diagnostics::residuals(self.data, &self.family, &self.at, &self.summary, &self.leverage[0])
    }

    /// The mean response at other inputs, with intervals.
    ///
    /// # Errors
    /// X has not the network's inputs, or a number is not finite.
    pub fn predictions(&self, x: &Array2<f64>) -> Result<Vec<Prediction>> {
        let posterior = self.covariance().map(|_| &self.inverse * self.summary.phi);
        predictions::predictions(self, posterior.as_ref(), x)
    }

    /// The Laplace approximation of the evidence; none without a proper Gaussian prior, a likelihood and a minimum.
    ///
    /// # Errors
    /// Eigenvalues that do not converge.
    pub fn laplace(&self) -> Result<Option<Laplace>> {
        self.laplace_with(false)
    }

    /// The same; `cut` says whether negative eigenvalues of B count as 0 in γ.
    fn laplace_with(&self, cut: bool) -> Result<Option<Laplace>> {
        let (Some((lambda, is_uniform)), Some(log_determinant)) =
            (&self.prior.gaussian, self.chosen.log_determinant())
        else {
            return Ok(None);
        };
        let phi = self.summary.phi;
        if self.family == Family::Gamma || !self.summary.stationary || phi <= 0.0 {
            return Ok(None);
        }
        let (data, weights) = (self.data, self.options.weights_are);
        let Some(log_constant) = self.family.log_constant(data.y(), &self.at.omega, weights, phi)
        else {
            return Ok(None);
        };
        let ingredients = laplace::Ingredients {
            network: self.problem.network(),
            lambda,
            is_uniform: *is_uniform,
            data_part: &self.data_part,
            inverse: &self.inverse,
            log_determinant,
            energies: self.energies,
            beta: 1.0 / phi,
            log_constant,
        };
        ingredients.laplace(cut).map(Some)
    }
}

/// Vectors of length p as rows.
fn stacked(rows: &[Array1<f64>], p: usize) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), p), |(i, k)| rows[i][k])
}

fn norm(matrix: &Array2<f64>) -> f64 {
    matrix.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Returns Σ ω v y² of a squared error.
fn size(data: &Data, family: &Family) -> f64 {
    let Family::Gaussian(v) = family else {
        return 0.0;
    };
    let rows = data.y().outer_iter();
    let of_row = |y: ndarray::ArrayView1<f64>| y.iter().zip(v).map(|(y, v)| v * y * y).sum::<f64>();
    rows.zip(data.weights()).map(|(y, omega)| omega * of_row(y)).sum()
}
