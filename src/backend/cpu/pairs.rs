//! The lower triangles of n square matrices, for the units of a range: a[i, j, j′], j ≥ j′.

use std::ops::Range;

use rayon::prelude::*;

use super::{Real, worth};

pub(super) fn pairs<T: Real>(layer: usize, units: Range<usize>, a: &[T], out: &mut [T]) {
    let size = units.len() * (units.len() + 1) / 2;
    out.par_chunks_mut(size.max(1))
        .zip(a.par_chunks((layer * layer).max(1)))
        .with_min_len(worth(size))
        .for_each(|(mut out, a)| {
            for j in units.clone() {
                let (row, rest) = out.split_at_mut(j - units.start + 1);
                row.copy_from_slice(&a[j * layer + units.start..][..row.len()]);
                out = rest;
            }
        });
}
