// partial[split, j, a] = sum_i c[i, j] phi[i, a], or phi[i, a]² where SQUARED, for units that share phi.
//
// One workgroup: 32 GM units × 32 GN inputs, one split of the samples.
#include "lib/sums.wgsl"

// Of the workgroup: its first unit and input.
var<private> unit: u32;
var<private> input: u32;

fn left(i: u32, m: u32) -> vec4<real> {
    let j = unit + m;
    let at = at_c(i, 0u, j);
    var v = vec4<real>();
#for e in 0..4
    if j + ${e}u < params.units {
        v[$e] = c[at + ${e}u * params.c_c];
    }
#end
    return v;
}

fn right(i: u32, m: u32) -> vec4<real> {
    let a = input + m;
    var v = vec4<real>();
#for e in 0..4
    if a + ${e}u < params.a1 {
        v[$e] = phi[at_phi(i, 0u, a + ${e}u)];
    }
#end
#if SQUARED
    v *= v;
#end
    return v;
}

fn store(split: u32, m: u32, k: u32, fresh: bool, value: vec4<real>) {
    let j = unit + m;
    let a = input + k;
#for e in 0..4
    if (j < params.units) & (a + ${e}u < params.a1) {
        add(split, j, a + ${e}u, fresh, value[$e]);
    }
#end
}

#include "lib/outer.wgsl"

fn work(group: u32, lid: u32) {
    let unit_tiles = (params.units + 32u * ${GM}u - 1u) / (32u * ${GM}u);
    input = group % params.tiles * 32u * ${GN}u;
    unit = group / params.tiles % unit_tiles * 32u * ${GM}u;
    outer(group / params.tiles / unit_tiles, lid);
}
