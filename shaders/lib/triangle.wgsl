// The lower triangle, packed row by row: (a, b), b ≤ a, stands at a(a + 1)/2 + b. Tiles (I, J), J ≤ I, are numbered likewise.
fn triangle(a: u32) -> u32 {
    return a * (a + 1u) / 2u;
}

// (I, J) of tile t.
fn tile_of(t: u32) -> vec2<u32> {
    // The root is rounded, so the row may be off by one.
    var i = u32((sqrt(8.0 * f32(t) + 1.0) - 1.0) * 0.5);
    if triangle(i) > t {
        i -= 1u;
    }
    if triangle(i + 1u) <= t {
        i += 1u;
    }
    return vec2(i, t - triangle(i));
}

// Adds to (a, b) of unit j if it is on or below the diagonal and in the window.
fn add_pair(split: u32, j: u32, a: u32, b: u32, fresh: bool, value: real) {
    if j < params.units && a >= params.a0 && a < params.a1 && b <= a {
        add(split, j, triangle(a) + b - triangle(params.a0), fresh, value);
    }
}
