// z[i, at + c] = x[i, c]: one source of a layer's input; z: n × width, x: n × columns.
// With CONSTANT, z[i, at] = 1 instead: the constant behind the bias.
// One thread for each number.

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    width: u32,
    at: u32,
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#if CONSTANT
@group(0) @binding(1) var<storage, read_write> z: array<real>;
#else
@group(0) @binding(1) var<storage, read> x: array<real>;
@group(0) @binding(2) var<storage, read_write> z: array<real>;
#end

#include "lib/group.wgsl"

@compute @workgroup_size(64)
fn gather(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let group = group_of(id);
    let item = group * 64u + thread;
    if group >= params.groups || item >= params.n * params.columns {
        return;
    }
    let i = item / params.columns;
    let c = item % params.columns;
#if CONSTANT
    z[i * params.width + params.at + c] = real(1.0);
#else
    z[i * params.width + params.at + c] = x[item];
#end
}
