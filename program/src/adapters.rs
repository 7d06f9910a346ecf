//! `secondo adapters`: what this machine has, and whether it computes rightly.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use secondo::backend::cpu::Level;
use secondo::backend::gpu::{Adapter, Gpu, Options as Use, adapters};
use secondo::{Error, self_test};

use crate::computing::{quiet_drivers, start_threads};
use crate::exit::Failure;

/// Lists the adapters (GPUs) of this machine, each tested
///
/// The test computes the derivatives of a small network in f32 and, where the adapter offers it, in f64, and compares
/// them with the processor's. --device gpu takes the first hardware adapter, --device gpu:NAME any of the list. Software
/// adapters are the processor in disguise, for tests. The limits are the largest buffer, the largest part of it that a
/// kernel can see, the memory that a workgroup shares, its threads, and workgroups along one axis. Pipelines are what drivers
/// compile shaders to; where a driver hands them out, they are kept in the user's folder for caches, unless the environment
/// says SECONDO_PIPELINE_CACHE=off.
///
/// The first line is the processor: its threads, and the instruction set of its kernels, the widest that it has. The environment
/// may name another: SECONDO_SIMD=v4 (AVX-512), v3 (AVX2 and FMA), neon or plain.
#[derive(Debug, Args)]
pub struct Options {}

pub fn run(_: &Options) -> Result<(), Failure> {
    quiet_drivers();
    start_threads(None)?;
    let mut out = std::io::stdout().lock();
    let written = list(&mut out);
    match written {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::resources(format!("cannot write the list: {e}")))
        }
        _ => Ok(()),
    }
}

fn list(out: &mut impl Write) -> std::io::Result<()> {
    let threads = rayon::current_num_threads();
    match Level::in_use() {
        Ok(level) => {
            let (name, instructions) = (level.name(), level.instructions());
            writeln!(out, "processor: {threads} threads, instruction set {name} ({instructions})")?;
        }
        Err(error) => writeln!(out, "processor: {error}")?,
    }
    let all = adapters();
    if all.is_empty() {
        return writeln!(out, "no adapter with Vulkan, Metal or DX12; the CPU computes");
    }
    for (number, adapter) in all.iter().enumerate() {
        let limits = adapter.limits;
        writeln!(out, "{number}: {}", adapter.name)?;
        writeln!(out, "   interface  {}, {}", adapter.interface, adapter.kind)?;
        writeln!(out, "   driver     {}", adapter.driver)?;
        writeln!(
            out,
            "   limits     {} MiB a buffer, {} MiB a binding, {} KiB shared, {} threads, {} workgroups a dimension",
            limits.buffer >> 20,
            limits.binding >> 20,
            limits.shared >> 10,
            limits.threads,
            limits.groups
        )?;
        writeln!(out, "   f32        {}", tested(number, adapter, false))?;
        writeln!(out, "   f64        {}", tested(number, adapter, true))?;
    }
    Ok(())
}

/// The outcome of the test in one precision.
fn tested(number: usize, adapter: &Adapter, f64: bool) -> String {
    if f64 && !adapter.f64 {
        return "not offered".into();
    }
    let test = || -> Result<Duration, Error> {
        let gpu = Gpu::open(Some(&number.to_string()), Use::default())?;
        let gpu = if f64 { gpu.in_f64()? } else { gpu };
        self_test(&gpu)?;
        Ok(gpu.times().building)
    };
    match test() {
        Ok(building) => {
            format!("test passed, its pipelines built in {:.2} s", building.as_secs_f64())
        }
        Err(error) => format!("test failed: {error}"),
    }
}
