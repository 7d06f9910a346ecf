// The common part of tanh, the logistic function, softplus and SiLU, for x ≥ 0 and z = e^−x = 2ᵏ m. Nothing cancels, and
// what vanishes with z has its power of two apart: z itself may be subnormal where a multiple of it is not.

#include "lib/exp.wgsl"

// Numbers up to 2 in steps of 1/STEPS have exact cubes.
#if F64
const STEPS: real = 0x1p16lf;
#else
const STEPS: real = 0x1p7f;
#end

struct Sigmoid {
    k: i32,
    z: real,     // e^−x
    large: real, // s(x) = 1/(1 + z)
    small: real, // 2^−k s(−x) = m/(1 + z)
    tanh: real,  // tanh(x/2) = (1 − z)/(1 + z)
    first: real, // 2^−k s′(x) = m/(1 + z)²
    second: real, // −2^−k 8 s″(x) = 8 m (1 − z)/(1 + z)³
}

// For x ≥ 0, infinity included.
fn sigmoid(x: real) -> Sigmoid {
    let e = exp_parts(-min(x, EXP_CUT), 0.0);
    let z = times_pow2(e.m, e.k);
    let d = 1.0 + z;
    // (1 + z)² and (1 + z)³, rounded once
    let a = 1.0 + floor(z * STEPS) * (1.0 / STEPS);
    let b = z - (a - 1.0);
    let square = a * a + b * (2.0 * a + b);
    let cube = a * a * a + b * (3.0 * a * (a + b) + b * b);
    let one_minus_z = -minus_one(e);
    return Sigmoid(e.k, z, 1.0 / d, e.m / d, one_minus_z / d, e.m / square, 8.0 * e.m * one_minus_z / cube);
}

// s(u) for the sigmoid at |u|.
fn logistic_of(s: Sigmoid, u: real) -> real {
    if is_negative(u) {
        return times_pow2(s.small, s.k);
    }
    return s.large;
}
