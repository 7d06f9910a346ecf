//! A line search for steps that satisfy the strong Wolfe conditions.
//!
//! ```text
//! φ(t) = f(x + t d),   φ(t) ≤ φ(0) + c₁ t φ′(0),   |φ′(t)| ≤ c₂ |φ′(0)|,   c₁ = 10⁻⁴, c₂ = 0.9
//! ```
//!
//! Where φ(t) and φ(0) differ by rounding only, the second condition with c₂ = 0.8 is enough (approximate Wolfe conditions).
//!
//! Source: Nocedal and Wright, *Numerical Optimization*, 2nd ed., algorithms 3.5 and 3.6; Hager and Zhang, *SIAM J. Optim.* 16,
//! 2005, for the approximate conditions.

use crate::error::Result;

const DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
const APPROXIMATE: f64 = 0.8;
/// The most evaluations for one step.
const MOST: usize = 40;

/// φ and φ′ at t.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub t: f64,
    pub value: f64,
    pub slope: f64,
}

/// A search, with the start by which each evaluation is judged.
struct Search<F> {
    start: Sample,
    /// Differences of φ below this are rounding errors.
    rounding: f64,
    evaluate: F,
    left: usize,
}

/// A step length that satisfies the conditions, or else the longest found that reduces f; none if no such length was found. It was evaluated last.
///
/// `start` is φ at 0, with a negative slope; `first` is tried first. `evaluate` gives φ and φ′, not finite where f is not.
///
/// # Errors
/// Those of `evaluate`.
pub(super) fn search(
    start: Sample,
    first: f64,
    rounding: f64,
    evaluate: impl FnMut(f64) -> Result<(f64, f64)>,
) -> Result<Option<f64>> {
    Search { start, rounding, evaluate, left: MOST }.run(first)
}

impl<F: FnMut(f64) -> Result<(f64, f64)>> Search<F> {
    fn run(mut self, first: f64) -> Result<Option<f64>> {
        let (mut low, mut t) = (self.start, first);
        while self.left > 0 {
            let at = self.at(t)?;
            if self.is_good(at) {
                return Ok(Some(t));
            }
            if !self.falls(at) || (low.t > 0.0 && at.value >= low.value) {
                return self.zoom(low, at);
            }
            if at.slope >= 0.0 {
                return self.zoom(at, low);
            }
            low = at;
            t *= 4.0;
            if !t.is_finite() {
                break;
            }
        }
        self.settle(low)
    }

    /// Between `low`, the best so far, and `high`, beyond a minimum.
    fn zoom(&mut self, mut low: Sample, mut high: Sample) -> Result<Option<f64>> {
        while self.left > 0 {
            let t = between(low, high);
            if t == low.t || t == high.t {
                break;
            }
            let at = self.at(t)?;
            if self.is_good(at) {
                return Ok(Some(t));
            }
            if !self.falls(at) || at.value >= low.value {
                high = at;
            } else {
                if at.slope * (high.t - low.t) >= 0.0 {
                    high = low;
                }
                low = at;
            }
        }
        self.settle(low)
    }

    /// The best length, evaluated once more, though it does not satisfy the second condition.
    fn settle(&mut self, low: Sample) -> Result<Option<f64>> {
        if low.t == 0.0 {
            return Ok(None);
        }
        self.at(low.t)?;
        Ok(Some(low.t))
    }

    fn at(&mut self, t: f64) -> Result<Sample> {
        self.left = self.left.saturating_sub(1);
        let (value, slope) = (self.evaluate)(t)?;
        Ok(Sample { t, value, slope })
    }

    /// The first condition.
    fn falls(&self, at: Sample) -> bool {
        at.slope.is_finite()
            && at.value <= self.start.value + DECREASE * at.t * self.start.slope + self.hidden(at)
    }

    /// The part of a fall that rounding may hide.
    fn hidden(&self, at: Sample) -> f64 {
        if (at.value - self.start.value).abs() <= self.rounding { self.rounding } else { 0.0 }
    }

    fn is_good(&self, at: Sample) -> bool {
        let steep = at.slope.abs() / self.start.slope.abs();
        let level = (at.value - self.start.value).abs() <= self.rounding;
        let limit = if level { APPROXIMATE } else { CURVATURE };
        self.falls(at) && steep <= limit
    }
}

/// The minimum of the cubic through two samples, kept away from both; the middle, nearer to the first, where the second is not finite.
fn between(low: Sample, high: Sample) -> f64 {
    let width = high.t - low.t;
    if !(high.value.is_finite() && high.slope.is_finite()) {
        return low.t + 0.1 * width;
    }
    let d1 = low.slope + high.slope - 3.0 * (high.value - low.value) / width;
    let root = (d1 * d1 - low.slope * high.slope).max(0.0).sqrt().copysign(width);
    let part = 1.0 - (high.slope + root - d1) / (high.slope - low.slope + 2.0 * root);
    let part = if part.is_finite() { part.clamp(0.1, 0.9) } else { 0.5 };
    low.t + part * width
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(f: impl Fn(f64) -> (f64, f64), first: f64) -> (Option<f64>, usize) {
        let (value, slope) = f(0.0);
        let mut evaluations = 0;
        let t = search(Sample { t: 0.0, value, slope }, first, 0.0, |t| {
            evaluations += 1;
            Ok(f(t))
        });
        (t.unwrap(), evaluations)
    }

    #[test]
    fn the_conditions_hold_from_any_first_length() {
        // f(t) = −t/(t² + 2), with its minimum at √2 (Moré and Thuente's first function), and a cosine with many.
        let smooth = |t: f64| {
            let q = t * t + 2.0;
            (-t / q, (t * t - 2.0) / (q * q))
        };
        let waves = |t: f64| ((20.0 * t).cos() * 0.01 - t, -0.2 * (20.0 * t).sin() - 1.0 + t * 0.0);
        for first in [1e-3, 0.1, 1.0, 10.0, 1e3] {
            let (t, evaluations) = found(smooth, first);
            let t = t.unwrap();
            let (value, slope) = smooth(t);
            assert!(value <= DECREASE * t * -0.5 && slope.abs() <= CURVATURE * 0.5, "{first}: {t}");
            assert!(evaluations <= 12, "{first}: {evaluations}");
            assert!(found(waves, first).0.is_some());
        }
    }

    #[test]
    fn a_length_beyond_the_domain_is_made_shorter() {
        let log = |t: f64| ((1.0 - t).ln().abs() - 2.0 * t, 1.0 / (1.0 - t) - 2.0);
        let log = |t: f64| if t < 1.0 { log(t) } else { (f64::NAN, f64::NAN) };
        let (t, _) = found(log, 64.0);
        assert!((t.unwrap() - 0.5).abs() < 0.45);
    }

    #[test]
    fn nothing_is_found_uphill() {
        // A function whose slope is not its own, as a wrong derivative gives it.
        assert_eq!(found(|t| (t * t, -1.0), 1.0).0, None);
    }
}
