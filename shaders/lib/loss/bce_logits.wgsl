// softplus(x) − yx with the logistic function s: s(x) − y and s(x) s(−x). v is not used.
//
// The value as ln(1 + e^−|x|) + max(x, 0) − yx and the slope as (1 − y) s(x) − y s(−x): no cancellation at y = 0 or 1.

#include "lib/log.wgsl"
#include "lib/sigmoid.wgsl"

fn loss(x: real, y: real, v: real) -> vec3<real> {
    let s = sigmoid(abs(x));
    let small = times_pow2(s.small, s.k); // s(−|x|)
    let first = times_pow2(s.first, s.k);
    if x > 0.0 {
        return vec3<real>(log1p_(s.z) + (1.0 - y) * x, (1.0 - y) * s.large - y * small, first);
    }
    return vec3<real>(log1p_(s.z) - y * x, (1.0 - y) * small - y * s.large, first);
}
