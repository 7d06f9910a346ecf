//! Profile intervals: the values of a weight at which the best fit of all others is as much worse as the level allows.

use super::Inference;
use super::likelihood::Family;
use super::ratio::{fixed_at, precise};
use crate::error::{Error, Result};
use crate::train::{Method, silent};

/// Ends are known to this part of a standard error.
const CLOSE: f64 = 1e-9;
/// The most fits for one end.
const FITS: usize = 60;
/// An end further away than this many Wald intervals is none.
const FAR: f64 = 100.0;

/// An end that is searched for, on one side of the estimate.
struct Side<'a, 'b> {
    inference: &'a Inference<'b>,
    weight: usize,
    /// ŵ and the end of Wald's interval less ŵ.
    estimate: f64,
    reach: f64,
    /// The value of √(2(E − Ê)/φ) at the end.
    quantile: f64,
    /// The parameters of the last fit.
    last: Vec<f64>,
}

impl Side<'_, '_> {
    /// √(2(E(t) − Ê)/φ) − q at ŵ + t·reach, the others refitted.
    fn excess(&mut self, t: f64) -> Result<f64> {
        let summary = self.inference.summary();
        let value = self.estimate + t * self.reach;
        let (problem, kept) = fixed_at(self.inference.problem(), &[(self.weight, value)])?;
        let start: Vec<f64> = kept.iter().map(|&a| self.last[a]).collect();
        let fit = precise().fit(&problem, &start, &mut silent)?;
        kept.iter().zip(&fit.w).for_each(|(&a, w)| self.last[a] = *w);
        let above = fit.value * super::factor(self.inference.problem()) - summary.value;
        Ok((2.0 * above.max(0.0) / summary.phi).sqrt() - self.quantile)
    }

    /// The end, by the secant method within a bracket; none where the profile stays below the level.
    fn end(&mut self) -> Result<Option<f64>> {
        let (mut low, mut at_low) = (0.0, -self.quantile);
        let mut high = 1.0;
        let mut at_high = self.excess(high)?;
        while at_high < 0.0 {
            (low, at_low) = (high, at_high);
            high *= 1.5;
            if high > FAR {
                return Ok(None);
            }
            at_high = self.excess(high)?;
        }
        for _ in 0..FITS {
            let secant = low - at_low * (high - low) / (at_high - at_low);
            // One step in the middle now and then keeps the bracket shrinking from both sides.
            let inside = secant.clamp(low + 0.01 * (high - low), high - 0.01 * (high - low));
            let excess = self.excess(inside)?;
            if excess.abs() <= CLOSE * self.quantile || high - low <= CLOSE {
                return Ok(Some(self.estimate + inside * self.reach));
            }
            if excess < 0.0 {
                (low, at_low) = (inside, excess)
            } else {
                (high, at_high) = (inside, excess)
            }
        }
        Ok(Some(self.estimate + 0.5 * (low + high) * self.reach))
    }
}

impl Inference<'_> {
    /// The profile interval of weight l of the network at the level of the options: the ends where √(2(E − Ê)/φ), the other weights
    /// refitted, is the quantile of t or the normal law. An end is none where the profile never rises so far. No interval with a
    /// penalty, for a weight that is not identified, or where standard errors are refused.
    ///
    /// Source: Bates and Watts, *Nonlinear Regression Analysis and Its Applications* (1988), §6.1.
    ///
    /// # Errors
    /// `Invalid` for a weight that there is not; `Unsupported` for one that several θ make; what a fit reports.
    pub fn profile(&self, l: usize) -> Result<Option<[Option<f64>; 2]>> {
        let weights = self.weights()?;
        let estimate = (weights.get(l)).ok_or_else(|| {
            Error::invalid("weight", format!("there is no weight {l}, but {}", weights.len()))
        })?;
        let Some(std_error) = estimate.std_error.filter(|e| *e > 0.0) else {
            return Ok(None);
        };
        if !self.prior.is_none || self.family == Family::None {
            return Ok(None);
        }
        let quantile = self.judge().quantile();
        let mut ends = [None; 2];
        for (end, sign) in ends.iter_mut().zip([-1.0, 1.0]) {
            let mut side = Side {
                inference: self,
                weight: l,
                estimate: estimate.estimate,
                reach: sign * quantile * std_error,
                quantile,
                last: self.w.clone(),
            };
            *end = side.end()?;
        }
        Ok(Some(ends))
    }
}
