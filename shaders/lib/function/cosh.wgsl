// cosh u.

#include "lib/hyperbolic.wgsl"

fn function_cosh(u: real) -> vec3<real> {
    let v = sinh_cosh(u);
    return vec3<real>(v.y, v.x, v.y);
}
