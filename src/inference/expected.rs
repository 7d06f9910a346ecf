//! The expected information G + ∂²pen.

use ndarray::{Array2, Axis, concatenate};

use super::Prior;
use super::linearized::{Linearized, square_root};
use super::spectrum::{Spectrum, scales, tame_inverse};
use crate::error::{Error, Result};

/// The rank and the inverse of G + ∂²pen.
pub(super) struct Expected {
    /// D, by which information matrices are scaled.
    pub scale: Vec<f64>,
    /// How many eigenvalues are positive.
    pub positive: usize,
    /// (G + ∂²pen)⁺.
    pub inverse: Array2<f64>,
    /// The spectrum, where it was asked for or needed.
    pub spectrum: Option<Spectrum>,
}

impl Expected {
    pub fn new(
        at: &Linearized,
        prior: &Prior,
        gauss_newton: &Array2<f64>,
        with_spectrum: bool,
    ) -> Result<Self> {
        let sum = gauss_newton + &prior.hessian;
        let mut scale = scales(gauss_newton);
        if !with_spectrum && let Some(inverse) = tame_inverse(&sum, &scale) {
            return Ok(Expected { positive: scale.len(), scale, inverse, spectrum: None });
        }
        let mut spectrum = spectrum_of(at, prior, &sum, &scale)?;
        if prior.gaussian.is_some() && spectrum.inertia().1 > 0 {
            // Under a proper prior every direction is determined: where the data say little, by its precision.
            scale = scales(&sum);
            spectrum = spectrum_of(at, prior, &sum, &scale)?;
        }
        let (positive, ..) = spectrum.inertia();
        Ok(Expected { scale, positive, inverse: spectrum.inverse(), spectrum: Some(spectrum) })
    }
}

/// Returns the spectrum of G + ∂²pen; where digits of small eigenvalues would be lost, by the rows of its root if it has one.
fn spectrum_of(
    at: &Linearized,
    prior: &Prior,
    sum: &Array2<f64>,
    scale: &[f64],
) -> Result<Spectrum> {
    let spectrum = Spectrum::of_matrix(sum, scale.to_vec())?;
    if spectrum.is_tame() {
        return Ok(spectrum);
    }
    let Some(root) = at.root()? else {
        return Ok(spectrum);
    };
    if prior.is_none {
        return Spectrum::of_root(&root, scale.to_vec());
    }
    let p = scale.len();
    let flat: Vec<f64> = prior.hessian.iter().copied().collect();
    let Some(of_prior) = square_root(&flat, p)? else {
        return Ok(spectrum);
    };
    let both = concatenate(Axis(0), &[root.view(), of_prior.view()])
        .map_err(|_| Error::shape("the root of the information", &[p], &[of_prior.ncols()]))?;
    Spectrum::of_root(&both, scale.to_vec())
}
