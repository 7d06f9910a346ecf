//! out[i, q] += Σ_j m[i, j, q] A[j, column + q]: the diagonal of S^{kk} from S^{rk}, without the rest of it.

use rayon::prelude::*;

use super::{BLOCK, Real};
use crate::backend::Operand;

pub(super) fn contract_diagonal<T: Real>(
    n: usize,
    m: &[T],
    a: &Operand<Vec<T>>,
    column: usize,
    count: usize,
    out: &mut [T],
) {
    debug_assert_eq!(out.len(), n * count);
    out.par_chunks_mut((BLOCK * count).max(1))
        .enumerate()
        .for_each(|(block, out)| {
            for (local, out) in out.chunks_exact_mut(count).enumerate() {
                let i = block * BLOCK + local;
                let matrix = a.matrix(i);
                for (j, unit) in a.units.clone().enumerate() {
                    let m = &m[(i * a.layer + unit) * count..][..count];
                    let a = &matrix[j * a.width + column..][..count];
                    for ((out, &m), &a) in out.iter_mut().zip(m).zip(a) {
                        *out += m * a;
                    }
                }
            }
        });
}
