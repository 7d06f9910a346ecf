//! The kernel of the Gram matrices with its operands.

use secondo::Result;
use secondo::backend::cpu::Real;
use secondo::backend::kernel::Gram;
use secondo::backend::{Backend, Cpu, Layout, View};

/// The weighted Gram matrices of n × d inputs for s units.
pub struct Case<T: Real> {
    cpu: Cpu<T>,
    z: <Cpu<T> as Backend>::Array,
    c: <Cpu<T> as Backend>::Array,
    sum: <Cpu<T> as Backend>::Sum,
    size: [usize; 3],
}

impl<T: Real> Case<T> {
    pub fn new(n: usize, d: usize, s: usize, number: impl Fn(usize) -> f64) -> Result<Self> {
        let cpu = Cpu::new();
        let upload = |len: usize| cpu.upload(&(0..len).map(&number).collect::<Vec<_>>());
        let (z, c, sum) = (upload(n * d)?, upload(n * s)?, cpu.sums(s * d * (d + 1) / 2)?);
        let size = [n, d, s];
        Ok(Case { cpu, z, c, sum, size })
    }

    pub fn run(&mut self) -> Result<()> {
        let [n, d, s] = self.size;
        let kernel = Gram {
            c: View::new(&self.c, Layout::rows_of(n, s)),
            phi: View::new(&self.z, Layout::rows_of(n, d).repeated_rows(s)),
            sum: &mut self.sum,
        };
        self.cpu.run(kernel.into())
    }
}
