//! B = VΛVᵀ.

use faer::diag::DiagMut;
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{MatMut, MatRef, Par};

use super::{Workspace, packed, stack};
use crate::error::{Error, Result};
use crate::memory::zeros;

/// The eigenvalues of a symmetric matrix, ascending.
///
/// ```text
/// B v_i = λ_i v_i,   λ₁ ≤ … ≤ λ_d
/// ```
///
/// `lower` is the packed lower triangle of order `d`; the result has d numbers, each within about
/// d·u·‖B‖ of the exact one. About 4d³/3 multiplications and additions.
///
/// # Errors
/// [`Error::Shape`] for a wrong length, [`Error::NonFinite`] with the index in `lower`, or where an eigenvalue exceeds the
/// range of f64, [`Error::Numerical`] should the iteration not converge.
///
/// Source: Golub and Van Loan, *Matrix Computations*, 4th ed., §8.3; faer does the work.
///
/// ```
/// // The Hessian of 2x² + 3y² − xy: the eigenvalues are 5 ± √2.
/// let values = secondo::solve::eigenvalues(&[4.0, -1.0, 6.0], 2)?;
/// assert!((values[0] - (5.0 - 2.0_f64.sqrt())).abs() < 1e-14);
/// assert!((values[1] - (5.0 + 2.0_f64.sqrt())).abs() < 1e-14);
/// # Ok::<(), secondo::Error>(())
/// ```
pub fn eigenvalues(lower: &[f64], d: usize) -> Result<Vec<f64>> {
    packed::check(lower, d)?;
    let scale = packed::power_of_two(packed::largest(lower));
    let mut values = vec![0.0; d];
    decompose(&mut Workspace::new(), lower, d, scale, &mut values, None)?;
    values.iter_mut().for_each(|v| *v *= scale);
    packed::finite("the eigenvalues", &values)?;
    Ok(values)
}

/// Eigenvalues, ascending, and the eigenvectors: v_i is `[i·d .. (i+1)·d]`.
pub(crate) fn eigen(lower: &[f64], d: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    packed::check(lower, d)?;
    let scale = packed::power_of_two(packed::largest(lower));
    let mut work = Workspace::new();
    work.reserve(d)?;
    let (mut values, mut vectors) = (vec![0.0; d], zeros("eigenvectors", d * d)?);
    decompose(&mut work, lower, d, scale, &mut values, Some(&mut vectors))?;
    values.iter_mut().for_each(|v| *v *= scale);
    packed::finite("the eigenvalues", &values)?;
    Ok((values, vectors))
}

/// The decomposition of B/scale.
pub(super) fn decompose(
    work: &mut Workspace,
    lower: &[f64],
    d: usize,
    scale: f64,
    values: &mut [f64],
    vectors: Option<&mut [f64]>,
) -> Result<()> {
    if d == 0 {
        return Ok(());
    }
    work.reserve(d)?;
    packed::unpack(lower, d, scale, 0.0, &mut work.matrix);
    let compute = match vectors {
        Some(_) => ComputeEigenvectors::Yes,
        None => ComputeEigenvectors::No,
    };
    let need = self_adjoint_evd_scratch::<f64>(d, compute, Par::Seq, Default::default());
    self_adjoint_evd(
        MatRef::from_column_major_slice(&work.matrix[..d * d], d, d),
        DiagMut::from_slice_mut(values),
        vectors.map(|v| MatMut::from_column_major_slice_mut(v, d, d)),
        Par::Seq,
        stack(&mut work.stack, need)?,
        Default::default(),
    )
    .map_err(|_| Error::Numerical {
        what: format!("the eigenvalues of a matrix of order {d} did not converge"),
    })
}
