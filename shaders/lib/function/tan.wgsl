// tan u, for every finite u; NaN at ±∞.

#include "lib/sin_cos.wgsl"

fn function_tan(u: real) -> vec3<real> {
    let v = sin_cos(u);
    let t = v.x / v.y;
    let first = 1.0 + t * t;
    return vec3<real>(t, first, 2.0 * t * first);
}
