//! An information matrix through its scaled eigenvalues: rank, null space, generalised inverse.

use ndarray::{Array1, Array2, Axis};

use super::product::{product, symmetric_product};
use crate::curvature::triangle as packed_length;
use crate::error::Result;
use crate::solve::{Cholesky, eigen, right_singular, triangle};

/// Scaled eigenvalues up to this part of the largest are zero.
const ZERO: f64 = 1e-10;
/// Up to this condition a sum of outer products keeps the digits that matter.
const TAME: f64 = 1e6;
/// The same for a bound of the condition, which is mostly several times as large; where it is not, 1e-9 of a standard error is lost.
const TAME_BOUND: f64 = 1e7;

/// A = D V diag(λ) Vᵀ D with a diagonal D that takes the parameters' units out.
#[derive(Debug, Clone)]
pub(super) struct Spectrum {
    /// D.
    scale: Vec<f64>,
    /// λ, ascending.
    pub values: Vec<f64>,
    /// v_i in row i.
    vectors: Array2<f64>,
}

/// Returns D: √diag G, 1 where that is 0.
pub(super) fn scales(gauss_newton: &Array2<f64>) -> Vec<f64> {
    let root = |d: &f64| if *d > 0.0 { d.sqrt() } else { 1.0 };
    gauss_newton.diag().iter().map(root).collect()
}

/// Returns the eigenvalues, ascending, and eigenvectors, rows, of a symmetric matrix.
pub(super) fn symmetric(matrix: &Array2<f64>) -> Result<(Vec<f64>, Array2<f64>)> {
    let p = matrix.nrows();
    let (values, vectors) = eigen(&packed(matrix, &vec![1.0; p]), p)?;
    Ok((values, rows(p, vectors)))
}

/// Returns A⁻¹ by Cholesky's factor, which takes a part of the time of a spectrum, where A = DÂD is positive definite and tame; none of other
/// matrices.
pub(super) fn tame_inverse(matrix: &Array2<f64>, scale: &[f64]) -> Option<Array2<f64>> {
    let p = scale.len();
    let lower = packed(matrix, scale);
    let inverse = Cholesky::new(&lower, p).and_then(|factor| factor.inverse()).ok()?;
    let entry = |packed: &[f64], a: usize, b: usize| packed[packed_length(a.max(b)) + a.min(b)];
    // Frobenius' norms, whose product is never below the condition.
    let norm = |packed: &[f64]| {
        let diagonal: f64 = (0..p).map(|a| entry(packed, a, a).powi(2)).sum();
        (2.0 * packed.iter().map(|v| v * v).sum::<f64>() - diagonal).sqrt()
    };
    let is_tame = norm(&lower) * norm(&inverse) <= TAME_BOUND;
    is_tame.then(|| {
        Array2::from_shape_fn((p, p), |(a, b)| entry(&inverse, a, b) / (scale[a] * scale[b]))
    })
}

/// Returns the lower triangle of D⁻¹AD⁻¹, symmetrised, row by row.
pub(super) fn packed(matrix: &Array2<f64>, scale: &[f64]) -> Vec<f64> {
    let mut lower = Vec::with_capacity(packed_length(scale.len()));
    for a in 0..scale.len() {
        let mean = |b: usize| 0.5 * (matrix[[a, b]] + matrix[[b, a]]);
        lower.extend((0..=a).map(|b| mean(b) / (scale[a] * scale[b])));
    }
    lower
}

fn rows(p: usize, flat: Vec<f64>) -> Array2<f64> {
    Array2::from_shape_fn((p, p), |(i, a)| flat[i * p + a])
}

impl Spectrum {
    /// The spectrum of a symmetric matrix.
    pub fn of_matrix(matrix: &Array2<f64>, scale: Vec<f64>) -> Result<Self> {
        let p = scale.len();
        let scaled = Array2::from_shape_fn((p, p), |(a, b)| matrix[[a, b]] / (scale[a] * scale[b]));
        let (values, vectors) = symmetric(&scaled)?;
        Ok(Spectrum { scale, values, vectors })
    }

    /// The spectrum of RᵀR from the rows of R, by QR and singular values: forming RᵀR would take half of the digits.
    pub fn of_root(root: &Array2<f64>, scale: Vec<f64>) -> Result<Self> {
        let (count, p) = root.dim();
        let mut columns = Vec::with_capacity(count * p);
        for (column, scale) in root.columns().into_iter().zip(&scale) {
            columns.extend(column.iter().map(|v| v / scale));
        }
        let r = triangle(&mut columns, count, p);
        let (sigma, vectors) = right_singular(&r, p)?;
        let mut vectors = rows(p, vectors);
        vectors.invert_axis(Axis(0));
        Ok(Spectrum { scale, values: sigma.iter().rev().map(|s| s * s).collect(), vectors })
    }

    /// The largest |λ| that counts as 0.
    fn zero(&self) -> f64 {
        ZERO * self.values.iter().fold(0.0, |m: f64, v| m.max(v.abs()))
    }

    /// The numbers of positive, zero and negative eigenvalues.
    pub fn inertia(&self) -> (usize, usize, usize) {
        let zero = self.zero();
        let positive = self.values.iter().filter(|v| **v > zero).count();
        let negative = self.values.iter().filter(|v| **v < -zero).count();
        (positive, self.values.len() - positive - negative, negative)
    }

    /// Whether all eigenvalues are positive, and none is small beside another.
    pub fn is_tame(&self) -> bool {
        self.inertia().0 == self.values.len() && self.condition() <= TAME
    }

    /// max |λ| / min |λ| over the eigenvalues that are not zero.
    pub fn condition(&self) -> f64 {
        let zero = self.zero();
        let sizes = || self.values.iter().map(|v| v.abs()).filter(|v| *v > zero);
        sizes().fold(0.0, f64::max) / sizes().fold(f64::INFINITY, f64::min)
    }

    /// N: an orthonormal basis of the null space in the parameters' own coordinates, a vector in each row.
    pub fn null_space(&self) -> Array2<f64> {
        let zero = self.zero();
        let mut basis: Vec<Array1<f64>> = Vec::new();
        for (value, vector) in self.values.iter().zip(self.vectors.rows()) {
            if value.abs() > zero {
                continue;
            }
            let mut v: Array1<f64> = vector.iter().zip(&self.scale).map(|(v, d)| v / d).collect();
            // Twice is enough.
            for _ in 0..2 {
                for b in &basis {
                    let along = v.dot(b);
                    v.scaled_add(-along, b);
                }
                v /= v.dot(&v).sqrt();
            }
            basis.push(v);
        }
        let mut out = Array2::zeros((basis.len(), self.scale.len()));
        out.rows_mut().into_iter().zip(&basis).for_each(|(mut row, b)| row.assign(b));
        out
    }

    /// A⁺, the Moore–Penrose inverse; A⁻¹ where A is regular.
    pub fn inverse(&self) -> Array2<f64> {
        let zero = self.zero();
        let p = self.scale.len();
        let mut right = self.vectors.clone();
        let mut left = Array2::zeros((p, p));
        for (i, value) in self.values.iter().enumerate() {
            let weight = if value.abs() > zero { 1.0 / value } else { 0.0 };
            let mut row = right.row_mut(i);
            row.iter_mut().zip(&self.scale).for_each(|(v, d)| *v /= d);
            left.row_mut(i).assign(&(&row * weight));
        }
        let inverse = symmetric_product(&left, &right);
        let null = self.null_space();
        if null.nrows() == 0 {
            return inverse;
        }
        // Of all generalised inverses the one whose range is that of A.
        let projector = Array2::eye(p) - null.t().dot(&null);
        symmetrised(product(&product(&projector, &inverse), &projector))
    }

    /// ln det A, if all eigenvalues are positive.
    pub fn log_determinant(&self) -> Option<f64> {
        let (positive, ..) = self.inertia();
        let of_scale = || self.scale.iter().map(|d| 2.0 * d.ln()).sum::<f64>();
        (positive == self.values.len())
            .then(|| self.values.iter().map(|v| v.ln()).sum::<f64>() + of_scale())
    }

    /// gᵀ|A|⁻¹g, zero eigenvalues taken for the largest that counts as zero.
    pub fn decrement(&self, gradient: &[f64]) -> f64 {
        let g: Array1<f64> = gradient.iter().zip(&self.scale).map(|(g, d)| g / d).collect();
        let zero = self.zero().max(f64::MIN_POSITIVE);
        let along = self.vectors.dot(&g);
        along.iter().zip(&self.values).map(|(a, v)| a * a / v.abs().max(zero)).sum()
    }

    /// The direction of the lowest eigenvalue, in the parameters' own coordinates.
    pub fn lowest(&self) -> Vec<f64> {
        self.vectors.row(0).iter().zip(&self.scale).map(|(v, d)| v / d).collect()
    }
}

/// Returns (M + Mᵀ)/2.
pub(super) fn symmetrised(mut matrix: Array2<f64>) -> Array2<f64> {
    for a in 0..matrix.nrows() {
        for b in 0..a {
            let mean = 0.5 * (matrix[[a, b]] + matrix[[b, a]]);
            matrix[[a, b]] = mean;
            matrix[[b, a]] = mean;
        }
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tame_matrices_have_the_inverse_of_their_spectrum_and_others_none() {
        // D (I + 0.3 C) D with units far apart.
        let scale = [1e-3, 1.0, 50.0, 2e4];
        let entry = |a: usize, b: usize| if a == b { 1.0 } else { 0.3 / (1 + a + b) as f64 };
        let matrix = Array2::from_shape_fn((4, 4), |(a, b)| scale[a] * scale[b] * entry(a, b));
        let found = tame_inverse(&matrix, &scale).unwrap();
        let right = Spectrum::of_matrix(&matrix, scale.to_vec()).unwrap().inverse();
        for ((a, b), v) in found.indexed_iter() {
            assert!((v - right[[a, b]]).abs() * scale[a] * scale[b] < 1e-14);
        }
        for bad in [-1.0, 0.0, 1e-8, f64::NAN] {
            let mut matrix = Array2::eye(4);
            matrix[[2, 2]] = bad;
            assert!(tame_inverse(&matrix, &[1.0; 4]).is_none(), "{bad}");
        }
    }
}
