//! Weighted Gram matrices of many units over the same samples.
//!
//! For samples i < n, units j < s and inputs a, b < d, [`gram`] adds
//!
//! ```text
//!     B_j[a, b] += Σ_i c[i, j] z[i, a] z[i, b]            a ≥ b
//! ```
//!
//! with z (n × d) and c (n × s, any sign) row-major in f32 or f64, and B_j the packed lower triangle, row by row: entry (a, b)
//! at a(a + 1)/2 + b, the s triangles of P = d(d + 1)/2 numbers one after the other, in f64 for either input type.
//!
//! **Promises.** The result does not depend on the number of threads, bit for bit: how the work is cut and in which order sums
//! are taken follows from n, d, s and the instruction set alone. Inputs of length zero leave the output as it is. Memory beyond
//! the arguments stays within [`scratch_bytes`].
//!
//! **Error.** Sums run in the input type over [`BLOCK`] samples at most and are then added to f64. With u the unit roundoff of
//! the input type and m = min(n, BLOCK), every entry satisfies, to first order,
//! |error| ≤ (m + 2) u Σ_i |c z_a z_b| + ⌈n / BLOCK⌉ 2⁻⁵³ (|B| + Σ_i |c z_a z_b|) with |B| its initial value: for f32 input,
//! the error relative to Σ_i |c z_a z_b| does not grow with n.
//!
//! **Two forms.** Each is a matrix product with one operand made on the fly, so both use one register-tiled kernel:
//!
//! * *Khatri–Rao*: B = Cᵀ K, K the row-wise Khatri–Rao product of Z with itself, restricted to its P distinct columns z_a z_b.
//!   The lanes run over packed pairs, so no flop is spent above the diagonal, and results are contiguous in the output. Making a
//!   column of K costs about as much as a few units' use of it: the form for many units or few inputs. C is copied once for all
//!   tasks, tile by tile as they read it.
//! * *Rank update*: B_j = Zᵀ (diag(c_j) Z), the lanes over b, tiles on and below the diagonal only. Little is made on the
//!   fly, but tiles that the diagonal crosses are wasted in part: the form for few units, or for wide layers. Wide rows of
//!   Z are copied once for all tasks, slab by slab as they read them.

mod forms;
mod plan;

use std::ops::Range;

use faer::Par;
use pulp::bytemuck::cast_slice_mut;
use pulp::{Simd, WithSimd};

use super::packing::Packing;
use super::tasks::{each, on_threads};
pub use super::tile::Lanes;
use super::tile::{SLAB, aligned, lanes, slab_vectors, tile_rows};
use super::{Array, Real, Sum, weighted_sum};
use crate::backend::kernel::Gram;
use crate::level::arch;
use forms::{Block, khatri_rao, rank_update};
pub use plan::Form;
use plan::{Plan, SMALL, triangle, work};

/// Samples over which sums are kept in the input type, in registers. Measured from 128 to 512: narrow layers would take 192,
/// whose slab leaves room in a 48 KiB first-level cache; wide ones, whose output lies in memory, want fewer passes over it.
pub const BLOCK: usize = 256;
/// Numbers in a row of a slab, over all levels and types.
const ACROSS: [usize; 7] = [2, 6, 8, 12, 16, 24, 48];

/// B_j[a, b] += Σ_i c[i, j] z[i, a] z[i, b] for all units j and a ≥ b; see the module's description.
///
/// Runs on the current rayon pool, or on the calling thread alone if the work is small.
///
/// # Panics
/// If the lengths of the slices are not n d, n s and s d(d + 1)/2 for one n.
pub fn gram<T: Lanes>(z: &[T], d: usize, c: &[T], s: usize, out: &mut [f64]) {
    gram_as(None, on_threads(0), z, d, c, s, out);
}

/// [`gram`] in a given form and with given threads; for tests and measurements.
#[doc(hidden)]
pub fn gram_as<T: Lanes>(
    form: Option<Form>,
    par: Par,
    z: &[T],
    d: usize,
    c: &[T],
    s: usize,
    out: &mut [f64],
) {
    struct Call<'a, T>(Option<Form>, Par, &'a [T], usize, &'a [T], usize, &'a mut [f64]);
    impl<T: Lanes> WithSimd for Call<'_, T> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Call(form, par, z, d, c, s, out) = self;
            run_as(simd, form, par, z, d, c, s, out);
        }
    }
    arch().dispatch(Call(form, par, z, d, c, s, out));
}

/// The backend's kernel: sum[j, (a, b)] += Σ_i c[i, j] φ[i, j, a] φ[i, j, b], φ shared by all units or each its own.
pub(super) fn run<T: Real>(par: Par, kernel: Gram<Array<T>, Sum>) {
    let Gram { c, phi, sum } = kernel;
    let [_, units, d] = phi.shape();
    if weighted_sum::is_shared(&phi) {
        let z = phi.one_row(0).gathered();
        return gram_as(None, par, &z, d, &c.gathered(), units, &mut sum.numbers);
    }
    for (j, out) in (sum.numbers.chunks_exact_mut(triangle(d).max(1))).enumerate() {
        let own = phi.one_row(j).gathered();
        let c = c.with(|layout| layout.columns(j..j + 1)).gathered();
        gram_as(None, par, &own, d, &c, 1, out);
    }
}

/// Bytes that the kernel takes: what [`scratch_bytes`] says, and copies of what has gaps.
pub(super) fn scratch<T: Real>(threads: usize, kernel: &Gram<Array<T>, Sum>) -> u64 {
    let Gram { c, phi, .. } = kernel;
    let [n, units, d] = phi.shape();
    let of_first = |units: usize| {
        let phi = phi.with(|layout| layout.rows(0..1.min(units)));
        let c = c.with(|layout| layout.columns(0..units));
        let copies = phi.gathered_bytes().saturating_add(c.gathered_bytes());
        let scratch = scratch_bytes(n, d, units, size_of::<T>(), threads) as u64;
        copies.saturating_add(scratch)
    };
    if weighted_sum::is_shared(phi) { of_first(units) } else { of_first(units.min(1)) }
}

/// An upper bound, in bytes, on what [`gram`] allocates at any one time for inputs of `size` bytes each.
pub fn scratch_bytes(n: usize, d: usize, s: usize, size: usize, threads: usize) -> usize {
    if n * d * s == 0 {
        return 0;
    }
    let with = |across| {
        let n = n.min(Plan::new(n, d, s, across, None).wave(d, s, across));
        let plan = Plan::new(n, d, s, across, None);
        let chunks = n.div_ceil(plan.chunk);
        let partial = if chunks > 1 { 8 * chunks * s * triangle(d) } else { 0 };
        let (parts, groups) = (plan.cuts.len() - 1, s.div_ceil(plan.group));
        let shared = size * n * plan.packed(d, s, across)
            + partial
            + size_of::<usize>() * plan.cuts.len()
            + chunks * parts * (groups * size_of::<Task<f64>>() + s * size_of::<&[f64]>());
        let task = n.min(BLOCK) * (size * (d + plan.rows(d) + 1) + 64 * SLAB) + 64 * 64;
        shared + threads.max(1) * task
    };
    ACROSS.map(with).into_iter().max().unwrap_or(0)
}

#[derive(Clone, Copy)]
struct Data<'a, T> {
    z: &'a [T],
    d: usize,
    c: &'a [T],
    s: usize,
}

/// The work on one range of packed indices, for a group of units and a chunk of samples.
struct Task<'a, T> {
    data: Data<'a, T>,
    plan: &'a Plan,
    /// c, packed, for the Khatri–Rao form; for the other z slab by slab, or nothing.
    packed: &'a [T],
    samples: Range<usize>,
    first_unit: usize,
    span: Range<usize>,
    /// The span, for every unit of the group.
    out: Vec<&'a mut [f64]>,
}

/// [`gram_as`] with a given instruction set.
#[allow(clippy::too_many_arguments)]
fn run_as<S: Simd, T: Lanes>(
    simd: S,
    form: Option<Form>,
    par: Par,
    z: &[T],
    d: usize,
    c: &[T],
    s: usize,
    out: &mut [f64],
) {
    let pairs = triangle(d);
    let n = z.len().checked_div(d).unwrap_or(0);
    assert!(
        d == 0 || z.len() == n * d && c.len() == n * s,
        "z and c disagree on the number of samples"
    );
    assert_eq!(out.len(), s * pairs, "the output holds one packed triangle for every unit");
    if n * d * s == 0 {
        return;
    }
    let across = slab_vectors::<S>() * lanes::<S, T>();
    let plan = Plan::new(n, d, s, across, form);
    let wave = plan.wave(d, s, across);
    if n > wave {
        for (z, c) in z.chunks(wave * d).zip(c.chunks(wave * s)) {
            run_as(simd, form, par, z, d, c, s, out);
        }
        return;
    }
    let chunks = n.div_ceil(plan.chunk);
    let par = if work(n, d, s) < SMALL { Par::Seq } else { par };
    let packed = match plan.form {
        Form::KhatriRao => simd.vectorize(Packing {
            par,
            x: c,
            step: s,
            n,
            width: s,
            group: plan.group,
            block: BLOCK,
        }),
        Form::RankUpdate => {
            let mut packed = vec![T::zeroed(); n * plan.packed(d, s, across)];
            let blocks = packed.chunks_mut(BLOCK * d.next_multiple_of(across));
            each(par, blocks.zip(z.chunks(BLOCK * d)), |(to, z)| panels(z, d, across, to));
            packed
        }
    };
    let mut partial = if chunks > 1 { vec![0.0; chunks * s * pairs] } else { Vec::new() };
    let mut tasks = Vec::with_capacity(chunks * s.div_ceil(plan.group) * (plan.cuts.len() - 1));
    let sums: &mut [f64] = if chunks > 1 { &mut partial } else { &mut *out };
    for (k, sum) in sums.chunks_mut(s * pairs).enumerate() {
        let samples = k * plan.chunk..((k + 1) * plan.chunk).min(n);
        for (g, units) in sum.chunks_mut(plan.group * pairs).enumerate() {
            let begin = tasks.len();
            tasks.extend(plan.cuts.windows(2).map(|cut| Task {
                data: Data { z, d, c, s },
                packed: &packed,
                plan: &plan,
                samples: samples.clone(),
                first_unit: g * plan.group,
                span: cut[0]..cut[1],
                out: Vec::with_capacity(units.len() / pairs),
            }));
            for mut rest in units.chunks_mut(pairs) {
                for task in &mut tasks[begin..] {
                    task.out.extend(rest.split_off_mut(..task.span.len()));
                }
            }
        }
    }
    each(par, tasks.into_iter(), |task| simd.vectorize(task));
    if chunks > 1 {
        const STRIPE: usize = 4096;
        each(par, out.chunks_mut(8 * STRIPE).enumerate(), |(at, out)| {
            for (stripe, out) in (8 * at..).zip(out.chunks_mut(STRIPE)) {
                for sum in partial.chunks(s * pairs) {
                    (out.iter_mut().zip(&sum[stripe * STRIPE..])).for_each(|(out, v)| *out += v);
                }
            }
        });
    }
}

/// Copies a block of z slab by slab, `across` columns each.
fn panels<T: Lanes>(z: &[T], d: usize, across: usize, to: &mut [T]) {
    let slabs = to.chunks_exact_mut(z.len() / d * across);
    for (b, to) in (0..d).step_by(across).zip(slabs) {
        for (z, to) in z.chunks_exact(d).zip(to.chunks_exact_mut(across)) {
            let row = &z[b..d.min(b + across)];
            to[..row.len()].copy_from_slice(row);
        }
    }
}

impl<T: Lanes> WithSimd for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Data { z, d, .. } = self.data;
        let lanes = lanes::<S, T>();
        let (mut slab, mut tile, mut padded) = <(Vec<T>, Vec<T>, Vec<T>)>::default();
        let mut copies = <[Vec<T>; 2]>::default();
        let slab = cast_slice_mut(aligned(&mut slab, self.samples.len().min(BLOCK) * SLAB * lanes));
        let tile = cast_slice_mut(aligned(&mut tile, tile_rows::<S>() * SLAB * lanes));
        for start in self.samples.clone().step_by(BLOCK) {
            let len = BLOCK.min(self.samples.end - start);
            // Vectors that belong to a row of z in part only reach into its neighbours; the ends of z have none.
            let cells = start * d..(start + len) * d;
            let z = if cells.start >= lanes && cells.end + lanes <= z.len() {
                &z[cells.start - lanes..cells.end + lanes]
            } else {
                padded.clear();
                padded.reserve_exact(cells.len() + 2 * lanes);
                padded.resize(lanes, T::zeroed());
                padded.extend_from_slice(&z[cells]);
                padded.resize(padded.len() + lanes, T::zeroed());
                &padded
            };
            let block = Block { start, len, z, slab, tile };
            match self.plan.form {
                Form::KhatriRao => khatri_rao(simd, &mut self, block),
                Form::RankUpdate => rank_update(simd, &mut self, block, &mut copies),
            }
        }
    }
}

#[cfg(test)]
mod tests;
