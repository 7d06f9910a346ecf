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
    let size = QUANTUM * outputs;
    let mut parts: Vec<&mut [T]> = g.chunks_mut(size).collect();
    parts.resize_with(n.div_ceil(QUANTUM), Default::default);
    let partial: Vec<f64> = parts
        .into_par_iter()
        .enumerate()
        .with_min_len(BLOCK / QUANTUM)
        .map(|(block, g)| {
            let mut buffers = vec![0.0; 3 * outputs];
            let (xi, rest) = buffers.split_at_mut(outputs);
            let (yi, gi) = rest.split_at_mut(outputs);
            let mut sum = 0.0;
            for i in block * QUANTUM..n.min((block + 1) * QUANTUM) {
                to_f64(&x[i * outputs..(i + 1) * outputs], xi);
                to_f64(&y[i * outputs..(i + 1) * outputs], yi);
                let omega = omega[i].to_f64();
                // A weight of 0 takes the sample's loss out even where that is not finite.
                if omega == 0.0 {
                    continue;
                }
                sum += omega * loss.value(xi, yi);
                if gradient {
                    loss.gradient(xi, yi, gi);
                    let g = &mut g[(i - block * QUANTUM) * outputs..][..outputs];
                    for (g, &v) in g.iter_mut().zip(gi.iter()) {
                        *g = T::from_f64(omega * v);
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
