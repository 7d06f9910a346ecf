// partial[split, j, a] = sum_i c[i, j] phi[i, j, a], or phi[i, j, a]² where SQUARED, each unit with its own row; c: n × layer.
//
// Every number is used once, so there is nothing to share. One thread: one (j, a), neighbours in memory; one workgroup: 64 of them, one
// split of the samples.
#include "lib/sums.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let group = group_of(wid);
    if group >= params.groups {
        return;
    }
    let item = group % params.tiles * 64u + lid;
    let split = group / params.tiles;
    let unit = item / params.a1;
    let input = item % params.a1;
    if unit >= params.units {
        return;
    }
    let weight = params.column + unit;
    let at = params.start + unit * params.step + input;
    let begin = split * params.run;
    let end = min(begin + params.run, params.n);
    for (var block = begin; block < end; block += BLOCK) {
        let last = min(block + BLOCK, end);
        var acc = real();
        for (var i = block; i < last; i += 1u) {
            let x = phi[i * params.row + at];
#if SQUARED
            acc += c[i * params.layer + weight] * (x * x);
#else
            acc += c[i * params.layer + weight] * x;
#end
        }
        add(split, unit, input, block == begin, acc);
    }
}
