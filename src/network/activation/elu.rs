//! h = u, h′ = 1, h″ = 0 for u > 0; h = eᵘ − 1, h′ = h″ = eᵘ for u ≤ 0.

use super::one_minus_exp_neg::OneMinusExpNeg;
use super::{Definition, Initialization};
use crate::network::Series;

pub(super) struct Elu;

impl Definition for Elu {
    const INITIALIZATION: Initialization = Initialization::He;

    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        let [h, first, _] = OneMinusExpNeg::derivatives(-u);
        if u > 0.0 { [u, 1.0, 0.0] } else { [-h, first, first] }
    }

    fn series(a: &Series) -> Series {
        match a.coefficients()[0] {
            u if u > 0.0 => a.clone(),
            _ => a.expm1(),
        }
    }

    fn derivative(u: f64, _: usize) -> f64 {
        Self::derivatives(u)[2]
    }
}
