//! sum[(j, j′, b), a] += Σ_i (S[i, j, j′] z^l[i, b] + δ[i, j′] T[i, j, b]) z^k[i, a].
//!
//! The expression in brackets has rank two for each sample and j, over j′ and over b. The lanes of vectors run over the one of them
//! that fills them better; the vectors go to the register tile as they are formed, with z^k[i, a] as its rows.

use std::ops::Range;

use faer::Par;
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::array::Input;
use super::gram::BLOCK;
use super::tile::{Lanes, SLAB, aligned, lanes, pack, product, slab_vectors, tile_rows, tiles};
use super::{Array, Real, Sum};
use crate::backend::kernel::PairBlock;
use crate::level::arch;

/// Bytes that the tasks hold, at the most.
pub(super) fn scratch<T: Real>(threads: usize, kernel: &PairBlock<Array<T>, Sum>) -> u64 {
    let PairBlock { s, z_l, z_k, .. } = kernel;
    let ([n, _, units], [.., l], [.., k]) = (s.shape(), z_l.shape(), z_k.shape());
    let task = scratch_of_task(n, units, (l, k), size_of::<T>()) as u64;
    task.saturating_mul(threads as u64).saturating_add(z_k.copied_bytes())
}

/// Bytes that a task holds, at the most, where numbers have `size` bytes. A vector has 64 at the most: for each sample those of a
/// slab, and two whose lanes reach past the ends of both factors; then the register tile, and what aligns them.
fn scratch_of_task(n: usize, units: usize, (l, k): (usize, usize), size: usize) -> usize {
    n.min(BLOCK) * (size * (2 * (units + l) + k) + 64 * (2 + SLAB)) + 64 * 64
}

/// The arrays that all tasks read.
struct Factors<'a, T> {
    s: Input<'a, T>,
    t: Input<'a, T>,
    delta: Input<'a, T>,
    z_l: Input<'a, T>,
    z_k: Input<'a, T>,
}

pub(super) fn run<T: Real>(par: Par, kernel: PairBlock<Array<T>, Sum>) {
    let PairBlock { s, t, delta, z_l, z_k, sum } = kernel;
    let ([n, _, units], [.., l], [.., k]) = (s.shape(), z_l.shape(), z_k.shape());
    let size = units * l * k;
    if n * size == 0 {
        return;
    }
    let mut copy = None;
    let z_k = z_k.in_rows(&mut copy);
    let factors = Factors { s, t, delta, z_l, z_k };
    let (arch, out) = (arch(), &mut sum.numbers);
    let task = |buffers: &mut Buffers<T>, (j, out): (usize, &mut [f64])| {
        arch.dispatch(Task { factors: &factors, j, buffers, out });
    };
    if matches!(par, Par::Seq) {
        let mut buffers = Buffers::default();
        (out.chunks_mut(size).enumerate()).for_each(|of_j| task(&mut buffers, of_j));
    } else {
        (out.par_chunks_mut(size).enumerate()).for_each_init(Buffers::default, task);
    }
}

/// The buffers of a thread.
#[derive(Default)]
struct Buffers<T> {
    /// S and δ, sample by sample.
    of_units: [Vec<T>; 2],
    /// z and T, sample by sample.
    of_inputs: [Vec<T>; 2],
    slab: Vec<T>,
    tile: Vec<T>,
    packed: Vec<T>,
}

/// The entries of one j.
struct Task<'a, T> {
    factors: &'a Factors<'a, T>,
    j: usize,
    buffers: &'a mut Buffers<T>,
    out: &'a mut [f64],
}

impl<T: Real> WithSimd for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (factors, lanes) = (self.factors, lanes::<S, T>());
        let ([n, _, units], l) = (factors.s.shape(), factors.z_l.shape()[2]);
        let by_units = units.div_ceil(lanes) * l <= l.div_ceil(lanes) * units;
        let (across, down) = if by_units { (units, l) } else { (l, units) };
        let vectors = across.div_ceil(lanes);
        // Numbers of a row over j′, and of one over b: whole vectors where lanes run.
        let (of_j, of_b) = if by_units { (vectors * lanes, l) } else { (units, vectors * lanes) };
        let buffers = self.buffers;
        let tile = aligned(&mut buffers.tile, tile_rows::<S>() * SLAB * lanes);
        let tile = cast_slice_mut::<_, T::Vector<S>>(tile);
        let (z, width) = (&factors.z_k, factors.z_k.shape()[2]);
        for from in (0..n).step_by(BLOCK) {
            let samples = from..n.min(from + BLOCK);
            let len = samples.len();
            let rows = |view: Input<T>, width: usize, to| rows(view, samples.clone(), width, to);
            let [s_to, delta_to] = &mut buffers.of_units;
            let [z_to, t_to] = &mut buffers.of_inputs;
            let of_units =
                [rows(factors.s.one_row(self.j), of_j, s_to), rows(factors.delta, of_j, delta_to)];
            let of_inputs =
                [rows(factors.z_l, of_b, z_to), rows(factors.t.one_row(self.j), of_b, t_to)];
            let (x, y) = if by_units { (of_inputs, of_units) } else { (of_units, of_inputs) };
            let y = y.map(cast_slice::<_, T::Vector<S>>);
            let slab = aligned(&mut buffers.slab, len * SLAB * lanes);
            let slab = cast_slice_mut::<_, T::Vector<S>>(slab);
            let array = &z.array.numbers[z.layout.at(from, 0, 0)..];
            pack::<S, T>(array, z.layout.strides[0], len, 0..width, &mut buffers.packed);
            for v in 0..vectors {
                let y = y.map(|y| (&y[v..], vectors));
                for u in tiles(down, slab_vectors::<S>()) {
                    let used = u.len();
                    let slab = &mut slab[..len * used];
                    let x = x.map(|x| (&x[u.start..], down));
                    match used {
                        1 => form::<S, T, 1>(simd, x, y, slab),
                        2 => form::<S, T, 2>(simd, x, y, slab),
                        3 => form::<S, T, 3>(simd, x, y, slab),
                        _ => unreachable!("a slab row has at most 3 vectors"),
                    }
                    for a in tiles(width, tile_rows::<S>()) {
                        let left = &buffers.packed[a.start * len..a.end * len];
                        product(simd, a.len(), used, left, slab, used, tile);
                        let sums = cast_slice::<_, T>(tile);
                        // The entries (j′, b) of each lane of each vector.
                        for (at, u) in u.clone().enumerate() {
                            for lane in 0..lanes.min(across - v * lanes) {
                                let entry = if by_units {
                                    (v * lanes + lane) * l + u
                                } else {
                                    u * l + v * lanes + lane
                                };
                                let out = &mut self.out[entry * width..][a.clone()];
                                let sums = &sums[at * lanes + lane..];
                                let sums = sums.iter().step_by(used * lanes);
                                (out.iter_mut().zip(sums)).for_each(|(x, v)| *x += v.to_f64());
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The rows of some samples, side by side, `width` numbers from one to the next. What is past the end of a row is left as it was:
/// nobody reads the sums of these lanes.
fn rows<'a, T: Real>(
    view: Input<T>,
    samples: Range<usize>,
    width: usize,
    to: &'a mut Vec<T>,
) -> &'a [T] {
    let (to, len) = (aligned(to, samples.len() * width), view.shape()[2]);
    for (to, i) in to.chunks_exact_mut(width).zip(samples) {
        view.copy_row(i, 0, &mut to[..len]);
    }
    to
}

/// slab[i, u] = x₀[i, u] y₀[i] + x₁[i, u] y₁[i]; x and y come with the distance between their rows.
#[inline(always)]
fn form<S: Simd, T: Lanes, const U: usize>(
    simd: S,
    [x0, x1]: [(&[T], usize); 2],
    [y0, y1]: [(&[T::Vector<S>], usize); 2],
    slab: &mut [T::Vector<S>],
) {
    for (i, to) in slab.as_chunks_mut::<U>().0.iter_mut().enumerate() {
        let (y0, y1) = (y0.0[i * y0.1], y1.0[i * y1.1]);
        let x0 = &x0.0[i * x0.1..][..U];
        let x1 = &x1.0[i * x1.1..][..U];
        for ((to, &x0), &x1) in to.iter_mut().zip(x0).zip(x1) {
            let first = T::mul(simd, T::splat(simd, x0), y0);
            *to = T::mul_add(simd, T::splat(simd, x1), y1, first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, Cpu, Layout, View};
    use crate::level::tests::all as levels;

    /// All j with one instruction set.
    struct Call<'a, T>(&'a Factors<'a, T>, Vec<f64>);

    impl<T: Real> WithSimd for Call<'_, T> {
        type Output = Vec<f64>;
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f64> {
            let Call(factors, mut out) = self;
            // The old contents of a buffer do not count.
            let nan = || vec![T::from_f64(f64::NAN); 1 << 17];
            let mut buffers = Buffers {
                of_units: [nan(), nan()],
                of_inputs: [nan(), nan()],
                slab: nan(),
                tile: nan(),
                packed: nan(),
            };
            let size = out.len() / factors.s.shape()[1];
            for (j, out) in out.chunks_exact_mut(size).enumerate() {
                let buffers = &mut buffers;
                simd.vectorize(Task { factors, j, buffers, out });
            }
            out
        }
    }

    /// Bytes of the buffers, new to this shape.
    struct Held<'a, T>(&'a Factors<'a, T>, usize);

    impl<T: Real> WithSimd for Held<'_, T> {
        type Output = usize;
        fn with_simd<S: Simd>(self, simd: S) -> usize {
            let Held(factors, size) = self;
            let mut buffers = Buffers::default();
            simd.vectorize(Task {
                factors,
                j: 0,
                buffers: &mut buffers,
                out: &mut vec![0.0; size],
            });
            let Buffers { of_units, of_inputs, slab, tile, packed } = &buffers;
            let all = (of_units.iter().chain(of_inputs)).chain([slab, tile, packed]);
            all.map(|buffer| buffer.capacity() * size_of::<T>()).sum()
        }
    }

    /// Small integers, whose sums are exact in either float: every entry, on top of what was there, for some units of the layers.
    fn check<T: Real>(n: usize, (rows, columns): (usize, usize), (l, k): (usize, usize)) {
        // From −4 to 3, without a period that a stride may meet.
        let numbers = |len: usize, salt: u64| -> Array<T> {
            let numbers: Vec<T> = (0..len as u64)
                .map(|i| (i + (salt << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15))
                .map(|bits| T::from_f64((bits >> 61) as f64 - 4.0))
                .collect();
            numbers.into()
        };
        let (h, g) = (rows / 2..rows, columns / 3..columns);
        let s = numbers(n * rows * columns, 1);
        let t = numbers(n * rows * l, 2);
        let delta = numbers(n * columns, 3);
        let (z_l, z_k) = (numbers(n * (l + 1), 4), numbers(n * (k + 2), 5));
        let factors = Factors {
            s: View::new(&s, Layout::dense(n, rows, columns).rows(h.clone()).columns(g.clone())),
            t: View::new(&t, Layout::dense(n, rows, l).rows(h.clone())),
            delta: View::new(&delta, Layout::rows_of(n, columns).columns(g.clone())),
            z_l: View::new(&z_l, Layout::rows_of(n, l + 1).columns(1..l + 1)),
            z_k: View::new(&z_k, Layout::rows_of(n, k + 2).columns(1..k + 1)),
        };
        let at = |view: &Input<T>, i: usize, r: usize, c: usize| {
            view.array.numbers()[view.layout.at(i, r, c)]
        };
        let mut want = Vec::new();
        for j in 0..h.len() {
            for j2 in 0..g.len() {
                for b in 0..l {
                    for a in 0..k {
                        let term = |i: usize| {
                            let of_s = at(&factors.s, i, j, j2) * at(&factors.z_l, i, 0, b);
                            let of_t = at(&factors.delta, i, 0, j2) * at(&factors.t, i, j, b);
                            ((of_s + of_t) * at(&factors.z_k, i, 0, a)).to_f64()
                        };
                        want.push(7.0 + (0..n).map(term).sum::<f64>());
                    }
                }
            }
        }
        let held = arch().dispatch(Held(&factors, g.len() * l * k));
        assert!(held <= scratch_of_task(n, g.len(), (l, k), size_of::<T>()));
        let start = vec![7.0; h.len() * g.len() * l * k];
        let call = || Call(&factors, start.clone());
        let mut outputs = Vec::new();
        for (level, arch) in levels() {
            outputs.push((level.name(), arch.dispatch(call())));
        }
        for fused in [true, false] {
            for b in [Cpu::new(), Cpu::sequential()] {
                let mut sum = b.sums(start.len()).unwrap();
                sum.numbers.copy_from_slice(&start);
                let Factors { s, t, delta, z_l, z_k } = factors;
                let kernel = PairBlock { s, t, delta, z_l, z_k, sum: &mut sum };
                if fused {
                    b.run(kernel.into()).unwrap();
                } else {
                    kernel.lower(&b).unwrap();
                }
                outputs.push((if fused { "dispatched" } else { "lower" }, sum.numbers));
            }
        }
        for (name, out) in outputs {
            assert!(out == want, "{n} {rows} {columns} {l} {k} {} {name}", T::NAME);
        }
    }

    /// With lanes over the units or over the inputs, past the edges of blocks, vectors, slabs and tiles.
    #[test]
    fn every_entry_is_its_sum() {
        let widths = [
            ((1, 1), (1, 1)),
            ((3, 9), (33, 4)),
            ((2, 3), (150, 2)),
            ((2, 25), (4, 9)),
            ((3, 48), (17, 11)),
            ((1, 70), (50, 1)),
            ((2, 2), (16, 33)),
            ((2, 1), (33, 11)),
            ((2, 30), (1, 8)),
            ((2, 20), (5, 3)),
        ];
        for (units, widths) in widths {
            for n in [1, BLOCK, BLOCK + 1, 2 * BLOCK + 3] {
                check::<f64>(n, units, widths);
                check::<f32>(n, units, widths);
            }
        }
    }
}
