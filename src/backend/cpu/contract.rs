//! out[i, v, q] += Σ_j m[i, v, j] A[j, column + q]: one step of a backward recursion through a group of units.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::{BLOCK, Real};
use crate::backend::{Kind, Operand};

/// Multiplications for one sample up to which plain loops are used; a choice, not a measurement.
const FEW: usize = 4096;

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
    if a.kind == Kind::Sampled && units * count * vectors <= FEW {
        // The products of single samples are too small to be worth a library's call.
        out.par_chunks_mut(vectors * count)
            .zip(m.par_chunks(vectors * a.layer))
            .enumerate()
            .with_min_len(BLOCK / 8)
            .for_each(|(i, (out, m))| {
                let matrix = a.matrix(i);
                for (out, m) in out.chunks_exact_mut(count).zip(m.chunks_exact(a.layer)) {
                    for (j, &m) in m[a.units.clone()].iter().enumerate() {
                        let row = &matrix[j * a.width + column..][..count];
                        out.iter_mut().zip(row).for_each(|(out, &v)| *out += m * v);
                    }
                }
            });
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
