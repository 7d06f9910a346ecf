//! out[(a₁ ≥ … ≥ a_q)] += Σ_i c[i] z[i, a₁] … z[i, a_q].

use super::Real;
use super::reduce::in_blocks;

pub(super) fn tensor<T: Real>(
    n: usize,
    block: usize,
    order: usize,
    c: &[T],
    z: &[T],
    width: usize,
    out: &mut [f64],
) {
    in_blocks(n, block, out, |from, to, out: &mut [T]| {
        for i in from..to {
            add(order, &z[i * width..(i + 1) * width], c[i], out);
        }
    });
}

/// out += v z ⊗ … ⊗ z, packed; returns how many numbers that are.
fn add<T: Real>(order: usize, z: &[T], v: T, out: &mut [T]) -> usize {
    if order == 1 {
        (out.iter_mut().zip(z)).for_each(|(out, &z)| *out += v * z);
        return z.len();
    }
    // Behind a₁ = a stand the indices up to a.
    (0..z.len()).fold(0, |at, a| {
        at + add(order - 1, &z[..=a], v * z[a], &mut out[at..])
    })
}
