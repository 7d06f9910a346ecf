//! h = tanh u = 2s(2u) − 1 = (1 − z)/(1 + z), with the logistic function s and z = e⁻²ᵘ.

use super::Definition;
use super::numeric::{Sigmoid, ldexp, logistic, odd};
use crate::network::Series;

pub(super) struct Tanh;

impl Definition for Tanh {
    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        let s = Sigmoid::new(u.abs() + u.abs());
        let twice = s.large.twice();
        let (value, slope) = (s.less.product(s.large), s.z.mul(twice).product(twice));
        [
            value.copysign(u),
            ldexp(slope, s.k),
            // −2 h h′: three roundings, half an ULP each.
            -ldexp((value + value) * slope, s.k).copysign(u),
        ]
    }

    fn series(a: &Series) -> Series {
        a.tanh()
    }

    fn derivative(u: f64, q: usize) -> f64 {
        let s = logistic(2.0 * u.abs(), q);
        odd(u, q, s.scaled(q as i32 + 1).round())
    }
}
