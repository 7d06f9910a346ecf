// sinh u.

#include "lib/hyperbolic.wgsl"

fn function_sinh(u: real) -> vec3<real> {
    let v = sinh_cosh(u);
    return vec3<real>(v.x, v.y, v.x);
}
