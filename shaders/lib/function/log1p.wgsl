// ln(1 + u) for u > −1, without cancellation near 0; −∞, ∞, −∞ at −1, NaN below.

#include "lib/log.wgsl"

fn function_log1p(u: real) -> vec3<real> {
    if is_nan(u) || u < -1.0 {
        return vec3<real>(nan());
    }
    if is_inf(u) {
        return vec3<real>(u, 0.0, -0.0);
    }
    var value: real;
    if abs(u) < 0.28 {
        value = with_sign(log_parts(u, 0), u);
    } else if is_negative(u) {
        value = log_(1.0 + u);
    } else {
        value = log1p_(u);
    }
    if u == -1.0 {
        return vec3<real>(-inf(), inf(), -inf());
    }
    let inverse = 1.0 / (1.0 + u);
    return vec3<real>(value, inverse, -inverse * inverse);
}
