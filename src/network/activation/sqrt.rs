//! h = √u, h⁽q⁾ = ½ (½ − 1) … (½ − q + 1) u^(½ − q).

use super::Definition;
use super::numeric::{Dd, Scaled, sign};
use crate::network::Series;

pub(super) struct Sqrt;

impl Definition for Sqrt {
    const DOMAIN: &'static str = "u ≥ 0 (infinite derivatives at 0)";

    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        let root = u.sqrt();
        let mut first = 0.5 / root.abs(); // −0 counts as 0
        // Three roundings would be too many for h″. Take out the first two with
        // the residuals of the root and of the quotient, where none of these
        // underflow; h″ overflows long before they do.
        if (1e-250..f64::INFINITY).contains(&u) {
            let square = Dd::square(root);
            let of_root = ((u - square.hi) - square.lo) / u;
            let quotient = Dd::from(first).times(root);
            let of_quotient = (0.5 - quotient.hi) - quotient.lo;
            first += first * (2.0 * of_quotient - 0.5 * of_root);
        }
        [root, first, -0.5 * first / u.abs()]
    }

    fn series(a: &Series) -> Series {
        a.sqrt()
    }

    fn derivative(u: f64, q: usize) -> f64 {
        if u < 0.0 {
            return f64::NAN;
        }
        let u = u.abs();
        if u == 0.0 || u.is_infinite() {
            return sign(q - 1) / u;
        }
        // u = 2^(2e) m, 2 ≤ m < 8
        let (m, e) = libm::frexp(u);
        let (m, e) = if e % 2 == 0 { (4.0 * m, e - 2) } else { (8.0 * m, e - 3) };
        let (root, inverse) = (Dd::from(m).sqrt(), Dd::from(m).recip());
        (0..q)
            .fold(Scaled { m: root, k: e / 2 }, |product, r| {
                product.times(inverse.times(0.5 - r as f64)).scaled(-e)
            })
            .round()
    }
}
