//! The adapter that the tests use: the one that SECONDO_TEST_ADAPTER names, or lavapipe, Debian's software Vulkan. Where there
//! is none, the tests fail and say what to install.

use std::sync::OnceLock;

use secondo::backend::gpu::testing::{self, Setup};
use secondo::backend::gpu::{Gpu, Limits, Options};

pub fn name() -> String {
    std::env::var("SECONDO_TEST_ADAPTER").unwrap_or("llvmpipe".into())
}

/// The adapter opened anew, without pipelines of earlier runs.
pub fn open(options: Options) -> Gpu {
    open_with(options, Setup::default())
}

/// The same with a fault in a kernel: its stem, and a text in its shader with another to stand in its place.
pub fn patched(patch: (&'static str, &'static str, &'static str)) -> Gpu {
    let setup = Setup { patch: Some(patch), ..Setup::default() };
    open_with(Options::default(), setup)
}

/// The same with limits to keep to, each at most the adapter's.
pub fn limited(limits: Limits) -> Gpu {
    let setup = Setup { limits: Some(limits), ..Setup::default() };
    open_with(Options::default(), setup)
}

fn open_with(options: Options, setup: Setup) -> Gpu {
    let options = Options { pipeline_cache: None, ..options };
    testing::open(Some(&name()), options, setup).unwrap_or_else(|e| {
        panic!(
            "{e}\ninstall Debian's mesa-vulkan-drivers and libvulkan1, or set SECONDO_TEST_ADAPTER"
        )
    })
}

/// One for all tests of a file, in f32.
pub fn single() -> Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| open(Options::default())).clone()
}

/// The same in f64.
pub fn double() -> Gpu {
    single().in_f64().unwrap()
}

/// With the variants of the kernels for hardware, whatever the adapter is.
pub fn hardware() -> Gpu {
    testing::with_kernels_for_hardware(single())
}
