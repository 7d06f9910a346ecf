//! h = u/(1 + |u|), h′ = 1/(1 + |u|)², h″ = ∓2/(1 + |u|)³ for u ≷ 0.
//!
//! At u = 0, where h″ jumps from 2 to −2, the second and all higher derivatives are taken as 0.

use super::Definition;
use super::numeric::{Dd, Scaled, odd, sign};
use crate::network::Series;

pub(super) struct Elliot;

/// Beyond this, h is ±1, and the derivatives are 0.
const FAR: f64 = 1e170;

impl Definition for Elliot {
    const ALIASES: &'static [&'static str] = &["softsign"];

    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        let x = u.abs();
        let x = if x > FAR { FAR } else { x };
        let inverse = Dd::sum(1.0, x).recip();
        let square = inverse.mul(inverse);
        let second = square.twice().mul(inverse).round();
        [
            inverse.by(x).copysign(u),
            square.round(),
            if u == 0.0 { 0.0 } else { -second.copysign(u) },
        ]
    }

    fn series(a: &Series) -> Series {
        a / (1.0 + a.abs())
    }

    fn derivative(u: f64, q: usize) -> f64 {
        // For u > 0, (−1)^(q+1) q!/(1 + u)^(q+1).
        let x = u.abs();
        if x == 0.0 || x > 1e90 {
            return 0.0;
        }
        let inverse = Dd::sum(1.0, x).recip();
        let size = (1..=q)
            .fold(Scaled::ONE.times(inverse), |product, r| product.times(inverse.times(r as f64)));
        odd(u, q, sign(q + 1) * size.round())
    }
}
