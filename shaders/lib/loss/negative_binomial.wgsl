// (y + 1/v) ln(1 + vμ) − yx with μ = eˣ, (μ − y)/(1 + vμ) and (vy + 1) μ/(1 + vμ)².
//
// Where vμ > 1, in terms of its inverse b = e^−x/v: μ may overflow, where the results do not.

#include "lib/exp.wgsl"
#include "lib/log.wgsl"

fn loss(x: real, y: real, v: real) -> vec3<real> {
    let mean = exp_(x);
    let a = v * mean;
    let counts = y + 1.0 / v;
    if a <= 1.0 {
        let d = 1.0 + a;
        return vec3<real>(counts * log1p_(a) - y * x, (mean - y) / d, (v * y + 1.0) * mean / (d * d));
    }
    let b = exp_(-x) / v;
    let d = 1.0 + b;
    let log_v = log_(v);
    return vec3<real>(
        counts * log1p_(b) + (x + log_v) / v + y * log_v,
        (1.0 / v - y * b) / d,
        counts * b / (d * d),
    );
}
