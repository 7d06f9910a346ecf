//! h = 1 − e⁻ᵘ, h⁽q⁾ = (−1)^(q+1) e⁻ᵘ.

use super::Definition;
use super::numeric::{Dd, Exp, ldexp, sign};
use crate::network::Series;

pub(super) struct OneMinusExpNeg;

impl Definition for OneMinusExpNeg {
    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        let e = Exp::new(Dd::from(-u));
        let m = e.value();
        let z = ldexp(m.round(), e.k);
        // Beyond 2⁵³ the 1 is half an ULP at most.
        let h = if e.k > 53.0 { -z } else { e.beside_one(-1.0, m).round().copysign(u) };
        [h, z, -z]
    }

    fn series(a: &Series) -> Series {
        -(-a).expm1()
    }

    fn derivative(u: f64, q: usize) -> f64 {
        sign(q + 1) * Self::derivatives(u)[1]
    }
}
