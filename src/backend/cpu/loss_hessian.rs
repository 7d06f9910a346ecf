//! out[i, o, q] = ω_i ∂²g/∂x_o∂x_q. Evaluated in f64 and rounded once.

use faer::Par;

use super::loss_value::to_f64;
use super::tasks::{parts, try_each};
use super::{Array, BLOCK, QUANTUM, Real, bytes};
use crate::backend::kernel::LossHessian;
use crate::error::Result;
use crate::level::in_lanes;
use crate::objective::Loss;

pub(super) fn run<T: Real>(par: Par, kernel: LossHessian<Array<T>>) -> Result<()> {
    let LossHessian { loss, x, y, omega, out } = kernel;
    let outputs = x.shape()[2];
    let (x, y, omega) = (x.dense(), y.dense(), omega.dense());
    loss.guarded(|| {
        try_each(par, parts(out, BLOCK), |part| {
            let (many, size) = (at_once(loss), numbers(loss, outputs));
            let mut buffers = vec![0.0; many * (2 * outputs + size)];
            let first = part.samples().step_by(many);
            for (from, out) in first.zip(part.numbers.chunks_mut(many * outputs * outputs)) {
                let n = out.len() / (outputs * outputs);
                let (samples, places) = (from..from + n, from * outputs..(from + n) * outputs);
                if omega[samples.clone()].iter().all(|&omega| omega == T::ZERO) {
                    out.fill(T::ZERO);
                    continue;
                }
                let (xs, rest) = buffers[..n * (2 * outputs + size)].split_at_mut(n * outputs);
                let (ys, hs) = rest.split_at_mut(n * outputs);
                to_f64(&x[places.clone()], xs);
                to_f64(&y[places], ys);
                in_lanes(
                    #[inline(always)]
                    || {
                        if many > 1 {
                            loss.second(xs, ys, hs);
                        } else {
                            loss.hessian(xs, ys, hs);
                        }
                    },
                );
                loss.refuse_nan("the Hessian", xs, ys, hs)?;
                let matrices = out.chunks_exact_mut(outputs * outputs).zip(hs.chunks_exact(size));
                for (omega, (out, h)) in omega[samples].iter().zip(matrices) {
                    weigh(omega.to_f64(), h, out);
                }
            }
            Ok(())
        })
    })?
}

/// How many samples are computed at once: where no output knows of another, g″ of many is like that of one.
fn at_once(loss: &Loss) -> usize {
    if loss.is_elementwise() { QUANTUM } else { 1 }
}

/// Numbers of each sample: the diagonal, or the whole matrix.
fn numbers(loss: &Loss, outputs: usize) -> usize {
    if loss.is_elementwise() { outputs } else { outputs.saturating_mul(outputs) }
}

/// Writes ω times a matrix, or a diagonal; 0 for ω = 0, even where that is not finite.
fn weigh<T: Real>(omega: f64, h: &[f64], out: &mut [T]) {
    if omega == 0.0 {
        return out.fill(T::ZERO);
    }
    let apart = if h.len() < out.len() { h.len() + 1 } else { 1 };
    if apart > 1 {
        out.fill(T::ZERO);
    }
    for (out, &v) in out.iter_mut().step_by(apart).zip(h) {
        *out = T::from_f64(omega * v);
    }
}

/// Bytes of the numbers in f64.
pub(super) fn scratch<T: Real>(threads: usize, kernel: &LossHessian<Array<T>>) -> u64 {
    let outputs = kernel.x.shape()[2];
    let numbers = numbers(kernel.loss, outputs).saturating_add(outputs.saturating_mul(2));
    bytes(&[8, threads, at_once(kernel.loss), numbers])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::tests::samples_of_losses;
    use crate::backend::{Layout, View, ViewMut};

    /// Many samples at once are as single ones, and 0 beside the diagonal where outputs do not couple; a weight of 0 takes out what is not
    /// finite.
    #[test]
    fn at_once_is_one_by_one() {
        fn check<T: Real>(kind: &Loss, n: usize, outputs: usize) {
            let [x, y, omega] = samples_of_losses::<T>(n, outputs);
            let size = outputs * outputs;
            let at = |from: usize, n: usize| -> Vec<T> {
                let rows = |array, width| {
                    let layout = Layout::rows_of(n, width);
                    View::new(array, Layout { offset: from * width, ..layout })
                };
                let mut h: Array<T> = vec![T::from_f64(f64::NAN); n * size].into();
                let kernel = LossHessian {
                    loss: kind,
                    x: rows(&x, outputs),
                    y: rows(&y, outputs),
                    omega: rows(&omega, 1),
                    out: ViewMut::new(&mut h, Layout::dense(n, outputs, outputs)),
                };
                run(Par::rayon(0), kernel).unwrap();
                h.numbers
            };
            let all = at(0, n);
            for (i, h) in all.chunks_exact(size).enumerate() {
                assert!(at(i, 1) == h, "{kind:?} sample {i} of {n}");
                let beside = (0..size).filter(|k| k / outputs != k % outputs);
                let zeros = beside.filter(|k| h[*k] == T::ZERO).count();
                let uncoupled = kind.hessian_is_diagonal() || i == 0;
                assert!(!uncoupled || zeros == size - outputs, "{kind:?} sample {i} of {n}");
            }
        }
        for outputs in [1, 3] {
            for kind in Loss::examples(outputs) {
                for n in [1, 64, 65, 700] {
                    check::<f64>(&kind, n, outputs);
                    check::<f32>(&kind, n, outputs);
                }
            }
        }
    }
}
