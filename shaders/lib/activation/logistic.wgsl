// s(u) = 1/(1 + e^−u).
//
// h, h′ and h″ are within 3, 3 and 4 ULP (lib/real.wgsl: on what terms).
//
// With z = e^−|u|: s(−|u|) = z/(1 + z), never 1 − s; h′ = z/(1 + z)², h″ = ∓z (1 − z)/(1 + z)³.

#include "lib/sigmoid.wgsl"

fn activation_logistic(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    let s = sigmoid(abs(u));
    return vec3<real>(
        logistic_of(s, u),
        times_pow2(s.first, s.k),
        with_sign(times_pow2(s.second, s.k - 3), -u),
    );
}
