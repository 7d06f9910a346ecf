// out[i, j, a] = Σ_b ∂²p/∂w_a∂w_b ẇ[j, b] + Σ_c ∂²p/∂w_a∂z_c ż[i, c], or unless OF_PARAMETERS
// Σ_b ∂²p/∂w_b∂z_a ẇ[j, b] + Σ_c ∂²p/∂z_a∂z_c ż[i, c]; ẇ where ALONG_W, ż where ALONG_Z, else they are 0.

#include "lib/unit.wgsl"

fn element(i: u32, j: u32, a: u32) {
    at(i, j);
    var sum = real();
#if ALONG_W
    for (var b = 0u; b < PARAMETERS; b += 1u) {
#if OF_PARAMETERS
        sum += unit_d_ww(a, b) * dw[at_dw(0u, j, b)];
#else
        sum += unit_d_wz(b, a) * dw[at_dw(0u, j, b)];
#end
    }
#end
#if ALONG_Z
    for (var c = 0u; c < INPUTS; c += 1u) {
#if OF_PARAMETERS
        sum += unit_d_wz(a, c) * dz[at_dz(i, 0u, c)];
#else
        sum += unit_d_zz(a, c) * dz[at_dz(i, 0u, c)];
#end
    }
#end
    out[at_out(i, j, a)] = sum;
}
