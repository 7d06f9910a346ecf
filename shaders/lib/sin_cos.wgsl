// sin u and cos u for every finite u; NaN at ±∞. Within 2 ULP each (real.wgsl: on what terms).
//
// For |u| > π/4 the reduction to u − qπ/2 is exact, by integers (Payne and Hanek): with u = M 2^E, the bits of 2/π
// above 2^(2−E) give multiples of 4 and are left out; of the rest as many as matter are multiplied by M. sin r =
// r + r³ S(r²), cos r = 1 − r²/2 + r⁴ C(r²), minimax on [0, π/4]: in f32 of degree 2, errors 2⁻²⁷·⁴ and 2⁻³⁰, in f64 of
// degree 5, 2⁻⁵⁷·² and 2⁻⁵⁹.

#include "lib/real.wgsl"

// Two words of zeros, then 2/π.
const TWO_OVER_PI = array<u32, 40>(
    0u, 0u,
    0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u,
    0xfe5163abu, 0xdebbc561u, 0xb7246e3au, 0x424dd2e0u, 0x06492eeau, 0x09d1921cu,
    0xfe1deb1cu, 0xb129a73eu, 0xe88235f5u, 0x2ebb4484u, 0xe99c7026u, 0xb45f7e41u,
    0x3991d639u, 0x835339f4u, 0x9c845f8bu, 0xbdf9283bu, 0x1ff897ffu, 0xde05980fu,
    0xef2f118bu, 0x5a0a6d1fu, 0x6d367ecfu, 0x27cb09b7u, 0x4f463f66u, 0x9e5fea2du,
    0x7527bac7u, 0xebe5f17bu, 0x3d0739f7u, 0x8a5292eau, 0x6bfb5fb1u, 0x1f8d5d08u,
    0x56033046u, 0xfc7b6babu,
);

#if F64
const PI_4: real = 0.7853981633974483;
// π/2 in two parts, the first of 26 bits
const PI_2_HIGH: real = 1.5707963407039642;
const PI_2_LOW: real = -1.3909067614167116e-08;
#else
const PI_4: real = 0.785398163;
// π/2 in two parts, the first of 12 bits
const PI_2_HIGH: real = 1.57080078125;
const PI_2_LOW: real = -4.454454938240815e-06;
#end

// a b as (low, high) words.
fn wide_product(a: u32, b: u32) -> vec2<u32> {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let low = a0 * b0;
    let middle = a1 * b0 + (low >> 16u);
    let other = a0 * b1 + (middle & 0xffffu);
    return vec2<u32>((other << 16u) | (low & 0xffffu), a1 * b1 + (middle >> 16u) + (other >> 16u));
}

// 32 bits of 2/π from the one after 2^−at on, at ≥ −64.
fn bits_of_two_over_pi(at: i32) -> u32 {
    let from_start = u32(at + 64);
    let word = from_start / 32u;
    let shift = from_start % 32u;
    return (TWO_OVER_PI[word] << shift) | ((TWO_OVER_PI[word + 1u] >> 1u) >> (31u - shift));
}

// |u| = (4 j + quadrant) π/2 + r, |r| ≤ π/4, for some integer j.
struct Reduced {
    r: real,
    quadrant: u32,
}

// For finite |u| > π/4.
fn reduce(u: real) -> Reduced {
#if F64
    let magnitude = magnitude_bits(u);
    let at = i32(magnitude >> 52u) - 1075 - 2;
    let m0 = u32(magnitude & 0xfffffffflu);
    let m1 = (u32(magnitude >> 32u) & 0x000fffffu) | 0x00100000u;
    // M times 192 bits of 2/π modulo 2¹⁹²: 2 bits of quadrant, then the fraction; p[0] is the lowest word.
    var p: array<u32, 6>;
    var carry = 0u;
    #for i in 0..6
    let w$i = bits_of_two_over_pi(at + 32 * (5 - $i));
    let t$i = wide_product(m0, w$i);
    p[$i] = t$i.x + carry;
    carry = t$i.y + u32(p[$i] < carry);
    #end
    carry = 0u;
    #for i in 0..5
    let s$i = wide_product(m1, w$i);
    let sum$i = s$i.x + carry;
    carry = s$i.y + u32(sum$i < carry);
    p[$i + 1] += sum$i;
    carry += u32(p[$i + 1] < sum$i);
    #end
    // The fraction in units of 2⁻⁹⁶; what is nearer to the next quadrant counts back from it.
    let quadrant = ((p[5] >> 29u) + 1u) >> 1u;
    var f = vec3<u32>((p[5] << 2u) | (p[4] >> 30u), (p[4] << 2u) | (p[3] >> 30u), (p[3] << 2u) | (p[2] >> 30u));
    let below = f.x >= 0x80000000u;
    if below {
        f = ~f;
    }
    // 64 bits from the first 1 on; no double is nearer to a multiple of π/2 than 2⁻⁶¹ of it.
    var zeros = 0;
    if f.x == 0u {
        f = vec3<u32>(f.yz, (p[2] << 2u) | (p[1] >> 30u));
        if below {
            f.z = ~f.z;
        }
        zeros = 32;
    }
    let shift = countLeadingZeros(f.x);
    let high = (f.x << shift) | ((f.y >> 1u) >> (31u - shift));
    let low = (f.y << shift) | ((f.z >> 1u) >> (31u - shift));
    let a = real(high >> 6u) * 0x1p-26lf;
    let b = real(high & 63u) * 0x1p-32lf + real(low) * 0x1p-64lf;
    let scale = pow2(-zeros - i32(shift));
#else
    let magnitude = magnitude_bits(u);
    let at = i32(magnitude >> 23u) - 150 - 2;
    let m = (magnitude & 0x007fffffu) | 0x00800000u;
    // M times 96 bits of 2/π modulo 2⁹⁶: 2 bits of quadrant, then the fraction.
    let high_part = wide_product(m, bits_of_two_over_pi(at + 32));
    let low_part = wide_product(m, bits_of_two_over_pi(at + 64));
    let p1 = high_part.x + low_part.y;
    let p2 = m * bits_of_two_over_pi(at) + high_part.y + u32(p1 < low_part.y);
    // The fraction in units of 2⁻⁶⁴; what is nearer to the next quadrant counts back from it.
    let quadrant = ((p2 >> 29u) + 1u) >> 1u;
    var f = vec2<u32>((p2 << 2u) | (p1 >> 30u), (p1 << 2u) | (low_part.x >> 30u));
    let below = f.x >= 0x80000000u;
    if below {
        f = ~f;
    }
    // 32 bits from the first 1 on; no float is nearer to a multiple of π/2 than 2⁻³⁰ of it.
    let shift = countLeadingZeros(f.x);
    let high = (f.x << shift) | ((f.y >> 1u) >> (31u - shift));
    let a = real(high >> 20u) * 0x1p-12f;
    let b = real(high & 0xfffffu) * 0x1p-32f;
    let scale = pow2(-i32(shift));
#end
    // a PI_2_HIGH is exact: but for the last sum nothing is rounded that matters.
    let r = scale * (a * PI_2_HIGH + (a * PI_2_LOW + b * (PI_2_HIGH + PI_2_LOW)));
    return Reduced(select(r, -r, below), quadrant);
}

// (sin u, cos u)
fn sin_cos(u: real) -> vec2<real> {
    if is_nan(u) || is_inf(u) {
        return vec2<real>(nan());
    }
    var r = u;
    var quadrant = 0u;
    if abs(u) > PI_4 {
        let reduced = reduce(u);
        r = reduced.r;
        quadrant = reduced.quadrant;
        if is_negative(u) {
            r = -r;
            quadrant = 4u - quadrant;
        }
    }
    let z = r * r;
#if F64
    var s = real(1.5896789094483605e-10);
    s = s * z - 2.5050758032519834e-08;
    s = s * z + 2.7557313691645513e-06;
    s = s * z - 0.00019841269829807995;
    s = s * z + 0.008333333333322415;
    s = s * z - 0.16666666666666632;
    var c = real(-1.1359606381680441e-11);
    c = c * z + 2.0875722421093955e-09;
    c = c * z - 2.7557314345574914e-07;
    c = c * z + 2.4801587289456695e-05;
    c = c * z - 0.001388888888887408;
    c = c * z + 0.0416666666666666;
#else
    var s = real(-0.000195172499);
    s = s * z + 0.008332178;
    s = s * z - 0.166666552;
    var c = real(2.44382991e-05);
    c = c * z - 0.00138873665;
    c = c * z + 0.0416666456;
#end
    let sine = with_sign(r + r * z * s, r); // −0 too
    let cosine = 1.0 - (0.5 * z - z * z * c);
    switch quadrant & 3u {
        case 0u: { return vec2<real>(sine, cosine); }
        case 1u: { return vec2<real>(cosine, -sine); }
        case 2u: { return vec2<real>(-sine, -cosine); }
        default: { return vec2<real>(-cosine, sine); }
    }
}
