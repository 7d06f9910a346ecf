//! The options that say where and how precisely to compute.

use clap::{Args, ValueEnum};
use secondo::Device;

use crate::exit::Failure;

/// Where and how precisely to compute.
#[derive(Debug, Args)]
#[command(next_help_heading = "Computing")]
pub struct Computing {
    /// Where to compute: cpu, gpu, gpu:NAME or auto
    ///
    /// gpu is the first hardware adapter (a GPU) that 'secondo adapters' lists, gpu:NAME the first whose name contains
    /// NAME, gpu:N with one or two digits the one of that number. auto is a hardware adapter for the curvature of large
    /// fits and the CPU for all else; it never takes a software adapter.
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = device)]
    device: String,
    /// The floating-point precision: f64 or f32 [default: f32 on a named adapter, else f64]
    ///
    /// In a fit f32 holds for the curvature alone: value, gradient and decisions are the CPU's in f64. Derivatives of a problem
    /// file or a model are wholly in f32 then. In f64 an adapter computes all but factorizations and solves.
    #[arg(long, value_name = "PRECISION")]
    precision: Option<Precision>,
    /// The number of CPU threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), allow_negative_numbers = true)]
    pub threads: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Precision {
    F64,
    F32,
}

fn device(text: &str) -> Result<String, String> {
    match text {
        "auto" | "cpu" | "gpu" => Ok(text.into()),
        _ if text.len() > 4 && text.starts_with("gpu:") => Ok(text.into()),
        _ => {
            Err("known: auto, cpu, gpu, gpu:NAME with a name or number from 'secondo adapters'"
                .into())
        }
    }
}

impl Computing {
    /// The device, tested, with the threads started. `auto` takes a hardware adapter for the large requests of a fit, which
    /// decides in f64; single derivatives are never less precise than asked for.
    pub fn start(&self, fit: bool) -> Result<Device, Failure> {
        if let Some(threads) = self.threads {
            (rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global())
                .map_err(|e| Failure::resources(format!("cannot start {threads} threads: {e}")))?;
        }
        let single = self.precision == Some(Precision::F32);
        let double = self.precision == Some(Precision::F64);
        Ok(match self.device.as_str() {
            "cpu" if single => Device::CpuF32,
            "auto" if single => adapter("", double).unwrap_or(Device::CpuF32),
            "auto" if fit && !double => Device::auto(),
            "cpu" | "auto" => Device::Cpu,
            gpu => {
                let name = gpu.strip_prefix("gpu").unwrap_or(gpu);
                adapter(name.trim_start_matches(':'), double)?
            }
        })
    }
}

#[cfg(feature = "gpu")]
fn adapter(name: &str, in_f64: bool) -> Result<Device, Failure> {
    let device = Device::gpu(name)?;
    Ok(if in_f64 { device.in_f64()? } else { device })
}

#[cfg(not(feature = "gpu"))]
fn adapter(_: &str, _: bool) -> Result<Device, Failure> {
    Err(Failure::resources("this program was built without the feature gpu; use --device cpu"))
}
