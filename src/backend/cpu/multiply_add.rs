//! out += a ⊙ b.

use rayon::prelude::*;

use super::{BLOCK, Real};

pub(super) fn multiply_add<T: Real>(a: &[T], b: &[T], out: &mut [T]) {
    out.par_iter_mut()
        .zip(a.par_iter().zip(b))
        .with_min_len(8 * BLOCK)
        .for_each(|(out, (&a, &b))| *out += a * b);
}
