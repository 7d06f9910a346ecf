// c_ij = δ_ij²/ω_i, 0 where ω_i = 0: δ carries the sample's weight once, and so must its square.
// One thread for each (i, j).

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    units: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> delta: array<real>;
@group(0) @binding(2) var<storage, read> omega: array<real>;
@group(0) @binding(3) var<storage, read_write> c: array<real>;

#include "lib/group.wgsl"

@compute @workgroup_size(64)
fn fisher(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let group = group_of(id);
    let item = group * 64u + thread;
    if group >= params.groups || item >= params.n * params.units {
        return;
    }
    let w = omega[item / params.units];
    let d = delta[item];
    if w == real(0.0) {
        c[item] = real(0.0);
    } else {
        c[item] = d * (d / w);
    }
}
