// out[i, q] += Σ_j x[i, j, q] b[i, j, q] for j < inner.

fn element(i: u32, r: u32, q: u32) {
    let of_x = at_x(i, 0u, q);
    let of_b = at_b(i, 0u, q);
    var sum = real(0.0);
    for (var j = 0u; j < params.inner; j++) {
        sum += x[of_x + j * params.x_r] * b[of_b + j * params.b_r];
    }
    out[at_out(i, r, q)] += sum;
}
