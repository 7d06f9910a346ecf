// out[i, q, j] = p[i, q] m[i, q, j] d[i, j].

fn element(i: u32, q: u32, j: u32) {
    out[at_out(i, q, j)] = p[at_p(i, 0u, q)] * (m[at_m(i, q, j)] * d[at_d(i, 0u, j)]);
}
