//! out[(j, j′, b), a] += Σ_i (S[i, j, j′] z^l[i, b] + δ[i, j′] T[i, j, b]) z^k[i, a].
//!
//! What stands in brackets has rank two for each sample and j, over j′ and over b. The lanes of vectors run over the one of them
//! that fills them better; the vectors go to the register tile as they are formed, with z^k[i, a] as its rows.

use std::ops::Range;

use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::Real;
use super::gram::BLOCK;
use super::tile::{Lanes, SLAB, aligned, lanes, pack, product, tile_rows, tiles};
use crate::backend::Coupled;

/// Bytes that a task holds, at the most, where numbers have `size` bytes. A vector has 64 at the most: for each sample those of a
/// slab, and two whose lanes reach past the ends of both factors; then the register tile, and what aligns them.
pub(crate) fn scratch_bytes(n: usize, units: usize, (l, k): (usize, usize), size: usize) -> usize {
    n.min(BLOCK) * (size * (2 * (units + l) + k) + 64 * (2 + SLAB)) + 64 * 64
}

pub(super) fn coupled<T: Real>(n: usize, pair: &Coupled<Vec<T>>, out: &mut [f64]) {
    let size = pair.g.len() * pair.z_l.width * pair.z_k.width;
    if n * size == 0 {
        return;
    }
    let arch = Arch::new();
    (out.par_chunks_mut(size).zip(pair.h.clone())).for_each_init(
        Buffers::default,
        |buffers, (out, j)| {
            arch.dispatch(Task {
                n,
                pair,
                j,
                buffers,
                out,
            })
        },
    );
}

/// What a thread works in.
#[derive(Default)]
struct Buffers<T> {
    /// S and δ of the units of g, sample by sample.
    of_units: [Vec<T>; 2],
    /// z and T, sample by sample.
    of_inputs: [Vec<T>; 2],
    slab: Vec<T>,
    tile: Vec<T>,
    packed: Vec<T>,
}

/// The entries of one j.
struct Task<'a, T> {
    n: usize,
    pair: &'a Coupled<'a, Vec<T>>,
    j: usize,
    buffers: &'a mut Buffers<T>,
    out: &'a mut [f64],
}

impl<T: Real> WithSimd for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (pair, lanes) = (self.pair, lanes::<S, T>());
        let (units, l, z) = (pair.g.len(), pair.z_l.width, &pair.z_k);
        let by_units = units.div_ceil(lanes) * l <= l.div_ceil(lanes) * units;
        let (across, down) = if by_units { (units, l) } else { (l, units) };
        let vectors = across.div_ceil(lanes);
        // Numbers of a row over j′, and of one over b: whole vectors where lanes run.
        let (of_j, of_b) = match by_units {
            true => (vectors * lanes, l),
            false => (units, vectors * lanes),
        };
        let buffers = self.buffers;
        let tile = aligned(&mut buffers.tile, tile_rows::<S>() * SLAB * lanes);
        let tile = cast_slice_mut::<_, T::Vector<S>>(tile);
        for from in (0..self.n).step_by(BLOCK) {
            let len = BLOCK.min(self.n - from);
            let row = |i: usize| i * pair.rows + self.j;
            let s = |i: usize| &pair.s[row(i) * pair.columns..][pair.g.clone()];
            let delta = |i: usize| &pair.delta[i * pair.columns..][pair.g.clone()];
            let of_z = |i: usize| pair.z_l.row(i);
            let t = |i: usize| &pair.t[row(i) * l..][..l];
            let samples = || from..from + len;
            let [s_to, delta_to] = &mut buffers.of_units;
            let [z_to, t_to] = &mut buffers.of_inputs;
            let of_units = [
                rows(samples(), s, of_j, s_to),
                rows(samples(), delta, of_j, delta_to),
            ];
            let of_inputs = [
                rows(samples(), of_z, of_b, z_to),
                rows(samples(), t, of_b, t_to),
            ];
            let (x, y) = match by_units {
                true => (of_inputs, of_units),
                false => (of_units, of_inputs),
            };
            let y = y.map(cast_slice::<_, T::Vector<S>>);
            let slab = aligned(&mut buffers.slab, len * SLAB * lanes);
            let slab = cast_slice_mut::<_, T::Vector<S>>(slab);
            let columns = z.first..z.first + z.width;
            let array = &z.array[from * z.stride..];
            pack::<S, T>(array, z.stride, len, columns, &mut buffers.packed);
            for v in 0..vectors {
                let y = y.map(|y| (&y[v..], vectors));
                for u in tiles(down, SLAB) {
                    let used = u.len();
                    let slab = &mut slab[..len * used];
                    let x = x.map(|x| (&x[u.start..], down));
                    match used {
                        1 => form::<S, T, 1>(simd, x, y, slab),
                        2 => form::<S, T, 2>(simd, x, y, slab),
                        3 => form::<S, T, 3>(simd, x, y, slab),
                        _ => unreachable!("a slab row has at most 3 vectors"),
                    }
                    for a in tiles(z.width, tile_rows::<S>()) {
                        let left = &buffers.packed[a.start * len..a.end * len];
                        product(simd, a.len(), used, left, slab, used, tile);
                        let sums = cast_slice::<_, T>(tile);
                        // The entries (j′, b) of each lane of each vector.
                        for (at, u) in u.clone().enumerate() {
                            for lane in 0..lanes.min(across - v * lanes) {
                                let entry = match by_units {
                                    true => (v * lanes + lane) * l + u,
                                    false => u * l + v * lanes + lane,
                                };
                                let out = &mut self.out[entry * z.width..][a.clone()];
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
fn rows<'a, 'r, T: Real>(
    samples: Range<usize>,
    row: impl Fn(usize) -> &'r [T],
    width: usize,
    to: &'a mut Vec<T>,
) -> &'a [T] {
    let to = aligned(to, samples.len() * width);
    for (to, i) in to.chunks_exact_mut(width).zip(samples) {
        let row = row(i);
        to[..row.len()].copy_from_slice(row);
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
    use crate::backend::Columns;

    /// All j with one instruction set.
    struct Call<'a, T>(usize, &'a Coupled<'a, Vec<T>>, Vec<f64>);

    impl<T: Real> WithSimd for Call<'_, T> {
        type Output = Vec<f64>;
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f64> {
            let Call(n, pair, mut out) = self;
            // What a buffer held does not count.
            let nan = || vec![T::from_f64(f64::NAN); 1 << 17];
            let mut buffers = Buffers {
                of_units: [nan(), nan()],
                of_inputs: [nan(), nan()],
                slab: nan(),
                tile: nan(),
                packed: nan(),
            };
            let size = out.len() / pair.h.len();
            for (j, out) in pair.h.clone().zip(out.chunks_exact_mut(size)) {
                let buffers = &mut buffers;
                simd.vectorize(Task {
                    n,
                    pair,
                    j,
                    buffers,
                    out,
                });
            }
            out
        }
    }

    /// What buffers take, new to this shape.
    struct Held<'a, T>(usize, &'a Coupled<'a, Vec<T>>);

    impl<T: Real> WithSimd for Held<'_, T> {
        type Output = usize;
        fn with_simd<S: Simd>(self, simd: S) -> usize {
            let Held(n, pair) = self;
            let mut buffers = Buffers::default();
            simd.vectorize(Task {
                n,
                pair,
                j: pair.h.start,
                buffers: &mut buffers,
                out: &mut vec![0.0; pair.g.len() * pair.z_l.width * pair.z_k.width],
            });
            let Buffers {
                of_units,
                of_inputs,
                slab,
                tile,
                packed,
            } = &buffers;
            let all = (of_units.iter().chain(of_inputs)).chain([slab, tile, packed]);
            all.map(|buffer| buffer.capacity() * size_of::<T>()).sum()
        }
    }

    fn run<S: Simd, T: Real>(simd: S, call: Call<T>) -> Vec<f64> {
        simd.vectorize(call)
    }

    /// Small integers, whose sums are exact in either float: every entry, on top of what was there, for some units of the layers.
    fn check<T: Real>(n: usize, (rows, columns): (usize, usize), (l, k): (usize, usize)) {
        // From −4 to 3, without a period that a stride may meet.
        let numbers = |len: usize, salt: u64| -> Vec<T> {
            (0..len as u64)
                .map(|i| (i + (salt << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15))
                .map(|bits| T::from_f64((bits >> 61) as f64 - 4.0))
                .collect()
        };
        let (h, g) = (rows / 2..rows, columns / 3..columns);
        let s = numbers(n * rows * columns, 1);
        let t = numbers(n * rows * l, 2);
        let delta = numbers(n * columns, 3);
        let (z_l, z_k) = (numbers(n * (l + 1), 4), numbers(n * (k + 2), 5));
        let part = |array, stride, width| Columns {
            array,
            stride,
            first: 1,
            width,
        };
        let pair = Coupled {
            s: &s,
            t: &t,
            delta: &delta,
            rows,
            columns,
            h: h.clone(),
            g: g.clone(),
            z_l: part(&z_l, l + 1, l),
            z_k: part(&z_k, k + 2, k),
        };
        let mut want = Vec::new();
        for j in h.clone() {
            for j2 in g.clone() {
                for b in 0..l {
                    for a in 0..k {
                        let term = |i: usize| {
                            let of_s = s[(i * rows + j) * columns + j2] * z_l[i * (l + 1) + 1 + b];
                            let of_t = delta[i * columns + j2] * t[(i * rows + j) * l + b];
                            ((of_s + of_t) * z_k[i * (k + 2) + 1 + a]).to_f64()
                        };
                        want.push(7.0 + (0..n).map(term).sum::<f64>());
                    }
                }
            }
        }
        let held = Arch::new().dispatch(Held(n, &pair));
        assert!(held <= scratch_bytes(n, g.len(), (l, k), size_of::<T>()));
        let start = vec![7.0; h.len() * g.len() * l * k];
        let mut out = start.clone();
        coupled(n, &pair, &mut out);
        let call = || Call(n, &pair, start.clone());
        let mut outputs = vec![("dispatched", out), ("scalar", run(pulp::Scalar, call()))];
        #[cfg(target_arch = "x86_64")]
        outputs.extend(pulp::x86::V3::try_new().map(|simd| ("AVX2", run(simd, call()))));
        #[cfg(target_arch = "x86_64")]
        outputs.extend(pulp::x86::V4::try_new().map(|simd| ("AVX-512", run(simd, call()))));
        for (name, out) in outputs {
            assert!(
                out == want,
                "{n} {rows} {columns} {l} {k} {} {name}",
                T::NAME
            );
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
