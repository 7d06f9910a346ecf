//! The kernels as compute shaders on any Vulkan, Metal or DX12 adapter, in f32 or, where the adapter offers it, f64.
//!
//! Each kernel is a file in `shaders/` of its name, or a folder of variants. The samples of a chunk and all that is computed
//! from them stay on the device; sums over samples are formed there from partial sums of at most 512 samples, in a fixed
//! order (one after another in a workgroup, pairwise across workgroups), and are added to f64 sums on the host: the same input gives the same bits on one adapter, and the error does not
//! grow with the number of samples. Of an array that exceeds what a kernel can see at once, the range that a view reaches is bound; weights are
//! taken in windows where even that is too large. What exceeds the device altogether takes smaller chunks, or is refused with the numbers.
//!
//! Activations, losses and units of the user run as shaders where they bring WGSL, which is compared with their Rust form first; others are
//! computed on the host, in f64, and copied to and fro.
//!
//! | file | holds |
//! |---|---|
//! | `adapter.rs` | the adapters of this machine, their limits, how one is used |
//! | `launch.rs` | what is said of a launch: plain data |
//! | `prologue.rs`, `source.rs` | WGSL text: parameters, arrays and entry point; includes, constants, unrolled loops |
//! | `context.rs`, `pipeline.rs`, `health.rs` | an open adapter: buffers and submissions, pipelines, what goes wrong |
//! | `stopwatch.rs`, `roofline.rs` | the device's own times, and the most that it can do |
//! | `account.rs` | what is counted and timed on the host |
//! | `cache.rs` | built pipelines, kept on disk for the next start |
//! | `machine.rs` | what shaders are launched on: a context, or a rehearsal that counts |
//! | `elements.rs` | kernels with a thread for each element |
//! | `product.rs`, `gram.rs` | which variant of the matrix products and of the sums over samples is launched, in which windows |
//! | `sums.rs` | sums over samples: partial sums, their reduction, the way to the host |
//! | `function.rs`, `unit.rs` | activations and losses; units that are not linear |
//! | `host.rs` | what has no WGSL, on the processor |
//! | `compare.rs` | whether the WGSL of the user's parts is the same function as their Rust form |

mod account;
mod adapter;
mod cache;
mod compare;
mod context;
mod elements;
mod function;
mod gram;
mod health;
mod host;
mod launch;
mod machine;
mod pipeline;
mod product;
mod prologue;
mod roofline;
mod source;
mod stopwatch;
mod sums;
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
mod tests;
mod unit;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ndarray::ArrayRef2;
use rayon::prelude::*;

use self::compare::Checked;
use self::context::{Context, Patch};
use self::launch::{Launch, Number};
use self::machine::{Bind, Buffer, Machine, Rehearsed};
use super::{Backend, Cost, Kernel, Layout, View, ViewMut};
use crate::error::{Error, Fault, Result};
use crate::network::Network;
use crate::objective::Loss;

pub use self::account::{Times, Traffic};
pub use self::adapter::{Adapter, Limits, Options, adapters};
pub use self::roofline::Roofline;
pub use self::sums::Sum;

/// How many adapters were opened, from 8 on: smaller numbers stand for the processor.
static OPENED: AtomicU64 = AtomicU64::new(8);

/// An open adapter that computes in f32 or f64.
#[derive(Debug, Clone)]
pub struct Gpu {
    machine: Machine,
    adapter: Arc<Adapter>,
    options: Arc<Options>,
    f64: bool,
    /// Tells opened adapters apart.
    number: u64,
    /// How many adapters share the samples, itself one of them.
    among: usize,
    /// Whether the variants of the kernels for hardware are launched.
    hardware_kernels: bool,
    /// The user's parts whose WGSL agrees with their Rust form.
    checked: Arc<Mutex<Checked>>,
}

/// Numbers on the device.
#[derive(Debug)]
pub struct Array {
    buffer: Buffer,
    len: usize,
}

/// Whether a view has every number of its array, in their order.
fn covers(view: &ViewMut<Array>) -> bool {
    let layout = view.layout;
    layout.is_dense() && layout.offset == 0 && layout.len() == view.array.len
}

impl Gpu {
    /// Opens an adapter to compute in f32: the first hardware adapter, or the first whose name contains `name` (upper and
    /// lower case alike), or, for one or two digits, the one of that number in [`adapters`]. Software adapters are used only
    /// where asked for so.
    ///
    /// # Errors
    /// No such adapter, or the driver refuses to open it.
    pub fn open(name: Option<&str>, options: Options) -> Result<Self> {
        let (raw, adapter) = adapter::find(name)?;
        Gpu::start(&raw, adapter, options, None)
    }

    fn start(
        raw: &wgpu::Adapter,
        adapter: Adapter,
        options: Options,
        patch: Option<Patch>,
    ) -> Result<Self> {
        let (adapter, options) = (Arc::new(adapter), Arc::new(options));
        let context = Context::open(raw, adapter.clone(), options.clone(), patch)?;
        Ok(Gpu {
            machine: Machine::Real(context),
            hardware_kernels: !adapter.software,
            adapter,
            options,
            f64: false,
            number: OPENED.fetch_add(1, Ordering::Relaxed),
            among: 1,
            checked: Arc::default(),
        })
    }

    /// Returns the same adapter computing in f64.
    ///
    /// # Errors
    /// It does not offer f64.
    pub fn in_f64(mut self) -> Result<Self> {
        if !self.adapter.f64 {
            return Err(self.error("computing in f64", Fault::NoF64));
        }
        self.f64 = true;
        Ok(self)
    }

    /// Returns the adapter's description.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Returns whether it computes in f64.
    pub fn is_f64(&self) -> bool {
        self.f64
    }

    /// Returns the same adapter as one of several that share the samples.
    pub(crate) fn among(self, count: usize) -> Self {
        Gpu { among: count, ..self }
    }

    /// How many adapters share the samples, itself one of them.
    pub(crate) fn sharers(&self) -> usize {
        self.among
    }

    /// A number that no other opened adapter has, nor this one in another precision.
    pub(crate) fn number(&self) -> u64 {
        2 * self.number + u64::from(self.f64)
    }

    /// Bytes that may be taken on the device.
    pub(crate) fn memory(&self) -> u64 {
        self.options.memory
    }

    /// Returns where the host's time went, since the adapter was opened.
    pub fn times(&self) -> Times {
        match &self.machine {
            Machine::Real(context) => context.times(),
            Machine::Rehearsal { .. } => Times::default(),
        }
    }

    /// Returns how long each kernel has run by the device's own clock, up to the last read-back; nothing where it has none.
    pub fn kernel_times(&self) -> BTreeMap<&'static str, Duration> {
        match &self.machine {
            Machine::Real(context) => context.kernel_times(),
            Machine::Rehearsal { .. } => BTreeMap::new(),
        }
    }

    /// Returns whether it has a clock of its own.
    pub fn has_clock(&self) -> bool {
        matches!(&self.machine, Machine::Real(context) if context.has_clock())
    }

    /// Returns the counts of what has passed between the host and the device, since the adapter was opened.
    pub fn traffic(&self) -> Traffic {
        match &self.machine {
            Machine::Real(context) => context.traffic(),
            Machine::Rehearsal { .. } => Traffic::default(),
        }
    }

    /// Returns a backend of the same adapter that allocates and runs nothing, but counts.
    pub(crate) fn rehearsal(&self) -> Gpu {
        let machine =
            Machine::Rehearsal { adapter: self.adapter.clone(), rehearsed: Rehearsed::default() };
        Gpu { machine, ..self.clone() }
    }

    /// Returns what a rehearsal has counted on the host so far; of an open adapter nothing is counted.
    pub(crate) fn cost(&self) -> Cost {
        (self.rehearsed()).map_or(Cost::default(), |rehearsed| rehearsed.host.cost())
    }

    /// Returns the most bytes of the device that lived at once in a rehearsal.
    pub(crate) fn device_peak(&self) -> u64 {
        (self.rehearsed()).map_or(0, |rehearsed| rehearsed.device.cost().peak)
    }

    /// Builds the pipelines that a rehearsal has used.
    ///
    /// # Errors
    /// `Part` where the text of a user's part is refused; what the device reports.
    pub(crate) fn prepare(&self, rehearsal: &Gpu) -> Result<()> {
        match (&self.machine, rehearsal.rehearsed()) {
            (Machine::Real(context), Some(rehearsed)) => context.prepare(&rehearsed.keys()),
            _ => Ok(()),
        }
    }

    /// The counts of a rehearsal.
    fn rehearsed(&self) -> Option<&Rehearsed> {
        match &self.machine {
            Machine::Real(_) => None,
            Machine::Rehearsal { rehearsed, .. } => Some(rehearsed),
        }
    }

    fn rehearses(&self) -> bool {
        self.rehearsed().is_some()
    }

    fn error(&self, operation: &str, fault: Fault) -> Error {
        Error::gpu(&self.adapter.name, operation, fault)
    }

    /// A size beyond what a kernel can index.
    fn too_large(&self, operation: &str, reason: String) -> Error {
        self.error(operation, Fault::TooLarge { reason })
    }

    /// Bytes of a number.
    fn float(&self) -> u64 {
        if self.f64 { 8 } else { 4 }
    }

    fn array(&self, lengths: &[usize], operation: &str) -> Result<Array> {
        let len = super::product(lengths)?;
        let bytes = super::product(&[len, self.float() as usize])? as u64;
        let buffer = self.machine.buffer(bytes, operation)?;
        Ok(Array { buffer, len })
    }

    /// Copies numbers to the device, rounded.
    fn store(&self, values: &[f64], operation: &str) -> Result<Array> {
        let mut array = self.array(&[values.len()], operation)?;
        self.overwrite(&mut array, values, operation)?;
        Ok(array)
    }

    /// Replaces all numbers of an array.
    fn overwrite(&self, array: &mut Array, values: &[f64], operation: &str) -> Result<()> {
        if self.f64 {
            let bytes = bytemuck::cast_slice(values);
            return self.machine.write(&array.buffer, bytes, operation);
        }
        let values = values.par_iter().with_min_len(self.numbers_of_task());
        let rounded: Vec<f32> = values.map(|&v| v as f32).collect();
        let bytes = bytemuck::cast_slice(&rounded);
        self.machine.write(&array.buffer, bytes, operation)
    }

    fn launch(&self, launch: &Launch, binds: &[Bind]) -> Result<()> {
        let number = if self.f64 { Number::F64 } else { Number::F32 };
        self.machine.launch(launch, number, binds)
    }

    fn reads<'a>(&self, name: &'static str, view: &View<'a, Array>) -> Bind<'a> {
        self.bind(name, view.array, view.layout, false)
    }

    fn writes<'a>(&self, name: &'static str, view: &'a ViewMut<Array>) -> Bind<'a> {
        self.bind(name, view.array, view.layout, true)
    }

    /// An array for a kernel: whole, or the range that the view reaches where a kernel cannot see the whole.
    fn bind<'a>(
        &self,
        name: &'static str,
        array: &'a Array,
        layout: Layout,
        write: bool,
    ) -> Bind<'a> {
        let (float, limits) = (self.float(), self.machine.limits());
        let whole = array.len as u64 * float;
        let (mut from, mut to) = (0, whole);
        if whole > limits.binding {
            // A binding begins where the device allows it to begin.
            let alignment = u64::from(limits.alignment).max(float);
            from = layout.offset as u64 * float / alignment * alignment;
            to = whole.min(layout.span() as u64 * float).max(from);
        }
        let [i, r, c] = layout.strides.map(|stride| stride as u64);
        Bind {
            name,
            buffer: &array.buffer,
            offset: from,
            bytes: to - from,
            write,
            view: [layout.offset as u64 - from / float, i, r, c],
        }
    }

    /// The ranges of an axis of a view whose parts kernels can see at once.
    fn windows(&self, view: &View<Array>, axis: usize) -> Result<Vec<Range<usize>>> {
        let (float, limits) = (self.float(), self.machine.limits());
        let all = view.layout.shape[axis];
        let reach = |count: usize| {
            let mut part = view.layout;
            part.shape[axis] = count;
            let numbers = part.span().saturating_sub(part.offset) as u64;
            numbers * float + u64::from(limits.alignment)
        };
        let whole = view.array.len as u64 * float;
        if whole <= limits.binding || reach(all) <= limits.binding {
            return Ok(std::iter::once(0..all).collect());
        }
        let fits = |count: u64| count == 0 || reach(count as usize) <= limits.binding;
        let most = gram::largest(all as u64, fits) as usize;
        if most == 0 {
            let fault = Fault::Limit {
                limit: "what a kernel can see of one array, in bytes,",
                need: reach(1),
                have: limits.binding,
            };
            return Err(self.error("the weights of a layer", fault));
        }
        let starts = (0..all).step_by(most);
        Ok(starts.map(|at| at..all.min(at + most)).collect())
    }

    /// Calls `take` with each place and the number of a copy that belongs there.
    fn numbers(&self, bytes: &[u8], places: &mut [f64], take: impl Fn(&mut f64, f64) + Sync) {
        let float = self.float() as usize;
        let numbers = places.par_iter_mut().zip(bytes.par_chunks_exact(float));
        numbers.with_min_len(self.numbers_of_task()).for_each(|(place, number)| {
            let mut word = [0; 8];
            word[..float].copy_from_slice(number);
            let number = if self.f64 {
                f64::from_le_bytes(word)
            } else {
                f64::from(f32::from_bits(u64::from_le_bytes(word) as u32))
            };
            take(place, number);
        });
    }

    /// How many numbers one task of the processor converts at the least: all, where several adapters share the samples. A thread that waits for
    /// others may begin a share of another adapter, or of another request, in the midst of its own, whose time it measures and whose locks it holds.
    fn numbers_of_task(&self) -> usize {
        if self.among > 1 { usize::MAX } else { 1 << 14 }
    }
}

impl Backend for Gpu {
    type Array = Array;
    type Sum = Sum;

    fn alloc(&self, len: usize) -> Result<Array> {
        self.array(&[len], "alloc")
    }

    fn upload(&self, values: &[f64]) -> Result<Array> {
        if !self.f64 {
            super::check_f32(values)?;
        }
        self.store(values, "upload")
    }

    fn download(&self, array: &Array) -> Result<Vec<f64>> {
        let bytes = array.len as u64 * self.float();
        let staged = self.machine.stage(&array.buffer, bytes, "download")?;
        let mut out = vec![0.0; if self.rehearses() { 0 } else { array.len }];
        self.machine.fetch(&staged, "download", &mut |bytes| {
            self.numbers(bytes, &mut out, |place, v| *place = v);
        })?;
        Ok(out)
    }

    /// Their buffers wait for the next arrays of about their sizes.
    fn recycle(&self, arrays: impl IntoIterator<Item = Array>) {
        drop(arrays.into_iter().collect::<Vec<_>>());
    }

    /// Nothing to do: buffers that wait are freed where a new one would exceed the budget.
    fn release(&self) {}

    fn sums(&self, len: usize) -> Result<Sum> {
        Ok(Sum::new(self, len))
    }

    fn read(&self, sum: Sum) -> Result<Vec<f64>> {
        self.total(sum)
    }

    fn run(&self, kernel: Kernel<Array, Sum>) -> Result<()> {
        let kernel = match kernel {
            Kernel::ProductSum(k) => return k.lower(self),
            Kernel::PairBlock(k) => return k.lower(self),
            other => other,
        };
        if let Some(rehearsed) = self.rehearsed() {
            rehearsed.host.flops(kernel.flops());
        }
        match kernel {
            Kernel::ProductSum(_) | Kernel::PairBlock(_) => Ok(()),
            Kernel::Fill(k) => self.fill(&k),
            Kernel::Copy(k) => self.copy(&k),
            Kernel::Scale(k) => self.scale(&k),
            Kernel::Multiply(k) => self.multiply(&k),
            Kernel::ScaledMatrix(k) => self.scaled_matrix(&k),
            Kernel::Product(k) => self.product(&k),
            Kernel::ProductDiagonal(k) => self.product_diagonal(&k),
            Kernel::Activate(k) => self.activate(k),
            Kernel::LossValue(k) => self.loss_value(k),
            Kernel::LossHessian(k) => self.loss_hessian(k),
            Kernel::GaussNewtonDiagonal(k) => self.gauss_newton_diagonal(&k),
            Kernel::SquaredGradient(k) => self.squared_gradient(&k),
            Kernel::LowerTriangle(k) => self.lower_triangle(&k),
            Kernel::WeightedSum(k) => self.weighted_sum(k),
            Kernel::Gram(k) => self.gram(k),
            Kernel::GramDiagonal(k) => self.gram_diagonal(k),
            Kernel::TensorSum(k) => self.tensor_sum(k),
            Kernel::UnitValue(k) => self.unit_value(k),
            Kernel::UnitDerivative(k) => self.unit_derivative(k),
            Kernel::UnitSlope(k) => self.unit_slope(k),
            Kernel::UnitDerivativeSlope(k) => self.unit_derivative_slope(k),
            Kernel::UnitInputHessian(k) => self.unit_input_hessian(k),
            Kernel::UnitParameterHessian(k) => self.unit_parameter_hessian(k),
        }
    }

    /// One chunk keeps the whole device busy.
    fn on_one_thread(&self) -> Option<Self> {
        None
    }

    fn check_parts(&self, network: &Network, loss: &Loss, y: &ArrayRef2<f64>) -> Result<()> {
        if self.rehearses() {
            return Ok(());
        }
        self.check_loss(loss, y)?;
        self.check_units(network)
    }
}
