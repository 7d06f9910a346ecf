//! Sums over samples from partial sums of short blocks.

use rayon::prelude::*;

use super::{BLOCK, PARTIALS, Real};

/// Adds the partial sums that `f(from, to, partial)` writes for each block of samples, in their order.
pub(super) fn in_blocks<T: Real>(
    n: usize,
    out: &mut [f64],
    f: impl Fn(usize, usize, &mut [T]) + Sync,
) {
    let blocks: Vec<usize> = (0..n.div_ceil(BLOCK)).collect();
    for held in blocks.chunks(PARTIALS) {
        let partial: Vec<Vec<T>> = held
            .par_iter()
            .map(|b| {
                let mut partial = vec![T::ZERO; out.len()];
                f(b * BLOCK, n.min((b + 1) * BLOCK), &mut partial);
                partial
            })
            .collect();
        for partial in partial {
            out.iter_mut()
                .zip(partial)
                .for_each(|(o, v)| *o += v.to_f64());
        }
    }
}
