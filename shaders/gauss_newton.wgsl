// c_ij = Σ_oq J[i, o, j] G[i, o, q] J[i, q, j], the diagonal of Jᵀ G J; J: n × outputs × units, G: n × outputs × outputs.
// One thread for each (i, j).

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    outputs: u32,
    units: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> jacobian: array<real>;
@group(0) @binding(2) var<storage, read> hessian: array<real>;
@group(0) @binding(3) var<storage, read_write> c: array<real>;

#include "lib/group.wgsl"

@compute @workgroup_size(64)
fn gauss_newton(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let group = group_of(id);
    let item = group * 64u + thread;
    if group >= params.groups || item >= params.n * params.units {
        return;
    }
    let i = item / params.units;
    let j = item % params.units;
    let outputs = params.outputs;
    let first = i * outputs * params.units + j;
    var sum = real(0.0);
    for (var o = 0u; o < outputs; o++) {
        var inner = real(0.0);
        for (var q = 0u; q < outputs; q++) {
            inner += hessian[(i * outputs + o) * outputs + q] * jacobian[first + q * params.units];
        }
        sum += jacobian[first + o * params.units] * inner;
    }
    c[item] = sum;
}
