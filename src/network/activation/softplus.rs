//! h = ln(1 + eᵘ) = max(u, 0) + ln(1 + z), z = e^−|u|; h′ is the logistic function.

use super::Definition;
use super::numeric::{Sigmoid, ldexp, logistic, odd};
use crate::network::Series;

pub(super) struct Softplus;

impl Definition for Softplus {
    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        let s = Sigmoid::new(u.abs());
        // Below 2⁻⁶⁰, ln(1 + z) is z, and this form has its smallest ones, too.
        let tail = if s.k < -60.0 { ldexp(s.z.round(), s.k) } else { s.ln_one_plus() };
        [u.max(0.0) + tail, s.logistic(u), ldexp(s.small.product(s.large), s.k)]
    }

    fn series(a: &Series) -> Series {
        a.softplus()
    }

    fn derivative(u: f64, q: usize) -> f64 {
        odd(u, q - 1, logistic(u.abs(), q - 1).round())
    }
}
