//! The shaders on an adapter, and what goes wrong there.
#![cfg(feature = "gpu")]

#[path = "../gpu.rs"]
mod gpu;

#[path = "../gpu_activations.rs"]
mod gpu_activations;

#[path = "../gpu_faults.rs"]
mod gpu_faults;
