//! A = UΣVᵀ without U.

use faer::diag::DiagMut;
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{MatMut, MatRef, Par};

use super::{Workspace, packed, stack};
use crate::error::{Error, Result};
use crate::memory::zeros;

/// Returns the singular values of a square column-major matrix of order d, descending, and the right singular vectors, v_i at
/// i·d. A small singular value keeps the digits that the eigenvalues of AᵀA lose.
///
/// # Errors
/// `NonFinite` with the index; `Memory` where there is no room; `Numerical` should the iteration not converge.
pub(crate) fn right_singular(a: &[f64], d: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    packed::finite("the matrix", a)?;
    let (mut values, mut vectors) = (vec![0.0; d], zeros("singular vectors", d * d)?);
    if d == 0 {
        return Ok((values, vectors));
    }
    let scale = packed::power_of_two(packed::largest(a));
    let mut scaled = zeros("a matrix", d * d)?;
    scaled.iter_mut().zip(a).for_each(|(s, v)| *s = v / scale);
    let (no, yes) = (ComputeSvdVectors::No, ComputeSvdVectors::Full);
    let need = svd_scratch::<f64>(d, d, no, yes, Par::Seq, Default::default());
    svd(
        MatRef::from_column_major_slice(&scaled, d, d),
        DiagMut::from_slice_mut(&mut values),
        None,
        Some(MatMut::from_column_major_slice_mut(&mut vectors, d, d)),
        Par::Seq,
        stack(&mut Workspace::new().stack, need)?,
        Default::default(),
    )
    .map_err(|_| Error::Numerical {
        what: format!("the singular values of a matrix of order {d} did not converge"),
    })?;
    values.iter_mut().for_each(|v| *v *= scale);
    Ok((values, vectors))
}
