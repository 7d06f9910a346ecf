// τ itself.
fn unit_tau(v: real) -> vec3<real> {
    return vec3<real>(v, 1.0, 0.0);
}
