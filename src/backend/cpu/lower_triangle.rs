//! out[i, (r, c)] = a[i, r, c], c ≤ r: the lower triangles of square matrices, packed row by row.

use faer::Par;

use super::tasks::{each, parts, worth};
use super::{Array, Real};
use crate::backend::kernel::LowerTriangle;

pub(super) fn run<T: Real>(par: Par, kernel: LowerTriangle<Array<T>>) {
    let LowerTriangle { a, out } = kernel;
    let ([_, units, _], [_, _, size]) = (a.shape(), out.shape());
    each(par, parts(out, worth(size)), |part| {
        for (i, mut out) in part.samples().zip(part.numbers.chunks_exact_mut(size)) {
            for r in 0..units {
                let (row, rest) = out.split_at_mut(r + 1);
                a.copy_row(i, r, row);
                out = rest;
            }
        }
    });
}
