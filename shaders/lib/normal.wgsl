// The normal distribution function Φ, by Φ(−x) = e^(−x²/2) Q(x) for x ≥ 0, and by Φ(u) = ½ + u S(u²) near 0.
//
// Q is Mills' ratio over √(2π). (x + ¾) Q(x) = P((x − K)/(x + K)) varies little from 0 to ∞. All polynomials are by
// Chebyshev interpolation, with the constant term in two parts:
//   P in f32 with K = 3, degree 11, error 2⁻²⁸·⁷ up to x = 15, in f64 with K = 6, degree 26, 2⁻⁵⁷ up to x = 40;
//   S on [0, ¼], in f32 of degree 4, 2⁻²⁹, in f64 of degree 8, 2⁻⁵⁸·⁸;
//   G on [½, 3/2], in f32 of degree 7, 2⁻²⁸·⁵, in f64 of degree 15, 2⁻⁵⁷.

#include "lib/square.wgsl"

#if F64
const INV_SQRT_TAU: real = 0.3989422804014327;
// Beyond this x² e^(−x²/2) is 0.
const NORMAL_CUT: real = 40.0;
#else
const INV_SQRT_TAU: real = 0.3989422917366028;
const NORMAL_CUT: real = 15.0;
#end

// Q(x) and x Q(x) for 0 ≤ x ≤ NORMAL_CUT, the latter without the rounding errors of the former where x is large.
fn tail_ratio(x: real) -> vec2<real> {
#if F64
    let w = (x - 6.0) / (x + 6.0);
    var p = real(3.188418004337902e-11);
    p = p * w + 8.67817163692061e-11;
    p = p * w - 2.6800388852381484e-10;
    p = p * w - 8.308804761509156e-10;
    p = p * w + 1.964294341639227e-09;
    p = p * w + 5.0644496058675446e-09;
    p = p * w - 1.6237428468427973e-08;
    p = p * w - 2.1851023733597636e-08;
    p = p * w + 1.3768088361845152e-07;
    p = p * w - 1.354422482235124e-08;
    p = p * w - 1.0271618249892293e-06;
    p = p * w + 1.9616881440405284e-06;
    p = p * w + 4.29269090832084e-06;
    p = p * w - 2.7724368477154863e-05;
    p = p * w + 4.2922422607344213e-05;
    p = p * w + 0.0001163959988706854;
    p = p * w - 0.0009140879374462242;
    p = p * w + 0.003189018574225249;
    p = p * w - 0.007914301419243567;
    p = p * w + 0.015458473134974081;
    p = p * w - 0.02451339896477977;
    p = p * w + 0.03135610201927619;
    p = p * w - 0.030347305490876754;
    p = p * w + 0.016103123170202897;
    p = p * w + 0.013353551199811953;
    p = p * w - 0.05422617894151595;
    p = 0.43726037169001625 + (p * w - 1.44316683537821034e-17);
#else
    let w = (x - 3.0) / (x + 3.0);
    var p = real(2.38459525e-05);
    p = p * w + 8.97961436e-05;
    p = p * w - 1.05067284e-05;
    p = p * w - 0.000547276693;
    p = p * w - 0.000262614456;
    p = p * w + 0.00325673423;
    p = p * w + 0.000433153647;
    p = p * w - 0.0242630355;
    p = p * w + 0.0567173474;
    p = p * w - 0.0472384058;
    p = p * w - 0.0449261069;
    p = 0.455677301 + (p * w + 5.50535389251492023e-9);
#end
    let shifted = x + 0.75;
    let ratio = p / shifted;
    return vec2<real>(ratio, select(x * ratio, p * (1.0 - 0.75 / shifted), x > 1.5));
}

// (Φ(u) − ½)/u for |u| ≤ ½.
fn normal_series(u: real) -> real {
    let z = u * u;
#if F64
    var p = real(2.1500886917598997e-09);
    p = p * z - 4.116937563407896e-08;
    p = p * z + 6.659549371017491e-07;
    p = p * z - 9.444654141793272e-06;
    p = p * z + 0.00011543468743320746;
    p = p * z - 0.001187328215471571;
    p = p * z + 0.0099735570100356;
    p = p * z - 0.06649038006690544;
    p = 0.3989422804014327 + (p * z - 2.492639818e-17);
#else
    var p = real(0.000109697408);
    p = p * z - 0.00118608458;
    p = p * z + 0.00997344684;
    p = p * z - 0.0664903745;
    p = 0.398942292 + (p * z - 1.135241006e-8);
#end
    return p;
}

// Twice the zero of Q(x) − x/√(2π), in two parts
#if F64
const NORMAL_ZERO: real = 1.503583049387129;
const NORMAL_ZERO_REST: real = -2.9913518354019765e-17;
#else
const NORMAL_ZERO: real = 1.5035830736160278;
const NORMAL_ZERO_REST: real = -2.422889977538034e-08;
#end

// Q(x) − x/√(2π) = (zero − x) G(x − 1) for ½ ≤ x ≤ 3/2: accurate at the zero.
fn normal_slope(x: real) -> real {
    let z = x - 1.0;
#if F64
    var p = real(-1.1631245972370555e-09);
    p = p * z + 5.371254775461464e-09;
    p = p * z - 2.298431970849366e-08;
    p = p * z + 1.001446067722934e-07;
    p = p * z - 4.236593457848573e-07;
    p = p * z + 1.7328853536167244e-06;
    p = p * z - 6.8431054988599815e-06;
    p = p * z + 2.601631429837012e-05;
    p = p * z - 9.490521408600156e-05;
    p = p * z + 0.000330864221079468;
    p = p * z - 0.0010970131961417415;
    p = p * z + 0.0034383334622388887;
    p = p * z - 0.010108808349701879;
    p = p * z + 0.027594704198278613;
    p = p * z - 0.06895639111999385;
    p = 0.5534218296402699 + (p * z + 1.957422931e-17);
#else
    var p = real(-9.84007638e-05);
    p = p * z + 0.00034417538;
    p = p * z - 0.00109646341;
    p = p * z + 0.00343623874;
    p = p * z - 0.010108836;
    p = p * z + 0.0275948085;
    p = p * z - 0.06895639;
    p = 0.553421855 + (p * z - 2.615349971e-8);
#end
    var from_zero = 2.0 * x - NORMAL_ZERO;
    if x <= 1.0 {
        from_zero = difference(2.0 * x, NORMAL_ZERO);
    }
    return -0.5 * (from_zero - NORMAL_ZERO_REST) * p;
}
