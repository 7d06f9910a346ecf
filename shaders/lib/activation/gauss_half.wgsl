// e^(−u²/2).
//
// h, h′ and h″ are within 2, 2 and 4 ULP (lib/real.wgsl: on what terms).
//
// h′ = −u h and h″ = (u² − 1) h, the factor as a product.

#include "lib/square.wgsl"

fn activation_gauss_half(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    if 0.5 * abs(u) * abs(u) > EXP_CUT {
        return vec3<real>(0.0, with_sign(0.0, -u), 0.0);
    }
    let e = exp_neg_square(u, 0.5);
    return vec3<real>(times_pow2(e.m, e.k), times_pow2(-u * e.m, e.k), times_pow2((u - 1.0) * (u + 1.0) * e.m, e.k));
}
