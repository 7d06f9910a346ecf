//! The two forms over one block of samples: an operand is made on the fly, and multiplied with the other.

use pulp::Simd;
use pulp::bytemuck::{cast_slice, pod_read_unaligned};

use super::super::tile::{Lanes, lanes, pack, product, slab_vectors, tile_rows, tiles};
use super::plan::{row_of, triangle};
use super::{Data, Task};

/// At most `BLOCK` samples, and the buffers in which they are worked on.
pub(super) struct Block<'a, S: Simd, T: Lanes> {
    pub start: usize,
    pub len: usize,
    /// The rows z_i, with one readable vector before and one after them.
    pub z: &'a [T],
    /// The operand made on the fly: `len` rows of vectors.
    pub slab: &'a mut [T::Vector<S>],
    /// A tile of results on its way from the registers to the output.
    pub tile: &'a mut [T::Vector<S>],
}

/// Adds Cᵀ K over a block of samples, slab by slab of the columns of K.
#[inline(always)]
pub(super) fn khatri_rao<S: Simd, T: Lanes>(simd: S, task: &mut Task<T>, block: Block<S, T>) {
    let Block { start, len, z, slab, tile } = block;
    let Data { d, s, .. } = task.data;
    let lanes = lanes::<S, T>();
    let units = task.out.len();
    let c = &task.packed[start * s + task.first_unit * len..];
    let mut parts = Vec::new();
    let across = slab_vectors::<S>() * lanes;
    for begin in task.span.clone().step_by(across) {
        let span = begin..task.span.end.min(begin + across);
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
                parts.extend((row_of(p)..d).take_while(|&a| triangle(a) < p + lanes).map(|a| {
                    Part {
                        lane: triangle(a).saturating_sub(p),
                        x: lanes + a,
                        // The place under lane 0, which is before the row's beginning if that comes later.
                        y: lanes + p - triangle(a),
                    }
                }));
                form(simd, (z, d), (z, d), &parts, &mut slab[v..len * vectors], vectors);
            }
        }
        for units in tiles(units, tile_rows::<S>()) {
            product(
                simd,
                units.len(),
                vectors,
                &c[units.start * len..units.end * len],
                &slab[..len * vectors],
                vectors,
                tile,
            );
            for (out, sums) in task.out[units].iter_mut().zip(tile.chunks_exact(vectors)) {
                add(&mut out[begin - task.span.start..][..span.len()], cast_slice::<_, T>(sums));
            }
        }
    }
}

/// Adds Zᵀ (diag(c_j) Z) over a block of samples for each unit of the task, on its rows of the triangle.
///
/// `left` gets the columns of z in these rows, tile by tile, and `own` a unit's coefficients.
#[inline(always)]
pub(super) fn rank_update<S: Simd, T: Lanes>(
    simd: S,
    task: &mut Task<T>,
    block: Block<S, T>,
    [left, own]: &mut [Vec<T>; 2],
) {
    let Block { start, len, z, slab, tile } = block;
    let Data { d, c, s, .. } = task.data;
    let lanes = lanes::<S, T>();
    let across = slab_vectors::<S>() * lanes;
    let rows = row_of(task.span.start)..row_of(task.span.end);
    left.resize(len * rows.len(), T::zeroed());
    pack::<S, T>(&z[lanes..], d, len, rows.clone(), left);
    let panels =
        (!task.packed.is_empty()).then(|| &task.packed[start * d.next_multiple_of(across)..]);
    for (u, out) in task.out.iter_mut().enumerate() {
        own.clear();
        own.extend((start..start + len).map(|i| c[i * s + task.first_unit + u]));
        for b in (0..rows.end).step_by(across) {
            let vectors = (rows.end - b).div_ceil(lanes).min(slab_vectors::<S>());
            let y = match panels {
                Some(panels) => (&panels[b * len..], across),
                None => (&z[lanes + b..], d),
            };
            scale(simd, (own, 1), y, &mut slab[..len * vectors], vectors);
            for tile_rows in tiles(rows.len(), tile_rows::<S>()) {
                let a = rows.start + tile_rows.start..rows.start + tile_rows.end;
                // Vectors wholly above the diagonal are left out.
                let used = a.end.saturating_sub(b).div_ceil(lanes).min(vectors);
                if used == 0 {
                    continue;
                }
                let left = &left[tile_rows.start * len..tile_rows.end * len];
                product(simd, a.len(), used, left, &slab[..len * vectors], vectors, tile);
                for (a, sums) in a.zip(tile.chunks_exact(used)).filter(|&(a, _)| a >= b) {
                    let entries = (a + 1 - b).min(used * lanes);
                    let out = &mut out[triangle(a) + b - task.span.start..][..entries];
                    add(out, cast_slice::<_, T>(sums));
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
            for (to, y) in to.iter_mut().zip(y[i * y_step..][..V * lanes].chunks_exact(lanes)) {
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
    out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum.widen());
}
