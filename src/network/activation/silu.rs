//! h = u s(u) with the logistic function s, h′ = s + u s′, h″ = s′(2 − u tanh(u/2)).

use super::numeric::{Dd, EXP_MAX, Scaled, Sigmoid, clamped_pow2, ldexp, logistic, odd};
use super::{Definition, Initialization};
use crate::network::Series;

pub(super) struct Silu;

impl Definition for Silu {
    const ALIASES: &'static [&'static str] = &["swish"];
    const INITIALIZATION: Initialization = Initialization::He;

    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        let x = u.abs();
        let s = Sigmoid::new(x);
        let first = s.first();
        let second = first.product(Dd::from(2.0).sub(s.tanh().times(x)));
        let slope = first.times(u); // u s′
        let (value, slope, k) = if u < 0.0 {
            (s.small, slope, s.k)
        } else {
            (s.large, slope.scale(clamped_pow2(s.k)), 0.0)
        };
        if x > EXP_MAX {
            return if u > 0.0 { [u, 1.0, 0.0] } else { [-0.0; 3] };
        }
        [
            ldexp(value.by(u), k).copysign(u), // the product loses the sign of −0
            ldexp(value.add(slope).round(), k),
            ldexp(second, s.k),
        ]
    }

    fn series(a: &Series) -> Series {
        a * a.logistic()
    }

    fn derivative(u: f64, q: usize) -> f64 {
        // u s⁽q⁾ + q s⁽q⁻¹⁾
        let x = u.abs();
        if x > EXP_MAX {
            return 0.0;
        }
        let (a, b) = (logistic(x, q), logistic(x, q - 1));
        let k = a.k.max(b.k);
        let m = |s: Scaled, factor: f64| s.m.times(factor).scale(libm::scalbn(1.0, s.k - k));
        let at_size = Scaled { m: m(a, x).add(m(b, q as f64)), k };
        // silu − u/2 is even.
        odd(u, q + 1, at_size.round())
    }
}
