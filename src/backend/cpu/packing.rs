//! Rows packed for the register tile, once for all tasks that read them.

use faer::Par;
use pulp::{Simd, WithSimd};

use super::tasks::each;
use super::tile::{Lanes, pack};

/// n rows of x, `step` apart, of which the first `width` numbers are packed block by block: group after group of columns, each as [`pack`]
/// does it.
pub(super) struct Packing<'a, T> {
    pub par: Par,
    pub x: &'a [T],
    pub step: usize,
    pub n: usize,
    pub width: usize,
    pub group: usize,
    /// Rows of a block.
    pub block: usize,
}

impl<T: Lanes> WithSimd for Packing<'_, T> {
    type Output = Vec<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<T> {
        let Packing { par, x, step, n, width, group, block } = self;
        let mut packed = vec![T::zeroed(); n * width];
        let blocks = packed.chunks_mut((block * width).max(1)).zip((0..n).step_by(block));
        each(par, blocks, |(to, from)| {
            simd.vectorize(Packed { x: &x[from * step..], step, width, group, to })
        });
        packed
    }
}

/// One block of a [`Packing`].
struct Packed<'a, T> {
    x: &'a [T],
    step: usize,
    width: usize,
    group: usize,
    to: &'a mut [T],
}

impl<T: Lanes> WithSimd for Packed<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Packed { x, step, width, group, to } = self;
        let len = to.len() / width;
        for from in (0..width).step_by(group) {
            let columns = from..width.min(from + group);
            let to = &mut to[columns.start * len..columns.end * len];
            pack::<S, T>(x, step, len, columns, to);
        }
    }
}
