//! The machine that shaders are launched on: an adapter, or a rehearsal that only rehearsed.
//!
//! The [`Backend`](crate::backend::Backend) of the GPU is written once over [`Machine`]. A rehearsal runs the same code,
//! allocates nothing, and leaves what the plan needs: bytes on the device and on the host, flops, the pipelines, and the
//! refusal of whatever would exceed a limit. So the plan cannot drift from what is done.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::adapter::{Adapter, Limits};
use super::context::{Block, Context, Download};

use super::launch::{Key, Launch, Number, class};
use crate::backend::Counter;
use crate::backend::counter::Held;
use crate::error::{Error, Fault, Result};
use crate::sync::lock;

/// An array as a kernel takes it: the bytes from `offset` on, and a view of them.
#[derive(Debug, Clone, Copy)]
pub struct Bind<'a> {
    pub name: &'static str,
    pub buffer: &'a Buffer,
    pub offset: u64,
    pub bytes: u64,
    pub write: bool,
    /// The place of the view's first number behind `offset`, and the strides along i, r and c.
    pub view: [u64; 4],
}

/// Bytes on the device.
#[derive(Debug)]
pub enum Buffer {
    Real(Block),
    Counted { _held: Held },
}

/// A copy on its way to the host.
#[derive(Debug)]
pub enum Staged {
    Real(Download),
    Counted { bytes: u64, _held: Held },
}

impl Staged {
    pub fn bytes(&self) -> u64 {
        match self {
            Staged::Real(download) => download.bytes(),
            Staged::Counted { bytes, .. } => *bytes,
        }
    }
}

/// The counts of a rehearsal, shared with the buffers that it hands out.
#[derive(Debug, Clone, Default)]
pub struct Rehearsed {
    /// Bytes of the host, and flops.
    pub host: Counter,
    /// Bytes of the device.
    pub device: Counter,
    keys: Arc<Mutex<BTreeSet<Key>>>,
}

impl Rehearsed {
    /// Returns the pipelines that were used.
    pub fn keys(&self) -> BTreeSet<Key> {
        lock(&self.keys).clone()
    }
}

#[derive(Debug, Clone)]
pub enum Machine {
    Real(Arc<Context>),
    Rehearsal { adapter: Arc<Adapter>, rehearsed: Rehearsed },
}

impl Machine {
    fn adapter(&self) -> &Adapter {
        match self {
            Machine::Real(context) => context.adapter(),
            Machine::Rehearsal { adapter, .. } => adapter,
        }
    }

    fn error(&self, operation: &str, fault: Fault) -> Error {
        Error::gpu(&self.adapter().name, operation, fault)
    }

    fn refuse(&self, operation: &str, limit: &'static str, need: u64, have: u64) -> Error {
        self.error(operation, Fault::Limit { limit, need, have })
    }

    fn rehearsed(&self, operation: &str) -> Error {
        let reason = "an array of a rehearsal".into();
        self.error(operation, Fault::Refused { reason })
    }

    pub fn limits(&self) -> Limits {
        self.adapter().limits
    }

    /// A buffer with any contents.
    pub fn buffer(&self, bytes: u64, operation: &str) -> Result<Buffer> {
        let (need, have) = (class(bytes), self.limits().buffer);
        if need > have {
            return Err(self.refuse(operation, "the size of a buffer in bytes", need, have));
        }
        match self {
            Machine::Real(context) => Ok(Buffer::Real(context.buffer(bytes, operation)?)),
            Machine::Rehearsal { rehearsed, .. } => {
                Ok(Buffer::Counted { _held: rehearsed.device.hold(need) })
            }
        }
    }

    /// Overwrites the buffer's first bytes.
    pub fn write(&self, buffer: &Buffer, bytes: &[u8], operation: &str) -> Result<()> {
        match (self, buffer) {
            (Machine::Real(context), Buffer::Real(block)) => context.write(block, bytes, operation),
            _ => Ok(()),
        }
    }

    /// Fills with zeros.
    pub fn clear(&self, buffer: &Buffer) -> Result<()> {
        match (self, buffer) {
            (Machine::Real(context), Buffer::Real(block)) => context.clear(block),
            _ => Ok(()),
        }
    }

    pub fn launch(&self, launch: &Launch, number: Number, binds: &[Bind]) -> Result<()> {
        let have = self.limits().binding;
        for bind in binds {
            if bind.bytes > have {
                let limit = "what a kernel can see of one array, in bytes,";
                return Err(self.refuse(launch.stem, limit, bind.bytes, have));
            }
        }
        if launch.groups == 0 {
            return Ok(());
        }
        let words = self.words(launch, binds)?;
        let key = Key {
            stem: launch.stem,
            number,
            threads: launch.threads,
            defines: launch.defines.iter().cloned().collect(),
            params: launch.params.iter().map(|p| p.0).collect(),
            arrays: binds.iter().map(|b| (b.name, b.write)).collect(),
        };
        match self {
            Machine::Real(context) => {
                let arrays = binds.iter().map(|bind| match bind.buffer {
                    Buffer::Real(block) => Ok((block, bind.offset, bind.bytes)),
                    Buffer::Counted { .. } => Err(self.rehearsed(launch.stem)),
                });
                let arrays = arrays.collect::<Result<Vec<_>>>()?;
                let work = (launch.groups, launch.flops_per_group);
                context.launch(&key, work, &words, &arrays)
            }
            Machine::Rehearsal { rehearsed, .. } => {
                lock(&rehearsed.keys).insert(key);
                Ok(())
            }
        }
    }

    /// The parameters and the views. All numbers and those of the threads must be of 32 bits.
    fn words(&self, launch: &Launch, binds: &[Bind]) -> Result<Vec<u32>> {
        let small = |value: u64| {
            u32::try_from(value).map_err(|_| {
                let reason = format!("{value} does not fit 32 bits");
                self.error(launch.stem, Fault::TooLarge { reason })
            })
        };
        small((launch.groups).saturating_mul(launch.threads.size().into()))?;
        let params = launch.params.iter().map(|p| p.1);
        let views = binds.iter().flat_map(|bind| bind.view);
        params.chain(views).map(small).collect()
    }

    /// Records a copy to the host of the buffer's first bytes.
    pub fn stage(&self, buffer: &Buffer, bytes: u64, operation: &str) -> Result<Staged> {
        match (self, buffer) {
            (Machine::Real(context), Buffer::Real(block)) => {
                Ok(Staged::Real(context.stage(block, bytes, operation)?))
            }
            (Machine::Rehearsal { rehearsed, .. }, _) => {
                Ok(Staged::Counted { bytes, _held: rehearsed.host.hold(bytes) })
            }
            _ => Err(self.rehearsed(operation)),
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
