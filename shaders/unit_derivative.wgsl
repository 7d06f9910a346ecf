// out[i, j, a] = ∂p/∂w_a, or ∂p/∂z_a unless OF_PARAMETERS, at (z_i, w_j).

#include "lib/unit.wgsl"

fn element(i: u32, j: u32, a: u32) {
    at(i, j);
#if OF_PARAMETERS
    out[at_out(i, j, a)] = unit_d_w(a);
#else
    out[at_out(i, j, a)] = unit_d_z(a);
#end
}
