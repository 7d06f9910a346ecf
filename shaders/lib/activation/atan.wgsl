// arctan u.
//
// h, h′ and h″ are within 3, 2 and 2 ULP (lib/real.wgsl: on what terms).
//
// h′ = 1/(1 + u²), h″ = −2u/(1 + u²)²; where u² could overflow, 1 + u² = u².

#include "lib/atan.wgsl"

#if F64
const ATAN_LARGE: real = 0x1p30lf;
const ATAN_STEPS: real = 0x1p24lf;
#else
const ATAN_LARGE: real = 0x1p14f;
const ATAN_STEPS: real = 0x1p10f;
#end

fn activation_atan(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    if is_inf(u) {
        return vec3<real>(atan_(u), 0.0, with_sign(0.0, -u));
    }
    if abs(u) > ATAN_LARGE {
        let first = 1.0 / u / u;
        return vec3<real>(atan_(u), first, -2.0 * first / u);
    }
    // 1 + u² = whole + rest with few enough digits of t for whole to be exact; its square from a, which has half the
    // digits, and b: both are rounded once.
    let x = abs(u);
    let t = select(top(x), floor(x * ATAN_STEPS) * (1.0 / ATAN_STEPS), x < 1.0);
    let far = x > ATAN_STEPS;
    let whole = select(1.0 + t * t, t * t, far);
    let rest = select(real(0.0), real(1.0), far) + (x - t) * (x + t);
    let d = whole + rest;
    let a = top(d);
    let b = (whole - a) + rest;
    return vec3<real>(atan_(u), 1.0 / d, -2.0 * u / (a * a + b * (2.0 * a + b)));
}
