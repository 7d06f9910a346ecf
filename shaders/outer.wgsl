// out[i, b, a] = y[i, b] z[i, a] for some columns of two arrays; out: n × y_width × z_width. One thread for each number.

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    y_stride: u32,
    y_first: u32,
    y_width: u32,
    z_stride: u32,
    z_first: u32,
    z_width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<real>;
@group(0) @binding(2) var<storage, read> z: array<real>;
@group(0) @binding(3) var<storage, read_write> out: array<real>;

#include "lib/group.wgsl"

@compute @workgroup_size(64)
fn outer(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let group = group_of(id);
    let item = group * 64u + thread;
    let size = params.y_width * params.z_width;
    if group >= params.groups || item >= params.n * size {
        return;
    }
    let i = item / size;
    let b = item % size / params.z_width;
    let a = item % params.z_width;
    out[item] = y[i * params.y_stride + params.y_first + b] * z[i * params.z_stride + params.z_first + a];
}
