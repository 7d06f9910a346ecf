// eˣ and eˣ − 1. Within 2 ULP each (real.wgsl: on what terms).
//
// x = n ln 2 + r with |r| ≤ ln 2/2, eʳ = 1 + r + r² E(r). ln 2 is taken off in two parts, of which the first is so
// short that its product with n is exact. E is a minimax polynomial on [−0.3475, 0.3475]: in f32 of degree 4 with an
// error of eʳ below 2⁻²⁷·⁷, in f64 of degree 10 and 2⁻⁶¹.

#include "lib/real.wgsl"

const INV_LN2: real = 1.4426950408889634;
#if F64
const LN2_HIGH: real = 0.6931471805601177;
const LN2_LOW: real = -1.7239444525614835e-13;
// Beyond this eˣ is infinite, and e^−x times any power of x up to the second is 0.
const EXP_CUT: real = 1500.0;
#else
const LN2_HIGH: real = 0.693145751953125;
const LN2_LOW: real = 1.428606765330187e-06;
const EXP_CUT: real = 150.0;
#end

// eˣ = 2ᵏ m, m = 1 + rest in (0.70, 1.42).
struct Exp {
    m: real,
    rest: real,
    k: i32,
}

// Of x + low, for |low| < |x|/500 and x in the cut, not NaN. Sealed, the exact difference cannot be moved; below ½ it
// has a digit more than a seal lets through, and there moving it would do no harm.
fn exp_parts(x: real, low: real) -> Exp {
    let n = floor((x + low) * INV_LN2 + 0.5);
    var r = x + low;
    if n != 0.0 {
        let exact = x - seal(n * LN2_HIGH);
        r = (select(seal(exact), exact, abs(x) < 0.5) - n * LN2_LOW) + low;
    }
#if F64
    var e = real(2.091488256348507e-09);
    e = e * r + 2.5105490906986696e-08;
    e = e * r + 2.7557273171941026e-07;
    e = e * r + 2.7557254740405416e-06;
    e = e * r + 2.4801587325920163e-05;
    e = e * r + 0.00019841269875342141;
    e = e * r + 0.0013888888888883642;
    e = e * r + 0.008333333333325985;
    e = e * r + 0.04166666666666667;
    e = e * r + 0.1666666666666667;
#else
    var e = real(0.00139506033);
    e = e * r + 0.0083690742;
    e = e * r + 0.041666206;
    e = e * r + 0.166665167;
#end
    let rest = r + r * r * (e * r + 0.5);
    return Exp(1.0 + rest, rest, i32(n));
}

// Into the cut, where eˣ is already its limit.
fn exp_clamped(x: real) -> Exp {
    return exp_parts(clamp(x, -EXP_CUT, EXP_CUT), 0.0);
}

fn exp_(x: real) -> real {
    if is_nan(x) {
        return x;
    }
    let e = exp_clamped(x);
    return times_pow2(e.m, e.k);
}

// eˣ − 1 from the parts of eˣ: 2ᵏ (rest + (1 − 2⁻ᵏ)).
fn minus_one(e: Exp) -> real {
    if e.k == 0 {
        return e.rest;
    }
    if e.k < -MANTISSA - 2 {
        return -1.0;
    }
    return times_pow2(e.rest + (1.0 - pow2(-min(e.k, 100))), e.k);
}
