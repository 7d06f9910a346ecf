//! h = e^(−u²), h′ = −2u h, h″ = (4u² − 2)h.

use super::Definition;
use super::numeric::{Hermite, gauss};
use crate::network::Series;

pub(super) struct Gauss;

impl Definition for Gauss {
    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        gauss(u, 1.0)
    }

    fn series(a: &Series) -> Series {
        a.gauss()
    }

    fn derivative(u: f64, q: usize) -> f64 {
        Hermite::new(u, 1.0, q).round(|p| p[0])
    }
}
