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
//!   column of K costs about as much as a few units' use of it: the form for many units or few inputs.
//! * *Rank update*: B_j = Zᵀ (diag(c_j) Z), the lanes over b, tiles on and below the diagonal only. Little is made on the
//!   fly, but tiles that the diagonal crosses are wasted in part: the form for few units, or for wide layers.

use std::ops::Range;

use pulp::bytemuck::{cast_slice, cast_slice_mut, pod_read_unaligned};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::Real;
pub use super::tile::Lanes;
use super::tile::{SLAB, aligned, lanes, pack, product, tile_rows, tiles};
use crate::backend::{Kind, Operand};

/// Samples over which sums are kept in the input type, in registers. Measured from 128 to 512: narrow layers would take 192,
/// whose slab leaves room in a 48 KiB first-level cache; wide ones, whose output lies in memory, want fewer passes over it.
pub const BLOCK: usize = 256;
/// The work is cut into about this many tasks where its size allows.
const TASKS: usize = 64;
/// Units beyond which they are divided into groups with packed copies of their own coefficients, of [`GROUP`] at the most.
const MANY: usize = 600;
const GROUP: usize = 128;
/// The samples are cut only into chunks of at least this many, so that adding up their partial results stays cheap.
const CHUNK: usize = 2048;
/// Entries that all partial results together may have: fresh pages of larger ones cost more than idle threads save.
const PARTIAL: usize = 1 << 20;

/// Flops below which waking other threads would take longer than the work.
const SMALL: usize = 1_000_000;

/// The two forms of the module's description.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// One product for all units; for many units or few inputs.
    KhatriRao,
    /// One product for each unit; for few units or wide layers.
    RankUpdate,
}

/// B_j[a, b] += Σ_i c[i, j] z[i, a] z[i, b] for all units j and a ≥ b; see the module's description.
///
/// Runs on the current rayon pool, or on the calling thread alone if the work is small.
///
/// # Panics
/// If the lengths of the slices are not n d, n s and s d(d + 1)/2 for one n.
pub fn gram<T: Lanes>(z: &[T], d: usize, c: &[T], s: usize, out: &mut [f64]) {
    gram_as(None, z, d, c, s, out);
}

/// [`gram`] in a given form; for tests and measurements.
#[doc(hidden)]
pub fn gram_as<T: Lanes>(
    form: Option<Form>,
    z: &[T],
    d: usize,
    c: &[T],
    s: usize,
    out: &mut [f64],
) {
    struct Call<'a, T>(Option<Form>, &'a [T], usize, &'a [T], usize, &'a mut [f64]);
    impl<T: Lanes> WithSimd for Call<'_, T> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Call(form, z, d, c, s, out) = self;
            run(simd, form, z, d, c, s, out);
        }
    }
    Arch::new().dispatch(Call(form, z, d, c, s, out));
}

/// The backend's kernel: out\[j\] += Σ_i c\[i, j\] φ_ij φ_ijᵀ for a group of units, φ = z shared by all of them or each its own.
pub(super) fn weighted_gram<T: Real>(n: usize, c: &[T], phi: &Operand<Vec<T>>, out: &mut [f64]) {
    let (units, d) = (phi.units.len(), phi.width);
    let column = |range: Range<usize>| -> Vec<T> {
        c.chunks_exact(phi.layer)
            .flat_map(|row| row[range.clone()].iter().copied())
            .collect()
    };
    match phi.kind {
        Kind::Shared if units == phi.layer => {
            gram(&phi.array[..n * d], d, &c[..n * units], units, out)
        }
        Kind::Shared => gram(
            &phi.array[..n * d],
            d,
            &column(phi.units.clone())[..n * units],
            units,
            out,
        ),
        Kind::Sampled => {
            for (j, out) in out.chunks_exact_mut(triangle(d).max(1)).enumerate() {
                let unit = phi.units.start + j;
                let own: Vec<T> = (phi.array.chunks_exact(units * d).take(n))
                    .flat_map(|sample| sample[j * d..(j + 1) * d].iter().copied())
                    .collect();
                gram(&own, d, &column(unit..unit + 1)[..n], 1, out);
            }
        }
    }
}

/// An upper bound, in bytes, on what [`gram`] allocates at any one time for inputs of `size` bytes each.
pub fn scratch_bytes(n: usize, d: usize, s: usize, size: usize, threads: usize) -> usize {
    if n * d * s == 0 {
        return 0;
    }
    let block = n.min(BLOCK);
    let task = size * block * (d + d.max(s)) + 64 * (block * SLAB + 64);
    let shared = |lanes| {
        let plan = Plan::new(n, d, s, lanes, None);
        let chunks = n.div_ceil(plan.chunk);
        let partial = if chunks > 1 {
            8 * chunks * s * triangle(d)
        } else {
            0
        };
        let (parts, groups) = (plan.cuts.len() - 1, s.div_ceil(plan.group));
        partial
            + size_of::<usize>() * plan.cuts.len()
            + chunks * parts * (groups * size_of::<Task<f64>>() + s * size_of::<&[f64]>())
    };
    threads.max(1) * task + [1, 2, 4, 8, 16].map(shared).into_iter().max().unwrap_or(0)
}

/// d(d + 1)/2: the entries of a triangle with d rows, and the packed index at which row d begins.
const fn triangle(d: usize) -> usize {
    d * (d + 1) / 2
}

/// Flops that count: a multiplication and an addition per sample, unit and entry.
const fn work(n: usize, d: usize, s: usize) -> usize {
    2 * n * triangle(d) * s
}

/// The row that holds packed index p.
const fn row_of(p: usize) -> usize {
    ((8 * p + 1).isqrt() - 1) / 2
}

/// How the work is cut. Nothing here may depend on the number of threads.
struct Plan {
    form: Form,
    /// Packed indices at which every triangle is cut: from 0 to P, strictly increasing.
    cuts: Vec<usize>,
    /// Units of one task.
    group: usize,
    /// Samples of one chunk, a multiple of `BLOCK`. Several chunks have partial results of their own, added up in order.
    chunk: usize,
}

impl Plan {
    fn new(n: usize, d: usize, s: usize, lanes: usize, form: Option<Form>) -> Self {
        // Where the two cross over, measured for d = 4 … 257 in both types with AVX-512: s = 6 at d = 17, 8 at 24, 11 at 33,
        // 16 at 48, 32 at 96, 43 at 129. Close to it they differ by a few per cent.
        let form = form.unwrap_or(if s >= 5 && 3 * s >= d {
            Form::KhatriRao
        } else {
            Form::RankUpdate
        });
        let pairs = triangle(d);
        let (mut cuts, group): (Vec<usize>, usize) = match form {
            Form::KhatriRao => {
                // Each group of units makes its columns of K again, which costs as much as one unit or two. All units in one
                // task, but where a packed copy of their c would fill a second-level cache: 2,080 units with d = 65 took 1.4
                // times as long in one group as in 17 (f64, two cores of an AMD EPYC). At least four slabs share that copy, and no more than keep the group's
                // entries within such a cache, too.
                let groups = if s > MANY { s.div_ceil(GROUP) } else { 1 };
                let group = s.div_ceil(groups);
                let slabs = pairs.div_ceil(SLAB * lanes);
                let parts =
                    slabs.div_ceil((slabs * groups / TASKS).clamp(4, (2048 / group).clamp(4, 32)));
                (
                    (0..=parts)
                        .map(|t| (t * slabs / parts * SLAB * lanes).min(pairs))
                        .collect(),
                    group,
                )
            }
            Form::RankUpdate => {
                // Whole rows, in parts of about equal area; four units share a packed copy of z.
                let parts = (d / 128).max(1);
                (
                    (0..=parts)
                        .map(|t| triangle(((t * d * d) / parts).isqrt()))
                        .collect(),
                    s.min(4),
                )
            }
        };
        cuts.dedup();
        let tasks = (cuts.len() - 1) * s.div_ceil(group);
        let chunks = TASKS
            .div_ceil(tasks)
            .min(n / CHUNK)
            .min(PARTIAL / (s * pairs))
            .min(work(n, d, s) / SMALL)
            .max(1);
        Plan {
            form,
            cuts,
            group,
            chunk: n.div_ceil(chunks).next_multiple_of(BLOCK),
        }
    }
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
    form: Form,
    samples: Range<usize>,
    first_unit: usize,
    span: Range<usize>,
    /// The span, for every unit of the group.
    out: Vec<&'a mut [f64]>,
}

/// [`gram`] with a given instruction set and, if given, form.
fn run<S: Simd, T: Lanes>(
    simd: S,
    form: Option<Form>,
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
    assert_eq!(
        out.len(),
        s * pairs,
        "the output holds one packed triangle for every unit"
    );
    if n * d * s == 0 {
        return;
    }
    let plan = Plan::new(n, d, s, lanes::<S, T>(), form);
    let chunks = n.div_ceil(plan.chunk);
    let mut partial = if chunks > 1 {
        vec![0.0; chunks * s * pairs]
    } else {
        Vec::new()
    };
    let mut tasks = Vec::with_capacity(chunks * s.div_ceil(plan.group) * (plan.cuts.len() - 1));
    let sums: &mut [f64] = if chunks > 1 { &mut partial } else { &mut *out };
    for (k, sum) in sums.chunks_mut(s * pairs).enumerate() {
        let samples = k * plan.chunk..((k + 1) * plan.chunk).min(n);
        for (g, units) in sum.chunks_mut(plan.group * pairs).enumerate() {
            let begin = tasks.len();
            tasks.extend(plan.cuts.windows(2).map(|cut| Task {
                data: Data { z, d, c, s },
                form: plan.form,
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
    if work(n, d, s) < SMALL {
        tasks.into_iter().for_each(|task| simd.vectorize(task));
    } else {
        tasks
            .into_par_iter()
            .with_max_len(1)
            .for_each(|task| simd.vectorize(task));
    }
    if chunks > 1 {
        const STRIPE: usize = 4096;
        out.par_chunks_mut(STRIPE)
            .with_min_len(8)
            .enumerate()
            .for_each(|(t, out)| {
                for sum in partial.chunks(s * pairs) {
                    out.iter_mut()
                        .zip(&sum[t * STRIPE..])
                        .for_each(|(out, sum)| *out += sum);
                }
            });
    }
}

/// At most `BLOCK` samples, and the buffers in which they are worked on.
struct Block<'a, S: Simd, T: Lanes> {
    start: usize,
    len: usize,
    /// The rows z_i, with one readable vector before and one after them.
    z: &'a [T],
    /// The operand made on the fly: `len` rows of up to `SLAB` vectors.
    slab: &'a mut [T::Vector<S>],
    /// A tile of results on its way from the registers to the output.
    tile: &'a mut [T::Vector<S>],
    /// The other operand, tile by tile: for every sample the numbers that one register tile broadcasts.
    packed: &'a mut Vec<T>,
}

impl<T: Lanes> WithSimd for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Data { z, d, .. } = self.data;
        let lanes = lanes::<S, T>();
        let (mut slab, mut tile, mut padded, mut packed) =
            <(Vec<T>, Vec<T>, Vec<T>, Vec<T>)>::default();
        let slab = cast_slice_mut(aligned(
            &mut slab,
            self.samples.len().min(BLOCK) * SLAB * lanes,
        ));
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
            let block = Block {
                start,
                len,
                z,
                slab,
                tile,
                packed: &mut packed,
            };
            match self.form {
                Form::KhatriRao => khatri_rao(simd, &mut self, block),
                Form::RankUpdate => rank_update(simd, &mut self, block),
            }
        }
    }
}

/// Adds Cᵀ K over a block of samples, slab by slab of the columns of K.
#[inline(always)]
fn khatri_rao<S: Simd, T: Lanes>(simd: S, task: &mut Task<T>, block: Block<S, T>) {
    let Block {
        start,
        len,
        z,
        slab,
        tile,
        packed,
    } = block;
    let Data { d, c, s, .. } = task.data;
    let lanes = lanes::<S, T>();
    let units = task.out.len();
    let from = task.first_unit;
    pack::<S, T>(&c[start * s..], s, len, from..from + units, packed);
    let mut parts = Vec::new();
    for begin in task.span.clone().step_by(SLAB * lanes) {
        let span = begin..task.span.end.min(begin + SLAB * lanes);
        let vectors = span.len().div_ceil(lanes);
        let row = row_of(begin);
        if span.end <= triangle(row + 1) {
            let columns = lanes + begin - triangle(row);
            scale(
                simd,
                (&z[lanes + row..], d),
                (&z[columns..], d),
                &mut slab[..len * vectors],
                vectors,
            );
        } else {
            for v in 0..vectors {
                // The rows of the triangle that meet this vector, from the one that holds its first lane.
                let p = begin + v * lanes;
                parts.clear();
                parts.extend(
                    (row_of(p)..d)
                        .take_while(|&a| triangle(a) < p + lanes)
                        .map(|a| Part {
                            lane: triangle(a).saturating_sub(p),
                            x: lanes + a,
                            // What stands under lane 0, which is before the row's beginning if that comes later.
                            y: lanes + p - triangle(a),
                        }),
                );
                form(
                    simd,
                    (z, d),
                    (z, d),
                    &parts,
                    &mut slab[v..len * vectors],
                    vectors,
                );
            }
        }
        for units in tiles(units, tile_rows::<S>()) {
            product(
                simd,
                units.len(),
                vectors,
                &packed[units.start * len..units.end * len],
                &slab[..len * vectors],
                vectors,
                tile,
            );
            for (out, sums) in task.out[units].iter_mut().zip(tile.chunks_exact(vectors)) {
                add(
                    &mut out[begin - task.span.start..][..span.len()],
                    cast_slice::<_, T>(sums),
                );
            }
        }
    }
}

/// Adds Zᵀ (diag(c_j) Z) over a block of samples for each unit of the task, on its rows of the triangle.
#[inline(always)]
fn rank_update<S: Simd, T: Lanes>(simd: S, task: &mut Task<T>, block: Block<S, T>) {
    let Block {
        start,
        len,
        z,
        slab,
        tile,
        packed,
    } = block;
    let Data { d, c, s, .. } = task.data;
    let lanes = lanes::<S, T>();
    let rows = row_of(task.span.start)..row_of(task.span.end);
    pack::<S, T>(&z[lanes..], d, len, rows.clone(), packed);
    for (u, out) in task.out.iter_mut().enumerate() {
        for b in (0..rows.end).step_by(SLAB * lanes) {
            let vectors = (rows.end - b).div_ceil(lanes).min(SLAB);
            scale(
                simd,
                (&c[start * s + task.first_unit + u..], s),
                (&z[lanes + b..], d),
                &mut slab[..len * vectors],
                vectors,
            );
            for tile_rows in tiles(rows.len(), tile_rows::<S>()) {
                let a = rows.start + tile_rows.start..rows.start + tile_rows.end;
                // Vectors wholly above the diagonal are left out.
                let used = a.end.saturating_sub(b).div_ceil(lanes).min(vectors);
                if used == 0 {
                    continue;
                }
                let left = &packed[tile_rows.start * len..tile_rows.end * len];
                product(
                    simd,
                    a.len(),
                    used,
                    left,
                    &slab[..len * vectors],
                    vectors,
                    tile,
                );
                for (a, sums) in a.zip(tile.chunks_exact(used)).filter(|&(a, _)| a >= b) {
                    let entries = (a + 1 - b).min(used * lanes);
                    add(
                        &mut out[triangle(a) + b - task.span.start..][..entries],
                        cast_slice::<_, T>(sums),
                    );
                }
            }
        }
    }
}

/// slab[i, v] = x_i y_i, the vectors v of row i of y from its beginning; x and y come with the distance between their rows.
///
/// Sample by sample, all vectors at once: in the other order every vector would fetch the same few cache lines of z again.
#[inline(always)]
fn scale<S: Simd, T: Lanes>(
    simd: S,
    x: (&[T], usize),
    y: (&[T], usize),
    slab: &mut [T::Vector<S>],
    vectors: usize,
) {
    #[inline(always)]
    fn rows<S: Simd, T: Lanes, const V: usize>(
        simd: S,
        (x, x_step): (&[T], usize),
        (y, y_step): (&[T], usize),
        slab: &mut [T::Vector<S>],
    ) {
        let lanes = lanes::<S, T>();
        for (i, to) in slab.as_chunks_mut::<V>().0.iter_mut().enumerate() {
            let x = T::splat(simd, x[i * x_step]);
            for (to, y) in to
                .iter_mut()
                .zip(y[i * y_step..][..V * lanes].chunks_exact(lanes))
            {
                *to = T::mul(simd, x, pod_read_unaligned(cast_slice(y)));
            }
        }
    }
    match vectors {
        1 => rows::<S, T, 1>(simd, x, y, slab),
        2 => rows::<S, T, 2>(simd, x, y, slab),
        3 => rows::<S, T, 3>(simd, x, y, slab),
        _ => unreachable!("a slab row has at most 3 vectors"),
    }
}

/// From lane `lane` on, a vector of the slab is x[.., x] · y[.., y + lane].
#[derive(Clone, Copy)]
struct Part {
    lane: usize,
    x: usize,
    y: usize,
}

/// One vector of the slab for every sample: the products that `parts` says, each part over the one before.
///
/// Parts are joined in registers. Storing each at its own unaligned place would be shorter, but every store that straddles two
/// cache lines costs several cycles.
#[inline(always)]
fn form<S: Simd, T: Lanes>(
    simd: S,
    x: (&[T], usize),
    y: (&[T], usize),
    parts: &[Part],
    slab: &mut [T::Vector<S>],
    vectors: usize,
) {
    #[inline(always)]
    fn pass<S: Simd, T: Lanes, const N: usize>(
        simd: S,
        (x, x_step): (&[T], usize),
        (y, y_step): (&[T], usize),
        parts: &[Part; N],
        slab: &mut [T::Vector<S>],
        vectors: usize,
    ) {
        for (i, to) in slab.chunks_mut(vectors).enumerate() {
            let product = |part: &Part| {
                let y = &y[i * y_step + part.y..][..lanes::<S, T>()];
                T::mul(
                    simd,
                    T::splat(simd, x[i * x_step + part.x]),
                    pod_read_unaligned(cast_slice(y)),
                )
            };
            let mut whole = product(&parts[0]);
            if parts[0].lane > 0 {
                whole = T::join(simd, parts[0].lane, to[0], whole);
            }
            for part in &parts[1..] {
                whole = T::join(simd, part.lane, whole, product(part));
            }
            to[0] = whole;
        }
    }
    for parts in parts.chunks(4) {
        match *parts {
            [a] => pass(simd, x, y, &[a], slab, vectors),
            [a, b] => pass(simd, x, y, &[a, b], slab, vectors),
            [a, b, c] => pass(simd, x, y, &[a, b, c], slab, vectors),
            [a, b, c, d] => pass(simd, x, y, &[a, b, c, d], slab, vectors),
            _ => {}
        }
    }
}

/// out += sums, in f64.
#[inline(always)]
fn add<T: Lanes>(out: &mut [f64], sums: &[T]) {
    out.iter_mut()
        .zip(sums)
        .for_each(|(out, sum)| *out += sum.widen());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uniform in (−1, 1), from a linear congruential generator.
    fn numbers<T>(len: usize, seed: u64, to: impl Fn(f64) -> T) -> Vec<T> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        };
        (0..len).map(|_| to(next())).collect()
    }

    struct Case<T> {
        z: Vec<T>,
        c: Vec<T>,
        n: usize,
        d: usize,
        s: usize,
        /// The sums, and the sums of absolute values, both on top of the initial output.
        exact: Vec<f64>,
        size: Vec<f64>,
        initial: Vec<f64>,
        unit: f64,
    }

    impl<T: Lanes> Case<T> {
        fn new(n: usize, d: usize, s: usize, unit: f64, to: impl Fn(f64) -> T) -> Self {
            let z = numbers(n * d, 1 + n as u64, &to);
            let c = numbers(n * s, 2 + d as u64, &to);
            let initial = numbers(s * triangle(d), 3, |x| x);
            let (mut exact, mut size) = (
                initial.clone(),
                initial.iter().map(|x| x.abs()).collect::<Vec<_>>(),
            );
            for (z, c) in z.chunks(d).zip(c.chunks(s)) {
                for (j, c) in c.iter().enumerate() {
                    for a in 0..d {
                        for b in 0..=a {
                            let term = c.widen() * z[a].widen() * z[b].widen();
                            exact[j * triangle(d) + triangle(a) + b] += term;
                            size[j * triangle(d) + triangle(a) + b] += term.abs();
                        }
                    }
                }
            }
            Case {
                z,
                c,
                n,
                d,
                s,
                exact,
                size,
                initial,
                unit,
            }
        }

        /// The largest error as a multiple of the bound in the module's description, the reference's own error included.
        fn ratio(&self, out: &[f64]) -> f64 {
            let bound = (self.n.min(BLOCK) + 2) as f64 * self.unit + (self.n + 4) as f64 * 1.2e-16;
            let errors = out
                .iter()
                .zip(&self.exact)
                .zip(&self.size)
                .map(|((x, y), size)| (x - y).abs() / (bound * size + 1e-300));
            // `max` would let a NaN pass.
            errors
                .map(|x| if x.is_nan() { f64::INFINITY } else { x })
                .fold(0.0, f64::max)
        }

        fn run<S: Simd>(&self, simd: S, form: Option<Form>) -> Vec<f64> {
            struct Call<'a, T>(&'a Case<T>, Option<Form>, Vec<f64>);
            impl<T: Lanes> WithSimd for Call<'_, T> {
                type Output = Vec<f64>;
                fn with_simd<S: Simd>(self, simd: S) -> Vec<f64> {
                    let Call(case, form, mut out) = self;
                    run(simd, form, &case.z, case.d, &case.c, case.s, &mut out);
                    out
                }
            }
            simd.vectorize(Call(self, form, self.initial.clone()))
        }

        fn check(&self) {
            for form in [None, Some(Form::KhatriRao), Some(Form::RankUpdate)] {
                let mut outputs = vec![("scalar", self.run(pulp::Scalar, form))];
                #[cfg(target_arch = "x86_64")]
                if let Some(simd) = pulp::x86::V3::try_new() {
                    outputs.push(("AVX2", self.run(simd, form)));
                }
                #[cfg(target_arch = "x86_64")]
                if let Some(simd) = pulp::x86::V4::try_new() {
                    outputs.push(("AVX-512", self.run(simd, form)));
                }
                for (name, out) in outputs {
                    let ratio = self.ratio(&out);
                    assert!(
                        ratio <= 1.0,
                        "n {} d {} s {} {form:?} {name}: error {ratio} of its bound",
                        self.n,
                        self.d,
                        self.s
                    );
                }
            }
        }
    }

    fn check(n: usize, d: usize, s: usize) {
        Case::new(n, d, s, f32::EPSILON as f64 / 2.0, |x| x as f32).check();
        Case::new(n, d, s, f64::EPSILON / 2.0, |x| x).check();
    }

    #[test]
    fn inputs_past_every_tile_edge() {
        for d in [
            1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 33, 47, 48, 49, 65, 130, 257,
        ] {
            check(if d < 60 { 70 } else { 9 }, d, 3);
        }
    }

    #[test]
    fn units_past_every_tile_edge() {
        for s in [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17, 65] {
            for d in [1, 9, 17] {
                check(31, d, s);
            }
        }
    }

    #[test]
    fn samples_past_every_block_edge() {
        for n in [
            1,
            2,
            127,
            128,
            129,
            BLOCK - 1,
            BLOCK,
            BLOCK + 1,
            2 * BLOCK + 1,
            511,
            512,
            513,
            1025,
            5000,
            9001,
        ] {
            for (d, s) in [(1, 1), (3, 2), (9, 8), (17, 5)] {
                check(n, d, s);
            }
        }
    }

    #[test]
    fn nothing_to_do() {
        for (n, d, s) in [(0, 3, 2), (5, 0, 2), (5, 3, 0), (0, 0, 0)] {
            let mut out = vec![7.0; s * triangle(d)];
            gram(&vec![1.0f32; n * d], d, &vec![1.0; n * s], s, &mut out);
            assert!(out.iter().all(|&x| x == 7.0));
        }
    }

    #[test]
    fn the_comparison_notices_one_wrong_entry() {
        let case = Case::new(300, 9, 3, f32::EPSILON as f64 / 2.0, |x| x as f32);
        let mut out = case.exact.clone();
        assert!(case.ratio(&out) == 0.0);
        out[50] += 1e-3 * case.size[50];
        assert!(case.ratio(&out) > 1.0);
        out[50] = f64::NAN;
        assert!(case.ratio(&out) > 1.0);
    }

    #[test]
    fn the_same_bits_for_any_number_of_threads() {
        fn bits<T: Lanes>(n: usize, d: usize, s: usize, form: Form, to: fn(f64) -> T) {
            let (z, c) = (numbers(n * d, 1, to), numbers(n * s, 2, to));
            let outputs = [1, 2, 3, 4].map(|threads| {
                let mut out = numbers(s * triangle(d), 3, |x| x);
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                pool.install(|| gram_as(Some(form), &z, d, &c, s, &mut out));
                out.into_iter().map(f64::to_bits).collect::<Vec<_>>()
            });
            assert!(
                outputs.windows(2).all(|pair| pair[0] == pair[1]),
                "n {n} d {d} s {s} {form:?}"
            );
        }
        for (n, d, s) in [
            (50_000, 9, 8),
            (30_000, 1, 20),
            (9000, 33, 7),
            (700, 130, 9),
            (300, 300, 2),
        ] {
            for form in [Form::KhatriRao, Form::RankUpdate] {
                bits(n, d, s, form, |x| x as f32);
                bits(n, d, s, form, |x| x);
            }
        }
    }

    /// A million terms: summed in f32 throughout, the error would be some hundred times larger.
    #[test]
    fn the_error_does_not_grow_with_the_samples() {
        let unit = f32::EPSILON as f64 / 2.0;
        let error = |n| {
            let case = Case::new(n, 3, 2, unit, |x| x.abs() as f32);
            let mut out = case.initial.clone();
            gram(&case.z, 3, &case.c, 2, &mut out);
            out.iter()
                .zip(&case.exact)
                .map(|(x, y)| ((x - y) / y).abs())
                .fold(0.0, f64::max)
        };
        assert!(
            error(1_000_000) <= 8.0 * unit,
            "{}",
            error(1_000_000) / unit
        );
        assert!(error(1_000_000) <= 2.0 * error(1000));
    }
}
