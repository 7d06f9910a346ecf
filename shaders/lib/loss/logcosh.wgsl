// v² log cosh t, v tanh t and 1 − tanh² t with t = (x − y)/v.
//
// For |t| < 1 as (x − y)² · (log cosh t / t²), beyond as v (|x − y| − v (log 2 − ln(1 + e^(−2|t|)))): no v² and no t²,
// which may overflow or vanish where the result does not. The relative error of 1 − tanh² t grows like 2|t| roundings, by
// that of t itself.

#include "lib/log.wgsl"
#include "lib/log_cosh.wgsl"
#include "lib/sigmoid.wgsl"

fn loss(x: real, y: real, v: real) -> vec3<real> {
    let d = x - y;
    let t = d / v;
    let s = sigmoid(2.0 * min(abs(t), EXP_CUT));
    var value = d * (d * log_cosh_over_square(min(abs(t), 1.0)));
    if abs(t) > 1.0 {
        value = v * (abs(d) - v * (LN2_HIGH + LN2_LOW - log1p_(s.z)));
    }
    return vec3<real>(value, v * with_sign(s.tanh, d), times_pow2(s.first, s.k + 2));
}
