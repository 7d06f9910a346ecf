//! out[i, r, c] = Σ_k x[i, r, k] b[i, k, c], or += where it accumulates.
//!
//! A matrix that all samples share multiplies many rows at once. Where each sample has its own, small products are plain loops: a call of
//! the library would take longer.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use super::array::Input;
use super::tasks::{Part, each, parts};
use super::{Array, BLOCK, Real};
use crate::backend::Layout;
use crate::backend::kernel::Product;
use crate::level::in_lanes;

/// Multiplications for one sample up to which plain loops are used; a choice, not a measurement.
const FEW: usize = 4096;
/// Numbers of a task's result that lie in a second level cache until the task ends, and in a first level cache; choices.
const NEAR: usize = 1 << 14;
const NEAREST: usize = 1 << 12;

pub(super) fn run<T: Real>(par: Par, kernel: Product<Array<T>>) {
    let Product { mut x, mut b, mut out, accumulate } = kernel;
    let [_, rows, columns] = out.shape();
    let mut samples = samples_of_task(is_small(&x, &b), rows * columns);
    // Forward propagation, with transposed weights; other products are divided as those of a sum of products.
    if is_shared(&b)
        && is_transposed(&b)
        && let (Some(of_x), Some(of_out)) = (single_rows(&x.layout), single_rows(&out.layout))
    {
        b.layout.shape[0] = of_x.shape[0];
        (x.layout, out.layout) = (of_x, of_out);
        samples = BLOCK;
    }
    each(par, parts(out, samples), |mut part| {
        put(&x, &b, accumulate, &mut part);
    });
}

/// Samples of a task that has so many numbers of each.
pub(super) fn samples_of_task(small: bool, size: usize) -> usize {
    let near = if small { NEAREST } else { NEAR };
    (near / size.max(1)).clamp(1, BLOCK)
}

fn is_shared<T>(b: &Input<T>) -> bool {
    b.layout.strides[0] == 0
}

/// Whether the columns of b stand one behind the other, as those of transposed weights in forward propagation.
fn is_transposed<T>(b: &Input<T>) -> bool {
    let ([_, _, columns], [_, of_row, of_column]) = (b.shape(), b.layout.strides);
    of_row == 1 && (of_column != 1 || columns > 1)
}

/// Products of two vectors, or of single samples: too small to be worth a library's call.
pub(super) fn is_small<T>(x: &Input<T>, b: &Input<T>) -> bool {
    let ([_, rows, inner], [_, _, columns]) = (x.shape(), b.shape());
    let few = inner <= 1 || !is_shared(b) && inner * columns * rows <= FEW;
    inner * columns <= 1 || few && !is_transposed(b)
}

/// The rows of all samples as so many samples of one row, where they are equally far apart.
fn single_rows(layout: &Layout) -> Option<Layout> {
    let ([n, rows, columns], [of_sample, of_row, of_column]) = (layout.shape, layout.strides);
    let stride = match (n, rows) {
        (_, 1) => of_sample,
        (1, _) => of_row,
        _ if of_sample == rows * of_row => of_row,
        _ => return None,
    };
    Some(Layout {
        offset: layout.offset,
        shape: [n * rows, 1, columns],
        strides: [stride, 0, of_column],
    })
}

/// Puts the products of the samples of a part in their place, or adds them to what is there.
pub(super) fn put<T: Real>(x: &Input<T>, b: &Input<T>, accumulate: bool, part: &mut Part<T>) {
    if is_small(x, b) || !by_library(x, b, accumulate, part) {
        in_lanes(
            #[inline(always)]
            || in_loops(x, b, accumulate, part),
        );
    }
}

#[inline(always)]
fn in_loops<T: Real>(x: &Input<T>, b: &Input<T>, accumulate: bool, part: &mut Part<T>) {
    let ([_, rows, columns], inner) = (part.layout.shape, x.shape()[2]);
    let ([_, of_row, of_x], [_, of_k, of_b]) = (x.layout.strides, b.layout.strides);
    let of_out = part.layout.strides[2];
    for (local, i) in part.samples().enumerate() {
        let (x_i, b_i) = (x.layout.at(i, 0, 0), b.layout.at(i, 0, 0));
        // By numbers: another iterator would divide a length for each sample.
        for r in 0..rows {
            let out = &mut part.numbers[part.layout.at(local, r, 0)..];
            if inner == 0 && !accumulate {
                (0..columns).for_each(|c| out[c * of_out] = T::ZERO);
            }
            for k in 0..inner {
                let x = x.array.numbers[x_i + r * of_row + k * of_x];
                let b = &b.array.numbers[b_i + k * of_k..];
                let adds = accumulate || k > 0;
                if (of_out, of_b) == (1, 1) {
                    let pairs = out[..columns].iter_mut().zip(&b[..columns]);
                    if adds {
                        pairs.for_each(|(out, &b)| *out += x * b);
                    } else {
                        pairs.for_each(|(out, &b)| *out = x * b);
                    }
                } else {
                    for c in 0..columns {
                        let (out, b) = (&mut out[c * of_out], b[c * of_b]);
                        *out = if adds { *out + x * b } else { x * b };
                    }
                }
            }
        }
    }
}

/// By the library: all samples at once where they share a matrix, or each with its own. Returns false, and does nothing, where the
/// library cannot reach the numbers.
fn by_library<T: Real>(x: &Input<T>, b: &Input<T>, accumulate: bool, part: &mut Part<T>) -> bool {
    let samples = part.samples();
    let mut x = x.samples(samples.clone());
    let mut b = b.samples(samples);
    let mut out = part.layout;
    if is_shared(&b)
        && let (Some(of_x), Some(of_out)) = (single_rows(&x.layout), single_rows(&out))
    {
        // Rows of one sample.
        let [of_x, of_out] = [of_x, of_out].map(|mut layout| {
            layout.shape.swap(0, 1);
            layout.strides.swap(0, 1);
            layout
        });
        (x.layout, out, b.layout.shape[0]) = (of_x, of_out, 1);
    }
    for i in 0..out.shape[0] {
        let one = |layout: Layout| layout.samples(i..i + 1);
        let (Some(x), Some(b)) = (matrix(&x.with(one)), matrix(&b.with(one))) else {
            return false;
        };
        let Some(to) = matrix_mut(one(out), part.numbers) else {
            return false;
        };
        let accum = if accumulate { Accum::Add } else { Accum::Replace };
        matmul(to, accum, x, b, T::ONE, Par::Seq);
    }
    true
}

/// The matrix of a view with one sample.
fn matrix<'a, T: Real>(view: &Input<'a, T>) -> Option<MatRef<'a, T>> {
    let ([_, rows, columns], [_, of_row, of_column]) = (view.shape(), view.layout.strides);
    let numbers = &view.array.numbers[view.layout.offset..];
    let in_rows = || MatRef::from_row_major_slice_with_stride(numbers, rows, columns, of_row);
    let in_columns =
        || MatRef::from_column_major_slice_with_stride(numbers, rows, columns, of_column);
    match (of_row, of_column) {
        (_, 1) => Some(in_rows()),
        (1, _) => Some(in_columns()),
        _ if columns == 1 => Some(in_rows()),
        _ if rows == 1 => Some(in_columns()),
        _ => None,
    }
}

/// The matrix of a layout with one sample, to be written: its rows or its columns have no gaps.
fn matrix_mut<T: Real>(layout: Layout, numbers: &mut [T]) -> Option<MatMut<'_, T>> {
    let ([_, rows, columns], [_, of_row, of_column]) = (layout.shape, layout.strides);
    let numbers = &mut numbers[layout.offset..];
    // A single row or column has no distance to the next.
    let distance = |stride: usize, others: usize, len: usize| match others {
        0 | 1 => Some(len),
        _ => (stride >= len).then_some(stride),
    };
    if of_column == 1 || columns == 1 {
        let of_row = distance(of_row, rows, columns)?;
        let transposed =
            MatMut::from_column_major_slice_with_stride_mut(numbers, columns, rows, of_row);
        Some(transposed.transpose_mut())
    } else if of_row == 1 || rows == 1 {
        let of_column = distance(of_column, columns, rows)?;
        let matrix =
            MatMut::from_column_major_slice_with_stride_mut(numbers, rows, columns, of_column);
        Some(matrix)
    } else {
        None
    }
}
