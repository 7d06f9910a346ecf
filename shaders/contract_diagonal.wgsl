// out[i, q] += Σ_j m[i, first + j, q] A[(i,) j, column + q]: the diagonal of S^{kk} from S^{rk}, without the rest of it.
// m: n × layer × count; A: units × width, with SAMPLED n × units × width; out: n × count. One thread for each (i, q).

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    layer: u32,
    first: u32,
    units: u32,
    width: u32,
    column: u32,
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> m: array<real>;
@group(0) @binding(2) var<storage, read> a: array<real>;
@group(0) @binding(3) var<storage, read_write> out: array<real>;

#include "lib/group.wgsl"

@compute @workgroup_size(64)
fn contract_diagonal(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let group = group_of(id);
    let item = group * 64u + thread;
    if group >= params.groups || item >= params.n * params.count {
        return;
    }
    let i = item / params.count;
    let q = item % params.count;
    let of_m = (i * params.layer + params.first) * params.count + q;
#if SAMPLED
    let of_a = i * params.units * params.width + params.column + q;
#else
    let of_a = params.column + q;
#end
    var sum = real(0.0);
    for (var j = 0u; j < params.units; j++) {
        sum += m[of_m + j * params.count] * a[of_a + j * params.width];
    }
    out[item] += sum;
}
