//! The covariance matrices, or the reason why there is none.

use ndarray::{Array2, Axis, s};

use super::likelihood::Family;
use super::linearized::{Linearized, square_root};
use super::options::{Covariance, Dispersion, Options, Refusal, RowWeights};
use super::product::{product, symmetric_product};
use super::spectrum::{Spectrum, symmetrised};
use super::summary::{STATIONARY, Scale, Summary};
use crate::error::Result;

/// The parts of a covariance.
pub(super) struct Ingredients<'a> {
    pub family: &'a Family,
    pub at: &'a Linearized,
    pub options: &'a Options,
    pub summary: &'a Summary,
    /// Of A.
    pub spectrum: &'a Spectrum,
    /// A⁺.
    pub inverse: &'a Array2<f64>,
    /// B where there is a penalty; else B = A.
    pub data_part: Option<&'a Array2<f64>>,
    /// D of the spectrum.
    pub scale: &'a [f64],
    /// By the chosen information.
    pub leverage: &'a [f64],
    /// Σ ω v y², the size that residuals of 0 are compared with.
    pub size: f64,
}

/// A covariance or the reason why there is none.
pub type Outcome = std::result::Result<Array2<f64>, Refusal>;

impl Ingredients<'_> {
    /// The reason for which no covariance has a meaning here.
    fn refusal(&self) -> Option<Refusal> {
        let summary = self.summary;
        let is_estimated = matches!(summary.distribution, super::Distribution::T(_));
        if is_estimated && summary.df_residual <= 1e-9 * summary.observations {
            return Some(Refusal::NoDegreesOfFreedom {
                observations: summary.observations,
                edf: summary.edf,
            });
        }
        if is_estimated && summary.rss.is_some_and(|rss| rss <= 1e-28 * self.size) {
            return Some(Refusal::PerfectFit);
        }
        if !summary.stationary {
            let limit = STATIONARY * summary.phi;
            return Some(Refusal::NotStationary { decrement: summary.newton_decrement, limit });
        }
        let (.., negative) = self.spectrum.inertia();
        (negative > 0).then_some(Refusal::Indefinite { negative, data_part: false })
    }

    /// The covariance of this kind.
    pub fn covariance(&self, kind: Covariance) -> Result<Outcome> {
        if let Some(refusal) = self.refusal() {
            return Ok(Err(refusal));
        }
        let is_model_based = matches!(kind, Covariance::Model | Covariance::Posterior);
        if is_model_based && *self.family == Family::None {
            return Ok(Err(Refusal::NoLikelihood));
        }
        let phi = self.summary.phi;
        match kind {
            Covariance::Model | Covariance::Posterior
                if self.options.dispersion == Dispersion::Matrix =>
            {
                self.with_matrix(kind)
            }
            Covariance::Posterior => Ok(Ok(self.inverse * phi)),
            Covariance::Model => match self.data_part {
                None => Ok(Ok(self.inverse * phi)),
                Some(data_part) => {
                    let spectrum = Spectrum::of_matrix(data_part, self.scale.to_vec())?;
                    let (.., negative) = spectrum.inertia();
                    if negative > 0 {
                        return Ok(Err(Refusal::Indefinite { negative, data_part: true }));
                    }
                    let product = product(&product(self.inverse, data_part), self.inverse);
                    Ok(Ok(symmetrised(product * phi)))
                }
            },
            _ => Ok(self.sandwich(kind)),
        }
    }

    /// A⁻¹ (Σ c_i s_i s_iᵀ) A⁻¹.
    fn sandwich(&self, kind: Covariance) -> Outcome {
        let corrected = matches!(kind, Covariance::Hc2 | Covariance::Hc3);
        if corrected && self.summary.outputs > 1 {
            return Err(Refusal::SeveralOutputs);
        }
        if corrected && self.options.weights_are == RowWeights::Frequency {
            return Err(Refusal::FrequencyWeights);
        }
        let mut scores = self.at.scores.clone();
        for (i, mut score) in scores.axis_iter_mut(Axis(0)).enumerate() {
            let (omega, rest) = (self.at.omega[i], 1.0 - self.leverage[i]);
            let factor = match self.options.weights_are {
                RowWeights::Precision => omega,
                RowWeights::Frequency => omega.sqrt(),
            };
            let factor = match kind {
                Covariance::Hc2 if rest <= 1e-12 => return Err(Refusal::Leverage { row: i }),
                Covariance::Hc3 if rest.abs() <= 1e-12 => return Err(Refusal::Leverage { row: i }),
                Covariance::Hc2 => factor / rest.sqrt(),
                Covariance::Hc3 => factor / rest,
                _ => factor,
            };
            score *= factor;
        }
        let half = product(&scores, self.inverse);
        let (n, edf) = (self.summary.rows, self.summary.edf);
        match kind {
            Covariance::Hc1 if n <= edf => {
                Err(Refusal::NoDegreesOfFreedom { observations: n, edf })
            }
            Covariance::Hc1 => Ok(symmetric_product(&half, &half) * (n / (n - edf))),
            _ => Ok(symmetric_product(&half, &half)),
        }
    }

    /// A⁻¹ (Σ ω_i J_iᵀ V Σ̂ V J_i) A⁻¹ with the output weights V.
    fn with_matrix(&self, kind: Covariance) -> Result<Outcome> {
        let (Family::Gaussian(v), Some(Scale::Matrix(sigma)), Covariance::Model) =
            (self.family, &self.summary.dispersion, kind)
        else {
            return Ok(Err(Refusal::NoDispersionMatrix));
        };
        let m = v.len();
        let meat: Vec<f64> =
            (0..m * m).map(|i| v[i / m] * sigma[[i / m, i % m]] * v[i % m]).collect();
        let Some(factor) = square_root(&meat, m)? else {
            return Ok(Err(Refusal::NoDispersionMatrix));
        };
        let mut root = Array2::zeros(self.at.jacobian.raw_dim());
        for (i, omega) in self.at.omega.iter().enumerate() {
            let rows = factor.dot(&self.at.rows(i)) * omega.sqrt();
            root.slice_mut(s![i * m..(i + 1) * m, ..]).assign(&rows);
        }
        let half = product(&root, self.inverse);
        Ok(Ok(symmetric_product(&half, &half)))
    }
}
