//! out[i, v, q] += Σ_j m[i, v, j] A[j, column + q]: one step of a backward recursion through a group of units.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::{BLOCK, Real, worth};
use crate::backend::{Kind, Operand};

/// Multiplications for one sample up to which plain loops are used; a choice, not a measurement.
const FEW: usize = 4096;
/// Numbers of a task's result, so that what is scaled lies in a first or second level cache still; a choice.
const NEAR: usize = 1 << 14;

/// Added to `out` or put in its place; and scaled by d[i, q] after it, where d is given.
#[allow(clippy::too_many_arguments)]
pub(super) fn contract<T: Real>(
    n: usize,
    vectors: usize,
    m: &[T],
    a: &Operand<Vec<T>>,
    column: usize,
    count: usize,
    accum: Accum,
    d: Option<&[T]>,
    out: &mut [T],
) {
    let units = a.units.len();
    if n * vectors * count == 0 {
        return;
    }
    if units == 0 {
        return match accum {
            Accum::Replace => out.fill(T::ZERO),
            Accum::Add => {}
        };
    }
    // The rows of out from sample `first` on.
    let scale = |first: usize, out: &mut [T]| {
        let Some(d) = d else { return };
        let d = d[first * count..].chunks_exact(count);
        for (out, d) in out.chunks_mut(vectors * count).zip(d) {
            for out in out.chunks_exact_mut(count) {
                out.iter_mut().zip(d).for_each(|(out, &d)| *out *= d);
            }
        }
    };
    if units == 1 || a.kind == Kind::Sampled && units * count * vectors <= FEW {
        // Products of two vectors, or of single samples, are too small to be worth a library's call.
        out.par_chunks_mut(vectors * count)
            .zip(m.par_chunks(vectors * a.layer))
            .enumerate()
            .with_min_len(worth(vectors * count))
            .for_each(|(i, (out, m))| {
                let matrix = a.matrix(i);
                for (out, m) in out.chunks_exact_mut(count).zip(m.chunks_exact(a.layer)) {
                    for (j, &m) in m[a.units.clone()].iter().enumerate() {
                        let pairs = out.iter_mut().zip(&matrix[j * a.width + column..]);
                        match (accum, j) {
                            (Accum::Replace, 0) => pairs.for_each(|(out, &v)| *out = m * v),
                            _ => pairs.for_each(|(out, &v)| *out += m * v),
                        }
                    }
                }
                scale(i, out);
            });
        return;
    }
    // Whole samples.
    let samples = match a.kind {
        Kind::Shared => (NEAR / (vectors * count)).clamp(1, BLOCK),
        Kind::Sampled => 1,
    };
    let rows = samples * vectors;
    out.par_chunks_mut(rows * count)
        .zip(m.par_chunks(rows * a.layer))
        .enumerate()
        .for_each(|(task, (out, m))| {
            let rows = out.len() / count;
            matmul(
                MatMut::from_row_major_slice_mut(out, rows, count),
                accum,
                MatRef::from_row_major_slice(m, rows, a.layer).subcols(a.units.start, units),
                MatRef::from_row_major_slice(a.matrix(task), units, a.width).subcols(column, count),
                T::ONE,
                Par::Seq,
            );
            scale(task * samples, out);
        });
}

#[cfg(test)]
mod tests {
    use crate::backend::{Backend, Cpu, Kind, Operand};

    /// In the place of what an array held, and scaled in the same pass, is what was added to zeros and scaled, to the last bit;
    /// for a matrix for all samples and for one each, few numbers and many, past the edges of the tasks.
    #[test]
    fn contracted_is_contract_and_scale() {
        let numbers = |len: usize, salt: usize| -> Vec<f64> {
            (0..len)
                .map(|i| ((i * 37 + salt) % 101) as f64 / 7.0 - 7.0)
                .collect()
        };
        let b = Cpu::<f64>::new();
        for (n, vectors, units, count) in [
            (1, 1, 1, 1),
            (700, 3, 5, 4),
            (600, 9, 33, 21),
            (3, 140, 70, 150),
        ] {
            for kind in [Kind::Shared, Kind::Sampled] {
                let matrices = if kind == Kind::Shared { 1 } else { n };
                let (layer, width, column) = (units + 2, count + 3, 2);
                let array = numbers(matrices * units * width, 1);
                let a = Operand {
                    array: &array,
                    kind,
                    units: 1..units + 1,
                    layer,
                    width,
                };
                let (m, d) = (numbers(n * vectors * layer, 2), numbers(n * count, 3));
                let mut slow = b.zeros(n * vectors * count).unwrap();
                b.contract(n, vectors, &m, &a, column, count, &mut slow)
                    .unwrap();
                let plain = b
                    .contracted(n, vectors, &m, &a, column, count, None)
                    .unwrap();
                assert_eq!(plain, slow);
                b.scale(n, vectors, count, &d, &mut slow).unwrap();
                // What an array held before does not count.
                b.recycle([vec![f64::NAN; n * vectors * count], plain]);
                let fast = b
                    .contracted(n, vectors, &m, &a, column, count, Some(&d))
                    .unwrap();
                assert_eq!(fast, slow);
                b.recycle([vec![f64::NAN; n * vectors * count]]);
                assert!(
                    b.zeros(n * vectors * count)
                        .unwrap()
                        .iter()
                        .all(|&v| v == 0.0)
                );
            }
        }
    }
}
