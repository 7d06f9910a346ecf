//! The range of numbers that a figure can show.

/// Whether a figure has a place for the number. (Of two that are larger the difference could overflow.)
pub fn can_be_drawn(v: f64) -> bool {
    v.abs() < 1e300
}

/// The smallest and the largest of the numbers that can be drawn; some range where they are one, or none.
pub fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = (values.filter(|v| can_be_drawn(*v)))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let size = low.abs().max(high.abs());
    match high - low {
        _ if low > high => (0.0, 1.0),
        width if width > 1e-9 * size && width > 1e-290 => (low, high),
        _ if size > 1e-290 => (low - 0.1 * size, high + 0.1 * size),
        _ => (-1.0, 1.0),
    }
}
