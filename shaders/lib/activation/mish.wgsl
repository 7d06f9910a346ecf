// u t with t = tanh ln(1 + eᵘ) = 1 − 2/((1 + eᵘ)² + 1).
//
// h, h′ and h″ are within 4, 4 and 5 ULP (lib/real.wgsl: on what terms). Near their interior zeros h′ and h″ are
// within 4 and 5 times 2⁻²⁴ (f64: 2⁻⁵³) of their largest size within 1/4 of u.
//
// With x = |u|, z = e^−x and for u < 0
//   D = 2 + 2z + z²,  h = uz (1 − z(1 + z)/D),  h′ = z (w + (2 + w) z + 4z² + z³)/D², w = 4 − 4x,
//   h″ = 4z ((4 − 2x) + (8 − 2x) z + (6 + 3x) z² + (2 + 2x) z³)/D³,
// for u ≥ 0
//   D = 1 + 2z + 2z², h = u (1 − 2z²/D),        h′ = (1 + 2z)/D + 4u z² (1 + z)/D²,
//   h″ = 4z² ((2 − 2x) + (6 − 3x) z + (8 + 2x) z² + (4 + 2x) z³)/D³.
// The differences with x are exact near the zeros, and what is added to them is no larger.

#include "lib/exp.wgsl"

// Numbers up to 1 in steps of 1/MISH_STEPS have a D whose square is exact.
#if F64
const MISH_STEPS: real = 0x1p11lf;
#else
const MISH_STEPS: real = 0x1p4f;
#end

fn activation_mish(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    let x = abs(u);
    if x > EXP_CUT {
        if u > 0.0 {
            return vec3<real>(u, 1.0, 0.0);
        }
        return vec3<real>(with_sign(0.0, u));
    }
    let e = exp_parts(-x, 0.0);
    let z = times_pow2(e.m, e.k);
    // D = a + b, and its powers rounded little more than once
    let t = floor(z * MISH_STEPS) * (1.0 / MISH_STEPS);
    let rest = z - t;
    let negative = is_negative(u);
    let a = select(1.0 + 2.0 * t * (1.0 + t), 2.0 + t * (2.0 + t), negative);
    let b = rest * select(2.0 + 4.0 * t + 2.0 * rest, 2.0 + 2.0 * t + rest, negative);
    let d = a + b;
    let square = a * a + b * (2.0 * a + b);
    let cube = a * a * a + b * (3.0 * a * (a + b) + b * b);
    if negative {
        let w = 4.0 - 4.0 * x;
        let first = w + z * ((2.0 + w) + z * (4.0 + z));
        let second = (4.0 - 2.0 * x) + z * ((8.0 - 2.0 * x) + z * ((6.0 + 3.0 * x) + z * (2.0 + 2.0 * x)));
        return vec3<real>(
            times_pow2(u * e.m * (1.0 - z * (1.0 + z) / d), e.k),
            times_pow2(e.m * (first / square), e.k),
            times_pow2(e.m * (second / cube), e.k + 2),
        );
    }
    let both = e.m * e.m; // z² = 2²ᵏ both
    let slope = times_pow2(u * both * ((1.0 + z) / square), 2 * e.k + 2);
    let second = (2.0 - 2.0 * x) + z * ((6.0 - 3.0 * x) + z * ((8.0 + 2.0 * x) + z * (4.0 + 2.0 * x)));
    return vec3<real>(
        u * (1.0 - 2.0 * z * z / d),
        (1.0 + 2.0 * z) / d + slope,
        times_pow2(both * second / cube, 2 * e.k + 2),
    );
}
