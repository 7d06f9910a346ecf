//! The unit-wise blocks of a curvature matrix.

use std::ops::Range;

use ndarray::Array2;

use crate::error::{Error, Result};
use crate::network::Network;
use crate::objective::PenaltyHessian;

/// One symmetric block for each unit of the network, over that unit's parameters.
///
/// Each block is stored once, as its lower triangle row by row, so it is symmetric to the last bit.
#[derive(Debug, Clone, PartialEq)]
pub struct RowBlocks {
    rows: Vec<Row>,
    /// The groups' blocks, unit by unit.
    packed: Vec<Vec<f64>>,
    parameters: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    layer: usize,
    row: usize,
    range: Range<usize>,
    group: usize,
    place: Range<usize>,
}

/// One unit's block.
#[derive(Debug, Clone)]
pub struct RowBlock<'a> {
    /// k, the layer, from 1.
    pub layer: usize,
    /// j, the unit in its layer, from 0.
    pub row: usize,
    /// Where the unit's parameters stand in the flat vector.
    pub range: Range<usize>,
    packed: &'a [f64],
}

impl RowBlocks {
    /// Blocks from the packed sums of each group, in the order of the network's groups.
    pub(crate) fn new(network: &Network, packed: Vec<Vec<f64>>) -> Self {
        let mut rows = Vec::new();
        for (group, (layer, g)) in network.groups().enumerate() {
            let size = g.row * (g.row + 1) / 2;
            for (local, unit) in g.units.clone().enumerate() {
                let start = g.range.start + local * g.row;
                rows.push(Row {
                    layer,
                    row: unit,
                    range: start..start + g.row,
                    group,
                    place: local * size..(local + 1) * size,
                });
            }
        }
        RowBlocks {
            rows,
            packed,
            parameters: network.parameters(),
        }
    }

    /// Adds what the penalty's second derivative has inside each block.
    pub(crate) fn add_penalty(&mut self, penalty: &PenaltyHessian) {
        for row in &self.rows {
            let block = &mut self.packed[row.group][row.place.clone()];
            penalty.add_block(row.range.clone(), block);
        }
    }

    /// The number of blocks: one for each unit of the layers 1 … m.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no block.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// P, the order of the whole matrix.
    pub fn order(&self) -> usize {
        self.parameters
    }

    /// The blocks in the order of the flat vector.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RowBlock<'_>> {
        self.rows.iter().map(|row| RowBlock {
            layer: row.layer,
            row: row.row,
            range: row.range.clone(),
            packed: &self.packed[row.group][row.place.clone()],
        })
    }

    /// The block of unit `row` (from 0) of `layer` (from 1), or `None`.
    pub fn get(&self, layer: usize, row: usize) -> Option<RowBlock<'_>> {
        self.iter().find(|b| b.layer == layer && b.row == row)
    }

    /// The diagonal, length P.
    pub fn diagonal(&self) -> Vec<f64> {
        self.iter().flat_map(|b| b.diagonal()).collect()
    }

    /// B v, length P.
    ///
    /// # Errors
    /// v has the wrong length.
    pub fn product(&self, v: &[f64]) -> Result<Vec<f64>> {
        if v.len() != self.parameters {
            return Err(Error::shape("vector", &[self.parameters], &[v.len()]));
        }
        Ok(self
            .iter()
            .flat_map(|b| b.times(&v[b.range.clone()]))
            .collect())
    }
}

impl<'a> RowBlock<'a> {
    /// d, the number of the unit's parameters.
    pub fn order(&self) -> usize {
        self.range.len()
    }

    /// The lower triangle row by row: entry (a, b), a ≥ b, stands at a(a+1)/2 + b.
    pub fn packed(&self) -> &'a [f64] {
        self.packed
    }

    /// Entry (a, b).
    ///
    /// # Errors
    /// An index that is not below the order.
    pub fn entry(&self, a: usize, b: usize) -> Result<f64> {
        let (high, low) = (a.max(b), a.min(b));
        if high >= self.order() {
            return Err(Error::invalid(
                "entry",
                format!("({a}, {b}) lies outside a block of order {}", self.order()),
            ));
        }
        Ok(self.packed[high * (high + 1) / 2 + low])
    }

    /// The block as a square matrix.
    pub fn dense(&self) -> Array2<f64> {
        Array2::from_shape_fn((self.order(), self.order()), |(a, b)| {
            let (high, low) = (a.max(b), a.min(b));
            self.packed[high * (high + 1) / 2 + low]
        })
    }

    /// The diagonal, length d.
    pub fn diagonal(&self) -> Vec<f64> {
        (0..self.order())
            .map(|a| self.packed[a * (a + 1) / 2 + a])
            .collect()
    }

    /// B_j v for a vector of the block's order.
    fn times(&self, v: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; v.len()];
        for a in 0..v.len() {
            let row = &self.packed[a * (a + 1) / 2..];
            for b in 0..a {
                out[a] += row[b] * v[b];
                out[b] += row[b] * v[a];
            }
            out[a] += row[a] * v[a];
        }
        out
    }
}
