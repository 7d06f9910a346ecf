//! The rate of this machine's matrix products, beside which others are given, and how times are taken.

use std::time::Instant;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use secondo::backend::cpu::Real;
use secondo::{Curvature, Problem};

/// Seconds at the median of at least three runs, or as many as about so many seconds take.
pub fn seconds_within(about: f64, mut f: impl FnMut()) -> f64 {
    f();
    let (mut times, clock) = (Vec::new(), Instant::now());
    while times.len() < 3 || (times.len() < 101 && clock.elapsed().as_secs_f64() < about) {
        let start = Instant::now();
        f();
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Flops of so many products at a w whose states are kept: what a second product adds to the plan of the first, which counts the states.
pub fn flops_of_products(problem: &Problem, curvature: Curvature, count: usize) -> f64 {
    let flops = |count| problem.plan_products(curvature, count).map_or(f64::NAN, |plan| plan.flops);
    count as f64 * (flops(2) - flops(1))
}

/// Flops a second of the library's product of square matrices on all threads, at the best of three orders: 256, 512 and 1024. It
/// takes the widest instruction set that the machine has, whatever `SECONDO_SIMD` says.
pub fn product_rate<T: Real>() -> f64 {
    let rate = |order: usize| {
        let numbers =
            |salt| (0..order * order).map(|k| T::from_f64(super::number(k + salt))).collect();
        let (a, b): (Vec<T>, Vec<T>) = (numbers(1), numbers(2));
        let mut out = vec![T::ZERO; order * order];
        let time = seconds_within(0.3, || {
            let out = MatMut::from_row_major_slice_mut(&mut out, order, order);
            let [a, b] = [&a, &b].map(|m| MatRef::from_row_major_slice(m, order, order));
            matmul(out, Accum::Replace, a, b, T::ONE, Par::rayon(0));
        });
        2.0 * (order as f64).powi(3) / time
    };
    [256, 512, 1024].map(rate).into_iter().fold(0.0, f64::max)
}
