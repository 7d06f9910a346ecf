// out[i, j] = p(z_i; w_j).

#include "lib/unit.wgsl"

fn element(i: u32, r: u32, j: u32) {
    at(i, j);
    out[at_out(i, r, j)] = unit_value();
}
