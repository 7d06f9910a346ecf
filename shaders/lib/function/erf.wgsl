// erf u = 2 Φ(√2 u) − 1, with the normal distribution function Φ.

#include "lib/normal.wgsl"

fn function_erf(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    let x = 1.4142135623730951 * abs(u);
    if x > NORMAL_CUT {
        return vec3<real>(with_sign(1.0, u), 0.0, with_sign(0.0, -u));
    }
    var value = 2.0 * x * normal_series(min(x, 0.5));
    if x >= 0.5 {
        let tail = exp_neg_square(x, 0.5);
        value = 1.0 - 2.0 * times_pow2(tail.m * tail_ratio(x).x, tail.k);
    }
    let e = exp_neg_square(u, 1.0);
    let first = times_pow2(1.1283791670955126 * e.m, e.k);
    return vec3<real>(with_sign(value, u), first, -2.0 * u * first);
}
