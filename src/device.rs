//! Where and in which precision a problem is evaluated.

use std::fmt;
#[cfg(feature = "gpu")]
use std::sync::{Arc, OnceLock};

#[cfg(feature = "gpu")]
use crate::backend::gpu::{Gpu, Options, adapters};
#[cfg(feature = "gpu")]
use crate::error::{Error, Fault, Result};
#[cfg(feature = "gpu")]
use crate::gpus::Gpus;

/// Flops from which a request goes to the accelerator of [`Device::auto`]: below, copies and launches cost more than they save.
/// A choice, not a measurement.
#[cfg(feature = "gpu")]
pub(crate) const WORTHWHILE: f64 = 2e9;

/// The precision of floating-point numbers.
///
/// ```
/// use secondo::{Device, Precision};
/// assert_eq!(Device::Cpu.precision(), Precision::F64);
/// assert_eq!(Precision::F32.to_string(), "f32");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Single precision: 24 bits.
    F32,
    /// Double precision: 53 bits.
    F64,
}

impl Precision {
    /// The name in reports and on the command line: `f32`, `f64`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F64 => "f64",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where and in which precision a problem is evaluated.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Device {
    /// The processor in f64.
    #[default]
    Cpu,
    /// The processor in f32; sums over samples are in f64.
    CpuF32,
    /// An adapter, in f32 or f64; sums over chunks of samples are in f64 on the host.
    #[cfg(feature = "gpu")]
    Gpu(Gpu),
    /// Several adapters, each with a share of the samples.
    #[cfg(feature = "gpu")]
    Gpus(Gpus),
    /// A hardware adapter in f32 for requests that are large enough to gain, the processor in f64 for others.
    #[cfg(feature = "gpu")]
    Auto(Hardware),
}

/// The first hardware adapter that passes its test; it is looked for when it is first needed.
#[cfg(feature = "gpu")]
#[derive(Debug, Clone, Default)]
pub struct Hardware(Arc<OnceLock<Option<Gpu>>>);

#[cfg(feature = "gpu")]
impl Hardware {
    /// An adapter that counts as hardware.
    #[cfg(test)]
    pub(crate) fn of(gpu: Gpu) -> Self {
        Hardware(Arc::new(OnceLock::from(Some(gpu))))
    }

    fn get(&self) -> Option<&Gpu> {
        let open = || match Device::gpu("") {
            Ok(Device::Gpu(gpu)) => Some(gpu),
            _ => None,
        };
        self.0.get_or_init(open).as_ref()
    }
}

impl Device {
    /// The processor in f64.
    pub fn cpu() -> Self {
        Device::Cpu
    }

    /// An adapter in f32: the first whose name contains `name`, or, for one or two digits, the one of that number in
    /// [`adapters`](crate::backend::gpu::adapters); with the empty name the first that is hardware. Software adapters are
    /// used only where asked for so.
    ///
    /// It is tested first: a small network's derivatives must agree with the processor's.
    ///
    /// # Errors
    /// `Gpu`: no such adapter, the driver refuses it, or it computes wrongly.
    ///
    /// ```no_run
    /// # use secondo::Device;
    /// let device = Device::gpu("")?; // the first hardware adapter
    /// println!("{}", device.adapter());
    /// # Ok::<(), secondo::Error>(())
    /// ```
    #[cfg(feature = "gpu")]
    pub fn gpu(name: &str) -> Result<Self> {
        open(name).map(Device::Gpu)
    }

    /// Several adapters in f32, each named as for [`gpu`](Self::gpu); without names all that are hardware and pass their test. They share the samples, from 8,192 of
    /// them on, in proportion to their speeds, which are measured. Where one fails the others compute its share; one that is lost is left out.
    ///
    /// The bits depend neither on the division nor on the number of adapters, from two on, where these compute the same; of
    /// different adapters they do, as the speeds differ from run to run. Results with a number for each sample, and those of fewer samples, are computed by the first that works. A
    /// request must fit each of them. As many compute at once as the current rayon pool has threads.
    ///
    /// # Errors
    /// Those of [`gpu`](Self::gpu), for each of them.
    ///
    /// ```no_run
    /// # use secondo::Device;
    /// let both = Device::gpus(&["0", "1"])?;
    /// let all = Device::gpus(&[])?;
    /// # Ok::<(), secondo::Error>(())
    /// ```
    #[cfg(feature = "gpu")]
    pub fn gpus(names: &[&str]) -> Result<Self> {
        let opened = match names {
            [] => all_hardware()?,
            names => names.iter().map(|name| open(name)).collect::<Result<_>>()?,
        };
        match <[Gpu; 1]>::try_from(opened) {
            Ok([one]) => Ok(Device::Gpu(one)),
            Err(several) => Gpus::new(several).map(Device::Gpus),
        }
    }

    /// The adapter or adapters of a text: `gpu` for the first that is hardware, `gpu:NAME` with a name or number for [`gpu`](Self::gpu), several of
    /// these with commas between for [`gpus`](Self::gpus), and `gpu:all` for all that are hardware.
    ///
    /// # Errors
    /// `Invalid` for another text; those of [`gpu`](Self::gpu).
    ///
    /// ```no_run
    /// # use secondo::Device;
    /// let both = Device::named("gpu:0,gpu:1")?;
    /// # Ok::<(), secondo::Error>(())
    /// ```
    #[cfg(feature = "gpu")]
    pub fn named(text: &str) -> Result<Self> {
        let why =
            "known: gpu, gpu:NAME with a name or number, several such as gpu:0,gpu:1, gpu:all";
        let other = || Error::invalid(format!("the device {text}"), why);
        let first = text.strip_prefix("gpu").ok_or_else(other)?;
        // A name may have commas of its own.
        let name = |rest: &'_ str| match rest.strip_prefix(':') {
            Some(name) if !name.is_empty() => Ok(name.to_owned()),
            None if rest.is_empty() => Ok(String::new()),
            _ => Err(other()),
        };
        let names = first.split(",gpu").map(name).collect::<Result<Vec<_>>>()?;
        match &names[..] {
            [all] if all == "all" => Device::gpus(&[]),
            [one] => Device::gpu(one),
            several if several.iter().any(|name| name == "all") => Err(other()),
            several => Device::gpus(&several.iter().map(String::as_str).collect::<Vec<_>>()),
        }
    }

    /// The same adapter, or adapters, in f64; for all but adapters the processor.
    ///
    /// # Errors
    /// `Gpu`: the adapter does not offer f64, or computes wrongly in it.
    #[cfg(feature = "gpu")]
    pub fn in_f64(self) -> Result<Self> {
        let in_f64 = |gpu: Gpu| {
            let gpu = gpu.in_f64()?;
            self_test(&gpu)?;
            Ok(gpu)
        };
        match self {
            Device::Gpu(gpu) => in_f64(gpu).map(Device::Gpu),
            Device::Gpus(gpus) => {
                let all = gpus.adapters().map(|(gpu, _)| in_f64(gpu.clone()));
                Gpus::new(all.collect::<Result<_>>()?).map(Device::Gpus)
            }
            _ => Ok(Device::Cpu),
        }
    }

    /// A hardware adapter in f32 for requests that are large enough to gain, the processor in f64 for others, and for all
    /// where there is no such adapter, it fails its test, the request does not fit it, or it fails. Software adapters are
    /// never chosen.
    pub fn auto() -> Self {
        #[cfg(feature = "gpu")]
        return Device::Auto(Hardware::default());
        #[cfg(not(feature = "gpu"))]
        Device::Cpu
    }

    /// The adapter's name, `"cpu"` with the number of threads, or `"auto"`.
    pub fn adapter(&self) -> String {
        match self {
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu) => gpu.adapter().to_string(),
            #[cfg(feature = "gpu")]
            Device::Gpus(gpus) => gpus.to_string(),
            #[cfg(feature = "gpu")]
            Device::Auto(_) => "auto".into(),
            _ => match rayon::current_num_threads() {
                1 => "cpu, 1 thread".into(),
                threads => format!("cpu, {threads} threads"),
            },
        }
    }

    /// The precision of its numbers; of [`auto`](Device::auto), which takes large requests to hardware in f32, that of all
    /// others, f64.
    pub fn precision(&self) -> Precision {
        match self {
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu) if !gpu.is_f64() => Precision::F32,
            #[cfg(feature = "gpu")]
            Device::Gpus(gpus) if !gpus.is_f64() => Precision::F32,
            Device::CpuF32 => Precision::F32,
            _ => Precision::F64,
        }
    }

    /// How long kernels have run on the adapter, or on all of them together, by their own clocks, where they have such.
    pub(crate) fn kernel_time(&self) -> Option<std::time::Duration> {
        match self {
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu) => gpu.has_clock().then(|| gpu.kernel_times().values().sum()),
            #[cfg(feature = "gpu")]
            Device::Gpus(gpus) => {
                let time = |gpu: &Gpu| gpu.kernel_times().values().sum::<std::time::Duration>();
                gpus.adapters().map(|(gpu, _)| gpu.has_clock().then(|| time(gpu))).sum()
            }
            _ => None,
        }
    }

    /// Whether it is not the processor.
    pub(crate) fn is_accelerator(&self) -> bool {
        !matches!(self, Device::Cpu | Device::CpuF32)
    }

    /// The adapter that `Auto` would use.
    #[cfg(feature = "gpu")]
    pub(crate) fn automatic(&self) -> Option<Device> {
        match self {
            Device::Auto(hardware) => hardware.get().cloned().map(Device::Gpu),
            _ => None,
        }
    }
}

/// Opens all hardware adapters that pass their test, of one interface: others name the same cards again.
///
/// # Errors
/// That of the first, if none does.
#[cfg(feature = "gpu")]
fn all_hardware() -> Result<Vec<Gpu>> {
    let all: Vec<_> = adapters().into_iter().enumerate().filter(|(_, a)| !a.software).collect();
    let interface = all.first().map(|(_, adapter)| adapter.interface.clone());
    let of_it = all.iter().filter(|(_, adapter)| Some(&adapter.interface) == interface.as_ref());
    let (mut opened, mut failure) = (Vec::new(), None);
    for (number, _) in of_it {
        match open(&number.to_string()) {
            Ok(gpu) => opened.push(gpu),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match (opened.is_empty(), failure) {
        (false, _) => Ok(opened),
        (true, Some(error)) => Err(error),
        // With the error that says what there is.
        (true, None) => open("").map(|gpu| vec![gpu]),
    }
}

/// Opens an adapter by its name or number, or the first that is hardware, and tests it.
#[cfg(feature = "gpu")]
fn open(name: &str) -> Result<Gpu> {
    let gpu = Gpu::open(Some(name).filter(|n| !n.is_empty()), Options::default())?;
    self_test(&gpu)?;
    Ok(gpu)
}

/// Checks that the adapter computes the derivatives of a small network as the processor does: every kernel of linear units
/// runs, with odd sizes, for every structure and for products.
///
/// # Errors
/// `Gpu` with what was found, or with the fault that was met.
#[cfg(feature = "gpu")]
pub fn self_test(gpu: &Gpu) -> Result<()> {
    use crate::{Activation, Layer, Network};

    // The first takes the kernels for few inputs and units, the second those that share memory and wait at barriers.
    let small = vec![
        Layer::dense(5, Activation::Tanh),
        Layer::dense(4, Activation::Logistic).sources(vec![0, 1]),
        Layer::dense(3, Activation::Identity).sources(vec![0, 1, 2]),
    ];
    let wide = vec![
        Layer::dense(4, Activation::Tanh),
        Layer::dense(35, Activation::Logistic).sources(vec![0, 1]),
        Layer::dense(3, Activation::Identity).sources(vec![1, 2]),
    ];
    for network in [Network::new(3, small)?, Network::new(60, wide)?] {
        agrees(gpu, network)?;
    }
    Ok(())
}

#[cfg(feature = "gpu")]
fn agrees(gpu: &Gpu, network: crate::Network) -> Result<()> {
    use crate::backend::Cpu;
    use crate::evaluate::{Parts, evaluate_on, products_on};
    use crate::objective::Source;
    use crate::{Curvature, Data, Loss, Matrix, Penalty, Reduction, Request, Structure};

    // Numbers between −1 and 1 that f32 holds exactly.
    let number = |i: usize| ((i * 37 + 11) % 64) as f64 / 32.0 - 1.0;
    let n = 70;
    let inputs = network.inputs();
    let x = ndarray::Array2::from_shape_fn((n, inputs), |(i, j)| number(inputs * i + j));
    let y = ndarray::Array2::from_shape_fn((n, 3), |(i, j)| f64::from(u8::from(i % 3 == j)));
    // Wide sums must not saturate the units.
    let scale = 4.0 / (4 + inputs) as f64;
    let w: Vec<f64> =
        (0..network.parameters()).map(|l| f64::from((scale * number(l)) as f32)).collect();
    let parts = Parts {
        network: &network,
        data: &Source::Memory(Data::new(x, y)?),
        loss: &Loss::SoftmaxCrossEntropy,
        penalty: &Penalty::None,
        reduction: Reduction::Sum,
    };
    let cpu = Cpu::<f64>::new();
    let tolerance = if gpu.is_f64() { 1e-12 } else { 1e-4 };
    let compare = |what: &str, found: &[f64], right: &[f64]| {
        let largest = right.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for (found, right) in found.iter().zip(right) {
            let error = (found - right).abs();
            if error.is_nan() || error > tolerance * largest {
                let adapter = &gpu.adapter().name;
                let found = format!("{found:e} in {what} where {right:e} is right");
                return Err(Error::gpu(
                    adapter,
                    "the test at the start",
                    Fault::SelfTest { found },
                ));
            }
        }
        Ok(())
    };
    // Two directions.
    let v: Vec<f64> = (0..2 * w.len()).map(|l| number(3 * l + 1)).collect();
    // A test at every start must not take long: the blocks of layers are a part of the whole matrix, and of many parameters
    // the products with the Hessian and the blocks of units run every variant.
    let large = w.len() > 100;
    for curvature in Curvature::ALL {
        if !large || curvature == Curvature::Exact {
            let what = format!("products with {}", curvature.name());
            let right = products_on(&cpu, parts, &w, curvature, &v, n)?;
            let found = products_on(gpu, parts, &w, curvature, &v, 64)?;
            compare(&what, &found, &right)?;
        }
        for structure in Structure::ALL {
            let whole =
                structure == Structure::LayerBlocks || large && structure == Structure::Full;
            if whole || large && curvature == Curvature::Residual {
                continue;
            }
            let request = Request::curvature(curvature, structure);
            let right = evaluate_on(&cpu, parts, &w, request, n)?;
            let found = evaluate_on(gpu, parts, &w, request, 64)?;
            let entries = |m: &Option<Matrix>| -> Vec<f64> {
                (m.iter().flat_map(Matrix::blocks)).flat_map(|b| b.packed().to_vec()).collect()
            };
            compare("the objective", &[found.value], &[right.value])?;
            compare("the gradient", &found.gradient, &right.gradient)?;
            let (found, right) = (entries(&found.curvature), entries(&right.curvature));
            compare(curvature.name(), &found, &right)?;
        }
    }
    Ok(())
}
