//! h = u, h′ = 1 for u > 0; h = u/100, h′ = 1/100 for u ≤ 0; h″ = 0.

use super::{Definition, Initialization, or_nan};
use crate::network::Series;

pub(super) struct LeakyRelu;

const SLOPE: f64 = 0.01;

impl Definition for LeakyRelu {
    const SECOND_IS_ZERO: bool = true;
    const INITIALIZATION: Initialization = Initialization::He;

    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        let slope = if u > 0.0 { 1.0 } else { SLOPE };
        or_nan(u, [slope * u, slope, 0.0])
    }

    fn series(a: &Series) -> Series {
        match a.coefficients()[0] {
            u if u > 0.0 => a.clone(),
            _ => a * SLOPE,
        }
    }

    fn derivative(_: f64, _: usize) -> f64 {
        0.0
    }
}
