//! The program `secondo` as a function, and its report of a fit as a type that reads the JSON back.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(feature = "gpu")]
mod adapters;
mod arrays;
mod checking;
mod cli;
mod computing;
mod convert;
mod derivatives;
mod deviance;
mod exit;
mod files;
mod fit;
mod given;
mod inference;
mod manual;
mod metrics;
mod objective;
mod output;
mod plot;
mod predict;
mod ranks;
mod replot;
mod show;
mod signals;
mod table;
mod training;

pub use cli::main;
pub use fit::{Report, Subject};
