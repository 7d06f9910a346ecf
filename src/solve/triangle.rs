//! A = QR without Q.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::qr::no_pivoting::factor;
use faer::{Mat, MatMut, Par};

use super::U;
use crate::error::Result;
use crate::interrupt::Limits;
use crate::memory::{ask_for, shape_product};

/// A QR factorization of so many multiplications may take more than a tenth of a second.
const LONG: f64 = 5e8;

/// [`triangle`], on a thread of its own where it takes long.
///
/// # Errors
/// `Interrupted` at a limit; `Memory` where there is no room for the triangle.
pub(crate) fn factorized(
    limits: &Limits,
    mut a: Vec<f64>,
    rows: usize,
    columns: usize,
) -> Result<Vec<f64>> {
    ask_for::<f64>("a triangle", shape_product("a triangle", &[columns, columns])?)?;
    if rows as f64 * (columns as f64).powi(2) < LONG {
        return Ok(triangle(&mut a, rows, columns));
    }
    limits.run(move || triangle(&mut a, rows, columns))
}

/// The triangle R of A = QR, of order n = `columns`, column-major with zeros below the diagonal.
///
/// `a` has `rows` × `columns` numbers, column-major, and is overwritten; where there are fewer rows than columns, R has
/// zero rows. With right-hand sides as last columns R holds Qᵀb above the n-th row and the residual's norm at it, which
/// is all that a least-squares problem needs.
///
/// Source: Golub and Van Loan, *Matrix Computations*, 4th ed., §5.2; faer does the work.
pub(crate) fn triangle(a: &mut [f64], rows: usize, columns: usize) -> Vec<f64> {
    let mut r = vec![0.0; columns * columns];
    let size = rows.min(columns);
    if size == 0 {
        return r;
    }
    let block = factor::recommended_block_size::<f64>(rows, columns);
    let mut coefficients = Mat::zeros(block, size);
    let need =
        factor::qr_in_place_scratch::<f64>(rows, columns, block, Par::Seq, Default::default());
    factor::qr_in_place(
        MatMut::from_column_major_slice_mut(a, rows, columns),
        coefficients.as_mut(),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(need)),
        Default::default(),
    );
    for (b, (r, a)) in (r.chunks_exact_mut(columns)).zip(a.chunks_exact(rows)).enumerate() {
        let length = (b + 1).min(rows);
        r[..length].copy_from_slice(&a[..length]);
    }
    r
}

/// Replaces the first `d` numbers of `x` by R⁻¹x for a leading triangle of column length `stride`; `false` if a pivot is
/// 0 to rounding, |R_aa| ≤ 16·d·u·‖R e_a‖.
pub(crate) fn back_substitute(r: &[f64], stride: usize, d: usize, x: &mut [f64]) -> bool {
    for a in (0..d).rev() {
        let column = &r[a * stride..][..=a];
        let size = super::dot(column, column).sqrt();
        let regular = column[a].abs() > 16.0 * d as f64 * U * size;
        if !regular {
            return false;
        }
        x[a] /= column[a];
        let pivot = x[a];
        for (x, r) in x.iter_mut().zip(&column[..a]) {
            *x -= r * pivot;
        }
    }
    true
}
