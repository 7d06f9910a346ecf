// partial[split, e] = Σ_i δ[i, j] ∂²p_j/∂w_a∂w_b over the `run` ≤ 512 samples of a split; e counts the entries (j, (a, b)),
// a ≥ b packed row by row, or (j, a) with b = a where DIAGONAL, from `start` on.

#include "lib/packed.wgsl"
#include "lib/unit.wgsl"

fn element(split: u32, r: u32, e: u32) {
    let entry = params.start + e;
#if DIAGONAL
    let size = PARAMETERS;
    let ab = vec2(entry % size);
#else
    let size = triangle(PARAMETERS);
    let ab = tile_of(entry % size);
#end
    let j = entry / size;
    let begin = split * params.run;
    let end = min(begin + params.run, params.n);
    var sum = real();
    for (var i = begin; i < end; i += 1u) {
        at(i, j);
        sum += delta[at_delta(i, 0u, j)] * unit_d_ww(ab.x, ab.y);
    }
    partial[at_partial(split, r, e)] = sum;
}
