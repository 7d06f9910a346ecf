//! c_ij = Σ_oq J[i, o, j] G[i, o, q] J[i, q, j], the diagonal of Jᵀ G J.

use rayon::prelude::*;

use super::{BLOCK, Real};

pub(super) fn gauss_newton<T: Real>(
    n: usize,
    outputs: usize,
    units: usize,
    jacobian: &[T],
    hessian: &[T],
) -> Vec<T> {
    let mut c = vec![T::ZERO; n * units];
    c.par_chunks_mut(units.max(1))
        .zip(jacobian.par_chunks((outputs * units).max(1)))
        .zip(hessian.par_chunks((outputs * outputs).max(1)))
        .with_min_len(BLOCK / 8)
        .for_each(|((c, j), g)| {
            for o in 0..outputs {
                for q in 0..outputs {
                    let g = g[o * outputs + q];
                    if g == T::ZERO {
                        continue; // most losses do not couple their outputs
                    }
                    let (jo, jq) = (&j[o * units..][..units], &j[q * units..][..units]);
                    for ((c, &a), &b) in c.iter_mut().zip(jo).zip(jq) {
                        *c += a * g * b;
                    }
                }
            }
        });
    c
}
