// out[i, v, first + j] += Σ_c A[(i,) j, c] z[i, v, c] for c < width, j < units: forward propagation, p = z Wᵀ for linear
// units.
//
// z: (n·vectors) × stride; A: units × width, or n such matrices; out: (n·vectors) × layer, of which the columns from
// `first` to `first + units` are added to and no others. The product of lib/product.wgsl with X = z, B = Aᵀ.

struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    // Rows of z for one matrix A: n·vectors, or vectors where each sample has its own.
    rows: u32,
    matrices: u32,
    row_tiles: u32,
    column_tiles: u32,
    // From one sample's A to the next, in elements.
    matrix: u32,
    units: u32,
    width: u32,
    stride: u32,
    layer: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> z: array<real>;
@group(0) @binding(2) var<storage, read> a: array<real>;
@group(0) @binding(3) var<storage, read_write> out: array<real>;

fn inner() -> u32 {
    return params.width;
}

fn columns() -> u32 {
    return params.units;
}

fn x(row: u32, k: u32) -> real {
    return z[row * params.stride + k];
}

fn b(matrix: u32, k: u32, q: u32) -> real {
    return a[matrix * params.matrix + q * params.width + k];
}

fn write(row: u32, q: u32, sum: real) {
    out[row * params.layer + params.first + q] += sum;
}

#include "lib/product.wgsl"
