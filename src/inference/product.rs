//! Products of large matrices: rows of the result side by side, so that no bit depends on the number of threads.

use std::cmp::Ordering;

use faer::linalg::matmul::matmul;
use faer::reborrow::ReborrowMut;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::{Array2, ArrayRef2, ArrayView1, CowArray, Ix2};
use rayon::prelude::*;

/// Rows of the result that are computed at once.
const ROWS: usize = 128;

/// Returns A B.
pub(super) fn product(a: &ArrayRef2<f64>, b: &ArrayRef2<f64>) -> Array2<f64> {
    let (a, b) = (a.as_standard_layout(), b.as_standard_layout());
    of_rows(whole(&a), whole(&b), |_| b.ncols())
}

/// Returns Aᵀ B, which the caller knows to be symmetric: half of it is computed.
pub(super) fn symmetric_product(a: &ArrayRef2<f64>, b: &ArrayRef2<f64>) -> Array2<f64> {
    let (a, b) = (a.as_standard_layout(), b.as_standard_layout());
    let mut out = of_rows(whole(&a).transpose(), whole(&b), |end| end);
    for row in 0..out.nrows() {
        for column in 0..row {
            out[[column, row]] = out[[row, column]];
        }
    }
    out
}

/// Returns 2 a_i L b_iᵀ for the rows of A and B, L the lower triangle of a symmetric S with half of its diagonal: with half of the
/// multiplications a_i S b_iᵀ where b_i is a multiple of a_i, and the sum over such rows that are symmetric in A and B together.
pub(super) fn halved_forms(a: &ArrayRef2<f64>, s: &ArrayRef2<f64>, b: &ArrayRef2<f64>) -> Vec<f64> {
    let (a, b) = (a.as_standard_layout(), b.as_standard_layout());
    let p = s.ncols();
    let lower = Array2::from_shape_fn((p, p), |(a, b)| match a.cmp(&b) {
        Ordering::Less => 0.0,
        Ordering::Equal => 0.5 * s[[a, b]],
        Ordering::Greater => s[[a, b]],
    });
    let l = MatRef::from_row_major_slice(lower.as_slice().unwrap_or_default(), p, p);
    let mut forms = vec![0.0; a.nrows()];
    forms.par_chunks_mut(ROWS).enumerate().for_each_init(Vec::new, |buffer, (index, forms)| {
        let n = forms.len();
        buffer.resize(n * p, 0.0);
        let mut image = MatMut::from_row_major_slice_mut(buffer, n, p);
        let rows = whole(&a).subrows(index * ROWS, n);
        for from in (0..p).step_by(ROWS) {
            let (width, below) = (ROWS.min(p - from), p - from);
            matmul(
                image.rb_mut().subcols_mut(from, width),
                Accum::Replace,
                rows.subcols(from, below),
                l.submatrix(from, from, below, width),
                1.0,
                Par::Seq,
            );
        }
        let b = b.rows().into_iter().skip(index * ROWS);
        for ((form, image), b) in forms.iter_mut().zip(buffer.chunks_exact(p.max(1))).zip(b) {
            *form = 2.0 * ArrayView1::from(image).dot(&b);
        }
    });
    forms
}

fn whole<'a>(array: &'a CowArray<f64, Ix2>) -> MatRef<'a, f64> {
    let (rows, columns) = array.dim();
    MatRef::from_row_major_slice(array.as_slice().unwrap_or_default(), rows, columns)
}

/// Returns A B; of the rows before `end` only the first `columns(end)` columns.
fn of_rows(a: MatRef<f64>, b: MatRef<f64>, columns: impl Fn(usize) -> usize + Sync) -> Array2<f64> {
    let (rows, width) = (a.nrows(), b.ncols());
    let mut out = Array2::zeros((rows, width));
    if let Some(all) = out.as_slice_mut() {
        let chunks = all.par_chunks_mut((ROWS * width).max(1)).enumerate();
        chunks.for_each(|(index, out)| {
            let (first, n) = (index * ROWS, out.len() / width);
            let used = columns(first + n);
            let out = MatMut::from_row_major_slice_mut(out, n, width).subcols_mut(0, used);
            let a = a.subrows(first, n);
            matmul(out, Accum::Replace, a, b.subcols(0, used), 1.0, Par::Seq);
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_plain_sums() {
        for (m, n, p) in [(1, 1, 1), (3, 0, 2), (127, 5, 129), (128, 40, 1), (300, 7, 33)] {
            let entry = |seed: usize| move |(i, j)| ((i * 7 + j * 3 + seed) % 11) as f64 - 5.0;
            let (a, b) =
                (Array2::from_shape_fn((m, n), entry(1)), Array2::from_shape_fn((n, p), entry(4)));
            let right = Array2::from_shape_fn((m, p), |(i, j)| {
                (0..n).map(|k| a[[i, k]] * b[[k, j]]).sum::<f64>()
            });
            assert_eq!(product(&a, &b), right, "{m} {n} {p}");
            // Rows in reverse are in another order in memory.
            let mut reversed = a.clone();
            reversed.invert_axis(ndarray::Axis(0));
            let mut expected = right.clone();
            expected.invert_axis(ndarray::Axis(0));
            assert_eq!(product(&reversed, &b), expected);
        }
    }

    #[test]
    fn halves_make_wholes() {
        for (n, p) in [(1, 1), (5, 127), (130, 129), (257, 300), (0, 3), (3, 0)] {
            let a = Array2::from_shape_fn((n, p), |(i, j)| ((i * 5 + j * 3) % 7) as f64 - 3.0);
            let s = Array2::from_shape_fn((p, p), |(i, j)| ((i * j + i + j) % 9) as f64 - 4.0);
            assert_eq!(symmetric_product(&a, &a), a.t().dot(&a), "{n} {p}");
            let factors: Vec<f64> = (0..n).map(|i| i as f64 - 2.0).collect();
            let b = &a * &ndarray::Array1::from(factors).insert_axis(ndarray::Axis(1));
            let right: Vec<f64> = (0..n).map(|i| a.row(i).dot(&s.dot(&b.row(i)))).collect();
            assert_eq!(halved_forms(&a, &s, &b), right, "{n} {p}");
            // Of two outputs in turn with B = H A for each pair of rows: the sums are right.
            let b = Array2::from_shape_fn((n, p), |(i, j)| match (i % 2, i + 1 < n) {
                (0, true) => 3.0 * a[[i, j]] - a[[i + 1, j]],
                (1, _) => 2.0 * a[[i, j]] - a[[i - 1, j]],
                _ => a[[i, j]],
            });
            let halves = halved_forms(&a, &s, &b);
            for i in (0..n.saturating_sub(1)).step_by(2) {
                let pair =
                    a.row(i).dot(&s.dot(&b.row(i))) + a.row(i + 1).dot(&s.dot(&b.row(i + 1)));
                assert_eq!(halves[i] + halves[i + 1], pair, "{n} {p}");
            }
        }
    }
}
