//! out[i, v, q] += Σ_j m[i, v, j] A[j, column + q]: one step of a backward recursion through a group of units; and a whole step,
//! the sum over all groups and what comes after it, in one pass.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::scale::times;
use super::{BLOCK, Real, each_row, in_lanes};
use crate::backend::{Kind, Term, Then};

/// Multiplications for one sample up to which plain loops are used; a choice, not a measurement.
const FEW: usize = 4096;
/// Numbers of a task's result that lie in a second level cache until the task ends, and in a first level cache; choices.
const NEAR: usize = 1 << 14;
const NEAREST: usize = 1 << 12;

/// Products of two vectors, or of single samples: too small to be worth a library's call.
fn is_small<T>(term: &Term<Vec<T>>) -> bool {
    let units = term.a.units.len();
    units <= 1 || term.a.kind == Kind::Sampled && units * term.count * term.vectors <= FEW
}

/// Adds the terms to `out`, n × vectors × units, or puts them in its place; and `then`.
pub(super) fn contract<T: Real>(
    vectors: usize,
    units: usize,
    terms: &[Term<Vec<T>>],
    accum: Accum,
    then: &Then<Vec<T>>,
    out: &mut [T],
) {
    let size = vectors * units;
    if size == 0 {
        return;
    }
    debug_assert!(terms.iter().all(|t| t.vectors * t.count == size));
    let near = match terms.iter().all(is_small) {
        true => NEAREST,
        false => NEAR,
    };
    let samples = (near / size).clamp(1, BLOCK);
    (out.par_chunks_mut(samples * size).enumerate()).for_each(|(task, out)| {
        let first = task * samples;
        let mut accum = accum;
        for term in terms.iter().filter(|term| !term.a.units.is_empty()) {
            match is_small(term) {
                true => in_lanes(
                    #[inline(always)]
                    || add_small(term, first, size, accum, out),
                ),
                false => add(term, first, size, accum, out),
            }
            accum = Accum::Add;
        }
        if let Accum::Replace = accum {
            out.fill(T::ZERO);
        }
        in_lanes(
            #[inline(always)]
            || finish(then, first, vectors, units, out),
        );
    });
}

/// What comes after the sum, for the samples from `first` on.
#[inline(always)]
fn finish<T: Real>(then: &Then<Vec<T>>, first: usize, vectors: usize, units: usize, out: &mut [T]) {
    let at = first * units;
    match *then {
        Then::Nothing => {}
        Then::Times(d) => times(vectors, units, &d[at..], out),
        Then::Bend { h1, h2, g, p } => {
            let (h1, h2, g, p) = (&h1[at..], &h2[at..], &g[at..], &p[vectors * at..]);
            each_row(
                vectors,
                units,
                units,
                out,
                #[inline(always)]
                |out, row, sample| {
                    let [h1, h2, g] = [h1, h2, g].map(|a| &a[sample.clone()]);
                    let factors = h1.iter().zip(h2).zip(g);
                    for ((out, &p), ((&h1, &h2), &g)) in out.iter_mut().zip(&p[row]).zip(factors) {
                        *out = h1 * *out + g * h2 * p;
                    }
                },
            );
        }
    }
}

/// A term for the samples from `first` on, in plain loops.
#[inline(always)]
fn add_small<T: Real>(term: &Term<Vec<T>>, first: usize, size: usize, accum: Accum, out: &mut [T]) {
    let Term { a, count, .. } = term;
    each_matrix(
        term,
        first,
        size,
        out,
        #[inline(always)]
        |rows, matrix, m, out| {
            // By numbers: another iterator would divide a length for each sample.
            for row in 0..rows {
                let m = &m[row * a.layer..][a.units.clone()];
                let out = &mut out[row * count..][..*count];
                for (j, &m) in m.iter().enumerate() {
                    let pairs =
                        (out.iter_mut()).zip(&matrix[j * a.width + term.column..][..*count]);
                    match (accum, j) {
                        (Accum::Replace, 0) => pairs.for_each(|(out, &v)| *out = m * v),
                        _ => pairs.for_each(|(out, &v)| *out += m * v),
                    }
                }
            }
        },
    );
}

/// A term for the samples from `first` on, by the library: of all at once, or of each with its matrix.
fn add<T: Real>(term: &Term<Vec<T>>, first: usize, size: usize, accum: Accum, out: &mut [T]) {
    let a = &term.a;
    each_matrix(term, first, size, out, |rows, matrix, m, out| {
        matmul(
            MatMut::from_row_major_slice_mut(out, rows, term.count),
            accum,
            MatRef::from_row_major_slice(m, rows, a.layer).subcols(a.units.start, a.units.len()),
            MatRef::from_row_major_slice(matrix, a.units.len(), a.width)
                .subcols(term.column, term.count),
            T::ONE,
            Par::Seq,
        );
    });
}

/// Calls `f(rows, matrix, m, out)` with so many rows of m and out, and their matrix: of all samples at once, or of each with its own.
#[inline(always)]
fn each_matrix<T: Real>(
    term: &Term<Vec<T>>,
    first: usize,
    size: usize,
    out: &mut [T],
    f: impl Fn(usize, &[T], &[T], &mut [T]),
) {
    let a = &term.a;
    let samples = match a.kind {
        Kind::Shared => out.len() / size,
        Kind::Sampled => 1,
    };
    let rows = samples * term.vectors;
    let m = term.m[first * term.vectors * a.layer..].chunks_exact(rows * a.layer);
    for (i, (out, m)) in (first..).zip(out.chunks_exact_mut(samples * size).zip(m)) {
        f(rows, a.matrix(i), m, out);
    }
}

#[cfg(test)]
mod tests {
    use crate::backend::{Backend, Cpu, Kind, Operand, Term, Then};

    /// A step in one pass is what its parts give one after the other, to the last bit; with a matrix for all samples and one for
    /// each, few numbers and many, past the edges of the tasks, on a part of the processor, too.
    #[test]
    fn a_whole_step_is_its_parts() {
        let numbers = |len: usize, salt: usize| -> Vec<f64> {
            (0..len)
                .map(|i| ((i * 37 + salt) % 101) as f64 / 7.0 - 7.0)
                .collect()
        };
        let shapes = [
            (1, 1, 1, 1),
            (700, 3, 5, 4),
            (600, 9, 33, 21),
            (3, 140, 70, 150),
            (700, 1, 5, 64),
            (700, 2, 1, 64),
        ];
        for (b, (n, vectors, units, count)) in (shapes.into_iter()).flat_map(|shape| {
            [
                (Cpu::<f64>::new(), shape),
                (Cpu::new().part().unwrap(), shape),
            ]
        }) {
            let len = n * vectors * count;
            let arrays = [1, 2, 3].map(|salt| numbers(n * count, salt));
            let ([h1, h2, g], p) = (&arrays, numbers(len, 4));
            let (layer, width, column) = (units + 2, count + 3, 2);
            let (all, each) = (numbers(units * width, 5), numbers(n * units * width, 6));
            // Two rows of one vector, that reach over all of the vectors.
            let (wide, two) = (numbers(2 * vectors * count, 7), numbers(n * 2, 8));
            let m = numbers(n * vectors * layer, 9);
            let term = |array, kind| Term {
                m: &m,
                vectors,
                a: Operand {
                    array,
                    kind,
                    units: 1..units + 1,
                    layer,
                    width,
                },
                column,
                count,
            };
            let turn = || Term {
                m: &two,
                vectors: 1,
                a: Operand {
                    array: &wide,
                    kind: Kind::Shared,
                    units: 0..2,
                    layer: 2,
                    width: vectors * count,
                },
                column: 0,
                count: vectors * count,
            };
            for terms in [
                vec![],
                vec![term(&all, Kind::Shared)],
                vec![term(&each, Kind::Sampled)],
                vec![term(&each, Kind::Sampled), term(&all, Kind::Shared), turn()],
            ] {
                for then in [
                    Then::Nothing,
                    Then::Times(h1),
                    Then::Bend { h1, h2, g, p: &p },
                ] {
                    let mut slow = b.zeros(len).unwrap();
                    for t in &terms {
                        b.contract(n, t.vectors, t.m, &t.a, t.column, t.count, &mut slow)
                            .unwrap();
                    }
                    for (at, out) in slow.iter_mut().enumerate() {
                        let of_sample = at / (vectors * count) * count + at % count;
                        match then {
                            Then::Nothing => {}
                            Then::Times(d) => *out *= d[of_sample],
                            Then::Bend { h1, h2, g, p } => {
                                *out = h1[of_sample] * *out + g[of_sample] * h2[of_sample] * p[at];
                            }
                        }
                    }
                    // What an array held before does not count.
                    drop(b.array(len));
                    b.recycle([vec![f64::NAN; len]]);
                    let fast = b.contracted(n, vectors, count, &terms, &then).unwrap();
                    assert!(fast == slow, "{n} {vectors} {units} {count}: {then:?}");
                }
            }
            assert!(b.zeros(len).unwrap().iter().all(|&v| v == 0.0));
        }
    }
}
