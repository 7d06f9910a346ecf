// out[i, v, q] += Σ_j m[i, v, first + j] A[(i,) j, column + q] for j < units, q < count: one step of a backward recursion
// through a group of units.
//
// m: (n·vectors) × layer; A: units × width, or n such matrices; out: (n·vectors) × count. The product of
// lib/product.wgsl with X = the group's columns of m, B = the columns of A from `column` to `column + count`.

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    // Rows of m for one matrix A: n·vectors, or vectors where each sample has its own.
    rows: u32,
    matrices: u32,
    row_tiles: u32,
    column_tiles: u32,
    // From one sample's A to the next, in elements.
    matrix: u32,
    units: u32,
    width: u32,
    column: u32,
    count: u32,
    layer: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> m: array<real>;
@group(0) @binding(2) var<storage, read> a: array<real>;
@group(0) @binding(3) var<storage, read_write> out: array<real>;

fn inner() -> u32 {
    return params.units;
}

fn columns() -> u32 {
    return params.count;
}

fn x(row: u32, k: u32) -> real {
    return m[row * params.layer + params.first + k];
}

fn b(matrix: u32, k: u32, q: u32) -> real {
    return a[matrix * params.matrix + k * params.width + params.column + q];
}

fn write(row: u32, q: u32, sum: real) {
    out[row * params.count + q] += sum;
}

#include "lib/product.wgsl"
