// All numbers of a unit at each of some points: p, ∂p/∂w, ∂p/∂z, ∂²p/∂w² and, where EXACT, ∂²p/∂z² and ∂²p/∂w∂z, one after the
// other, as far as `numbers` reach. One thread for each number.

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    stride: u32,
    // Numbers of one point.
    numbers: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> inputs: array<real>;
@group(0) @binding(2) var<storage, read> weights: array<real>;
@group(0) @binding(3) var<storage, read_write> out: array<real>;

#include "lib/group.wgsl"
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

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let group = group_of(id);
    let item = group * 64u + thread;
    if group >= params.groups || item >= params.n * params.numbers {
        return;
    }
    // Each point has parameters of its own.
    at(item / params.numbers, item / params.numbers);
    out[item] = number(item % params.numbers);
}
