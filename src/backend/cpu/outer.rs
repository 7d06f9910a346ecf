//! The products y[i, b] z[i, a] of two rows for each sample.

use rayon::prelude::*;

use super::{Real, worth};
use crate::backend::Columns;

impl<'a, T> Columns<'a, Vec<T>> {
    /// Row i.
    pub(super) fn row(&self, i: usize) -> &'a [T] {
        &self.array[i * self.stride + self.first..][..self.width]
    }
}

pub(super) fn outer<T: Real>(y: &Columns<Vec<T>>, z: &Columns<Vec<T>>, out: &mut [T]) {
    let size = y.width * z.width;
    out.par_chunks_mut(size.max(1))
        .enumerate()
        .with_min_len(worth(size))
        .for_each(|(i, out)| {
            let z = z.row(i);
            for (out, &y) in out.chunks_exact_mut(z.len().max(1)).zip(y.row(i)) {
                out.iter_mut().zip(z).for_each(|(out, &z)| *out = y * z);
            }
        });
}
