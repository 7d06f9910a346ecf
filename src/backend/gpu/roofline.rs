//! The most that an adapter can do, by two small kernels: multiplications with additions in registers, and a copy.

use std::time::{Duration, Instant};

use super::launch::{Launch, Threads};
use super::{Array, Gpu, Layout};
use crate::backend::Backend;
use crate::error::Result;

/// The rates of an adapter, beside which those of kernels stand.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Roofline {
    /// Floating-point operations per second of independent multiplications with additions, in the precision that it computes in.
    pub flops: f64,
    /// Bytes per second of a copy, read and written.
    pub bytes: f64,
}

/// Threads of the kernel of operations.
const THREADS: usize = 1 << 18;
/// Sums of one thread, which do not wait for each other.
const SUMS: usize = 8;
/// Numbers that a workgroup copies.
const RUN: u64 = 512;
/// Bytes of the array that is copied, where the adapter allows it: more than caches hold.
const COPIED: u64 = 256 << 20;
/// A run that takes so long is measured well.
const LONG: Duration = Duration::from_millis(5);
/// The best of so many runs counts.
const RUNS: usize = 5;

impl Gpu {
    /// Returns the rates that two small kernels reach, by the device's own clock where it has one.
    ///
    /// # Errors
    /// Those of the device.
    pub fn roofline(&self) -> Result<Roofline> {
        Ok(Roofline { flops: self.operations()?, bytes: self.bandwidth()? })
    }

    /// Flops per second.
    fn operations(&self) -> Result<f64> {
        // s ← ½s + ½ stays finite, and no compiler knows it.
        let source = self.upload(&vec![0.5; THREADS])?;
        let out = self.array(&[THREADS], "roofline")?;
        let line = Layout::rows_of(THREADS, 1);
        let mut turns: u64 = 64;
        loop {
            let flops = (2 * SUMS * THREADS) as f64 * turns as f64;
            let launch =
                Launch::elements("device/operations", [THREADS, 1, 1], flops / THREADS as f64)
                    .param("turns", turns);
            let binds =
                [self.bind("source", &source, line, false), self.bind("out", &out, line, true)];
            let time = self.best("device/operations", &out, || self.launch(&launch, &binds))?;
            if time >= LONG || turns > 1 << 20 {
                return Ok(flops / time.as_secs_f64());
            }
            turns *= 4;
        }
    }

    /// Bytes per second.
    fn bandwidth(&self) -> Result<f64> {
        let limits = self.machine.limits();
        let bytes = COPIED.min(limits.binding / 2).min(limits.buffer / 2);
        let groups = bytes / self.float() / RUN;
        let count = (groups * RUN) as usize;
        let (source, out) = (self.zeros(count)?, self.zeros(count)?);
        let line = Layout::rows_of(count, 1);
        let binds = [self.bind("source", &source, line, false), self.bind("out", &out, line, true)];
        let launch = Launch {
            stem: "device/stream",
            threads: Threads::Workgroup(64),
            defines: Vec::new(),
            params: Vec::new(),
            groups,
            flops_per_group: 0.0,
        };
        let end = self.zeros(1)?;
        let time = self.best(launch.stem, &end, || self.launch(&launch, &binds))?;
        Ok(2.0 * (count as u64 * self.float()) as f64 / time.as_secs_f64())
    }

    /// The shortest time of some runs of a kernel; the small array is read back after each.
    fn best(
        &self,
        kernel: &'static str,
        small: &Array,
        mut run: impl FnMut() -> Result<()>,
    ) -> Result<Duration> {
        let measured = |gpu: &Gpu| gpu.kernel_times().get(kernel).copied();
        let mut best = Duration::MAX;
        for turn in 0..=RUNS {
            let (clock, before) = (Instant::now(), measured(self).unwrap_or_default());
            run()?;
            self.download(small)?;
            let time = measured(self).map_or(clock.elapsed(), |after| after - before);
            // The first builds the pipeline.
            if turn > 0 {
                best = best.min(time.max(Duration::from_nanos(1)));
            }
        }
        Ok(best)
    }
}
