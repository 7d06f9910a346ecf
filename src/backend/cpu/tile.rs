//! The register tile: a small product whose sums stay in registers.
//!
//! ```text
//!     tile[u, v] = Σ_i left[i, u] slab[i, v]              u < 8, v < 3; with 16 registers u < 6, v < 2
//! ```
//!
//! with numbers left\[i, u\], packed tile by tile, and vectors slab\[i, v\] that a kernel makes on the fly, in the place and order
//! in which they are read: a library's product would have them written first, and then copy them.

use std::ops::Range;

use pulp::Simd;
use pulp::bytemuck::{Pod, Zeroable};

/// Vectors per slab row, at the most.
pub(super) const SLAB: usize = 3;

/// A floating-point type the kernel is compiled for, with its vectors.
pub trait Lanes: Pod + Send + Sync {
    /// A vector of these floats in the registers of an instruction set.
    type Vector<S: Simd>: Pod;
    /// The same number in f64.
    fn widen(self) -> f64;
    /// x in every lane.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;
    /// x y.
    fn mul<S: Simd>(simd: S, x: Self::Vector<S>, y: Self::Vector<S>) -> Self::Vector<S>;
    /// x y + z, fused where the instruction set has it.
    fn mul_add<S: Simd>(
        simd: S,
        x: Self::Vector<S>,
        y: Self::Vector<S>,
        z: Self::Vector<S>,
    ) -> Self::Vector<S>;
    /// The lanes of `x` before `lane`, those of `y` from there on.
    fn join<S: Simd>(
        simd: S,
        lane: usize,
        x: Self::Vector<S>,
        y: Self::Vector<S>,
    ) -> Self::Vector<S>;
}

macro_rules! real {
    ($t:ty, $bits:ty, $vector:ident, $splat:ident, $mul:ident, $mul_add:ident, $mask:ident, $select:ident) => {
        impl Lanes for $t {
            type Vector<S: Simd> = S::$vector;
            #[inline(always)]
            fn widen(self) -> f64 {
                self.into()
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$vector {
                simd.$splat(x)
            }
            #[inline(always)]
            fn mul<S: Simd>(simd: S, x: S::$vector, y: S::$vector) -> S::$vector {
                simd.$mul(x, y)
            }
            #[inline(always)]
            fn mul_add<S: Simd>(
                simd: S,
                x: S::$vector,
                y: S::$vector,
                z: S::$vector,
            ) -> S::$vector {
                simd.$mul_add(x, y, z)
            }
            #[inline(always)]
            fn join<S: Simd>(simd: S, lane: usize, x: S::$vector, y: S::$vector) -> S::$vector {
                simd.$select(simd.$mask(0, lane as $bits).mask(), x, y)
            }
        }
    };
}
real!(f32, u32, f32s, splat_f32s, mul_f32s, mul_add_e_f32s, mask_between_m32s, select_f32s);
real!(f64, u64, f64s, splat_f64s, mul_f64s, mul_add_e_f64s, mask_between_m64s, select_f64s);

pub(super) const fn lanes<S: Simd, T: Lanes>() -> usize {
    size_of::<T::Vector<S>>() / size_of::<T>()
}

/// Rows of the register tile. 8 × 3 sums, 3 vectors and a broadcast fit 32 registers. Of 16, 6 × 2 leave one: with 4 × 3, which need
/// all, the compiler stored and loaded a sum in every turn, and the Gram kernel took twice as long (AVX2, AMD EPYC).
pub(super) const fn tile_rows<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 8 } else { 6 }
}

/// Vectors of a slab row where it is full.
pub(super) const fn slab_vectors<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { SLAB } else { 2 }
}

/// `len` rows or columns in the fewest ranges of at most `most`, all about equally long.
pub(super) fn tiles(len: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = len.div_ceil(most);
    (0..count).map(move |t| t * len / count..(t + 1) * len / count)
}

/// `len` numbers that begin on a cache line: zeros in a new buffer, else what it held.
pub(super) fn aligned<T: Lanes>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    const LINE: usize = 64;
    buffer.resize(len + LINE / size_of::<T>(), T::zeroed());
    let skip = buffer.as_ptr().align_offset(LINE);
    &mut buffer[skip..skip + len]
}

/// Puts columns of the first `len` rows of x, of row length `step`, into `to`, as [`tiles`] cuts them: tile by tile, within a tile row by row.
///
/// Read in place, rows whose length is a multiple of the cache's period would evict one another.
#[inline(always)]
pub(super) fn pack<S: Simd, T: Lanes>(
    x: &[T],
    step: usize,
    len: usize,
    columns: Range<usize>,
    to: &mut [T],
) {
    const STRIP: usize = 32;
    #[inline(always)]
    fn copy<T: Lanes, const U: usize>(x: &[T], step: usize, to: &mut [T]) {
        for (i, to) in to.as_chunks_mut::<U>().0.iter_mut().enumerate() {
            to.copy_from_slice(&x[i * step..][..U]);
        }
    }
    // A strip at a time: of rows that lie far apart, only so many are read at once.
    for from in (0..len).step_by(STRIP) {
        let strip = from..len.min(from + STRIP);
        for tile in tiles(columns.len(), tile_rows::<S>()) {
            let (x, width) = (&x[from * step + columns.start + tile.start..], tile.len());
            let to = &mut to[tile.start * len + from * width..][..strip.len() * width];
            match width {
                1 => copy::<T, 1>(x, step, to),
                2 => copy::<T, 2>(x, step, to),
                3 => copy::<T, 3>(x, step, to),
                4 => copy::<T, 4>(x, step, to),
                5 => copy::<T, 5>(x, step, to),
                6 => copy::<T, 6>(x, step, to),
                7 => copy::<T, 7>(x, step, to),
                8 => copy::<T, 8>(x, step, to),
                _ => unreachable!("a tile has at most 8 rows"),
            }
        }
    }
}

/// tile[u, v] = Σ_i left[i, u] slab[i, v] for `rows` u and `used` v, the slab having `vectors` per sample.
#[inline(always)]
pub(super) fn product<S: Simd, T: Lanes>(
    simd: S,
    rows: usize,
    used: usize,
    left: &[T],
    slab: &[T::Vector<S>],
    vectors: usize,
    tile: &mut [T::Vector<S>],
) {
    #[inline(always)]
    fn sums<S: Simd, T: Lanes, const U: usize, const V: usize>(
        simd: S,
        left: &[T],
        slab: &[T::Vector<S>],
        vectors: usize,
        tile: &mut [T::Vector<S>],
    ) {
        assert!(vectors >= V);
        let mut sums = [[T::Vector::<S>::zeroed(); V]; U];
        for (x, y) in left.as_chunks::<U>().0.iter().zip(slab.chunks_exact(vectors)) {
            for (sums, &x) in sums.iter_mut().zip(x) {
                let x = T::splat(simd, x);
                for (sum, &y) in sums.iter_mut().zip(&y[..V]) {
                    *sum = T::mul_add(simd, x, y, *sum);
                }
            }
        }
        tile[..U * V].copy_from_slice(sums.as_flattened());
    }
    let wide = S::REGISTER_COUNT >= 32;
    macro_rules! sums {
        ($u:literal) => {
            match used {
                1 => sums::<S, T, $u, 1>(simd, left, slab, vectors, tile),
                2 => sums::<S, T, $u, 2>(simd, left, slab, vectors, tile),
                3 if wide => sums::<S, T, $u, 3>(simd, left, slab, vectors, tile),
                _ => unreachable!("a slab row has at most 2 or 3 vectors"),
            }
        };
    }
    match rows {
        1 => sums!(1),
        2 => sums!(2),
        3 => sums!(3),
        4 => sums!(4),
        5 => sums!(5),
        6 => sums!(6),
        7 if wide => sums!(7),
        8 if wide => sums!(8),
        _ => unreachable!("a tile has at most 6 or 8 rows"),
    }
}
