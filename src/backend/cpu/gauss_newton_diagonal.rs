//! out[i, j] = Σ_oq J[i, o, j] G[i, o, q] J[i, q, j], the diagonals of Jᵀ G J.

use faer::Par;

use super::tasks::each;
use super::{Array, BLOCK, Real};
use crate::backend::kernel::GaussNewtonDiagonal;

/// Samples of a task.
const SAMPLES: usize = BLOCK / 8;

pub(super) fn run<T: Real>(par: Par, kernel: GaussNewtonDiagonal<Array<T>>) {
    let GaussNewtonDiagonal { jacobian, hessian, out } = kernel;
    let [_, outputs, units] = jacobian.shape();
    let (of_j, of_g) = (outputs * units, outputs * outputs);
    if of_j == 0 {
        return out.dense().fill(T::ZERO);
    }
    let tasks = (out.dense().chunks_mut(SAMPLES * units))
        .zip(jacobian.dense().chunks(SAMPLES * of_j))
        .zip(hessian.dense().chunks(SAMPLES * of_g));
    each(par, tasks, |((out, j), g)| {
        let samples = j.chunks_exact(of_j).zip(g.chunks_exact(of_g));
        for (out, (j, g)) in out.chunks_exact_mut(units).zip(samples) {
            add_up(units, j, g, out);
        }
    });
}

/// The sum of one sample.
fn add_up<T: Real>(units: usize, j: &[T], g: &[T], out: &mut [T]) {
    out.fill(T::ZERO);
    let rows = || j.chunks_exact(units);
    let outputs = rows().len();
    for (jo, g) in rows().zip(g.chunks_exact(outputs)) {
        for (jq, &g) in rows().zip(g) {
            // Most losses do not couple their outputs.
            if g != T::ZERO {
                for ((out, &a), &b) in out.iter_mut().zip(jo).zip(jq) {
                    *out += a * g * b;
                }
            }
        }
    }
}
