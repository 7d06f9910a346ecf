// out[i, a, b] += Σ_j δ[i, first + j] ∂²p_j/∂z_a∂z_b over the units of a window; out: n × inputs × inputs. One thread for each number
// of out.

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
@group(0) @binding(3) var<storage, read> delta: array<real>;
@group(0) @binding(4) var<storage, read_write> out: array<real>;

#include "lib/group.wgsl"
#include "lib/unit.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let group = group_of(id);
    let item = group * 64u + thread;
    if group >= params.groups || item >= params.n * INPUTS * INPUTS {
        return;
    }
    let i = item / (INPUTS * INPUTS);
    let a = item / INPUTS % INPUTS;
    let b = item % INPUTS;
    var sum = real();
    for (var j = 0u; j < params.units; j += 1u) {
        at(i, j);
        sum += delta[i * params.layer + params.first + j] * unit_d_zz(a, b);
    }
    out[item] += sum;
}
