//! Packed lower triangles: checks, norms, and the way into a column-major square.

use crate::error::{Error, Quantity, Result};
use crate::level::in_lanes;

/// Refuses a slice that is not the packed triangle of a finite matrix of order `d`.
pub(crate) fn check(packed: &[f64], d: usize) -> Result<()> {
    let length = d.checked_add(1).and_then(|e| d.checked_mul(e)).map(|l| l / 2);
    let (Some(length), Some(_)) = (length, d.checked_mul(d)) else {
        return Err(Error::TooLarge { what: format!("a symmetric matrix of order {d}") });
    };
    if packed.len() != length {
        let what = format!("packed lower triangle of order {d}");
        return Err(Error::shape(what, &[length], &[packed.len()]));
    }
    finite("packed lower triangle", packed)
}

/// Refuses NaN and infinity, with the index of the first.
pub(crate) fn finite(what: impl Into<Quantity>, numbers: &[f64]) -> Result<()> {
    // 0·v is 0 for a finite v and NaN for any other.
    if lanes(numbers, 0.0, |s, v| s + 0.0 * v).iter().sum::<f64>() == 0.0 {
        return Ok(());
    }
    let at = numbers.iter().position(|v| !v.is_finite());
    Err(Error::non_finite(what, at.as_slice()))
}

/// Row `a` of the packed triangle: B_a0 … B_aa.
pub(super) fn row(packed: &[f64], a: usize) -> &[f64] {
    let start = a * (a + 1) / 2;
    &packed[start..=start + a]
}

/// The rows of a packed triangle, each up to the diagonal.
pub(super) fn rows(packed: &[f64], d: usize) -> impl Iterator<Item = &[f64]> {
    (0..d).map(|a| row(packed, a))
}

/// The largest power of two ≤ |x|, at least 2⁻¹⁰²² so that its reciprocal is finite as well.
pub(super) fn power_of_two(x: f64) -> f64 {
    const EXPONENT: u64 = 0x7ff << 52;
    f64::from_bits(x.to_bits() & EXPONENT).max(f64::MIN_POSITIVE)
}

/// v_i·2ᵉ.
pub(super) fn shift(numbers: &mut [f64], e: i32) {
    // Where 2ᵉ is a number the product rounds once, as scalbn does.
    if (-1022..=1023).contains(&e) {
        let unit = libm::scalbn(1.0, e);
        numbers.iter_mut().for_each(|v| *v *= unit);
    } else {
        numbers.iter_mut().for_each(|v| *v = libm::scalbn(*v, e));
    }
}

/// max |v_i|, 0 for none; NaN is passed over.
pub(crate) fn largest(numbers: &[f64]) -> f64 {
    let larger = |m: f64, v: f64| if v > m { v } else { m };
    let four = lanes(numbers, 0.0, |m, v| larger(m, v.abs()));
    four.into_iter().fold(0.0, larger)
}

/// Four interleaved folds: the order is fixed, and the compiler may use vectors.
fn lanes(numbers: &[f64], start: f64, fold: impl Fn(f64, f64) -> f64) -> [f64; 4] {
    let mut four = [start; 4];
    let chunks = numbers.chunks_exact(4);
    for (f, v) in four.iter_mut().zip(chunks.remainder()) {
        *f = fold(*f, *v);
    }
    for chunk in chunks {
        for (f, v) in four.iter_mut().zip(chunk) {
            *f = fold(*f, *v);
        }
    }
    four
}

/// ‖B‖∞ = max_a Σ_b |B_ab|, in units of `scale`.
pub(super) fn norm(packed: &[f64], d: usize, scale: f64, sums: &mut [f64]) -> f64 {
    let (sums, inverse) = (&mut sums[..d], 1.0 / scale);
    sums.fill(0.0);
    for (a, row) in rows(packed, d).enumerate() {
        for (s, v) in sums.iter_mut().zip(&row[..a]) {
            *s += v.abs() * inverse;
        }
        sums[a] = lanes(row, 0.0, |s, v| s + v.abs() * inverse).iter().sum();
    }
    largest(sums)
}

/// B/scale + shift·I into the lower triangle of a column-major square.
pub(super) fn unpack(packed: &[f64], d: usize, scale: f64, shift: f64, square: &mut [f64]) {
    // Tiles, because rows are read and columns are written.
    const TILE: usize = 32;
    let inverse = 1.0 / scale;
    for a0 in (0..d).step_by(TILE) {
        for b0 in (0..=a0).step_by(TILE) {
            for b in b0..(b0 + TILE).min(d) {
                for a in a0.max(b)..(a0 + TILE).min(d) {
                    square[b * d + a] = packed[a * (a + 1) / 2 + b] * inverse;
                }
            }
        }
    }
    for a in 0..d {
        square[a * d + a] += shift;
    }
}

/// The way back: the lower triangle of a column-major square, packed.
pub(super) fn pack(square: &[f64], d: usize) -> impl Iterator<Item = f64> {
    (0..d).flat_map(move |a| (0..=a).map(move |b| square[b * d + a]))
}

/// pᵀBp = Σ_a p_a (B_aa p_a + 2 Σ_{b<a} B_ab p_b).
pub(crate) fn quadratic_form(packed: &[f64], p: &[f64]) -> f64 {
    rows(packed, p.len())
        .enumerate()
        .map(|(a, row)| p[a] * (row[a] * p[a] + 2.0 * dot(&row[..a], &p[..a])))
        .sum()
}

/// From so many numbers on it pays to call code for wider registers.
const LONG: usize = 64;

/// xᵀy in interleaved sums, four for short vectors and sixteen for long ones: the order is fixed, and lanes need not wait for each other.
pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
    if x.len() < LONG {
        return inlined_dot(x, y);
    }
    let mut sum = 0.0;
    in_lanes(
        #[inline(always)]
        || sum = inlined_dot(x, y),
    );
    sum
}

/// [`dot`], for loops that are compiled for wider registers as a whole.
#[inline(always)]
pub(super) fn inlined_dot(x: &[f64], y: &[f64]) -> f64 {
    if x.len() < LONG { interleaved::<4>(x, y) } else { interleaved::<16>(x, y) }
}

#[inline(always)]
fn interleaved<const N: usize>(x: &[f64], y: &[f64]) -> f64 {
    let mut sums = [0.0; N];
    let (xs, ys) = (x.chunks_exact(N), y.chunks_exact(N));
    for ((sum, a), b) in sums.iter_mut().zip(xs.remainder()).zip(ys.remainder()) {
        *sum = a * b;
    }
    for (a, b) in xs.zip(ys) {
        for i in 0..N {
            sums[i] += a[i] * b[i];
        }
    }
    let mut n = N;
    while n > 1 {
        n /= 2;
        for i in 0..n {
            sums[i] += sums[i + n];
        }
    }
    sums[0]
}

/// x += αy.
pub(crate) fn add_multiple(x: &mut [f64], alpha: f64, y: &[f64]) {
    in_lanes(
        #[inline(always)]
        || x.iter_mut().zip(y).for_each(|(x, y)| *x += alpha * y),
    );
}
