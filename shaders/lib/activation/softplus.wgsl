// ln(1 + eᵘ) = max(u, 0) + ln(1 + e^−|u|).
//
// h, h′ and h″ are within 3, 3 and 3 ULP (lib/real.wgsl: on what terms).

#include "lib/log.wgsl"
#include "lib/sigmoid.wgsl"

fn activation_softplus(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    let s = sigmoid(abs(u));
    return vec3<real>(max(u, 0.0) + log1p_(s.z), logistic_of(s, u), times_pow2(s.first, s.k));
}
