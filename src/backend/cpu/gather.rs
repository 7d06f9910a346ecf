//! z_i = (x_i^t for the sources t, then 1).

use rayon::prelude::*;

use super::{BLOCK, Real};

pub(super) fn gather<T: Real>(sources: &[(&Vec<T>, usize)], bias: bool, z: &mut [T]) {
    let width = sources.iter().map(|s| s.1).sum::<usize>() + usize::from(bias);
    z.par_chunks_mut((BLOCK * width).max(1))
        .enumerate()
        .for_each(|(block, rows)| {
            for (local, row) in rows.chunks_exact_mut(width).enumerate() {
                let i = block * BLOCK + local;
                let mut at = 0;
                for (x, s) in sources {
                    row[at..at + s].copy_from_slice(&x[i * s..(i + 1) * s]);
                    at += s;
                }
                if bias {
                    row[at] = T::ONE;
                }
            }
        });
}
