//! h = 1/u, h⁽q⁾ = (−1)^q q!/u^(q+1).

use super::Definition;
use super::numeric::{Dd, power, sign};
use crate::network::Series;

pub(super) struct Reciprocal;

impl Definition for Reciprocal {
    const DOMAIN: &'static str = "u ≠ 0 (±∞ at ±0)";

    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        let inverse = 1.0 / u;
        if inverse == 0.0 || u == 0.0 {
            return [inverse, -(inverse * inverse), inverse * inverse * inverse];
        }
        let (m, e) = libm::frexp(u);
        let w = Dd::from(m).recip();
        let square = w.mul(w);
        [
            inverse,
            -libm::scalbn(square.round(), -2 * e),
            libm::scalbn(square.mul(w).round(), 1 - 3 * e),
        ]
    }

    fn series(a: &Series) -> Series {
        1.0 / a
    }

    fn derivative(u: f64, q: usize) -> f64 {
        let size = power(u.abs(), (0..=q).map(|r| r.max(1) as f64));
        if u.is_sign_negative() { -size } else { sign(q) * size }
    }
}
