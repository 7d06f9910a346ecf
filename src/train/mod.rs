//! Newton-type training: one loop over the models of the methods, which ends in a report with a reason.
//!
//! | file | holds |
//! |---|---|
//! | `minimize.rs` | the loop: model, propose, judge, accept or reject, leave a saddle, stop |
//! | `trust_region.rs` | [`TrustRegion`]: the quadratic model within a region, with the whole matrix |
//! | `newton_cg.rs`, `preconditioning.rs`, `multiplied.rs` | [`NewtonCg`]: the same by products |
//! | `levenberg_marquardt.rs`, `linearized.rs` | [`LevenbergMarquardt`]: the linear model of residuals |
//! | `lbfgs.rs`, `pooled.rs`, `wolfe.rs` | [`Lbfgs`]: the model from the last steps, its initial matrix where row blocks cost too much, and its line search |
//! | `block_newton.rs` | [`BlockNewton`]: the damped blocks |
//! | `certificate.rs` | [`Certificate`]: what a Newton step would still gain at the end |
//! | `single.rs` | when a device in f32 decides, and when f64 must |
//! | `auto.rs` | [`Auto`]: the choice between these |
//! | `early.rs` | [`EarlyStopping`]: any of these, ended where the error on other rows no longer falls |
//! | `newton.rs` | [`newton`]: Newton's iteration itself, roots, kinds of critical points |

mod auto;
mod block_newton;
mod certificate;
mod checks;
mod early;
mod evaluator;
mod examination;
mod fit;
mod lbfgs;
mod levenberg_marquardt;
mod linearized;
mod method;
mod minimize;
mod multiplied;
pub mod newton;
mod newton_cg;
mod objective;
mod pooled;
mod preconditioning;
mod report;
mod residuals;
mod scales;
mod settings;
mod single;
mod squares;
mod state;
mod trust_region;
mod wolfe;

pub use auto::Auto;
pub use block_newton::BlockNewton;
pub use certificate::Certificate;
pub use early::EarlyStopping;
pub use fit::Fit;
pub use lbfgs::Lbfgs;
pub use levenberg_marquardt::{LeastSquares, LevenbergMarquardt};
pub use method::Method;
pub use newton_cg::NewtonCg;
pub use preconditioning::Preconditioning;
pub use report::{Evaluations, Reason, Refinement, Stage, Times, Validated, Validation};
pub use residuals::{Residuals, residual_function};
pub use settings::Settings;
pub use state::{Control, Observer, Progress, State, silent};
pub use trust_region::TrustRegion;

use crate::solve::largest;

/// A radius within what f64 and the largest allow.
fn in_range(radius: f64, largest: f64) -> f64 {
    radius.clamp(f64::MIN_POSITIVE, largest.clamp(f64::MIN_POSITIVE, f64::MAX))
}

/// ‖v‖₂, without overflow.
fn norm(v: &[f64]) -> f64 {
    let scale = largest(v);
    if scale == 0.0 || !scale.is_finite() {
        return scale;
    }
    scale * v.iter().map(|v| (v / scale).powi(2)).sum::<f64>().sqrt()
}

/// The scaling D whose zeros, of variables that have not mattered yet, are its largest entry, or 1.
fn without_zeros(scaling: &[f64]) -> Vec<f64> {
    let substitute = match largest(scaling) {
        0.0 => 1.0,
        largest => largest,
    };
    (scaling.iter()).map(|&d| if d > 0.0 { d } else { substitute }).collect()
}

/// x + p.
fn moved(x: &[f64], p: &[f64]) -> Vec<f64> {
    x.iter().zip(p).map(|(x, p)| x + p).collect()
}
