//! The logistic function, its kin and its derivatives of any order.

use std::f64::consts::PI;

use super::exponential::{LN_2, polynomial};
use super::{Dd, Exp, Scaled, clamped_pow2, inverse_power, ldexp, sign};

/// The terms of tanh, the logistic function, softplus and SiLU, for
/// `x ≥ 0` and `z = e⁻ˣ`. The fields marked `2ᵏ` are to be multiplied by it.
pub struct Sigmoid {
    pub k: f64,
    /// `z`, `2ᵏ`
    pub z: Dd,
    /// `1 − z`
    pub less: Dd,
    /// `s(x) = 1/(1 + z)`
    pub large: Dd,
    /// `s(−x) = z/(1 + z)`, `2ᵏ`: never `1 − s(x)`, which cancels
    pub small: Dd,
}

impl Sigmoid {
    #[inline(always)]
    pub fn new(x: f64) -> Self {
        let e = Exp::new(Dd::from(-x));
        let z = e.value();
        let large = e.beside_one(1.0, z).recip();
        Self { k: e.k, z, less: e.beside_one(-1.0, z), large, small: z.mul(large) }
    }

    /// `tanh(x/2) = (1 − z)/(1 + z)`
    #[inline(always)]
    pub fn tanh(&self) -> Dd {
        self.less.mul(self.large)
    }

    /// `s′(x) = z/(1 + z)²`, `2ᵏ`
    #[inline(always)]
    pub fn first(&self) -> Dd {
        self.small.mul(self.large)
    }

    /// `s(u)` for `x = |u|`.
    #[inline(always)]
    pub fn logistic(&self, u: f64) -> f64 {
        if u < 0.0 { ldexp(self.small.round(), self.k) } else { self.large.round() }
    }

    /// `ln(1 + z)`: with `c` that or, beyond √2, half of it,
    /// `ln c = y + y³/12 + y⁵/80 + …`, `y = 2 (c − 1)/(c + 1)`, where `|y| < 0.344`
    /// and the first term left out is below 2⁻⁶⁴ of the sum.
    #[inline(always)]
    pub fn ln_one_plus(&self) -> f64 {
        const SERIES: [f64; 11] = {
            let (mut terms, mut n, mut power) = ([0.0; 11], 0, 1.0);
            while n < terms.len() {
                power *= 4.0;
                terms[n] = 1.0 / ((2 * n + 3) as f64 * power);
                n += 1;
            }
            terms
        };
        let z = self.z.scale(clamped_pow2(self.k));
        let (ln, above, below) =
            if z.hi > 0.414 { (LN_2, self.less.scale(-1.0), 1.5) } else { (Dd::from(0.0), z, 1.0) };
        let y = above.mul(Dd::from(below).add_less(z.scale(0.5)).recip());
        let y = Dd::ordered(y.hi, y.lo);
        let square = y.hi * y.hi;
        let sum = Dd::ordered(ln.hi, y.hi);
        sum.hi + (sum.lo + (ln.lo + (y.lo + y.hi * square * polynomial(square, SERIES))))
    }
}

/// Returns the derivative of order q ≥ 1 of the logistic function at x ≥ 0.
///
/// With `z = e⁻ˣ` it is `(−1)^(q−1) z Σ_k A(q, k) (−z)^k/(1 + z)^(q+1)`, `A` the Eulerian numbers. Near 0 the terms of the sum are
/// about `(π/2)^(q+1)/2` times as large as the sum: pairs have digits to spare up to order 24. Beyond, the expansion in the poles
/// ±iπ, ±3iπ, … of the function takes over near 0: `(−1)^q q! Σ_c 2 Re (x − ic)^−(q+1)`, c = π, 3π, …
pub fn logistic(x: f64, q: usize) -> Scaled {
    // The loss of the sum of Eulerian numbers there, as a power of 2.
    let slope = if x > 0.0 { (0.5 * x).tanh() / x } else { 0.5 };
    let lost = (slope * x.hypot(PI)).log2() * (q + 1) as f64;
    if q > 24 && lost > 14.0 {
        return logistic_by_poles(x, q);
    }
    let s = Sigmoid::new(x);
    // Row q of the Eulerian numbers, by A(q, k) = (k + 1) A(q − 1, k) + (q − k) A(q − 1, k − 1).
    let mut row = vec![Dd::ONE];
    for n in 2..=q {
        let left = |k: usize| row.get(k).map(|v| v.times((k + 1) as f64));
        let above = |k: usize| k.checked_sub(1).map(|at| row[at].times((n - k) as f64));
        row = (0..n)
            .map(|k| match (left(k), above(k)) {
                (Some(a), Some(b)) => a.add(b),
                (a, b) => a.or(b).unwrap_or(Dd::ONE),
            })
            .collect();
    }
    let minus_z = s.z.scale(-clamped_pow2(s.k));
    let sum = (row.iter().rev()).fold(Dd::from(0.0), |sum, &a| sum.mul(minus_z).add(a));
    let product = Scaled { m: s.z.mul(sum).scale(sign(q - 1)), k: s.k as i32 };
    (0..=q).fold(product, |product, _| product.times(s.large))
}

/// The same by the expansion in the poles.
fn logistic_by_poles(x: f64, q: usize) -> Scaled {
    const TERMS: usize = 12;
    let pi = Dd { hi: PI, lo: 1.224_646_799_147_353_2e-16 };
    let at = |m: usize| inverse_power(x, pi.times((2 * m + 1) as f64), q + 1);
    let (first, _, k) = at(0);
    let sum = (1..TERMS).fold(first, |sum, m| {
        let (re, _, other) = at(m);
        sum.add(re.scale(libm::scalbn(1.0, other - k)))
    });
    let sum = Scaled { m: sum.scale(2.0 * sign(q)), k };
    (1..=q).fold(sum, |product, r| product.times(Dd::from(r as f64)))
}
