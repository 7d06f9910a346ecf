// u t with t = tanh ln(1 + eᵘ) = 1 − 2/((1 + eᵘ)² + 1).
//
// h, h′ and h″ are within 4, 4 and 4 ULP (lib/real.wgsl: on what terms). Near their interior zeros h′ and h″ are
// within 4 · 2⁻²⁴ (f64: 4 · 2⁻⁵³) of their largest size within 1/4 of u.
//
// With x = |u|, z = e^−x and for u < 0
//   D = 2 + 2z + z²,  h = uz(2 + z)/D,   h′ = z (4 (1 − x)(1 + z) + z (2 + 4z + z²))/D²,
//   h″ = 4z ((4 − 2x) + (8 − 2x) z + (6 + 3x) z² + (2 + 2x) z³)/D³,
// for u ≥ 0
//   D = 1 + 2z + 2z², h = u (1 + 2z)/D,  h′ = (1 + 2z)/D + 4u z² (1 + z)/D²,
//   h″ = 4z² ((2 − 2x) + (6 − 3x) z + (8 + 2x) z² + (4 + 2x) z³)/D³.
// The differences with x are exact near the zeros, and what is added to them is no larger.

#include "lib/exp.wgsl"

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
    if is_negative(u) {
        let d = 2.0 + z * (2.0 + z);
        let first = (4.0 * (1.0 - x) * (1.0 + z) + z * (2.0 + z * (4.0 + z))) / (d * d);
        let second = ((4.0 - 2.0 * x) + z * ((8.0 - 2.0 * x) + z * ((6.0 + 3.0 * x) + z * (2.0 + 2.0 * x)))) / (d * d * d);
        return vec3<real>(
            times_pow2(u * e.m * ((2.0 + z) / d), e.k),
            times_pow2(e.m * first, e.k),
            times_pow2(e.m * second, e.k + 2),
        );
    }
    let d = 1.0 + 2.0 * z * (1.0 + z);
    let t = (1.0 + 2.0 * z) / d;
    let square = e.m * e.m;
    let slope = times_pow2(u * square * ((1.0 + z) / (d * d)), 2 * e.k + 2);
    let second = ((2.0 - 2.0 * x) + z * ((6.0 - 3.0 * x) + z * ((8.0 + 2.0 * x) + z * (4.0 + 2.0 * x)))) / (d * d * d);
    return vec3<real>(u * t, t + slope, times_pow2(square * second, 2 * e.k + 2));
}
