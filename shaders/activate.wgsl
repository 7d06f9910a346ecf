// h(p), h′(p) and h″(p) of units that share an activation, into h, h1 and h2.

#include "lib/activation/$ACTIVATION.wgsl"

fn element(i: u32, r: u32, j: u32) {
    let v = activation_$ACTIVATION(p[at_p(i, r, j)]);
    h[at_h(i, r, j)] = v.x;
#if ORDER1
    h1[at_h1(i, r, j)] = v.y;
#end
#if ORDER2
    h2[at_h2(i, r, j)] = v.z;
#end
}
