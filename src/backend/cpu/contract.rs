//! out[i, v, q] += Σ_j m[i, v, j] A[j, column + q]: one step of a backward recursion through a group of units.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::Real;
use crate::backend::Operand;

pub(super) fn contract<T: Real>(
    n: usize,
    vectors: usize,
    m: &[T],
    a: &Operand<Vec<T>>,
    column: usize,
    count: usize,
    out: &mut [T],
) {
    let units = a.units.len();
    if n * vectors == 0 {
        return;
    }
    let rows = a.rows(vectors);
    out.par_chunks_mut(rows * count)
        .zip(m.par_chunks(rows * a.layer))
        .enumerate()
        .for_each(|(task, (out, m))| {
            let rows = out.len() / count;
            matmul(
                MatMut::from_row_major_slice_mut(out, rows, count),
                Accum::Add,
                MatRef::from_row_major_slice(m, rows, a.layer).subcols(a.units.start, units),
                MatRef::from_row_major_slice(a.matrix(task), units, a.width).subcols(column, count),
                T::ONE,
                Par::Seq,
            );
        });
}
