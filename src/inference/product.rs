//! Products of large matrices: rows of the result side by side, so that no bit depends on the number of threads.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::{Array2, ArrayRef2, CowArray, Ix2};
use rayon::prelude::*;

/// Rows of the result that are computed at once.
const ROWS: usize = 128;

/// Returns A B.
pub(super) fn product(a: &ArrayRef2<f64>, b: &ArrayRef2<f64>) -> Array2<f64> {
    let (a, b) = (a.as_standard_layout(), b.as_standard_layout());
    of_rows(whole(&a), whole(&b))
}

/// Returns Aᵀ B.
pub(super) fn transposed_product(a: &ArrayRef2<f64>, b: &ArrayRef2<f64>) -> Array2<f64> {
    let (a, b) = (a.as_standard_layout(), b.as_standard_layout());
    of_rows(whole(&a).transpose(), whole(&b))
}

fn whole<'a>(array: &'a CowArray<f64, Ix2>) -> MatRef<'a, f64> {
    let (rows, columns) = array.dim();
    MatRef::from_row_major_slice(array.as_slice().unwrap_or_default(), rows, columns)
}

fn of_rows(a: MatRef<f64>, b: MatRef<f64>) -> Array2<f64> {
    let (rows, columns) = (a.nrows(), b.ncols());
    let mut out = Array2::zeros((rows, columns));
    if let Some(all) = out.as_slice_mut() {
        let chunks = all.par_chunks_mut((ROWS * columns).max(1)).enumerate();
        chunks.for_each(|(index, out)| {
            let n = out.len() / columns;
            let out = MatMut::from_row_major_slice_mut(out, n, columns);
            matmul(out, Accum::Replace, a.subrows(index * ROWS, n), b, 1.0, Par::Seq);
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
            assert_eq!(transposed_product(&a.t().to_owned(), &b), right, "{m} {n} {p}");
            // Rows in reverse are in another order in memory.
            let mut reversed = a.clone();
            reversed.invert_axis(ndarray::Axis(0));
            let mut expected = right.clone();
            expected.invert_axis(ndarray::Axis(0));
            assert_eq!(product(&reversed, &b), expected);
        }
    }
}
