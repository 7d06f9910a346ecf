// The bits of a 32-bit float. NaN is told by its bits: a shader compiler may assume that there is none, and
// x != x, min and max do not show it. So are the sign of a zero, infinity and the exponent.

const MANTISSA: i32 = 23; // stored bits of the significand

fn magnitude_bits(x: real) -> u32 {
    return bitcast<u32>(x) & 0x7fffffffu;
}

fn is_nan(x: real) -> bool {
    return magnitude_bits(x) > 0x7f800000u;
}

fn is_inf(x: real) -> bool {
    return magnitude_bits(x) == 0x7f800000u;
}

fn is_zero(x: real) -> bool {
    return magnitude_bits(x) == 0u;
}

// Whether the sign bit is set: of −0 it is.
fn is_negative(x: real) -> bool {
    return bitcast<u32>(x) >= 0x80000000u;
}

// Through a variable: WGSL refuses NaN and infinity as constants.
fn nan() -> real {
    var bits = 0x7fc00000u;
    return bitcast<real>(bits);
}

fn inf() -> real {
    var bits = 0x7f800000u;
    return bitcast<real>(bits);
}

// |x| with the sign of s.
fn with_sign(x: real, s: real) -> real {
    return bitcast<real>(magnitude_bits(x) | (bitcast<u32>(s) & 0x80000000u));
}

// The upper 11 bits of the significand, so that products of two such are exact and end in zeros.
fn top(x: real) -> real {
    return bitcast<real>(bitcast<u32>(x) & 0xffffe000u);
}

// x, whose lowest bit is known to be 0. The compiler does not know, so it cannot move x into another sum.
fn seal(x: real) -> real {
    return bitcast<real>(bitcast<u32>(x) & 0xfffffffeu);
}

// x − c for both in [1, 2], exactly and by integers.
fn difference(x: real, c: real) -> real {
    return real(bitcast<i32>(x) - bitcast<i32>(c)) * 0x1p-23f;
}

// 2ᵏ for −126 ≤ k ≤ 127.
fn pow2(k: i32) -> real {
    return bitcast<real>(u32(k + 127) << 23u);
}

// 2ᵏ x for a finite x that is 0 or normal; subnormal results are rounded or flushed to 0.
fn times_pow2(x: real, k: i32) -> real {
    let bits = bitcast<u32>(x);
    let exponent = i32((bits >> 23u) & 0xffu);
    if exponent == 0 || exponent + k < -30 {
        return with_sign(0.0, x);
    }
    if exponent + k >= 255 {
        return with_sign(inf(), x);
    }
    if exponent + k > 0 {
        return bitcast<real>(bits + (u32(k) << 23u));
    }
    return bitcast<real>(bits + (u32(k + 64) << 23u)) * 0x1p-64f;
}

struct Parts {
    significand: real, // in [√½, √2)
    exponent: i32,
}

// x = significand · 2^exponent for finite x > 0.
fn split(x: real) -> Parts {
    var bits = bitcast<u32>(x);
    var k = 0;
    if bits < 0x00800000u {
        bits = bitcast<u32>(real(bits)); // a subnormal is that many 2⁻¹⁴⁹
        k = -149;
    }
    // Adds what carries into the exponent from √2 on.
    let shifted = bits + (0x3f800000u - 0x3f3504f3u);
    k += i32(shifted >> 23u) - 127;
    return Parts(bitcast<real>((shifted & 0x007fffffu) + 0x3f3504f3u), k);
}
