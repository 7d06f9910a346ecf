// out[i, start + j, a] = ∂p/∂w_a, or ∂p/∂z_a unless OF_PARAMETERS; out: n × all × (t or inputs), the window starts at unit `start`.
// One thread for each (i, j, a).

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    stride: u32,
    units: u32,
    all: u32,
    start: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> inputs: array<real>;
@group(0) @binding(2) var<storage, read> weights: array<real>;
@group(0) @binding(3) var<storage, read_write> out: array<real>;

#include "lib/group.wgsl"
#include "lib/unit.wgsl"

#if OF_PARAMETERS
const WIDTH = PARAMETERS;
#else
const WIDTH = INPUTS;
#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let group = group_of(id);
    let item = group * 64u + thread;
    if group >= params.groups || item >= params.n * params.units * WIDTH {
        return;
    }
    let a = item % WIDTH;
    at(item / WIDTH / params.units, item / WIDTH % params.units);
#if OF_PARAMETERS
    let derivative = unit_d_w(a);
#else
    let derivative = unit_d_z(a);
#end
    out[(sample * params.all + params.start + row) * WIDTH + a] = derivative;
}
