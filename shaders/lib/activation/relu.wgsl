// max(u, 0); the derivative at the kink is 0.
//
// h, h′ and h″ are exact.

#include "lib/real.wgsl"

fn activation_relu(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    if u > 0.0 {
        return vec3<real>(u, 1.0, 0.0);
    }
    return vec3<real>(0.0);
}
