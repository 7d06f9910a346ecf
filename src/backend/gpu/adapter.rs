//! Adapters: those of this machine, what they allow, and how one is used.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use super::cache::default_folder;
use crate::error::{Error, Fault, Result};

/// The features that f64 takes: its bits are read as 64-bit integers.
pub(super) const DOUBLE: wgpu::Features =
    wgpu::Features::SHADER_F64.union(wgpu::Features::SHADER_INT64);

/// The limits of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one buffer.
    pub buffer: u64,
    /// Bytes that a kernel can see of one buffer.
    pub binding: u64,
    /// Workgroups in one dimension of a dispatch.
    pub groups: u32,
    /// Bytes that a workgroup shares.
    pub shared: u32,
    /// Threads of a workgroup.
    pub threads: u32,
    /// The alignment of the offset of a binding, in bytes.
    pub alignment: u32,
}

/// An adapter that this machine has.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// The name that the driver gives it.
    pub name: String,
    /// `vulkan`, `metal` or `dx12`.
    pub interface: String,
    /// `discrete`, `integrated`, `virtual`, `other` or `software`.
    pub kind: &'static str,
    /// The driver with its version.
    pub driver: String,
    /// Whether the processor does its work: its times are no GPU times.
    pub software: bool,
    /// Whether it computes in f64.
    pub f64: bool,
    /// Whether software computes eight threads at a time, which can read each other's numbers.
    pub(super) eight_lanes: bool,
    /// Its limits.
    pub limits: Limits,
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.name, self.interface, self.kind)
    }
}

/// How an adapter is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Bytes that may be taken on the device. Default 2 GiB: no interface tells how much there is.
    pub memory: u64,
    /// How long the host waits for the device before it gives up. Default 60 s.
    pub timeout: Duration,
    /// The folder where the driver's built pipelines are kept for the next start, some megabytes for each adapter; `None`
    /// keeps nothing. Default: `secondo` in the user's folder for caches, unless the environment says
    /// `SECONDO_PIPELINE_CACHE=off`.
    pub pipeline_cache: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            memory: 2 << 30,
            timeout: Duration::from_secs(60),
            pipeline_cache: default_folder(),
        }
    }
}

/// Returns the adapters of this machine, hardware first: discrete, integrated, virtual, other, software.
pub fn adapters() -> Vec<Adapter> {
    all().into_iter().map(|(_, adapter)| adapter).collect()
}

fn all() -> Vec<(wgpu::Adapter, Adapter)> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    descriptor.flags = wgpu::InstanceFlags::empty();
    let backends = descriptor.backends;
    // A driver that cannot be loaded is no reason to fail: then there is no adapter.
    let found = catch_unwind(AssertUnwindSafe(|| {
        pollster::block_on(wgpu::Instance::new(descriptor).enumerate_adapters(backends))
    }));
    let mut all: Vec<_> = (found.unwrap_or_default().into_iter())
        .map(|raw| (rank(raw.get_info().device_type), raw))
        .collect();
    all.sort_by_key(|((rank, _), _)| *rank);
    all.into_iter()
        .map(|((_, kind), raw)| {
            let adapter = described(&raw, kind);
            (raw, adapter)
        })
        .collect()
}

/// The place of a kind of adapter in their order, and its name.
fn rank(kind: wgpu::DeviceType) -> (usize, &'static str) {
    match kind {
        wgpu::DeviceType::DiscreteGpu => (0, "discrete"),
        wgpu::DeviceType::IntegratedGpu => (1, "integrated"),
        wgpu::DeviceType::VirtualGpu => (2, "virtual"),
        wgpu::DeviceType::Other => (3, "other"),
        wgpu::DeviceType::Cpu => (4, "software"),
    }
}

fn described(raw: &wgpu::Adapter, kind: &'static str) -> Adapter {
    let (info, limits) = (raw.get_info(), raw.limits());
    let software = info.device_type == wgpu::DeviceType::Cpu;
    Adapter {
        eight_lanes: software
            && raw.features().contains(wgpu::Features::SUBGROUP)
            && (info.subgroup_min_size, info.subgroup_max_size) == (8, 8),
        name: info.name,
        interface: format!("{:?}", info.backend).to_lowercase(),
        kind,
        driver: format!("{} {}", info.driver, info.driver_info).trim().into(),
        software,
        f64: raw.features().contains(DOUBLE),
        limits: Limits {
            buffer: limits.max_buffer_size,
            // Kernels index with 32 bits.
            binding: limits.max_storage_buffer_binding_size.min(u32::MAX.into()) / 16 * 16,
            groups: limits.max_compute_workgroups_per_dimension,
            shared: limits.max_compute_workgroup_storage_size,
            threads: limits.max_compute_invocations_per_workgroup,
            alignment: limits.min_storage_buffer_offset_alignment,
        },
    }
}

/// Returns the first hardware adapter, or the one of a name or a number; see [`Gpu::open`](super::Gpu::open).
///
/// # Errors
/// No such adapter.
pub(super) fn find(name: Option<&str>) -> Result<(wgpu::Adapter, Adapter)> {
    let all = all();
    let wanted = |index: usize, adapter: &Adapter| match name {
        None => !adapter.software,
        Some(name) => match name.parse::<usize>() {
            // "4090" is a name.
            Ok(number) if name.len() <= 2 => number == index,
            _ => adapter.name.to_lowercase().contains(&name.to_lowercase()),
        },
    };
    let position = (all.iter().enumerate()).position(|(i, (_, a))| wanted(i, a));
    if let Some(found) = position.and_then(|at| all.get(at)) {
        return Ok(found.clone());
    }
    let known = (all.iter().enumerate()).map(|(i, (_, a))| format!("{i}: {a}")).collect();
    let (asked, operation) = match name {
        None => ("gpu".to_string(), "looking for a hardware adapter"),
        Some(name) => (format!("gpu:{name}"), "looking for that adapter"),
    };
    Err(Error::gpu(asked, operation, Fault::NoAdapter { known }))
}
