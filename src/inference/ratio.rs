//! Likelihood ratios: the net is fitted again without a set of weights.

use ndarray::{Array1, Array2, Axis};

use super::Inference;
use super::likelihood::Family;
use super::probability::{Distribution, chi2_upper, f_upper};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::network::{Constraint, Initialization};
use crate::problem::Problem;
use crate::train::{Auto, Fit, Method, silent};

/// A likelihood-ratio test that a set of weights is 0.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LikelihoodRatio {
    /// The number of weights that the test is of.
    pub df: usize,
    /// RSS of squared errors, else E, at the best minimum that was found without them.
    pub value_reduced: f64,
    /// N ln(RSS₀/RSS₁) of squared errors, else 2(E₀ − E₁).
    pub chi2: f64,
    /// The probability of a χ² at least as large.
    pub p_chi2: f64,
    /// ((RSS₀ − RSS₁)/df)/φ of squared errors with an estimated φ.
    pub f: Option<f64>,
    /// The probability of an F at least as large.
    pub p_f: Option<f64>,
    /// The probability by [`bootstrap`](Inference::bootstrap), if it was asked for.
    pub p_bootstrap: Option<f64>,
    /// The parameters of that minimum, those of the network.
    pub weights: Vec<f64>,
    /// Whether that minimum is lower than the one with all weights, which then was none.
    pub is_lower: bool,
}

/// Random starts beside the two that the full fit suggests.
const RANDOM: u64 = 8;

/// Returns a method that goes to the minimum as far as f64 allows.
pub(super) fn precise() -> Auto {
    Auto { gtol: 1e-13, ..Auto::default() }
}

/// Returns the problem with these weights of the network fixed at 0, and for each θ of it the parameter that it was.
///
/// # Errors
/// As [`fixed_at`].
pub(super) fn without(problem: &Problem, set: &[usize]) -> Result<(Problem, Vec<usize>)> {
    let zeros: Vec<(usize, f64)> = set.iter().map(|&l| (l, 0.0)).collect();
    fixed_at(problem, &zeros)
}

/// Returns the problem with weights of the network fixed at these values, and for each θ of it the parameter that it was.
///
/// # Errors
/// `Unsupported` for weights that are fixed elsewhere, or that several θ reach.
pub(super) fn fixed_at(problem: &Problem, set: &[(usize, f64)]) -> Result<(Problem, Vec<usize>)> {
    let (p, free) = (problem.network().parameters(), problem.parameters());
    let own;
    let ties = match problem.ties() {
        Some(ties) => ties,
        None => {
            own = Constraint::new(vec![0.0; p], p, (0..p).map(|l| (l, l, 1.0)).collect())?;
            &own
        }
    };
    let mut theta = vec![0.0; free];
    let fixed = ties.weights(&theta)?;
    let mut dropped = vec![false; free];
    for &(l, value) in set {
        let row: Vec<_> = ties.row(l).collect();
        match row.as_slice() {
            [] if fixed[l] == value => {}
            [(a, c)] => {
                dropped[*a] = true;
                theta[*a] = (value - fixed[l]) / c;
            }
            _ => {
                return Err(Error::Unsupported {
                    what: format!("fixing weight {l} at {value}"),
                    why: "it is fixed elsewhere, or several θ reach it".into(),
                });
            }
        }
    }
    let kept: Vec<usize> = (0..free).filter(|&a| !dropped[a]).collect();
    let place = |a: usize| kept.binary_search(&a).ok();
    let entries = (0..p)
        .flat_map(|l| ties.row(l).map(move |(a, c)| (l, a, c)))
        .filter_map(|(l, a, c)| Some((l, place(a)?, c)))
        .collect();
    let constraint = Constraint::new(ties.weights(&theta)?, kept.len(), entries)?;
    Ok((problem.clone().on(Device::Cpu).constraint(constraint)?, kept))
}

/// Returns w with w_S = 0 and the other parameters where the second derivative sends them: w − A⁻¹_{·S} (A⁻¹_SS)⁻¹ w_S.
pub(super) fn surgeon(w: &[f64], inverse: &Array2<f64>, set: &[usize]) -> Result<Vec<f64>> {
    let columns = inverse.select(Axis(1), set);
    let block = columns.select(Axis(0), set);
    let lower = (0..set.len()).flat_map(|a| (0..=a).map(move |b| (a, b)));
    let block = crate::Matrix::full(set.len(), lower.map(|(a, b)| block[[a, b]]).collect())?;
    let of_set: Vec<f64> = set.iter().map(|&k| w[k]).collect();
    let multipliers = Array1::from(block.solve(&of_set)?);
    let step = columns.dot(&multipliers);
    let mut moved: Vec<f64> = w.iter().zip(&step).map(|(w, s)| w - s).collect();
    set.iter().for_each(|&k| moved[k] = 0.0);
    Ok(moved)
}

/// Returns the lowest fit from several starts; starts that fail do not count unless all do.
pub(super) fn lowest(problem: &Problem, starts: &[Vec<f64>]) -> Result<Fit> {
    let mut best: Option<Fit> = None;
    let mut failure = None;
    for start in starts {
        match precise().fit(problem, start, &mut silent) {
            Ok(fit) if fit.value.is_finite() => {
                if best.as_ref().is_none_or(|b| fit.value < b.value) {
                    best = Some(fit);
                }
            }
            Ok(_) => {}
            Err(error) => failure = Some(error),
        }
    }
    let none = || Error::Numerical { what: "no start led to a finite minimum".into() };
    best.ok_or_else(|| failure.unwrap_or_else(none))
}

impl Inference<'_> {
    /// The likelihood-ratio test that these weights of the network are all 0, by fits without them from several starts; none where
    /// the data do not determine them, with a penalty, or for a loss that is no likelihood.
    ///
    /// # Errors
    /// As [`wald`](Self::wald); `Unsupported` for weights that a constraint fixes elsewhere or makes of several θ; no start leads to
    /// a minimum.
    pub fn likelihood_ratio(&self, set: &[usize]) -> Result<Option<LikelihoodRatio>> {
        let df = self.wald(set)?.df;
        if df == 0 || !self.prior.is_none || self.family == Family::None {
            return Ok(None);
        }
        let (reduced, kept) = without(self.problem, set)?;
        let chosen = |w: &[f64]| -> Vec<f64> { kept.iter().map(|&a| w[a]).collect() };
        let mut starts = vec![chosen(&self.w)];
        let gone: Vec<usize> = (0..self.w.len()).filter(|a| !kept.contains(a)).collect();
        if let Ok(moved) = surgeon(&self.w, &self.inverse, &gone) {
            starts.push(chosen(&moved));
        }
        if self.problem.ties().is_none() {
            let (network, x) = (self.problem.network(), self.data.x());
            for seed in 0..RANDOM {
                starts.push(chosen(&Initialization::Glorot.draw_from(network, &x, seed)?));
            }
        }
        let fit = lowest(&reduced, &starts)?;
        let value = fit.value * super::factor(self.problem);
        let weights = reduced.network_weights(&fit.w)?.into_owned();
        Ok(Some(self.ratio(value, weights, df)))
    }

    fn ratio(&self, value: f64, weights: Vec<f64>, df: usize) -> LikelihoodRatio {
        let summary = &self.summary;
        let is_lower = summary.value - value > 1e-6 * summary.phi;
        let gaussian = matches!(self.family, Family::Gaussian(_));
        let (chi2, value_reduced) = if gaussian {
            (summary.observations * (value / summary.value).ln(), 2.0 * value)
        } else {
            (2.0 * (value - summary.value), value)
        };
        let chi2 = chi2.max(0.0);
        let f = match summary.distribution {
            Distribution::T(_) if gaussian => {
                Some((2.0 * (value - summary.value) / df as f64 / summary.phi).max(0.0))
            }
            _ => None,
        };
        LikelihoodRatio {
            df,
            value_reduced,
            chi2,
            p_chi2: chi2_upper(chi2, df as f64),
            f,
            p_f: f.map(|f| f_upper(f, df as f64, summary.df_residual)),
            p_bootstrap: None,
            weights,
            is_lower,
        }
    }
}
