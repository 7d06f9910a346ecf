//! Curvatures at a point by their products.

use ndarray::{Array2, ArrayView2};

use super::Point;
use crate::curvature::{Curvature, LinearOperator};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::evaluate::Work;

/// A curvature at a point that is never formed: products with vectors by the R-operator.
///
/// ```text
/// B v = ∂/∂ε ∇E(w + εv) at ε = 0    for the exact Hessian; the other curvatures leave terms of it out
/// ```
///
/// Each product costs a few gradients; what was propagated forward and back at w is kept for the next ones while the memory budget has
/// room, and several vectors share it. The penalty is included, but for `Residual`. Under a constraint, vectors are directions in θ.
///
/// Source: Pearlmutter, *Neural Computation* 6, 1994; Bishop, *Pattern Recognition and Machine Learning*, 5.4.6.
///
/// ```
/// use ndarray::array;
/// use secondo::{Activation, Curvature, Data, Layer, LinearOperator, Loss, Network, Problem};
/// // f(x) = w₂ tanh(w₁ x), x = 1, y = 0: the Hessian at (1, 1) is [[−0.31081, 0.63970], [0.63970, 0.58003]].
/// let net = Network::new(1, vec![
///     Layer::dense(1, Activation::Tanh).without_bias(),
///     Layer::dense(1, Activation::Identity).without_bias(),
/// ])?;
/// let problem = Problem::new(net, Data::new(array![[1.0]], array![[0.0]])?, Loss::SquaredError)?;
/// let h = problem.operator(&[1.0, 1.0], Curvature::Exact)?;
/// let hv = h.product(&[1.0, 0.0])?;
/// assert!((hv[0] + 0.31081).abs() < 1e-5 && (hv[1] - 0.63970).abs() < 1e-5);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Operator<'a> {
    point: Point<'a>,
    device: Device,
    curvature: Curvature,
}

impl<'a> Point<'a> {
    /// Returns the curvature as an operator: products with vectors without the matrix.
    ///
    /// # Errors
    /// `Memory` if even one product cannot fit.
    pub fn operator(&self, curvature: Curvature) -> Result<Operator<'a>> {
        self.operator_on(&self.session().device, curvature)
    }

    pub(crate) fn operator_on(
        &self,
        device: &Device,
        curvature: Curvature,
    ) -> Result<Operator<'a>> {
        self.session().planned(device, Work::Products(curvature, 1))?;
        Ok(Operator { point: self.clone(), device: device.clone(), curvature })
    }
}

impl Operator<'_> {
    /// Which curvature it is.
    pub fn curvature(&self) -> Curvature {
        self.curvature
    }
}

impl LinearOperator for Operator<'_> {
    fn order(&self) -> usize {
        self.point.parameters()
    }

    fn products(&self, vectors: ArrayView2<f64>) -> Result<Array2<f64>> {
        if vectors.ncols() != self.order() {
            return Err(Error::shape("vectors", &[self.order()], &[vectors.ncols()]));
        }
        let rows = vectors.as_standard_layout();
        let numbers = rows.as_slice().unwrap_or_default();
        let products = self.point.products(&self.device, self.curvature, numbers)?;
        let found = products.len();
        Array2::from_shape_vec(vectors.raw_dim(), products)
            .map_err(|_| Error::shape("products", vectors.shape(), &[found]))
    }
}
