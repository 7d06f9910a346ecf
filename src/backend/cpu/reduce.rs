//! Sums over samples from partial sums of short blocks.

use faer::Par;
use rayon::prelude::*;

use super::{BLOCK, PARTIALS, QUANTUM, Real, bytes};

/// Samples times results below which no other thread is woken; a choice, not a measurement.
const SMALL: usize = 1 << 18;

/// Samples of one block: as many as keep eight tasks busy, and no more than [`BLOCK`], which one of several chunks always takes.
pub(crate) fn block(n: usize, of_chunk: bool) -> usize {
    if of_chunk { BLOCK } else { n.div_ceil(PARTIALS).next_multiple_of(QUANTUM).min(BLOCK) }
}

/// Adds the partial sums that `f(from, to, partial)` writes for each block of `size` samples, in their order.
///
/// # Errors
/// One of those that `f` returns.
pub(super) fn try_in_blocks<T: Real, E: Send>(
    par: Par,
    n: usize,
    size: usize,
    out: &mut [f64],
    f: impl Fn(usize, usize, &mut [T]) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let len = out.len();
    let mut add = |partial: &[T]| {
        (out.iter_mut().zip(partial)).for_each(|(out, v)| *out += v.to_f64());
    };
    if matches!(par, Par::Seq) || n.saturating_mul(len) < SMALL {
        let mut partial = vec![T::ZERO; len];
        for from in (0..n).step_by(size.max(1)) {
            partial.fill(T::ZERO);
            f(from, n.min(from + size), &mut partial)?;
            add(&partial);
        }
        return Ok(());
    }
    let blocks: Vec<usize> = (0..n.div_ceil(size)).collect();
    for held in blocks.chunks(PARTIALS) {
        let partial = held.par_iter().map(|b| {
            let mut partial = vec![T::ZERO; len];
            f(b * size, n.min((b + 1) * size), &mut partial)?;
            Ok(partial)
        });
        let partial = partial.collect::<Result<Vec<_>, E>>()?;
        partial.iter().for_each(|partial| add(partial));
    }
    Ok(())
}

/// [`try_in_blocks`] for what cannot fail.
pub(super) fn in_blocks<T: Real>(
    par: Par,
    n: usize,
    size: usize,
    out: &mut [f64],
    f: impl Fn(usize, usize, &mut [T]) + Sync,
) {
    let Ok(()) = try_in_blocks(par, n, size, out, |from, to, partial| {
        f(from, to, partial);
        Ok::<(), std::convert::Infallible>(())
    });
}

/// Bytes of the partial sums of a reduction with `len` results.
pub(super) fn scratch<T: Real>(n: usize, size: usize, len: usize) -> u64 {
    let held = n.div_ceil(size.max(1)).min(PARTIALS);
    bytes(&[held, len, size_of::<T>()])
}
