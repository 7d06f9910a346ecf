//! The spectrum of a symmetric matrix that is known by its products alone.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::{U, dot, eigen, packed};
use crate::error::{Error, Result};

/// A quadrature for traces of functions of a symmetric matrix B: a density of its eigenvalues.
///
/// ```text
/// tr f(B) ≈ Σ_k weights_k f(nodes_k)
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SpectralDensity {
    /// The nodes, ascending: the outer ones approach the outer eigenvalues from within.
    pub nodes: Vec<f64>,
    /// The number of eigenvalues that each node stands for; their sum is the order of B.
    pub weights: Vec<f64>,
}

/// Returns the density of the eigenvalues of a symmetric matrix B of order d, by stochastic Lanczos quadrature.
///
/// For each of `probes` vectors v with random entries ±1, `steps` steps of Lanczos with full reorthogonalisation give a tridiagonal T,
///
/// ```text
/// vᵀ f(B) v ≈ d Σ_k τ_k² f(θ_k),   T y_k = θ_k y_k,   τ_k the first entry of y_k
/// ```
///
/// exactly for polynomials f up to the degree 2·steps − 1. The nodes of all probes are taken together, the weights d τ_k²/probes. The mean
/// over random v is tr f(B); its variance for one v is 2 Σ_{a≠b} f(B)_ab². A Krylov space that is exhausted ends earlier, and the nodes are
/// eigenvalues then. `product` is v ↦ Bv; it is called probes · steps times. The same seed gives the same bits.
///
/// # Errors
/// [`Error::Invalid`] without a step or a probe, [`Error::Shape`] and [`Error::NonFinite`] for a product of another length or one that is
/// not finite, and the errors of `product`.
///
/// Source: Golub and Meurant, *Matrices, Moments and Quadrature*, 2010, ch. 6; Ubaru, Chen and Saad, *SIAM J. Matrix Anal. Appl.* 38, 2017.
///
/// ```
/// // diag(1, 2, 3, 4): four steps find all eigenvalues, each once.
/// let product = |v: &[f64]| Ok((1..=4).zip(v).map(|(l, v)| f64::from(l) * v).collect());
/// let density = secondo::solve::spectral_density(4, 4, 1, 0, product)?;
/// for (k, (node, weight)) in (1..).zip(density.nodes.iter().zip(&density.weights)) {
///     assert!((node - f64::from(k)).abs() < 1e-12 && (weight - 1.0).abs() < 1e-12);
/// }
/// # Ok::<(), secondo::Error>(())
/// ```
pub fn spectral_density(
    order: usize,
    steps: usize,
    probes: usize,
    seed: u64,
    mut product: impl FnMut(&[f64]) -> Result<Vec<f64>>,
) -> Result<SpectralDensity> {
    if steps == 0 || probes == 0 {
        return Err(Error::invalid("spectral density", "it needs a step and a probe at least"));
    }
    let mut random = Pcg64::seed_from_u64(seed);
    let mut all = Vec::new();
    for _ in 0..if order == 0 { 0 } else { probes } {
        let size = (order as f64).sqrt().recip();
        let mut sign = || if random.random::<bool>() { size } else { -size };
        let start = (0..order).map(|_| sign()).collect();
        let (diagonal, beside) = tridiagonal(start, steps.min(order), &mut product)?;
        let m = diagonal.len();
        let mut lower = vec![0.0; m * (m + 1) / 2];
        for a in 0..m {
            lower[a * (a + 1) / 2 + a] = diagonal[a];
            if a > 0 {
                lower[a * (a + 1) / 2 + a - 1] = beside[a - 1];
            }
        }
        let (values, vectors) = eigen(&lower, m)?;
        let share = order as f64 / probes as f64;
        let weights = vectors.chunks_exact(m).map(|y| share * y[0] * y[0]);
        all.extend(values.into_iter().zip(weights));
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (nodes, weights) = all.into_iter().unzip();
    Ok(SpectralDensity { nodes, weights })
}

/// The diagonal of T and what stands beside it: T = QᵀBQ, the first column of Q the unit vector `start`.
fn tridiagonal(
    start: Vec<f64>,
    steps: usize,
    product: &mut impl FnMut(&[f64]) -> Result<Vec<f64>>,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let order = start.len();
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    let mut basis = vec![start];
    for step in 0..steps {
        let q = &basis[step];
        let mut next = product(q)?;
        if next.len() != order {
            return Err(Error::shape("product", &[order], &[next.len()]));
        }
        packed::finite("the product", &next)?;
        let scale = dot(&next, &next).sqrt();
        diagonal.push(dot(q, &next));
        // Twice is enough for orthogonality to rounding.
        for _ in 0..2 {
            for q in &basis {
                let along = dot(q, &next);
                next.iter_mut().zip(q).for_each(|(x, q)| *x -= along * q);
            }
        }
        let size = dot(&next, &next).sqrt();
        if step + 1 == steps || size <= 4.0 * order as f64 * U * scale || size == 0.0 {
            break;
        }
        beside.push(size);
        next.iter_mut().for_each(|x| *x /= size);
        basis.push(next);
    }
    Ok((diagonal, beside))
}
