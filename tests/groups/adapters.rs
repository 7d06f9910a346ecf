//! The shaders on an adapter, and what goes wrong there.
// Each file of tests brings what it uses of tests/common.
#![allow(clippy::duplicate_mod)]
#![cfg(feature = "gpu")]

#[path = "../gpu.rs"]
mod gpu;

#[path = "../gpu_activations.rs"]
mod gpu_activations;

#[path = "../gpu_faults.rs"]
mod gpu_faults;

#[path = "../gpus.rs"]
mod gpus;

#[path = "../gpu_traffic.rs"]
mod gpu_traffic;
