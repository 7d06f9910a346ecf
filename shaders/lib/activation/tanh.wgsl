// tanh u.
//
// h, h′ and h″ are within 3, 3 and 4 ULP (lib/real.wgsl: on what terms).
//
// With z = e^(−2|u|): (1 − z)/(1 + z), 4z/(1 + z)² and ∓8z (1 − z)/(1 + z)³; 1 − tanh² would cancel.

#include "lib/sigmoid.wgsl"

fn activation_tanh(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    let s = sigmoid(2.0 * min(abs(u), EXP_CUT));
    return vec3<real>(
        with_sign(s.tanh, u),
        times_pow2(s.first, s.k + 2),
        with_sign(times_pow2(s.second, s.k), -u),
    );
}
