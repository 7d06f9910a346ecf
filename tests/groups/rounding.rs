//! Rounding: f32 against f64, component by component, kernel by kernel, and planted faults that must be found.
// Each file of tests brings what it uses of tests/common.
#![allow(clippy::duplicate_mod)]

#[path = "../mirror.rs"]
mod mirror;

#[path = "../oracle.rs"]
mod oracle;

#[path = "../precision.rs"]
mod precision;
