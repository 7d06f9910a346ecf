// u s(u) with the logistic function s.
//
// h, h′ and h″ are within 4, 4 and 4 ULP (lib/real.wgsl: on what terms). Near their interior zeros h′ and h″ are
// within 4 · 2⁻²⁴ (f64: 4 · 2⁻⁵³) of their largest size within 1/4 of u.
//
// With x = |u| and z = e^−x: h′(x) = s + x s′, h′(−x) = s′ (1 − x + z), h″ = s′ (2 − x + 2x s(−x)). The differences with
// x are exact near the zeros of h′ and h″, and what is added to them is small.

#include "lib/sigmoid.wgsl"

fn activation_silu(u: real) -> vec3<real> {
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
    let s = sigmoid(x);
    let second = times_pow2(s.first * ((2.0 - x) + 2.0 * x * times_pow2(s.small, s.k)), s.k);
    if is_negative(u) {
        return vec3<real>(times_pow2(u * s.small, s.k), times_pow2(s.first * ((1.0 - x) + s.z), s.k), second);
    }
    return vec3<real>(u * s.large, s.large + times_pow2(u * s.first, s.k), second);
}
