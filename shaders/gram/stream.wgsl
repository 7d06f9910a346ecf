// partial[split, j, (a, b)] = sum_i c[i, j] phi[i, j, a] phi[i, j, b], a ≥ b, for few inputs and few units.
//
// The threads are spread over samples: neighbouring threads have neighbouring samples, and each has a whole T × T tile (I, J), J ≤ I, of
// one unit in registers; the 64 threads' sums are added at the end, over a fixed tree. One workgroup: one unit, one tile, one split.
// A thread has at most BLOCK samples: the host keeps run ≤ 64 BLOCK.
#include "lib/sums.wgsl"
#include "lib/triangle.wgsl"

var<workgroup> sums: array<real, 64u * ${T}u>;
var<workgroup> eighths: array<real, 8u * ${T}u>;

fn work(group: u32, lid: u32) {
    let tile = tile_of(params.first_tile + group % params.tiles);
    let unit = group / params.tiles % params.units;
    let split = group / params.tiles / params.units;
    let row = tile.x * ${T}u;
    let column = tile.y * ${T}u;
    let weight = at_c(0u, 0u, unit);
    let end = min((split + 1u) * params.run, params.n);
#for a in 0..$T
    // Rows and columns past the last are read at the last and dropped at the end.
    let row_$a = at_phi(0u, unit, min(row + ${a}u, params.a1 - 1u));
    let column_$a = at_phi(0u, unit, min(column + ${a}u, params.a1 - 1u));
#for b in 0..$T
    var acc_${a}_$b = real();
#end
#end
    for (var i = split * params.run + lid; i < end; i += 64u) {
        let at = i * params.phi_i;
        let w = c[i * params.c_i + weight];
#for b in 0..$T
        let right_$b = phi[at + column_$b];
#end
#for a in 0..$T
        let left_$a = w * phi[at + row_$a];
#for b in 0..$T
        acc_${a}_$b += left_$a * right_$b;
#end
#end
    }
    // Row by row: 64 sums of each entry to 8, then to 1.
#for a in 0..$T
#for b in 0..$T
    sums[${b}u * 64u + lid] = acc_${a}_$b;
#end
    workgroupBarrier();
    if lid < 8u * ${T}u {
        let at = lid / 8u * 64u + lid % 8u;
        eighths[lid] = ((sums[at] + sums[at + 8u]) + (sums[at + 16u] + sums[at + 24u]))
            + ((sums[at + 32u] + sums[at + 40u]) + (sums[at + 48u] + sums[at + 56u]));
    }
    workgroupBarrier();
    if lid < ${T}u {
        let at = lid * 8u;
        add_pair(split, unit, row + ${a}u, column + lid, true,
            ((eighths[at] + eighths[at + 1u]) + (eighths[at + 2u] + eighths[at + 3u]))
                + ((eighths[at + 4u] + eighths[at + 5u]) + (eighths[at + 6u] + eighths[at + 7u])));
    }
#end
}
