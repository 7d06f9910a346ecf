// v² (r − 1), (x − y)/r and 1/r³ with r = √(1 + t²), t = (x − y)/v.
//
// v² (r − 1) = (x − y)²/(1 + r) does not cancel. Far out, where t² could overflow, r = |t| and r − 1 = |t| − 1.

#if F64
const ROOT_LARGE: real = 0x1p30lf;
#else
const ROOT_LARGE: real = 0x1p14f;
#end

fn loss(x: real, y: real, v: real) -> vec3<real> {
    let d = x - y;
    let t = d / v;
    if abs(t) > ROOT_LARGE {
        let inverse = 1.0 / abs(t);
        return vec3<real>(v * (abs(d) - v), with_sign(v, d), inverse * inverse * inverse);
    }
    let square = 1.0 + t * t;
    let root = sqrt(square);
    return vec3<real>(d * (d / (1.0 + root)), d / root, 1.0 / (square * root));
}
