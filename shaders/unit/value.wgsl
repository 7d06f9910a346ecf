// p[i, first + j] = p(z_i; w_j) for the units of a window. One thread for each (i, j).

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    stride: u32,
    units: u32,
    layer: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> inputs: array<real>;
@group(0) @binding(2) var<storage, read> weights: array<real>;
@group(0) @binding(3) var<storage, read_write> p: array<real>;

#include "lib/group.wgsl"
#include "lib/unit.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let group = group_of(id);
    let item = group * 64u + thread;
    if group >= params.groups || item >= params.n * params.units {
        return;
    }
    at(item / params.units, item % params.units);
    p[sample * params.layer + params.first + row] = unit_value();
}
