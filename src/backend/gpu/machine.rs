//! What the kernels are launched on: an adapter, or a rehearsal that only counts.
//!
//! The [`Backend`](crate::backend::Backend) of the GPU is written once over [`Machine`]. A rehearsal runs the same code,
//! allocates nothing, and leaves what the plan needs: bytes on the device and on the host, flops, the pipelines, and the
//! refusal of whatever would exceed a limit. So the plan cannot drift from what is done.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Adapter;
use super::context::{Block, Context, Download};
use crate::backend::Cost;
use crate::error::{Error, Fault, Result};

/// What names a pipeline: the shader's stem, the definitions it is expanded with, and how its arrays are bound.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The file in `shaders/` without its extension.
    pub stem: &'static str,
    /// The definitions, `F64` among them where the arrays hold f64.
    pub defines: BTreeMap<&'static str, String>,
    /// For each array, from binding 1 on: whether the kernel writes to it.
    pub writes: Vec<bool>,
    /// The names of the parameters, as the shader's `Params` has them after `first_group`, `groups_x` and `groups`.
    pub params: Vec<&'static str>,
}

/// One run of a kernel.
#[derive(Debug, Clone)]
pub struct Launch {
    pub stem: &'static str,
    pub defines: Vec<(&'static str, String)>,
    pub params: Vec<(&'static str, u32)>,
    /// The number of workgroups.
    pub groups: u64,
    /// What one workgroup computes.
    pub flops_per_group: f64,
}

impl Launch {
    /// One thread for each of `items`, 64 to a workgroup.
    pub fn items(stem: &'static str, items: u64, flops_per_item: f64) -> Self {
        Launch {
            stem,
            defines: Vec::new(),
            params: Vec::new(),
            groups: items.div_ceil(64),
            flops_per_group: 64.0 * flops_per_item,
        }
    }

    pub fn define(mut self, name: &'static str, value: impl ToString) -> Self {
        self.defines.push((name, value.to_string()));
        self
    }

    pub fn params<const N: usize>(mut self, params: [(&'static str, usize); N]) -> Self {
        // Sizes fit: every array is bound whole or in windows, and a binding has less than 2³² elements.
        self.params = params.map(|(name, value)| (name, value as u32)).to_vec();
        self
    }
}

/// An array as a kernel takes it: the bytes from `offset` on.
#[derive(Debug, Clone, Copy)]
pub struct Bind<'a> {
    pub buffer: &'a Buffer,
    pub offset: u64,
    pub bytes: u64,
    pub write: bool,
}

/// Bytes on the device.
#[derive(Debug)]
pub enum Buffer {
    Real(Block),
    Counted { bytes: u64, counter: Rehearsed },
}

impl Buffer {
    pub fn bytes(&self) -> u64 {
        match self {
            Buffer::Real(block) => block.bytes(),
            Buffer::Counted { bytes, .. } => *bytes,
        }
    }

    pub fn read(&self) -> Bind<'_> {
        self.window(0, self.bytes())
    }

    pub fn write(&self) -> Bind<'_> {
        Bind {
            write: true,
            ..self.read()
        }
    }

    pub fn window(&self, offset: u64, bytes: u64) -> Bind<'_> {
        Bind {
            buffer: self,
            offset,
            bytes,
            write: false,
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Buffer::Counted { bytes, counter } = self {
            counter.lock().device_live -= class(*bytes);
        }
    }
}

/// A copy on its way to the host.
#[derive(Debug)]
pub enum Staged {
    Real(Download),
    Counted { bytes: u64, counter: Rehearsed },
}

impl Staged {
    pub fn bytes(&self) -> u64 {
        match self {
            Staged::Real(download) => download.bytes(),
            Staged::Counted { bytes, .. } => *bytes,
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Staged::Counted { bytes, counter } = self {
            counter.lock().cost.live -= *bytes;
        }
    }
}

/// The bytes that are taken for a buffer of that size: sizes are rounded up to sixteenths of a power of two, so that a
/// buffer that is given back serves the next request of about its size.
pub fn class(bytes: u64) -> u64 {
    let step = (bytes.max(1).ilog2()).saturating_sub(4);
    bytes.max(1).next_multiple_of((1 << step).max(256))
}

/// What a rehearsal has counted.
#[derive(Debug, Default)]
pub struct Counts {
    /// Bytes of the host, and flops.
    pub cost: Cost,
    /// Bytes of the device that live now.
    pub device_live: u64,
    /// The most bytes of the device that lived at once.
    pub device_peak: u64,
    /// The pipelines that were used.
    pub keys: Vec<Key>,
}

/// A rehearsal's counts, shared with the buffers that it hands out.
#[derive(Debug, Clone, Default)]
pub struct Rehearsed(Arc<Mutex<Counts>>);

impl Rehearsed {
    pub fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of the host, and flops.
    pub fn cost(&self) -> Cost {
        self.lock().cost
    }

    /// The most bytes of the device that lived at once.
    pub fn device_peak(&self) -> u64 {
        self.lock().device_peak
    }

    /// Counts bytes of the host that live until they are counted off.
    pub fn host(&self, bytes: u64) {
        let cost = &mut self.lock().cost;
        cost.live = cost.live.saturating_add(bytes);
        cost.peak = cost.peak.max(cost.live);
    }
}

/// What a device allows.
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
    /// What the offset of a binding must be a multiple of, in bytes.
    pub alignment: u32,
}

#[derive(Debug, Clone)]
pub enum Machine {
    Real(Arc<Context>),
    Rehearsal {
        adapter: Arc<Adapter>,
        counter: Rehearsed,
    },
}

impl Machine {
    fn adapter(&self) -> &Adapter {
        match self {
            Machine::Real(context) => context.adapter(),
            Machine::Rehearsal { adapter, .. } => adapter,
        }
    }

    fn refuse(&self, operation: &str, limit: &'static str, need: u64, have: u64) -> Error {
        let fault = Fault::Limit { limit, need, have };
        Error::gpu(&self.adapter().name, operation, fault)
    }

    pub fn limits(&self) -> Limits {
        self.adapter().limits
    }

    /// A buffer with any contents.
    pub fn buffer(&self, bytes: u64, operation: &str) -> Result<Buffer> {
        let have = self.limits().buffer;
        if class(bytes) > have {
            return Err(self.refuse(
                operation,
                "the size of a buffer in bytes",
                class(bytes),
                have,
            ));
        }
        match self {
            Machine::Real(context) => Ok(Buffer::Real(context.buffer(bytes, operation)?)),
            Machine::Rehearsal { counter, .. } => {
                let mut counts = counter.lock();
                counts.device_live += class(bytes);
                counts.device_peak = counts.device_peak.max(counts.device_live);
                drop(counts);
                let counter = counter.clone();
                Ok(Buffer::Counted { bytes, counter })
            }
        }
    }

    pub fn upload(&self, bytes: &[u8], operation: &str) -> Result<Buffer> {
        let buffer = self.buffer(bytes.len() as u64, operation)?;
        if let (Machine::Real(context), Buffer::Real(block)) = (self, &buffer) {
            context.write(block, bytes, operation)?;
        }
        Ok(buffer)
    }

    /// Fills with zeros.
    pub fn clear(&self, buffer: &Buffer) -> Result<()> {
        match (self, buffer) {
            (Machine::Real(context), Buffer::Real(block)) => context.clear(block),
            _ => Ok(()),
        }
    }

    pub fn launch(&self, launch: &Launch, f64: bool, binds: &[Bind]) -> Result<()> {
        let have = self.limits().binding;
        for bind in binds {
            if bind.bytes > have {
                let limit = "what a kernel can see of one array, in bytes,";
                return Err(self.refuse(launch.stem, limit, bind.bytes, have));
            }
        }
        let mut defines: BTreeMap<_, _> = launch.defines.iter().cloned().collect();
        if f64 {
            defines.insert("F64", "1".into());
        }
        let key = Key {
            stem: launch.stem,
            defines,
            writes: binds.iter().map(|b| b.write).collect(),
            params: launch.params.iter().map(|p| p.0).collect(),
        };
        match self {
            Machine::Real(context) => context.launch(&key, launch, binds),
            Machine::Rehearsal { counter, .. } => {
                let mut counts = counter.lock();
                counts.cost.flops += launch.flops_per_group * launch.groups as f64;
                if !counts.keys.contains(&key) {
                    counts.keys.push(key);
                }
                Ok(())
            }
        }
    }

    /// Records a copy to the host of the buffer's first bytes.
    pub fn stage(&self, buffer: &Buffer, bytes: u64, operation: &str) -> Result<Staged> {
        match (self, buffer) {
            (Machine::Real(context), Buffer::Real(block)) => {
                Ok(Staged::Real(context.stage(block, bytes, operation)?))
            }
            (Machine::Rehearsal { counter, .. }, _) => {
                counter.host(bytes);
                let counter = counter.clone();
                Ok(Staged::Counted { bytes, counter })
            }
            _ => {
                let reason = "an array of a rehearsal".into();
                Err(Error::gpu(
                    &self.adapter().name,
                    operation,
                    Fault::Refused { reason },
                ))
            }
        }
    }

    /// Waits for all that was recorded, and hands out the bytes of a copy. A rehearsal has none.
    pub fn fetch(
        &self,
        staged: &Staged,
        operation: &str,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        match (self, staged) {
            (Machine::Real(context), Staged::Real(download)) => {
                context.fetch(download, operation, take)
            }
            _ => Ok(()),
        }
    }
}
