//! h, h′ and h″ at every pre-activation. Evaluated in f64 and rounded once: for f32 the error is half an ULP.

use rayon::prelude::*;

use super::{BLOCK, Real};
use crate::network::Activation;

pub(super) fn activate<T: Real>(
    n: usize,
    runs: &[(Activation, usize)],
    p: &[T],
    order: usize,
) -> Vec<Vec<T>> {
    let units: usize = runs.iter().map(|r| r.1).sum();
    let mut out = vec![vec![T::ZERO; n * units]; order + 1];
    // Each task takes the same samples of every array.
    let size = (BLOCK / 8 * units).max(1);
    let mut tasks: Vec<Vec<&mut [T]>> = Vec::new();
    tasks.resize_with(p.len().div_ceil(size), Vec::new);
    for array in &mut out {
        tasks
            .iter_mut()
            .zip(array.chunks_mut(size))
            .for_each(|(task, part)| task.push(part));
    }
    tasks
        .into_par_iter()
        .zip(p.par_chunks(size))
        .for_each(|(mut task, p)| {
            let mut at = 0;
            while at < p.len() {
                for &(activation, count) in runs {
                    for at in at..at + count {
                        let u = p[at].to_f64();
                        if order == 0 {
                            task[0][at] = T::from_f64(activation.value(u));
                        } else {
                            let h = activation.derivatives(u);
                            task.iter_mut()
                                .zip(h)
                                .for_each(|(x, h)| x[at] = T::from_f64(h));
                        }
                    }
                    at += count;
                }
            }
        });
    out
}
