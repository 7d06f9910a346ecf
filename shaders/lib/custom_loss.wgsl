// A user's loss, from loss_value(), loss_gradient(o) and loss_hessian(o, q) of its text for the thread's sample.

#include "lib/real.wgsl"

const OUTPUTS: u32 = ${OUTPUTS}u;

var<private> sample: u32;

fn predicted(o: u32) -> real {
    return x_at(sample, o);
}

fn observed(o: u32) -> real {
    return y_at(sample, o);
}

#include CUSTOM

// NaN is told before the comparisons in the text, which may take it for a number.
fn has_nan(i: u32) -> bool {
    sample = i;
    for (var o = 0u; o < OUTPUTS; o++) {
        if is_nan(predicted(o)) || is_nan(observed(o)) {
            return true;
        }
    }
    return false;
}

fn value_at(i: u32) -> real {
    if has_nan(i) {
        return nan();
    }
    return loss_value();
}

fn gradient_at(i: u32, o: u32) -> real {
    if has_nan(i) {
        return nan();
    }
    return loss_gradient(o);
}

fn write_hessian_row(i: u32, o: u32, weight: real) {
    let lost = has_nan(i);
    for (var q = 0u; q < OUTPUTS; q++) {
        if lost {
            out[at_out(i, o, q)] = nan();
        } else {
            out[at_out(i, o, q)] = weight * loss_hessian(o, q);
        }
    }
}
