//! Numbers beyond the range of doubles, and what derivatives of any order are made of.

use super::Dd;

/// (−1)^q
pub fn sign(q: usize) -> f64 {
    if q.is_multiple_of(2) { 1.0 } else { -1.0 }
}

/// The derivative of order q of an odd function (up to a constant) at u from the one at |u|.
pub fn odd(u: f64, q: usize, at_size: f64) -> f64 {
    if u < 0.0 { sign(q + 1) * at_size } else { at_size }
}

/// `2ᵏ m`: numbers that may leave the range of `f64`.
#[derive(Clone, Copy)]
pub struct Scaled {
    pub m: Dd,
    pub k: i32,
}

impl Scaled {
    pub const ONE: Self = Scaled { m: Dd::ONE, k: 0 };

    pub fn scaled(self, k: i32) -> Self {
        Scaled { m: self.m, k: self.k + k }
    }

    /// The product with a number between 2⁻³⁰⁰ and 2³⁰⁰, or 0.
    pub fn times(self, factor: Dd) -> Self {
        let m = self.m.mul(factor);
        let (power, k) = match m.hi.abs() {
            size if size > 1e100 => (-300, self.k + 300),
            size if size < 1e-100 => (300, self.k - 300),
            _ => (0, self.k),
        };
        Scaled { m: m.scale(2.0_f64.powi(power)), k }
    }

    pub fn round(self) -> f64 {
        libm::scalbn(self.m.round(), self.k)
    }
}

/// Π_r a_r/u for u ≥ 0: as many powers of 1/u as there are factors.
pub fn power(u: f64, factors: impl Iterator<Item = f64>) -> f64 {
    if u == 0.0 || u.is_infinite() {
        return 1.0 / u;
    }
    let (m, e) = libm::frexp(u);
    let inverse = Dd::from(m).recip();
    factors.fold(Scaled::ONE, |product, a| product.times(inverse.times(a)).scaled(-e)).round()
}

/// Re and Im of (u − ic)^−n, n ≥ 1, u ≥ 0, c > 0, as 2ᵏ times what is returned.
pub fn inverse_power(u: f64, c: Dd, n: usize) -> (Dd, Dd, i32) {
    // Around 1, so that nothing overflows.
    let e = libm::frexp(u.max(c.hi)).1;
    let (u, c) = (Dd::from(libm::scalbn(u, -e)), c.scale(libm::scalbn(1.0, -e)));
    let inverse = u.mul(u).add(c.mul(c)).recip();
    let (re, im) = (u.mul(inverse), c.mul(inverse));
    let (mut x, mut y) = (re, im);
    for _ in 1..n {
        (x, y) = (x.mul(re).sub(y.mul(im)), x.mul(im).add(y.mul(re)));
    }
    // |x + iy| ≤ 2^n: in range up to n = 171.
    (x, y, -e * n as i32)
}
