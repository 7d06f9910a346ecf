#include "lib/packed.wgsl"

// Adds to (a, b) of unit j if it is on or below the diagonal and in the window.
fn add_pair(split: u32, j: u32, a: u32, b: u32, fresh: bool, value: real) {
    if (j < params.units) & (a >= params.a0) & (a < params.a1) & (b <= a) {
        add(split, j, triangle(a) + b - triangle(params.a0), fresh, value);
    }
}
