// log Σ_o exp x_o − Σ_o y_o x_o with y ≥ 0, Σ y = 1, π = softmax(x): gradient π − y, Hessian diag π − π πᵀ.
//
// With M the largest x: ln(1 + Σ exp(x_o − M) over the others) + Σ y_o (M − x_o), which keeps small losses. Where π is
// close to 1, which only the largest can be, 1 − π is summed from the others. The relative error of π_o grows like
// M − x_o roundings, by that of the difference.

#include "lib/exp.wgsl"
#include "lib/log.wgsl"

struct Softmax {
    top: u32,     // where x is largest, the first such
    largest: real,
    others: real, // Σ exp(x_o − M) without the largest
}

fn softmax(i: u32) -> Softmax {
    var s = Softmax(0u, x_at(i, 0u), 0.0);
    for (var o = 1u; o < params.outputs; o++) {
        if x_at(i, o) > s.largest {
            s.top = o;
            s.largest = x_at(i, o);
        }
    }
    for (var o = 0u; o < params.outputs; o++) {
        if is_nan(x_at(i, o)) {
            s.others = nan();
        } else if o != s.top {
            s.others += exp_(x_at(i, o) - s.largest);
        }
    }
    return s;
}

// (π_o, 1 − π_o)
fn probability(s: Softmax, i: u32, o: u32) -> vec2<real> {
    let total = 1.0 + s.others;
    if o == s.top {
        return vec2<real>(1.0, s.others) / total;
    }
    let e = exp_(x_at(i, o) - s.largest);
    return vec2<real>(e, total - e) / total;
}

fn value_at(i: u32) -> real {
    let s = softmax(i);
    var linear = real(0.0);
    for (var o = 0u; o < params.outputs; o++) {
        linear += y_at(i, o) * (s.largest - x_at(i, o));
    }
    return log1p_(s.others) + linear;
}

fn gradient_at(i: u32, o: u32) -> real {
    let goal = y_at(i, o);
    let p = probability(softmax(i), i, o);
    return (1.0 - goal) * p.x - goal * p.y;
}

fn write_hessian_row(i: u32, o: u32, weight: real) {
    let s = softmax(i);
    let p = probability(s, i, o);
    for (var q = 0u; q < params.outputs; q++) {
        if q == o {
            out[at_out(i, o, q)] = weight * (p.x * p.y);
        } else {
            out[at_out(i, o, q)] = -weight * (p.x * probability(s, i, q).x);
        }
    }
}
