//! Fixed and tied parameters: W = fixed + C θ.

use crate::curvature::{Block, Matrix, triangle};
use crate::error::{Error, Result};

/// The affine map W = fixed + C θ from free parameters θ to the flat vector W.
///
/// A parameter that no θ reaches is fixed; two parameters that one θ reaches are tied.
/// Derivatives follow by the chain rule: ∂E/∂θ = Cᵀ ∂E/∂W.
///
/// ```
/// use secondo::Constraint;
/// // W = (θ₀, 3, θ₀): the first and the last are tied, the second is fixed.
/// let c = Constraint::new(vec![0.0, 3.0, 0.0], 1, vec![(0, 0, 1.0), (2, 0, 1.0)])?;
/// assert_eq!(c.weights(&[2.0])?, [2.0, 3.0, 2.0]);
/// assert_eq!(c.pull_back(&[1.0, 10.0, 100.0])?, [101.0]);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Constraint {
    fixed: Vec<f64>,
    free: usize,
    entries: Vec<(usize, usize, f64)>,
}

impl Constraint {
    /// `fixed` has the length of W; `entries` are (row, column, value) of C, rows numbering W and columns
    /// the `free` parameters θ. Entries at the same place add up.
    ///
    /// # Errors
    /// An index out of range, a number that is not finite, a θ that reaches no parameter.
    pub fn new(fixed: Vec<f64>, free: usize, entries: Vec<(usize, usize, f64)>) -> Result<Self> {
        if let Some(i) = fixed.iter().position(|v| !v.is_finite()) {
            return Err(Error::non_finite("constraint: fixed", &[i]));
        }
        if free > entries.len() {
            return Err(Error::invalid(
                "constraint: C",
                format!("{} entries cannot reach {free} parameters θ", entries.len()),
            ));
        }
        let mut reached = vec![false; free];
        for &(row, column, value) in &entries {
            if row >= fixed.len() || column >= free {
                return Err(Error::invalid(
                    "constraint: C",
                    format!(
                        "entry ({row}, {column}) lies outside {} × {free}",
                        fixed.len()
                    ),
                ));
            }
            if !value.is_finite() {
                return Err(Error::non_finite("constraint: C", &[row, column]));
            }
            reached[column] |= value != 0.0;
        }
        if let Some(l) = reached.iter().position(|r| !r) {
            return Err(Error::invalid(
                "constraint: C",
                format!("θ[{l}] reaches no parameter; remove it"),
            ));
        }
        Ok(Constraint {
            fixed,
            free,
            entries,
        })
    }

    /// The number of free parameters, dim θ.
    pub fn free(&self) -> usize {
        self.free
    }

    /// The length of W.
    pub fn parameters(&self) -> usize {
        self.fixed.len()
    }

    /// W = fixed + C θ.
    ///
    /// # Errors
    /// θ has the wrong length.
    pub fn weights(&self, theta: &[f64]) -> Result<Vec<f64>> {
        if theta.len() != self.free {
            return Err(Error::shape("θ", &[self.free], &[theta.len()]));
        }
        let mut w = self.fixed.clone();
        for &(row, column, value) in &self.entries {
            w[row] += value * theta[column];
        }
        Ok(w)
    }

    /// Row l of C: columns and values.
    pub(crate) fn row(&self, l: usize) -> impl Iterator<Item = (usize, f64)> {
        (self.entries.iter())
            .filter(move |e| e.0 == l)
            .map(|e| (e.1, e.2))
    }

    /// C v, the direction in W of a direction in θ.
    ///
    /// # Errors
    /// v has the wrong length.
    pub fn push_forward(&self, v: &[f64]) -> Result<Vec<f64>> {
        if v.len() != self.free {
            return Err(Error::shape("direction in θ", &[self.free], &[v.len()]));
        }
        let mut out = vec![0.0; self.fixed.len()];
        for &(row, column, value) in &self.entries {
            out[row] += value * v[column];
        }
        Ok(out)
    }

    /// CᵀBC, the curvature in θ, in the blocks that B has; C must keep each block to neighbouring θ of its own.
    ///
    /// # Errors
    /// `Unsupported` where a θ reaches two blocks, or other θ stand between those of a block.
    pub(crate) fn congruence(&self, matrix: &Matrix) -> Result<Matrix> {
        let mut rows: Vec<Vec<(usize, f64)>> = vec![Vec::new(); self.fixed.len()];
        for &(row, column, value) in self.entries.iter().filter(|e| e.2 != 0.0) {
            rows[row].push((column, value));
        }
        let mut parts = Vec::new();
        let mut next = 0;
        for block in matrix.blocks() {
            let reached = || rows[block.range.clone()].iter().flatten().map(|e| e.0);
            let (Some(first), Some(last)) = (reached().min(), reached().max()) else {
                continue;
            };
            if first != next {
                return Err(Error::Unsupported {
                    what: format!("{} under W = fixed + Cθ", matrix.structure().name()),
                    why: format!(
                        "θ[{}] reaches several blocks, or stands apart from the others of {block}; \
                         the structures full and diagonal and products are available",
                        first.min(next)
                    ),
                });
            }
            next = last + 1;
            let mut lower = vec![0.0; triangle(next - first)];
            for (a, row) in rows[block.range.clone()].iter().enumerate() {
                for (b, column) in rows[block.range.clone()].iter().enumerate() {
                    let entry = block.packed()[triangle(a.max(b)) + a.min(b)];
                    for &(p, left) in row {
                        for &(q, right) in column.iter().filter(|e| e.0 <= p) {
                            lower[triangle(p - first) + q - first] += left * entry * right;
                        }
                    }
                }
            }
            parts.push((Block::place(block.layer, block.unit, first..next), lower));
        }
        Ok(Matrix::by_range(matrix.structure(), parts))
    }

    /// Cᵀ g, the derivative in θ from the derivative in W.
    ///
    /// # Errors
    /// g has the wrong length.
    pub fn pull_back(&self, g: &[f64]) -> Result<Vec<f64>> {
        if g.len() != self.fixed.len() {
            return Err(Error::shape("gradient", &[self.fixed.len()], &[g.len()]));
        }
        let mut out = vec![0.0; self.free];
        for &(row, column, value) in &self.entries {
            out[column] += value * g[row];
        }
        Ok(out)
    }
}
