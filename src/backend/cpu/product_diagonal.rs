//! out[i, q] += Σ_j x[i, j, q] b[i, j, q]: the diagonal of a product without the rest of it.

use faer::Par;

use super::{Array, Real, multiply};
use crate::backend::kernel::{Multiply, ProductDiagonal};

pub(super) fn run<T: Real>(par: Par, kernel: ProductDiagonal<Array<T>>) {
    let ProductDiagonal { x, b, mut out } = kernel;
    // Each row of products is added to the one row of the sample, the first of them first.
    out.layout = out.layout.repeated_rows(x.shape()[1]);
    multiply::run(par, Multiply { a: x, b, out, accumulate: true });
}
