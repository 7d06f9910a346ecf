//! out[i, v, j] += a[i, j] b[i, v, j], or = where it replaces.

use rayon::prelude::*;

use super::{Real, worth};

pub(super) fn multiply_add<T: Real>(vectors: usize, units: usize, a: &[T], b: &[T], out: &mut [T]) {
    each(vectors, units, a, b, out, |out, ab| *out += ab);
}

pub(super) fn multiply<T: Real>(vectors: usize, units: usize, a: &[T], b: &[T], out: &mut [T]) {
    each(vectors, units, a, b, out, |out, ab| *out = ab);
}

fn each<T: Real>(
    vectors: usize,
    units: usize,
    a: &[T],
    b: &[T],
    out: &mut [T],
    put: impl Fn(&mut T, T) + Sync,
) {
    let (size, units) = ((vectors * units).max(1), units.max(1));
    out.par_chunks_mut(size)
        .zip(b.par_chunks(size))
        .zip(a.par_chunks(units))
        .with_min_len(worth(size))
        .for_each(|((out, b), a)| {
            for (out, b) in out.chunks_exact_mut(units).zip(b.chunks_exact(units)) {
                for ((out, &b), &a) in out.iter_mut().zip(b).zip(a) {
                    put(out, a * b);
                }
            }
        });
}
