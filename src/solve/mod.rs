//! Factorizations of small symmetric matrices on the host, in f64, with a policy for indefinite ones.
//!
//! A symmetric matrix B of order d is its lower triangle, packed by rows:
//!
//! ```text
//! B_ab,  a ≥ b,  stands at  a(a+1)/2 + b        a slice of d(d+1)/2 numbers
//! ```
//!
//! | item | computes | cost |
//! |---|---|---|
//! | [`Cholesky`] | B = LLᵀ; solve, log-determinant, inverse | d³/3 |
//! | [`eigenvalues`] | λ₁ ≤ … ≤ λ_d | 4d³/3 |
//! | [`Factor`] | x = (B̃ + μI)⁻¹b, B̃ positive definite by an [`Indefinite`] policy | by policy |
//! | [`Batch`] | p_j = −(B̃_j + μI)⁻¹g_j for many blocks, over the cores | the sum |
//! | [`trust_region`] | min gᵀp + ½pᵀBp, ‖Dp‖ ≤ Δ | a few d³/3 |
//! | [`conjugate_gradients`] | the same, roughly, from products Bv, ‖p‖_M ≤ Δ | a product each |
//! | [`spectral_density`] | a density of the eigenvalues, from products Bv | a product each step |
//!
//! One matrix is factorized by one thread and sums run in a fixed order, so that no result depends
//! on the number of threads. Matrices are scaled by a power of two before they are factorized:
//! entries near the ends of the range of f64 are as good as entries near 1. Order 0 has the empty
//! solution. Nothing here knows a network.

mod batch;
mod cholesky;
mod conjugate;
mod eigen;
mod factor;
mod lanczos;
mod ldlt;
mod lu;
mod packed;
mod singular;
#[cfg(test)]
mod tests;
mod triangle;
mod trust_region;

pub use batch::{Batch, Steps};
pub use cholesky::Cholesky;
pub use conjugate::{ConjugateStep, Preconditioner, SharedBlocks, conjugate_gradients};
pub use eigen::eigenvalues;
pub use factor::{Factor, Indefinite, Modification};
pub use lanczos::{SpectralDensity, spectral_density};
pub use trust_region::{TrustRegionStep, trust_region};

pub(crate) use batch::Decompositions;
pub(crate) use eigen::eigen;
pub(crate) use lu::lu_solve;
pub(crate) use packed::{
    add_multiple, check as check_packed, dot, finite, largest, quadratic_form,
};
pub(crate) use singular::right_singular;
pub(crate) use triangle::{back_substitute, factorized, triangle};

use faer::dyn_stack::{MemBuffer, MemStack, StackReq};

use crate::error::Result;
use crate::memory::{ask_for, refused, require_large, zeros};
use crate::scratch;

/// Unit roundoff, 2⁻⁵³.
pub(crate) const U: f64 = f64::EPSILON / 2.0;

/// Memory that is kept from one matrix to the next: thousands of small ones must not each allocate.
pub(crate) struct Workspace {
    /// At least d×d numbers, column-major; the strict upper triangle is never read.
    matrix: Vec<f64>,
    /// At least d numbers.
    vector: Vec<f64>,
    stack: MemBuffer,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        Workspace { matrix: Vec::new(), vector: Vec::new(), stack: MemBuffer::new(StackReq::EMPTY) }
    }

    /// Makes room for order `d`.
    ///
    /// # Errors
    /// `Memory` where there is no room for that and for what the factorization takes besides.
    fn reserve(&mut self, d: usize) -> Result<()> {
        if self.matrix.len() < d * d {
            let what = format!("a factorization of order {d}");
            // This matrix, the eigenvectors, and what they are made of.
            ask_for::<f64>(&what, (4 * d).saturating_mul(d))?;
            scratch::of_this_thread()?;
            self.matrix = zeros(&what, d * d)?;
        }
        if self.vector.len() < d {
            self.vector.resize(d, 0.0);
        }
        Ok(())
    }
}

/// A stack that has at least the memory of `need`.
///
/// # Errors
/// `Memory` where there is no room: other threads may have taken what there was when this one asked for all at once.
fn stack(buffer: &mut MemBuffer, need: StackReq) -> Result<&mut MemStack> {
    let bytes = need.unaligned_bytes_required();
    if buffer.len() < bytes {
        require_large("a factorization", bytes as u64, "ask for less")?;
        // So many, wherever they begin: the next need is compared with that.
        *buffer = MemBuffer::try_new(StackReq::new::<u8>(bytes))
            .map_err(|_| refused("a factorization", bytes as u64))?;
    }
    Ok(MemStack::new(buffer))
}
