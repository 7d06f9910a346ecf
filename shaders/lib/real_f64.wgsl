// The bits of a 64-bit float, as real_f32.wgsl has them for 32 bits. naga takes bitcasts between types of one size
// only, so these need 64-bit integers besides 64-bit floats.

const MANTISSA: i32 = 52; // stored bits of the significand

fn magnitude_bits(x: real) -> u64 {
    return bitcast<u64>(x) & 0x7ffffffffffffffflu;
}

fn is_nan(x: real) -> bool {
    return magnitude_bits(x) > 0x7ff0000000000000lu;
}

fn is_inf(x: real) -> bool {
    return magnitude_bits(x) == 0x7ff0000000000000lu;
}

fn is_zero(x: real) -> bool {
    return magnitude_bits(x) == 0lu;
}

// Whether the sign bit is set: of −0 it is.
fn is_negative(x: real) -> bool {
    return bitcast<u64>(x) >= 0x8000000000000000lu;
}

// Through a variable: WGSL refuses NaN and infinity as constants.
fn nan() -> real {
    var bits = 0x7ff8000000000000lu;
    return bitcast<real>(bits);
}

fn inf() -> real {
    var bits = 0x7ff0000000000000lu;
    return bitcast<real>(bits);
}

// |x| with the sign of s.
fn with_sign(x: real, s: real) -> real {
    return bitcast<real>(magnitude_bits(x) | (bitcast<u64>(s) & 0x8000000000000000lu));
}

// The upper 26 bits of the significand, so that products of two such are exact and end in zeros.
fn top(x: real) -> real {
    return bitcast<real>(bitcast<u64>(x) & 0xfffffffff8000000lu);
}

// x, whose lowest bit is known to be 0. The compiler does not know, so it cannot move x into another sum.
fn seal(x: real) -> real {
    return bitcast<real>(bitcast<u64>(x) & 0xfffffffffffffffelu);
}

// x − c for both in [1, 2], exactly and by integers.
fn difference(x: real, c: real) -> real {
    return real(bitcast<i64>(x) - bitcast<i64>(c)) * 0x1p-52lf;
}

// 2ᵏ for −1022 ≤ k ≤ 1023.
fn pow2(k: i32) -> real {
    return bitcast<real>(u64(k + 1023) << 52u);
}

// 2ᵏ x for a finite x that is 0 or normal; subnormal results are rounded or flushed to 0.
fn times_pow2(x: real, k: i32) -> real {
    let bits = bitcast<u64>(x);
    let exponent = i32((bits >> 52u) & 0x7fflu);
    if exponent == 0 || exponent + k < -60 {
        return with_sign(0.0, x);
    }
    if exponent + k >= 2047 {
        return with_sign(inf(), x);
    }
    if exponent + k > 0 {
        return bitcast<real>(bits + (u64(k) << 52u));
    }
    return bitcast<real>(bits + (u64(k + 128) << 52u)) * 0x1p-128lf;
}

struct Parts {
    significand: real, // in [√½, √2)
    exponent: i32,
}

// x = significand · 2^exponent for finite x > 0.
fn split(x: real) -> Parts {
    var bits = bitcast<u64>(x);
    var k = 0;
    if bits < 0x0010000000000000lu {
        bits = bitcast<u64>(real(bits)); // a subnormal is that many 2⁻¹⁰⁷⁴
        k = -1074;
    }
    // Adds what carries into the exponent from √2 on.
    let shifted = bits + (0x3ff0000000000000lu - 0x3fe6a09e667f3bcdlu);
    k += i32(shifted >> 52u) - 1023;
    return Parts(bitcast<real>((shifted & 0x000ffffffffffffflu) + 0x3fe6a09e667f3bcdlu), k);
}
