//! value += Σ_i ω_i g(x_i, y_i), and ω_i ∂g/∂x_i. Evaluated in f64 and rounded once.

use std::ops::Range;

use faer::Par;

use super::tasks::try_each;
use super::{Array, BLOCK, QUANTUM, Real, Sum, bytes};
use crate::backend::kernel::LossValue;
use crate::error::Result;
use crate::level::in_lanes;
use crate::objective::Loss;

/// Partial values of a task.
const PARTIALS: usize = BLOCK / QUANTUM;

pub(super) fn run<T: Real>(par: Par, kernel: LossValue<Array<T>, Sum>) -> Result<()> {
    let LossValue { loss, x, y, omega, value, gradient } = kernel;
    let [n, _, outputs] = x.shape();
    if n * outputs == 0 {
        return Ok(());
    }
    let samples = Samples { loss, outputs, x: x.dense(), y: y.dense(), omega: omega.dense() };
    let mut partial = vec![0.0; n.div_ceil(QUANTUM)];
    let tasks = (0..).step_by(BLOCK).zip(partial.chunks_mut(PARTIALS));
    loss.guarded(|| match gradient {
        None => try_each(par, tasks, |(first, partial)| samples.add_up(first, partial, None)),
        Some(g) => {
            let g = g.dense().chunks_mut(BLOCK * outputs);
            try_each(par, tasks.zip(g), |((first, partial), g)| {
                samples.add_up(first, partial, Some(g))
            })
        }
    })??;
    // One after the other: the same sum for every chunk of so many samples.
    let value = &mut value.numbers;
    let own = value.len() == partial.len();
    for (at, sum) in partial.iter().enumerate() {
        value[if own { at } else { 0 }] += sum;
    }
    Ok(())
}

/// Bytes of the numbers in f64, and of the partial values.
pub(super) fn scratch<T: Real>(threads: usize, kernel: &LossValue<Array<T>, Sum>) -> u64 {
    let [n, _, outputs] = kernel.x.shape();
    bytes(&[24, QUANTUM, threads, outputs]).saturating_add(bytes(&[8, n.div_ceil(QUANTUM)]))
}

/// Writes numbers in f64.
pub(super) fn to_f64<T: Real>(from: &[T], to: &mut [f64]) {
    to.iter_mut().zip(from).for_each(|(to, v)| *to = v.to_f64());
}

/// All samples.
struct Samples<'a, T> {
    loss: &'a Loss,
    outputs: usize,
    x: &'a [T],
    y: &'a [T],
    omega: &'a [T],
}

impl<T: Real> Samples<'_, T> {
    /// The values of each [`QUANTUM`] samples from `first` on, and their weighted gradients.
    fn add_up(&self, first: usize, partial: &mut [f64], mut g: Option<&mut [T]>) -> Result<()> {
        let (loss, outputs) = (self.loss, self.outputs);
        // Where no output knows of another, the gradient of many samples is like that of one; other losses see to it themselves.
        let many = if loss.is_elementwise() || loss.has_many() { QUANTUM } else { 1 };
        let mut buffers = vec![0.0; 3 * many * outputs];
        for (begin, sum) in (first..).step_by(QUANTUM).zip(partial) {
            let end = self.omega.len().min(begin + QUANTUM);
            for from in (begin..end).step_by(many) {
                let samples = from..end.min(from + many);
                let g = (g.as_deref_mut())
                    .map(|g| &mut g[(from - first) * outputs..][..samples.len() * outputs]);
                self.add_at_once(samples, &mut buffers, sum, g)?;
            }
        }
        Ok(())
    }

    /// Adds the values of samples that are computed at once, in their order, and writes their weighted gradients.
    fn add_at_once(
        &self,
        samples: Range<usize>,
        buffers: &mut [f64],
        sum: &mut f64,
        mut g: Option<&mut [T]>,
    ) -> Result<()> {
        let (loss, outputs, has_many) = (self.loss, self.outputs, self.loss.has_many());
        let numbers = samples.start * outputs..samples.end * outputs;
        let omega = &self.omega[samples];
        // A weight of 0 takes the sample's loss out even where that is not finite.
        if let Some(g) = &mut g
            && omega.contains(&T::ZERO)
        {
            g.fill(T::ZERO);
        }
        if omega.iter().all(|&omega| omega == T::ZERO) {
            return Ok(());
        }
        let (xs, rest) = buffers[..3 * numbers.len()].split_at_mut(numbers.len());
        let (ys, gs) = rest.split_at_mut(numbers.len());
        to_f64(&self.x[numbers.clone()], xs);
        to_f64(&self.y[numbers], ys);
        let rows = || xs.chunks_exact(outputs).zip(ys.chunks_exact(outputs));
        let mut values = [0.0; QUANTUM];
        in_lanes(
            #[inline(always)]
            || {
                if has_many {
                    return loss.many(xs, ys, &mut values[..omega.len()], gs, g.is_some());
                }
                if g.is_some() {
                    loss.gradient(xs, ys, gs);
                }
                for (value, (omega, (xi, yi))) in values.iter_mut().zip(omega.iter().zip(rows())) {
                    if *omega != T::ZERO {
                        *value = loss.value(xi, yi);
                    }
                }
            },
        );
        if g.is_some() {
            loss.refuse_nan("the gradient", xs, ys, gs)?;
        }
        for (i, ((omega, value), (xi, yi))) in omega.iter().zip(values).zip(rows()).enumerate() {
            let omega = omega.to_f64();
            if omega == 0.0 {
                continue;
            }
            loss.refuse_nan("the value", xi, yi, &[value])?;
            *sum += omega * value;
            if let Some(g) = &mut g {
                let of_sample = i * outputs..(i + 1) * outputs;
                for (g, &v) in g[of_sample.clone()].iter_mut().zip(&gs[of_sample]) {
                    *g = T::from_f64(omega * v);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::tests::samples_of_losses;
    use crate::backend::{Layout, View, ViewMut};

    /// Many samples at once are as single ones; a weight of 0 takes out what is not finite.
    #[test]
    fn at_once_is_one_by_one() {
        fn check<T: Real>(kind: &Loss, n: usize, outputs: usize) {
            let [x, y, omega] = samples_of_losses::<T>(n, outputs);
            let at = |from: usize, n: usize, values: &mut Sum| -> Vec<T> {
                let rows = |width: usize| Layout::rows_of(n, width);
                let from = |array, width| {
                    let layout = rows(width);
                    let offset = from * width;
                    View::new(array, Layout { offset, ..layout })
                };
                let mut g: Array<T> = vec![T::from_f64(f64::NAN); n * outputs].into();
                let kernel = LossValue {
                    loss: kind,
                    x: from(&x, outputs),
                    y: from(&y, outputs),
                    omega: from(&omega, 1),
                    value: values,
                    gradient: Some(ViewMut::new(&mut g, rows(outputs))),
                };
                run(Par::rayon(0), kernel).unwrap();
                g.numbers
            };
            let sum = |len| Sum::new(None, len).unwrap();
            let mut values = sum(n.div_ceil(QUANTUM));
            let all = at(0, n, &mut values);
            let values = values.numbers;
            let mut alone = vec![0.0; values.len()];
            for i in 0..n {
                let mut value = sum(1);
                let g = at(i, 1, &mut value);
                alone[i / QUANTUM] += value.numbers[0];
                let row = i * outputs..(i + 1) * outputs;
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
