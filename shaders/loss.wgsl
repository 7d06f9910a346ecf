// ω_i g(x_i, y_i), its gradient or its Hessian in x_i, for x, y (n × outputs) and ω (n); constants has one v for each
// output. A weight of 0 takes the sample out even where its loss is not finite, and NaN stays NaN.
//
// value:    out (n): ω_i g. One thread for each sample.
// gradient: out (n × outputs): ω_i ∂g/∂x_io. One thread for each sample and output.
// hessian:  out (n × outputs × outputs): ω_i ∂²g/∂x_io∂x_iq, whole. One thread for each sample and row o.
//
// For the softmax every thread sums over the outputs of its sample anew.

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    outputs: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<real>;
@group(0) @binding(2) var<storage, read> y: array<real>;
@group(0) @binding(3) var<storage, read> omega: array<real>;
@group(0) @binding(4) var<storage, read> constants: array<real>;
@group(0) @binding(5) var<storage, read_write> out: array<real>;

#include "lib/group.wgsl"
#if CUSTOM
#include "lib/custom_loss.wgsl"
#else
#if COUPLED
#include "lib/loss/$LOSS.wgsl"
#else
#include "lib/separable.wgsl"
#end
#end

@compute @workgroup_size(64)
#if WHAT_VALUE
fn value(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) local: u32) {
#end
#if WHAT_GRADIENT
fn gradient(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) local: u32) {
#end
#if WHAT_HESSIAN
fn hessian(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) local: u32) {
#end
    let group = group_of(wid);
    if group >= params.groups {
        return;
    }
    let item = group * 64u + local;
#if WHAT_VALUE
    if item >= params.n {
        return;
    }
    let weight = omega[item];
    if is_zero(weight) {
        out[item] = 0.0;
        return;
    }
    out[item] = weight * value_at(item);
#else
    if item >= params.n * params.outputs {
        return;
    }
    let i = item / params.outputs;
    let o = item % params.outputs;
    let weight = omega[i];
#if WHAT_GRADIENT
    if is_zero(weight) {
        out[item] = 0.0;
        return;
    }
    out[item] = weight * gradient_at(i, o);
#else
    let row = item * params.outputs;
    if is_zero(weight) {
        for (var q = 0u; q < params.outputs; q++) {
            out[row + q] = 0.0;
        }
        return;
    }
    write_hessian_row(i, o, row, weight);
#end
#end
}
