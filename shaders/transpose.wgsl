// out[i, q, r] = a[i, r, q]; a: n × rows × columns. One thread for each number, in the order of out.

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    rows: u32,
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<real>;
@group(0) @binding(2) var<storage, read_write> out: array<real>;

#include "lib/group.wgsl"

@compute @workgroup_size(64)
fn transpose(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let group = group_of(id);
    let item = group * 64u + thread;
    if group >= params.groups || item >= params.n * params.rows * params.columns {
        return;
    }
    let size = params.rows * params.columns;
    let i = item / size;
    let q = item % size / params.rows;
    let r = item % params.rows;
    out[item] = a[i * size + r * params.columns + q];
}
