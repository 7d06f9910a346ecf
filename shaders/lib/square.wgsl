// Squares without the rounding error that an exponential or a zero would enlarge.

#include "lib/exp.wgsl"

// exp(−c u²) for c = 1 or ½ and |u| < √EXP_CUT: u² = top² + (u − top)(u + top), the first term exact.
fn exp_neg_square(u: real, c: real) -> Exp {
    let t = top(u);
    return exp_parts(-c * (t * t), -c * ((u - t) * (u + t)));
}

// √2 in two parts
#if F64
const SQRT2: real = 1.4142135623730951;
const SQRT2_REST: real = -9.667293313452913e-17;
#else
const SQRT2: real = 1.4142135381698608;
const SQRT2_REST: real = 2.4203234971764687e-08;
#end

// u² − 2, with all its digits near √2 too. Sealed, the exact difference cannot be moved.
fn square_minus_two(u: real) -> real {
    let x = abs(u);
    let t = top(x);
    let exact = t * t - 2.0;
    let difference_of_squares = select(exact, seal(exact), x >= 1.0) + (x - t) * (x + t);
    if abs(difference_of_squares) > 0.0625 {
        return difference_of_squares;
    }
    return (difference(x, SQRT2) - SQRT2_REST) * (x + SQRT2);
}
