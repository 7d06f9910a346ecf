//! The device's own times: a time stamp before and one after every dispatch, where the adapter has them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::sync::lock;

/// Stamps of the dispatches of one submission, on their way to the host, with the dispatches' kernels.
pub type Copied = (wgpu::Buffer, Vec<&'static str>);

/// Measures how long kernels run.
#[derive(Debug)]
pub struct Stopwatch {
    /// Two stamps for each dispatch of a submission.
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    /// Nanoseconds of a tick.
    period: f64,
    runs: Mutex<Runs>,
}

#[derive(Debug, Default)]
struct Runs {
    submitted: Vec<Copied>,
    idle: Vec<wgpu::Buffer>,
    by_kernel: BTreeMap<&'static str, Duration>,
}

impl Stopwatch {
    /// The feature of the adapters that can measure.
    pub const WANTED: wgpu::Features = wgpu::Features::TIMESTAMP_QUERY;

    /// Returns one for submissions of so many dispatches, if the device can measure.
    pub fn of(device: &wgpu::Device, queue: &wgpu::Queue, dispatches: usize) -> Option<Self> {
        if !device.features().contains(Self::WANTED) {
            return None;
        }
        let count = 2 * dispatches as u32;
        Some(Stopwatch {
            set: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("time stamps"),
                ty: wgpu::QueryType::Timestamp,
                count,
            }),
            resolved: device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("time stamps"),
                size: 8 * u64::from(count),
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
            period: queue.get_timestamp_period().into(),
            runs: Mutex::default(),
        })
    }

    /// Returns the stamps of one of a submission's dispatches.
    pub fn of_dispatch(&self, number: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        let first = 2 * number as u32;
        wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    /// Records the copy of a submission's stamps at its end; the host may have it once it is [`submitted`](Stopwatch::submitted).
    pub fn copy(
        &self,
        device: &wgpu::Device,
        encoder: &mut wgpu::CommandEncoder,
        kernels: Vec<&'static str>,
    ) -> Copied {
        let stamps = 2 * kernels.len() as u32;
        let idle = lock(&self.runs).idle.pop();
        let copy = idle.unwrap_or_else(|| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("time stamps"),
                size: self.resolved.size(),
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        encoder.resolve_query_set(&self.set, 0..stamps, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &copy, 0, 8 * u64::from(stamps));
        (copy, kernels)
    }

    /// Notes that the device has the copy to make.
    pub fn submitted(&self, copied: Copied) {
        lock(&self.runs).submitted.push(copied);
    }

    /// Asks for the stamps that were copied; they can be read after the next wait.
    pub fn ask(&self) -> Vec<Copied> {
        let copied = std::mem::take(&mut lock(&self.runs).submitted);
        for (copy, _) in &copied {
            copy.map_async(wgpu::MapMode::Read, .., |_| ());
        }
        copied
    }

    /// Adds the times between stamps that were asked for.
    pub fn read(&self, copied: Vec<Copied>) {
        for (copy, kernels) in copied {
            // What cannot be read was not measured.
            let Ok(view) = copy.get_mapped_range(..) else {
                continue;
            };
            let stamp = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
            let mut runs = lock(&self.runs);
            for (stamps, kernel) in view.chunks_exact(16).zip(kernels) {
                let (begin, end) = stamps.split_at(8);
                let ticks = stamp(end).saturating_sub(stamp(begin));
                let time = Duration::from_nanos((ticks as f64 * self.period) as u64);
                *runs.by_kernel.entry(kernel).or_default() += time;
            }
            drop(view);
            copy.unmap();
            runs.idle.push(copy);
        }
    }

    /// Returns how long each kernel has run, as far as that was read.
    pub fn by_kernel(&self) -> BTreeMap<&'static str, Duration> {
        lock(&self.runs).by_kernel.clone()
    }
}
