// status += 1, at the end of every submission. If the count is short, a submission did not run to its end.

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> status: array<u32>;

@compute @workgroup_size(1)
fn stamp() {
    status[0] += params.groups;
}
