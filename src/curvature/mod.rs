//! Which second derivative, and which of its blocks.
//!
//! The choices are independent: a [`Curvature`] says what the matrix is, a [`Structure`] which blocks of it
//! are formed.

mod matrix;
mod operator;
mod tensor;

pub(crate) use matrix::triangle;
pub use matrix::{Block, Matrix};
pub use operator::LinearOperator;
pub(crate) use tensor::Indices;
pub use tensor::SymmetricTensor;

use crate::error::Result;

/// The kind of a curvature matrix. In all of them the penalty's second derivative is added as far as the structure
/// holds it.
///
/// With S^{kl} = ∂δ^k/∂p^l per sample, δ^k = ∂g/∂p^k, φ = ∂p/∂w and Ψ = ∂²p/∂w² (0 for linear units), the block of
/// unit j of layer k is Σ_i S_i^{kk}\[j,j\] φ_ij φ_ijᵀ + δ_ij Ψ_ij.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Curvature {
    /// The W–W block of the Lagrangian's second derivative at fixed states X and multipliers E (the paper's eq. 10):
    /// S^{kk} = diag(−e^k ⊙ h″(p^k)).
    ///
    /// It is **not** the Hessian of E(W): moving W moves X and E, too. A linear output layer has the block 0 here whatever
    /// the loss, where the Hessian has Σ z zᵀ for squared error.
    Lagrangian,
    /// Gauss–Newton (GGN): S^{kk} = J_kᵀ (∂²g/∂x²) J_k with J_k = ∂x^m/∂p^k; positive semi-definite for convex losses.
    /// Bishop's outer-product form (5.84) for squared error and (5.85) for the losses with a link. No Ψ term.
    GaussNewton,
    /// Σ_i ω_i ∇g_i ∇g_iᵀ, outer products of single losses' gradients: S^{kk} = δ^k δ^kᵀ/ω. Not Gauss–Newton. No Ψ term.
    EmpiricalFisher,
    /// The Hessian of E(W).
    Exact,
    /// `Exact` − `GaussNewton`, what Gauss–Newton and Levenberg–Marquardt neglect (the second term of Bishop's 5.83). It is
    /// computed as such, without the cancellation of a difference: the recursion of the exact S with ∂²g/∂x² = 0. The
    /// penalty, which both have, is not in it.
    Residual,
}

impl Curvature {
    /// All of them.
    pub const ALL: [Curvature; 5] = [
        Curvature::Exact,
        Curvature::GaussNewton,
        Curvature::EmpiricalFisher,
        Curvature::Lagrangian,
        Curvature::Residual,
    ];

    /// Whether it holds derivatives of δ through later layers, which units may lack.
    pub(crate) fn is_exact(self) -> bool {
        matches!(self, Curvature::Exact | Curvature::Residual)
    }

    /// The name used by the program.
    pub fn name(self) -> &'static str {
        match self {
            Curvature::Lagrangian => "lagrangian",
            Curvature::GaussNewton => "gauss-newton",
            Curvature::EmpiricalFisher => "empirical-fisher",
            Curvature::Exact => "exact",
            Curvature::Residual => "residual",
        }
    }

    /// The curvature of that name.
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        crate::error::by_name("curvature", name, &Self::ALL.map(|c| (c.name(), c)))
    }
}

/// Which blocks of the matrix are formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Structure {
    /// One block for each unit, over the parameters of its row (unit-wise): Σ_k s_k d_k² numbers.
    RowBlocks,
    /// One block for each layer, over all its parameters: Σ_k (s_k d_k)² numbers.
    LayerBlocks,
    /// The whole matrix: P² numbers.
    Full,
    /// The diagonal: P numbers.
    Diagonal,
}

impl Structure {
    /// Those that are available.
    pub const ALL: [Structure; 4] =
        [Structure::RowBlocks, Structure::LayerBlocks, Structure::Full, Structure::Diagonal];

    /// The name used by the program.
    pub fn name(self) -> &'static str {
        match self {
            Structure::RowBlocks => "row-blocks",
            Structure::LayerBlocks => "layer-blocks",
            Structure::Full => "full",
            Structure::Diagonal => "diagonal",
        }
    }

    /// The structure of that name.
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        crate::error::by_name("structure", name, &Self::ALL.map(|s| (s.name(), s)))
    }
}
