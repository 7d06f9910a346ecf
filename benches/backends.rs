//! The backends side by side: kernel by kernel, and whole row-block Newton steps.
//!
//! `cargo bench --bench backends` writes a table, a plot and the numbers as JSON into `benches/results/`, under the name of
//! the first hardware adapter, or `cpu` where there is none; SECONDO_BENCH_ADAPTER names an adapter, which may be software,
//! and SECONDO_BENCH_RESULTS another folder. Without `--bench`, as in `cargo test --all-targets`, everything runs once on
//! a few samples, the results must agree, and nothing is written. The README beside says what is measured.

mod common;

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use secondo::backend::gpu::{Adapter, Gpu, Options, adapters};
use secondo::backend::{Backend, Cpu, Layout, View, ViewMut, kernel};
use secondo::{
    Activation, BlockNewton, Control, Curvature, Device, Error, Fit, Method as _, Progress, Result,
    self_test, silent,
};
use serde_json::{Value, json};

use common::{number, plot, problem};

/// Samples, inputs of a layer with the constant, units.
type Size = (usize, usize, usize);

const SIZES: [Size; 8] = [
    (1_000_000, 8, 1),
    (100_000, 9, 8),
    (100_000, 33, 16),
    (10_000, 33, 64),
    (65_536, 65, 16),
    (16_384, 129, 64),
    (4_096, 257, 64),
    (2_048, 785, 64),
];

/// Where there is a hardware adapter, the Gram kernel alone: the other kernels' results would be gigabytes.
const LARGE: [Size; 2] = [(1_000_000, 33, 64), (60_000, 785, 64)];

/// Useful flops of one call, beyond which software adapters are spared.
const SOFTWARE: f64 = 2e10;

const NETWORKS: [([usize; 3], usize); 2] = [([32, 64, 1], 20_000), ([64, 32, 10], 2_000)];
const LARGE_NETWORK: ([usize; 3], usize) = ([784, 64, 10], 60_000);

/// Newton steps that are timed.
const STEPS: usize = 3;

/// An adapter's name without what stands in parentheses.
fn short(adapter: &Adapter) -> &str {
    let name = adapter.name.as_str();
    name.split_once('(').map_or(name, |(name, _)| name).trim()
}

/// A backend with its name in the tables.
struct Named {
    name: String,
    device: Device,
}

impl Named {
    fn new(device: Device) -> Self {
        let precision = device.precision();
        let name = match &device {
            Device::Gpu(gpu) => {
                let adapter = gpu.adapter();
                let mark = if adapter.software { " (software)" } else { "" };
                let (name, interface) = (short(adapter), &adapter.interface);
                format!("{name} {interface} {precision}{mark}")
            }
            _ => format!("cpu {precision}"),
        };
        Named { name, device }
    }

    fn adapter(&self) -> Option<&Adapter> {
        match &self.device {
            Device::Gpu(gpu) => Some(gpu.adapter()),
            _ => None,
        }
    }

    fn software(&self) -> bool {
        self.adapter().is_some_and(|a| a.software)
    }

    /// Recorded with every figure.
    fn record(&self) -> Value {
        let adapter = self.adapter();
        json!({
            "backend": self.name,
            "precision": self.device.precision().name(),
            "adapter": adapter.map(|a| &a.name),
            "interface": adapter.map(|a| &a.interface),
            "driver": adapter.map(|a| &a.driver),
            "software": self.software(),
        })
    }
}

/// The processor in f64, which the others are compared with, and in f32; then the adapter that SECONDO_BENCH_ADAPTER names,
/// or all that are hardware, each in f32 and, where offered, f64.
fn backends() -> Result<Vec<Named>> {
    let mut all = vec![Named::new(Device::Cpu), Named::new(Device::CpuF32)];
    let mut open = |name: &str| -> Result<()> {
        let gpu = Gpu::open(Some(name), Options::default())?;
        self_test(&gpu)?;
        all.push(Named::new(Device::Gpu(gpu.clone())));
        if gpu.adapter().f64 {
            let gpu = gpu.in_f64()?;
            self_test(&gpu)?;
            all.push(Named::new(Device::Gpu(gpu)));
        }
        Ok(())
    };
    match std::env::var("SECONDO_BENCH_ADAPTER") {
        Ok(name) => open(&name)?,
        Err(_) => {
            let known = adapters();
            let hardware = known.iter().enumerate().filter(|(_, a)| !a.software);
            for (number, adapter) in hardware {
                // Of equal cards one is enough.
                let same = |a: &Adapter| a.name == adapter.name && a.interface == adapter.interface;
                if known[..number].iter().any(same) {
                    continue;
                }
                if let Err(error) = open(&number.to_string()) {
                    eprintln!("{adapter} is left out: {error}");
                }
            }
        }
    }
    Ok(all)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kernel {
    Forward,
    Backward,
    Activate,
    WeightedSum,
    Gram,
}

impl Kernel {
    const ALL: [Kernel; 5] =
        [Kernel::Gram, Kernel::WeightedSum, Kernel::Forward, Kernel::Backward, Kernel::Activate];

    fn name(self) -> &'static str {
        match self {
            Kernel::Forward => "product z Wᵀ",
            Kernel::Backward => "product δ W",
            Kernel::Activate => "activate",
            Kernel::WeightedSum => "weighted_sum",
            Kernel::Gram => "gram",
        }
    }

    /// Operations that the result needs: of the Gram matrices one triangle; an activation counts as 20, as in `Plan`.
    fn flops(self, (n, d, s): Size) -> f64 {
        let [n, d, s] = [n, d, s].map(|v| v as f64);
        match self {
            Kernel::Forward | Kernel::Backward | Kernel::WeightedSum => 2.0 * n * d * s,
            Kernel::Activate => 20.0 * n * s,
            Kernel::Gram => n * d * (d + 1.0) * s,
        }
    }

    /// The numbers that it writes: arrays of these lengths, or so many sums over samples.
    fn outputs(self, (n, d, s): Size) -> (Vec<usize>, usize) {
        match self {
            Kernel::Forward => (vec![n * s], 0),
            Kernel::Backward => (vec![n * d], 0),
            Kernel::Activate => (vec![n * s; 3], 0),
            Kernel::WeightedSum => (vec![], s * d),
            Kernel::Gram => (vec![], s * d * (d + 1) / 2),
        }
    }
}

/// A kernel's operands on a backend. What the kernel does not take is empty.
struct Operands<'b, B: Backend> {
    backend: &'b B,
    kernel: Kernel,
    size: Size,
    /// n × d.
    z: B::Array,
    /// n × s.
    c: B::Array,
    /// s × d.
    w: B::Array,
    outputs: Vec<B::Array>,
    /// One number; when it is read back, all work before is done.
    mark: B::Array,
}

impl<'b, B: Backend> Operands<'b, B> {
    fn new(backend: &'b B, kernel: Kernel, size: Size) -> Result<Self> {
        use Kernel::*;
        let (n, d, s) = size;
        let upload = |needed: bool, len: usize| {
            let len = if needed { len } else { 0 };
            backend.upload(&(0..len).map(number).collect::<Vec<_>>())
        };
        let (arrays, _) = kernel.outputs(size);
        Ok(Operands {
            backend,
            kernel,
            size,
            z: upload(matches!(kernel, Forward | WeightedSum | Gram), n * d)?,
            c: upload(kernel != Forward, n * s)?,
            w: upload(matches!(kernel, Forward | Backward), s * d)?,
            outputs: (arrays.into_iter()).map(|len| backend.alloc(len)).collect::<Result<_>>()?,
            mark: backend.upload(&[0.0])?,
        })
    }

    /// Launches the kernel.
    fn launch(&mut self, sum: &mut B::Sum) -> Result<()> {
        let (n, d, s) = self.size;
        let (z, c) =
            (View::new(&self.z, Layout::rows_of(n, d)), View::new(&self.c, Layout::rows_of(n, s)));
        let w = View::new(&self.w, Layout::shared(n, s, d));
        let phi = z.with(|layout| layout.repeated_rows(s));
        let mut outputs = self.outputs.iter_mut();
        let mut to = |width| outputs.next().map(|out| ViewMut::new(out, Layout::rows_of(n, width)));
        let product = |x, b, out: Option<_>| kernel::Product {
            x,
            b,
            out: out.expect("an output"),
            accumulate: false,
        };
        let runs = [(Activation::Tanh, s)];
        self.backend.run(match self.kernel {
            Kernel::Forward => product(z, w.with(Layout::transposed), to(s)).into(),
            Kernel::Backward => product(c, w, to(d)).into(),
            Kernel::Activate => kernel::Activate {
                runs: &runs,
                p: c,
                h: to(s).expect("an output"),
                h1: to(s),
                h2: to(s),
            }
            .into(),
            Kernel::WeightedSum => kernel::WeightedSum { c, phi, sum, at: 0 }.into(),
            Kernel::Gram => kernel::Gram { c, phi, sum }.into(),
        })
    }

    /// One call from its launch until the backend is done, or until the result is on the host, which is then returned.
    fn run(&mut self, read: bool) -> Result<(Duration, Vec<f64>)> {
        let backend = self.backend;
        let mut sum = backend.sums(self.kernel.outputs(self.size).1.max(1))?;
        backend.download(&self.mark)?;
        let clock = Instant::now();
        self.launch(&mut sum)?;
        let mut result = Vec::new();
        if !read {
            backend.download(&self.mark)?;
        } else if self.outputs.is_empty() {
            result = backend.read(sum)?;
        } else {
            for array in &self.outputs {
                result.extend(backend.download(array)?);
            }
        }
        Ok((clock.elapsed(), result))
    }
}

/// Median and minimum, in seconds.
#[derive(Debug, Clone, Copy)]
struct Seconds {
    median: f64,
    min: f64,
}

impl Seconds {
    fn of(times: &[Duration]) -> Self {
        let mut times: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
        times.sort_by(f64::total_cmp);
        Seconds { median: times[times.len() / 2], min: times[0] }
    }

    /// Calls for about a second, at least 3 and at most 25.
    fn repeat(mut once: impl FnMut() -> Result<Duration>) -> Result<Self> {
        let begin = Instant::now();
        let mut times = Vec::new();
        while times.len() < 3 || (times.len() < 25 && begin.elapsed().as_secs_f64() < 1.0) {
            times.push(once()?);
        }
        Ok(Seconds::of(&times))
    }

    fn json(self) -> Value {
        json!({ "median": self.median, "min": self.min })
    }
}

struct Timed {
    done: Seconds,
    on_host: Seconds,
    result: Vec<f64>,
}

fn time(backend: &Named, kernel: Kernel, size: Size, smoke: bool) -> Result<Timed> {
    fn on<B: Backend>(backend: &B, kernel: Kernel, size: Size, smoke: bool) -> Result<Timed> {
        let mut operands = Operands::new(backend, kernel, size)?;
        // The first call builds the pipelines.
        let (first, result) = operands.run(true)?;
        let once = Seconds::of(&[first]);
        let (done, on_host) = match smoke {
            true => (once, once),
            false => (
                Seconds::repeat(|| Ok(operands.run(false)?.0))?,
                Seconds::repeat(|| Ok(operands.run(true)?.0))?,
            ),
        };
        Ok(Timed { done, on_host, result })
    }
    match &backend.device {
        Device::Gpu(gpu) => on(gpu, kernel, size, smoke),
        Device::CpuF32 => on(&Cpu::<f32>::new(), kernel, size, smoke),
        _ => on(&Cpu::<f64>::new(), kernel, size, smoke),
    }
}

/// The largest difference from the right result, relative to its largest entry; NaN where one is NaN.
fn error(found: &[f64], right: &[f64]) -> f64 {
    assert_eq!(found.len(), right.len());
    let largest = right.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let differences = found.iter().zip(right).map(|(f, r)| (f - r).abs());
    // `max` would pass over NaN.
    differences.fold(0.0, |m: f64, v| if m.is_nan() || v <= m { m } else { v }) / largest
}

fn joined(mut record: Value, more: Value) -> Value {
    if let (Some(all), Value::Object(more)) = (record.as_object_mut(), more) {
        all.extend(more);
    }
    record
}

/// One record for each kernel, size and backend; where the backend refuses, with its reason.
fn kernels(backends: &[Named], large: bool, smoke: bool) -> Vec<Value> {
    let mut records = Vec::new();
    for kernel in Kernel::ALL {
        let more = LARGE.iter().filter(|_| kernel == Kernel::Gram && large);
        for &(n, d, s) in SIZES.iter().chain(more) {
            let size = if smoke { (n.min(50), d, s) } else { (n, d, s) };
            let mut right = Vec::new();
            for backend in backends {
                if backend.software() && kernel.flops(size) > SOFTWARE {
                    continue;
                }
                eprintln!("{} {size:?} {}", kernel.name(), backend.name);
                let place = json!({
                    "kernel": kernel.name(), "n": size.0, "d": d, "s": s, "flops": kernel.flops(size),
                });
                let found = match time(backend, kernel, size, smoke) {
                    Ok(timed) => {
                        if right.is_empty() {
                            right.clone_from(&timed.result);
                        }
                        json!({
                            "done": timed.done.json(),
                            "on_host": timed.on_host.json(),
                            "error": error(&timed.result, &right),
                        })
                    }
                    Err(error) => json!({ "refused": error.to_string() }),
                };
                records.push(joined(backend.record(), joined(place, found)));
            }
        }
    }
    records
}

/// A few steps after a warm-up, in seconds for each step.
fn steps(backend: &Named, widths: &[usize], n: usize, curvature: Curvature) -> Result<Value> {
    let (problem, start) = problem(widths, n, backend.device.clone());
    let method = |max_iter| BlockNewton {
        curvature,
        max_iter,
        gtol: 0.0,
        fallback: false,
        ..BlockNewton::default()
    };
    method(0).fit(&problem, &start, &mut silent)?;

    let device_times = || match &backend.device {
        Device::Gpu(gpu) => {
            let kernels: Duration = gpu.kernel_times().values().sum();
            Some((gpu.times(), kernels))
        }
        _ => None,
    };
    let before = device_times();
    let mut ends = Vec::new();
    let mut observe = |_: &Progress| {
        ends.push(Instant::now());
        Control::Continue
    };
    let fit: Fit = method(STEPS).fit(&problem, &start, &mut observe)?;
    let after = device_times();

    let whole: Vec<Duration> = ends.windows(2).map(|w| w[1] - w[0]).collect();
    if whole.is_empty() {
        return Err(Error::Numerical { what: format!("no step: {}", fit.reason) });
    }
    // The start is evaluated as well, and trials are rejected: stages are divided by what they were called for.
    let each = |time: Duration, calls: usize| {
        (time > Duration::ZERO).then(|| time.as_secs_f64() / calls as f64)
    };
    let calls = fit.evaluations.curvature;
    let device = before.zip(after).map(|((before, kernels), (after, all))| {
        let waiting = each(after.waiting - before.waiting, calls);
        let reading = each(after.reading - before.reading, calls);
        json!({ "waiting": waiting, "reading": reading, "kernels": each(all - kernels, calls) })
    });
    Ok(json!({
        "step": Seconds::of(&whole).json(),
        "row_blocks": each(fit.times.curvature, calls),
        "device": device,
        "gradient": each(fit.times.gradient, calls),
        "objective": each(fit.times.objective, fit.evaluations.objective),
        "solve": each(fit.times.solve, fit.iterations),
        "trials": fit.evaluations.objective as f64 / fit.iterations as f64,
        "changed": fit.modified_blocks / fit.iterations,
    }))
}

/// One record for each network, curvature and backend.
fn networks(backends: &[Named], large: bool, smoke: bool) -> Vec<Value> {
    let mut records = Vec::new();
    for (widths, n) in (NETWORKS.into_iter()).chain(large.then_some(LARGE_NETWORK)) {
        let n = if smoke { n.min(50) } else { n };
        // Exact blocks are seldom all positive definite and then need eigenvalues; Gauss–Newton's need Cholesky alone.
        for curvature in [Curvature::Exact, Curvature::GaussNewton] {
            for backend in backends {
                eprintln!("{widths:?} n={n} {} {}", curvature.name(), backend.name);
                let place = json!({ "network": format!("{widths:?}"), "n": n, "curvature": curvature.name() });
                let found = match steps(backend, &widths, n, curvature) {
                    Ok(found) => found,
                    Err(error) => json!({ "refused": error.to_string() }),
                };
                records.push(joined(backend.record(), joined(place, found)));
            }
        }
    }
    records
}

/// A time or rate with three significant digits; nothing where there is none.
fn digits(value: Option<f64>) -> String {
    let Some(v) = value else {
        return String::new();
    };
    match v.abs() {
        a if a >= 99.95 => format!("{v:.0}"),
        a if a >= 9.995 => format!("{v:.1}"),
        a if a >= 0.9995 => format!("{v:.2}"),
        _ => format!("{v:.3}"),
    }
}

fn rows<'a>(records: &'a [Value], key: &'a str, value: &'a str) -> impl Iterator<Item = &'a Value> {
    records.iter().filter(move |r| r[key] == value)
}

fn gigaflops(record: &Value, which: &str) -> Option<f64> {
    Some(record["flops"].as_f64()? / record[which]["median"].as_f64()? / 1e9)
}

fn words(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn markdown(header: &str, kernels: &[Value], networks: &[Value]) -> String {
    let mut out = header.to_string();
    let ms = |value: &Value| digits(value.as_f64().map(|s| 1e3 * s));
    out += "## Kernel by kernel\n\nMilliseconds and useful GFLOP/s (at the median); see the README for the columns.\n";
    for kernel in Kernel::ALL {
        let _ = write!(
            out,
            "\n### {}\n\n| n | d | s | backend | median | min | GFLOP/s | on host: median | min | GFLOP/s | error |\n\
             |--:|--:|--:|:--|--:|--:|--:|--:|--:|--:|--:|\n",
            kernel.name()
        );
        for r in rows(kernels, "kernel", kernel.name()) {
            let (n, d, s) = (&r["n"], &r["d"], &r["s"]);
            let _ = write!(out, "| {n} | {d} | {s} | {} |", words(&r["backend"]));
            let _ = match r["refused"].as_str() {
                Some(reason) => writeln!(out, " refused: {reason} | | | | | | |"),
                None => writeln!(
                    out,
                    " {} | {} | {} | {} | {} | {} | {:.0e} |",
                    ms(&r["done"]["median"]),
                    ms(&r["done"]["min"]),
                    digits(gigaflops(r, "done")),
                    ms(&r["on_host"]["median"]),
                    ms(&r["on_host"]["min"]),
                    digits(gigaflops(r, "on_host")),
                    r["error"].as_f64().unwrap_or(f64::NAN)
                ),
            };
        }
    }
    out += "\n## One row-block Newton step\n\nMilliseconds; see the README for the columns.\n\n\
            | network | n | curvature | backend | step: median | min | row blocks | of it waiting | kernels | reading \
            | gradient f64 | solve | objective | trials | blocks changed |\n\
            |:--|--:|:--|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    for r in networks {
        let _ = write!(
            out,
            "| {} | {} | {} | {} |",
            words(&r["network"]),
            r["n"],
            words(&r["curvature"]),
            words(&r["backend"])
        );
        let _ = match r["refused"].as_str() {
            Some(reason) => writeln!(out, " refused: {reason} | | | | | | | | | | |"),
            None => writeln!(
                out,
                " {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} | {} |",
                ms(&r["step"]["median"]),
                ms(&r["step"]["min"]),
                ms(&r["row_blocks"]),
                ms(&r["device"]["waiting"]),
                ms(&r["device"]["kernels"]),
                ms(&r["device"]["reading"]),
                ms(&r["gradient"]),
                ms(&r["solve"]),
                ms(&r["objective"]),
                r["trials"].as_f64().unwrap_or(f64::NAN),
                r["changed"]
            ),
        };
    }
    out
}

/// The Gram kernel's rates by size and backend.
fn figure(backends: &[Named], cpu: &str, kernels: &[Value]) -> String {
    let series: Vec<String> = backends.iter().map(|b| b.name.clone()).collect();
    let mut lines: Vec<(String, Vec<(usize, f64)>)> = Vec::new();
    for r in rows(kernels, "kernel", "gram") {
        let name = format!("n = {}, d = {}, s = {}", r["n"], r["d"], r["s"]);
        if lines.last().is_none_or(|line| line.0 != name) {
            lines.push((name, Vec::new()));
        }
        let backend = series.iter().position(|b| r["backend"] == **b);
        if let (Some(line), Some(dot)) = (lines.last_mut(), backend.zip(gigaflops(r, "done"))) {
            line.1.push(dot);
        }
    }
    let title = format!("Weighted Gram matrices; cpu: {cpu}");
    plot::dots(&title, "useful GFLOP/s, median", &series, &lines)
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    let name = model.and_then(|line| line.split_once(": "));
    name.map_or(std::env::consts::ARCH, |(_, name)| name).to_string()
}

/// The most that each adapter can do, in the precision that it computes in.
fn rooflines(backends: &[Named]) -> Result<Vec<Value>> {
    let mut records = Vec::new();
    for backend in backends {
        if let Device::Gpu(gpu) = &backend.device {
            let roofline = gpu.roofline()?;
            let found = json!({ "flops": roofline.flops, "bytes": roofline.bytes });
            records.push(joined(backend.record(), found));
        }
    }
    Ok(records)
}

fn header(backends: &[Named], cpu: &str, rooflines: &[Value]) -> String {
    let mut out = "# Backends\n\n".to_string();
    let _ = writeln!(out, "- cpu: {cpu}, {} threads", rayon::current_num_threads());
    for adapter in backends
        .iter()
        .filter(|b| b.device.precision() == secondo::Precision::F32)
        .filter_map(Named::adapter)
    {
        let _ = writeln!(
            out,
            "- {}: {}, {}, driver {}",
            adapter.name, adapter.interface, adapter.kind, adapter.driver
        );
        if adapter.software {
            out +=
                "\n**Software adapter: the processor does its work, these are not GPU figures.**\n";
        }
    }
    for r in rooflines {
        let [flops, bytes] = ["flops", "bytes"].map(|key| digits(r[key].as_f64().map(|v| v / 1e9)));
        let name = words(&r["backend"]);
        let _ = writeln!(
            out,
            "- the most of {name}: {flops} GFLOP/s of multiplications with additions in registers, {bytes} GB/s of a copy"
        );
    }
    out + "\n"
}

/// The first adapter's name as a part of a file name.
fn file_name(backends: &[Named]) -> String {
    let adapter = backends.iter().find_map(Named::adapter);
    let name = adapter.map_or("cpu", short).to_lowercase();
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric());
    let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

fn main() {
    let smoke = !std::env::args().any(|argument| argument == "--bench");
    let backends = match backends() {
        Ok(backends) => backends,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    let large = !smoke && backends.iter().any(|b| b.adapter().is_some_and(|a| !a.software));
    let kernels = kernels(&backends, large, smoke);
    let networks = networks(&backends, large, smoke);
    let rooflines = rooflines(&backends).unwrap_or_else(|error| panic!("{error}"));
    if smoke {
        for record in kernels.iter().chain(&networks) {
            // A kernel's record has an error, which is null where it is NaN.
            let agrees = |error: &Value| error.as_f64().is_some_and(|e| e < 1e-5);
            let right = record["refused"].is_null() && record.get("error").is_none_or(agrees);
            assert!(right, "{record}");
        }
        return;
    }

    let cpu = cpu();
    let folder = std::env::var("SECONDO_BENCH_RESULTS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/benches/results").into());
    let name = format!("backends-{}", file_name(&backends));
    let data = json!({
        "cpu": cpu,
        "threads": rayon::current_num_threads(),
        "rooflines": rooflines,
        "kernels": kernels,
        "steps": networks,
    });
    for (extension, text) in [
        ("md", markdown(&header(&backends, &cpu, &rooflines), &kernels, &networks)),
        ("svg", figure(&backends, &cpu, &kernels)),
        ("json", format!("{data:#}\n")),
    ] {
        let path = Path::new(&folder).join(format!("{name}.{extension}"));
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        println!("{}", path.display());
    }
}
