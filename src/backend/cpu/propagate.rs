//! out[i, v, j] = Σ_c A[j, c] z[i, v, c]: forward propagation, p = z Wᵀ for linear units.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::{BLOCK, Real};
use crate::backend::{Kind, Operand};

pub(super) fn propagate<T: Real>(
    n: usize,
    vectors: usize,
    z: &[T],
    stride: usize,
    a: &Operand<Vec<T>>,
    out: &mut [T],
) {
    let units = a.units.len();
    if n * vectors == 0 {
        return;
    }
    // One matrix for all samples: blocks of many rows; one for each sample: its own vectors.
    let rows = match a.kind {
        Kind::Shared => BLOCK,
        Kind::Sampled => vectors,
    };
    out.par_chunks_mut(rows * a.layer)
        .zip(z.par_chunks(rows * stride))
        .enumerate()
        .for_each(|(block, (out, z))| {
            let rows = out.len() / a.layer;
            let matrix = match a.kind {
                Kind::Shared => &a.array[..],
                Kind::Sampled => &a.array[block * units * a.width..(block + 1) * units * a.width],
            };
            matmul(
                MatMut::from_row_major_slice_mut(out, rows, a.layer)
                    .subcols_mut(a.units.start, units),
                Accum::Replace,
                MatRef::from_row_major_slice(z, rows, stride).subcols(0, a.width),
                MatRef::from_row_major_slice(matrix, units, a.width).transpose(),
                T::ONE,
                Par::Seq,
            );
        });
}
