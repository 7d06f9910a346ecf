//! The objective E(W) = Σ_i ω_i g(x_i^m, y_i) + pen(W).

mod ahead;
mod data;
mod loss;
mod penalty;
mod samples;
mod source;

pub(crate) use ahead::Ahead;
pub use data::Data;
#[cfg(any(feature = "gpu", feature = "io"))]
pub(crate) use loss::Parameter;
#[cfg(feature = "io")]
pub(crate) use loss::ParameterSource;
pub use loss::{Loss, LossFunction, LossKind};
pub use penalty::{Penalty, PenaltyFunction};
pub(crate) use samples::Rows;
pub use samples::{Samples, Walk, Window};
pub(crate) use source::{Source, Stream, digest, targets, with_rows};

/// Whether the losses of the samples are summed or averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// Σ_i ω_i g_i + pen.
    #[default]
    Sum,
    /// (Σ_i ω_i g_i)/(Σ_i ω_i) + pen; the penalty is not divided.
    Mean,
}
