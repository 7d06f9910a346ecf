// τ = e^(−2v), v = ln σ.
#include "lib/exp.wgsl"

fn unit_tau(v: real) -> vec3<real> {
    let t = exp_(-2.0 * v);
    return vec3<real>(t, -2.0 * t, 4.0 * t);
}
