//! n matrices transposed: out[i, q, r] = a[i, r, q].

use rayon::prelude::*;

use super::{Real, worth};

/// Rows and columns that are turned together: a cache line of f64, so that each line is read and written once.
const TILE: usize = 8;

pub(super) fn transpose<T: Real>(rows: usize, columns: usize, a: &[T], out: &mut [T]) {
    let size = (rows * columns).max(1);
    out.par_chunks_mut(size)
        .zip(a.par_chunks(size))
        .with_min_len(worth(size))
        .for_each(|(out, a)| {
            for top in (0..rows).step_by(TILE) {
                for left in (0..columns).step_by(TILE) {
                    for q in left..columns.min(left + TILE) {
                        for r in top..rows.min(top + TILE) {
                            out[q * rows + r] = a[r * columns + q];
                        }
                    }
                }
            }
        });
}
