//! The normal distribution: its density, its derivatives of any order and Mills' ratio.

use std::sync::LazyLock;

use super::{Dd, Scaled, exp, ldexp};

/// Beyond this, `exp(−c u²)` times any polynomial that an order up to [`Activation::MAX_ORDER`](crate::Activation::MAX_ORDER) has is 0.
const SQUARE_MAX: f64 = 2000.0;

/// Beyond this, `(u² + 1) exp(−u²/2)` is below a quarter of the smallest subnormal.
pub const GAUSS_MAX: f64 = 40.0;

/// `exp(−c u²)` for a power of two `c`: the rounding error of `u²`, up to
/// 2⁻⁴⁴ where the result is small, is carried into the exponent.
#[inline(always)]
pub fn gauss(u: f64, c: f64) -> [f64; 3] {
    let square = Dd::square(u);
    let (m, k) = exp(square.scale(-c));
    let d = 2.0 * c;
    if u.abs() > GAUSS_MAX {
        return [0.0, -0.0_f64.copysign(u), 0.0];
    }
    [
        ldexp(m.round(), k),
        -ldexp(m.by(d * u), k),
        ldexp(square.scale(d).sub(Dd::ONE).product(m) * d, k),
    ]
}

const SQRT_HALF_PI: Dd = Dd { hi: 1.253_314_137_315_500_3, lo: -9.164_289_990_229_583e-17 };
pub const INV_SQRT_TAU: Dd = Dd { hi: 0.398_942_280_401_432_7, lo: -2.492_327_202_277_73e-17 };

/// Returns Mills' ratio `R(x) = e^{x²/2} ∫ₓ^∞ e^{−t²/2} dt` for `0 ≤ x ≤ 40`, relative error below
/// 2⁻⁵⁵: a Taylor series to degree 14 about the nearest of 55 nodes, the
/// doubles with 5 significant bits less 4. The steps between them are 1/4 at
/// first and 2 at last; the next term is below 2⁻⁶⁴ of the sum.
#[inline(always)]
pub fn mills(x: f64) -> Dd {
    let nearest = ((x + 4.0).to_bits() + (1 << (NODE_SHIFT - 1))) >> NODE_SHIFT;
    // A NaN that came through a minimum, as a signalling one does on ARM, stays one.
    let node = &NODES[((nearest - FIRST_NODE) as usize).min(NODE_COUNT - 1)];
    let t = x - node_at(nearest); // exact
    let [mut even, mut odd] = [0.0; 2];
    for pair in node.terms.chunks_exact(2).rev() {
        even = even * (t * t) + pair[0];
        odd = odd * (t * t) + pair[1];
    }
    // The series less its first term is below 1/8 of it: so is its error.
    let sum = Dd::ordered(node.value.hi, t * (even + t * odd));
    Dd::ordered(sum.hi, sum.lo + node.value.lo)
}

/// `R` at a node, and the Taylor coefficients of degrees 1 to 14 there.
#[derive(Clone, Copy)]
struct Node {
    value: Dd,
    terms: [f64; TERMS],
}

const TERMS: usize = 14;
const NODE_COUNT: usize = 55;
const NODE_SHIFT: u32 = 52 - 4;
const FIRST_NODE: u64 = 4.0_f64.to_bits() >> NODE_SHIFT;

const fn node_at(bits: u64) -> f64 {
    f64::from_bits(bits << NODE_SHIFT) - 4.0
}

static NODES: LazyLock<[Node; NODE_COUNT]> =
    LazyLock::new(|| std::array::from_fn(|i| Node::new(node_at(FIRST_NODE + i as u64))));

impl Node {
    /// By `R′ = xR − 1` the Taylor coefficients `(−1)ⁿ bₙ` of `R` have
    /// `bₙ₋₁ = x bₙ + (n + 1) bₙ₊₁`, `b₋₁ = 1`. They are the least solution of
    /// that recurrence, hence their ratios `ρₙ = bₙ/bₙ₋₁` are found downwards,
    /// `ρₙ = 1/(x + (n + 1) ρₙ₊₁)`: the start is forgotten like
    /// `exp(−2x√n)`, which 600/x² steps bring to 2⁻⁷⁰. At 0, where it never
    /// is, `b₀ = √(π/2)` starts them upwards.
    fn new(x: f64) -> Self {
        let mut ratios = [Dd::ONE; TERMS + 1];
        if x == 0.0 {
            ratios[0] = SQRT_HALF_PI;
            let mut n = 0;
            while n < TERMS {
                ratios[n + 1] = ratios[n].times((n + 1) as f64).recip();
                n += 1;
            }
        } else {
            let mut n = 60 + (600.0 / (x * x)) as usize;
            let mut ratio = Dd::from(0.0);
            while n > 0 {
                n -= 1;
                // here `ratio` is ρₙ₊₁, to become ρₙ
                ratio = ratio.times((n + 1) as f64).add(Dd::from(x)).recip();
                if n <= TERMS {
                    ratios[n] = ratio;
                }
            }
        }
        let mut terms = [0.0; TERMS];
        let (mut b, mut n) = (ratios[0], 0);
        while n < TERMS {
            b = b.mul(ratios[n + 1]).scale(-1.0);
            terms[n] = b.round();
            n += 1;
        }
        Self { value: ratios[0], terms }
    }
}

/// The derivatives of exp(−c u²) of the orders q, q − 1 and q − 2: `p` times it.
pub struct Hermite {
    p: [Dd; 3],
    /// exp(−c u²/2) = 2ᵏ m
    m: Dd,
    k: f64,
    /// Whether anything is left of it.
    vanishes: bool,
}

impl Hermite {
    /// By `p_{r+1} = −2c (u p_r + r p_{r−1})`; 2c is a power of two.
    pub fn new(u: f64, c: f64, q: usize) -> Self {
        let vanishes = c * u * u > SQUARE_MAX;
        let u = if vanishes { 0.0 } else { u };
        let d = -2.0 * c;
        let mut p = [Dd::ONE, Dd::from(0.0), Dd::from(0.0)];
        for r in 0..q {
            let next = p[0].times(u).add(p[1].times(r as f64)).scale(d);
            p = [next, p[0], p[1]];
        }
        // The half, so that what is large only together with p does not vanish before.
        let (m, k) = exp(Dd::square(u).scale(-0.5 * c));
        Hermite { p, m, k, vanishes }
    }

    /// Returns `of` the three polynomials, times exp(−c u²).
    pub fn round(&self, of: impl Fn(&[Dd; 3]) -> Dd) -> f64 {
        if self.vanishes {
            return 0.0;
        }
        let (p, m, k) = (of(&self.p), self.m, self.k as i32);
        Scaled { m: p, k: 2 * k }.times(m).times(m).round()
    }
}
