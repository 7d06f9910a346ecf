//! Products of a curvature with vectors, without the matrix: the R-operator.
//!
//! The derivative of the gradient along v, carried through the same steps as the gradient itself (Pearlmutter 1994). With
//! ẋ for the derivative of x along v, per sample,
//!
//! ```text
//! forward    ṗ^k = φ·v^k + A^k ż^k,   ẋ^k = h′ ⊙ ṗ^k                          forward.rs
//! seed       ġ^m = (∂²g/∂x²) ẋ^m                                             ġ^k: the derivative of ∂g/∂x^k
//! backward   δ̇^k = h′ ⊙ ġ^k + (∂g/∂x^k ⊙ h″) ⊙ ṗ^k,   ġ^k = Σ_r δ̇^r A^r[:, k] + δ^r Ȧ^r[:, k]          backward.rs
//! product    Σ_i δ̇_j φ_j + δ_j φ̇_j                                           sums.rs
//! ```
//!
//! and φ̇ = ż, Ȧ = V for linear units. The curvatures differ in what they leave out:
//!
//! ```text
//! Exact             nothing
//! Residual          (∂²g/∂x²): the seed is 0
//! GaussNewton       what stands behind a +: h″, Ȧ, φ̇
//! EmpiricalFisher   δ̇^k = δ^k (∂g/∂x^m · ẋ^m) / ω, no φ̇
//! Lagrangian        δ̇^k = (∂g/∂x^k ⊙ h″) ⊙ (φ·v^k), no ż; φ̇ = Ψ v for units that are not linear
//! ```
//!
//! Several vectors share the states; where a layer mixes groups of units, they go one after the other.

mod backward;
mod forward;
mod sums;
mod vectors;

pub(super) use sums::ProductSums;
pub(crate) use sums::ProductTotals;
pub(super) use vectors::{Vectors, together};

use super::chain::{Backward, Chain};
use crate::backend::Backend;
use crate::curvature::Curvature;
use crate::error::Result;

/// Products of a curvature along some vectors at the states of a chunk.
struct Along<'a, 'b, B: Backend> {
    chain: &'a Chain<'b, B>,
    vectors: &'a Vectors<B>,
    curvature: Curvature,
    /// ∂g/∂x^k and δ^k; none for Gauss–Newton.
    backward: Option<&'a Backward<B>>,
}

/// Adds the products of one chunk of samples with each group of vectors; `hessian` is ∂²g/∂x², where the curvature has it.
pub(super) fn add_products<B: Backend>(
    chain: &Chain<B>,
    curvature: Curvature,
    hessian: Option<&B::Array>,
    backward: Option<&Backward<B>>,
    vectors: &[Vectors<B>],
    sums: &mut [ProductSums<B>],
) -> Result<()> {
    for (vectors, sums) in vectors.iter().zip(sums) {
        let along = Along { chain, vectors, curvature, backward };
        let forward = along.forward()?;
        let d = match curvature {
            Curvature::Lagrangian => along.lagrangian(&forward)?,
            Curvature::EmpiricalFisher => along.fisher(&forward)?,
            _ => along.backward(&forward, hessian)?,
        };
        along.add(&d, &forward, sums)?;
        forward.recycle(chain.b);
        chain.b.recycle(d);
    }
    Ok(())
}
