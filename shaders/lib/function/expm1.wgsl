// eᵘ − 1, without cancellation near 0.

#include "lib/exp.wgsl"

fn function_expm1(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    let e = exp_clamped(u);
    let z = times_pow2(e.m, e.k);
    return vec3<real>(with_sign(minus_one(e), u), z, z);
}
