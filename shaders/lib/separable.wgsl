// The losses that are sums over the outputs, from loss(x, y, v) = (g, ∂g/∂x, ∂²g/∂x²) of one output.

#include "lib/real.wgsl"
#include "lib/loss/$LOSS.wgsl"

// NaN is told before the comparisons in the loss, which may take it for a number.
fn loss_at(i: u32, o: u32) -> vec3<real> {
    let x = x_at(i, o);
    let y = y_at(i, o);
    if is_nan(x) || is_nan(y) {
        return vec3<real>(nan());
    }
    return loss(x, y, constants[at_constants(i, 0u, o)]);
}

fn value_at(i: u32) -> real {
    var sum = real(0.0);
    for (var o = 0u; o < params.outputs; o++) {
        sum += loss_at(i, o).x;
    }
    return sum;
}

fn gradient_at(i: u32, o: u32) -> real {
    return loss_at(i, o).y;
}

fn write_hessian_row(i: u32, o: u32, weight: real) {
    for (var q = 0u; q < params.outputs; q++) {
        out[at_out(i, o, q)] = 0.0;
    }
    out[at_out(i, o, o)] = weight * loss_at(i, o).z;
}
