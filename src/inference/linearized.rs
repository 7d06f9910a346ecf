//! The rows' outputs, Jacobians and derivatives of the loss at the estimate.

use ndarray::{Array2, ArrayView2, s};

use super::product::{halved_forms, symmetric_product};
use super::spectrum::symmetric;
use crate::error::{Error, Result};
use crate::memory::{bytes_of, require_memory};
use crate::problem::Problem;

/// The problem's rows to first order in the parameters, on the processor in f64.
#[derive(Debug, Clone)]
pub(super) struct Linearized {
    /// x^m, n × m.
    pub outputs: Array2<f64>,
    /// J: ∂x_io/∂w in row i·m + o.
    pub jacobian: Array2<f64>,
    /// ω_i (∂²g/∂x²) J_i.
    pub weighted: Array2<f64>,
    /// s_i = J_iᵀ ∂g/∂x, n × P.
    pub scores: Array2<f64>,
    /// ω.
    pub omega: Vec<f64>,
    /// ∂²g/∂x², m × m for each row.
    hessians: Vec<f64>,
}

impl Linearized {
    pub fn new(problem: &Problem, w: &[f64]) -> Result<Self> {
        let (data, loss) = (problem.data()?, problem.loss());
        let (n, m, p) = (data.len(), problem.network().outputs(), problem.parameters());
        // The Jacobian, weighted and as a root; scores; and some ten matrices of order P.
        let need = bytes_of(&[8, n, p, 3 * m + 2]).saturating_add(bytes_of(&[80, p, p]));
        let advice = "take fewer rows, or a smaller network";
        require_memory(&format!("inference on {p} parameters"), need, advice)?;
        let (outputs, jacobian) = problem.linearization(w)?;
        let outputs = Array2::from_shape_vec((n, m), outputs)
            .map_err(|_| Error::shape("the outputs", &[n, m], &[]))?;
        let mut weighted = Array2::zeros(jacobian.raw_dim());
        let mut scores = Array2::zeros((n, p));
        let (omega, mut hessians) = (data.weights().to_vec(), Vec::with_capacity(n * m * m));
        for (i, omega) in omega.iter().enumerate() {
            let (x, y) = (outputs.row(i).to_vec(), data.y().row(i).to_vec());
            let (_, gradient, hessian) = loss.derivatives(&x, &y)?;
            let rows = jacobian.slice(s![i * m..(i + 1) * m, ..]);
            for (o, slope) in gradient.iter().enumerate() {
                scores.row_mut(i).scaled_add(*slope, &rows.row(o));
                for q in 0..m {
                    let h = omega * hessian[o * m + q];
                    if h != 0.0 {
                        weighted.row_mut(i * m + o).scaled_add(h, &rows.row(q));
                    }
                }
            }
            hessians.extend(hessian);
        }
        Ok(Linearized { outputs, jacobian, weighted, scores, omega, hessians })
    }

    /// G = Σ ω_i J_iᵀ (∂²g/∂x²) J_i.
    pub fn gauss_newton(&self) -> Array2<f64> {
        symmetric_product(&self.jacobian, &self.weighted)
    }

    /// Rows whose outer products sum to G; none where a loss is not convex there.
    pub fn root(&self) -> Result<Option<Array2<f64>>> {
        let m = self.outputs.ncols();
        let mut root = Array2::zeros(self.jacobian.raw_dim());
        for (i, h) in self.hessians.chunks_exact(m * m).enumerate() {
            let Some(factor) = square_root(h, m)? else {
                return Ok(None);
            };
            let rows = self.rows(i);
            let of_row = factor.dot(&rows) * self.omega[i].sqrt();
            root.slice_mut(s![i * m..(i + 1) * m, ..]).assign(&of_row);
        }
        Ok(Some(root))
    }

    /// J_i, m × P.
    pub fn rows(&self, i: usize) -> ArrayView2<'_, f64> {
        let m = self.outputs.ncols();
        self.jacobian.slice(s![i * m..(i + 1) * m, ..])
    }

    /// h_i = tr(ω_i (∂²g/∂x²) J_i A⁻¹ J_iᵀ), length n.
    pub fn leverage(&self, inverse: &Array2<f64>) -> Vec<f64> {
        let of_outputs = halved_forms(&self.jacobian, inverse, &self.weighted);
        of_outputs.chunks(self.outputs.ncols()).map(|h| h.iter().sum()).collect()
    }
}

/// Returns F with FᵀF = H for a positive semi-definite H, m × m row-major; none for another.
pub(super) fn square_root(h: &[f64], m: usize) -> Result<Option<Array2<f64>>> {
    if m == 1 {
        return Ok((h[0] >= 0.0).then(|| Array2::from_elem((1, 1), h[0].sqrt())));
    }
    let h = Array2::from_shape_fn((m, m), |(o, q)| h[o * m + q]);
    let is_diagonal = h.indexed_iter().all(|((o, q), v)| o == q || *v == 0.0);
    if is_diagonal {
        let roots = h.diag().mapv(f64::sqrt);
        return Ok(roots.iter().all(|r| r.is_finite()).then(|| Array2::from_diag(&roots)));
    }
    let (values, mut vectors) = symmetric(&h)?;
    let largest = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    if values.iter().any(|v| *v < -1e-14 * largest) {
        return Ok(None);
    }
    for (mut row, value) in vectors.rows_mut().into_iter().zip(values) {
        row *= value.max(0.0).sqrt();
    }
    Ok(Some(vectors))
}
