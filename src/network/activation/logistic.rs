//! h = s = 1/(1 + e⁻ᵘ), h′ = s(1 − s), h″ = −s′ tanh(u/2).

use super::Definition;
use super::numeric::{Sigmoid, ldexp, logistic, odd};
use crate::network::Series;

pub(super) struct Logistic;

impl Definition for Logistic {
    const ALIASES: &'static [&'static str] = &["sigmoid"];

    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        let s = Sigmoid::new(u.abs());
        let slope = s.small.product(s.large);
        [s.logistic(u), ldexp(slope, s.k), -ldexp(s.tanh().by(slope), s.k).copysign(u)]
    }

    fn series(a: &Series) -> Series {
        a.logistic()
    }

    fn derivative(u: f64, q: usize) -> f64 {
        odd(u, q, logistic(u.abs(), q).round())
    }
}
