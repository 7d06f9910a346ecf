//! Element-wise products: a[i, v, j] *= d[i, j] and out += a ⊙ b.

use rayon::prelude::*;

use super::{BLOCK, Real};

pub(super) fn scale<T: Real>(n: usize, vectors: usize, units: usize, d: &[T], a: &mut [T]) {
    debug_assert_eq!(a.len(), n * vectors * units);
    a.par_chunks_mut((vectors * units).max(1))
        .zip(d.par_chunks(units.max(1)))
        .with_min_len(BLOCK)
        .for_each(|(a, d)| {
            for row in a.chunks_exact_mut(units) {
                row.iter_mut().zip(d).for_each(|(a, &d)| *a *= d);
            }
        });
}

pub(super) fn multiply_add<T: Real>(a: &[T], b: &[T], out: &mut [T]) {
    out.par_iter_mut()
        .zip(a.par_iter().zip(b))
        .with_min_len(8 * BLOCK)
        .for_each(|(out, (&a, &b))| *out += a * b);
}
