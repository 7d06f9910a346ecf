//! h = e^(−u²/2), h′ = −u h, h″ = (u² − 1)h.

use super::Definition;
use super::numeric::{Hermite, gauss};
use crate::network::Series;

pub(super) struct GaussHalf;

impl Definition for GaussHalf {
    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        gauss(u, 0.5)
    }

    fn series(a: &Series) -> Series {
        a.gauss_half()
    }

    fn derivative(u: f64, q: usize) -> f64 {
        Hermite::new(u, 0.5, q).round(|p| p[0])
    }
}
