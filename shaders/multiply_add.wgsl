// out[i, v, j] += a[i, j] b[i, v, j]; a: n × units, b and out: n × vectors × units. One thread for each number of out.

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    vectors: u32,
    units: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<real>;
@group(0) @binding(2) var<storage, read> b: array<real>;
@group(0) @binding(3) var<storage, read_write> out: array<real>;

#include "lib/group.wgsl"

@compute @workgroup_size(64)
fn multiply_add(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let group = group_of(id);
    let item = group * 64u + thread;
    if group >= params.groups || item >= params.n * params.vectors * params.units {
        return;
    }
    let j = item % params.units;
    let i = item / params.units / params.vectors;
    out[item] += a[i * params.units + j] * b[item];
}
