//! The quantities to infer and their rules, by the names of the command line.

use std::fmt;

use crate::curvature::Curvature;
use crate::error::{Error, Result, by_name};

/// The covariance matrix of the estimates; A = B + ∂²pen is the information, B its data part, s_i the score of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covariance {
    /// φ A⁻¹ B A⁻¹, the sampling covariance if the model is right; φ B⁻¹ without penalty.
    Model,
    /// φ A⁻¹: the penalty as a Gaussian prior.
    Posterior,
    /// A⁻¹ (Σ ω_i² s_i s_iᵀ) A⁻¹, which holds for unequal variances and wrong models, too.
    Hc0,
    /// `hc0` · n/(n − edf).
    Hc1,
    /// `hc0` with s_i s_iᵀ/(1 − h_i), h_i the leverage.
    Hc2,
    /// `hc0` with s_i s_iᵀ/(1 − h_i)².
    Hc3,
}

impl Covariance {
    /// All of them.
    pub const ALL: [Covariance; 6] = [
        Covariance::Model,
        Covariance::Posterior,
        Covariance::Hc0,
        Covariance::Hc1,
        Covariance::Hc2,
        Covariance::Hc3,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Covariance::Model => "model",
            Covariance::Posterior => "posterior",
            Covariance::Hc0 => "hc0",
            Covariance::Hc1 => "hc1",
            Covariance::Hc2 => "hc2",
            Covariance::Hc3 => "hc3",
        }
    }

    /// The covariance of that name.
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        by_name("covariance", name, &Self::ALL.map(|c| (c.name(), c)))
    }
}

/// The estimate of the dispersion φ, the variance of an observation of weight 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Dispersion {
    /// RSS/(N − edf).
    Residual,
    /// RSS/N, the maximum of the likelihood.
    MaximumLikelihood,
    /// EᵀE/(n − edf/m): variances and covariances of the m outputs.
    Matrix,
    /// A known number.
    Known(f64),
}

impl Dispersion {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Dispersion::Residual => "residual",
            Dispersion::MaximumLikelihood => "ml",
            Dispersion::Matrix => "matrix",
            Dispersion::Known(_) => "known",
        }
    }

    /// The dispersion of that name, or the number.
    ///
    /// # Errors
    /// An unknown name; a number that is not positive.
    pub fn from_name(name: &str) -> Result<Self> {
        if let Ok(value) = name.parse::<f64>() {
            let positive = value.is_finite() && value > 0.0;
            let why = || Error::invalid("dispersion", format!("{name} is not a positive number"));
            return positive.then_some(Dispersion::Known(value)).ok_or_else(why);
        }
        let named = [Self::Residual, Self::MaximumLikelihood, Self::Matrix].map(|d| (d.name(), d));
        by_name("dispersion", name, &named)
    }
}

/// The meaning of the weights ω of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowWeights {
    /// The variance of a row is φ/ω.
    Precision,
    /// A row stands for ω equal rows.
    Frequency,
}

impl RowWeights {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            RowWeights::Precision => "precision",
            RowWeights::Frequency => "frequency",
        }
    }

    /// The meaning of that name.
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        by_name(
            "meaning of weights",
            name,
            &[Self::Precision, Self::Frequency].map(|w| (w.name(), w)),
        )
    }
}

/// The options of an [`Inference`](super::Inference).
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The information matrix: [`Curvature::Exact`] or [`Curvature::GaussNewton`]. Default `Exact`.
    pub information: Curvature,
    /// The covariance. Default `Model`; `Posterior` with a penalty, `Hc0` where the loss is no likelihood.
    pub covariance: Option<Covariance>,
    /// The dispersion. Default `Residual`. Likelihoods without one have 1.
    pub dispersion: Dispersion,
    /// The meaning of the rows' weights. Default `Precision`.
    pub weights_are: RowWeights,
    /// The level of all intervals, between 0 and 1. Default 0.95.
    pub level: f64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            information: Curvature::Exact,
            covariance: None,
            dispersion: Dispersion::Residual,
            weights_are: RowWeights::Precision,
            level: 0.95,
        }
    }
}

impl Options {
    /// Checks the values.
    pub(super) fn check(&self) -> Result<()> {
        if !matches!(self.information, Curvature::Exact | Curvature::GaussNewton) {
            return Err(Error::Unsupported {
                what: format!("{} as information matrix", self.information.name()),
                why: "it is not one of E(W); use exact or gauss-newton".into(),
            });
        }
        if !(self.level > 0.0 && self.level < 1.0) {
            return Err(Error::invalid("level", format!("{} is not between 0 and 1", self.level)));
        }
        match self.dispersion {
            Dispersion::Known(phi) if !(phi > 0.0 && phi.is_finite()) => {
                Err(Error::invalid("dispersion", format!("{phi} is not a positive number")))
            }
            _ => Ok(()),
        }
    }
}

/// The reason for which there is no covariance matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// The information, or for `model` its data part, has negative eigenvalues.
    Indefinite {
        /// How many.
        negative: usize,
        /// Whether only the data part has.
        data_part: bool,
    },
    /// The estimate is no minimum on these rows.
    NotStationary {
        /// gᵀA⁻¹g.
        decrement: f64,
        /// The largest that is taken for 0.
        limit: f64,
    },
    /// N − edf is not positive.
    NoDegreesOfFreedom {
        /// N.
        observations: f64,
        /// The effective degrees of freedom.
        edf: f64,
    },
    /// The residuals are 0 to rounding: they have no scale.
    PerfectFit,
    /// The loss is no likelihood: `model` and `posterior` have no meaning.
    NoLikelihood,
    /// `hc2` and `hc3` need one output.
    SeveralOutputs,
    /// `hc2` and `hc3` need weights that are precisions.
    FrequencyWeights,
    /// `hc2` and `hc3` divide by 1 − h, which is not positive for this row.
    Leverage {
        /// The row, from 0.
        row: usize,
    },
    /// A dispersion matrix has no meaning for this loss or covariance.
    NoDispersionMatrix,
}

impl Refusal {
    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::Indefinite { .. } => "indefinite",
            Refusal::NotStationary { .. } => "not stationary",
            Refusal::NoDegreesOfFreedom { .. } => "no degrees of freedom",
            Refusal::PerfectFit => "perfect fit",
            Refusal::NoLikelihood => "no likelihood",
            Refusal::SeveralOutputs => "several outputs",
            Refusal::FrequencyWeights => "frequency weights",
            Refusal::Leverage { .. } => "leverage of 1",
            Refusal::NoDispersionMatrix => "no dispersion matrix",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Indefinite { negative, data_part: false } => write!(
                f,
                "the information has {negative} negative eigenvalues: this is a saddle, no minimum; go on \
                 with the fit, or take the information gauss-newton"
            ),
            Refusal::Indefinite { negative, data_part: true } => write!(
                f,
                "the data part of the information has {negative} negative eigenvalues, so that A⁻¹BA⁻¹ is no \
                 covariance; take the covariance posterior or hc0, or the information gauss-newton"
            ),
            Refusal::NotStationary { decrement, limit } => write!(
                f,
                "the estimate is no minimum on these rows: Newton's decrement is {decrement:.1e}, and at most \
                 {limit:.1e} is taken for 0; go on with the fit on these rows (--polish)"
            ),
            Refusal::NoDegreesOfFreedom { observations, edf } => write!(
                f,
                "{observations} observations leave no degrees of freedom to {edf:.1} effective parameters; \
                 use fewer units, a larger penalty or more rows"
            ),
            Refusal::PerfectFit => {
                write!(f, "the residuals are 0 to rounding and have no scale; give the dispersion")
            }
            Refusal::NoLikelihood => {
                write!(f, "the loss is no likelihood; take the covariance hc0 or hc1")
            }
            Refusal::SeveralOutputs => {
                write!(f, "hc2 and hc3 are defined for one output; take hc0 or hc1")
            }
            Refusal::FrequencyWeights => {
                write!(f, "hc2 and hc3 need weights that are precisions; take hc0 or hc1")
            }
            Refusal::Leverage { row } => {
                write!(f, "the leverage of row {row} is not below 1; take hc0 or hc1")
            }
            Refusal::NoDispersionMatrix => write!(
                f,
                "a dispersion matrix is for the covariance model of a squared error; take residual"
            ),
        }
    }
}
