//! h = arctan u, h′ = 1/(1 + u²), h″ = −2u/(1 + u²)².

use super::Definition;
use super::numeric::{Dd, Scaled, inverse_power, odd, sign};
use super::reciprocal::Reciprocal;
use crate::network::Series;

pub(super) struct Atan;

impl Definition for Atan {
    const ALIASES: &'static [&'static str] = &["arctan"];

    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        let [first, second] = if u.abs() > 1e30 {
            // 1 + u² = u² here, and u² may overflow.
            let [_, a, b] = Reciprocal::derivatives(u);
            [-a, -b]
        } else {
            let w = Dd::square(u).add(Dd::ONE).recip();
            [w.round(), w.mul(w).times(-2.0 * u).round()]
        };
        [libm::atan(u), first, second]
    }

    fn series(a: &Series) -> Series {
        a.atan()
    }

    fn derivative(u: f64, q: usize) -> f64 {
        odd(u, q, at_size(u.abs(), q))
    }
}

/// Returns the derivative of order q at u ≥ 0: `(−1)^(q−1) (q − 1)! Im (u − i)^−q`, from `arctan′ = Im 1/(u − i)`.
fn at_size(u: f64, q: usize) -> f64 {
    // q!/u^(q+1) is far below the smallest number.
    if u > 2.0_f64.powi(400) {
        return 0.0;
    }
    let (_, im, k) = inverse_power(u, Dd::ONE, q);
    let size = (1..q).fold(Scaled { m: im, k }, |product, r| product.times(Dd::from(r as f64)));
    sign(q - 1) * size.round()
}
