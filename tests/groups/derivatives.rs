//! Derivatives: values, gradients, curvatures and tensors against references that share no code with the crate.
// Each file of tests brings what it uses of tests/common.
#![allow(clippy::duplicate_mod)]

#[path = "../activations.rs"]
mod activations;

#[path = "../check.rs"]
mod check;

#[path = "../custom_activation.rs"]
mod custom_activation;

#[path = "../derivatives.rs"]
mod derivatives;

#[path = "../formula.rs"]
mod formula;

#[path = "../lagrangian.rs"]
mod lagrangian;

#[path = "../matrix.rs"]
mod matrix;

#[path = "../orders.rs"]
mod orders;

#[path = "../series.rs"]
mod series;

#[path = "../spectrum.rs"]
mod spectrum;

#[path = "../truncated.rs"]
mod truncated;

#[path = "../verify.rs"]
mod verify;
