// partial[split, j, (a, b)] = sum_i c[i, j] phi[i, j, a] phi[i, j, b], a ≥ b, unit by unit.
//
// For software adapters, as gram/unit_lanes.wgsl, but the threads are spread over the columns b. One thread: all T = 8 COLUMNS rows of a
// T × T tile (I, J), J ≤ I, of one unit, and COLUMNS of its columns, 8 apart. One workgroup: one unit, one tile, one split of the samples.
#include "lib/sums.wgsl"
#include "lib/triangle.wgsl"

fn work(group: u32, lid: u32) {
    let tile = tile_of(params.first_tile + group % params.tiles);
    let unit = group / params.tiles % params.units;
    let split = group / params.tiles / params.units;
    let row = tile.x * 8u * ${COLUMNS}u;
    let column = tile.y * 8u * ${COLUMNS}u + lid;
    let weight = at_c(0u, 0u, unit);
    // Rows and columns past the last are read at the last and dropped at the end.
#for g in 0..$COLUMNS
    let column_$g = at_phi(0u, unit, min(column + ${g}u * 8u, params.a1 - 1u));
#if BROADCAST
    let row_$g = at_phi(0u, unit, min(row + ${g}u * 8u + lid, params.a1 - 1u));
#else
#for a in 0..8
    let row_${g}_$a = at_phi(0u, unit, min(row + ${g}u * 8u + ${a}u, params.a1 - 1u));
#end
#end
#end
    let begin = split * params.run;
    let end = min(begin + params.run, params.n);
    for (var block = begin; block < end; block += BLOCK) {
        let last = min(block + BLOCK, end);
#for g in 0..$COLUMNS
#for a in 0..8
#for b in 0..$COLUMNS
        var acc_${g}_${a}_$b = real();
#end
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
#for b in 0..$COLUMNS
                let right_$b = w * phi[at + column_$b];
#end
#for g in 0..$COLUMNS
#if BROADCAST
                let rows_$g = phi[at + row_$g];
#end
#for a in 0..8
#if BROADCAST
                let left_${g}_$a = subgroupBroadcast(rows_$g, ${a}u);
#else
                let left_${g}_$a = phi[at + row_${g}_$a];
#end
#for b in 0..$COLUMNS
                acc_${g}_${a}_$b += left_${g}_$a * right_$b;
#end
#end
#end
            }
#end
        }
#end
        let fresh = block == begin;
#for g in 0..$COLUMNS
#for a in 0..8
#for b in 0..$COLUMNS
        add_pair(split, unit, row + ${g}u * 8u + ${a}u, column + ${b}u * 8u, fresh, acc_${g}_${a}_$b);
#end
#end
#end
    }
}
