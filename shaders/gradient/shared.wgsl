// partial[split, j, a] = sum_i c[i, j] z[i, a], or z[i, a]² where SQUARED, for units that share z: n × row; c: n × layer.
//
// One workgroup: 32 GM units × 32 GN inputs, one split of the samples.
#include "lib/sums.wgsl"

// Of the workgroup: its first unit and input.
var<private> unit: u32;
var<private> input: u32;

fn left(i: u32, m: u32) -> vec4<real> {
    let j = unit + m;
    let at = i * params.layer + params.column + j;
    var v = vec4<real>();
#for e in 0..4
    if j + ${e}u < params.units {
        v[$e] = c[at + ${e}u];
    }
#end
    return v;
}

fn right(i: u32, m: u32) -> vec4<real> {
    let a = input + m;
    var v = vec4<real>();
#for e in 0..4
    if a + ${e}u < params.a1 {
        v[$e] = phi[i * params.row + a + ${e}u];
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

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let group = group_of(wid);
    if group >= params.groups {
        return;
    }
    let unit_tiles = (params.units + 32u * ${GM}u - 1u) / (32u * ${GM}u);
    input = group % params.tiles * 32u * ${GN}u;
    unit = group / params.tiles % unit_tiles * 32u * ${GM}u;
    outer(group / params.tiles / unit_tiles, lid);
}
