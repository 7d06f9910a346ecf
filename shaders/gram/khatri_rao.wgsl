// partial[split, j, (a, b)] = sum_i c[i, j] phi[i, a] phi[i, b], a ≥ b, for units that share phi.
//
// A matrix product of c (units) with the products phi_a phi_b (pairs), which are formed once per workgroup as they are staged.
// One workgroup: 32 GM units × the 64 pairs of an 8 × 8 sub-block (I, J), J ≤ I, of the triangle, for one split of the samples.
#include "lib/sums.wgsl"
#include "lib/triangle.wgsl"

// Of the workgroup: its first unit, and the first row and column of its sub-block.
var<private> unit: u32;
var<private> row: u32;
var<private> column: u32;

fn left(i: u32, m: u32) -> vec4<real> {
    let j = unit + m;
    let at = at_c(i, 0u, j);
    var v = vec4<real>();
#for e in 0..4
    if j + ${e}u < params.units {
        v[$e] = c[at + ${e}u * params.c_c];
    }
#end
    return v;
}

fn right(i: u32, m: u32) -> vec4<real> {
    let a = row + m / 8u;
    let b = column + m % 8u;
    var v = vec4<real>();
    if a < params.a1 {
#for e in 0..4
        if b + ${e}u < params.a1 {
            v[$e] = phi[at_phi(i, 0u, b + ${e}u)];
        }
#end
        v *= phi[at_phi(i, 0u, a)];
    }
    return v;
}

fn store(split: u32, m: u32, k: u32, fresh: bool, value: vec4<real>) {
#for e in 0..4
    add_pair(split, unit + m, row + k / 8u, column + k % 8u + ${e}u, fresh, value[$e]);
#end
}

#include "lib/outer.wgsl"

fn work(group: u32, lid: u32) {
    // Sub-blocks fastest: workgroups that run together read the same samples.
    let unit_tiles = (params.units + 32u * ${GM}u - 1u) / (32u * ${GM}u);
    let tile = tile_of(params.first_tile + group % params.tiles);
    unit = group / params.tiles % unit_tiles * 32u * ${GM}u;
    row = tile.x * 8u;
    column = tile.y * 8u;
    outer(group / params.tiles / unit_tiles, lid);
}
