// cos u, for every finite u; NaN at ±∞.
//
// h, h′ and h″ are within 2, 2 and 2 ULP (lib/real.wgsl: on what terms).

#include "lib/sin_cos.wgsl"

fn activation_cos(u: real) -> vec3<real> {
    let v = sin_cos(u);
    return vec3<real>(v.y, -v.x, -v.y);
}
