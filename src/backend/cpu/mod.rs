//! The kernels in plain Rust: `Cpu<f64>` is the truth, `Cpu<f32>` the same code in the other float.
//!
//! Work is divided into blocks of samples whose bounds depend on the shapes alone, and partial sums are added in
//! the order of the blocks: the bits of a result do not depend on the number of threads.

mod activate;
mod contract;
mod contract_diagonal;
mod coupled;
mod diagonal;
mod fisher;
mod gather;
mod gauss_newton;
mod gradient;
pub mod gram;
mod gram_diagonal;
mod linked;
mod loss;
mod multiply_add;
mod outer;
mod pairs;
mod propagate;
mod real;
mod reduce;
mod scale;
mod tensor;
mod tile;
mod transpose;
mod unit;

use std::ops::Range;

use faer::Accum;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

pub(crate) use coupled::scratch_bytes as scratch_of_coupled;
pub(crate) use gradient::tile_of;
pub use real::Real;
pub(crate) use reduce::block;

use super::pool::Pool;
use super::{
    Backend, Columns, Coupled, Direction, Kind, Operand, Term, Then, UnitDerivative, UnitGroup,
};
use crate::error::Result;
use crate::network::Activation;
use crate::objective::Loss;

/// Samples in one block: partial sums in the backend's floats run over no more than this many terms.
pub(crate) const BLOCK: usize = 512;

/// Chunks and blocks are of so many samples, or of a multiple; and E is summed up over so many at first.
pub(crate) const QUANTUM: usize = 64;

/// Numbers that are worth waking another thread for; a choice, not a measurement.
const TASK: usize = 1 << 14;

/// Samples of `size` numbers each that are worth waking another thread for.
fn worth(size: usize) -> usize {
    (TASK / size.max(1)).max(1)
}

/// Calls `f` with the numbers of several samples, `size` each, and the first of them, its loops [`in_lanes`].
fn each_samples<T: Real>(size: usize, out: &mut [T], f: impl Fn(usize, &mut [T]) + Sync) {
    if size == 0 {
        return;
    }
    let samples = worth(size);
    (out.par_chunks_mut(samples * size).enumerate()).for_each(|(task, out)| {
        in_lanes(
            #[inline(always)]
            || f(task * samples, out),
        )
    });
}

/// Calls `f(row, at, of_sample)` with each row of `units` numbers in `out`, whose rows are `width` apart: `at` is its place in an
/// array of n × vectors × units, `of_sample` that of its sample in one of n × units. One vector without gaps is one row for all
/// samples. What is behind a row becomes 0.
#[inline(always)]
fn each_row<T: Real>(
    vectors: usize,
    units: usize,
    width: usize,
    out: &mut [T],
    f: impl Fn(&mut [T], Range<usize>, Range<usize>),
) {
    if vectors == 1 && width == units {
        let all = 0..out.len();
        return f(out, all.clone(), all);
    }
    for (sample, out) in out.chunks_exact_mut(vectors * width).enumerate() {
        // By numbers: another iterator would divide the length for each sample.
        for vector in 0..vectors {
            let (row, behind) = out[vector * width..][..width].split_at_mut(units);
            let (at, of_sample) = ((sample * vectors + vector) * units, sample * units);
            f(row, at..at + units, of_sample..of_sample + units);
            behind.fill(T::ZERO);
        }
    }
}

/// Calls `f`. Where that is inlined always, its loops are compiled for the widest registers that there are: no digit changes.
fn in_lanes(f: impl FnMut()) {
    struct Lanes<F>(F);
    impl<F: FnMut()> WithSimd for Lanes<F> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(mut self, _: S) {
            (self.0)();
        }
    }
    Arch::new().dispatch(Lanes(f));
}

/// Partial sums of a reduction that are held at once.
pub(crate) const PARTIALS: usize = 8;

impl<T> Operand<'_, Vec<T>> {
    /// Rows of one task: many under one matrix for all samples, a sample's own vectors under a matrix for each.
    fn rows(&self, vectors: usize) -> usize {
        match self.kind {
            Kind::Shared => BLOCK,
            Kind::Sampled => vectors,
        }
    }

    /// The matrix of a task.
    fn matrix(&self, task: usize) -> &[T] {
        let size = self.units.len() * self.width;
        match self.kind {
            Kind::Shared => self.array,
            Kind::Sampled => &self.array[task * size..(task + 1) * size],
        }
    }
}

/// The processor, computing in `T` = `f64` or `f32`, on the threads of the current rayon pool.
#[derive(Debug, Default)]
pub struct Cpu<T> {
    pool: Pool<Vec<T>>,
    /// Whether it computes one of several chunks at once.
    part: bool,
}

impl<T: Real> Cpu<T> {
    /// The processor.
    pub fn new() -> Self {
        // glibc gives freed memory back to the system beyond a threshold that grows with the largest block freed so far.
        // Every chunk frees a few megabytes and asks for them again: without this, a fit of the digits spent more time in
        // page faults than in the kernels. One block that nothing touches raises the threshold for good.
        static RAISE: std::sync::Once = std::sync::Once::new();
        RAISE.call_once(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(31 << 20))));
        Cpu {
            pool: Pool::default(),
            part: false,
        }
    }

    /// Samples of a block of partial sums.
    fn block(&self, n: usize) -> usize {
        block(n, self.part)
    }

    /// An array that will be written whole: what it holds does not count.
    fn array(&self, len: usize) -> Vec<T> {
        self.pool.take(len).unwrap_or_else(|| vec![T::ZERO; len])
    }
}

impl<T: Real> Backend for Cpu<T> {
    type Array = Vec<T>;
    type Sum = Vec<f64>;

    fn part(&self) -> Option<Self> {
        Some(Cpu {
            pool: Pool::default(),
            part: true,
        })
    }

    fn values(&self, n: usize) -> usize {
        match self.part {
            true => n.div_ceil(QUANTUM),
            false => 1,
        }
    }

    fn upload(&self, values: &[f64]) -> Result<Vec<T>> {
        if T::NAME == "f32" {
            super::check_f32(values)?;
        }
        Ok(values.iter().map(|&v| T::from_f64(v)).collect())
    }

    fn upload_rows(&self, values: &[f64], width: usize, constant: bool) -> Result<Vec<T>> {
        if !constant || width == 0 {
            return self.upload(values);
        }
        if T::NAME == "f32" {
            super::check_f32(values)?;
        }
        let mut rows = self.array(values.len() / width * (width + 1));
        for (row, values) in rows
            .chunks_exact_mut(width + 1)
            .zip(values.chunks_exact(width))
        {
            let (row, one) = row.split_at_mut(width);
            (row.iter_mut().zip(values)).for_each(|(x, &v)| *x = T::from_f64(v));
            one.fill(T::ONE);
        }
        Ok(rows)
    }

    fn zeros(&self, len: usize) -> Result<Vec<T>> {
        let Some(mut array) = self.pool.take(len) else {
            return Ok(vec![T::ZERO; len]);
        };
        (array.par_chunks_mut(1 << 16)).for_each(|part| part.fill(T::ZERO));
        Ok(array)
    }

    fn recycle(&self, arrays: impl IntoIterator<Item = Vec<T>>) {
        (arrays.into_iter()).for_each(|array| self.pool.keep(array.len(), array));
    }

    fn release(&self) {
        self.pool.clear();
    }

    fn download(&self, array: &Vec<T>) -> Result<Vec<f64>> {
        Ok(array.iter().map(|v| v.to_f64()).collect())
    }

    fn sums(&self, len: usize) -> Result<Vec<f64>> {
        let mut sums = vec![0.0; len];
        // Fresh pages cost a fault each on first touch. In order that is cheap; in the order of the Gram kernel's tiles it
        // took 0.54 s for the 158 MB of [784-64-1], more than three times the kernel itself.
        sums.par_chunks_mut(1 << 16).for_each(|part| part.fill(0.0));
        Ok(sums)
    }

    fn read(&self, sum: Vec<f64>) -> Result<Vec<f64>> {
        Ok(sum)
    }

    fn gather(&self, n: usize, sources: &[(&Vec<T>, usize)], bias: bool) -> Result<Vec<T>> {
        let width = sources.iter().map(|s| s.1).sum::<usize>() + usize::from(bias);
        let mut z = self.array(n * width);
        gather::gather(sources, bias, &mut z);
        Ok(z)
    }

    fn propagate(
        &self,
        n: usize,
        vectors: usize,
        z: &Vec<T>,
        stride: usize,
        a: &Operand<Vec<T>>,
        out: &mut Vec<T>,
    ) -> Result<()> {
        propagate::propagate(n, vectors, z, stride, a, Accum::Add, out);
        Ok(())
    }

    fn propagated(
        &self,
        n: usize,
        vectors: usize,
        z: &Vec<T>,
        stride: usize,
        a: &Operand<Vec<T>>,
    ) -> Result<Vec<T>> {
        if a.units.len() < a.layer {
            let mut out = self.zeros(n * vectors * a.layer)?;
            self.propagate(n, vectors, z, stride, a, &mut out)?;
            return Ok(out);
        }
        let mut out = self.array(n * vectors * a.layer);
        propagate::propagate(n, vectors, z, stride, a, Accum::Replace, &mut out);
        Ok(out)
    }

    fn activate(
        &self,
        n: usize,
        runs: &[(Activation, usize)],
        p: &Vec<T>,
        order: usize,
    ) -> Result<Vec<Vec<T>>> {
        self.activated(n, runs, p, order, false)
    }

    fn activated(
        &self,
        _: usize,
        runs: &[(Activation, usize)],
        p: &Vec<T>,
        order: usize,
        constant: bool,
    ) -> Result<Vec<Vec<T>>> {
        activate::activate(runs, p, order, constant, |len| self.array(len))
    }

    fn loss(
        &self,
        n: usize,
        loss: &Loss,
        x: &Vec<T>,
        y: &Vec<T>,
        omega: &Vec<T>,
        value: &mut Vec<f64>,
        gradient: bool,
    ) -> Result<Option<Vec<T>>> {
        loss.guarded(|| loss::loss(n, loss, x, y, omega, value, gradient))
    }

    fn loss_hessian(
        &self,
        n: usize,
        loss: &Loss,
        x: &Vec<T>,
        y: &Vec<T>,
        omega: &Vec<T>,
    ) -> Result<Vec<T>> {
        loss.guarded(|| loss::loss_hessian(n, loss, x, y, omega))
    }

    fn contract(
        &self,
        n: usize,
        vectors: usize,
        m: &Vec<T>,
        a: &Operand<Vec<T>>,
        column: usize,
        count: usize,
        out: &mut Vec<T>,
    ) -> Result<()> {
        let term = Term {
            m,
            vectors,
            a: a.clone(),
            column,
            count,
        };
        debug_assert_eq!(out.len(), n * vectors * count);
        contract::contract(vectors, count, &[term], Accum::Add, &Then::Nothing, out);
        Ok(())
    }

    fn contracted(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        terms: &[Term<Vec<T>>],
        then: &Then<Vec<T>>,
    ) -> Result<Vec<T>> {
        let mut out = self.array(n * vectors * units);
        contract::contract(vectors, units, terms, Accum::Replace, then, &mut out);
        Ok(out)
    }

    fn linked(
        &self,
        n: usize,
        p: &Vec<T>,
        a: &Operand<Vec<T>>,
        column: usize,
        count: usize,
        d: &Vec<T>,
        constant: bool,
    ) -> Result<Vec<T>> {
        let mut out = self.array(n * count * (a.layer + usize::from(constant)));
        linked::linked(p, a, column, count, d, constant, &mut out);
        Ok(out)
    }

    fn contract_diagonal(
        &self,
        n: usize,
        m: &Vec<T>,
        a: &Operand<Vec<T>>,
        column: usize,
        count: usize,
        out: &mut Vec<T>,
    ) -> Result<()> {
        contract_diagonal::contract_diagonal(n, m, a, column, count, out);
        Ok(())
    }

    fn scale(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        d: &Vec<T>,
        a: &mut Vec<T>,
    ) -> Result<()> {
        debug_assert_eq!(a.len(), n * vectors * units);
        scale::scale(vectors, units, d, a);
        Ok(())
    }

    fn multiply_add(
        &self,
        _: usize,
        vectors: usize,
        units: usize,
        a: &Vec<T>,
        b: &Vec<T>,
        out: &mut Vec<T>,
    ) -> Result<()> {
        multiply_add::multiply_add(vectors, units, a, b, out);
        Ok(())
    }

    fn multiplied(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        a: &Vec<T>,
        b: &Vec<T>,
        constant: bool,
    ) -> Result<Vec<T>> {
        let mut out = self.array(n * vectors * (units + usize::from(constant)));
        multiply_add::multiply(vectors, units, constant, a, b, &mut out);
        Ok(out)
    }

    fn add_diagonal(&self, n: usize, units: usize, d: &Vec<T>, a: &mut Vec<T>) -> Result<()> {
        diagonal::add_diagonal(n, units, d, a);
        Ok(())
    }

    fn diagonal(&self, n: usize, units: usize, a: &Vec<T>) -> Result<Vec<T>> {
        Ok(diagonal::diagonal(n, units, a))
    }

    fn transpose(&self, n: usize, rows: usize, columns: usize, a: &Vec<T>) -> Result<Vec<T>> {
        let mut out = self.array(n * rows * columns);
        transpose::transpose(rows, columns, a, &mut out);
        Ok(out)
    }

    fn gauss_newton(
        &self,
        n: usize,
        outputs: usize,
        units: usize,
        jacobian: &Vec<T>,
        hessian: &Vec<T>,
    ) -> Result<Vec<T>> {
        Ok(gauss_newton::gauss_newton(
            n, outputs, units, jacobian, hessian,
        ))
    }

    fn fisher(&self, n: usize, units: usize, delta: &Vec<T>, omega: &Vec<T>) -> Result<Vec<T>> {
        Ok(fisher::fisher(n, units, delta, omega))
    }

    fn gradient(
        &self,
        n: usize,
        delta: &Vec<T>,
        phi: &Operand<Vec<T>>,
        out: &mut Vec<f64>,
        at: usize,
    ) -> Result<()> {
        let len = phi.units.len() * phi.width;
        gradient::gradient(n, self.block(n), delta, phi, &mut out[at..at + len]);
        Ok(())
    }

    fn coupled(&self, n: usize, pair: &Coupled<Vec<T>>, out: &mut Vec<f64>) -> Result<()> {
        coupled::coupled(n, pair, out);
        Ok(())
    }

    fn outer(&self, n: usize, y: &Columns<Vec<T>>, z: &Columns<Vec<T>>) -> Result<Vec<T>> {
        let mut out = self.array(n * y.width * z.width);
        outer::outer(y, z, &mut out);
        Ok(out)
    }

    fn pairs(&self, n: usize, layer: usize, units: Range<usize>, a: &Vec<T>) -> Result<Vec<T>> {
        let mut out = self.array(n * (units.len() * (units.len() + 1) / 2));
        pairs::pairs(layer, units, a, &mut out);
        Ok(out)
    }

    fn gram(&self, n: usize, c: &Vec<T>, phi: &Operand<Vec<T>>, out: &mut Vec<f64>) -> Result<()> {
        gram::weighted_gram(n, c, phi, out);
        Ok(())
    }

    fn gram_diagonal(
        &self,
        n: usize,
        c: &Vec<T>,
        phi: &Operand<Vec<T>>,
        out: &mut Vec<f64>,
    ) -> Result<()> {
        gram_diagonal::gram_diagonal(n, self.block(n), c, phi, out);
        Ok(())
    }

    fn tensor(
        &self,
        n: usize,
        order: usize,
        c: &Vec<T>,
        z: &Vec<T>,
        width: usize,
        out: &mut Vec<f64>,
    ) -> Result<()> {
        tensor::tensor(n, self.block(n), order, c, z, width, out);
        Ok(())
    }

    fn unit_value(
        &self,
        n: usize,
        group: &UnitGroup<Vec<T>>,
        z: &Vec<T>,
        p: &mut Vec<T>,
    ) -> Result<()> {
        unit::value(n, group, z, p)
    }

    fn unit_derivative(
        &self,
        n: usize,
        group: &UnitGroup<Vec<T>>,
        z: &Vec<T>,
        which: UnitDerivative,
    ) -> Result<Vec<T>> {
        unit::derivative(n, group, z, which)
    }

    fn unit_value_along(
        &self,
        n: usize,
        group: &UnitGroup<Vec<T>>,
        z: &Vec<T>,
        direction: &Direction<Vec<T>>,
        p: &mut Vec<T>,
    ) -> Result<()> {
        unit::value_along(n, group, z, direction, p)
    }

    fn unit_along(
        &self,
        n: usize,
        group: &UnitGroup<Vec<T>>,
        z: &Vec<T>,
        direction: &Direction<Vec<T>>,
        which: UnitDerivative,
    ) -> Result<Vec<T>> {
        unit::along(n, group, z, direction, which)
    }

    fn unit_d_zz(
        &self,
        n: usize,
        group: &UnitGroup<Vec<T>>,
        z: &Vec<T>,
        delta: &Vec<T>,
        out: &mut Vec<T>,
    ) -> Result<()> {
        unit::d_zz(n, group, z, delta, out)
    }

    fn unit_d_ww(
        &self,
        n: usize,
        group: &UnitGroup<Vec<T>>,
        z: &Vec<T>,
        delta: &Vec<T>,
        diagonal: bool,
        out: &mut Vec<f64>,
    ) -> Result<()> {
        unit::d_ww(n, self.block(n), group, z, delta, diagonal, out)
    }
}

#[cfg(test)]
mod tests {
    use crate::backend::{Backend, Cpu, Kind, Operand};
    use crate::network::Activation;

    fn numbers(len: usize, salt: usize) -> Vec<f64> {
        (0..len)
            .map(|i| ((i * 37 + salt) % 101) as f64 / 7.0 - 7.0)
            .collect()
    }

    /// What is written in the place of what an array held is what was added to zeros, to the last bit; on a part, too. Products of
    /// rows are those of plain loops.
    #[test]
    fn written_is_added_to_zeros() {
        for b in [Cpu::<f64>::new(), Cpu::new().part().unwrap()] {
            for (n, vectors, units) in [(1, 1, 1), (700, 3, 5), (600, 1, 70), (600, 2, 70)] {
                // What an array held before does not count.
                let dirty = |len| {
                    drop(b.array(len));
                    b.recycle([vec![f64::NAN; len]]);
                };
                let (rows, len) = (n * vectors, n * vectors * units);
                let (h1, p) = (numbers(n * units, 1), numbers(len, 4));
                for constant in [false, true] {
                    let more = len + if constant { rows } else { 0 };
                    let of_sample = |at: usize| at / (vectors * units) * units + at % units;
                    let slow: Vec<f64> = (0..len).map(|at| h1[of_sample(at)] * p[at]).collect();
                    let mut sum = p.clone();
                    b.multiply_add(n, vectors, units, &h1, &p, &mut sum)
                        .unwrap();
                    assert!((0..len).all(|at| sum[at] == p[at] + slow[at]));
                    let mut scaled = p.clone();
                    b.scale(n, vectors, units, &h1, &mut scaled).unwrap();
                    assert!(scaled == slow);
                    let slow = b.with_zero(rows, units, slow, constant).unwrap();
                    dirty(more);
                    let fast = b.multiplied(n, vectors, units, &h1, &p, constant);
                    assert!(fast.unwrap() == slow);

                    let slow = b.upload(&p).unwrap();
                    let slow = b.with_one(rows, units, slow, constant).unwrap();
                    dirty(more);
                    assert!(b.upload_rows(&p, units, constant).unwrap() == slow);

                    // One activation, and two.
                    let some = units / 2;
                    for runs in [
                        vec![(Activation::Tanh, units)],
                        vec![(Activation::Tanh, some), (Activation::Gelu, units - some)],
                    ] {
                        for order in 0..=2 {
                            let mut slow = b.activate(rows, &runs, &p, order).unwrap();
                            slow[0] = b.with_one(rows, units, slow[0].clone(), constant).unwrap();
                            dirty(more);
                            let fast = b.activated(rows, &runs, &p, order, constant).unwrap();
                            assert!(fast == slow, "{n} {vectors} {units} {runs:?}");
                        }
                    }
                }

                // All units of a layer, and some.
                for layer in [units, units + 2] {
                    let (width, stride) = (4, 5);
                    let array = numbers(units * width, 6);
                    let a = Operand {
                        array: &array,
                        kind: Kind::Shared,
                        units: layer - units..layer,
                        layer,
                        width,
                    };
                    let z = numbers(n * vectors * stride, 7);
                    let mut slow = b.zeros(n * vectors * layer).unwrap();
                    b.propagate(n, vectors, &z, stride, &a, &mut slow).unwrap();
                    dirty(n * vectors * layer);
                    assert!(b.propagated(n, vectors, &z, stride, &a).unwrap() == slow);
                }
            }
        }
    }

    /// Small integers, whose products are exact.
    #[test]
    fn linked_is_its_products() {
        let numbers = |len: usize, salt: usize| -> Vec<f64> {
            (0..len)
                .map(|i| ((i * 7 + salt) % 5) as f64 - 2.0)
                .collect()
        };
        let b = Cpu::<f64>::new();
        for (n, count, units) in [(1, 1, 1), (300, 3, 9), (257, 2, 3)] {
            let column = 1;
            let array = numbers(units * (count + 2), 6);
            let a = Operand {
                array: &array,
                kind: Kind::Shared,
                units: 0..units,
                layer: units,
                width: count + 2,
            };
            let (p, d) = (numbers(n * count, 7), numbers(n * units, 8));
            for constant in [false, true] {
                let out = b.linked(n, &p, &a, column, count, &d, constant).unwrap();
                let width = units + usize::from(constant);
                let want: Vec<f64> = (0..n * count * width)
                    .map(|at| (at / width, at % width))
                    .map(|(row, j)| {
                        let (i, q) = (row / count, row % count);
                        match j < units {
                            true => p[row] * array[j * (count + 2) + column + q] * d[i * units + j],
                            false => 0.0,
                        }
                    })
                    .collect();
                assert!(out == want, "{n} {count} {units}");
            }
        }
    }
}
