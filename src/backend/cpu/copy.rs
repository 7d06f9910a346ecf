//! to[i, r, c] = from[i, r, c].

use faer::Par;

use super::tasks::{each, parts, worth};
use super::walk::Walk;
use super::{Array, Real};
use crate::backend::Layout;
use crate::backend::kernel::Copy;

/// Rows and columns that are transposed together: a cache line of f64, so that each line is read and written once.
const TILE: usize = 8;

pub(super) fn run<T: Real>(par: Par, kernel: Copy<Array<T>>) {
    let Copy { from, to } = kernel;
    let [_, rows, columns] = to.shape();
    each(par, parts(to, worth(rows * columns)), |part| {
        let layout = from.samples(part.samples()).layout;
        let numbers = &from.array.numbers;
        let walk = Walk::new([part.layout, layout]);
        if walk.is_in_rows() {
            walk.copy(part.numbers, numbers);
        } else {
            in_tiles(part.layout, part.numbers, layout, numbers);
        }
    });
}

/// Tile by tile, so that neither side jumps from line to line where one of them is transposed.
fn in_tiles<T: Real>(to: Layout, out: &mut [T], from: Layout, numbers: &[T]) {
    let [n, rows, columns] = to.shape;
    let (of_column, from_column) = (to.strides[2], from.strides[2]);
    for i in 0..n {
        for top in (0..rows).step_by(TILE) {
            for left in (0..columns).step_by(TILE) {
                for r in top..rows.min(top + TILE) {
                    let (at, from) = (to.at(i, r, 0), from.at(i, r, 0));
                    for c in left..columns.min(left + TILE) {
                        out[at + c * of_column] = numbers[from + c * from_column];
                    }
                }
            }
        }
    }
}
