// out[i, r, c] = a[i, r, c] b[i, r, c], or += where `accumulate` is 1.

fn element(i: u32, r: u32, c: u32) {
    let at = at_out(i, r, c);
    let both = a[at_a(i, r, c)] * b[at_b(i, r, c)];
    if params.accumulate == 1u {
        out[at] += both;
    } else {
        out[at] = both;
    }
}
