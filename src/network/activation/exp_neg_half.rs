//! h = e^(−u/2), h⁽q⁾ = (−1/2)^q h.

use super::Definition;
use super::numeric::{Dd, exp, exp_rate, ldexp, sign};
use crate::network::Series;

pub(super) struct ExpNegHalf;

impl Definition for ExpNegHalf {
    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        exp_rate(u, -0.5)
    }

    fn series(a: &Series) -> Series {
        (a * -0.5).exp()
    }

    fn derivative(u: f64, q: usize) -> f64 {
        let (m, k) = exp(Dd::from(-0.5 * u));
        sign(q) * ldexp(m.round() * 0.5_f64.powi(q as i32), k)
    }
}
