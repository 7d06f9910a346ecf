//! The law of a likelihood ratio by simulation, where no table holds.

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Poisson, StandardNormal};
use rand_pcg::Pcg64;
use rayon::prelude::*;

use super::likelihood::Family;
use super::ratio::{lowest, without};
use super::{Inference, LikelihoodRatio};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::objective::{Data, Penalty, Reduction};
use crate::problem::Problem;

/// The most replicates: a p-value has three digits then.
const MOST_REPLICATES: usize = 1_000_000;

impl Inference<'_> {
    /// The p-value of a likelihood ratio by the parametric bootstrap: targets are simulated from the fit without the weights, both
    /// nets are fitted to them, and counted is how often the ratio is at least as large.
    ///
    /// ```text
    /// p = (1 + #{ratio* ≥ ratio}) / (1 + replicates)
    /// ```
    ///
    /// It holds for hidden units and over-specified nets, too, where tables do not.
    ///
    /// # Errors
    /// `Invalid` for more than a million replicates; `Unsupported` for losses other than squared errors, `bce_logits`, `softmax_ce` and `poisson`; what the fits report.
    pub fn bootstrap(
        &self,
        set: &[usize],
        ratio: &LikelihoodRatio,
        replicates: usize,
        seed: u64,
    ) -> Result<f64> {
        if replicates > MOST_REPLICATES {
            let why = format!("{replicates} is more than {MOST_REPLICATES}, two fits for each");
            return Err(Error::invalid("replicates", why));
        }
        let means = self.problem.network().predict(&ratio.weights, &self.data.x())?;
        let observed = match self.family {
            Family::Gaussian(_) => ratio.value_reduced / (2.0 * self.energies.0),
            _ => ratio.value_reduced - self.energies.0,
        };
        let phi = ratio.value_reduced / (self.summary.df_residual + ratio.df as f64);
        let one = |replicate: usize| -> Result<bool> {
            let mut rng = Pcg64::seed_from_u64(seed.wrapping_add(replicate as u64));
            let y = self.simulated(&means, phi, &mut rng)?;
            let data =
                Data::new(self.data.x().to_owned(), y)?.weighted(self.data.weights().to_vec())?;
            let mut full =
                Problem::new(self.problem.network().clone(), data, self.problem.loss().clone())?
                    .penalty(Penalty::None)?
                    .reduction(Reduction::Sum)
                    .on(Device::Cpu);
            if let Some(ties) = self.problem.ties() {
                full = full.constraint(ties.clone())?;
            }
            let (reduced, kept) = without(&full, set)?;
            let without: Vec<f64> = kept.iter().map(|&a| self.w[a]).collect();
            let mut at_reduced = vec![0.0; self.w.len()];
            let mut starts = vec![without];
            if self.problem.ties().is_none() {
                starts.push(kept.iter().map(|&l| ratio.weights[l]).collect());
            }
            let low = lowest(&reduced, &starts)?;
            kept.iter().zip(&low.w).for_each(|(&a, w)| at_reduced[a] = *w);
            // From where the reduced fit ended the full one can only be lower.
            let best = lowest(&full, &[self.w.clone(), at_reduced])?.value.min(low.value);
            let simulated = match self.family {
                Family::Gaussian(_) => low.value / best,
                _ => low.value - best,
            };
            Ok(simulated >= observed)
        };
        let counted: Vec<bool> = (0..replicates).into_par_iter().map(one).collect::<Result<_>>()?;
        let as_large = counted.into_iter().filter(|larger| *larger).count();
        Ok((1 + as_large) as f64 / (1 + replicates) as f64)
    }

    /// Targets drawn at these outputs of the network.
    fn simulated(&self, outputs: &Array2<f64>, phi: f64, rng: &mut Pcg64) -> Result<Array2<f64>> {
        let mut y = Array2::zeros(outputs.raw_dim());
        for (i, x) in outputs.outer_iter().enumerate() {
            let mean = self.family.mean(&x.to_vec());
            match &self.family {
                Family::Gaussian(v) => {
                    for (o, mean) in mean.iter().enumerate() {
                        let weight = self.at.omega[i] * v[o];
                        let noise: f64 = StandardNormal.sample(rng);
                        // A row without weight has no part in the fit.
                        let spread = if weight > 0.0 { (phi / weight).sqrt() } else { 0.0 };
                        y[[i, o]] = mean + spread * noise;
                    }
                }
                Family::Bernoulli => {
                    for (o, mean) in mean.iter().enumerate() {
                        y[[i, o]] = f64::from(u8::from(rng.random::<f64>() < *mean));
                    }
                }
                Family::Categorical => {
                    let mut left: f64 = rng.random();
                    let class = mean.iter().position(|p| {
                        left -= p;
                        left < 0.0
                    });
                    y[[i, class.unwrap_or(mean.len() - 1)]] = 1.0;
                }
                Family::Poisson => {
                    for (o, mean) in mean.iter().enumerate() {
                        let law = Poisson::new(*mean).map_err(|_| {
                            Error::invalid("mean", format!("{mean} is no mean of counts"))
                        })?;
                        y[[i, o]] = law.sample(rng);
                    }
                }
                _ => {
                    return Err(Error::Unsupported {
                        what: format!(
                            "simulating targets of the loss {}",
                            self.problem.loss().name()
                        ),
                        why:
                            "the bootstrap knows squared errors, bce_logits, softmax_ce and poisson"
                                .into(),
                    });
                }
            }
        }
        Ok(y)
    }
}
