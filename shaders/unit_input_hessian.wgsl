// out[i, a, b] += Σ_j δ[i, j] ∂²p_j/∂z_a∂z_b for j < units.

#include "lib/unit.wgsl"

fn element(i: u32, a: u32, b: u32) {
    var sum = real();
    for (var j = 0u; j < params.units; j += 1u) {
        at(i, j);
        sum += delta[at_delta(i, 0u, j)] * unit_d_zz(a, b);
    }
    out[at_out(i, a, b)] += sum;
}
