// u for u > 0, eᵘ − 1 for u ≤ 0; the second derivative at 0 is 1.
//
// h, h′ and h″ are within 2, 2 and 2 ULP (lib/real.wgsl: on what terms).

#include "lib/exp.wgsl"

fn activation_elu(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    if u > 0.0 {
        return vec3<real>(u, 1.0, 0.0);
    }
    let e = exp_clamped(u);
    let z = times_pow2(e.m, e.k);
    return vec3<real>(with_sign(minus_one(e), u), z, z);
}
