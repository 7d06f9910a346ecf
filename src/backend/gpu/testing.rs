//! Hooks for the crate's own tests of an adapter: limits, faults and kernels that it would not meet by itself. Not for use.

use super::adapter::{Limits, Options, find};
use super::context::Patch;
use super::machine::Machine;
use super::{Gpu, Result};

pub use super::health::Simulated;

/// How an opened adapter differs from what it is.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Limits to keep to, each at most the adapter's.
    pub limits: Option<Limits>,
    /// A kernel's stem, and a text in its shader with another to stand in its place: a fault.
    pub patch: Option<Patch>,
}

/// [`Gpu::open`] with such differences.
///
/// # Errors
/// Those of [`Gpu::open`].
pub fn open(name: Option<&str>, options: Options, setup: Setup) -> Result<Gpu> {
    let (raw, mut adapter) = find(name)?;
    if let Some(limits) = setup.limits {
        adapter.limits = limits;
    }
    Gpu::start(&raw, adapter, options, setup.patch)
}

/// The same adapter with the variants of the kernels that hardware gets.
pub fn with_kernels_for_hardware(gpu: Gpu) -> Gpu {
    Gpu { hardware_kernels: true, ..gpu }
}

/// The next call of the fault's kind meets it after `calls` that do not.
pub fn simulate(gpu: &Gpu, fault: Simulated, calls: usize) {
    if let Machine::Real(context) = &gpu.machine {
        context.health().simulate(fault, calls);
    }
}

/// The most bytes that were held on the device at once.
pub fn peak(gpu: &Gpu) -> u64 {
    match &gpu.machine {
        Machine::Real(context) => context.peak(),
        Machine::Rehearsal { rehearsed, .. } => rehearsed.device.cost().peak,
    }
}
