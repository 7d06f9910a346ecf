// arctan x. Within 3 ULP (real.wgsl: on what terms).
//
// By arctan x = π/4 + arctan((x−1)/(x+1)) = π/2 − arctan(1/x) for x > 0 to |t| ≤ tan(π/8); there t + t³ A(t²), A minimax
// on [0, 0.1717]: in f32 of degree 4 with an error of 2⁻²⁸·⁷, in f64 of degree 11 and 2⁻⁵⁸.

#include "lib/real.wgsl"

#if F64
const PI_2: real = 1.5707963267948966;
const PI_2_REST: real = 6.123233995736766e-17;
#else
const PI_2: real = 1.57079637;
const PI_2_REST: real = -4.371138828673793e-08;
#end

fn atan_(x: real) -> real {
    if is_nan(x) {
        return x;
    }
    let a = abs(x);
    var t = x;
    var base = real(0.0); // in units of π/2
    if a > 2.4142135 {
        t = -1.0 / x; // −0 at infinity
        base = 1.0;
    } else if a > 0.41421356 {
        t = (a - 1.0) / (a + 1.0);
        t = select(t, -t, is_negative(x));
        base = 0.5;
    }
    let z = t * t;
#if F64
    var p = real(0.01519936348164751);
    p = p * z - 0.03347866168157828;
    p = p * z + 0.045037328022522256;
    p = p * z - 0.0521845022457399;
    p = p * z + 0.05877029042814602;
    p = p * z - 0.06666227510940356;
    p = p * z + 0.07692282810692348;
    p = p * z - 0.09090908146876885;
    p = p * z + 0.11111111088244256;
    p = p * z - 0.14285714285389098;
    p = p * z + 0.19999999999997678;
    p = p * z - 0.33333333333333326;
#else
    var p = real(-0.0608182997);
    p = p * z + 0.105953969;
    p = p * z - 0.142437726;
    p = p * z + 0.199984863;
    p = p * z - 0.333333164;
#end
    if base == 0.0 {
        return with_sign(t + t * z * p, x); // −0 too
    }
    base = select(base, -base, is_negative(x));
    return base * PI_2 + (t + (t * z * p + base * PI_2_REST));
}
