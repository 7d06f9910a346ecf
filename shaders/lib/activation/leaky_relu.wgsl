// u for u > 0, u/100 for u ≤ 0.
//
// h, h′ and h″ are within 2, 1 and 1 ULP (lib/real.wgsl: on what terms).

#include "lib/real.wgsl"

fn activation_leaky_relu(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    let slope = select(real(0.01), real(1.0), u > 0.0);
    return vec3<real>(slope * u, slope, 0.0);
}
