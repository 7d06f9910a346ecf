//! Where the arithmetic is done: arrays, and the kernels that run on them.
//!
//! The mathematics (`src/evaluate/`) is written once over [`Backend`]. [`Cpu<f64>`](Cpu) and [`Cpu<f32>`](Cpu) run the kernels on the
//! processor; [`Gpu`](gpu::Gpu) runs them as compute shaders. Both have a rehearsal that allocates and runs nothing, but counts: so a plan exists
//! before anything is allocated, and cannot differ from what is done. A kernel is data ([`Kernel`], in `kernel.rs`, over the views of
//! `view.rs`); its code stands in `backend/cpu/` and in `shaders/`, in files of its name.
//!
//! Arrays hold the backend's floats. Sums over samples are accumulated in f64 whatever the float, from partial sums of at most 512
//! samples.

mod counter;
pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod kernel;
mod pool;
pub mod view;

pub use counter::Cost;
pub(crate) use counter::Counter;
pub use cpu::Cpu;
pub use kernel::Kernel;
pub use view::{Layout, View, ViewMut};

use ndarray::ArrayRef2;

use crate::error::{Error, Result};
use crate::network::Network;
use crate::objective::Loss;

/// The arrays and kernels of one device and precision.
///
/// Every method can fail, because on an accelerator every call can. The kernels trust the shapes that the driver gives
/// them: a backend is for the driver, not for direct use.
pub trait Backend: Sized + Send + Sync {
    /// An array of the backend's floats.
    type Array: Send + Sync;
    /// Sums over samples, in f64.
    type Sum: Send;

    /// Returns an array whose numbers do not count until they are written.
    ///
    /// # Errors
    /// `Memory`, `TooLarge` or what the device reports.
    fn alloc(&self, len: usize) -> Result<Self::Array>;

    /// Returns a copy of the numbers on the backend, rounded to its floats.
    ///
    /// # Errors
    /// A finite number that is infinite in the backend's floats; those of [`alloc`](Backend::alloc).
    fn upload(&self, values: &[f64]) -> Result<Self::Array>;

    /// Returns a copy of an array's numbers; a rehearsal returns none.
    ///
    /// # Errors
    /// Errors of the device.
    fn download(&self, array: &Self::Array) -> Result<Vec<f64>>;

    /// Takes back arrays that are no longer needed, for the next ones of their lengths.
    fn recycle(&self, arrays: impl IntoIterator<Item = Self::Array>);

    /// Frees what was taken back.
    fn release(&self);

    /// Returns so many sums that start at 0.
    ///
    /// # Errors
    /// Those of [`alloc`](Backend::alloc).
    fn sums(&self, len: usize) -> Result<Self::Sum>;

    /// Returns the values of sums; a rehearsal returns none.
    ///
    /// # Errors
    /// Errors of the device.
    fn read(&self, sum: Self::Sum) -> Result<Vec<f64>>;

    /// Runs a kernel, or queues it: an error may be reported by the next [`download`](Backend::download) or [`read`](Backend::read).
    ///
    /// # Errors
    /// `Part` for a user-defined part that panics or gives NaN; what the device reports.
    fn run(&self, kernel: Kernel<Self::Array, Self::Sum>) -> Result<()>;

    /// Returns a backend of the same arrays that runs its kernels on the calling thread alone, for one of several chunks of samples that
    /// are computed at once; `None` where one chunk keeps the whole device busy.
    fn on_one_thread(&self) -> Option<Self>;

    /// Refuses units and losses whose shader does not compute the same as their Rust code, the loss at points around the first rows of
    /// `y`.
    ///
    /// # Errors
    /// `Part` with the numbers, or with the compiler's words.
    fn check_parts(&self, _network: &Network, _loss: &Loss, _y: &ArrayRef2<f64>) -> Result<()> {
        Ok(())
    }

    /// Returns an array of zeros.
    ///
    /// # Errors
    /// Those of [`alloc`](Backend::alloc).
    fn zeros(&self, len: usize) -> Result<Self::Array> {
        let mut array = self.alloc(len)?;
        let out = ViewMut::new(&mut array, Layout::rows_of(1, len));
        self.run(kernel::Fill { value: 0.0, out }.into())?;
        Ok(array)
    }
}

/// A product of lengths.
///
/// # Errors
/// `TooLarge` where it overflows.
pub(crate) fn product(lengths: &[usize]) -> Result<usize> {
    crate::memory::shape_product("an intermediate array", lengths)
}

/// Refuses what is finite in f64 and infinite in f32.
fn check_f32(values: &[f64]) -> Result<()> {
    match (values.iter()).position(|&v| v.is_finite() && !(v as f32).is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::invalid(
            format!("number {i}"),
            format!("{:e} overflows f32; scale the data or use f64", values[i]),
        )),
    }
}
