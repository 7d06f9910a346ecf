//! The matrix from the sums over all samples.

use rayon::prelude::*;

use super::pairs::{Pair, PairTotals};
use crate::curvature::{Block, Matrix, Structure, triangle};
use crate::error::Result;
use crate::memory::zeros;
use crate::network::Network;

/// So many entries take longer to write than another thread takes to wake.
const MANY: usize = 1 << 15;

/// Returns the matrix of the packed numbers of each group, blocks of units or entries of the diagonal.
pub(super) fn by_group(network: &Network, structure: Structure, numbers: Vec<Vec<f64>>) -> Matrix {
    let groups = network.groups().zip(numbers);
    let groups = groups.map(|((k, g), own)| (k, g.units.clone(), g.range.clone(), own));
    Matrix::by_group(structure, groups)
}

/// Returns the blocks of a structure but for a diagonal, in the order of the flat vector.
pub(crate) fn places(network: &Network, structure: Structure) -> Vec<Block<'static>> {
    let layers = || (1..).zip(network.layers());
    match structure {
        Structure::Full => vec![Block::place(None, None, 0..network.parameters())],
        Structure::LayerBlocks => layers()
            .filter(|(_, l)| !l.range.is_empty())
            .map(|(k, l)| Block::place(Some(k), None, l.range.clone()))
            .collect(),
        _ => (network.rows())
            .map(|(k, unit, range)| Block::place(Some(k), Some(unit), range))
            .collect(),
    }
}

/// Returns the matrix from the blocks of units, or from the diagonals: in their own structure, or in a larger one whose other
/// entries are 0.
pub(super) fn expand(network: &Network, structure: Structure, groups: Vec<Vec<f64>>) -> Matrix {
    if let Structure::RowBlocks | Structure::Diagonal = structure {
        return by_group(network, structure, groups);
    }
    let rows = by_group(network, Structure::RowBlocks, groups);
    let mut blocks = rows.blocks().peekable();
    let expanded = places(network, structure).into_iter().map(|place| {
        let start = place.range.start;
        let mut lower = vec![0.0; triangle(place.range.len())];
        while let Some(block) = blocks.next_if(|b| b.range.end <= place.range.end) {
            for (a, row) in block.range.clone().enumerate() {
                let at = triangle(row - start) + block.range.start - start;
                lower[at..=at + a].copy_from_slice(&block.packed()[triangle(a)..triangle(a + 1)]);
            }
        }
        (place, lower)
    });
    Matrix::by_range(structure, expanded.collect())
}

/// Returns the matrix from the sums of all pairs.
///
/// # Errors
/// `NonFinite` if a sum is not finite.
pub(super) fn assemble(
    network: &Network,
    structure: Structure,
    sums: Vec<PairTotals>,
) -> Result<Matrix> {
    sums.iter().try_for_each(PairTotals::check)?;
    let pairs: Vec<_> = (Pair::all(network, structure).zip(&sums))
        .map(|(pair, sums)| (pair, pair.column_of_diagonal(network), sums))
        .collect();
    let blocks = places(network, structure).into_iter().map(|place| {
        let start = place.range.start;
        let mut lower = zeros("a matrix", triangle(place.range.len()))?;
        // The rows of each unit, from the first row to the last.
        let mut tasks = Vec::new();
        let mut rest = &mut lower[..];
        for (_, _, range) in network.rows().filter(|r| place.range.contains(&r.2.start)) {
            let len = triangle(range.end - start) - triangle(range.start - start);
            let rows;
            (rows, rest) = std::mem::take(&mut rest).split_at_mut(len);
            tasks.push((range, rows));
        }
        let of_thread = MANY * tasks.len() / triangle(place.range.len()).max(1);
        tasks.into_par_iter().with_min_len(of_thread.max(1)).for_each(|(range, mut rows)| {
            for at in range {
                let row;
                (row, rows) = std::mem::take(&mut rows).split_at_mut(at - start + 1);
                for (pair, column, sums) in &pairs {
                    if pair.g.range.contains(&at) {
                        let from = pair.h.range.start - start;
                        let to = (pair.h.range.end - start).min(row.len());
                        write_row(pair, *column, sums, at, &mut row[from..to]);
                    }
                }
            }
        });
        Ok((place, lower))
    });
    Ok(Matrix::by_range(structure, blocks.collect::<Result<_>>()?))
}

/// Writes the row `at` of the whole matrix, one of group g, over the parameters of h, as far as they are on or below the diagonal.
fn write_row(pair: &Pair, column: Option<usize>, sums: &PairTotals, at: usize, out: &mut [f64]) {
    let Pair { g, h, .. } = pair;
    let local = at - g.range.start;
    let (j2, b) = (local / g.row, local % g.row);
    let units = if pair.is_same() { j2 + 1 } else { h.units.len() };
    for (j, out) in out.chunks_mut(h.row).enumerate().take(units) {
        if pair.is_packed() {
            let block = &sums.main[(triangle(j2) + j) * triangle(g.row)..][..triangle(g.row)];
            for (a, out) in out.iter_mut().enumerate() {
                *out = block[triangle(a.max(b)) + a.min(b)];
            }
            continue;
        }
        let from = ((j * g.units.len() + j2) * g.row + b) * h.row;
        out.copy_from_slice(&sums.main[from..from + out.len()]);
        let mut add = |row: &[f64]| out.iter_mut().zip(row).for_each(|(out, v)| *out += v);
        if let (Some(diagonal), Some(column)) = (&sums.diagonal, column)
            && b == column + h.units.start + j
        {
            add(&diagonal[(j2 * h.units.len() + j) * h.row..][..h.row]);
        }
        if let (Some(own), true) = (&sums.own, j == j2) {
            add(&own[j * triangle(g.row) + triangle(b)..][..=b]);
        }
    }
}
