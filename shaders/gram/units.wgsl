// partial[split, j, (a, b)] = sum_i c[i, j] phi[i, j, a] phi[i, j, b], a ≥ b, unit by unit.
//
// A matrix product per unit, c phi_a with phi_b; the coefficient is multiplied in as the rows are staged.
// One workgroup: one unit, a square tile (I, J), J ≤ I, of 32 GM rows and columns, for one split of the samples. GN = GM.
#include "lib/sums.wgsl"
#include "lib/triangle.wgsl"

// Of the workgroup: its unit, and the first row and column of its tile.
var<private> unit: u32;
var<private> row: u32;
var<private> column: u32;

// phi[i, a .. a + 4] of the unit.
fn inputs(i: u32, a: u32) -> vec4<real> {
    let at = at_phi(i, unit, a);
    var v = vec4<real>();
#for e in 0..4
    if a + ${e}u < params.a1 {
        v[$e] = phi[at + ${e}u * params.phi_c];
    }
#end
    return v;
}

fn left(i: u32, m: u32) -> vec4<real> {
    return c[at_c(i, 0u, unit)] * inputs(i, row + m);
}

fn right(i: u32, m: u32) -> vec4<real> {
    return inputs(i, column + m);
}

fn store(split: u32, m: u32, k: u32, fresh: bool, value: vec4<real>) {
#for e in 0..4
    add_pair(split, unit, row + m, column + k + ${e}u, fresh, value[$e]);
#end
}

#include "lib/outer.wgsl"

fn work(group: u32, lid: u32) {
    let tile = tile_of(params.first_tile + group % params.tiles);
    unit = group / params.tiles % params.units;
    row = tile.x * 32u * ${GM}u;
    column = tile.y * 32u * ${GM}u;
    outer(group / params.tiles / params.units, lid);
}
