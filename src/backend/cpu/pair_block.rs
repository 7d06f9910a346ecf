//! sum[(j, j′, b), a] += Σ_i (S[i, j, j′] z^l[i, b] + δ[i, j′] T[i, j, b]) z^k[i, a], or its first term alone.
//!
//! The expression in brackets has rank two, or one, for each sample and j, over j′ and over b. The lanes of vectors run over the one of them
//! that fills them better; the vectors go to the register tile as they are formed, with z^k[i, a] as its rows.

use std::ops::Range;

use faer::Par;
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::array::Input;
use super::gram::BLOCK;
use super::packing::Packing;
use super::tile::{Lanes, SLAB, aligned, lanes, product, slab_vectors, tile_rows, tiles};
use super::{Array, Real, Sum, bytes};
use crate::backend::Layout;
use crate::backend::kernel::PairBlock;
use crate::level::arch;

/// Tasks into which a block is cut at least, where it has so many units.
const TASKS: usize = 16;
/// Flops below which waking other threads would take longer than the work.
const SMALL: usize = 1_000_000;

/// Units j′ of one task: all where one thread does the work.
fn units_of_task(small: bool, h: usize, g: usize) -> usize {
    if small { g } else { g.div_ceil(TASKS.div_ceil(h)) }
}

/// Bytes that the tasks hold and share, at the most.
pub(super) fn scratch<T: Real>(threads: usize, kernel: &PairBlock<Array<T>, Sum>) -> u64 {
    let PairBlock { s, t_delta, z_l, z_k, .. } = kernel;
    let ([n, h, g], [.., l], [.., k]) = (s.shape(), z_l.shape(), z_k.shape());
    if h * g == 0 {
        return 0;
    }
    let small = 2 * n * h * g * l * k < SMALL;
    let (factors, units) = (1 + usize::from(t_delta.is_some()), units_of_task(small, h, g));
    let task = scratch_of_task(n, factors * (units + l), size_of::<T>()) as u64;
    let tasks = threads.min(h * g.div_ceil(units)) as u64;
    let packed = bytes(&[n, k, size_of::<T>()]);
    task.saturating_mul(tasks).saturating_add(packed).saturating_add(z_k.copied_bytes())
}

/// Bytes that a task holds, at the most, for rows of so many numbers together, of `size` bytes. A vector has 64 at the most: for each
/// sample those of a slab, and two whose lanes reach past the ends of both factors; then the register tile, and what aligns them.
fn scratch_of_task(n: usize, numbers: usize, size: usize) -> usize {
    n.min(BLOCK) * (size * numbers + 64 * (2 + SLAB)) + 64 * 64
}

/// The arrays that all tasks read.
struct Factors<'a, T> {
    s: Input<'a, T>,
    t_delta: Option<[Input<'a, T>; 2]>,
    z_l: Input<'a, T>,
    z_k: Input<'a, T>,
}

pub(super) fn run<T: Real>(par: Par, kernel: PairBlock<Array<T>, Sum>) {
    let PairBlock { s, z_l, z_k, t_delta, sum } = kernel;
    let ([n, h, g], [.., l], [.., k]) = (s.shape(), z_l.shape(), z_k.shape());
    if n * h * g * l * k == 0 {
        return;
    }
    let mut copy = None;
    let z_k = z_k.in_rows(&mut copy);
    let factors = Factors { s, t_delta, z_l, z_k };
    let small = 2 * n * h * g * l * k < SMALL;
    let par = if small { Par::Seq } else { par };
    let arch = arch();
    let packed = &arch.dispatch(packing(par, &factors));
    let task = |buffers: &mut Buffers<T>, (j, units, out): (usize, Range<usize>, &mut [f64])| {
        arch.dispatch(Task { factors: &factors, packed, j, units, buffers, out });
    };
    let step = units_of_task(small, h, g);
    let tasks = sum.numbers.chunks_mut(g * l * k).enumerate().flat_map(|(j, out)| {
        let parts = out.chunks_mut(step * l * k).zip((0..g).step_by(step));
        parts.map(move |(out, from)| (j, from..g.min(from + step), out))
    });
    if matches!(par, Par::Seq) {
        let mut buffers = Buffers::default();
        tasks.for_each(|of_task| task(&mut buffers, of_task));
    } else {
        let tasks: Vec<_> = tasks.collect();
        tasks.into_par_iter().for_each_init(Buffers::default, task);
    }
}

/// z^k, packed for the register tile.
fn packing<'a, T: Real>(par: Par, factors: &Factors<'a, T>) -> Packing<'a, T> {
    let layout = factors.z_k.layout;
    let ([n, _, width], x) = (layout.shape, &factors.z_k.array.numbers[layout.at(0, 0, 0)..]);
    Packing { par, x, step: layout.strides[0], n, width, group: width, block: BLOCK }
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
}

/// The entries of one j and some j′.
struct Task<'a, T> {
    factors: &'a Factors<'a, T>,
    /// z^k, as [`packing`] says.
    packed: &'a [T],
    j: usize,
    units: Range<usize>,
    buffers: &'a mut Buffers<T>,
    out: &'a mut [f64],
}

impl<T: Real> WithSimd for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Task { factors, packed, j, units: range, buffers, out } = self;
        let Factors { s, t_delta, z_l, z_k } = factors;
        let lanes = lanes::<S, T>();
        let (n, units, l, width) = (s.shape()[0], range.len(), z_l.shape()[2], z_k.shape()[2]);
        let of_range = |layout: Layout| layout.columns(range.clone());
        let by_units = units.div_ceil(lanes) * l <= l.div_ceil(lanes) * units;
        let (across, down) = if by_units { (units, l) } else { (l, units) };
        let vectors = across.div_ceil(lanes);
        // Numbers of a row over j′, and of one over b: whole vectors where lanes run.
        let (of_j, of_b) = if by_units { (vectors * lanes, l) } else { (units, vectors * lanes) };
        let tile = aligned(&mut buffers.tile, tile_rows::<S>() * SLAB * lanes);
        let tile = cast_slice_mut::<_, T::Vector<S>>(tile);
        for from in (0..n).step_by(BLOCK) {
            let samples = from..n.min(from + BLOCK);
            let len = samples.len();
            let rows = |view: Input<T>, width: usize, to| rows(view, samples.clone(), width, to);
            let [s_to, delta_to] = &mut buffers.of_units;
            let [z_to, t_to] = &mut buffers.of_inputs;
            let (s, z) = (rows(s.one_row(j).with(of_range), of_j, s_to), rows(*z_l, of_b, z_to));
            let of_t = t_delta.map(|[t, delta]| {
                let (delta, t) =
                    (rows(delta.with(of_range), of_j, delta_to), rows(t.one_row(j), of_b, t_to));
                if by_units { (t, cast_slice(delta)) } else { (delta, cast_slice(t)) }
            });
            let of_s = if by_units { (z, cast_slice(s)) } else { (s, cast_slice(z)) };
            let slab = aligned(&mut buffers.slab, len * SLAB * lanes);
            let slab = cast_slice_mut::<_, T::Vector<S>>(slab);
            let packed = &packed[from * width..(from + len) * width];
            // Vector v over the lanes, of row u.
            for slots in tiles(vectors * down, slab_vectors::<S>()) {
                let used = slots.len();
                let slab = &mut slab[..len * used];
                let place =
                    |slot: usize| ((slots.start + slot) % down, (slots.start + slot) / down);
                let lens = (down, vectors);
                match used {
                    1 => form(simd, of_s, of_t, lens, [place(0)], slab),
                    2 => form(simd, of_s, of_t, lens, [place(0), place(1)], slab),
                    3 => form(simd, of_s, of_t, lens, [0, 1, 2].map(place), slab),
                    _ => unreachable!("a slab row has at most 3 vectors"),
                }
                for a in tiles(width, tile_rows::<S>()) {
                    let left = &packed[a.start * len..a.end * len];
                    product(simd, a.len(), used, left, slab, used, tile);
                    let sums = cast_slice::<_, T>(tile);
                    // The entries (j′, b) of each lane of each vector.
                    for slot in 0..used {
                        let (u, v) = place(slot);
                        for lane in 0..lanes.min(across - v * lanes) {
                            let entry = if by_units {
                                (v * lanes + lane) * l + u
                            } else {
                                u * l + v * lanes + lane
                            };
                            let out = &mut out[entry * width..][a.clone()];
                            let sums = sums[slot * lanes + lane..].iter().step_by(used * lanes);
                            (out.iter_mut().zip(sums)).for_each(|(x, v)| *x += v.to_f64());
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

/// The rows x and y, in vectors, of a product.
type Pair<'a, S, T> = (&'a [T], &'a [<T as Lanes>::Vector<S>]);

/// slab[i, ·] = x₀[i, u] y₀[i, v] + x₁[i, u] y₁[i, v], or its first term, at the places (u, v); `of_x` numbers are a row of x, `of_y` vectors one of y.
#[inline(always)]
fn form<S: Simd, T: Lanes, const U: usize>(
    simd: S,
    (x0, y0): Pair<S, T>,
    second: Option<Pair<S, T>>,
    (of_x, of_y): (usize, usize),
    places: [(usize, usize); U],
    slab: &mut [T::Vector<S>],
) {
    let rows = x0.chunks_exact(of_x).zip(y0.chunks_exact(of_y));
    let slab = slab.as_chunks_mut::<U>().0;
    if let Some((x1, y1)) = second {
        let others = x1.chunks_exact(of_x).zip(y1.chunks_exact(of_y));
        for ((to, (x0, y0)), (x1, y1)) in slab.iter_mut().zip(rows).zip(others) {
            for (to, &(u, v)) in to.iter_mut().zip(&places) {
                let first = T::mul(simd, T::splat(simd, x0[u]), y0[v]);
                *to = T::mul_add(simd, T::splat(simd, x1[u]), y1[v], first);
            }
        }
    } else {
        for (to, (x0, y0)) in slab.iter_mut().zip(rows) {
            for (to, &(u, v)) in to.iter_mut().zip(&places) {
                *to = T::mul(simd, T::splat(simd, x0[u]), y0[v]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, Cpu, View};
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
            };
            let packed = &simd.vectorize(packing(Par::Seq, factors));
            let units = 0..factors.s.shape()[2];
            let size = out.len() / factors.s.shape()[1];
            for (j, out) in out.chunks_exact_mut(size).enumerate() {
                let buffers = &mut buffers;
                let units = units.clone();
                simd.vectorize(Task { factors, packed, j, units, buffers, out });
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
            let packed = &simd.vectorize(packing(Par::Seq, factors));
            let (units, out) = (0..factors.s.shape()[2], &mut vec![0.0; size]);
            simd.vectorize(Task { factors, packed, j: 0, units, buffers: &mut buffers, out });
            let Buffers { of_units, of_inputs, slab, tile } = &buffers;
            let all = (of_units.iter().chain(of_inputs)).chain([slab, tile]);
            all.map(|buffer| buffer.capacity() * size_of::<T>()).sum()
        }
    }

    /// Small integers, whose sums are exact in either float: every entry, on top of what was there, for some units of the layers.
    fn check<T: Real>(
        n: usize,
        (rows, columns): (usize, usize),
        (l, k): (usize, usize),
        moves: bool,
    ) {
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
        let t = View::new(&t, Layout::dense(n, rows, l).rows(h.clone()));
        let delta = View::new(&delta, Layout::rows_of(n, columns).columns(g.clone()));
        let factors = Factors {
            s: View::new(&s, Layout::dense(n, rows, columns).rows(h.clone()).columns(g.clone())),
            t_delta: moves.then_some([t, delta]),
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
                            let mut both = at(&factors.s, i, j, j2) * at(&factors.z_l, i, 0, b);
                            if moves {
                                both += at(&delta, i, 0, j2) * at(&t, i, j, b);
                            }
                            (both * at(&factors.z_k, i, 0, a)).to_f64()
                        };
                        want.push(7.0 + (0..n).map(term).sum::<f64>());
                    }
                }
            }
        }
        let held = arch().dispatch(Held(&factors, g.len() * l * k));
        let numbers = (1 + usize::from(moves)) * (g.len() + l);
        assert!(held <= scratch_of_task(n, numbers, size_of::<T>()));
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
                let Factors { s, t_delta, z_l, z_k } = factors;
                let kernel = PairBlock { s, t_delta, z_l, z_k, sum: &mut sum };
                if fused {
                    b.run(kernel.into()).unwrap();
                } else {
                    kernel.lower(&b).unwrap();
                }
                outputs.push((if fused { "dispatched" } else { "lower" }, sum.numbers));
            }
        }
        for (name, out) in outputs {
            assert!(out == want, "{n} {rows} {columns} {l} {k} {moves} {} {name}", T::NAME);
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
                for moves in [true, false] {
                    check::<f64>(n, units, widths, moves);
                    check::<f32>(n, units, widths, moves);
                }
            }
        }
    }
}
