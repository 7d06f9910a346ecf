//! The deviance of counts and of positive amounts: how much less likely the predicted means make the targets than the targets as means would.

use ndarray::Array2;
use secondo::Loss;
use serde::{Deserialize, Serialize};

use crate::output::number_or_null;

/// The deviance of the rows, weighted where there are weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Deviance {
    /// D = Σ ω d(y, μ) / Σ ω over all targets, divided by their number; d is twice the log likelihood that the mean μ lacks beside the mean y,
    /// for gamma with the dispersion 1.
    #[serde(deserialize_with = "number_or_null")]
    pub mean: f64,
    /// D² = 1 − D/D₀, D₀ that of one mean of each target, for each unit of exposure, that all rows share; undefined where these are the targets.
    pub explained: Option<f64>,
}

impl Deviance {
    /// That of `predicted` means for targets `y`, rows × targets; `rows` are pairs of an index and a weight, the exposures are 1 where there are none.
    /// None for a loss that is no likelihood of counts or of positive amounts, and for targets that it does not take.
    pub fn of(
        loss: &Loss,
        rows: &[(usize, f64)],
        y: &Array2<f64>,
        predicted: &Array2<f64>,
        exposures: Option<&[f64]>,
    ) -> Option<Self> {
        unit(loss, 1.0, 1.0)?;
        let targets = y.ncols();
        let places = || rows.iter().flat_map(|(i, _)| (0..targets).map(|c| (*i, c)));
        if places().any(|place| loss.refuses(y[place]).is_some()) {
            return None;
        }
        let total: f64 = rows.iter().map(|(_, w)| w).sum();
        let exposure = |i: usize| exposures.map_or(1.0, |e| e[i]);
        let sum = |of: &dyn Fn(usize) -> f64| rows.iter().map(|(i, w)| w * of(*i)).sum::<f64>();
        let mean = |means: &dyn Fn(usize, usize) -> f64| {
            let of_row = |i: usize| {
                let units = (0..targets).filter_map(|c| unit(loss, y[(i, c)], means(i, c)));
                units.sum::<f64>()
            };
            sum(&of_row) / total / targets as f64
        };
        // The means of greatest likelihood that are proportional to the exposures.
        let rates: Vec<f64> = (0..targets)
            .map(|c| match loss {
                Loss::Gamma => sum(&|i| y[(i, c)] / exposure(i)) / total,
                _ => sum(&|i| y[(i, c)]) / sum(&exposure),
            })
            .collect();
        let shared = |i: usize, c: usize| rates[c] * exposure(i);
        let own = mean(&|i, c| predicted[(i, c)]);
        let is_shared =
            |(i, c): (usize, usize)| (y[(i, c)] - shared(i, c)).abs() <= ROUNDING * shared(i, c);
        let explained = (!places().all(is_shared)).then(|| 1.0 - own / mean(&shared));
        Some(Deviance { mean: own, explained })
    }
}

/// Targets that differ from a mean by less, relative to it, are that mean.
const ROUNDING: f64 = 1e-13;

/// d(y, μ), at least 0 and infinite where the mean excludes the target; none for another loss.
fn unit(loss: &Loss, y: f64, mean: f64) -> Option<f64> {
    let y_log = if y > 0.0 { y * (y / mean).ln() } else { 0.0 };
    let half = match loss {
        Loss::Poisson => y_log - (y - mean),
        Loss::Gamma => (y - mean) / mean - (y / mean).ln(),
        Loss::NegativeBinomial { dispersion: alpha } => {
            y_log - (y + 1.0 / alpha) * ((1.0 + alpha * y) / (1.0 + alpha * mean)).ln()
        }
        _ => return None,
    };
    Some(if half.is_nan() { f64::INFINITY } else { 2.0 * half.max(0.0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// Twice what the loss at the predicted mean exceeds the loss at the target as mean, by the losses of the library.
    #[test]
    fn a_unit_is_twice_the_excess_of_the_loss() {
        for loss in [Loss::Poisson, Loss::Gamma, Loss::NegativeBinomial { dispersion: 0.7 }] {
            for (y, mean) in [(3.0, 1.2), (1.0, 4.0), (2.5, 2.5), (40.0, 0.3)] {
                let at = |mean: f64| loss.value_at(&[f64::ln(mean)], &[y]).unwrap();
                let expected = 2.0 * (at(mean) - at(y));
                let found = unit(&loss, y, mean).unwrap();
                assert!(
                    (found - expected).abs() <= 1e-13 * (1.0 + expected),
                    "{loss:?} {y} {mean}"
                );
            }
        }
        assert_eq!(unit(&Loss::Poisson, 0.0, 2.0), Some(4.0));
        assert_eq!(unit(&Loss::SquaredError, 1.0, 2.0), None);
        for (loss, y, mean) in [
            (Loss::Poisson, 2.0, f64::INFINITY),
            (Loss::NegativeBinomial { dispersion: 0.7 }, 2.0, f64::INFINITY),
            (Loss::Poisson, 2.0, 0.0),
            (Loss::Gamma, 2.0, f64::INFINITY),
            (Loss::Gamma, 2.0, 0.0),
        ] {
            assert_eq!(unit(&loss, y, mean), Some(f64::INFINITY), "{loss:?} {mean}");
        }
    }

    /// D² is 0 for one rate and 1 for the targets themselves; whole weights are repeated rows.
    #[test]
    fn the_explained_part_is_that_of_one_rate() {
        let y = array![[2.0], [0.0], [9.0]];
        let (exposures, rows) = ([1.0, 2.0, 3.0], [(0, 1.0), (1, 1.0), (2, 1.0)]);
        let of = |means: &Array2<f64>, rows: &[(usize, f64)]| {
            Deviance::of(&Loss::Poisson, rows, &y, means, Some(&exposures)).unwrap()
        };
        let shared = array![[11.0 / 6.0], [22.0 / 6.0], [33.0 / 6.0]];
        assert!(of(&shared, &rows).explained.unwrap().abs() < 1e-15);
        let exact = of(&array![[2.0], [1e-300], [9.0]], &rows);
        assert!(exact.mean < 1e-15 && (exact.explained.unwrap() - 1.0).abs() < 1e-15);
        let means = array![[1.0], [1.0], [7.0]];
        let twice = of(&means, &[(0, 1.0), (0, 1.0), (1, 1.0), (2, 1.0)]);
        let weighted = of(&means, &[(0, 2.0), (1, 1.0), (2, 1.0)]);
        assert!((twice.mean - weighted.mean).abs() < 1e-15);
        assert!((twice.explained.unwrap() - weighted.explained.unwrap()).abs() < 1e-15);
        // Where all rows have one rate, it explains nothing, whatever rounding leaves.
        let y = array![[0.1], [0.2], [0.3]];
        let same = Deviance::of(&Loss::Poisson, &rows, &y, &means, Some(&exposures)).unwrap();
        assert_eq!(same.explained, None);
        // Of two targets the deviances are averaged; a count below 0 has none.
        let two = array![[2.0, 1.0], [0.0, 4.0], [9.0, 2.0]];
        let of_two = |y: &Array2<f64>| {
            Deviance::of(
                &Loss::Poisson,
                &rows,
                y,
                &array![[1.0, 1.0], [1.0, 3.0], [7.0, 1.0]],
                None,
            )
        };
        let by_hand: f64 = [(2.0, 1.0), (1.0, 1.0), (0.0, 1.0), (4.0, 3.0), (9.0, 7.0), (2.0, 1.0)]
            .iter()
            .map(|&(y, mean)| unit(&Loss::Poisson, y, mean).unwrap())
            .sum();
        assert!((of_two(&two).unwrap().mean - by_hand / 6.0).abs() < 1e-15);
        assert_eq!(of_two(&-two), None);
    }
}
