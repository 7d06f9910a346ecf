//! out[(j, j′, b), a] += Σ_i (S[i, j, j′] z^l[i, b] + δ[i, j′] T[i, j, b]) z^k[i, a].
//!
//! What stands in brackets is formed for a block of samples, and for so many (j′, b) that it stays in a cache: one product with
//! z^k, not one for each of its terms.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::Real;
use crate::backend::Coupled;

/// Numbers (j′, b) of a tile, about.
const TILE: usize = 140;
/// Samples of a block: with a tile, 0.3 MB in f64.
const BLOCK: usize = 256;

/// Units j′ of a tile.
fn units_of_tile(units: usize, width: usize) -> usize {
    (TILE / width.max(1)).clamp(1, units.max(1))
}

/// Numbers that a task holds.
pub(crate) fn scratch(n: usize, units: usize, (l, k): (usize, usize)) -> usize {
    let width = units_of_tile(units, l) * l;
    n.min(BLOCK) * (units + l + width) + width * k
}

pub(super) fn coupled<T: Real>(n: usize, pair: &Coupled<Vec<T>>, out: &mut [f64]) {
    let (units, l, k) = (pair.g.len(), pair.z_l.width, pair.z_k.width);
    if n * units * l * k == 0 {
        return;
    }
    let (of_tile, count) = (units_of_tile(units, l), n.min(BLOCK));
    let new = |len: usize| vec![T::ZERO; len];
    let arch = Arch::new();
    (out.par_chunks_mut(units * l * k).zip(pair.h.clone())).for_each_init(
        || {
            [
                units * count,
                l * count,
                of_tile * l * count,
                of_tile * l * k,
            ]
            .map(new)
        },
        |[s, t, sums, partial], (out, j)| {
            for from in (0..n).step_by(BLOCK) {
                let samples = from..n.min(from + BLOCK);
                let count = samples.len();
                // Side by side: the rows of one j are far from each other.
                for (at, i) in samples.clone().enumerate() {
                    let row = i * pair.rows + j;
                    let of_g = row * pair.columns + pair.g.start;
                    s[at * units..][..units].copy_from_slice(&pair.s[of_g..][..units]);
                    t[at * l..][..l].copy_from_slice(&pair.t[row * l..][..l]);
                }
                let z = MatRef::from_row_major_slice(
                    &pair.z_k.array[from * pair.z_k.stride..][..count * pair.z_k.stride],
                    count,
                    pair.z_k.stride,
                );
                for (tile, out) in out.chunks_mut(of_tile * l * k).enumerate() {
                    let width = out.len() / k;
                    let (sums, partial) = (&mut sums[..count * width], &mut partial[..width * k]);
                    arch.dispatch(Form {
                        pair,
                        samples: samples.clone(),
                        first: tile * of_tile,
                        s: &*s,
                        t: &*t,
                        out: &mut *sums,
                    });
                    matmul(
                        // The longer side first: the library's kernels are tall.
                        MatMut::from_column_major_slice_mut(partial, width, k),
                        Accum::Replace,
                        MatRef::from_row_major_slice(sums, count, width).transpose(),
                        z.subcols(pair.z_k.first, k),
                        T::ONE,
                        Par::Seq,
                    );
                    for (x, out) in out.chunks_exact_mut(k).enumerate() {
                        let column = partial[x..].iter().step_by(width);
                        (out.iter_mut().zip(column)).for_each(|(out, v)| *out += v.to_f64());
                    }
                }
            }
        },
    );
}

/// S[i, j, j′] z^l[i, b] + δ[i, j′] T[i, j, b] for one j and the j′ of g from its `first` on; s: samples × units of g,
/// t: samples × b.
struct Form<'a, T> {
    pair: &'a Coupled<'a, Vec<T>>,
    samples: Range<usize>,
    first: usize,
    s: &'a [T],
    t: &'a [T],
    out: &'a mut [T],
}

impl<T: Real> WithSimd for Form<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Form {
            pair,
            samples,
            first,
            s,
            t,
            out,
        } = self;
        let (units, l) = (pair.g.len(), pair.z_l.width);
        let rows = s.chunks_exact(units).zip(t.chunks_exact(l));
        let out = out.chunks_exact_mut(out.len() / samples.len());
        for ((i, out), (s, t)) in samples.zip(out).zip(rows) {
            let z = pair.z_l.row(i);
            let delta = &pair.delta[i * pair.columns + pair.g.start + first..];
            for ((out, &s), &delta) in out.chunks_exact_mut(l).zip(&s[first..]).zip(delta) {
                for ((out, &z), &t) in out.iter_mut().zip(z).zip(t) {
                    *out = s * z + delta * t;
                }
            }
        }
    }
}
