// out[g, l] = sum_{r < 16} partial[16 g + r, l] of `count` rows, pairwise.
//
// Applied again until one row remains: a fixed tree, so the same bits each time.

fn element(g: u32, line: u32, l: u32) {
    let first = g * 16u;
    let at = at_partial(first, 0u, l);
#for r in 0..16
    var s$r = real();
    if first + ${r}u < params.count {
        s$r = partial[at + ${r}u * params.partial_i];
    }
#end
    out[at_out(g, line, l)] = (((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7)))
        + (((s8 + s9) + (s10 + s11)) + ((s12 + s13) + (s14 + s15)));
}
