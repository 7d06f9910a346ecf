// e^(−u²).
//
// h, h′ and h″ are within 2, 3 and 4 ULP (lib/real.wgsl: on what terms).
//
// h′ = −2u h and h″ = (4u² − 2) h, the factor without cancellation at its zeros.

#include "lib/square.wgsl"

fn activation_gauss(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    if abs(u) * abs(u) > EXP_CUT {
        return vec3<real>(0.0, with_sign(0.0, -u), 0.0);
    }
    let e = exp_neg_square(u, 1.0);
    let factor = square_minus_two(2.0 * u);
    return vec3<real>(times_pow2(e.m, e.k), times_pow2(-u * e.m, e.k + 1), times_pow2(factor * e.m, e.k));
}
