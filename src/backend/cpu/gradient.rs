//! out[j, a] += Σ_i δ[i, j] φ[i, a].

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::reduce::in_blocks;
use super::{BLOCK, PARTIALS, Real};
use crate::backend::{Kind, Operand};

/// Rows and columns of a result's tile, at the most: in f64, with both operands of a block of samples, 1.8 MB. By arithmetic,
/// not measured.
const TILE: (usize, usize) = (128, 256);
/// Whether a result of `len` numbers is cut into tiles, not the samples into blocks: where partial results of blocks would take
/// more memory, or much of the time since the blocks are short.
fn is_tiled(block: usize, len: usize) -> bool {
    len > 1 << 16 || len > 1 << 11 && block < BLOCK
}

/// Numbers of a tile of a result, if it is cut into tiles.
pub(crate) fn tile_of(block: usize, units: usize, width: usize) -> Option<usize> {
    let (rows, columns) = tile(units, width);
    is_tiled(block, units * width).then(|| rows.min(units) * columns.min(width))
}

/// Rows and columns of a tile of a result: so many tiles as keep threads busy, if they do not get too narrow.
fn tile(units: usize, width: usize) -> (usize, usize) {
    let (rows, mut columns) = TILE;
    while columns > 32 && units.div_ceil(rows) * width.div_ceil(columns) < PARTIALS {
        columns /= 2;
    }
    (rows, columns)
}

/// In blocks of so many samples.
pub(super) fn gradient<T: Real>(
    n: usize,
    block: usize,
    delta: &[T],
    phi: &Operand<Vec<T>>,
    out: &mut [f64],
) {
    match phi.kind {
        Kind::Shared => weighted_sum(
            n,
            block,
            delta,
            phi.layer,
            phi.units.start,
            phi.array,
            phi.width,
            out,
        ),
        Kind::Sampled => {
            let (units, width) = (phi.units.len(), phi.width);
            let size = units * width;
            in_blocks(n, block, out, |from, to, out: &mut [T]| {
                for i in from..to {
                    for j in 0..units {
                        let d = delta[i * phi.layer + phi.units.start + j];
                        let row = &phi.array[i * size + j * width..][..width];
                        for (out, &v) in out[j * width..].iter_mut().zip(row) {
                            *out += d * v;
                        }
                    }
                }
            });
        }
    }
}

/// out[j, a] += Σ_i m[i, first + j] z[i, a]; m: n × stride, z: n × width, out: units × width.
#[allow(clippy::too_many_arguments)]
pub(super) fn weighted_sum<T: Real>(
    n: usize,
    block: usize,
    m: &[T],
    stride: usize,
    first: usize,
    z: &[T],
    width: usize,
    out: &mut [f64],
) {
    let Some(units) = out.len().checked_div(width) else {
        return;
    };
    // mᵀz over some samples, for some rows and columns of the result.
    let product =
        |samples: (usize, usize), rows: (usize, usize), columns: (usize, usize), out: &mut [T]| {
            let (from, to) = samples;
            matmul(
                MatMut::from_row_major_slice_mut(out, rows.1, columns.1),
                Accum::Replace,
                MatRef::from_row_major_slice(&m[from * stride..to * stride], to - from, stride)
                    .subcols(first + rows.0, rows.1)
                    .transpose(),
                MatRef::from_row_major_slice(&z[from * width..to * width], to - from, width)
                    .subcols(columns.0, columns.1),
                T::ONE,
                Par::Seq,
            );
        };
    if !is_tiled(block, out.len()) {
        return in_blocks(n, block, out, |from, to, out| {
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
    tiles
        .into_par_iter()
        .enumerate()
        .for_each(|(at, mut part)| {
            let rows = (at / across * tile.0, part.len());
            let columns = (
                at % across * tile.1,
                part.first().map_or(0, |row| row.len()),
            );
            let mut partial = vec![T::ZERO; rows.1 * columns.1];
            for from in (0..n).step_by(BLOCK) {
                product((from, n.min(from + BLOCK)), rows, columns, &mut partial);
                for (out, partial) in part.iter_mut().zip(partial.chunks(columns.1)) {
                    (out.iter_mut().zip(partial)).for_each(|(out, v)| *out += v.to_f64());
                }
            }
        });
}
