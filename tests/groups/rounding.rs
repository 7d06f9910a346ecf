//! Rounding: f32 against f64, component by component, kernel by kernel, and planted faults that must be found.

#[path = "../mirror.rs"]
mod mirror;

#[path = "../oracle.rs"]
mod oracle;

#[path = "../precision.rs"]
mod precision;
