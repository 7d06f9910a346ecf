//! sum[(a₁ ≥ … ≥ a_q)] += Σ_i c_i z[i, a₁] … z[i, a_q].

use faer::Par;

use super::reduce::{self, in_blocks};
use super::{Array, Real, Sum};
use crate::backend::kernel::TensorSum;

/// In blocks of so many samples.
pub(super) fn run<T: Real>(par: Par, block: usize, kernel: TensorSum<Array<T>, Sum>) {
    let TensorSum { order, c, z, sum } = kernel;
    let [n, _, width] = z.shape();
    let mut copy = None;
    let (c, z) = (c.dense(), z.in_rows(&mut copy));
    in_blocks(par, n, block, &mut sum.numbers, |from, to, out: &mut [T]| {
        for (i, &c) in (from..to).zip(&c[from..to]) {
            let z = &z.array.numbers[z.layout.at(i, 0, 0)..][..width];
            add(order, z, c, out);
        }
    });
}

/// Bytes of the partial sums.
pub(super) fn scratch<T: Real>(block: usize, kernel: &TensorSum<Array<T>, Sum>) -> u64 {
    let partial = reduce::scratch::<T>(kernel.z.shape()[0], block, kernel.sum.len());
    partial.saturating_add(kernel.z.copied_bytes())
}

/// out += v z ⊗ … ⊗ z, packed; returns how many numbers that are.
fn add<T: Real>(order: usize, z: &[T], v: T, out: &mut [T]) -> usize {
    if order == 1 {
        (out.iter_mut().zip(z)).for_each(|(out, &z)| *out += v * z);
        return z.len();
    }
    // Behind a₁ = a stand the indices up to a.
    (0..z.len()).fold(0, |at, a| at + add(order - 1, &z[..=a], v * z[a], &mut out[at..]))
}
