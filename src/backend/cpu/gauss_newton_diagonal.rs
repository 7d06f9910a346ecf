//! out[i, j] = Σ_oq J[i, o, j] G[i, o, q] J[i, q, j], the diagonals of Jᵀ G J: from the lower triangle of G, units side by side.

use faer::Par;

use super::tasks::each;
use super::{Array, BLOCK, Real};
use crate::backend::kernel::GaussNewtonDiagonal;
use crate::level::in_lanes;

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
        in_lanes(
            #[inline(always)]
            || {
                let samples = j.chunks_exact(of_j).zip(g.chunks_exact(of_g));
                for (out, (j, g)) in out.chunks_exact_mut(units).zip(samples) {
                    // A weight of 0, even where J is not finite.
                    if g.iter().all(|g| *g == T::ZERO) {
                        out.fill(T::ZERO);
                        continue;
                    }
                    let mut from = add_up::<T, 32>(0, j, g, out);
                    from = add_up::<T, 16>(from, j, g, out);
                    from = add_up::<T, 4>(from, j, g, out);
                    add_up::<T, 1>(from, j, g, out);
                }
            },
        );
    });
}

/// Σ_o J[o, j] (G[o, o] J[o, j] + 2 Σ_{q<o} G[o, q] J[q, j]) of one sample, for `N` units at once from `from` on, as long as there are
/// so many; returns where it ended.
#[inline(always)]
fn add_up<T: Real, const N: usize>(mut from: usize, j: &[T], g: &[T], out: &mut [T]) -> usize {
    let units = out.len();
    let outputs = j.len() / units;
    while units - from >= N {
        let mut sum = [T::ZERO; N];
        for (o, g) in g.chunks_exact(outputs).enumerate() {
            let mut below = [T::ZERO; N];
            // Most losses do not couple their outputs.
            if g[..o].iter().any(|g| *g != T::ZERO) {
                for (&g, jq) in g[..o].iter().zip(j.chunks_exact(units)) {
                    let jq = &jq[from..from + N];
                    for l in 0..N {
                        below[l] += g * jq[l];
                    }
                }
            }
            let jo = &j[o * units + from..][..N];
            for l in 0..N {
                sum[l] += jo[l] * (g[o] * jo[l] + (below[l] + below[l]));
            }
        }
        out[from..from + N].copy_from_slice(&sum);
        from += N;
    }
    from
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Layout, View, ViewMut};

    /// Beside the plain double sum, at sizes around all widths; a sample without weight has 0 where its J is not finite.
    #[test]
    fn every_width_is_the_double_sum() {
        let n = 67;
        for (units, outputs) in
            [1, 3, 4, 5, 16, 19, 32, 53].into_iter().flat_map(|s| [(s, 1), (s, 3)])
        {
            let number = |i: usize| (i * 37 % 101) as f64 / 64.0 - 0.75;
            let mut j: Vec<f64> = (0..n * outputs * units).map(number).collect();
            let g = |i: usize, o: usize, q: usize| match i {
                1 => 0.0,
                _ => number(i + 7 * o.max(q) + 13 * o.min(q)),
            };
            j[outputs * units] = f64::INFINITY;
            let hessian: Vec<f64> = (0..n * outputs * outputs)
                .map(|k| g(k / outputs / outputs, k / outputs % outputs, k % outputs))
                .collect();
            let mut out: Array<f64> = vec![f64::NAN; n * units].into();
            let [jacobian, hessian] = [j.clone(), hessian].map(Array::from);
            let kernel = GaussNewtonDiagonal {
                jacobian: View::new(&jacobian, Layout::dense(n, outputs, units)),
                hessian: View::new(&hessian, Layout::dense(n, outputs, outputs)),
                out: ViewMut::new(&mut out, Layout::dense(n, 1, units)),
            };
            run(Par::rayon(0), kernel);
            for (at, found) in out.numbers.iter().enumerate() {
                let (i, unit) = (at / units, at % units);
                let of = |o: usize| j[(i * outputs + o) * units + unit];
                let pairs = (0..outputs * outputs).map(|k| (k / outputs, k % outputs));
                let terms: Vec<f64> = match i {
                    1 => vec![0.0],
                    _ => pairs.map(|(o, q)| of(o) * g(i, o, q) * of(q)).collect(),
                };
                let size: f64 = terms.iter().map(|term| term.abs()).sum();
                let error = (found - terms.iter().sum::<f64>()).abs();
                assert!(
                    error <= 8.0 * f64::EPSILON * size,
                    "{units} {outputs} {i} {unit}: {error}"
                );
            }
        }
    }
}
