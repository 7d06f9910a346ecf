// out[i] = the sum of eight chains of multiplications with additions, s = s · source[i] + source[i], `turns` long: the rate of the arithmetic.

fn element(i: u32, r: u32, c: u32) {
    let a = source[at_source(i, r, c)];
#for k in 0..8
    var s$k = a + real(${k}.0);
#end
    for (var turn = 0u; turn < params.turns; turn += 1u) {
#for k in 0..8
        s$k = fma(s$k, a, a);
#end
    }
    out[at_out(i, r, c)] = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7));
}
