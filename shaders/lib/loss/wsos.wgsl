// ½ v (y − x)², v (x − y), v.

fn loss(x: real, y: real, v: real) -> vec3<real> {
    let d = x - y;
    return vec3<real>(0.5 * v * d * d, v * d, v);
}
