// eᵘ.
//
// h, h′ and h″ are within 2, 2 and 2 ULP (lib/real.wgsl: on what terms).

#include "lib/exp.wgsl"

fn activation_exp(u: real) -> vec3<real> {
    return vec3<real>(exp_(u));
}
