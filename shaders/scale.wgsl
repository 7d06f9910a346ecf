// out[i, r, c] *= by[i, r, c].

fn element(i: u32, r: u32, c: u32) {
    out[at_out(i, r, c)] *= by[at_by(i, r, c)];
}
