// (sinh u, cosh u): with m = e^|u| − 1 near 0, where e^|u| − e^−|u| would cancel.

#include "lib/exp.wgsl"

fn sinh_cosh(u: real) -> vec2<real> {
    if is_nan(u) {
        return vec2<real>(u);
    }
    let e = exp_clamped(abs(u));
    let half = times_pow2(e.m, e.k - 1); // no overflow before that of the result
    let rest = 0.25 / half;
    let m = minus_one(e);
    let small = 0.5 * (m + m / (1.0 + m));
    let sinh_ = select(half - rest, small, abs(u) < 1.0);
    return vec2<real>(with_sign(sinh_, u), half + rest);
}
