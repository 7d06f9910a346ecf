// ln u for u > 0; the limits −∞, ∞, −∞ at ±0, NaN below.
//
// h, h′ and h″ are within 1, 1 and 2 ULP (lib/real.wgsl: on what terms).

#include "lib/log.wgsl"

fn activation_log(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    if is_zero(u) {
        return vec3<real>(-inf(), inf(), -inf());
    }
    if is_negative(u) {
        return vec3<real>(nan());
    }
    if is_inf(u) {
        return vec3<real>(u, 0.0, -0.0);
    }
    let inverse = 1.0 / u;
    return vec3<real>(log_(u), inverse, -inverse / u);
}
