// partial[split, j, a] = sum_i c[i, j] phi[i, j, a], or phi[i, j, a]² where SQUARED, each unit with its own row.
//
// Every number is used once, so there is nothing to share. One thread: one (j, a), neighbours in memory; one workgroup: 64 of them, one
// split of the samples.
#include "lib/sums.wgsl"

fn work(group: u32, lid: u32) {
    let item = group % params.tiles * 64u + lid;
    let split = group / params.tiles;
    let unit = item / params.a1;
    let input = item % params.a1;
    if unit >= params.units {
        return;
    }
    let weight = at_c(0u, 0u, unit);
    let at = at_phi(0u, unit, input);
    let begin = split * params.run;
    let end = min(begin + params.run, params.n);
    for (var block = begin; block < end; block += BLOCK) {
        let last = min(block + BLOCK, end);
        var acc = real();
        for (var i = block; i < last; i += 1u) {
            let x = phi[i * params.phi_i + at];
#if SQUARED
            acc += c[i * params.c_i + weight] * (x * x);
#else
            acc += c[i * params.c_i + weight] * x;
#end
        }
        add(split, unit, input, block == begin, acc);
    }
}
