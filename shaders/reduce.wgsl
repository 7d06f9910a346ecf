// out[g, l] = sum_{r < 16} rows[16 g + r, l], pairwise, rows: count × len, out: ceil(count / 16) × len.
//
// Applied again until one row remains: a fixed tree, so the same bits each time. One thread: one (g, l).
struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    count: u32,
    len: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<real>;
@group(0) @binding(2) var<storage, read_write> out: array<real>;

#include "lib/group.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let group = group_of(wid);
    if group >= params.groups {
        return;
    }
    // No binding has 2³² numbers, but the last workgroup's threads may pass the last number.
    let item = group * 64u + lid;
    let first = item / params.len * 16u;
    if first >= params.count {
        return;
    }
    let at = first * params.len + item % params.len;
#for r in 0..16
    var s$r = real();
    if first + ${r}u < params.count {
        s$r = rows[at + ${r}u * params.len];
    }
#end
    out[item] = (((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7)))
        + (((s8 + s9) + (s10 + s11)) + ((s12 + s13) + (s14 + s15)));
}
