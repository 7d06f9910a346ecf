// out[i, o, q] = ω_i ∂²g/∂x_io∂x_iq for all q. A weight of 0 takes the sample out even where its loss is not finite, and NaN stays NaN.

#include "lib/loss.wgsl"

fn element(i: u32, o: u32, c: u32) {
    let weight = omega[at_omega(i, 0u, 0u)];
    if is_zero(weight) {
        for (var q = 0u; q < params.outputs; q++) {
            out[at_out(i, o, q)] = 0.0;
        }
        return;
    }
    write_hessian_row(i, o, weight);
}
