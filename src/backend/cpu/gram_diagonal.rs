//! sum[j, a] += Σ_i c[i, j] φ[i, j, a]².

use faer::Par;

use super::array::Input;
use super::{Array, Real, Sum, bytes, weighted_sum};
use crate::backend::kernel::{GramDiagonal, WeightedSum};
use crate::backend::{Layout, View};

pub(super) fn run<T: Real>(par: Par, block: usize, kernel: GramDiagonal<Array<T>, Sum>) {
    let GramDiagonal { c, phi, sum } = kernel;
    let [n, units, width] = phi.shape();
    let rows = rows_of(&phi);
    let own = phi.with(|layout| layout.rows(0..rows));
    let mut squares = own.gathered().into_owned();
    squares.iter_mut().for_each(|v| *v = *v * *v);
    let squares = squares.into();
    let mut layout = Layout::dense(n, rows, width);
    if weighted_sum::is_shared(&phi) {
        layout = layout.repeated_rows(units);
    }
    let phi = View::new(&squares, layout);
    weighted_sum::run(par, block, WeightedSum { c, phi, sum, at: 0 });
}

/// Rows of φ that differ.
fn rows_of<T>(phi: &Input<T>) -> usize {
    let shared = weighted_sum::is_shared(phi);
    phi.shape()[1].min(if shared { 1 } else { usize::MAX })
}

/// Bytes of the squares and of the sums.
pub(super) fn scratch<T: Real>(
    threads: usize,
    block: usize,
    kernel: &GramDiagonal<Array<T>, Sum>,
) -> u64 {
    let GramDiagonal { c, phi, .. } = kernel;
    let [n, _, width] = phi.shape();
    let squares = bytes(&[n, rows_of(phi), width, size_of::<T>()]);
    squares.saturating_add(weighted_sum::scratch(threads, block, c, phi))
}
