//! h = u, h′ = 1, h″ = 0.

use super::{Definition, or_nan};
use crate::network::Series;

pub(super) struct Identity;

impl Definition for Identity {
    const ALIASES: &'static [&'static str] = &["linear"];
    const SECOND_IS_ZERO: bool = true;

    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        or_nan(u, [u, 1.0, 0.0])
    }

    fn series(a: &Series) -> Series {
        a.clone()
    }

    fn derivative(_: f64, _: usize) -> f64 {
        0.0
    }
}
