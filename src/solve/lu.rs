//! Ax = b for a square matrix that need not be symmetric.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::lu::partial_pivoting::{factor, solve};
use faer::{MatMut, Par};

use super::U;

/// Replaces `rhs` by A⁻¹·rhs; `false`, and `rhs` in any state, if A is singular to rounding.
///
/// `a` is row-major, d×d, and is overwritten. Rows, then columns are divided by their largest entry
/// first, so that «singular» (a pivot ≤ d·u) does not depend on units.
pub(crate) fn lu_solve(a: &mut [f64], d: usize, rhs: &mut [f64]) -> bool {
    if d == 0 {
        return true;
    }
    for (row, b) in a.chunks_exact_mut(d).zip(rhs.iter_mut()) {
        let largest = super::packed::largest(row);
        row.iter_mut().for_each(|v| *v /= largest);
        *b /= largest;
    }
    let columns: Vec<f64> =
        (0..d).map(|j| (0..d).fold(0.0, |m: f64, i| m.max(a[i * d + j].abs()))).collect();
    for row in a.chunks_exact_mut(d) {
        row.iter_mut().zip(&columns).for_each(|(v, c)| *v /= c);
    }
    // A zero row or column has become NaN.
    if a.iter().any(|v| !v.is_finite()) {
        return false;
    }
    let (mut order, mut inverse) = (vec![0_usize; d], vec![0_usize; d]);
    let need = factor::lu_in_place_scratch::<usize, f64>(d, d, Par::Seq, Default::default())
        .or(solve::solve_in_place_scratch::<usize, f64>(d, 1, Par::Seq));
    let mut buffer = MemBuffer::new(need);
    let stack = MemStack::new(&mut buffer);
    let mut lu = MatMut::from_row_major_slice_mut(a, d, d);
    let (_, order) = factor::lu_in_place(
        lu.as_mut(),
        &mut order,
        &mut inverse,
        Par::Seq,
        stack,
        Default::default(),
    );
    let lu = lu.as_ref();
    let regular = (0..d).all(|i| lu[(i, i)].abs() > d as f64 * U);
    if !regular {
        return false;
    }
    let column = MatMut::from_column_major_slice_mut(rhs, d, 1);
    solve::solve_in_place(lu, lu, order, column, Par::Seq, stack);
    rhs.iter_mut().zip(&columns).for_each(|(v, c)| *v /= c);
    true
}
