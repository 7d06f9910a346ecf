// out += a ⊙ b, all of one length. One thread for each number.

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    len: u32,
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
    if group >= params.groups || item >= params.len {
        return;
    }
    out[item] += a[item] * b[item];
}
