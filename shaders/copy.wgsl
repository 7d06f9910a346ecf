// to[i, r, c] = from[i, r, c].

fn element(i: u32, r: u32, c: u32) {
    to[at_to(i, r, c)] = from[at_from(i, r, c)];
}
