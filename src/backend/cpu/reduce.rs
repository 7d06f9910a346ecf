//! Sums over samples from partial sums of short blocks.

use rayon::prelude::*;

use super::{BLOCK, PARTIALS, QUANTUM, Real};

/// Samples times results below which no other thread is woken; a choice, not a measurement.
const SMALL: usize = 1 << 18;

/// Samples of one block: as many as keep eight tasks busy, and no more than [`BLOCK`], which a backend's `part` always takes.
pub(crate) fn block(n: usize, part: bool) -> usize {
    match part {
        true => BLOCK,
        false => n.div_ceil(PARTIALS).next_multiple_of(QUANTUM).min(BLOCK),
    }
}

/// Adds the partial sums that `f(from, to, partial)` writes for each block of `size` samples, in their order.
pub(super) fn in_blocks<T: Real>(
    n: usize,
    size: usize,
    out: &mut [f64],
    f: impl Fn(usize, usize, &mut [T]) + Sync,
) {
    let len = out.len();
    let mut add = |partial: &[T]| {
        out.iter_mut()
            .zip(partial)
            .for_each(|(o, v)| *o += v.to_f64());
    };
    if n.saturating_mul(len) < SMALL {
        let mut partial = vec![T::ZERO; len];
        for from in (0..n).step_by(size.max(1)) {
            partial.fill(T::ZERO);
            f(from, n.min(from + size), &mut partial);
            add(&partial);
        }
        return;
    }
    let blocks: Vec<usize> = (0..n.div_ceil(size)).collect();
    for held in blocks.chunks(PARTIALS) {
        let partial: Vec<Vec<T>> = held
            .par_iter()
            .map(|b| {
                let mut partial = vec![T::ZERO; len];
                f(b * size, n.min((b + 1) * size), &mut partial);
                partial
            })
            .collect();
        partial.iter().for_each(|partial| add(partial));
    }
}
