// value_at(i), gradient_at(i, o) and write_hessian_row(i, o, weight) of a loss at x_i and y_i. For the softmax every thread sums over
// the outputs of its sample anew.

fn x_at(i: u32, o: u32) -> real {
    return x[at_x(i, 0u, o)];
}

fn y_at(i: u32, o: u32) -> real {
    return y[at_y(i, 0u, o)];
}

#if CUSTOM
#include "lib/custom_loss.wgsl"
#else
#if COUPLED
#include "lib/loss/$LOSS.wgsl"
#else
#include "lib/separable.wgsl"
#end
#end
