// out[i, j] += Σ_a ∂p/∂w_a ẇ[j, a] + Σ_c ∂p/∂z_c ż[i, c]; ẇ where ALONG_W, ż where ALONG_Z, else they are 0.

#include "lib/unit.wgsl"

fn element(i: u32, r: u32, j: u32) {
    at(i, j);
    var sum = real();
#if ALONG_W
    for (var a = 0u; a < PARAMETERS; a += 1u) {
        sum += unit_d_w(a) * dw[at_dw(0u, j, a)];
    }
#end
#if ALONG_Z
    for (var c = 0u; c < INPUTS; c += 1u) {
        sum += unit_d_z(c) * dz[at_dz(i, 0u, c)];
    }
#end
    out[at_out(i, r, j)] += sum;
}
