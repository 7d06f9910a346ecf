// out[i, r, c] = the number whose bits are `low` and, in f64, `high`.

fn element(i: u32, r: u32, c: u32) {
#if F64
    out[at_out(i, r, c)] = bitcast<real>(u64(params.high) << 32u | u64(params.low));
#else
    out[at_out(i, r, c)] = bitcast<real>(params.low);
#end
}
