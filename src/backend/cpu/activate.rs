//! h, h′ and h″ at every pre-activation. Evaluated in f64 and rounded once: for f32 the error is half an ULP.
//!
//! The formulas are the scalar ones; the loop over them is compiled for each instruction set, lane by lane where it pays. No
//! set changes a digit: nothing is fused, and no order of sums depends on the lanes.

use faer::Par;
use pulp::{Simd, WithSimd};

use super::tasks::{parts, try_each};
use super::{Array, Real, bytes};
use crate::backend::Layout;
use crate::backend::kernel::Activate;
use crate::error::Result;
use crate::level::arch;
use crate::network::{Activation, Custom, FormulaUse};

/// About as many numbers make a task; fewer are not worth waking another thread for.
const TASK: usize = 4096;
/// Where h has gaps between its rows, about so many numbers are evaluated before they are copied there: they stay in a first level cache.
const PIECE: usize = 1024;

pub(super) fn run<T: Real>(par: Par, kernel: Activate<Array<T>>) -> Result<()> {
    let Activate { runs, p, h, h1, h2 } = kernel;
    let units = p.shape()[2];
    let p = p.dense();
    if p.is_empty() {
        return Ok(());
    }
    // Tasks of whole samples.
    let samples = TASK.div_ceil(units);
    let size = samples * units;
    let tasks = p.chunks(size).zip(parts(h, samples));
    match (h1, h2) {
        (None, _) => try_each(par, tasks, |(p, h)| samples_of_task(runs, p, h.layout, [h.numbers])),
        (Some(h1), None) => {
            let tasks = tasks.zip(h1.dense().chunks_mut(size));
            try_each(par, tasks, |((p, h), h1)| samples_of_task(runs, p, h.layout, [h.numbers, h1]))
        }
        (Some(h1), Some(h2)) => {
            let others = (h1.dense().chunks_mut(size)).zip(h2.dense().chunks_mut(size));
            try_each(par, tasks.zip(others), |((p, h), (h1, h2))| {
                samples_of_task(runs, p, h.layout, [h.numbers, h1, h2])
            })
        }
    }
}

/// Numbers of the whole samples in a piece.
fn piece(units: usize) -> usize {
    (PIECE / units).max(1) * units
}

/// Bytes of the pieces on their way to rows with gaps.
pub(super) fn scratch<T: Real>(threads: usize, kernel: &Activate<Array<T>>) -> u64 {
    let apart = usize::from(!kernel.h.layout.is_dense());
    let piece = piece(kernel.p.shape()[2].max(1));
    bytes(&[apart, threads, piece, size_of::<T>()])
}

/// h, and its derivatives without gaps, for the samples of a task.
fn samples_of_task<T: Real, const N: usize>(
    runs: &[(Activation, usize)],
    p: &[T],
    h: Layout,
    mut out: [&mut [T]; N],
) -> Result<()> {
    let arch = arch();
    if h.is_dense() {
        return arch.dispatch(Task { runs, p, out });
    }
    let units = h.shape[2];
    let size = piece(units);
    let mut near = vec![T::ZERO; size.min(p.len())];
    for (at, p) in p.chunks(size).enumerate() {
        let mut first = Some(&mut near[..p.len()]);
        let place = at * size..at * size + p.len();
        let out_of_piece =
            (out.each_mut()).map(|x| first.take().unwrap_or_else(|| &mut x[place.clone()]));
        arch.dispatch(Task { runs, p, out: out_of_piece })?;
        let rows = near.chunks_exact(units).take(p.len() / units);
        for (i, row) in (at * (size / units)..).zip(rows) {
            let to = &mut out[0][h.at(i, 0, 0)..];
            match h.strides[2] {
                1 => to[..units].copy_from_slice(row),
                step => (row.iter().enumerate()).for_each(|(c, &v)| to[c * step] = v),
            }
        }
    }
    Ok(())
}

/// Numbers of whole samples, and what is made of them.
struct Task<'a, T, const N: usize> {
    runs: &'a [(Activation, usize)],
    p: &'a [T],
    out: [&'a mut [T]; N],
}

impl<T: Real, const N: usize> WithSimd for Task<'_, T, N> {
    type Output = Result<()>;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Result<()> {
        let Task { runs, p, mut out } = self;
        let mut begin = 0;
        while begin < p.len() {
            for &(activation, count) in runs {
                // Where all units share an activation, all samples are one run.
                let end = if runs.len() == 1 { p.len() } else { p.len().min(begin + count) };
                let p = &p[begin..end];
                let out = out.each_mut().map(|x| &mut x[begin..end]);
                match activation {
                    Activation::Custom(custom) => fill(custom, p, out)?,
                    _ => activation.with_formula(Run { p, out }),
                }
                begin = end;
            }
        }
        Ok(())
    }
}

/// A formula of the user's, or the user's code, in f64.
#[inline(never)]
fn fill<T: Real, const N: usize>(custom: Custom, p: &[T], out: [&mut [T]; N]) -> Result<()> {
    let u: Vec<f64> = p.iter().map(|u| u.to_f64()).collect();
    let mut h = [(); N].map(|()| vec![0.0; p.len()]);
    custom.fill(&u, &mut h.each_mut().map(|h| &mut h[..]), &|a, p, out| {
        arch().dispatch(Alone { a, p, out });
    })?;
    for (out, h) in out.into_iter().zip(&h) {
        for (out, h) in out.iter_mut().zip(h) {
            *out = T::from_f64(*h);
        }
    }
    Ok(())
}

/// One activation that is built in, as a formula uses it.
struct Alone<'a, const N: usize> {
    a: Activation,
    p: &'a [f64],
    out: [&'a mut [f64]; N],
}

impl<const N: usize> WithSimd for Alone<'_, N> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Alone { a, p, out } = self;
        a.with_formula(Run { p, out });
    }
}

/// Neighbours that share an activation.
struct Run<'a, T, const N: usize> {
    p: &'a [T],
    out: [&'a mut [T]; N],
}

impl<T: Real, const N: usize> FormulaUse for Run<'_, T, N> {
    type Output = ();
    #[inline(always)]
    fn with(self, h: impl Fn(f64) -> [f64; 3]) {
        // As long as `p` in the compiler's eyes, too.
        let mut out = self.out.map(|x| &mut x[..self.p.len()]);
        for (i, u) in self.p.iter().enumerate() {
            for (x, h) in out.iter_mut().zip(h(u.to_f64())) {
                x[i] = T::from_f64(h);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pulp::Arch;

    use super::*;
    use crate::level::tests::all as levels;

    #[test]
    fn the_same_bits_from_every_instruction_set() {
        fn bits(arch: Arch, a: Activation, p: &[f64]) -> Vec<u64> {
            let mut out = [(); 3].map(|()| vec![0.0; p.len()]);
            let task = Task { runs: &[(a, p.len())], p, out: out.each_mut().map(|x| &mut x[..]) };
            arch.dispatch(task).unwrap();
            out.concat().into_iter().map(f64::to_bits).collect()
        }
        let p: Vec<f64> = (0..100_003)
            .map(|i| (f64::from(i) - 50_000.0) / 50_000.0)
            .map(|x| 760.0 * x * x * x)
            .collect();
        for a in Activation::ALL {
            // NaN may have any sign, and these are NaN for negative numbers.
            let positive = a.derivatives(-1.0)[0].is_nan();
            let p = if positive { &p[50_001..] } else { &p };
            let scalar: [Vec<f64>; 3] =
                [0, 1, 2].map(|k| p.iter().map(|&u| a.derivatives(u)[k]).collect());
            let scalar: Vec<u64> = scalar.concat().into_iter().map(f64::to_bits).collect();
            for (level, arch) in levels() {
                assert!(bits(arch, a, p) == scalar, "{a} at {}", level.name());
            }
        }
    }
}
