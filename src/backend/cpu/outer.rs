//! The products y[i, b] z[i, a] of two rows for each sample.

use super::{Real, each_samples};
use crate::backend::Columns;

impl<'a, T> Columns<'a, Vec<T>> {
    /// Row i.
    pub(super) fn row(&self, i: usize) -> &'a [T] {
        &self.array[i * self.stride + self.first..][..self.width]
    }
}

pub(super) fn outer<T: Real>(y: &Columns<Vec<T>>, z: &Columns<Vec<T>>, out: &mut [T]) {
    let size = y.width * z.width;
    each_samples(
        size,
        out,
        #[inline(always)]
        |first, out| {
            for (i, out) in (first..).zip(out.chunks_exact_mut(size)) {
                let z = z.row(i);
                for (out, &y) in out.chunks_exact_mut(z.len()).zip(y.row(i)) {
                    out.iter_mut().zip(z).for_each(|(out, &z)| *out = y * z);
                }
            }
        },
    );
}
