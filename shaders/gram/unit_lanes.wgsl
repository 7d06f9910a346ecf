// partial[split, j, (a, b)] = sum_i c[i, j] phi[i, a] phi[i, b], a ≥ b, for units that share phi.
//
// For software adapters, where barriers and loads are dear: no shared memory. One thread: one unit and an 8 × 8 tile (I, J), J ≤ I, in
// registers. One workgroup: 8 units, one tile, one split of the samples. BROADCAST: the 8 threads are one subgroup, and each loads one
// of the 8 numbers of a row or column of phi that all of them need.
#include "lib/sums.wgsl"
#include "lib/triangle.wgsl"

fn work(group: u32, lid: u32) {
    let unit_tiles = (params.units + 7u) / 8u;
    let tile = tile_of(params.first_tile + group % params.tiles);
    let unit = group / params.tiles % unit_tiles * 8u + lid;
    let split = group / params.tiles / unit_tiles;
    let row = tile.x * 8u;
    let column = tile.y * 8u;
    // Units, rows and columns past the last are read at the last and dropped at the end.
    let weight = at_c(0u, 0u, min(unit, params.units - 1u));
#if BROADCAST
    let row_own = at_phi(0u, 0u, min(row + lid, params.a1 - 1u));
    let column_own = at_phi(0u, 0u, min(column + lid, params.a1 - 1u));
#else
#for a in 0..8
    let row_$a = at_phi(0u, 0u, min(row + ${a}u, params.a1 - 1u));
    let column_$a = at_phi(0u, 0u, min(column + ${a}u, params.a1 - 1u));
#end
#end
    let begin = split * params.run;
    let end = min(begin + params.run, params.n);
    for (var block = begin; block < end; block += BLOCK) {
        let last = min(block + BLOCK, end);
#for a in 0..8
#for b in 0..8
        var acc_${a}_$b = real();
#end
#end
        // Several samples at a time, since what a loop carries is masked at every turn; then the fewer that are left.
        var i = block;
#for less in 0..$SAMPLES
        for (; i + ${SAMPLES}u - ${less}u <= last; i += ${SAMPLES}u - ${less}u) {
#for k in $less..$SAMPLES
            {
                let at = (i + ${k}u - ${less}u) * params.phi_i;
                let w = c[(i + ${k}u - ${less}u) * params.c_i + weight];
#if BROADCAST
                let rows = phi[at + row_own];
                let columns = phi[at + column_own];
#for b in 0..8
                let right_$b = subgroupBroadcast(columns, ${b}u);
#end
#for a in 0..8
                let left_$a = w * subgroupBroadcast(rows, ${a}u);
#end
#else
#for b in 0..8
                let right_$b = phi[at + column_$b];
#end
#for a in 0..8
                let left_$a = w * phi[at + row_$a];
#end
#end
#for a in 0..8
#for b in 0..8
                acc_${a}_$b += left_$a * right_$b;
#end
#end
            }
#end
        }
#end
        let fresh = block == begin;
#for a in 0..8
#for b in 0..8
        add_pair(split, unit, row + ${a}u, column + ${b}u, fresh, acc_${a}_$b);
#end
#end
    }
}
