// partial[split, j, a] = sum_i c[i, j] phi[i, a], or phi[i, a]² where SQUARED, for units that share phi.
//
// For software adapters: no shared memory. One thread: COLUMNS inputs, 8 apart, and 8 units, whose coefficients all threads need; with
// BROADCAST the 8 threads are one subgroup, and each loads one of them. One workgroup: 8 units × 8 COLUMNS inputs, one split of the samples.
#include "lib/sums.wgsl"

fn work(group: u32, lid: u32) {
    let unit_tiles = (params.units + 7u) / 8u;
    let input = group % params.tiles * 8u * ${COLUMNS}u + lid;
    let unit = group / params.tiles % unit_tiles * 8u;
    let split = group / params.tiles / unit_tiles;
    // Units and inputs past the last are read at the last and dropped at the end.
#if BROADCAST
    let weight_own = at_c(0u, 0u, min(unit + lid, params.units - 1u));
#else
#for j in 0..8
    let weight_$j = at_c(0u, 0u, min(unit + ${j}u, params.units - 1u));
#end
#end
#for b in 0..$COLUMNS
    let column_$b = at_phi(0u, 0u, min(input + ${b}u * 8u, params.a1 - 1u));
#end
    let begin = split * params.run;
    let end = min(begin + params.run, params.n);
    for (var block = begin; block < end; block += BLOCK) {
        let last = min(block + BLOCK, end);
#for j in 0..8
#for b in 0..$COLUMNS
        var acc_${j}_$b = real();
#end
#end
        for (var i = block; i < last; i += 1u) {
#for b in 0..$COLUMNS
            let z_$b = phi[i * params.phi_i + column_$b];
#if SQUARED
            let x_$b = z_$b * z_$b;
#else
            let x_$b = z_$b;
#end
#end
#if BROADCAST
            let w = c[i * params.c_i + weight_own];
#end
#for j in 0..8
#if BROADCAST
            let w_$j = subgroupBroadcast(w, ${j}u);
#else
            let w_$j = c[i * params.c_i + weight_$j];
#end
#for b in 0..$COLUMNS
            acc_${j}_$b += w_$j * x_$b;
#end
#end
        }
        let fresh = block == begin;
#for j in 0..8
#for b in 0..$COLUMNS
        if (unit + ${j}u < params.units) & (input + ${b}u * 8u < params.a1) {
            add(split, unit + ${j}u, input + ${b}u * 8u, fresh, acc_${j}_$b);
        }
#end
#end
    }
}
