//! h = max(u, 0); at the kink u = 0 every derivative is 0.

use super::{Definition, Initialization, or_nan};
use crate::network::Series;

pub(super) struct Relu;

impl Definition for Relu {
    const SECOND_IS_ZERO: bool = true;
    const INITIALIZATION: Initialization = Initialization::He;

    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        or_nan(u, if u > 0.0 { [u, 1.0, 0.0] } else { [0.0; 3] })
    }

    fn series(a: &Series) -> Series {
        a.relu()
    }

    fn derivative(_: f64, _: usize) -> f64 {
        0.0
    }
}
