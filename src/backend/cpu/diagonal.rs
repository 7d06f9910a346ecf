//! The diagonals of n square matrices: a[i, j, j].

use rayon::prelude::*;

use super::{Real, worth};

pub(super) fn add_diagonal<T: Real>(n: usize, units: usize, d: &[T], a: &mut [T]) {
    debug_assert_eq!(a.len(), n * units * units);
    a.par_chunks_mut((units * units).max(1))
        .zip(d.par_chunks(units.max(1)))
        .with_min_len(worth(units))
        .for_each(|(a, d)| {
            for (j, &d) in d.iter().enumerate() {
                a[j * units + j] += d;
            }
        });
}

pub(super) fn diagonal<T: Real>(n: usize, units: usize, a: &[T]) -> Vec<T> {
    let mut out = vec![T::ZERO; n * units];
    for (i, row) in out.chunks_exact_mut(units.max(1)).enumerate() {
        for (j, out) in row.iter_mut().enumerate() {
            *out = a[(i * units + j) * units + j];
        }
    }
    out
}
