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
