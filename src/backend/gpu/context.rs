//! One adapter: buffers, pipelines, recorded work, and every call of wgpu that can fail.
//!
//! Work is recorded and submitted when numbers are read back, when the parameters of 255 dispatches have piled up, or
//! when by the rate so far it keeps the adapter busy for about [`SLICE`]. wgpu orders submissions, so a buffer that is given
//! back can be handed out again at once; only writes from the host go ahead of what is recorded, so they submit first.
//!
//! The faults that occur, and how they show (measured with wgpu 30): a lost device makes `poll` panic; a submission after that
//! reports nothing; a command buffer that the driver killed can look finished. So every wait is wrapped, the last dispatch of
//! every submission counts one up and each read-back compares the count, and errors that wgpu reports to nobody are
//! kept for the next call here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::account::{Times, Traffic};
use super::adapter::{Adapter, DOUBLE, Options};
use super::cache::PipelineCache;
use super::health::{Health, Simulated};
use super::launch::{Key, Number, Threads, class};
use super::pipeline::{self, Pipeline};
use super::source;
use super::stopwatch::Stopwatch;
use crate::error::{Error, Fault, Result};
use crate::network::Custom;
use crate::sync::lock;

/// Seconds for which one submission may keep the adapter busy: drivers kill what runs for seconds.
const SLICE: f64 = 0.1;
/// Bytes of a dispatch's parameters; offsets of uniform bindings are multiples of at most this.
pub const SLOT: usize = 256;
/// Dispatches in one submission.
const SLOTS: usize = 256;

/// A text in a kernel's shader, with another to stand in its place: the kernel's stem, the text, the other. For tests.
pub type Patch = (&'static str, &'static str, &'static str);

/// The features that are used where the adapter has them.
const WANTED: wgpu::Features =
    (DOUBLE.union(wgpu::Features::SUBGROUP).union(wgpu::Features::PIPELINE_CACHE))
        .union(Stopwatch::WANTED);
/// Bytes of copies to the host that wait to serve again.
const STAGED: u64 = 64 << 20;

#[derive(Debug, Default)]
struct State {
    encoder: Option<wgpu::CommandEncoder>,
    /// Parameters of the recorded dispatches, a slot each.
    slots: Vec<u8>,
    /// The kernels of the recorded dispatches.
    kernels: Vec<&'static str>,
    /// Buffers that were given back, by size. The first of a size serves first, so that what is asked for again has the buffers, and the
    /// bind groups, that it had.
    idle: BTreeMap<u64, BTreeSet<wgpu::Buffer>>,
    /// Copies to the host that were read.
    staging: Vec<wgpu::Buffer>,
    /// Bytes of all buffers, idle ones included.
    held: u64,
    peak: u64,
    /// Flops recorded since the last submission, and since the last wait.
    recorded: f64,
    waiting: f64,
    since: Option<Instant>,
    /// Flops per second, learnt from waits.
    rate: f64,
    /// Submissions so far, which is what the status must say.
    submissions: u32,
    /// Submissions that are known to have run.
    verified: u32,
    times: Times,
    traffic: Traffic,
}

/// An open adapter.
#[derive(Debug)]
pub struct Context {
    adapter: Arc<Adapter>,
    options: Arc<Options>,
    patch: Option<Patch>,
    device: wgpu::Device,
    queue: wgpu::Queue,
    ring: wgpu::Buffer,
    status: wgpu::Buffer,
    health: Health,
    pipelines: Mutex<BTreeMap<Key, Arc<Pipeline>>>,
    /// Pipelines of earlier starts.
    cache: Option<PipelineCache>,
    /// The device's clock.
    stopwatch: Option<Stopwatch>,
    /// Held while one submission is put together.
    turn: Mutex<()>,
    state: Mutex<State>,
}

/// Bytes on the device; given back to the context when dropped.
#[derive(Debug)]
pub struct Block {
    buffer: Option<wgpu::Buffer>,
    bytes: u64,
    context: Arc<Context>,
}

impl Block {
    fn raw(&self) -> &wgpu::Buffer {
        // Taken by `drop` alone.
        self.buffer.as_ref().unwrap_or(&self.context.status)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            let mut state = self.context.state();
            state.idle.entry(buffer.size()).or_default().insert(buffer);
        }
    }
}

/// A copy on its way to the host; its buffer serves again when it is dropped.
#[derive(Debug)]
pub struct Download {
    copy: wgpu::Buffer,
    /// Whether the host has asked for it, and not read it yet.
    is_mapped: AtomicBool,
    context: Arc<Context>,
}

impl Download {
    pub fn bytes(&self) -> u64 {
        self.copy.size()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if !self.is_mapped.load(Ordering::Relaxed) {
            self.context.keep(self.copy.clone());
        }
    }
}

/// A dispatch that is ready to be recorded.
struct Recorded<'a> {
    kernel: &'static str,
    pipeline: &'a wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    params: &'a [u32],
    groups: (u32, u32),
}

impl State {
    fn encoder(&mut self, device: &wgpu::Device) -> &mut wgpu::CommandEncoder {
        (self.encoder).get_or_insert_with(|| device.create_command_encoder(&Default::default()))
    }

    fn record(
        &mut self,
        device: &wgpu::Device,
        stopwatch: Option<&Stopwatch>,
        dispatch: &Recorded,
    ) {
        let (slot, number) = (self.slots.len(), self.kernels.len());
        self.kernels.push(dispatch.kernel);
        self.traffic.dispatches += 1;
        self.slots.extend(dispatch.params.iter().flat_map(|p| p.to_le_bytes()));
        self.slots.resize(slot + SLOT, 0);
        let mut pass = (self.encoder(device)).begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some(dispatch.kernel),
            timestamp_writes: stopwatch.map(|stopwatch| stopwatch.of_dispatch(number)),
        });
        pass.set_pipeline(dispatch.pipeline);
        pass.set_bind_group(0, &dispatch.group, &[slot as u32]);
        pass.dispatch_workgroups(dispatch.groups.0, dispatch.groups.1, 1);
    }
}

impl Context {
    /// Opens the adapter with the limits that it reports.
    pub fn open(
        raw: &wgpu::Adapter,
        adapter: Arc<Adapter>,
        options: Arc<Options>,
        patch: Option<Patch>,
    ) -> Result<Arc<Self>> {
        let limits = wgpu::Limits {
            max_storage_buffer_binding_size: adapter.limits.binding,
            max_buffer_size: adapter.limits.buffer,
            max_compute_workgroups_per_dimension: adapter.limits.groups,
            ..raw.limits()
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("secondo"),
            required_features: raw.features() & WANTED,
            required_limits: limits,
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(raw.request_device(&descriptor)).map_err(|e| {
            let reason = e.to_string();
            Error::gpu(&adapter.name, "opening the device", Fault::Refused { reason })
        })?;
        let health = Health::of(&device, &adapter.name);
        let buffer = |label, size, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let state = State {
            // A first guess; the first waits correct it.
            rate: if adapter.software { 2e9 } else { 2e11 },
            ..State::default()
        };
        let stopwatch = Stopwatch::of(&device, &queue, SLOTS);
        let folder = options.pipeline_cache.as_deref();
        let context = Context {
            cache: folder.and_then(|f| PipelineCache::open(&device, &raw.get_info(), f)),
            ring: buffer("parameters", (SLOT * SLOTS) as u64, uniform),
            status: buffer("status", 16, storage),
            adapter,
            options,
            patch,
            device,
            queue,
            health,
            pipelines: Mutex::default(),
            stopwatch,
            turn: Mutex::default(),
            state: Mutex::new(state),
        };
        context.health.check("opening the device")?;
        Ok(Arc::new(context))
    }

    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The faults of the device, those that tests simulate included.
    pub fn health(&self) -> &Health {
        &self.health
    }

    pub fn times(&self) -> Times {
        self.state().times
    }

    pub fn has_clock(&self) -> bool {
        self.stopwatch.is_some()
    }

    pub fn traffic(&self) -> Traffic {
        self.state().traffic
    }

    /// How long each kernel has run by the device's clock, until the last read-back; nothing where it has none.
    pub fn kernel_times(&self) -> BTreeMap<&'static str, Duration> {
        self.stopwatch.as_ref().map_or(BTreeMap::new(), Stopwatch::by_kernel)
    }

    /// The most bytes of buffers that were held at once.
    pub fn peak(&self) -> u64 {
        self.state().peak
    }

    fn create(
        &self,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> std::result::Result<wgpu::Buffer, wgpu::Error> {
        let scopes = [
            self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory),
            self.device.push_error_scope(wgpu::ErrorFilter::Validation),
        ];
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage,
            mapped_at_creation: false,
        });
        let mut error = None;
        for scope in scopes.into_iter().rev() {
            error = pollster::block_on(scope.pop()).or(error);
        }
        error.map_or(Ok(buffer), Err)
    }

    /// A new buffer. Where memory is short, idle buffers go first.
    fn fresh(
        &self,
        bytes: u64,
        usage: wgpu::BufferUsages,
        operation: &str,
    ) -> Result<wgpu::Buffer> {
        self.health.check(operation)?;
        let simulated = self.health.due(&[Simulated::OutOfMemory]).is_some();
        for last in [false, true] {
            match self.create(bytes, usage) {
                Ok(buffer) if !simulated => {
                    self.state().traffic.buffers += 1;
                    return Ok(buffer);
                }
                Err(other) if !matches!(other, wgpu::Error::OutOfMemory { .. }) => {
                    let reason = other.to_string();
                    return Err(self.health.error(operation, Fault::Refused { reason }));
                }
                _ if last => break,
                _ => {
                    self.submit(operation)?;
                    self.wait(operation)?;
                    let mut state = self.state();
                    let idle = std::mem::take(&mut state.idle);
                    let freed: u64 = idle.iter().map(|(size, all)| size * all.len() as u64).sum();
                    state.held -= freed;
                    state.staging.clear();
                    drop(state);
                    self.forget_groups();
                    drop(idle);
                    let poll = || self.device.poll(wgpu::PollType::Poll);
                    let _ = self.health.guarded(operation, poll)?;
                }
            }
        }
        let in_use = self.state().held;
        Err(self.health.error(operation, Fault::OutOfMemory { need: bytes, in_use }))
    }

    pub fn buffer(self: &Arc<Self>, bytes: u64, operation: &str) -> Result<Block> {
        let size = class(bytes);
        let idle = {
            let mut state = self.state();
            state.idle.get_mut(&size).and_then(BTreeSet::pop_first)
        };
        let buffer = match idle {
            Some(buffer) => buffer,
            None => {
                let usage = wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST;
                self.make_room(size, operation)?;
                let buffer = self.fresh(size, usage, operation)?;
                let mut state = self.state();
                state.held += size;
                state.peak = state.peak.max(state.held);
                buffer
            }
        };
        Ok(Block { buffer: Some(buffer), bytes, context: self.clone() })
    }

    /// Drops idle buffers where a new one would exceed the budget.
    fn make_room(&self, size: u64, operation: &str) -> Result<()> {
        let mut state = self.state();
        let mut dropped = Vec::new();
        while state.held + size > self.options.memory && !state.idle.is_empty() {
            // The largest first: they have the least chance to serve again.
            if let Some(mut largest) = state.idle.last_entry() {
                let size = *largest.key();
                dropped.extend(largest.get_mut().pop_last());
                if largest.get().is_empty() {
                    largest.remove();
                }
                state.held -= size;
            }
        }
        drop(state);
        if dropped.is_empty() {
            return Ok(());
        }
        self.forget_groups();
        drop(dropped);
        // Memory is free once the work that used it is done.
        self.submit(operation)
    }

    /// Writes from the host go ahead of what is recorded, which may still read the buffer: submit that first.
    pub fn write(&self, block: &Block, bytes: &[u8], operation: &str) -> Result<()> {
        self.submit(operation)?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.state().traffic.sent += bytes.len() as u64;
        self.health.guarded(operation, || self.queue.write_buffer(block.raw(), 0, bytes))?;
        self.health.check(operation)
    }

    pub fn clear(&self, block: &Block) -> Result<()> {
        let bytes = block.bytes.next_multiple_of(4);
        (self.state().encoder(&self.device)).clear_buffer(block.raw(), 0, Some(bytes));
        Ok(())
    }

    /// Records workgroups of a shader, over as many dispatches as they need. The words follow those of the
    /// [`HEAD`](super::launch::HEAD); of each array there is the offset and the length in bytes of what is bound.
    pub fn launch(
        &self,
        key: &Key,
        (groups, flops_per_group): (u64, f64),
        words: &[u32],
        arrays: &[(&Block, u64, u64)],
    ) -> Result<()> {
        let pipeline = self.pipeline(key)?;
        let buffers: Vec<_> =
            (arrays.iter()).map(|&(block, offset, bytes)| (block.raw(), offset, bytes)).collect();
        // A dispatch takes as many workgroups as fit its two dimensions and its time.
        let side = u64::from(self.adapter.limits.groups);
        let mut first = 0;
        while first < groups {
            let in_time = SLICE * self.state().rate / flops_per_group.max(1.0);
            let now = (groups - first).min(side * side).min((in_time as u64).max(1));
            // Whole rows of workgroups; the last of all may be ragged, the kernel knows where they end.
            let x = now.min(side);
            let y = if now < groups - first { now / x } else { now.div_ceil(x) };
            let end = (first + x * y).min(groups);
            let total = end.min(u64::from(u32::MAX)) as u32;
            let mut params = vec![first as u32, x as u32, total];
            params.extend(words);
            let dispatch =
                self.dispatch(key.stem, &pipeline, &params, &buffers, (x as u32, y as u32));
            self.record(&dispatch)?;
            self.spent(flops_per_group * (end - first) as f64, key.stem)?;
            first = end;
        }
        Ok(())
    }

    fn dispatch<'a>(
        &self,
        kernel: &'static str,
        pipeline: &'a Pipeline,
        params: &'a [u32],
        buffers: &[(&wgpu::Buffer, u64, u64)],
        groups: (u32, u32),
    ) -> Recorded<'a> {
        let (group, is_new) = pipeline.group(&self.device, (&self.ring, SLOT as u64), buffers);
        self.state().traffic.bind_groups += u64::from(is_new);
        Recorded { kernel, pipeline: &pipeline.pipeline, group, params, groups }
    }

    /// Drops bind groups, which keep their buffers alive.
    fn forget_groups(&self) {
        lock(&self.pipelines).values().for_each(|pipeline| pipeline.forget_groups());
    }

    /// Records a dispatch; submits first where the slots are used up. The last one is for the count of submissions.
    fn record(&self, dispatch: &Recorded) -> Result<()> {
        loop {
            let mut state = self.state();
            if state.slots.len() < SLOT * (SLOTS - 1) {
                state.record(&self.device, self.stopwatch.as_ref(), dispatch);
                return Ok(());
            }
            drop(state);
            self.submit(dispatch.kernel)?;
        }
    }

    /// Notes work, and submits what would keep the adapter busy for too long.
    fn spent(&self, flops: f64, operation: &str) -> Result<()> {
        let mut state = self.state();
        state.recorded += flops;
        let long = state.recorded > SLICE * state.rate;
        drop(state);
        if long { self.submit(operation) } else { Ok(()) }
    }

    /// Submits what is recorded, without waiting.
    fn submit(&self, operation: &str) -> Result<()> {
        let _turn = lock(&self.turn);
        self.submit_in_turn(operation)
    }

    /// The same for the thread whose turn it is: parameters are written for one submission at a time.
    fn submit_in_turn(&self, operation: &str) -> Result<()> {
        let recorded = self.state().encoder.is_some();
        if recorded {
            self.submit_and_copy(operation, None)?;
        }
        Ok(())
    }

    /// Submits what is recorded, with the dispatch that counts submissions at its end and a copy of that count; returns
    /// what it must be.
    fn submit_and_copy(&self, operation: &str, status: Option<&wgpu::Buffer>) -> Result<u32> {
        let key = stamp();
        let pipeline = self.pipeline(&key)?;
        let count = (&self.status, 0, self.status.size());
        let stamp = self.dispatch(key.stem, &pipeline, &[0, 1, 1, 0, 0, 0, 0], &[count], (1, 1));
        let skipped = self.health.due(&[Simulated::Unfinished]).is_some();
        // In one go: nothing may be recorded behind the stamp.
        let mut state = self.state();
        if !skipped {
            state.record(&self.device, self.stopwatch.as_ref(), &stamp);
        }
        let kernels = std::mem::take(&mut state.kernels);
        let stopwatch = self.stopwatch.as_ref().filter(|_| !kernels.is_empty());
        let copied = stopwatch.map(|stopwatch| {
            let copied = stopwatch.copy(&self.device, state.encoder(&self.device), kernels);
            (stopwatch, copied)
        });
        if let Some(copy) = status {
            (state.encoder(&self.device)).copy_buffer_to_buffer(&self.status, 0, copy, 0, 4);
        }
        let encoder = state.encoder.take();
        let slots = std::mem::take(&mut state.slots);
        state.waiting += std::mem::take(&mut state.recorded);
        state.since.get_or_insert_with(Instant::now);
        drop(state);
        self.health.check(operation)?;
        self.health.guarded(operation, || {
            if !slots.is_empty() {
                self.queue.write_buffer(&self.ring, 0, &slots);
            }
            self.queue.submit(encoder.map(wgpu::CommandEncoder::finish));
            if let Some((stopwatch, copied)) = copied {
                stopwatch.submitted(copied);
            }
        })?;
        self.health.check(operation)?;
        let mut state = self.state();
        state.submissions = state.submissions.wrapping_add(1);
        state.traffic.submissions += 1;
        Ok(state.submissions)
    }

    /// Waits for all submissions.
    fn wait(&self, operation: &str) -> Result<()> {
        let simulated = self.health.due(&[
            Simulated::Lost,
            Simulated::Panic,
            Simulated::Timeout,
            Simulated::Destroyed,
        ]);
        if simulated == Some(Simulated::Destroyed) {
            self.device.destroy();
        }
        if simulated == Some(Simulated::Lost) {
            self.health.lose("simulated");
        }
        self.health.check(operation)?;
        let clock = Instant::now();
        let timeout = self.options.timeout;
        let timed_out = || {
            let after = timeout.as_secs_f64();
            Err(self.health.error(operation, Fault::Timeout { after }))
        };
        if simulated == Some(Simulated::Timeout) {
            return timed_out();
        }
        let polled = self.health.guarded(operation, || {
            if simulated == Some(Simulated::Panic) {
                std::panic::resume_unwind(Box::new("simulated"));
            }
            self.device
                .poll(wgpu::PollType::Wait { submission_index: None, timeout: Some(timeout) })
        })?;
        self.health.check(operation)?;
        match polled {
            Ok(_) => {}
            Err(wgpu::PollError::Timeout) => return timed_out(),
            Err(other) => {
                let reason = other.to_string();
                return Err(self.health.error(operation, Fault::Lost { reason }));
            }
        }
        let mut state = self.state();
        state.times.waiting += clock.elapsed();
        let flops = std::mem::take(&mut state.waiting);
        if let Some(since) = state.since.take() {
            let seconds = since.elapsed().max(Duration::from_micros(100)).as_secs_f64();
            // Short work says more about latencies than about the rate.
            if seconds > 0.01 && flops > 0.0 {
                state.rate = 0.5 * (state.rate + flops / seconds);
            }
        }
        Ok(())
    }

    /// A buffer for a copy to the host.
    fn staging(&self, bytes: u64, operation: &str) -> Result<wgpu::Buffer> {
        let bytes = bytes.next_multiple_of(4).max(4);
        let mut state = self.state();
        if let Some(at) = state.staging.iter().position(|copy| copy.size() == bytes) {
            return Ok(state.staging.swap_remove(at));
        }
        drop(state);
        self.fresh(bytes, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST, operation)
    }

    /// Keeps a copy that is not mapped for the next.
    fn keep(&self, copy: wgpu::Buffer) {
        let mut state = self.state();
        let held: u64 = state.staging.iter().map(wgpu::Buffer::size).sum();
        if held + copy.size() <= STAGED {
            state.staging.push(copy);
        }
    }

    /// Records a copy to the host of the first bytes.
    pub fn stage(&self, block: &Block, bytes: u64, operation: &str) -> Result<Download> {
        let copy = self.staging(bytes, operation)?;
        (self.state().encoder(&self.device)).copy_buffer_to_buffer(
            block.raw(),
            0,
            &copy,
            0,
            copy.size(),
        );
        Ok(Download { copy, is_mapped: AtomicBool::new(false), context: block.context.clone() })
    }

    /// Waits for all that was recorded and hands out the bytes of a copy.
    pub fn fetch(
        &self,
        download: &Download,
        operation: &str,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        // If the count is short, a submission did not run to its end.
        let copy = self.staging(4, operation)?;
        let turn = lock(&self.turn);
        let state = self.state();
        let verified = state.encoder.is_none() && state.verified == state.submissions;
        drop(state);
        let status = if verified {
            self.keep(copy);
            None
        } else {
            let expected = self.submit_and_copy(operation, Some(&copy))?;
            Some((copy, expected))
        };
        drop(turn);
        self.fetch_submitted(download, status, operation, take)
    }

    fn fetch_submitted(
        &self,
        download: &Download,
        status: Option<(wgpu::Buffer, u32)>,
        operation: &str,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        let mapped = Arc::new(AtomicBool::new(true));
        download.is_mapped.store(true, Ordering::Relaxed);
        let stamps = self.health.guarded(operation, || {
            let status = status.as_ref().map(|(copy, _)| copy);
            for copy in [Some(&download.copy), status].into_iter().flatten() {
                let mapped = mapped.clone();
                copy.map_async(wgpu::MapMode::Read, .., move |result| {
                    if result.is_err() {
                        mapped.store(false, Ordering::SeqCst);
                    }
                });
            }
            self.stopwatch.as_ref().map(Stopwatch::ask)
        })?;
        self.wait(operation)?;
        if let (Some(stopwatch), Some(stamps)) = (&self.stopwatch, stamps) {
            self.health.guarded(operation, || stopwatch.read(stamps))?;
        }
        if !mapped.load(Ordering::SeqCst) {
            let reason = "results cannot be read back".into();
            return Err(self.health.error(operation, Fault::Lost { reason }));
        }
        if let Some((copy, expected)) = status {
            let mut found = [0; 4];
            self.view(&copy, operation, &mut |bytes| found.copy_from_slice(&bytes[..4]))?;
            self.keep(copy);
            let found = u32::from_le_bytes(found);
            let mut state = self.state();
            if found != expected {
                // The next requests start from what the device has counted.
                let missing = expected.wrapping_sub(found);
                state.submissions = state.submissions.wrapping_sub(missing);
                return Err(self.health.error(operation, Fault::Incomplete));
            }
            state.verified = expected;
        }
        self.view(&download.copy, operation, take)?;
        download.is_mapped.store(false, Ordering::Relaxed);
        let mut state = self.state();
        state.traffic.read_backs += 1;
        state.traffic.fetched += download.bytes();
        Ok(())
    }

    /// Hands out the bytes of a copy that is mapped, which then is so no more.
    fn view(
        &self,
        staging: &wgpu::Buffer,
        operation: &str,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        let range = self.health.guarded(operation, || staging.get_mapped_range(..))?;
        let view = range.map_err(|e| {
            let reason = e.to_string();
            self.health.error(operation, Fault::Lost { reason })
        })?;
        let clock = Instant::now();
        take(&view);
        drop(view);
        self.state().times.reading += clock.elapsed();
        self.health.guarded(operation, || staging.unmap())
    }

    /// Builds pipelines ahead of their first use.
    pub fn prepare(&self, keys: &BTreeSet<Key>) -> Result<()> {
        keys.iter().try_for_each(|key| self.pipeline(key).map(drop))
    }

    fn pipeline(&self, key: &Key) -> Result<Arc<Pipeline>> {
        if let Some(built) = lock(&self.pipelines).get(key) {
            return Ok(built.clone());
        }
        let clock = Instant::now();
        let built = Arc::new(self.build(key)?);
        self.state().times.building += clock.elapsed();
        lock(&self.pipelines).insert(key.clone(), built.clone());
        Ok(built)
    }

    fn build(&self, key: &Key) -> Result<Pipeline> {
        let operation = format!("building the kernel {}", key.stem);
        self.health.check(&operation)?;
        let unit = key.defines.get("UNIT_NAME").map(|name| ("unit", name.clone()));
        let custom = (key.defines.get("ACTIVATION")).and_then(|stem| Custom::of_stem(stem));
        let part = unit.or(custom.map(|custom| ("activation", custom.name().to_string())));
        let refuse = |reason: String| match &part {
            None => self.health.error(&operation, Fault::Shader { reason }),
            Some((kind, name)) => Error::Part {
                kind,
                name: name.clone(),
                why: format!("{}, {operation} with its WGSL: {reason}", self.adapter.name),
            },
        };
        let mut text = source::text(key).map_err(&refuse)?;
        if let Some((_, from, to)) = self.patch.filter(|p| p.0 == key.stem) {
            text = text.replace(from, to);
        }
        let cache = self.cache.as_ref().map(PipelineCache::raw);
        let built =
            self.health.guarded(&operation, || pipeline::build(&self.device, cache, key, text))?;
        let built = built.map_err(refuse)?;
        self.health.check(&operation)?;
        Ok(built)
    }
}

/// The shader that counts submissions.
pub fn stamp() -> Key {
    Key {
        stem: "device/stamp",
        number: Number::U32,
        threads: Threads::Workgroup(1),
        defines: BTreeMap::new(),
        params: Vec::new(),
        arrays: vec![("status", true)],
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.health.is_lost() {
            // wgpu may panic when it takes down a lost device: leak it.
            std::mem::forget((self.device.clone(), self.queue.clone()));
        } else if let Some(cache) = &self.cache {
            cache.save();
        }
    }
}
