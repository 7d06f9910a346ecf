// xʳ, r xʳ⁻¹ and r (r − 1) xʳ⁻².

#include "lib/exp.wgsl"
#include "lib/log.wgsl"

// For a whole number n: products, within n/2 + 2 ULP.
fn integer_power(x: real, n: i32) -> vec3<real> {
    let size = u32(select(-n, n - 2, n >= 2));
    var product = real(1.0);
    var square = x;
    for (var k = size; k > 0u; k >>= 1u) {
        if (k & 1u) == 1u {
            product *= square;
        }
        square *= square;
    }
    let r = real(n);
    if n >= 2 {
        return vec3<real>(product * x * x, r * product * x, r * (r - 1.0) * product);
    }
    let inverse = 1.0 / product;
    let first = inverse / x;
    return vec3<real>(inverse, r * first, r * (r - 1.0) * first / x);
}

// For x > 0, and the limits at 0; NaN below. Within |r ln x| + 4 ULP.
fn real_power(x: real, r: real) -> vec3<real> {
    let l = log_(x);
    return vec3<real>(exp_(r * l), r * exp_((r - 1.0) * l), r * (r - 1.0) * exp_((r - 2.0) * l));
}
