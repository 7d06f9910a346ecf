//! h = sin u, h′ = cos u, h″ = −sin u.

use super::Definition;
use crate::network::Series;

pub(super) struct Sin;

impl Definition for Sin {
    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        let (s, c) = libm::sincos(u);
        [s, c, -s]
    }

    fn series(a: &Series) -> Series {
        a.sin_cos().0
    }

    fn derivative(u: f64, q: usize) -> f64 {
        let [h, first, second] = Self::derivatives(u);
        [h, first, second, -first][q % 4]
    }
}
