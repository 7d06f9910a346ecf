// u/(1 + |u|); the second derivative, which jumps at 0, is 0 there.
//
// h, h′ and h″ are within 2, 2 and 3 ULP (lib/real.wgsl: on what terms).
//
// h′ = 1/(1 + |u|)², h″ = ∓2/(1 + |u|)³; where the powers could overflow, 1 + |u| = |u|.

#include "lib/real.wgsl"

#if F64
const ELLIOT_LARGE: real = 0x1p56lf;
const ELLIOT_STEPS: real = 0x1p24lf;
#else
const ELLIOT_LARGE: real = 0x1p26f;
const ELLIOT_STEPS: real = 0x1p10f;
#end

fn activation_elliot(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    let x = abs(u);
    if x > ELLIOT_LARGE {
        let first = 1.0 / x / x;
        return vec3<real>(with_sign(1.0, u), first, with_sign(2.0 * first / x, -u));
    }
    // 1 + x = whole + rest with few enough digits of t for both to be exact; its powers from a, which has half the digits,
    // and b: they are rounded little more than once.
    let t = select(top(x), floor(x * ELLIOT_STEPS) * (1.0 / ELLIOT_STEPS), x < 1.0);
    let far = x > ELLIOT_STEPS;
    let whole = select(1.0 + t, t, far);
    let rest = select(real(0.0), real(1.0), far) + (x - t);
    let d = whole + rest;
    let a = top(d);
    let b = (whole - a) + rest;
    let square = a * a + b * (2.0 * a + b);
    let cube = a * a * a + b * (3.0 * a * (a + b) + b * b);
    let second = select(2.0 / cube, real(0.0), is_zero(u));
    return vec3<real>(u / d, 1.0 / square, with_sign(second, -u));
}
