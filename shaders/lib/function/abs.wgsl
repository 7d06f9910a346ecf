// |u|; the derivative at the kink is 0.
//
// h, h′ and h″ are exact.

#include "lib/real.wgsl"

fn function_abs(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    if is_zero(u) {
        return vec3<real>(0.0);
    }
    return vec3<real>(abs(u), with_sign(1.0, u), 0.0);
}
