//! a[i, v, j] = h1[i, j] a[i, v, j] + g[i, j] h2[i, j] b[i, v, j].

use rayon::prelude::*;

use super::{Real, worth};

pub(super) fn bend<T: Real>(
    vectors: usize,
    units: usize,
    [h1, h2, g]: [&[T]; 3],
    b: &[T],
    a: &mut [T],
) {
    let (size, units) = ((vectors * units).max(1), units.max(1));
    a.par_chunks_mut(size)
        .zip(b.par_chunks(size))
        .zip(h1.par_chunks(units))
        .zip(h2.par_chunks(units))
        .zip(g.par_chunks(units))
        .with_min_len(worth(size))
        .for_each(|((((a, b), h1), h2), g)| {
            for (a, b) in a.chunks_exact_mut(units).zip(b.chunks_exact(units)) {
                let factors = h1.iter().zip(h2).zip(g);
                for ((a, &b), ((&h1, &h2), &g)) in a.iter_mut().zip(b).zip(factors) {
                    *a = h1 * *a + g * h2 * b;
                }
            }
        });
}
