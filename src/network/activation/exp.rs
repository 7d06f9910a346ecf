//! h = h′ = h″ = eᵘ.

use super::Definition;
use super::numeric::exp_rate;
use crate::network::Series;

pub(super) struct Exp;

impl Definition for Exp {
    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        exp_rate(u, 1.0)
    }

    fn series(a: &Series) -> Series {
        a.exp()
    }

    fn derivative(u: f64, _: usize) -> f64 {
        Self::derivatives(u)[0]
    }
}
