//! The kernels as compute shaders on any Vulkan, Metal or DX12 adapter, in f32 or, where the adapter offers it, f64.
//!
//! Each kernel is one file in `shaders/`, or a folder of variants, under the stem of its CPU twin. The samples of a chunk and all that is computed
//! from them stay on the device; sums over samples are formed there from partial sums of at most 512 samples, in a fixed
//! order (one after another in a workgroup, pairwise across workgroups), and are added to f64 sums on the host: the same input gives the same bits on one adapter, and the error does not
//! grow with the number of samples. Arrays that exceed what a kernel can see at once are taken in windows; what exceeds
//! the device altogether takes smaller chunks, or is refused with the numbers.
//!
//! Units with a propagation of their own (`unit_…`) run as shaders where they bring WGSL; others are computed on the host, in
//! f64, and copied to and fro.
//!
//! | file | holds |
//! |---|---|
//! | `context.rs` | everything that names wgpu: adapter, buffers, pipelines, submissions, faults |
//! | `machine.rs` | what kernels are launched on: a context, or a rehearsal that counts |
//! | `cache.rs` | built pipelines, kept on disk for the next start |
//! | `source.rs` | WGSL text: includes, constants, unrolled loops |
//! | `product.rs`, `gram.rs` | which variant of the matrix products and of the Gram sums is launched, in which windows |
//! | `unit.rs` | units that are not linear: their shaders, or the host; and whether both are the same function |

mod cache;
mod context;
mod gram;
mod machine;
mod product;
mod source;
#[cfg(test)]
mod tests;
mod unit;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use ndarray::Array2;
use rayon::prelude::*;

use self::context::{Context, lock};
use self::machine::{Bind, Buffer, Launch, Machine, Staged};
use super::{Backend, Columns, Cpu, Direction, Kind, Operand, UnitDerivative, UnitGroup};
use crate::check;
use crate::error::{Error, Fault, Result};
use crate::guard;
use crate::network::{Activation, Custom, Network, Unit};
use crate::objective::{Loss, LossFunction, Parameter};

pub use self::context::{Simulated, Times};
pub use self::machine::Limits;
pub(crate) use self::machine::Rehearsed;

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
    #[doc(hidden)]
    pub eight_lanes: bool,
    /// What it allows.
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
    /// Limits to keep to, each at most the adapter's; for tests.
    #[doc(hidden)]
    pub limits: Option<Limits>,
    /// A kernel's stem, and a text in its shader with another to stand in its place: a fault, for tests.
    #[doc(hidden)]
    pub patch: Option<(&'static str, &'static str, &'static str)>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            memory: 2 << 30,
            timeout: Duration::from_secs(60),
            pipeline_cache: cache::default_folder(),
            limits: None,
            patch: None,
        }
    }
}

/// An open adapter that computes in f32 or f64.
#[derive(Debug, Clone)]
pub struct Gpu {
    machine: Machine,
    adapter: Arc<Adapter>,
    options: Arc<Options>,
    f64: bool,
    /// Whether the variants of the kernels for hardware are launched.
    hardware_kernels: bool,
    /// The units and losses whose WGSL agrees with their Rust form.
    checked: Arc<Mutex<Checked>>,
    /// The activations whose WGSL agrees with their Rust form, by name and whether in f64.
    checked_activations: Arc<Mutex<BTreeSet<(&'static str, bool)>>>,
}

/// The units and losses whose texts were compared.
#[derive(Debug, Default)]
struct Checked {
    forms: BTreeSet<Form>,
    /// The user's own, whose memory is kept for them but not what they own: nothing else can stand there.
    units: Vec<Weak<dyn Unit>>,
    losses: Vec<Weak<dyn LossFunction>>,
}

/// What is compared once.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Form {
    /// Where the user's own stands: its fields may say another function under the same name and text. The crate's have none.
    own: Option<usize>,
    name: String,
    text: String,
    /// Inputs and parameters of a unit, outputs of a loss and 0.
    sizes: (usize, usize),
    f64: bool,
}

/// Numbers on the device.
#[derive(Debug)]
pub struct Array {
    buffer: Buffer,
    len: usize,
}

/// Sums on the host, and what is still on its way to them.
#[derive(Debug)]
pub struct Sum {
    values: Vec<f64>,
    len: usize,
    /// Copies, with where their numbers belong.
    pending: Vec<(Staged, Vec<Range<usize>>)>,
    counter: Option<Rehearsed>,
}

impl Drop for Sum {
    fn drop(&mut self) {
        if let Some(counter) = &self.counter {
            counter.lock().cost.live -= 8 * self.len as u64;
        }
    }
}

/// The adapters of this machine, hardware first: discrete, integrated, virtual, other, software.
pub fn adapters() -> Vec<Adapter> {
    context::adapters().into_iter().map(|(_, a)| a).collect()
}

impl Gpu {
    /// Opens an adapter to compute in f32: the first hardware adapter, or the first whose name contains `name` (upper and
    /// lower case alike), or, for one or two digits, the one of that number in [`adapters`]. Software adapters are used only
    /// where asked for so.
    ///
    /// # Errors
    /// No such adapter, or the driver refuses to open it.
    pub fn open(name: Option<&str>, options: Options) -> Result<Self> {
        let all = context::adapters();
        let wanted = |index: usize, adapter: &Adapter| match name {
            None => !adapter.software,
            Some(name) => match name.parse::<usize>() {
                // "4090" is a name.
                Ok(number) if name.len() <= 2 => number == index,
                _ => adapter.name.to_lowercase().contains(&name.to_lowercase()),
            },
        };
        let found = all.iter().enumerate().find(|(i, (_, a))| wanted(*i, a));
        let Some((_, (raw, adapter))) = found else {
            let known = (all.iter().enumerate())
                .map(|(i, (_, a))| format!("{i}: {a}"))
                .collect();
            let (asked, operation) = match name {
                None => ("gpu".to_string(), "looking for a hardware adapter"),
                Some(name) => (format!("gpu:{name}"), "looking for that adapter"),
            };
            return Err(Error::gpu(asked, operation, Fault::NoAdapter { known }));
        };
        let mut adapter = adapter.clone();
        if let Some(limits) = options.limits {
            adapter.limits = limits;
        }
        let (adapter, options) = (Arc::new(adapter), Arc::new(options));
        let context = Context::open(raw, adapter.clone(), options.clone())?;
        Ok(Gpu {
            machine: Machine::Real(context),
            hardware_kernels: !adapter.software,
            adapter,
            options,
            f64: false,
            checked: Arc::default(),
            checked_activations: Arc::default(),
        })
    }

    /// The same adapter computing in f64.
    ///
    /// # Errors
    /// It does not offer f64.
    pub fn in_f64(mut self) -> Result<Self> {
        if !self.adapter.f64 {
            return Err(Error::gpu(
                &self.adapter.name,
                "computing in f64",
                Fault::NoF64,
            ));
        }
        self.f64 = true;
        Ok(self)
    }

    /// The same adapter with the variants of the kernels that hardware gets, for tests on software.
    #[doc(hidden)]
    pub fn with_kernels_for_hardware(mut self) -> Self {
        self.hardware_kernels = true;
        self
    }

    /// The adapter.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Whether it computes in f64.
    pub fn is_f64(&self) -> bool {
        self.f64
    }

    /// Bytes that may be taken on the device.
    pub(crate) fn memory(&self) -> u64 {
        self.options.memory
    }

    /// The next call of the fault's kind meets it after `calls` that do not.
    #[doc(hidden)]
    pub fn simulate(&self, fault: Simulated, calls: usize) {
        if let Machine::Real(context) = &self.machine {
            context.simulate(fault, calls);
        }
    }

    /// Where the host's time went, since the adapter was opened.
    pub fn times(&self) -> Times {
        match &self.machine {
            Machine::Real(context) => context.times(),
            Machine::Rehearsal { .. } => Times::default(),
        }
    }

    /// The most bytes that were held on the device at once.
    #[doc(hidden)]
    pub fn peak(&self) -> u64 {
        match &self.machine {
            Machine::Real(context) => context.peak(),
            Machine::Rehearsal { counter, .. } => counter.lock().device_peak,
        }
    }

    /// The same backend, but it runs nothing and counts.
    pub(crate) fn rehearsal(&self) -> (Gpu, Rehearsed) {
        let counter = Rehearsed::default();
        let machine = Machine::Rehearsal {
            adapter: self.adapter.clone(),
            counter: counter.clone(),
        };
        let gpu = Gpu {
            machine,
            ..self.clone()
        };
        (gpu, counter)
    }

    /// Builds the pipelines that a rehearsal has used.
    pub(crate) fn prepare(&self, rehearsed: &Rehearsed) -> Result<()> {
        let keys = rehearsed.lock().keys.clone();
        match &self.machine {
            Machine::Real(context) => context.prepare(&keys),
            Machine::Rehearsal { .. } => Ok(()),
        }
    }

    fn target(&self) -> product::Target {
        product::Target {
            software: !self.hardware_kernels,
            double: self.f64,
        }
    }

    fn rehearses(&self) -> bool {
        matches!(self.machine, Machine::Rehearsal { .. })
    }

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
        let buffer = if self.f64 {
            self.machine
                .upload(bytemuck::cast_slice(values), operation)?
        } else {
            let rounded: Vec<f32> = values.par_iter().map(|&v| v as f32).collect();
            self.machine
                .upload(bytemuck::cast_slice(&rounded), operation)?
        };
        let len = values.len();
        Ok(Array { buffer, len })
    }

    fn launch(&self, launch: &Launch, binds: &[Bind]) -> Result<()> {
        self.machine.launch(launch, self.f64, binds)
    }

    /// Calls `take` with each place and the number of a copy that belongs there.
    fn numbers(&self, bytes: &[u8], places: &mut [f64], take: impl Fn(&mut f64, f64) + Sync) {
        let float = self.float() as usize;
        (places.par_iter_mut())
            .zip(bytes.par_chunks_exact(float))
            .with_min_len(1 << 14)
            .for_each(|(place, number)| {
                let mut word = [0; 8];
                word[..float].copy_from_slice(number);
                take(
                    place,
                    match self.f64 {
                        true => f64::from_le_bytes(word),
                        false => f64::from(f32::from_bits(u64::from_le_bytes(word) as u32)),
                    },
                );
            });
    }

    /// Adds what is on its way.
    fn drain(&self, sum: &mut Sum, operation: &str) -> Result<()> {
        for (staged, places) in std::mem::take(&mut sum.pending) {
            let values = &mut sum.values;
            self.machine.fetch(&staged, operation, &mut |bytes| {
                let mut rest = bytes;
                for place in &places {
                    let (part, after) = rest.split_at(place.len() * self.float() as usize);
                    self.numbers(part, &mut values[place.clone()], |sum, v| *sum += v);
                    rest = after;
                }
            })?;
        }
        Ok(())
    }

    /// Adds the array's numbers at these places, once they are read back.
    fn add(
        &self,
        sum: &mut Sum,
        places: Vec<Range<usize>>,
        result: &Array,
        operation: &str,
    ) -> Result<()> {
        let bytes = result.len as u64 * self.float();
        let staged = self.machine.stage(&result.buffer, bytes, operation)?;
        sum.pending.push((staged, places));
        Ok(())
    }

    /// Σ_r a[r, l] of `rows` rows, 16 at a time, pairwise.
    fn reduced(&self, mut rows: usize, len: usize, mut a: Array) -> Result<Array> {
        while rows > 1 {
            let fewer = rows.div_ceil(gram::FAN as usize);
            let out = self.array(&[fewer, len], "reduce")?;
            let launch = Launch::items("reduce", (fewer * len) as u64, 16.0)
                .params([("count", rows), ("len", len)]);
            self.launch(&launch, &[a.buffer.read(), out.buffer.write()])?;
            (rows, a) = (fewer, out);
        }
        Ok(a)
    }

    /// The parts of a matrix that kernels can see at once: the units of each, and where its rows stand.
    fn windows<'a>(&self, a: &Operand<'a, Array>) -> Result<Vec<(Range<usize>, Bind<'a>)>> {
        match a.kind {
            Kind::Sampled => Ok(vec![(0..a.units.len(), a.array.buffer.read())]),
            Kind::Shared => self.rows_at_once(a.array, a.units.len(), a.width),
        }
    }

    /// The same for an array of `units` rows of `width` numbers.
    fn rows_at_once<'a>(
        &self,
        array: &'a Array,
        units: usize,
        width: usize,
    ) -> Result<Vec<(Range<usize>, Bind<'a>)>> {
        let limits = self.machine.limits();
        let row = width as u64 * self.float();
        let whole = array.buffer.read();
        if whole.bytes <= limits.binding {
            return Ok(vec![(0..units, whole)]);
        }
        // Windows begin where the device allows a binding to begin.
        let mut step = 1;
        while !(step * row).is_multiple_of(u64::from(limits.alignment)) {
            step *= 2;
        }
        let rows = limits.binding / (step * row) * step;
        if rows == 0 {
            let fault = Fault::Limit {
                limit: "what a kernel can see of one array, in bytes,",
                need: step * row,
                have: limits.binding,
            };
            return Err(Error::gpu(
                &self.adapter.name,
                "the weights of a layer",
                fault,
            ));
        }
        let windows = (0..units).step_by(rows as usize).map(|from| {
            let to = units.min(from + rows as usize);
            let bytes = (to - from) as u64 * row;
            (from..to, array.buffer.window(from as u64 * row, bytes))
        });
        Ok(windows.collect())
    }

    /// What has no text is computed on the host: `compute` gets the arrays' numbers and leaves the result.
    fn on_host(
        &self,
        operation: &str,
        inputs: &[&Array],
        len: usize,
        compute: impl FnOnce(&[Vec<f64>]) -> Result<Vec<f64>>,
    ) -> Result<Array> {
        let inputs: Vec<_> = inputs
            .iter()
            .map(|a| self.download(a))
            .collect::<Result<_>>()?;
        if self.rehearses() {
            return self.array(&[len], operation);
        }
        self.store(&compute(&inputs)?, operation)
    }
}

/// Bytes of results that may be on their way to the host at once.
const AT_ONCE: u64 = 256 << 20;

/// The highest order of a tensor that `shaders/tensor.wgsl` is launched for.
const TENSOR_ORDER: usize = 4;

/// The host's twin, for what is computed there.
fn host() -> Cpu<f64> {
    Cpu::new()
}

impl Backend for Gpu {
    type Array = Array;
    type Sum = Sum;

    fn upload(&self, values: &[f64]) -> Result<Array> {
        if !self.f64 {
            super::check_f32(values)?;
        }
        self.store(values, "upload")
    }

    fn zeros(&self, len: usize) -> Result<Array> {
        let array = self.array(&[len], "zeros")?;
        self.machine.clear(&array.buffer)?;
        Ok(array)
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

    fn sums(&self, len: usize) -> Result<Sum> {
        let (values, counter) = match &self.machine {
            Machine::Real(_) => (host().sums(len)?, None),
            Machine::Rehearsal { counter, .. } => {
                counter.host(8 * len as u64);
                (Vec::new(), Some(counter.clone()))
            }
        };
        Ok(Sum {
            values,
            len,
            pending: Vec::new(),
            counter,
        })
    }

    fn read(&self, mut sum: Sum) -> Result<Vec<f64>> {
        self.drain(&mut sum, "reading the sums")?;
        Ok(std::mem::take(&mut sum.values))
    }

    fn gather(&self, n: usize, sources: &[(&Array, usize)], bias: bool) -> Result<Array> {
        let width = sources.iter().map(|s| s.1).sum::<usize>() + usize::from(bias);
        let z = self.array(&[n, width], "gather")?;
        let mut at = 0;
        for (x, columns) in sources {
            let launch = Launch::items("gather", (n * columns) as u64, 0.0).params([
                ("n", n),
                ("width", width),
                ("at", at),
                ("columns", *columns),
            ]);
            self.launch(&launch, &[x.buffer.read(), z.buffer.write()])?;
            at += columns;
        }
        if bias {
            let launch = Launch::items("gather", n as u64, 0.0)
                .define("CONSTANT", 1)
                .params([("n", n), ("width", width), ("at", at), ("columns", 1)]);
            self.launch(&launch, &[z.buffer.write()])?;
        }
        Ok(z)
    }

    fn propagate(
        &self,
        n: usize,
        vectors: usize,
        z: &Array,
        stride: usize,
        a: &Operand<Array>,
        out: &mut Array,
    ) -> Result<()> {
        for (units, matrix) in self.windows(a)? {
            let shape = product::Shape::new(n, vectors, a, units);
            let launch = product::propagate(&shape, stride as u64, self.target())
                .map_err(|reason| self.too_large("propagate", reason))?;
            self.launch(&launch, &[z.buffer.read(), matrix, out.buffer.write()])?;
        }
        Ok(())
    }

    fn activate(
        &self,
        n: usize,
        runs: &[(Activation, usize)],
        p: &Array,
        order: usize,
    ) -> Result<Vec<Array>> {
        let on_host = |a: Activation| matches!(a, Activation::Custom(c) if c.wgsl().is_none());
        if runs.iter().any(|r| on_host(r.0)) {
            return self.activate_on_host(n, runs, p, order);
        }
        for &(activation, _) in runs {
            if let Activation::Custom(custom) = activation {
                self.check_activation(custom)?;
            }
        }
        self.activate_by_shader(n, runs, p, order)
    }

    fn check_parts(&self, network: &Network, loss: &Loss, y: &Array2<f64>) -> Result<()> {
        if self.rehearses() {
            return Ok(());
        }
        self.check_loss(loss, y)?;
        self.check_units(network)
    }

    fn loss(
        &self,
        n: usize,
        loss: &Loss,
        x: &Array,
        y: &Array,
        omega: &Array,
        value: &mut Sum,
        gradient: bool,
    ) -> Result<Option<Array>> {
        if loss.wgsl()?.is_none() {
            let (mut sum, len) = (vec![0.0], if gradient { x.len } else { 0 });
            let seed = self.on_host("loss", &[x, y, omega], len, |a| {
                let seed = host().loss(n, loss, &a[0], &a[1], &a[2], &mut sum, gradient)?;
                Ok(seed.unwrap_or_default())
            })?;
            value.values.iter_mut().for_each(|v| *v += sum[0]);
            return Ok(gradient.then_some(seed));
        }
        self.drain(value, "loss")?;
        let each = self.loss_kernel("WHAT_VALUE", n, loss, x, y, omega, n)?;
        let total = self.reduced(n, 1, each)?;
        self.add(value, std::iter::once(0..1).collect(), &total, "loss")?;
        gradient
            .then(|| self.loss_kernel("WHAT_GRADIENT", n, loss, x, y, omega, x.len))
            .transpose()
    }

    fn loss_hessian(
        &self,
        n: usize,
        loss: &Loss,
        x: &Array,
        y: &Array,
        omega: &Array,
    ) -> Result<Array> {
        let outputs = x.len.checked_div(n).unwrap_or(0);
        if loss.wgsl()?.is_none() {
            return self.on_host("loss", &[x, y, omega], x.len * outputs, |a| {
                host().loss_hessian(n, loss, &a[0], &a[1], &a[2])
            });
        }
        self.loss_kernel("WHAT_HESSIAN", n, loss, x, y, omega, x.len * outputs)
    }

    fn contract(
        &self,
        n: usize,
        vectors: usize,
        m: &Array,
        a: &Operand<Array>,
        column: usize,
        count: usize,
        out: &mut Array,
    ) -> Result<()> {
        for (units, matrix) in self.windows(a)? {
            let shape = product::Shape::new(n, vectors, a, units);
            let launch = product::contract(&shape, column as u64, count as u64, self.target())
                .map_err(|reason| self.too_large("contract", reason))?;
            self.launch(&launch, &[m.buffer.read(), matrix, out.buffer.write()])?;
        }
        Ok(())
    }

    fn contract_diagonal(
        &self,
        n: usize,
        m: &Array,
        a: &Operand<Array>,
        column: usize,
        count: usize,
        out: &mut Array,
    ) -> Result<()> {
        for (units, matrix) in self.windows(a)? {
            let flops = 2.0 * units.len() as f64;
            let launch = Launch::items("contract_diagonal", (n * count) as u64, flops)
                .define("SAMPLED", usize::from(a.kind == Kind::Sampled))
                .params([
                    ("n", n),
                    ("layer", a.layer),
                    ("first", a.units.start + units.start),
                    ("units", units.len()),
                    ("width", a.width),
                    ("column", column),
                    ("count", count),
                ]);
            self.launch(&launch, &[m.buffer.read(), matrix, out.buffer.write()])?;
        }
        Ok(())
    }

    fn scale(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        d: &Array,
        a: &mut Array,
    ) -> Result<()> {
        let launch = Launch::items("scale", (n * vectors * units) as u64, 1.0).params([
            ("n", n),
            ("vectors", vectors),
            ("units", units),
        ]);
        self.launch(&launch, &[d.buffer.read(), a.buffer.write()])
    }

    fn multiply_add(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        a: &Array,
        b: &Array,
        out: &mut Array,
    ) -> Result<()> {
        let launch = Launch::items("multiply_add", (n * vectors * units) as u64, 2.0).params([
            ("n", n),
            ("vectors", vectors),
            ("units", units),
        ]);
        self.launch(
            &launch,
            &[a.buffer.read(), b.buffer.read(), out.buffer.write()],
        )
    }

    fn add_diagonal(&self, n: usize, units: usize, d: &Array, a: &mut Array) -> Result<()> {
        let launch = Launch::items("diagonal", (n * units) as u64, 1.0)
            .define("ADD", 1)
            .params([("n", n), ("units", units)]);
        self.launch(&launch, &[d.buffer.read(), a.buffer.write()])
    }

    fn diagonal(&self, n: usize, units: usize, a: &Array) -> Result<Array> {
        let out = self.array(&[n, units], "diagonal")?;
        let launch =
            Launch::items("diagonal", (n * units) as u64, 0.0).params([("n", n), ("units", units)]);
        self.launch(&launch, &[a.buffer.read(), out.buffer.write()])?;
        Ok(out)
    }

    fn transpose(&self, n: usize, rows: usize, columns: usize, a: &Array) -> Result<Array> {
        let out = self.array(&[a.len], "transpose")?;
        let launch = Launch::items("transpose", a.len as u64, 0.0).params([
            ("n", n),
            ("rows", rows),
            ("columns", columns),
        ]);
        self.launch(&launch, &[a.buffer.read(), out.buffer.write()])?;
        Ok(out)
    }

    fn gauss_newton(
        &self,
        n: usize,
        outputs: usize,
        units: usize,
        jacobian: &Array,
        hessian: &Array,
    ) -> Result<Array> {
        let c = self.array(&[n, units], "gauss_newton")?;
        let flops = 3.0 * (outputs * outputs) as f64;
        let launch = Launch::items("gauss_newton", (n * units) as u64, flops).params([
            ("n", n),
            ("outputs", outputs),
            ("units", units),
        ]);
        let binds = [
            jacobian.buffer.read(),
            hessian.buffer.read(),
            c.buffer.write(),
        ];
        self.launch(&launch, &binds)?;
        Ok(c)
    }

    fn fisher(&self, n: usize, units: usize, delta: &Array, omega: &Array) -> Result<Array> {
        let c = self.array(&[n, units], "fisher")?;
        let launch =
            Launch::items("fisher", (n * units) as u64, 2.0).params([("n", n), ("units", units)]);
        self.launch(
            &launch,
            &[delta.buffer.read(), omega.buffer.read(), c.buffer.write()],
        )?;
        Ok(c)
    }

    fn gradient(
        &self,
        n: usize,
        delta: &Array,
        phi: &Operand<Array>,
        out: &mut Sum,
        at: usize,
    ) -> Result<()> {
        self.weighted_sum(gram::Sum::Gradient, n, delta, phi, out, at)
    }

    fn outer(&self, n: usize, y: &Columns<Array>, z: &Columns<Array>) -> Result<Array> {
        let out = self.array(&[n, y.width, z.width], "outer")?;
        let launch = Launch::items("outer", out.len as u64, 1.0).params([
            ("n", n),
            ("y_stride", y.stride),
            ("y_first", y.first),
            ("y_width", y.width),
            ("z_stride", z.stride),
            ("z_first", z.first),
            ("z_width", z.width),
        ]);
        let binds = [
            y.array.buffer.read(),
            z.array.buffer.read(),
            out.buffer.write(),
        ];
        self.launch(&launch, &binds)?;
        Ok(out)
    }

    fn pairs(&self, n: usize, layer: usize, units: Range<usize>, a: &Array) -> Result<Array> {
        let size = super::product(&[units.len(), units.len() + 1])? / 2;
        let out = self.array(&[n, size], "pairs")?;
        let launch = Launch::items("pairs", out.len as u64, 0.0).params([
            ("n", n),
            ("layer", layer),
            ("first", units.start),
            ("size", size),
        ]);
        self.launch(&launch, &[a.buffer.read(), out.buffer.write()])?;
        Ok(out)
    }

    fn gram(&self, n: usize, c: &Array, phi: &Operand<Array>, out: &mut Sum) -> Result<()> {
        self.weighted_sum(gram::Sum::Gram, n, c, phi, out, 0)
    }

    fn gram_diagonal(
        &self,
        n: usize,
        c: &Array,
        phi: &Operand<Array>,
        out: &mut Sum,
    ) -> Result<()> {
        self.weighted_sum(gram::Sum::Diagonal, n, c, phi, out, 0)
    }

    fn tensor(
        &self,
        n: usize,
        order: usize,
        c: &Array,
        z: &Array,
        width: usize,
        out: &mut Sum,
    ) -> Result<()> {
        if order > TENSOR_ORDER {
            return Err(Error::Unsupported {
                what: format!("a tensor of order {order} on an adapter"),
                why: format!("its kernel goes to order {TENSOR_ORDER}; use the CPU"),
            });
        }
        let (splits, len) = (n.div_ceil(gram::BLOCK as usize), out.len);
        if splits == 0 || len == 0 {
            return Ok(());
        }
        let limits = self.sum_limits();
        let fits = |len| gram::within(limits, splits as u64, len);
        let window = gram::largest(len as u64, fits) as usize;
        let small = |numbers: Option<usize>| numbers.is_some_and(|v| u32::try_from(v).is_ok());
        if window == 0 || !small(len.checked_mul(order)) || !small(n.checked_mul(width)) {
            let reason = format!(
                "{len} entries of order {order} over {n} samples of {width} inputs are too many for one call"
            );
            return Err(self.too_large("tensor", reason));
        }
        self.drain(out, "tensor")?;
        for first in (0..len).step_by(window) {
            let size = window.min(len - first);
            let partial = self.array(&[splits, size], "tensor")?;
            let flops = (2 * order * n.min(gram::BLOCK as usize)) as f64;
            let launch = Launch::items("tensor", (splits * size) as u64, flops)
                .define("ORDER", order)
                .params([("n", n), ("width", width), ("first", first), ("size", size)]);
            let binds = [c.buffer.read(), z.buffer.read(), partial.buffer.write()];
            self.launch(&launch, &binds)?;
            let places = std::iter::once(first..first + size).collect();
            self.accumulate(out, places, splits, partial, "tensor")?;
        }
        Ok(())
    }

    fn unit_value(
        &self,
        n: usize,
        group: &UnitGroup<Array>,
        z: &Array,
        p: &mut Array,
    ) -> Result<()> {
        self.value_of_units(n, group, z, p)
    }

    fn unit_derivative(
        &self,
        n: usize,
        group: &UnitGroup<Array>,
        z: &Array,
        which: UnitDerivative,
    ) -> Result<Array> {
        self.derivative_of_units(n, group, z, which)
    }

    fn unit_value_along(
        &self,
        n: usize,
        group: &UnitGroup<Array>,
        z: &Array,
        direction: &Direction<Array>,
        p: &mut Array,
    ) -> Result<()> {
        self.value_of_units_along(n, group, z, direction, p)
    }

    fn unit_along(
        &self,
        n: usize,
        group: &UnitGroup<Array>,
        z: &Array,
        direction: &Direction<Array>,
        which: UnitDerivative,
    ) -> Result<Array> {
        self.units_along(n, group, z, direction, which)
    }

    fn unit_d_zz(
        &self,
        n: usize,
        group: &UnitGroup<Array>,
        z: &Array,
        delta: &Array,
        out: &mut Array,
    ) -> Result<()> {
        self.units_d_zz(n, group, z, delta, out)
    }

    fn unit_d_ww(
        &self,
        n: usize,
        group: &UnitGroup<Array>,
        z: &Array,
        delta: &Array,
        diagonal: bool,
        out: &mut Sum,
    ) -> Result<()> {
        self.units_d_ww(n, group, z, delta, diagonal, out)
    }
}

impl Gpu {
    fn activate_by_shader(
        &self,
        n: usize,
        runs: &[(Activation, usize)],
        p: &Array,
        order: usize,
    ) -> Result<Vec<Array>> {
        let out: Vec<Array> = (0..=order)
            .map(|_| self.array(&[p.len], "activate"))
            .collect::<Result<_>>()?;
        let layer = runs.iter().map(|r| r.1).sum::<usize>();
        let mut first = 0;
        for &(activation, units) in runs {
            let stem = match activation {
                Activation::Custom(custom) => custom.stem(),
                builtin => builtin.name().into(),
            };
            let launch = Launch::items("activate", (n * units) as u64, 20.0)
                .define("ACTIVATION", stem)
                .define("ORDER1", usize::from(order >= 1))
                .define("ORDER2", usize::from(order >= 2))
                .params([
                    ("n", n),
                    ("layer", layer),
                    ("first", first),
                    ("units", units),
                ]);
            let mut binds = vec![p.buffer.read()];
            binds.extend(out.iter().map(|h| h.buffer.write()));
            self.launch(&launch, &binds)?;
            first += units;
        }
        Ok(out)
    }

    /// A layer with an activation that has no WGSL.
    fn activate_on_host(
        &self,
        n: usize,
        runs: &[(Activation, usize)],
        p: &Array,
        order: usize,
    ) -> Result<Vec<Array>> {
        let numbers = self.download(p)?;
        if self.rehearses() {
            return (0..=order)
                .map(|_| self.array(&[p.len], "activate"))
                .collect();
        }
        (host().activate(n, runs, &numbers, order)?.iter())
            .map(|h| self.store(h, "activate"))
            .collect()
    }

    /// Before the first use of the user's WGSL: whether it is the same function as the Rust form.
    ///
    /// At 200 points between −6 and 6, h, h′ and h″ may differ by 2⁻¹² (f64: 2⁻²⁴) of their largest size within 1/8: a
    /// wrong formula is off by more, one that cancels is not.
    fn check_activation(&self, custom: Custom) -> Result<()> {
        let key = (custom.name(), self.f64);
        if self.rehearses()
            || !custom.is_function()
            || lock(&self.checked_activations).contains(&key)
        {
            return Ok(());
        }
        let activation = Activation::Custom(custom);
        let points: Vec<f64> = (check::points(200, 1, 11).into_iter())
            .map(|u| 3.0 * u[0])
            .map(|u| if self.f64 { u } else { f64::from(u as f32) })
            .collect();
        let runs = [(activation, 1)];
        let arrays =
            self.activate_by_shader(points.len(), &runs, &self.store(&points, "activate")?, 2)?;
        let given: Vec<Vec<f64>> = (arrays.iter())
            .map(|h| self.download(h))
            .collect::<Result<_>>()?;
        // The neighbours of each point come behind it.
        let near = [0.0, -0.125, -0.0625, 0.0625, 0.125];
        let around: Vec<f64> = points.iter().flat_map(|u| near.map(|d| u + d)).collect();
        let right: Vec<[f64; 3]> = guard::call("activation", custom.name(), || {
            around.iter().map(|&u| activation.derivatives(u)).collect()
        })?;
        let tolerance = if self.f64 {
            0.5f64.powi(24)
        } else {
            0.5f64.powi(12)
        };
        for (k, what) in ["h", "h′", "h″"].into_iter().enumerate() {
            for (i, &u) in points.iter().enumerate() {
                let near = &right[i * near.len()..][..near.len()];
                let scale = near.iter().fold(0.0f64, |m, v| m.max(v[k].abs()));
                let (given, right) = (given[k][i], near[0][k]);
                // f32 holds no larger numbers, and few smaller ones; NaN is compared with nothing.
                let comparable = right.is_finite() && scale < 1e30;
                let error = (given - right).abs();
                if comparable && (error.is_nan() || error > tolerance * scale + 1e-30) {
                    return Err(Error::Part {
                        kind: "activation",
                        name: custom.name().into(),
                        why: format!(
                            "at u = {u} its WGSL gives {what} = {given:e} on {}, its Rust form {right:e}",
                            self.adapter.name
                        ),
                    });
                }
            }
        }
        lock(&self.checked_activations).insert(key);
        Ok(())
    }
}

impl Gpu {
    /// Compares a loss's text with its Rust form at points around the first targets, once for each loss.
    fn check_loss(&self, loss: &Loss, y: &Array2<f64>) -> Result<()> {
        let (Loss::Custom(custom), Some(text), false) = (loss, loss.wgsl()?, y.is_empty()) else {
            return Ok(());
        };
        let (name, outputs) = (loss.guarded(|| custom.name())?, y.ncols());
        let form = Form {
            own: Some(Arc::as_ptr(custom).addr()),
            name: name.into(),
            text: text.into(),
            sizes: (outputs, 0),
            f64: self.f64,
        };
        if lock(&self.checked).forms.contains(&form) {
            return Ok(());
        }
        let refuse = |why: String| Error::Part {
            kind: "loss",
            name: name.into(),
            why,
        };
        // What the device's floats hold exactly.
        let exact = |v: f64| if self.f64 { v } else { f64::from(v as f32) };
        let points = check::points(16, outputs, 1);
        let n = points.len();
        let rows = (0..n).flat_map(|i| y.row(i % y.nrows()));
        let y: Vec<f64> = rows.map(|&v| exact(v)).collect();
        let apart = points.iter().flatten();
        let x: Vec<f64> = y.iter().zip(apart).map(|(y, d)| exact(y + d)).collect();
        let sample = |i: usize| (&x[i * outputs..][..outputs], &y[i * outputs..][..outputs]);
        let whats = [
            ("WHAT_VALUE", "the value", 1),
            ("WHAT_GRADIENT", "the gradient", outputs),
            ("WHAT_HESSIAN", "the Hessian", outputs * outputs),
        ];
        // Sample by sample: where the loss is not defined there is nothing to compare.
        let right: Vec<Option<[Vec<f64>; 3]>> = loss.guarded(|| {
            let numbers = |i| {
                let (x, y) = sample(i);
                let mut all = whats.map(|(.., each)| vec![0.0; each]);
                all[0][0] = custom.value(x, y);
                custom.gradient(x, y, &mut all[1]);
                custom.hessian(x, y, &mut all[2]);
                let finite = all.iter().flatten().all(|&v| exact(v).is_finite());
                finite.then_some(all)
            };
            (0..n).map(numbers).collect()
        })?;
        let store = |v: &[f64]| self.store(v, "loss");
        let (dx, dy, ones) = (store(&x)?, store(&y)?, store(&vec![1.0; n])?);
        let tolerance = if self.f64 { 1e-9 } else { 1e-3 };
        for (k, (what, words, each)) in whats.into_iter().enumerate() {
            let found = self.loss_kernel(what, n, loss, &dx, &dy, &ones, n * each);
            let found = found.map_err(|error| match error {
                Error::Gpu {
                    fault: Fault::Shader { reason },
                    adapter,
                    ..
                } => refuse(format!("its WGSL is refused by {adapter}: {reason}")),
                other => other,
            })?;
            let found = self.download(&found)?;
            let numbers = right.iter().flatten().flat_map(|all| &all[k]);
            let largest = numbers.fold(0.0f64, |m, v| m.max(v.abs()));
            for (i, found) in found.chunks(each).enumerate() {
                let Some(right) = &right[i] else {
                    continue;
                };
                for (entry, (found, right)) in found.iter().zip(&right[k]).enumerate() {
                    let error = (found - right).abs();
                    if error.is_nan() || error > tolerance * largest {
                        let (x, y) = sample(i);
                        return Err(refuse(format!(
                            "its WGSL gives {found:e} for {words}, entry {entry} at x = {x:?}, y = {y:?}, where its Rust gives {right:e}"
                        )));
                    }
                }
            }
        }
        let mut checked = lock(&self.checked);
        checked.losses.push(Arc::downgrade(custom));
        checked.forms.insert(form);
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn loss_kernel(
        &self,
        what: &'static str,
        n: usize,
        loss: &Loss,
        x: &Array,
        y: &Array,
        omega: &Array,
        len: usize,
    ) -> Result<Array> {
        let outputs = x.len.checked_div(n).unwrap_or(0);
        let constants = match loss.parameter().1 {
            Parameter::All(v) => vec![v; outputs],
            Parameter::Each(v) => v.to_vec(),
        };
        let constants = self.store(&constants, "loss")?;
        let out = self.array(&[len], "loss")?;
        // One thread for each sample where a value is a sum over its outputs, else for each sample and output.
        let threads = if what == "WHAT_VALUE" { n } else { x.len };
        let launch = Launch::items("loss", threads as u64, 20.0 * outputs as f64);
        let launch = match loss {
            Loss::Custom(_) => launch
                .define("CUSTOM", loss.wgsl()?.unwrap_or_default())
                .define("OUTPUTS", outputs),
            builtin => launch
                .define("LOSS", builtin.name())
                .define("COUPLED", usize::from(!builtin.hessian_is_diagonal())),
        };
        let launch = launch
            .define(what, 1)
            .params([("n", n), ("outputs", outputs)]);
        let binds = [
            x.buffer.read(),
            y.buffer.read(),
            omega.buffer.read(),
            constants.buffer.read(),
            out.buffer.write(),
        ];
        self.launch(&launch, &binds)?;
        Ok(out)
    }
}

impl Gpu {
    /// What of a launch cannot be: a size beyond what a kernel can index.
    fn too_large(&self, operation: &str, reason: String) -> Error {
        Error::gpu(&self.adapter.name, operation, Fault::TooLarge { reason })
    }

    /// sum += Σ_i of what `kind` says, window by window of the result.
    fn weighted_sum(
        &self,
        kind: gram::Sum,
        n: usize,
        c: &Array,
        phi: &Operand<Array>,
        sum: &mut Sum,
        at: usize,
    ) -> Result<()> {
        // What came before is added first, so that copies do not pile up; but the parts of one sum wait together: to wait
        // for each would cost a turn to the device and back.
        if at == 0 {
            self.drain(sum, kind.name())?;
        }
        let shape = gram::Shape {
            sum: kind,
            n: n as u64,
            units: phi.units.len() as u64,
            first: phi.units.start as u64,
            layer: phi.layer as u64,
            width: phi.width as u64,
            sampled: phi.kind == Kind::Sampled,
        };
        let adapter = match self.hardware_kernels {
            true => gram::Adapter::Hardware,
            false => gram::Adapter::Software {
                broadcast: self.adapter.eight_lanes,
            },
        };
        let form = gram::choose(shape, self.float(), adapter);
        self.weighted_sum_by(form, shape, c, phi, sum, at)
    }

    fn weighted_sum_by(
        &self,
        form: gram::Form,
        shape: gram::Shape,
        c: &Array,
        phi: &Operand<Array>,
        sum: &mut Sum,
        at: usize,
    ) -> Result<()> {
        let operation = shape.sum.name();
        let limits = self.sum_limits();
        let large = |reason| self.too_large(operation, reason);
        for window in gram::windows(shape, form, limits).map_err(large)? {
            let (launch, splits, len) = gram::launch(shape, form, window).map_err(large)?;
            let partial = self.array(&[splits, len], operation)?;
            let binds = [
                c.buffer.read(),
                phi.array.buffer.read(),
                partial.buffer.write(),
            ];
            self.launch(&launch, &binds)?;
            let places = (gram::places(shape, window).into_iter())
                .map(|place| at + place.start..at + place.end)
                .collect();
            self.accumulate(sum, places, splits, partial, operation)?;
        }
        Ok(())
    }

    /// What the partial sums of a sum over samples may take.
    fn sum_limits(&self) -> gram::Limits {
        gram::Limits {
            float: self.float(),
            binding: self.machine.limits().binding,
            scratch: self.options.memory / 4,
            target: gram::TARGET[usize::from(!self.hardware_kernels)],
        }
    }

    /// Adds the sums over `splits` rows of partial sums at these places.
    fn accumulate(
        &self,
        sum: &mut Sum,
        places: Vec<Range<usize>>,
        splits: usize,
        partial: Array,
        operation: &str,
    ) -> Result<()> {
        let len = partial.len / splits.max(1);
        let result = self.reduced(splits, len, partial)?;
        self.add(sum, places, &result, operation)?;
        // Copies of large results must not pile up on the host.
        let waiting: u64 = sum.pending.iter().map(|(copy, _)| copy.bytes()).sum();
        if waiting > AT_ONCE {
            self.drain(sum, operation)?;
        }
        Ok(())
    }
}
