// e^(−u/2).
//
// h, h′ and h″ are within 2, 2 and 2 ULP (lib/real.wgsl: on what terms).

#include "lib/exp.wgsl"

fn activation_exp_neg_half(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    let e = exp_clamped(-0.5 * u);
    return vec3<real>(times_pow2(e.m, e.k), times_pow2(-e.m, e.k - 1), times_pow2(e.m, e.k - 2));
}
