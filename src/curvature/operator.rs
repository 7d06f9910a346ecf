//! The interface that a matrix and a matrix-free product share.

use ndarray::{Array2, ArrayView2};

use crate::error::{Error, Result};

/// A symmetric matrix that can be multiplied with vectors, formed or not.
///
/// ```
/// use ndarray::array;
/// use secondo::{LinearOperator, Matrix};
/// let b = Matrix::full(2, vec![4.0, 2.0, 5.0])?;
/// let operator: &dyn LinearOperator = &b;
/// let two = array![[1.0, 0.0], [1.0, 1.0]]; // a vector in each row
/// assert_eq!(operator.products(two.view())?, array![[4.0, 2.0], [6.0, 7.0]]);
/// # Ok::<(), secondo::Error>(())
/// ```
pub trait LinearOperator {
    /// P, the number of rows and of columns.
    fn order(&self) -> usize;

    /// B v for each row v of `vectors`: as many rows of length P.
    ///
    /// # Errors
    /// `Shape` if the rows have not the length P; what the device reports.
    fn products(&self, vectors: ArrayView2<f64>) -> Result<Array2<f64>>;

    /// B v, length P.
    ///
    /// # Errors
    /// As [`products`](LinearOperator::products).
    fn product(&self, v: &[f64]) -> Result<Vec<f64>> {
        let row = ArrayView2::from_shape((1, v.len()), v)
            .map_err(|_| Error::shape("vector", &[self.order()], &[v.len()]))?;
        Ok(self.products(row)?.into_raw_vec_and_offset().0)
    }
}
