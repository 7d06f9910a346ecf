// All numbers of a unit at each of some points: p, ∂p/∂w, ∂p/∂z, ∂²p/∂w² and, where EXACT, ∂²p/∂z² and ∂²p/∂w∂z, one after the
// other, as far as they are asked for.

#include "lib/unit.wgsl"

fn number(e: u32) -> real {
    var k = e;
    if k == 0u {
        return unit_value();
    }
    k -= 1u;
    if k < PARAMETERS {
        return unit_d_w(k);
    }
    k -= PARAMETERS;
    if k < INPUTS {
        return unit_d_z(k);
    }
    k -= INPUTS;
#if EXACT
    if k >= PARAMETERS * PARAMETERS {
        k -= PARAMETERS * PARAMETERS;
        if k < INPUTS * INPUTS {
            return unit_d_zz(k / INPUTS, k % INPUTS);
        }
        k -= INPUTS * INPUTS;
        return unit_d_wz(k / INPUTS, k % INPUTS);
    }
#end
    // Without parameters nothing comes this far.
    let width = max(PARAMETERS, 1u);
    return unit_d_ww(k / width, k % width);
}

fn element(point: u32, r: u32, e: u32) {
    // Each point has parameters of its own.
    at(point, point);
    out[at_out(point, r, e)] = number(e);
}
