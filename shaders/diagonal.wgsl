// out[i, j] = a[i, j, j], or with ADD a[i, j, j] += d[i, j]; a: n × units × units.
// One thread for each entry of the diagonals.

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    units: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#if ADD
@group(0) @binding(1) var<storage, read> d: array<real>;
@group(0) @binding(2) var<storage, read_write> a: array<real>;
#else
@group(0) @binding(1) var<storage, read> a: array<real>;
@group(0) @binding(2) var<storage, read_write> out: array<real>;
#end

#include "lib/group.wgsl"

@compute @workgroup_size(64)
fn diagonal(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let group = group_of(id);
    let item = group * 64u + thread;
    if group >= params.groups || item >= params.n * params.units {
        return;
    }
    let i = item / params.units;
    let j = item % params.units;
    let at = (i * params.units + j) * params.units + j;
#if ADD
    a[at] += d[item];
#else
    out[item] = a[at];
#end
}
