// 1/u; at ±0 the limits from the side of the zero's sign.
//
// h, h′ and h″ are within 1, 2 and 3 ULP (lib/real.wgsl: on what terms).

#include "lib/real.wgsl"

fn activation_reciprocal(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    if is_zero(u) {
        return vec3<real>(with_sign(inf(), u), -inf(), with_sign(inf(), u));
    }
    if is_inf(u) {
        return vec3<real>(with_sign(0.0, u), -0.0, with_sign(0.0, u));
    }
    let inverse = 1.0 / u;
    let first = inverse / u;
    return vec3<real>(inverse, -first, 2.0 * first / u);
}
