// The common part of a formula's operations. Where a number has overflowed on the way to a result that has not, the
// result is at its limit and its derivatives are 0: f′(v) v′ = 0 for f′(v) = 0 and an infinite v, n/b = 0 for an infinite b.

#include "lib/real.wgsl"

fn chain(f: real, v: real, x: real) -> real {
    return select(f * x, real(0.0), is_inf(v) && f == 0.0);
}

fn quotient(numerator: real, b: real) -> real {
    return select(numerator / b, real(0.0), is_inf(b));
}
