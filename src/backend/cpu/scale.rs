//! a[i, v, j] *= d[i, j].

use super::{Real, each_samples};

pub(super) fn scale<T: Real>(vectors: usize, units: usize, d: &[T], a: &mut [T]) {
    let size = vectors * units;
    each_samples(
        size,
        a,
        #[inline(always)]
        |first, a| {
            let d = d[first * units..].chunks_exact(units);
            for (a, d) in a.chunks_exact_mut(size).zip(d) {
                for row in a.chunks_exact_mut(units) {
                    row.iter_mut().zip(d).for_each(|(a, &d)| *a *= d);
                }
            }
        },
    );
}
