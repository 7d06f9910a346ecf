// partial[split, e] = sum_i c[i] z[i, a_1] … z[i, a_ORDER] for the entries e of a symmetric tensor, a_1 ≥ … ≥ a_ORDER, a_1 growing
// slowest; c: n, z: n × width. One thread: one entry, one split of at most 512 samples.
struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    width: u32,
    // The window's first entry, and how many there are in it.
    first: u32,
    size: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> c: array<real>;
@group(0) @binding(2) var<storage, read> z: array<real>;
@group(0) @binding(3) var<storage, read_write> partial: array<real>;

#include "lib/group.wgsl"

// C(a + r − 1, r): entries of a tensor of order r whose indices are below a. The host keeps r times that below 2³².
fn entries(a: u32, r: u32) -> u32 {
    var count = 1u;
    for (var s = 0u; s < r; s++) {
        count = count * (a + s) / (s + 1u);
    }
    return count;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let group = group_of(wid);
    if group >= params.groups {
        return;
    }
    let item = group * 64u + lid;
    let begin = item / params.size * 512u;
    if begin >= params.n {
        return;
    }
    let end = min(begin + 512u, params.n);
    // Before the entries with a_1 = a stand those whose indices are all below a; and so on behind a_1.
    var rest = params.first + item % params.size;
    var a = params.width - 1u;
#for r in 0..$ORDER
    while entries(a, ${ORDER}u - ${r}u) > rest {
        a -= 1u;
    }
    rest -= entries(a, ${ORDER}u - ${r}u);
    let a_$r = a;
#end
    var sum = real();
    for (var i = begin; i < end; i++) {
        var product = c[i];
#for r in 0..$ORDER
        product *= z[i * params.width + a_$r];
#end
        sum += product;
    }
    partial[item] = sum;
}
