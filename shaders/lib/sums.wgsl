// What all kernels share that sum over samples: out[j, e] = sum_i c[i, column + j] · (something of phi[i, j, ·])_e.
//
// The samples are cut into splits of `run` samples, the units and the triangle's rows into windows. One launch is for one window:
//     partial[split, j, e],  split < ceil(n / run), j < units, e < entries of the rows a0 ≤ a < a1 of the output.
// A workgroup has one tile of the output and one split. Its accumulators run over a block of at most BLOCK samples and are then added
// into the workgroup's own elements of `partial`, so that the error of a sum in f32 does not grow with n.
struct Params {
    first_group: u32,
    groups_x: u32,
    groups: u32,
    n: u32,
    // Samples of one split, a multiple of BLOCK.
    run: u32,
    // Columns of c, and the one of the window's first unit.
    layer: u32,
    column: u32,
    // Units in the window.
    units: u32,
    // phi[i, j, a] stands at i · row + start + j · step + a; step = 0 where all units share z.
    row: u32,
    start: u32,
    step: u32,
    // Rows a0 ≤ a < a1 of the output, and its entries.
    a0: u32,
    a1: u32,
    entries: u32,
    // Tiles of one unit's (or one unit tile's) output in the window, and the number of the first among all of them.
    tiles: u32,
    first_tile: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> c: array<real>;
@group(0) @binding(2) var<storage, read> phi: array<real>;
@group(0) @binding(3) var<storage, read_write> partial: array<real>;

const BLOCK = 512u;

#include "lib/group.wgsl"

// Adds a block's sum to entry e of unit j; the split's first block starts it.
fn add(split: u32, j: u32, e: u32, fresh: bool, value: real) {
    let at = (split * params.units + j) * params.entries + e;
    if fresh {
        partial[at] = value;
    } else {
        partial[at] += value;
    }
}
