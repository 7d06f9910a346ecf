// τ = 1/σ².
fn unit_tau(sigma: real) -> vec3<real> {
    let r = 1.0 / sigma;
    return vec3<real>(r * r, -2.0 * r * r * r, 6.0 * r * r * r * r);
}
