// out[i, start + j, a] = Σ_b ∂²p/∂w_a∂w_b ẇ[j, b] + Σ_c ∂²p/∂w_a∂z_c ż[i, c], or unless OF_PARAMETERS
// Σ_b ∂²p/∂w_b∂z_a ẇ[j, b] + Σ_c ∂²p/∂z_a∂z_c ż[i, c]; out: n × all × (t or inputs), the window starts at unit `start`. ẇ where
// ALONG_W, ż where ALONG_Z, else they are 0. One thread for each (i, j, a).

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    stride: u32,
    units: u32,
    all: u32,
    start: u32,
    // ż[i, c] stands at i · dz_stride + dz_first + c.
    dz_stride: u32,
    dz_first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> inputs: array<real>;
@group(0) @binding(2) var<storage, read> weights: array<real>;
@group(0) @binding(3) var<storage, read> dw: array<real>;
@group(0) @binding(4) var<storage, read> dz: array<real>;
@group(0) @binding(5) var<storage, read_write> out: array<real>;

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
    var sum = real();
#if ALONG_W
    for (var b = 0u; b < PARAMETERS; b += 1u) {
#if OF_PARAMETERS
        sum += unit_d_ww(a, b) * dw[row * PARAMETERS + b];
#else
        sum += unit_d_wz(b, a) * dw[row * PARAMETERS + b];
#end
    }
#end
#if ALONG_Z
    for (var c = 0u; c < INPUTS; c += 1u) {
        let along = dz[sample * params.dz_stride + params.dz_first + c];
#if OF_PARAMETERS
        sum += unit_d_wz(a, c) * along;
#else
        sum += unit_d_zz(a, c) * along;
#end
    }
#end
    out[(sample * params.all + params.start + row) * WIDTH + a] = sum;
}
