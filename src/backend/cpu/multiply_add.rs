//! out[i, v, j] += a[i, j] b[i, v, j].

use rayon::prelude::*;

use super::{Real, worth};

pub(super) fn multiply_add<T: Real>(
    n: usize,
    vectors: usize,
    units: usize,
    a: &[T],
    b: &[T],
    out: &mut [T],
) {
    debug_assert_eq!(out.len(), n * vectors * units);
    let size = (vectors * units).max(1);
    out.par_chunks_mut(size)
        .zip(b.par_chunks(size))
        .zip(a.par_chunks(units.max(1)))
        .with_min_len(worth(vectors * units))
        .for_each(|((out, b), a)| {
            for (out, b) in out.chunks_exact_mut(units).zip(b.chunks_exact(units)) {
                for ((out, &b), &a) in out.iter_mut().zip(b).zip(a) {
                    *out += a * b;
                }
            }
        });
}
