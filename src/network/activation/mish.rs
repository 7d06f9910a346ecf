//! h = u t, h′ = t + u t′, h″ = 2t′ + u t″ with t = tanh ln(1 + eᵘ).
//!
//! t = 1 − 2/((1 + eᵘ)² + 1): with z = e^−|u| for u < 0 and u ≥ 0
//!
//! ```text
//! u < 0:  D = 2 + 2z + z²    t = z(2 + z)/D     t′ = 4z(1 + z)/D²     t″ = 4z(2 + 2z − 3z² − 2z³)/D³
//! u ≥ 0:  D = 1 + 2z + 2z²   t = (1 + 2z)/D     t′ = 4z²(1 + z)/D²    t″ = 4z²(2z³ + 2z² − 3z − 2)/D³
//! ```

use super::numeric::{Dd, EXP_MAX, Exp, Scaled, clamped_pow2, ldexp};
use super::{Definition, Initialization};
use crate::network::Series;

pub(super) struct Mish;

impl Definition for Mish {
    const INITIALIZATION: Initialization = Initialization::He;

    #[inline(always)]
    fn derivatives(u: f64) -> [f64; 3] {
        let x = u.abs();
        let e = Exp::new(Dd::from(-x));
        let m = e.value(); // z = 2ᵏ m
        let z = m.scale(clamped_pow2(e.k));
        let (square, twice) = (z.mul(z), z.twice());
        let cube = square.mul(twice); // 2z³
        let (two, three) = (Dd::from(2.0), square.times(3.0));
        let (d, numerator, second, factor, k) = if u < 0.0 {
            let second = two.add(twice).sub(three).sub(cube);
            (two.add(twice).add(square), two.add(z), second, m, e.k)
        } else {
            let second = cube.add(square.twice()).sub(z.times(3.0)).sub(two);
            let d = Dd::ONE.add(twice).add(square.twice());
            let k = (2.0 * e.k).max(-1500.0);
            (d, Dd::ONE.add(twice), second, m.mul(m), k)
        };
        let inverse = d.recip();
        let t = numerator.mul(inverse);
        // 2⁻ᵏ t′ and 2⁻ᵏ h″
        let scale = factor.mul(inverse).scale(4.0);
        let slope = Dd::ONE.add(z).mul(inverse);
        let bracket = slope.twice().add(second.mul(inverse).mul(inverse).times(u));
        let slope = scale.mul(slope).times(u);
        let (value, first, e) = if u < 0.0 {
            (t.mul(m), t.mul(m).add(slope), k)
        } else {
            (t, t.add(slope.scale(clamped_pow2(k))), 0.0)
        };
        if x > EXP_MAX {
            return if u > 0.0 { [u, 1.0, 0.0] } else { [-0.0; 3] };
        }
        [
            ldexp(value.by(u), e).copysign(u), // the product loses the sign of −0
            ldexp(first.round(), e),
            ldexp(scale.product(bracket), k),
        ]
    }

    fn series(a: &Series) -> Series {
        a * a.softplus().tanh()
    }

    fn derivative(u: f64, q: usize) -> f64 {
        // u t⁽q⁾ + q t⁽q⁻¹⁾ = q! c_q with c_q = u t_q + t_{q−1}, t_k the coefficients of the series of t in steps of 2: they
        // neither overflow nor underflow.
        const STEP: f64 = 2.0;
        let x = u.abs();
        if x > EXP_MAX {
            return 0.0;
        }
        let e = Exp::new(Dd::from(-x));
        let m = e.value();
        let z = m.scale(clamped_pow2(e.k));
        // The coefficients of e^(cτ), τ in steps.
        let exp = |c: f64| {
            let next = move |c_k: Dd, k: usize| c_k.times(c * STEP).mul(Dd::from(k as f64).recip());
            let mut all = vec![Dd::ONE];
            for k in 1..=q {
                all.push(next(all[k - 1], k));
            }
            all
        };
        // 1 − t = 2/D for u < 0, 2z²/D for u ≥ 0, without the factor 2ᵏ that it has with z: for u < 0 t itself, z(2 + z)/D.
        let (one, two) = if u < 0.0 { (exp(1.0), exp(2.0)) } else { (exp(-1.0), exp(-2.0)) };
        let square = z.mul(z);
        let (numerator, d, factor, k): (Vec<Dd>, Vec<Dd>, Dd, i32) = if u < 0.0 {
            let n = |k: usize| one[k].twice().add(two[k].mul(z));
            let d = |k: usize| one[k].mul(z).twice().add(two[k].mul(square));
            ((0..=q).map(n).collect(), (0..=q).map(d).collect(), m, e.k as i32)
        } else {
            let n = |k: usize| two[k].scale(-2.0);
            let d = |k: usize| one[k].mul(z).add(two[k].mul(square)).twice();
            ((0..=q).map(n).collect(), (0..=q).map(d).collect(), m.mul(m), 2 * e.k as i32)
        };
        let first = d[0].add(Dd::from(if u < 0.0 { 2.0 } else { 1.0 })).recip();
        let mut t: Vec<Dd> = Vec::with_capacity(q + 1);
        for k in 0..=q {
            let sum = (1..=k).fold(numerator[k], |sum, i| sum.sub(d[i].mul(t[k - i])));
            t.push(sum.mul(first));
        }
        let c = t[q].times(u / STEP).add(t[q - 1]).mul(factor);
        let start = Scaled { m: c, k };
        let product = (1..=q).fold(start, |product, r| product.times(Dd::from(r as f64)));
        product.scaled(1 - q as i32).round()
    }
}
