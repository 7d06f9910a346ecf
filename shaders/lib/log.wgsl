// ln x and ln(1 + x). Within 1 and 2 ULP (real.wgsl: on what terms).
//
// x = 2ᵏ (1 + f) with 1 + f in [√½, √2) and ln(1 + f) = f − f²/2 + s (f²/2 + s² L(s²)), s = f/(2 + f): all but the
// first term is a small correction, whose roundings count little. L is a minimax polynomial on [0, 0.0295]: in f32 of
// degree 2 with an error of ln below 2⁻³⁰, in f64 of degree 6 and 2⁻⁵⁸.

#include "lib/real.wgsl"

// ln 2 in two parts; the product of the first with k is exact.
#if F64
const LOG2_HIGH: real = 0.6931471805601177;
const LOG2_LOW: real = -1.7239444525614835e-13;
#else
const LOG2_HIGH: real = 0.693145751953125;
const LOG2_LOW: real = 1.428606765330187e-06;
#end

// ln(2ᵏ (1 + f))
fn log_parts(f: real, k: i32) -> real {
    let s = f / (2.0 + f);
    let z = s * s;
#if F64
    var l = real(0.14796662152968595);
    l = l * z + 0.15313983829283;
    l = l * z + 0.18183566740382037;
    l = l * z + 0.22222198530932114;
    l = l * z + 0.2857142874275232;
    l = l * z + 0.3999999999941328;
    l = l * z + 0.6666666666666735;
#else
    var l = real(0.298722297);
    l = l * z + 0.399775267;
    l = l * z + 0.666667759;
#end
    let half_square = 0.5 * f * f;
    let n = real(k);
    return n * LOG2_HIGH + (f - (half_square - (s * (half_square + z * l) + n * LOG2_LOW)));
}

// NaN for x < 0, −∞ at ±0.
fn log_(x: real) -> real {
    if is_nan(x) {
        return x;
    }
    if is_zero(x) {
        return -inf();
    }
    if is_negative(x) {
        return nan();
    }
    if is_inf(x) {
        return x;
    }
    let parts = split(x);
    return log_parts(parts.significand - 1.0, parts.exponent);
}

// For x ≥ 0: 1 + x is rounded only where that is small beside the logarithm.
fn log1p_(x: real) -> real {
    if !(x >= 0.4) {
        return log_parts(x, 0); // NaN too
    }
    if x < 1.8 {
        return log_parts(0.5 * (x - 1.0), 1);
    }
    return log_(1.0 + x);
}
