// u Φ(u), with the normal distribution function Φ.
//
// h, h′ and h″ are within 4, 4 and 4 ULP (lib/real.wgsl: on what terms). Near its interior zero h′ is within
// 4 · 2⁻²⁴ (f64: 4 · 2⁻⁵³) of its largest size within 1/4 of u.
//
// With x = |u| and Φ(−x) = e^(−x²/2) Q(x): h(−x) = −x Q e^(−x²/2), h′(−x) = (Q − x/√(2π)) e^(−x²/2), and then
// h(x) = x + h(−x), h′(x) = 1 − h′(−x), h″(x) = h″(−x) = (2 − x²) e^(−x²/2)/√(2π). Near 0 by Φ = ½ + u S(u²).

#include "lib/normal.wgsl"

fn activation_gelu(u: real) -> vec3<real> {
    if is_nan(u) {
        return vec3<real>(u);
    }
    let x = abs(u);
    if x > NORMAL_CUT {
        if u > 0.0 {
            return vec3<real>(u, 1.0, -0.0);
        }
        return vec3<real>(with_sign(0.0, u));
    }
    let e = exp_neg_square(x, 0.5);
    let second = times_pow2(-square_minus_two(x) * INV_SQRT_TAU * e.m, e.k);
    if x < 0.5 {
        let series = normal_series(u);
        let density = INV_SQRT_TAU * times_pow2(e.m, e.k);
        return vec3<real>(u * (0.5 + u * series), 0.5 + u * (series + density), second);
    }
    let ratio = tail_ratio(x);
    var slope = ratio.x - INV_SQRT_TAU * x;
    if x < 1.5 {
        slope = normal_slope(x);
    }
    slope *= e.m;
    if is_negative(u) {
        return vec3<real>(times_pow2(-ratio.y * e.m, e.k), times_pow2(slope, e.k), second);
    }
    return vec3<real>(
        u - times_pow2(ratio.y * e.m, e.k),
        1.0 - times_pow2(slope, e.k),
        second,
    );
}
