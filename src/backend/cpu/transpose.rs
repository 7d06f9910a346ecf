//! n matrices transposed: out[i, q, r] = a[i, r, q].

use rayon::prelude::*;

use super::{BLOCK, Real};

pub(super) fn transpose<T: Real>(n: usize, rows: usize, columns: usize, a: &[T]) -> Vec<T> {
    let mut out = vec![T::ZERO; n * rows * columns];
    let size = (rows * columns).max(1);
    out.par_chunks_mut(size)
        .zip(a.par_chunks(size))
        .with_min_len(BLOCK / 8)
        .for_each(|(out, a)| {
            for r in 0..rows {
                for q in 0..columns {
                    out[q * rows + r] = a[r * columns + q];
                }
            }
        });
    out
}
