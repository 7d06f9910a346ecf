// r − 1 − ln r, 1 − r and r with r = y e^−x. v is not used.
//
// With t = ln r the value is eᵗ − 1 − t: near t = 0 by its series. r by e^(−x/2), which is in range longer.

#include "lib/exp.wgsl"
#include "lib/log.wgsl"

fn loss(x: real, y: real, v: real) -> vec3<real> {
    let half = exp_(-0.5 * x);
    let ratio = y * half * half;
    let t = log_(y) - x;
    var value = ratio - 1.0 - t;
    if abs(t) < 1.0 {
        var series = real(1.0);
        for (var k = 20; k >= 3; k--) {
            series = 1.0 + t * series / real(k);
        }
        value = 0.5 * t * t * series;
    }
    return vec3<real>(value, 1.0 - ratio, ratio);
}
