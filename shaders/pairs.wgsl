// out[i, (j, j')] = a[i, first + j, first + j'], j ≥ j', packed row by row; a: n × layer × layer. One thread for each number.

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    layer: u32,
    first: u32,
    size: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<real>;
@group(0) @binding(2) var<storage, read_write> out: array<real>;

#include "lib/group.wgsl"
#include "lib/packed.wgsl"

@compute @workgroup_size(64)
fn pairs(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let group = group_of(id);
    let item = group * 64u + thread;
    if group >= params.groups || item >= params.n * params.size {
        return;
    }
    let pair = tile_of(item % params.size);
    let row = (item / params.size * params.layer + params.first + pair.x) * params.layer;
    out[item] = a[row + params.first + pair.y];
}
