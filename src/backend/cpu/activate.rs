//! h, h′ and h″ at every pre-activation. Evaluated in f64 and rounded once: for f32 the error is half an ULP.
//!
//! The formulas are the scalar ones; the loop over them is compiled for each instruction set, lane by lane where it pays. No
//! set changes a digit: nothing is fused, and no order of sums depends on the lanes.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::Real;
use crate::error::Result;
use crate::guard;
use crate::network::{Activation, Custom, FormulaUse};

/// About as many numbers make a task; fewer are not worth waking another thread for.
const TASK: usize = 4096;

/// Into arrays that `new` supplies, of so many numbers; with a 1 behind each row of h if `constant`.
pub(super) fn activate<T: Real>(
    runs: &[(Activation, usize)],
    p: &[T],
    order: usize,
    constant: bool,
    new: impl Fn(usize) -> Vec<T>,
) -> Result<Vec<Vec<T>>> {
    let units: usize = runs.iter().map(|r| r.1).sum();
    let constant = constant && units > 0;
    let rows = p.len().checked_div(units).unwrap_or(0);
    let h = || new(p.len() + if constant { rows } else { 0 });
    let arrays = || match order {
        0 => arrays(runs, p, constant, [h()]).into(),
        1 => arrays(runs, p, constant, [h(), new(p.len())]).into(),
        _ => arrays(runs, p, constant, [h(), new(p.len()), new(p.len())]).into(),
    };
    let custom = runs.iter().find(|r| matches!(r.0, Activation::Custom(_)));
    match custom {
        // What such a one throws is its own error.
        Some((activation, _)) => guard::call("activation", activation.name(), arrays),
        None => Ok(arrays()),
    }
}

fn arrays<T: Real, const N: usize>(
    runs: &[(Activation, usize)],
    p: &[T],
    constant: bool,
    mut out: [Vec<T>; N],
) -> [Vec<T>; N] {
    let units: usize = runs.iter().map(|r| r.1).sum();
    // Tasks of whole samples. Where all units share an activation, each is one run.
    let size = TASK.next_multiple_of(units.max(1));
    let whole = runs.first().map(|run| [(run.0, size)]);
    let runs = match &whole {
        Some(whole) if runs.len() == 1 => whole,
        _ => runs,
    };
    let mut first = Some(if constant {
        size / units * (units + 1)
    } else {
        size
    });
    let mut parts = (out.each_mut()).map(|array| array.chunks_mut(first.take().unwrap_or(size)));
    let tasks: Vec<Task<T, N>> = (p.chunks(size))
        .map(|p| Task {
            runs,
            spread: constant.then_some(units),
            p,
            out: parts.each_mut().map(|parts| parts.next().expect("as many")),
        })
        .collect();
    let arch = Arch::new();
    if tasks.len() <= 1 {
        tasks.into_iter().for_each(|task| arch.dispatch(task));
    } else {
        tasks.into_par_iter().for_each(|task| arch.dispatch(task));
    }
    out
}

/// The arrays of some samples.
struct Task<'a, T, const N: usize> {
    runs: &'a [(Activation, usize)],
    /// The number of units if there is to be a 1 behind them.
    spread: Option<usize>,
    p: &'a [T],
    out: [&'a mut [T]; N],
}

impl<T: Real, const N: usize> WithSimd for Task<'_, T, N> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Task {
            runs,
            spread,
            p,
            mut out,
        } = self;
        let mut begin = 0;
        while begin < p.len() {
            for &(activation, count) in runs {
                let end = p.len().min(begin + count);
                let p = &p[begin..end];
                let out = out.each_mut().map(|x| &mut x[begin..end]);
                match activation {
                    Activation::Custom(custom) => fill(custom, p, out),
                    _ => activation.with_formula(Run { p, out }),
                }
                begin = end;
            }
        }
        if let (Some(units), Some(h)) = (spread, out.first_mut()) {
            // While they are near: from the last row to the first, the rows make room.
            for row in (0..p.len() / units).rev() {
                let to = row * (units + 1);
                h.copy_within(row * units..(row + 1) * units, to);
                h[to + units] = T::ONE;
            }
        }
    }
}

/// A formula or the user's code, in f64.
#[inline(never)]
fn fill<T: Real, const N: usize>(custom: Custom, p: &[T], out: [&mut [T]; N]) {
    let u: Vec<f64> = p.iter().map(|u| u.to_f64()).collect();
    let mut h = [(); N].map(|()| vec![0.0; p.len()]);
    let filled = custom.fill(&u, &mut h.each_mut().map(|h| &mut h[..]), &|a, p, out| {
        Arch::new().dispatch(Task {
            runs: &[(a, p.len())],
            spread: None,
            p,
            out,
        });
    });
    if let Err(error) = filled {
        guard::throw(error);
    }
    for (out, h) in out.into_iter().zip(&h) {
        for (out, h) in out.iter_mut().zip(h) {
            *out = T::from_f64(*h);
        }
    }
}

/// Neighbours that share an activation.
struct Run<'a, T, const N: usize> {
    p: &'a [T],
    out: [&'a mut [T]; N],
}

impl<T: Real, const N: usize> FormulaUse for Run<'_, T, N> {
    type Output = ();
    #[inline(always)]
    fn with(self, h: impl Fn(f64) -> [f64; 3]) {
        // As long as `p` in the compiler's eyes, too.
        let mut out = self.out.map(|x| &mut x[..self.p.len()]);
        for (i, u) in self.p.iter().enumerate() {
            for (x, h) in out.iter_mut().zip(h(u.to_f64())) {
                x[i] = T::from_f64(h);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bits_from_every_instruction_set() {
        fn bits<S: Simd>(simd: S, a: Activation, p: &[f64]) -> Vec<u64> {
            let mut out = [(); 3].map(|()| vec![0.0; p.len()]);
            simd.vectorize(Task {
                runs: &[(a, p.len())],
                spread: None,
                p,
                out: out.each_mut().map(|x| &mut x[..]),
            });
            out.concat().into_iter().map(f64::to_bits).collect()
        }
        let p: Vec<f64> = (0..100_003)
            .map(|i| (f64::from(i) - 50_000.0) / 50_000.0)
            .map(|x| 760.0 * x * x * x)
            .collect();
        for a in Activation::ALL {
            // NaN may have any sign, and these are NaN for negative numbers.
            let positive = a.derivatives(-1.0)[0].is_nan();
            let p = if positive { &p[50_001..] } else { &p };
            let scalar: [Vec<f64>; 3] =
                [0, 1, 2].map(|k| p.iter().map(|&u| a.derivatives(u)[k]).collect());
            let scalar: Vec<u64> = scalar.concat().into_iter().map(f64::to_bits).collect();
            assert!(bits(pulp::Scalar, a, p) == scalar, "{a}");
            #[cfg(target_arch = "x86_64")]
            if let Some(simd) = pulp::x86::V3::try_new() {
                assert!(bits(simd, a, p) == scalar, "{a} with AVX2");
            }
            #[cfg(target_arch = "x86_64")]
            if let Some(simd) = pulp::x86::V4::try_new() {
                assert!(bits(simd, a, p) == scalar, "{a} with AVX-512");
            }
        }
    }
}
