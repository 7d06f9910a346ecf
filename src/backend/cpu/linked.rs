//! out[i, q, j] = p[i, q] A[j, column + q] d[i, j].

use rayon::prelude::*;

use super::{Real, worth};
use crate::backend::Operand;

pub(super) fn linked<T: Real>(
    p: &[T],
    a: &Operand<Vec<T>>,
    column: usize,
    count: usize,
    d: &[T],
    out: &mut [T],
) {
    let size = count * a.layer;
    if size == 0 {
        return;
    }
    // A's columns as rows.
    let turned: Vec<T> = (column..column + count)
        .flat_map(|q| a.array[q..].iter().step_by(a.width).copied())
        .collect();
    out.par_chunks_mut(size)
        .zip(p.par_chunks(count))
        .zip(d.par_chunks(a.layer))
        .with_min_len(worth(size))
        .for_each(|((out, p), d)| {
            let rows = turned.chunks_exact(a.layer);
            for ((out, a), &p) in out.chunks_exact_mut(a.layer).zip(rows).zip(p) {
                for ((out, &a), &d) in out.iter_mut().zip(a).zip(d) {
                    *out = a * d * p;
                }
            }
        });
}
