//! out[i, q, j] = p[i, q] M[i, q, j] d[i, j].

use faer::Par;

use super::array::Input;
use super::tasks::{each, parts, worth};
use super::walk::Walk;
use super::{Array, Real, bytes};
use crate::backend::kernel::ScaledMatrix;
use crate::backend::{Layout, View};
use crate::level::in_lanes;

pub(super) fn run<T: Real>(par: Par, kernel: ScaledMatrix<Array<T>>) {
    let ScaledMatrix { rows: p, mut matrix, columns: d, out } = kernel;
    let [n, rows, columns] = out.shape();
    let copied: Array<T>;
    if is_copied(&matrix) {
        let one = matrix.with(|layout| layout.samples(0..n.min(1)));
        copied = one.gathered().into_owned().into();
        matrix = View::new(&copied, Layout::shared(n, rows, columns));
    }
    // p and d in the shape of the matrices.
    let p = p.with(|layout| layout.transposed().repeated_columns(columns));
    let d = d.with(|layout| layout.repeated_rows(rows));
    each(par, parts(out, worth(rows * columns)), |part| {
        let samples = || part.samples();
        let walk = Walk::new([
            part.layout,
            matrix.samples(samples()).layout,
            d.samples(samples()).layout,
            p.samples(samples()).layout,
        ]);
        let [m, d, p] = [matrix, d, p].map(|view| &view.array.numbers[..]);
        in_lanes(
            #[inline(always)]
            || walk.each(part.numbers, m, d, p, |out, m, d, p| *out = m * d * p),
        );
    });
}

/// Whether all samples share a matrix whose rows have gaps: then it is copied once, and read row by row.
fn is_copied<T>(matrix: &Input<T>) -> bool {
    let [of_sample, _, of_column] = matrix.layout.strides;
    of_sample == 0 && of_column != 1
}

/// Bytes of the copy of the matrix.
pub(super) fn scratch<T: Real>(kernel: &ScaledMatrix<Array<T>>) -> u64 {
    let [_, rows, columns] = kernel.matrix.shape();
    let copied = usize::from(is_copied(&kernel.matrix));
    bytes(&[copied, rows, columns, size_of::<T>()])
}
