//! a[i, v, j] *= d[i, j].

use rayon::prelude::*;

use super::{Real, worth};

pub(super) fn scale<T: Real>(n: usize, vectors: usize, units: usize, d: &[T], a: &mut [T]) {
    debug_assert_eq!(a.len(), n * vectors * units);
    a.par_chunks_mut((vectors * units).max(1))
        .zip(d.par_chunks(units.max(1)))
        .with_min_len(worth(vectors * units))
        .for_each(|(a, d)| {
            for row in a.chunks_exact_mut(units) {
                row.iter_mut().zip(d).for_each(|(a, &d)| *a *= d);
            }
        });
}
