// p[i, first + j] += Σ_a ∂p/∂w_a ẇ[j, a] + Σ_c ∂p/∂z_c ż[i, c] for the units of a window; ẇ where ALONG_W, ż where ALONG_Z, else they
// are 0. One thread for each (i, j).

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    stride: u32,
    units: u32,
    layer: u32,
    first: u32,
    // ż[i, c] stands at i · dz_stride + dz_first + c.
    dz_stride: u32,
    dz_first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> inputs: array<real>;
@group(0) @binding(2) var<storage, read> weights: array<real>;
@group(0) @binding(3) var<storage, read> dw: array<real>;
@group(0) @binding(4) var<storage, read> dz: array<real>;
@group(0) @binding(5) var<storage, read_write> p: array<real>;

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
    var sum = real();
#if ALONG_W
    for (var a = 0u; a < PARAMETERS; a += 1u) {
        sum += unit_d_w(a) * dw[row * PARAMETERS + a];
    }
#end
#if ALONG_Z
    for (var c = 0u; c < INPUTS; c += 1u) {
        sum += unit_d_z(c) * dz[sample * params.dz_stride + params.dz_first + c];
    }
#end
    p[sample * params.layer + params.first + row] += sum;
}
