//! Training: every method, on functions, residuals and networks, sessions, and the states and models that it leaves.
// Each file of tests brings what it uses of tests/common.
#![allow(clippy::duplicate_mod)]

#[path = "../columns.rs"]
mod columns;

#[path = "../convergence.rs"]
mod convergence;

#[path = "../early_stopping.rs"]
mod early_stopping;

#[path = "../fits.rs"]
mod fits;

#[path = "../instances.rs"]
mod instances;

#[path = "../levenberg_marquardt.rs"]
mod levenberg_marquardt;

#[path = "../model.rs"]
mod model;

#[path = "../newton.rs"]
mod newton;

#[path = "../nist.rs"]
mod nist;

#[path = "../nist_networks.rs"]
mod nist_networks;

#[path = "../onnx.rs"]
mod onnx;

#[path = "../session.rs"]
mod session;

#[path = "../single.rs"]
mod single;

#[path = "../sources.rs"]
mod sources;

#[path = "../solvers.rs"]
mod solvers;

#[path = "../team.rs"]
mod team;

#[path = "../text_rows.rs"]
mod text_rows;

#[path = "../trust_region.rs"]
mod trust_region;
