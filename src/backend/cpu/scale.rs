//! a[i, v, j] *= d[i, j].

use super::{Real, each_row, each_samples};

pub(super) fn scale<T: Real>(vectors: usize, units: usize, d: &[T], a: &mut [T]) {
    each_samples(
        vectors * units,
        a,
        #[inline(always)]
        |first, a| times(vectors, units, &d[first * units..], a),
    );
}

/// The same for the samples of a task, those of d from its first on.
#[inline(always)]
pub(super) fn times<T: Real>(vectors: usize, units: usize, d: &[T], a: &mut [T]) {
    each_row(
        vectors,
        units,
        units,
        a,
        #[inline(always)]
        |a, _, sample| a.iter_mut().zip(&d[sample]).for_each(|(a, &d)| *a *= d),
    );
}
