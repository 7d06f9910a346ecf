//! Derivatives of any order.
//!
//! Closed forms and recurrences, on pairs of doubles where terms can cancel; see the methods. What is promised is what
//! [`derivatives`](Activation::derivatives) promises: 2 ULP, and one smallest subnormal where the exact value is subnormal; the
//! neighbourhood of an interior zero of any derivative is held to 2⁻⁵² times its largest size within 1/4 of `u` instead. It was measured
//! for orders 3 to 8, 16 and 32 (`tests/orders.rs`): the largest error was 0.73 ULP, or that share of 2⁻⁵³ times the local scale.

use std::f64::consts::PI;

use super::{Activation, Dd, EXP_MAX, INV_SQRT_TAU, PI_LOW, Sigmoid, exp, ldexp, tame};
use crate::error::{Error, Result};
use crate::network::Series;

/// Beyond this, `exp(−c u²)` times any polynomial that an order up to [`Activation::MAX_ORDER`] has is 0.
const SQUARE_MAX: f64 = 2000.0;

impl Activation {
    /// The highest order that [`derivative`](Self::derivative) knows: 170! is the last factorial that `f64` holds, and beyond it
    /// most derivatives leave its range.
    pub const MAX_ORDER: usize = 170;

    /// `h⁽q⁾(u)` for any order `q` up to [`MAX_ORDER`](Self::MAX_ORDER): `h` itself for 0.
    ///
    /// Orders 0 to 2 are those of [`derivatives`](Self::derivatives), bit for bit. The others of the built-in activations keep to 2 ULP as well, or, near an
    /// interior zero of the derivative, to 2⁻⁵² times its largest size within 1/4 of `u`. NaN, and any `u` outside the
    /// [`domain`](Self::domain), gives NaN; ReLU's are 0 from `q = 2` on, at the kink, too; a value beyond the range of `f64` is infinite.
    ///
    /// ```
    /// use secondo::Activation;
    /// assert_eq!(Activation::Exp.derivative(1.0, 7)?, 1.0_f64.exp());
    /// assert_eq!(Activation::Tanh.derivative(0.0, 5)?, 16.0); // tanh u = u − u³/3 + 2u⁵/15 − …
    /// assert_eq!(Activation::Log.derivative(2.0, 4)?, -6.0 / 16.0);
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` for an order beyond [`MAX_ORDER`](Self::MAX_ORDER); of an activation that is not built in, what its
    /// [`series`](Self::series) reports.
    pub fn derivative(self, u: f64, order: usize) -> Result<f64> {
        let q = order;
        if q <= 2 {
            return Ok(self.derivatives(u)[q]);
        }
        if q > Self::MAX_ORDER {
            let why = format!(
                "{q} is beyond {}, the last whose factorial f64 holds",
                Self::MAX_ORDER
            );
            return Err(Error::invalid("order", why));
        }
        if u.is_nan() {
            return Ok(u);
        }
        Ok(match self {
            Self::Identity | Self::Relu => 0.0,
            Self::Tanh => {
                // tanh u = 2 s(2u) − 1
                let s = logistic(2.0 * u.abs(), q);
                odd(u, q, s.scaled(q as i32 + 1).round())
            }
            Self::Logistic => odd(u, q, logistic(u.abs(), q).round()),
            Self::Softplus => odd(u, q - 1, logistic(u.abs(), q - 1).round()),
            Self::Silu => silu(u, q),
            Self::Exp => self.derivatives(u)[0],
            Self::ExpNegHalf => {
                let (m, k) = exp(Dd::from(-0.5 * u));
                sign(q) * ldexp(m.round() * 0.5_f64.powi(q as i32), k)
            }
            Self::OneMinusExpNeg => sign(q + 1) * self.derivatives(u)[1],
            Self::Gauss => Hermite::new(u, 1.0, q).round(|p| p[0]),
            Self::GaussHalf => Hermite::new(u, 0.5, q).round(|p| p[0]),
            // h⁽q⁾ = u φ⁽q⁻¹⁾ + q φ⁽q⁻²⁾ = φ⁽q⁻²⁾ − φ⁽q⁾, φ the density
            Self::Gelu => Hermite::new(u, 0.5, q).round(|p| p[2].sub(p[0]).mul(INV_SQRT_TAU)),
            Self::Sin | Self::Cos => {
                let [h, first, second] = self.derivatives(u);
                [h, first, second, -first][q % 4]
            }
            // (−1)^(q−1) (q − 1)!/u^q
            Self::Log if u < 0.0 => f64::NAN,
            Self::Log => sign(q - 1) * power(u.abs(), (1..=q).map(|r| (r - 1).max(1) as f64)),
            // ½ (½ − 1) … (½ − q + 1) u^(½ − q)
            Self::Sqrt if u < 0.0 => f64::NAN,
            Self::Sqrt => sqrt(u.abs(), q),
            // (−1)^q q!/u^(q + 1)
            Self::Reciprocal => {
                let size = power(u.abs(), (0..=q).map(|r| r.max(1) as f64));
                if u.is_sign_negative() {
                    -size
                } else {
                    sign(q) * size
                }
            }
            Self::Atan => odd(u, q, atan(u.abs(), q)),
            // k! c_k of its own series.
            Self::Custom(_) => {
                let h = self.series(&Series::variable(u, q))?;
                h.derivatives().get(q).copied().unwrap_or(f64::NAN)
            }
        })
    }
}

/// (−1)^q
fn sign(q: usize) -> f64 {
    if q.is_multiple_of(2) { 1.0 } else { -1.0 }
}

/// The derivative of order q of an odd function (up to a constant) at u from the one at |u|.
fn odd(u: f64, q: usize, at_size: f64) -> f64 {
    if u < 0.0 {
        sign(q + 1) * at_size
    } else {
        at_size
    }
}

/// `2ᵏ m`: numbers that may leave the range of `f64`.
#[derive(Clone, Copy)]
struct Scaled {
    m: Dd,
    k: i32,
}

impl Scaled {
    const ONE: Self = Scaled { m: Dd::ONE, k: 0 };

    fn scaled(self, k: i32) -> Self {
        Scaled {
            m: self.m,
            k: self.k + k,
        }
    }

    /// The product with a number between 2⁻³⁰⁰ and 2³⁰⁰, or 0.
    fn times(self, factor: Dd) -> Self {
        let m = self.m.mul(factor);
        let (power, k) = match m.hi.abs() {
            size if size > 1e100 => (-300, self.k + 300),
            size if size < 1e-100 => (300, self.k - 300),
            _ => (0, self.k),
        };
        Scaled {
            m: m.scale(2.0_f64.powi(power)),
            k,
        }
    }

    fn round(self) -> f64 {
        libm::scalbn(self.m.round(), self.k)
    }
}

/// Π_r a_r/u for u ≥ 0: as many powers of 1/u as there are factors.
fn power(u: f64, factors: impl Iterator<Item = f64>) -> f64 {
    if u == 0.0 || u.is_infinite() {
        return 1.0 / u;
    }
    let (m, e) = libm::frexp(u);
    let inverse = Dd::from(m).recip();
    factors
        .fold(Scaled::ONE, |product, a| {
            product.times(inverse.times(a)).scaled(-e)
        })
        .round()
}

fn sqrt(u: f64, q: usize) -> f64 {
    if u == 0.0 || u.is_infinite() {
        return sign(q - 1) / u;
    }
    // u = 2^(2e) m, 2 ≤ m < 8
    let (m, e) = libm::frexp(u);
    let (m, e) = if e % 2 == 0 {
        (4.0 * m, e - 2)
    } else {
        (8.0 * m, e - 3)
    };
    let (root, inverse) = (Dd::from(m).sqrt(), Dd::from(m).recip());
    (0..q)
        .fold(Scaled { m: root, k: e / 2 }, |product, r| {
            product.times(inverse.times(0.5 - r as f64)).scaled(-e)
        })
        .round()
}

/// Re and Im of (u − ic)^−n, n ≥ 1, u ≥ 0, c > 0, as 2ᵏ times what is returned.
fn inverse_power(u: f64, c: Dd, n: usize) -> (Dd, Dd, i32) {
    // Around 1, so that nothing overflows.
    let e = libm::frexp(u.max(c.hi)).1;
    let (u, c) = (
        Dd::from(libm::scalbn(u, -e)),
        c.scale(libm::scalbn(1.0, -e)),
    );
    let inverse = u.mul(u).add(c.mul(c)).recip();
    let (re, im) = (u.mul(inverse), c.mul(inverse));
    let (mut x, mut y) = (re, im);
    for _ in 1..n {
        (x, y) = (x.mul(re).sub(y.mul(im)), x.mul(im).add(y.mul(re)));
    }
    // |x + iy| ≤ 2^n: in range up to n = 171.
    (x, y, -e * n as i32)
}

/// `(−1)^(q−1) (q − 1)! Im (u − i)^−q`, from `arctan′ = Im 1/(u − i)`, for u ≥ 0.
fn atan(u: f64, q: usize) -> f64 {
    // q!/u^(q+1) is far below the smallest number.
    if u > 2.0_f64.powi(400) {
        return 0.0;
    }
    let (_, im, k) = inverse_power(u, Dd::ONE, q);
    let size = (1..q).fold(Scaled { m: im, k }, |product, r| {
        product.times(Dd::from(r as f64))
    });
    sign(q - 1) * size.round()
}

/// The derivative of order q ≥ 1 of the logistic function at x ≥ 0.
///
/// With `z = e⁻ˣ` it is `(−1)^(q−1) z Σ_k A(q, k) (−z)^k/(1 + z)^(q+1)`, `A` the Eulerian numbers. Near 0 the terms of the sum are
/// about `(π/2)^(q+1)/2` times as large as the sum: pairs have digits to spare up to order 24. Beyond, the expansion in the poles
/// ±iπ, ±3iπ, … of the function takes over near 0: `(−1)^q q! Σ_c 2 Re (x − ic)^−(q+1)`, c = π, 3π, …
fn logistic(x: f64, q: usize) -> Scaled {
    // What the sum of Eulerian numbers loses there, as a power of 2.
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
    let minus_z = s.z.scale(-tame(s.k));
    let sum = (row.iter().rev()).fold(Dd::from(0.0), |sum, &a| sum.mul(minus_z).add(a));
    let product = Scaled {
        m: s.z.mul(sum).scale(sign(q - 1)),
        k: s.k as i32,
    };
    (0..=q).fold(product, |product, _| product.times(s.large))
}

fn logistic_by_poles(x: f64, q: usize) -> Scaled {
    const TERMS: usize = 12;
    let pi = Dd { hi: PI, lo: PI_LOW };
    let at = |m: usize| inverse_power(x, pi.times((2 * m + 1) as f64), q + 1);
    let (first, _, k) = at(0);
    let sum = (1..TERMS).fold(first, |sum, m| {
        let (re, _, other) = at(m);
        sum.add(re.scale(libm::scalbn(1.0, other - k)))
    });
    let sum = Scaled {
        m: sum.scale(2.0 * sign(q)),
        k,
    };
    (1..=q).fold(sum, |product, r| product.times(Dd::from(r as f64)))
}

/// `u s⁽q⁾ + q s⁽q⁻¹⁾`
fn silu(u: f64, q: usize) -> f64 {
    let x = u.abs();
    if x > EXP_MAX {
        return 0.0;
    }
    let (a, b) = (logistic(x, q), logistic(x, q - 1));
    let k = a.k.max(b.k);
    let m = |s: Scaled, factor: f64| s.m.times(factor).scale(libm::scalbn(1.0, s.k - k));
    let at_size = Scaled {
        m: m(a, x).add(m(b, q as f64)),
        k,
    };
    // silu − u/2 is even.
    odd(u, q + 1, at_size.round())
}

/// The derivatives of exp(−c u²) of the orders q, q − 1 and q − 2: `p` times it.
struct Hermite {
    p: [Dd; 3],
    /// exp(−c u²/2) = 2ᵏ m
    m: Dd,
    k: f64,
    /// Whether anything is left of it.
    vanishes: bool,
}

impl Hermite {
    /// By `p_{r+1} = −2c (u p_r + r p_{r−1})`; 2c is a power of two.
    fn new(u: f64, c: f64, q: usize) -> Self {
        let vanishes = c * u * u > SQUARE_MAX;
        let u = if vanishes { 0.0 } else { u };
        let d = -2.0 * c;
        let mut p = [Dd::ONE, Dd::from(0.0), Dd::from(0.0)];
        for r in 0..q {
            let next = p[0].times(u).add(p[1].times(r as f64)).scale(d);
            p = [next, p[0], p[1]];
        }
        // The half, so that what is large only together with p does not vanish before.
        let (m, k) = exp(Dd::square(u).scale(-0.5 * c));
        Hermite { p, m, k, vanishes }
    }

    /// What `of` makes of the polynomials, times exp(−c u²).
    fn round(&self, of: impl Fn(&[Dd; 3]) -> Dd) -> f64 {
        if self.vanishes {
            return 0.0;
        }
        let (p, m, k) = (of(&self.p), self.m, self.k as i32);
        Scaled { m: p, k: 2 * k }.times(m).times(m).round()
    }
}
