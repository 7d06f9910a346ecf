//! h = ln u, h⁽q⁾ = (−1)^(q−1) (q − 1)!/u^q.

use super::Definition;
use super::numeric::{power, sign};
use crate::network::Series;

pub(super) struct Log;

impl Definition for Log {
    const ALIASES: &'static [&'static str] = &["ln"];
    const DOMAIN: &'static str = "u > 0 (−∞ at 0)";

    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        if u < 0.0 {
            return [f64::NAN; 3];
        }
        let inverse = 1.0 / u.abs(); // −0 counts as 0
        [libm::log(u), inverse, -inverse / u.abs()]
    }

    fn series(a: &Series) -> Series {
        a.log()
    }

    fn derivative(u: f64, q: usize) -> f64 {
        if u < 0.0 {
            return f64::NAN;
        }
        sign(q - 1) * power(u.abs(), (1..=q).map(|r| (r - 1).max(1) as f64))
    }
}
