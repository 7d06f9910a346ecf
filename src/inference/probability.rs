//! Upper tails and quantiles, accurate relative to themselves down to the smallest numbers: a tail is never 1 − cdf.
//!
//! Sources: Abramowitz and Stegun, *Handbook of Mathematical Functions*, §6.5, §26.5; Lentz's method for continued fractions.

use std::f64::consts::SQRT_2;

use libm::{erfc, exp, lgamma, log, log1p};

/// The law of a statistic, estimate over standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// Student's t with these degrees of freedom: the dispersion is estimated.
    T(f64),
    /// The standard normal: the dispersion is known.
    Normal,
}

impl Distribution {
    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Distribution::T(_) => "t",
            Distribution::Normal => "normal",
        }
    }

    /// Returns P(|T| ≥ |t|).
    ///
    /// ```
    /// use secondo::inference::Distribution;
    /// // Cauchy's distribution is t with one degree of freedom: half of it lies within ±1.
    /// assert!((Distribution::T(1.0).two_sided(1.0) - 0.5).abs() < 1e-15);
    /// assert!((Distribution::Normal.two_sided(1.959963984540054) - 0.05).abs() < 1e-15);
    /// ```
    pub fn two_sided(self, t: f64) -> f64 {
        match self {
            Distribution::Normal => erfc(t.abs() / SQRT_2),
            Distribution::T(df) => {
                // 1/(1 + t²/df) and its complement, which may not overflow.
                let ratio = (t / df.sqrt()).powi(2);
                let (x, y) = match ratio {
                    r if r > 1.0 => ((1.0 / r) / (1.0 + 1.0 / r), 1.0 / (1.0 + 1.0 / r)),
                    r => (1.0 / (1.0 + r), r / (1.0 + r)),
                };
                beta(x, y, 0.5 * df, 0.5)
            }
        }
    }

    /// Returns q with P(|T| ≤ q) = `level`; NaN for a level that is not between 0 and 1.
    pub fn quantile(self, level: f64) -> f64 {
        if !(0.0..=1.0).contains(&level) {
            return f64::NAN;
        }
        let tail = 1.0 - level;
        if self.two_sided(f64::MAX) > tail {
            return f64::INFINITY;
        }
        // Positive numbers have the order of their bits: 64 halvings find it.
        let (mut low, mut high) = (0, f64::MAX.to_bits());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.two_sided(f64::from_bits(middle)) > tail { low = middle } else { high = middle }
        }
        f64::from_bits(high)
    }
}

/// Returns P(χ² ≥ x) with `df` degrees of freedom.
pub fn chi2_upper(x: f64, df: f64) -> f64 {
    gamma_upper(0.5 * df, 0.5 * x)
}

/// Returns P(F ≥ f) with (d1, d2) degrees of freedom.
pub fn f_upper(f: f64, d1: f64, d2: f64) -> f64 {
    let (a, b) = (d1 * f, d2);
    beta(b / (a + b), a / (a + b), 0.5 * d2, 0.5 * d1)
}

/// The smallest factor of Lentz's method, in place of 0.
const TINY: f64 = 1e-300;
/// More terms than any continued fraction here needs.
const TERMS: usize = 100_000;

/// Returns the regularised incomplete beta function I_x(a, b), y = 1 − x.
fn beta(x: f64, y: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if y <= 0.0 {
        return 1.0;
    }
    // On the other side the fraction converges slowly.
    let tail = if x > (a + 1.0) / (a + b + 2.0) {
        1.0 - beta_tail(y, x, b, a)
    } else {
        beta_tail(x, y, a, b)
    };
    tail.clamp(0.0, 1.0)
}

/// Returns I_x(a, b) for an x that is not far above its mean.
fn beta_tail(x: f64, y: f64, a: f64, b: f64) -> f64 {
    let ln = |v: f64, rest: f64| if rest < 0.5 { log1p(-rest) } else { log(v) };
    let front = a * ln(x, y) + b * ln(y, x) + lgamma(a + b) - lgamma(a) - lgamma(b);
    exp(front) * beta_fraction(x, a, b) / a
}

/// Returns the continued fraction of I_x(a, b) by Lentz's method.
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    let away = |v: f64| if v.abs() < TINY { TINY } else { v };
    let (mut c, mut d) = (1.0, 1.0 / away(1.0 - (a + b) * x / (a + 1.0)));
    let mut value = d;
    for m in (1..TERMS).map(|m| m as f64) {
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut factor = 1.0;
        for term in [even, odd] {
            d = 1.0 / away(1.0 + term * d);
            c = away(1.0 + term / c);
            factor *= c * d;
        }
        value *= factor;
        if factor.is_nan() || (factor - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    value
}

/// Returns the regularised upper incomplete gamma function Q(a, x).
fn gamma_upper(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let front = exp(a * log(x) - x - lgamma(a));
    if x < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for k in (1..TERMS).map(|k| k as f64) {
            term *= x / (a + k);
            sum += term;
            if sum.is_nan() || term < sum * f64::EPSILON {
                break;
            }
        }
        return (1.0 - front * sum).clamp(0.0, 1.0);
    }
    let away = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1.0 / TINY, 1.0 / away(b));
    let mut value = d;
    for k in (1..TERMS).map(|k| k as f64) {
        let term = -k * (k - a);
        b += 2.0;
        d = 1.0 / away(term * d + b);
        c = away(b + term / c);
        value *= c * d;
        if value.is_nan() || (c * d - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    (front * value).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64, tolerance: f64) {
        let error = (found / expected - 1.0).abs();
        assert!(error < tolerance, "{found:e} for {expected:e}: {error:e}");
    }

    #[test]
    fn tails_agree_with_closed_forms_and_tables() {
        // χ² with 2 degrees of freedom is exponential; with 4 it is e^{−x/2}(1 + x/2).
        for x in [0.1, 1.0, 30.0, 600.0, 1300.0] {
            near(chi2_upper(x, 2.0), (-0.5 * x).exp(), 1e-12);
            near(chi2_upper(x, 4.0), (-0.5 * x).exp() * (1.0 + 0.5 * x), 1e-12);
            near(chi2_upper(x, 1.0), erfc((0.5 * x).sqrt()), 1e-12);
        }
        // t with 2 degrees of freedom: P(|T| ≥ t) = 1 − t/√(2 + t²) = 2/(√(2 + t²)(√(2 + t²) + t)).
        for t in [1e-3_f64, 0.5, 3.0, 1e8, 1e140] {
            let root = (2.0 + t * t).sqrt();
            near(Distribution::T(2.0).two_sided(t), 2.0 / root / (root + t), 1e-13);
        }
        // F with 2 degrees in the numerator: (1 + 2f/d)^{−d/2}; F(1, d) is t².
        for f in [0.2, 5.0, 4e4] {
            near(f_upper(f, 2.0, 139.0), (-69.5 * (2.0 * f / 139.0).ln_1p()).exp(), 1e-12);
            near(f_upper(f, 1.0, 17.0), Distribution::T(17.0).two_sided(f.sqrt()), 1e-12);
        }
        // 50-digit values of R and mpmath tables: P(F(5, 39.168829830005144) ≥ 18.550907713670572).
        near(f_upper(18.550907713670572, 5.0, 39.168829830005144), 2.0408690575355975e-9, 1e-12);
        near(chi2_upper(1120.531888878182, 5.0), 4.783098077308766e-240, 1e-10);
    }

    #[test]
    fn tails_reach_the_smallest_numbers() {
        let p = Distribution::T(139.0).two_sided(500.0);
        assert!(p > 1e-240 && p < 1e-200, "{p:e}");
        assert!(chi2_upper(1340.0, 1.0) > 1e-293);
        assert_eq!(f_upper(0.0, 3.0, 4.0), 1.0);
        assert_eq!(chi2_upper(0.0, 3.0), 1.0);
    }

    #[test]
    fn quantiles_invert_the_tails() {
        near(Distribution::Normal.quantile(0.95), 1.959_963_984_540_054, 1e-14);
        near(Distribution::T(1.0).quantile(0.5), 1.0, 1e-14);
        near(Distribution::T(17.0).quantile(0.95), 2.109_815_577_833_317, 1e-13);
    }
}
