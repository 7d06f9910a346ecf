// Workgroups are numbered 0 … groups − 1. The host folds the numbers over two dimensions, because one has at most
// 65 535, and may divide a long run over several dispatches, each with its first number and its end.

fn group_of(id: vec3<u32>) -> u32 {
    return params.first_group + id.x + id.y * params.groups_x;
}
