//! The preconditioners of Newton–CG, which are also the initial matrices of L-BFGS.

use crate::curvature::{Curvature, Structure};
use crate::error::Result;
use crate::evaluate::Request;
use crate::problem::Problem;

/// The preconditioner: it stands in for the matrix inside conjugate gradients, and its norm is that of the region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Preconditioning {
    /// R² alone, the mean squares of the inputs that the weights multiply: the identity where these are standardised.
    None,
    /// D² with D_a the largest root of the Gauss–Newton diagonal so far.
    Diagonal,
    /// The Gauss–Newton row blocks with a small multiple of the identity, of which L-BFGS has one for a whole layer where they cost too much; see [`Preconditioner::blocks`](crate::solve::Preconditioner::blocks).
    #[default]
    RowBlocks,
}

impl Preconditioning {
    /// All of them.
    pub const ALL: [Preconditioning; 3] =
        [Preconditioning::None, Preconditioning::Diagonal, Preconditioning::RowBlocks];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Preconditioning::None => "none",
            Preconditioning::Diagonal => "diagonal",
            Preconditioning::RowBlocks => "row-blocks",
        }
    }

    /// The preconditioner with this name; [`Error::Unknown`](crate::Error::Unknown) lists the names.
    pub fn from_name(name: &str) -> Result<Self> {
        crate::named("preconditioner", name, &Self::ALL.map(|p| (p.name(), p)))
    }

    /// The preconditioner, or as much of it as there is in θ under W = fixed + Cθ without more than row blocks in W.
    pub(super) fn available(self, problem: &Problem) -> Self {
        let Some(constraint) = problem.ties() else {
            return self;
        };
        let network = problem.network();
        let own_rows = || problem.block_orders(Structure::RowBlocks).is_ok();
        match (self, constraint.of_diagonal(network)) {
            (Preconditioning::RowBlocks, _) if own_rows() => Preconditioning::RowBlocks,
            (Preconditioning::None, _) => Preconditioning::None,
            (_, Structure::Diagonal | Structure::RowBlocks) => Preconditioning::Diagonal,
            _ => Preconditioning::None,
        }
    }

    pub(super) fn request(self) -> Option<(Curvature, Structure)> {
        let structure = match self {
            Preconditioning::None => return None,
            Preconditioning::Diagonal => Structure::Diagonal,
            Preconditioning::RowBlocks => Structure::RowBlocks,
        };
        Some((Curvature::GaussNewton, structure))
    }
}

/// The cost of the exact Hessian with its factorization, in multiplications and additions of all threads together; none where there
/// is none, or no room for it.
pub(super) fn whole_cost(problem: &Problem) -> Option<f64> {
    let p = problem.parameters() as f64;
    problem.network().check_exact().ok()?;
    let plan = problem.plan(Request::curvature(Curvature::Exact, Structure::Full)).ok()?;
    let fits = plan.bytes().saturating_add((40.0 * p * p) as u64) <= problem.budget();
    // One thread factorizes.
    let factor = p.powi(3) / 3.0 * rayon::current_num_threads() as f64;
    fits.then_some(plan.flops + factor)
}
