//! The kernels in plain Rust: `Cpu<f64>` is the reference, `Cpu<f32>` the same code in the other float.
//!
//! Work is divided into blocks of samples whose bounds depend on the shapes alone, and partial sums are added in
//! the order of the blocks: the bits of a result do not depend on the number of threads. A kernel's code stands in the file of its name,
//! with the scratch space that it takes.

mod activate;
mod array;
mod copy;
mod fill;
mod gauss_newton_diagonal;
pub mod gram;
mod gram_diagonal;
mod loss_hessian;
mod loss_value;
mod lower_triangle;
mod multiply;
mod packing;
mod pair_block;
mod product;
mod product_diagonal;
mod product_sum;
mod real;
mod reduce;
mod scale;
mod scaled_matrix;
mod squared_gradient;
mod tasks;
mod tensor_sum;
mod tile;
mod unit;
mod unit_derivative;
mod unit_derivative_slope;
mod unit_input_hessian;
mod unit_parameter_hessian;
mod unit_slope;
mod unit_value;
mod walk;
mod weighted_sum;

use faer::Par;

pub use crate::level::Level;
pub use array::{Array, Sum};
pub use real::Real;
pub(crate) use reduce::block;

use super::pool::Pool;
use super::{Backend, Counter, Kernel};
use crate::error::Result;

/// Samples in one block: partial sums in the backend's floats run over no more than this many terms.
pub(crate) const BLOCK: usize = 512;

/// Chunks and blocks are of so many samples, or of a multiple; and the value is summed up over so many at first.
pub(crate) const QUANTUM: usize = 64;

/// Partial sums of a reduction that are held at once.
const PARTIALS: usize = 8;

/// The processor, computing in `T` = `f64` or `f32`: on the threads of the current rayon pool, or on the calling thread alone.
#[derive(Debug)]
pub struct Cpu<T> {
    pool: Pool<Array<T>>,
    par: Par,
    /// Whether it computes one of several chunks of samples: then it cuts them into blocks of [`BLOCK`], whatever their number.
    is_of_chunk: bool,
    /// The counts of a rehearsal, which computes nothing.
    counter: Option<Counter>,
}

impl<T: Real> Default for Cpu<T> {
    fn default() -> Self {
        Cpu::new()
    }
}

impl<T: Real> Cpu<T> {
    /// Returns the processor with the threads of the current rayon pool.
    pub fn new() -> Self {
        Cpu::with(tasks::on_threads(0), None)
    }

    /// Returns the processor with the calling thread alone, and the bits of [`new`](Cpu::new).
    pub(crate) fn sequential() -> Self {
        Cpu::with(Par::Seq, None)
    }

    /// Returns a backend that allocates and computes nothing, but counts what the processor would do on so many threads.
    pub(crate) fn rehearsal(threads: usize) -> (Self, Counter) {
        let counter = Counter::default();
        let par = tasks::on_threads(threads.max(1));
        (Cpu::with(par, Some(counter.clone())), counter)
    }

    fn with(par: Par, counter: Option<Counter>) -> Self {
        Cpu { pool: Pool::default(), par, is_of_chunk: false, counter }
    }

    /// Samples of a block of partial sums.
    fn block(&self, n: usize) -> usize {
        block(n, self.is_of_chunk)
    }

    /// Bytes that a kernel takes while it runs, at the most. What the library of matrix products packs is not counted.
    fn scratch(&self, kernel: &Kernel<Array<T>, Sum>) -> u64 {
        let threads = self.par.degree();
        match kernel {
            Kernel::ScaledMatrix(kernel) => scaled_matrix::scratch(kernel),
            Kernel::Activate(kernel) => activate::scratch(threads, kernel),
            Kernel::LossValue(kernel) => loss_value::scratch(threads, kernel),
            Kernel::LossHessian(kernel) => loss_hessian::scratch(threads, kernel),
            Kernel::WeightedSum(kernel) => {
                let block = self.block(kernel.c.shape()[0]);
                weighted_sum::scratch(threads, block, &kernel.c, &kernel.phi)
            }
            Kernel::Gram(kernel) => gram::scratch(threads, kernel),
            Kernel::GramDiagonal(kernel) => {
                gram_diagonal::scratch(threads, self.block(kernel.c.shape()[0]), kernel)
            }
            Kernel::PairBlock(kernel) => pair_block::scratch(threads, kernel),
            Kernel::TensorSum(kernel) => {
                tensor_sum::scratch(self.block(kernel.z.shape()[0]), kernel)
            }
            Kernel::UnitValue(kernel) => unit::scratch(threads, &kernel.units),
            Kernel::UnitDerivative(kernel) => unit::scratch(threads, &kernel.units),
            Kernel::UnitSlope(kernel) => unit::scratch(threads, &kernel.units),
            Kernel::UnitDerivativeSlope(kernel) => unit::scratch(threads, &kernel.units),
            Kernel::UnitInputHessian(kernel) => unit::scratch(threads, &kernel.units),
            Kernel::UnitParameterHessian(kernel) => {
                unit_parameter_hessian::scratch(threads, self.block(kernel.units.samples()), kernel)
            }
            _ => 0,
        }
    }
}

impl<T: Real> Backend for Cpu<T> {
    type Array = Array<T>;
    type Sum = Sum;

    fn alloc(&self, len: usize) -> Result<Array<T>> {
        match self.pool.take(len) {
            Some(array) => Ok(array),
            None => Array::new(self.counter.as_ref(), len),
        }
    }

    fn upload(&self, values: &[f64]) -> Result<Array<T>> {
        if T::NAME == "f32" {
            super::check_f32(values)?;
        }
        let mut array = self.alloc(values.len())?;
        (array.numbers.iter_mut().zip(values)).for_each(|(x, &v)| *x = T::from_f64(v));
        Ok(array)
    }

    fn download(&self, array: &Array<T>) -> Result<Vec<f64>> {
        Ok(array.numbers.iter().map(|v| v.to_f64()).collect())
    }

    fn recycle(&self, arrays: impl IntoIterator<Item = Array<T>>) {
        (arrays.into_iter()).for_each(|array| self.pool.keep(array.len(), array));
    }

    fn release(&self) {
        self.pool.clear();
    }

    fn sums(&self, len: usize) -> Result<Sum> {
        let mut sum = Sum::new(self.counter.as_ref(), len)?;
        // Fresh pages cost a fault each on first touch. In order that is cheap; in the order of the Gram kernel's tiles it
        // took 0.54 s for the 158 MB of [784-64-1], more than three times the kernel itself.
        tasks::each(self.par, sum.numbers.chunks_mut(1 << 16), |part| {
            part.fill(0.0);
        });
        Ok(sum)
    }

    fn read(&self, sum: Sum) -> Result<Vec<f64>> {
        Ok(sum.numbers)
    }

    fn run(&self, kernel: Kernel<Array<T>, Sum>) -> Result<()> {
        Level::in_use()?;
        if let Some(counter) = &self.counter {
            counter.flops(kernel.flops());
            counter.scratch(self.scratch(&kernel));
            return Ok(());
        }
        let par = self.par;
        match kernel {
            Kernel::Fill(kernel) => fill::run(par, kernel),
            Kernel::Copy(kernel) => copy::run(par, kernel),
            Kernel::Scale(kernel) => scale::run(par, kernel),
            Kernel::Multiply(kernel) => multiply::run(par, kernel),
            Kernel::ScaledMatrix(kernel) => scaled_matrix::run(par, kernel),
            Kernel::Product(kernel) => product::run(par, kernel),
            Kernel::ProductSum(kernel) => product_sum::run(par, kernel),
            Kernel::ProductDiagonal(kernel) => product_diagonal::run(par, kernel),
            Kernel::Activate(kernel) => activate::run(par, kernel)?,
            Kernel::LossValue(kernel) => loss_value::run(par, kernel)?,
            Kernel::LossHessian(kernel) => loss_hessian::run(par, kernel)?,
            Kernel::GaussNewtonDiagonal(kernel) => gauss_newton_diagonal::run(par, kernel),
            Kernel::SquaredGradient(kernel) => squared_gradient::run(par, kernel),
            Kernel::LowerTriangle(kernel) => lower_triangle::run(par, kernel),
            Kernel::WeightedSum(kernel) => {
                weighted_sum::run(par, self.block(kernel.c.shape()[0]), kernel);
            }
            Kernel::Gram(kernel) => gram::run(par, kernel),
            Kernel::GramDiagonal(kernel) => {
                gram_diagonal::run(par, self.block(kernel.c.shape()[0]), kernel);
            }
            Kernel::PairBlock(kernel) => pair_block::run(par, kernel),
            Kernel::TensorSum(kernel) => {
                tensor_sum::run(par, self.block(kernel.z.shape()[0]), kernel);
            }
            Kernel::UnitValue(kernel) => unit_value::run(par, kernel)?,
            Kernel::UnitDerivative(kernel) => unit_derivative::run(par, kernel)?,
            Kernel::UnitSlope(kernel) => unit_slope::run(par, kernel)?,
            Kernel::UnitDerivativeSlope(kernel) => unit_derivative_slope::run(par, kernel)?,
            Kernel::UnitInputHessian(kernel) => unit_input_hessian::run(par, kernel)?,
            Kernel::UnitParameterHessian(kernel) => {
                unit_parameter_hessian::run(par, self.block(kernel.units.samples()), kernel)?;
            }
        }
        Ok(())
    }

    fn on_one_thread(&self) -> Option<Self> {
        Some(Cpu { is_of_chunk: true, ..Cpu::with(Par::Seq, self.counter.clone()) })
    }
}

/// Returns the bytes of a product of lengths, as many as there can be where it overflows.
fn bytes(factors: &[usize]) -> u64 {
    (factors.iter()).fold(1, |bytes: u64, &f| bytes.saturating_mul(f as u64))
}

#[cfg(test)]
mod tests;
