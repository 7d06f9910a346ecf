//! out[i, v, j] += Σ_c A[j, c] z[i, v, c], or = where it replaces: forward propagation, p = z Wᵀ for linear units.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::Real;
use crate::backend::Operand;

pub(super) fn propagate<T: Real>(
    n: usize,
    vectors: usize,
    z: &[T],
    stride: usize,
    a: &Operand<Vec<T>>,
    accum: Accum,
    out: &mut [T],
) {
    let units = a.units.len();
    if n * vectors == 0 {
        return;
    }
    let rows = a.rows(vectors);
    out.par_chunks_mut(rows * a.layer)
        .zip(z.par_chunks(rows * stride))
        .enumerate()
        .for_each(|(task, (out, z))| {
            let rows = out.len() / a.layer;
            matmul(
                MatMut::from_row_major_slice_mut(out, rows, a.layer)
                    .subcols_mut(a.units.start, units),
                accum,
                MatRef::from_row_major_slice(z, rows, stride).subcols(0, a.width),
                MatRef::from_row_major_slice(a.matrix(task), units, a.width).transpose(),
                T::ONE,
                Par::Seq,
            );
        });
}
