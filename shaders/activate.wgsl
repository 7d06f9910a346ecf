// h(u), h′(u) and h″(u) of the units first … first + units − 1 of a layer, which share an activation, at the
// pre-activations p (n × layer), into h, h1 and h2 (n × layer). One thread for each sample and unit.

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    layer: u32, // units of the layer
    first: u32,
    units: u32, // of the activation
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> p: array<real>;
@group(0) @binding(2) var<storage, read_write> h: array<real>;
#if ORDER1
@group(0) @binding(3) var<storage, read_write> h1: array<real>;
#end
#if ORDER2
@group(0) @binding(4) var<storage, read_write> h2: array<real>;
#end

#include "lib/group.wgsl"
#include "lib/activation/$ACTIVATION.wgsl"

@compute @workgroup_size(64)
fn activate(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let group = group_of(wid);
    if group >= params.groups {
        return;
    }
    let item = group * 64u + local;
    if item >= params.n * params.units {
        return;
    }
    let at = item / params.units * params.layer + params.first + item % params.units;
    let v = activation_$ACTIVATION(p[at]);
    h[at] = v.x;
#if ORDER1
    h1[at] = v.y;
#end
#if ORDER2
    h2[at] = v.z;
#end
}
