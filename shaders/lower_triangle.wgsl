// out[i, (j, j′)] = a[i, j, j′], j ≥ j′, packed row by row.

#include "lib/packed.wgsl"

fn element(i: u32, r: u32, c: u32) {
    let pair = tile_of(c);
    out[at_out(i, r, c)] = a[at_a(i, pair.x, pair.y)];
}
