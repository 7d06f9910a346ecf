//! Degrees of freedom, dispersion, log likelihood: the numbers about the fit as a whole.

use ndarray::Array2;

use super::likelihood::Family;
use super::linearized::Linearized;
use super::options::{Dispersion, Options, RowWeights};
use super::probability::Distribution;
use crate::objective::Data;

/// φ: one number, or a matrix over the outputs.
#[derive(Debug, Clone, PartialEq)]
pub enum Scale {
    /// One number for all outputs.
    One(f64),
    /// Variances and covariances of the outputs, m × m.
    Matrix(Array2<f64>),
}

/// The numbers about a fit as a whole.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// The number of rows of the data.
    pub samples: usize,
    /// n: rows whose weight is not 0, or Σω where weights are frequencies.
    pub rows: f64,
    /// N: n times the number of outputs for squared errors, else n.
    pub observations: f64,
    /// m.
    pub outputs: usize,
    /// P, or dim θ under a constraint.
    pub parameters: usize,
    /// tr((G + ∂²pen)⁻¹ G).
    pub edf: f64,
    /// N − edf.
    pub df_residual: f64,
    /// E, the penalty included; the sum over the rows.
    pub value: f64,
    /// Σ ω v (y − x)² of squared errors.
    pub rss: Option<f64>,
    /// max |∂E/∂w|.
    pub gradient_norm: f64,
    /// gᵀA⁻¹g.
    pub newton_decrement: f64,
    /// Whether the decrement is at most 10⁻⁶ φ: the estimate is within a thousandth of a standard error of the minimum.
    pub stationary: bool,
    /// φ; none where the loss is no likelihood.
    pub dispersion: Option<Scale>,
    /// φ as one number, pooled where it is a matrix; 1 where there is none.
    pub phi: f64,
    /// The law of estimate over standard error.
    pub distribution: Distribution,
    /// The log likelihood at its φ of greatest likelihood.
    pub log_likelihood: Option<f64>,
    /// edf, and one more where φ is estimated.
    pub df_model: f64,
    /// −2ℓ + 2 df_model.
    pub aic: Option<f64>,
    /// −2ℓ + df_model ln n.
    pub bic: Option<f64>,
    /// Pearson's χ²/(n·m − edf).
    pub overdispersion: Option<f64>,
    /// ‖H − G‖/‖G‖ of the data parts, Frobenius norms; 0 for Gauss–Newton.
    pub nonlinearity: f64,
}

/// E and its parts at the estimate, sums over the rows.
pub(super) struct Objective {
    pub value: f64,
    pub penalty: f64,
    pub gradient: Vec<f64>,
}

/// The numbers by which the degrees of freedom and the stationarity are judged.
pub(super) struct Judged {
    pub edf: f64,
    pub decrement: f64,
    pub nonlinearity: f64,
}

/// The largest decrement, in units of φ, that is taken for 0.
pub(super) const STATIONARY: f64 = 1e-6;

impl Summary {
    pub(super) fn new(
        data: &Data,
        family: &Family,
        at: &Linearized,
        objective: &Objective,
        options: &Options,
        judged: Judged,
    ) -> Self {
        let m = at.outputs.ncols();
        let rows = match options.weights_are {
            RowWeights::Precision => at.omega.iter().filter(|w| **w > 0.0).count() as f64,
            RowWeights::Frequency => at.omega.iter().sum(),
        };
        let is_gaussian = matches!(family, Family::Gaussian(_));
        let observations = if is_gaussian { rows * m as f64 } else { rows };
        let df_residual = observations - judged.edf;
        let of_data = objective.value - objective.penalty;
        let pearson = pearson(data, family, at);
        let residual = match family {
            Family::Gaussian(_) => 2.0 * of_data / df_residual,
            Family::Gamma => pearson / (rows * m as f64 - judged.edf),
            // No φ: the scale of the loss, for the judgement of stationarity alone.
            Family::None => 2.0 * of_data / (rows * m as f64),
            _ => 1.0,
        };
        let largest_likelihood = match family {
            Family::Gaussian(_) => 2.0 * of_data / observations,
            _ => residual,
        };
        let phi = match options.dispersion {
            Dispersion::Known(phi) if family.has_dispersion() => phi,
            Dispersion::MaximumLikelihood => largest_likelihood,
            _ => residual,
        };
        let dispersion = match (family, options.dispersion) {
            (Family::None, _) => None,
            (Family::Gaussian(_), Dispersion::Matrix) => {
                Some(Scale::Matrix(outer(data, at, rows - judged.edf / m as f64)))
            }
            _ => Some(Scale::One(phi)),
        };
        let known = matches!(options.dispersion, Dispersion::Known(_)) || !family.has_dispersion();
        let constant =
            family.log_constant(data.y(), &at.omega, options.weights_are, largest_likelihood);
        let log_likelihood = constant.map(|constant| {
            constant - of_data / if is_gaussian { largest_likelihood } else { 1.0 }
        });
        let df_model = judged.edf + f64::from(u8::from(family.has_dispersion()));
        Summary {
            samples: data.len(),
            rows,
            observations,
            outputs: m,
            parameters: at.jacobian.ncols(),
            edf: judged.edf,
            df_residual,
            value: objective.value,
            rss: is_gaussian.then_some(2.0 * of_data),
            gradient_norm: objective.gradient.iter().fold(0.0, |m: f64, g| m.max(g.abs())),
            newton_decrement: judged.decrement,
            stationary: judged.decrement <= STATIONARY * phi,
            dispersion,
            phi,
            distribution: if known { Distribution::Normal } else { Distribution::T(df_residual) },
            aic: log_likelihood.map(|l| -2.0 * l + 2.0 * df_model),
            bic: log_likelihood.map(|l| -2.0 * l + df_model * rows.ln()),
            log_likelihood,
            df_model,
            overdispersion: (!is_gaussian && *family != Family::None)
                .then(|| pearson / (rows * m as f64 - judged.edf)),
            nonlinearity: judged.nonlinearity,
        }
    }

    /// The same where the outputs' targets are y · `scale`: ℓ is less by n Σ_o ln scale_o, and AIC and BIC are larger by twice that.
    pub(super) fn in_units(mut self, scale: &[f64]) -> Self {
        let less = log_of_units(self.rows, scale);
        self.log_likelihood = self.log_likelihood.map(|l| l - less);
        [self.aic, self.bic] = [self.aic, self.bic].map(|v| v.map(|v| v + 2.0 * less));
        self
    }
}

/// Returns n Σ_o ln scale_o, by which the log likelihood of n rows is less for targets that are multiplied by `scale`.
pub(super) fn log_of_units(rows: f64, scale: &[f64]) -> f64 {
    rows * scale.iter().map(|s| s.ln()).sum::<f64>()
}

/// Returns Σ ω (y − μ)²/Var, φ = 1.
fn pearson(data: &Data, family: &Family, at: &Linearized) -> f64 {
    let rows = at.outputs.outer_iter().zip(data.y().outer_iter()).zip(&at.omega);
    let of_row = |((x, y), omega): ((ndarray::ArrayView1<f64>, ndarray::ArrayView1<f64>), &f64)| {
        let mean = family.mean(&x.to_vec());
        let terms = mean.iter().zip(y).enumerate();
        let squares = terms.map(|(o, (mean, y))| (y - mean).powi(2) / family.variance(o, *mean));
        omega * squares.sum::<f64>()
    };
    rows.map(of_row).sum()
}

/// Returns Σ ω e eᵀ/df.
fn outer(data: &Data, at: &Linearized, df: f64) -> Array2<f64> {
    let residuals = data.y() - &at.outputs;
    let mut weighted = residuals.clone();
    weighted.outer_iter_mut().zip(&at.omega).for_each(|(mut row, omega)| row *= *omega);
    residuals.t().dot(&weighted) / df
}
