//! The exponential function on pairs of doubles.

use std::f64::consts::LOG2_E;

use super::Dd;

/// Beyond this, `u e^{−|u|}` and the like are 0 and `e^{|u|/2}/4` is infinite,
/// for doubles with room to spare. Exponents are clamped to it.
pub const EXP_MAX: f64 = 1000.0;

pub const LN_2: Dd = Dd { hi: std::f64::consts::LN_2, lo: 2.319_046_813_846_299_6e-17 };

/// The spacing of doubles there is 1: adding it leaves the nearest integer, in
/// two's complement in the low bits.
pub const INTEGER: f64 = 1.5 * (1_u64 << 52) as f64;

/// `eˣ = 2ᵏ (1 + r + rest)`, `|r| < 0.347`, `|rest| < 0.07`
pub struct Exp {
    pub k: f64,
    r: f64,
    rest: f64,
}

impl Exp {
    /// Relative error of `value` below 2⁻⁵⁴·⁵.
    #[inline(always)]
    pub fn new(x: Dd) -> Self {
        // ln 2 in two parts: 41 bits, whose products with k < 2¹² are exact, and 53 more.
        const HIGH: f64 = f64::from_bits(LN_2.hi.to_bits() & (u64::MAX << 12));
        const LOW: f64 = (LN_2.hi - HIGH) + LN_2.lo;
        // (eʳ − 1 − r)/r², interpolated at the 11 nodes of Chebyshev of |r| < 0.347: off by less than 2⁻⁶¹ of eʳ.
        const SERIES: [f64; 11] = [
            0.5,
            0.166_666_666_666_666_7,
            0.041_666_666_666_666_67,
            0.008_333_333_333_326_136,
            0.001_388_888_888_888_374_8,
            0.000_198_412_698_748_206_27,
            2.480_158_732_554_774_3e-5,
            2.755_725_540_020_642_2e-6,
            2.755_727_364_311_03e-7,
            2.510_521_700_472_074_5e-8,
            2.091_468_696_808_687_6e-9,
        ];
        let hi = x.hi.clamp(-EXP_MAX, EXP_MAX);
        let k = hi.mul_add(LOG2_E, INTEGER) - INTEGER;
        let (r, low) = (k.mul_add(-HIGH, hi), k.mul_add(-LOW, x.lo));
        let t = r + low;
        Self { k, r, rest: (t * t).mul_add(polynomial(t, SERIES), low) }
    }

    /// `2⁻ᵏ eˣ`
    #[inline(always)]
    pub fn value(&self) -> Dd {
        let one = Dd::ordered(1.0, self.r);
        Dd::ordered(one.hi, one.lo + self.rest)
    }

    /// `1 + c eˣ` for `c = ±1`, `z` its `value` and `k ≤ 53`. For `k ≤ 0`, `hi` and what it lacks are exact, and where `hi`
    /// cancels, `lo` has the digits: a relative error below 2⁻⁵³·⁴; for others below 2⁻⁵².
    #[inline(always)]
    pub fn beside_one(&self, c: f64, z: Dd) -> Dd {
        let power = c * clamped_pow2(self.k);
        let hi = power.mul_add(z.hi, 1.0);
        let rest = power.mul_add(z.hi, 1.0 - hi);
        Dd { hi, lo: power.mul_add(z.lo, rest) }
    }
}

/// `eˣ = 2ᵏ m` as `(m, k)`.
#[inline(always)]
pub fn exp(x: Dd) -> (Dd, f64) {
    let e = Exp::new(x);
    (e.value(), e.k)
}

/// `Σ cₙ tⁿ`, in fours (Estrin): lanes wait for one chain of operations only,
/// which Horner's would make long.
#[inline(always)]
pub fn polynomial<const N: usize>(t: f64, c: [f64; N]) -> f64 {
    let t2 = t * t;
    let t4 = t2 * t2;
    let two = |n: usize| {
        if n + 1 < N { t.mul_add(c[n + 1], c[n]) } else { c[n] }
    };
    let four = |n: usize| {
        if n + 2 < N { t2.mul_add(two(n + 2), two(n)) } else { two(n) }
    };
    let last = (N - 1) / 4;
    (0..last).rev().fold(four(4 * last), |sum, n| sum.mul_add(t4, four(4 * n)))
}

/// `2ᵏ` for `|k| ≤ 1022`.
#[inline(always)]
pub fn pow2(k: f64) -> f64 {
    f64::from_bits((k + (INTEGER + 1023.0)).to_bits() << 52)
}

/// The nearest to `k` of what both [`pow2`] and pairs can do.
#[inline(always)]
pub fn clamped(k: f64) -> f64 {
    k.clamp(-750.0, 750.0)
}

/// `2ᵏ`, but for terms beside which nothing of it matters where it is too small.
#[inline(always)]
pub fn clamped_pow2(k: f64) -> f64 {
    pow2(clamped(k))
}

/// `2ᵏ x` for `|k| ≤ 1500`, subnormal or infinite if need be: only the last
/// of the products can round.
#[inline(always)]
pub fn ldexp(x: f64, k: f64) -> f64 {
    x * clamped_pow2(k) * pow2(k - clamped(k))
}

/// `e^{cu}` for a power of two `c`, up to its sign.
#[inline(always)]
pub fn exp_rate(u: f64, c: f64) -> [f64; 3] {
    let (m, k) = exp(Dd::from(c * u));
    let m = m.round();
    [ldexp(m, k), ldexp(m * c, k), ldexp(m * (c * c), k)]
}
