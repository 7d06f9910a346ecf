// out[i] = ω_i g(x_i, y_i), or with GRADIENT out[i, o] = ω_i ∂g/∂x_io. A weight of 0 takes the sample out even where its loss is not
// finite, and NaN stays NaN.

#include "lib/loss.wgsl"

fn element(i: u32, r: u32, o: u32) {
    let weight = omega[at_omega(i, 0u, 0u)];
    var number = real(0.0);
    if !is_zero(weight) {
#if GRADIENT
        number = weight * gradient_at(i, o);
#else
        number = weight * value_at(i);
#end
    }
    out[at_out(i, r, o)] = number;
}
