// 1 − e^−u.
//
// h, h′ and h″ are within 2, 2 and 2 ULP (lib/real.wgsl: on what terms).

#include "lib/exp.wgsl"

fn activation_one_minus_exp_neg(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    let e = exp_clamped(-u);
    let z = times_pow2(e.m, e.k);
    return vec3<real>(with_sign(minus_one(e), u), z, -z);
}
