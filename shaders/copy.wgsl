// to[i, r, c] = source[i, r, c].

fn element(i: u32, r: u32, c: u32) {
    to[at_to(i, r, c)] = source[at_source(i, r, c)];
}
