//! The shaders' texts, every kernel over strided views, and every form of the sums at sizes past its edges.

mod branches;
mod device;
mod kernels;
mod sums;
mod texts;

use std::sync::{Arc, OnceLock};

use super::machine::Machine;
use super::*;
use crate::network::{ExactUnit, Unit};

fn name() -> String {
    std::env::var("SECONDO_TEST_ADAPTER").unwrap_or("llvmpipe".into())
}

/// One for all tests, in f32.
fn adapter() -> Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    (GPU.get_or_init(|| opened(testing::Setup::default()))).clone()
}

fn opened(setup: testing::Setup) -> Gpu {
    let options = Options { pipeline_cache: None, ..Options::default() };
    testing::open(Some(&name()), options, setup).unwrap_or_else(|e| {
        panic!(
            "{e}\ninstall Debian's mesa-vulkan-drivers and libvulkan1, or set SECONDO_TEST_ADAPTER"
        )
    })
}

/// An adapter that is only thought of.
fn imagined(software: bool, f64: bool) -> Gpu {
    let limits = Limits {
        buffer: 1 << 31,
        binding: 1 << 27,
        groups: 65_535,
        shared: 16_384,
        threads: 256,
        alignment: 256,
    };
    with_limits(software, f64, limits)
}

fn with_limits(software: bool, f64: bool, limits: Limits) -> Gpu {
    let adapter = Arc::new(Adapter {
        name: "imagined".into(),
        interface: "none".into(),
        kind: "other",
        driver: String::new(),
        software,
        f64: true,
        eight_lanes: software,
        limits,
    });
    Gpu {
        machine: Machine::Rehearsal { adapter: adapter.clone(), rehearsed: Rehearsed::default() },
        adapter,
        options: Arc::default(),
        f64,
        number: 0,
        among: 1,
        hardware_kernels: !software,
        checked: Arc::default(),
    }
}

/// p = w Σ_c z_c².
#[derive(Debug)]
struct Own;

const WGSL: &str = "
fn unit_value() -> real {
    var sum = real();
    for (var c = 0u; c < INPUTS; c += 1u) {
        sum += z(c) * z(c);
    }
    return w(PARAMETERS - 1u) * sum;
}
fn unit_d_w(a: u32) -> real { return unit_value() / w(a); }
fn unit_d_z(c: u32) -> real { return 2.0 * w(0u) * z(c); }
fn unit_d_ww(a: u32, b: u32) -> real { return 0.0; }
fn unit_d_zz(b: u32, c: u32) -> real { return select(real(0.0), 2.0 * w(0u), b == c); }
fn unit_d_wz(a: u32, c: u32) -> real { return 2.0 * z(c); }
";

impl Unit for Own {
    fn name(&self) -> &str {
        "own"
    }
    fn parameters(&self, _: usize) -> usize {
        1
    }
    fn value(&self, z: &[f64], w: &[f64]) -> f64 {
        w[0] * z.iter().map(|z| z * z).sum::<f64>()
    }
    fn d_w(&self, z: &[f64], _: &[f64], phi: &mut [f64]) {
        phi[0] = z.iter().map(|z| z * z).sum();
    }
    fn d_z(&self, z: &[f64], w: &[f64], a: &mut [f64]) {
        (a.iter_mut().zip(z)).for_each(|(a, z)| *a = 2.0 * w[0] * z);
    }
    fn d_ww(&self, _: &[f64], _: &[f64], psi: &mut [f64]) {
        psi[0] = 0.0;
    }
    fn exact(&self) -> Option<&dyn ExactUnit> {
        Some(self)
    }
    fn wgsl(&self) -> Option<&str> {
        Some(WGSL)
    }
}

impl ExactUnit for Own {
    fn d_zz(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        (0..z.len()).for_each(|c| out[c * z.len() + c] = 2.0 * w[0]);
    }
    fn d_wz(&self, z: &[f64], _: &[f64], out: &mut [f64]) {
        (out.iter_mut().zip(z)).for_each(|(out, z)| *out = 2.0 * z);
    }
}
