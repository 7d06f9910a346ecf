//! ω g(x, y), its gradient and its Hessian in x for every sample. Evaluated in f64 and rounded once.

use rayon::prelude::*;

use super::{BLOCK, QUANTUM, Real};
use crate::objective::Loss;

fn to_f64<T: Real>(from: &[T], to: &mut [f64]) {
    to.iter_mut().zip(from).for_each(|(to, v)| *to = v.to_f64());
}

pub(super) fn loss<T: Real>(
    n: usize,
    loss: &Loss,
    x: &[T],
    y: &[T],
    omega: &[T],
    value: &mut [f64],
    gradient: bool,
) -> Option<Vec<T>> {
    let outputs = x.len().checked_div(n)?;
    let mut g = vec![T::ZERO; if gradient { x.len() } else { 0 }];
    // Where no output knows of another, the gradient of many samples is like that of one.
    let many = if loss.is_elementwise() { QUANTUM } else { 1 };
    let size = QUANTUM * outputs;
    let mut parts: Vec<&mut [T]> = g.chunks_mut(size).collect();
    parts.resize_with(n.div_ceil(QUANTUM), Default::default);
    let partial: Vec<f64> = parts
        .into_par_iter()
        .enumerate()
        .with_min_len(BLOCK / QUANTUM)
        .map(|(block, g)| {
            let (first, end) = (block * QUANTUM, n.min((block + 1) * QUANTUM));
            let mut buffers = vec![0.0; 3 * many * outputs];
            let mut sum = 0.0;
            for from in (first..end).step_by(many) {
                let samples = from..end.min(from + many);
                let len = samples.len() * outputs;
                let (xs, rest) = buffers[..3 * len].split_at_mut(len);
                let (ys, gs) = rest.split_at_mut(len);
                to_f64(&x[from * outputs..][..len], xs);
                to_f64(&y[from * outputs..][..len], ys);
                // A weight of 0 takes the sample's loss out even where that is not finite.
                if omega[samples.clone()].iter().all(|&omega| omega == T::ZERO) {
                    continue;
                }
                if gradient {
                    loss.gradient(xs, ys, gs);
                }
                let rows = xs.chunks_exact(outputs).zip(ys.chunks_exact(outputs));
                for ((i, (xi, yi)), gi) in samples.zip(rows).zip(gs.chunks_exact(outputs)) {
                    let omega = omega[i].to_f64();
                    if omega == 0.0 {
                        continue;
                    }
                    sum += omega * loss.value(xi, yi);
                    if gradient {
                        let g = &mut g[(i - first) * outputs..][..outputs];
                        for (g, &v) in g.iter_mut().zip(gi) {
                            *g = T::from_f64(omega * v);
                        }
                    }
                }
            }
            sum
        })
        .collect();
    // One after the other: the same sum for every chunk of so many samples.
    let own = value.len() == partial.len();
    for (at, sum) in partial.iter().enumerate() {
        value[if own { at } else { 0 }] += sum;
    }
    gradient.then_some(g)
}

pub(super) fn loss_hessian<T: Real>(
    n: usize,
    loss: &Loss,
    x: &[T],
    y: &[T],
    omega: &[T],
) -> Vec<T> {
    let Some(outputs) = x.len().checked_div(n) else {
        return Vec::new();
    };
    let mut out = vec![T::ZERO; n * outputs * outputs];
    out.par_chunks_mut(BLOCK * outputs * outputs)
        .enumerate()
        .for_each(|(block, out)| {
            let mut buffers = vec![0.0; 2 * outputs];
            let (xi, yi) = buffers.split_at_mut(outputs);
            let mut h = vec![0.0; outputs * outputs];
            for (local, out) in out.chunks_exact_mut(outputs * outputs).enumerate() {
                let i = block * BLOCK + local;
                let omega = omega[i].to_f64();
                if omega == 0.0 {
                    continue;
                }
                to_f64(&x[i * outputs..(i + 1) * outputs], xi);
                to_f64(&y[i * outputs..(i + 1) * outputs], yi);
                loss.hessian(xi, yi, &mut h);
                for (out, &v) in out.iter_mut().zip(&h) {
                    *out = T::from_f64(omega * v);
                }
            }
        });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many samples at once are as single ones; a weight of 0 takes out what is not finite.
    #[test]
    fn at_once_is_one_by_one() {
        fn check<T: Real>(kind: &Loss, n: usize, outputs: usize) {
            let numbers = |len: usize, salt: usize| -> Vec<f64> {
                (0..len)
                    .map(|i| ((i * 37 + salt) % 11) as f64 / 11.0)
                    .collect()
            };
            let mut x = numbers(n * outputs, 1);
            let mut y = numbers(n * outputs, 4);
            y.iter_mut().for_each(|y| *y = y.max(0.05)); // some losses take positive targets alone
            let mut omega = numbers(n, 2);
            x[0] = f64::NAN;
            omega[0] = 0.0;
            let [x, y, omega] = [x, y, omega].map(|v| v.into_iter().map(T::from_f64).collect());
            let [x, y, omega]: [Vec<T>; 3] = [x, y, omega];
            let mut values = vec![0.0; n.div_ceil(QUANTUM)];
            let all = loss(n, kind, &x, &y, &omega, &mut values, true).unwrap();
            let mut alone = values.iter().map(|_| 0.0).collect::<Vec<f64>>();
            for i in 0..n {
                let row = i * outputs..(i + 1) * outputs;
                let (x, y, omega) = (&x[row.clone()], &y[row.clone()], &omega[i..i + 1]);
                let mut value = [0.0];
                let g = loss(1, kind, x, y, omega, &mut value, true).unwrap();
                alone[i / QUANTUM] += value[0];
                assert!(g == all[row], "{kind:?} sample {i} of {n}");
            }
            assert!(alone == values && values[0].is_finite(), "{kind:?} {n}");
        }
        for kind in Loss::examples(3) {
            for n in [1, 64, 65, 700] {
                check::<f64>(&kind, n, 3);
                check::<f32>(&kind, n, 3);
            }
        }
    }
}
