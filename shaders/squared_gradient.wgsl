// out[i, j] = δ[i, j]²/ω_i, 0 where ω_i = 0: δ carries the sample's weight once, and so must its square.

fn element(i: u32, r: u32, j: u32) {
    let w = omega[at_omega(i, 0u, 0u)];
    let d = delta[at_delta(i, r, j)];
    var number = real(0.0);
    if w != real(0.0) {
        number = d * (d / w);
    }
    out[at_out(i, r, j)] = number;
}
