//! h = u Φ(u) = (u/2) erfc(−u/√2), with the normal distribution function Φ.
//!
//! With the density φ and Mills' ratio R, Φ(−x) = φ(x) R(x), so for x = |u|, h(−x) = −x R φ, h′(−x) = (R − x) φ, and then
//! h(x) = x + h(−x), h′(x) = 1 − h′(−x), h″(x) = h″(−x) = (2 − x²) φ.

use super::numeric::{Dd, GAUSS_MAX, Hermite, INV_SQRT_TAU, clamped_pow2, exp, ldexp, mills};
use super::{Definition, Initialization};
use crate::network::Series;

pub(super) struct Gelu;

impl Definition for Gelu {
    const INITIALIZATION: Initialization = Initialization::He;

    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        let x = u.abs();
        if x > GAUSS_MAX {
            return if u > 0.0 { [u, 1.0, -0.0] } else { [-0.0; 3] };
        }
        let square = Dd::square(u);
        let (m, k) = exp(square.scale(-0.5));
        let phi = m.mul(INV_SQRT_TAU);
        let ratio = mills(x.min(GAUSS_MAX)); // for NaN, too
        let (tail, slope) = (phi.mul(ratio), phi.mul(ratio.sub(Dd::from(x))));
        let second = phi.mul(Dd::from(2.0).sub(square));
        let (normal, first, e) = if u < 0.0 {
            (tail, slope, k)
        } else {
            let from_one = |x: Dd| Dd::ONE.sub(x.scale(clamped_pow2(k)));
            (from_one(tail), from_one(slope), 0.0)
        };
        [
            ldexp(normal.by(u), e).copysign(u), // as in `silu`
            ldexp(first.round(), e),
            ldexp(second.round(), k),
        ]
    }

    fn series(a: &Series) -> Series {
        a * a.normal_cdf()
    }

    fn derivative(u: f64, q: usize) -> f64 {
        // h⁽q⁾ = u φ⁽q⁻¹⁾ + q φ⁽q⁻²⁾ = φ⁽q⁻²⁾ − φ⁽q⁾
        Hermite::new(u, 0.5, q).round(|p| p[2].sub(p[0]).mul(INV_SQRT_TAU))
    }
}
