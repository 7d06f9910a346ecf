// √u for u ≥ 0; the limits ∞, −∞ of the derivatives at ±0, NaN below.
//
// h, h′ and h″ are within 1, 2 and 3 ULP (lib/real.wgsl: on what terms).

#include "lib/real.wgsl"

fn activation_sqrt(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    if is_zero(u) {
        return vec3<real>(u, inf(), -inf());
    }
    if is_negative(u) {
        return vec3<real>(nan());
    }
    if is_inf(u) {
        return vec3<real>(u, 0.0, -0.0);
    }
    let root = sqrt(u);
    let first = 0.5 / root;
    return vec3<real>(root, first, -0.5 * first / u);
}
