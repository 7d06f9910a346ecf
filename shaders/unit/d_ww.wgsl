// partial[split, e] = Σ_i δ[i, first + j] ∂²p_j/∂w_a∂w_b over the samples of a split, at most 512; e counts the entries (j, (a, b)),
// a ≥ b packed row by row, or (j, a) with b = a where DIAGONAL, from `start` on. One thread for each (split, e).

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    stride: u32,
    layer: u32,
    first: u32,
    // Samples of one split.
    run: u32,
    splits: u32,
    start: u32,
    entries: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> inputs: array<real>;
@group(0) @binding(2) var<storage, read> weights: array<real>;
@group(0) @binding(3) var<storage, read> delta: array<real>;
@group(0) @binding(4) var<storage, read_write> partial: array<real>;

#include "lib/group.wgsl"
#include "lib/packed.wgsl"
#include "lib/unit.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let group = group_of(id);
    let item = group * 64u + thread;
    if group >= params.groups || item >= params.splits * params.entries {
        return;
    }
    let split = item / params.entries;
    let entry = params.start + item % params.entries;
#if DIAGONAL
    let size = PARAMETERS;
    let ab = vec2(entry % size);
#else
    let size = triangle(PARAMETERS);
    let ab = tile_of(entry % size);
#end
    let j = entry / size;
    let begin = split * params.run;
    let end = min(begin + params.run, params.n);
    var sum = real();
    for (var i = begin; i < end; i += 1u) {
        at(i, j);
        sum += delta[i * params.layer + params.first + j] * unit_d_ww(ab.x, ab.y);
    }
    partial[item] = sum;
}
