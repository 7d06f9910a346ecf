//! sum[at + (j, a)] += Σ_i c[i, j] φ[i, j, a].

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use super::array::Input;
use super::reduce::{self, in_blocks};
use super::tasks::each;
use super::{Array, BLOCK, PARTIALS, Real, Sum, bytes};
use crate::backend::kernel::WeightedSum;

/// Rows and columns of a result's tile, at the most: in f64, with both operands of a block of samples, 1.8 MB. By arithmetic,
/// not measured.
const TILE: (usize, usize) = (128, 256);

/// Whether a result of `len` numbers is cut into tiles, not the samples into blocks: where partial results of blocks would take
/// more memory, or much of the time since the blocks are short.
fn is_tiled(block: usize, len: usize) -> bool {
    len > 1 << 16 || len > 1 << 11 && block < BLOCK
}

/// Rows and columns of a tile of a result: so many tiles as keep threads busy, if they do not get too narrow.
fn tile(units: usize, width: usize) -> (usize, usize) {
    let (rows, mut columns) = TILE;
    while columns > 32 && units.div_ceil(rows) * width.div_ceil(columns) < PARTIALS {
        columns /= 2;
    }
    (rows, columns)
}

/// Whether all units have the same row of φ.
pub(super) fn is_shared<T>(phi: &Input<T>) -> bool {
    phi.layout.strides[1] == 0
}

/// Bytes of the partial sums, results of blocks or a tile for each thread; and of copies of what does not stand in rows.
pub(super) fn scratch<T: Real>(threads: usize, block: usize, c: &Input<T>, phi: &Input<T>) -> u64 {
    let [n, units, width] = phi.shape();
    let sums = if is_shared(phi) && is_tiled(block, units * width) {
        let (rows, columns) = tile(units, width);
        bytes(&[threads, rows.min(units), columns.min(width), size_of::<T>()])
    } else {
        reduce::scratch::<T>(n, block, units * width)
    };
    let copies = c.copied_bytes().saturating_add(phi.copied_bytes());
    sums.saturating_add(copies)
}

/// In blocks of so many samples.
pub(super) fn run<T: Real>(par: Par, block: usize, kernel: WeightedSum<Array<T>, Sum>) {
    let WeightedSum { c, phi, sum, at } = kernel;
    let [n, units, width] = phi.shape();
    let out = &mut sum.numbers[at..at + units * width];
    if n * out.len() == 0 {
        return;
    }
    let mut copies = [None, None];
    let [of_c, of_phi] = &mut copies;
    let c = c.in_rows(of_c);
    if is_shared(&phi) {
        let z = phi.one_row(0).in_rows(of_phi);
        return by_products(par, block, c, z, out);
    }
    let phi = phi.in_rows(of_phi);
    in_blocks(par, n, block, out, |from, to, out: &mut [T]| {
        for i in from..to {
            let c = &c.array.numbers[c.layout.at(i, 0, 0)..][..units];
            for (j, (out, &c)) in out.chunks_exact_mut(width).zip(c).enumerate() {
                let row = &phi.array.numbers[phi.layout.at(i, j, 0)..][..width];
                out.iter_mut().zip(row).for_each(|(out, &v)| *out += c * v);
            }
        }
    });
}

/// Some columns of the rows of some samples, as a matrix; the view has one row for each sample.
fn rows_of<'a, T: Real>(
    view: &Input<'a, T>,
    samples: (usize, usize),
    columns: (usize, usize),
) -> MatRef<'a, T> {
    let at = view.layout.at(samples.0, 0, columns.0);
    let (numbers, stride) = (&view.array.numbers[at..], view.layout.strides[0]);
    MatRef::from_row_major_slice_with_stride(numbers, samples.1 - samples.0, columns.1, stride)
}

/// sum[j, a] += Σ_i c[i, j] z[i, a].
fn by_products<T: Real>(par: Par, block: usize, c: Input<T>, z: Input<T>, out: &mut [f64]) {
    let ([n, _, units], [_, _, width]) = (c.shape(), z.shape());
    // cᵀz over some samples, for some rows and columns of the result.
    let product =
        |samples: (usize, usize), rows: (usize, usize), columns: (usize, usize), out: &mut [T]| {
            matmul(
                MatMut::from_row_major_slice_mut(out, rows.1, columns.1),
                Accum::Replace,
                rows_of(&c, samples, rows).transpose(),
                rows_of(&z, samples, columns),
                T::ONE,
                Par::Seq,
            );
        };
    if !is_tiled(block, out.len()) {
        return in_blocks(par, n, block, out, |from, to, out| {
            product((from, to), (0, units), (0, width), out);
        });
    }
    // The rows of each tile, from top to bottom, left to right.
    let tile = tile(units, width);
    let across = width.div_ceil(tile.1);
    let mut tiles: Vec<Vec<&mut [f64]>> = Vec::new();
    tiles.resize_with(units.div_ceil(tile.0) * across, Vec::new);
    for (j, row) in out.chunks_mut(width).enumerate() {
        let tiles = &mut tiles[j / tile.0 * across..];
        (row.chunks_mut(tile.1).zip(tiles)).for_each(|(part, tile)| tile.push(part));
    }
    each(par, tiles.into_iter().enumerate(), |(at, mut part)| {
        let columns = part.first().map_or(0, |row| row.len());
        let rows = (at / across * tile.0, part.len());
        let columns = (at % across * tile.1, columns);
        let mut partial = vec![T::ZERO; rows.1 * columns.1];
        for from in (0..n).step_by(BLOCK) {
            product((from, n.min(from + BLOCK)), rows, columns, &mut partial);
            for (out, partial) in part.iter_mut().zip(partial.chunks(columns.1)) {
                (out.iter_mut().zip(partial)).for_each(|(out, v)| *out += v.to_f64());
            }
        }
    });
}
