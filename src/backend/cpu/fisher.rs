//! c_ij = δ_ij²/ω_i: δ carries the sample's weight once, and so must its square.

use rayon::prelude::*;

use super::{BLOCK, Real};

pub(super) fn fisher<T: Real>(n: usize, units: usize, delta: &[T], omega: &[T]) -> Vec<T> {
    let mut c = vec![T::ZERO; n * units];
    c.par_chunks_mut(units.max(1))
        .zip(delta.par_chunks(units.max(1)))
        .zip(omega)
        .with_min_len(BLOCK)
        .for_each(|((c, delta), &omega)| {
            if omega != T::ZERO {
                for (c, &d) in c.iter_mut().zip(delta) {
                    *c = d * (d / omega);
                }
            }
        });
    c
}
