//! `Cpu<f32>` against `Cpu<f64>`, component by component, with the bound of `common/ratio.rs`.
//! Chunks, threads, and the memory that the plan predicts.

mod common;

use common::absolute::Absolute;
use common::ratio::{DOUBLE, SINGLE, cases, chain, dense, numbers, ratio, requests};
use rayon::prelude::*;
use secondo::backend::kernel::WeightedSum;
use secondo::backend::{Backend, Cpu, Layout, View};
use secondo::{
    Activation, Curvature, Data, Evaluation, Layer, Loss, Network, Problem, Request, Structure,
};

#[test]
fn f32_within_the_rounding_of_its_own_terms() {
    let cases = cases();
    let count = cases.len();
    assert!(count >= 220, "{count}");
    let ratios = cases
        .into_par_iter()
        .map(|(name, problem, w)| (ratio(&problem, &w, &Cpu::<f32>::new(), SINGLE, |_| {}), name));
    let worst = ratios.max_by(|(a, _), (b, _)| a.total_cmp(b)).unwrap();
    println!("largest ratio {:.3} of {count} at {}", worst.0, worst.1);
    assert!(worst.0 < 1.0, "ratio {} at {}", worst.0, worst.1);
    // It must not be so loose that nothing is measured.
    assert!(worst.0 > 1e-3, "ratio {} at {}", worst.0, worst.1);
}

/// For either float: a disturbance of some u K, and a backend that has fewer digits than it says.
#[test]
fn the_ratio_test_sees_a_disturbance() {
    fn sees<B: Backend>(backend: &B, u: f64) {
        let (problem, w) = dense(&[4, 9, 2], Activation::Tanh, 0, 40, 0.5);
        let ratio = |disturb: &dyn Fn(&mut Vec<f64>)| ratio(&problem, &w, backend, u, disturb);
        assert!(ratio(&|_| {}) < 1.0);
        // 3e-3 in f32.
        let little = 3e-3 / SINGLE * u;
        for at in [0, 3, 20, 60, 200] {
            // Products have fewer numbers.
            let r = ratio(&|v| v.iter_mut().skip(at).take(1).for_each(|v| *v *= 1.0 + little));
            assert!(r > 1.0, "number {at}: {r}");
        }
        // In a product alone.
        let products = 2 * problem.parameters();
        let r = ratio(&|v| {
            if v.len() == products {
                v[3] *= 1.0 + little;
            }
        });
        assert!(r > 1.0, "{r}");
        assert_eq!(ratio(&|v| v[5] = f64::NAN), f64::INFINITY);
    }
    sees(&Cpu::<f32>::new(), SINGLE);
    sees(&Cpu::<f64>::new(), DOUBLE);
    let (problem, w) = dense(&[4, 9, 2], Activation::Tanh, 0, 40, 0.5);
    assert!(ratio(&problem, &w, &Cpu::<f32>::new(), DOUBLE, |_| {}) > 1.0);
}

/// One weight 10⁸ times as large as the others, or as small.
#[test]
fn one_weight_dominates() {
    for h in [Activation::Tanh, Activation::Softplus, Activation::Identity] {
        for (at, factor) in [(0, 1e8), (7, 1e8), (38, 1e8), (0, 1e-8), (38, 1e-8)] {
            let (problem, mut w) = dense(&[4, 6, 2], h, 0, 50, 0.5);
            w[at] *= factor;
            let r = ratio(&problem, &w, &Cpu::<f32>::new(), SINGLE, |_| {});
            assert!(r < 1.0, "{h}, weight {at} times {factor:e}: {r}");
        }
    }
}

#[test]
fn the_error_does_not_grow_with_the_samples() {
    let at = |n: usize| {
        let (problem, w) = dense(&[8, 3, 1], Activation::Tanh, 0, n, 0.5);
        let request = Request::curvature(Curvature::Exact, Structure::RowBlocks);
        let run = |b: &dyn Fn() -> Evaluation| numbers(&b());
        let exact = run(&|| problem.evaluate_on(&Cpu::<f64>::new(), &w, request, 8192).unwrap());
        let single = run(&|| problem.evaluate_on(&Cpu::<f32>::new(), &w, request, 8192).unwrap());
        let scale = exact.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let error = exact.iter().zip(&single).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
        error / scale
    };
    let (few, many) = (at(3_000), at(300_000));
    assert!(many < 2.0 * few + 1e-9, "{few:.2e} at 3,000, {many:.2e} at 300,000 samples");
}

fn bits<B: Backend>(backend: &B, problem: &Problem, w: &[f64], chunk: usize) -> Vec<u64> {
    (requests(problem).into_iter())
        .flat_map(|r| numbers(&problem.evaluate_on(backend, w, r, chunk).unwrap()))
        .map(f64::to_bits)
        .collect()
}

#[test]
fn threads_change_no_bit() {
    for (widths, n) in [(vec![9, 8, 3], 3000), (vec![70, 40, 2], 700), (vec![3, 2, 2, 1], 20_000)] {
        let (problem, w) = dense(&widths, Activation::Logistic, 0, n, 0.5);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                (
                    bits(&Cpu::<f64>::new(), &problem, &w, 2048),
                    bits(&Cpu::<f32>::new(), &problem, &w, 2048),
                )
            })
        };
        let one = on(1);
        for threads in [2, 3, 5] {
            assert!(on(threads) == one, "{widths:?}, {threads} threads");
        }
    }
}

/// The chunk is chosen by the plan here: it must not depend on the threads either.
#[test]
fn threads_change_no_bit_of_a_planned_evaluation() {
    for (widths, n) in [(vec![60, 60, 1], 12_000), (vec![30, 150, 2], 6_000)] {
        let (problem, w) = dense(&widths, Activation::Tanh, 0, n, 0.1);
        let request = Request::curvature(Curvature::Exact, Structure::RowBlocks);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let at = pool.install(|| problem.evaluate(&w, request).unwrap());
            numbers(&at).into_iter().map(f64::to_bits).collect::<Vec<_>>()
        };
        let one = on(1);
        for threads in [2, 16, 64] {
            assert!(on(threads) == one, "{widths:?}, {threads} threads");
        }
    }
}

#[test]
fn a_chunk_of_nothing_is_refused() {
    let (problem, w) = dense(&[2, 3, 1], Activation::Tanh, 0, 9, 0.5);
    let none = problem.evaluate_on(&Cpu::<f64>::new(), &w, Request::default(), 0);
    assert!(matches!(none, Err(secondo::Error::Invalid { .. })), "{none:?}");
}

#[test]
fn chunks_change_nothing_beyond_rounding() {
    let (problem, w) = dense(&[9, 8, 3], Activation::Logistic, 0, 2600, 0.5);
    for request in requests(&problem) {
        let at =
            |chunk| numbers(&problem.evaluate_on(&Cpu::<f64>::new(), &w, request, chunk).unwrap());
        let (whole, bound) =
            (at(2600), numbers(&problem.evaluate_on(&Absolute, &w, request, 2600).unwrap()));
        for chunk in [1, 7, 511, 512, 513, 2599] {
            for ((x, y), a) in at(chunk).iter().zip(&whole).zip(&bound) {
                let allowed = 2.0 * chain(&problem) * f64::EPSILON * a.abs();
                assert!((x - y).abs() <= allowed, "chunk {chunk}: {x} and {y}");
            }
        }
    }
}

#[test]
fn a_request_that_cannot_fit_is_refused_with_the_numbers() {
    let (problem, w) = dense(&[60, 80, 3], Activation::Tanh, 0, 100, 0.5);
    let request = Request::curvature(Curvature::Exact, Structure::RowBlocks);
    let plan = problem.plan(request).unwrap();
    // The blocks alone: 80 of order 61, 3 of order 81, as triangles.
    assert!(plan.results >= 8 * (80 * 61 * 62 / 2 + 3 * 81 * 82 / 2));
    let tight = problem.clone().memory_budget(plan.results / 2);
    let error = tight.evaluate(&w, request).unwrap_err();
    let secondo::Error::Memory { need, budget, advice, .. } = &error else {
        panic!("{error}");
    };
    assert!(need > budget && advice.contains("diagonal"), "{error}");
    // The diagonal still fits, and a little less than everything takes smaller chunks.
    tight.evaluate(&w, Request::curvature(Curvature::Exact, Structure::Diagonal)).unwrap();
    let wide = dense(&[60, 80, 3], Activation::Tanh, 0, 5000, 0.5).0;
    let plan = wide.plan(request).unwrap();
    let less = wide.clone().memory_budget(plan.bytes() - plan.working / 2);
    let smaller = less.plan(request).unwrap();
    assert!(smaller.chunk < plan.chunk && smaller.bytes() <= plan.bytes() - plan.working / 2);
    less.evaluate(&w, request).unwrap();
}

#[test]
fn sizes_that_overflow_are_errors() {
    for widths in [vec![1 << 40, 1 << 40], vec![usize::MAX, 1], vec![1, usize::MAX, 1]] {
        let error = Network::dense(&widths, Activation::Tanh).unwrap_err();
        assert!(matches!(error, secondo::Error::TooLarge { .. }), "{error}");
    }
    // Parameters that can be addressed, but that no memory holds: nothing is allocated for them.
    let layers =
        vec![Layer::dense(1 << 30, Activation::Tanh), Layer::dense(1 << 20, Activation::Tanh)];
    for network in [Network::new(1, layers), Network::dense(&[1, 1 << 40, 1], Activation::Tanh)] {
        let error = network.unwrap_err();
        assert!(matches!(error, secondo::Error::Memory { .. }), "{error}");
    }
    // Parameters that fit, a block of them that does not.
    let inputs = 1 << 20;
    let network = Network::dense(&[inputs, 1], Activation::Tanh).unwrap();
    let data = Data::new(ndarray::Array2::zeros((1, inputs)), ndarray::array![[0.0]]).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    assert!(problem.plan(Request::gradient()).is_ok());
    let request = Request::curvature(Curvature::Exact, Structure::RowBlocks);
    let error = problem.plan(request).unwrap_err();
    assert!(
        matches!(error, secondo::Error::Memory { .. } | secondo::Error::TooLarge { .. }),
        "{error}"
    );
}

/// Σ_i δ[i, j] φ[i, a] where the result is cut into tiles: past a tile in both directions, past a block of samples, for some
/// units of a layer, at a place in the sums that has something before and behind it.
#[test]
fn sums_that_are_cut_into_tiles() {
    fn largest_error<B: Backend>(b: &B, disturb: bool) -> f64 {
        let (n, units, width, first, layer, at) = (1025, 130, 513, 2, 133, 7);
        let number = |k: usize| f64::from(((k * 7919) % 2003) as f32 / 1024.0 - 1.0);
        let delta: Vec<f64> = (0..n * layer).map(number).collect();
        let phi: Vec<f64> = (0..n * width).map(|k| number(k + 31)).collect();
        let (d, array) = (b.upload(&delta).unwrap(), b.upload(&phi).unwrap());
        let mut sum = b.sums(at + units * width + 3).unwrap();
        // Twice: it adds.
        for _ in 0..2 {
            let c = Layout::rows_of(n, layer).columns(first..first + units);
            let kernel = WeightedSum {
                c: View::new(&d, c),
                phi: View::new(&array, Layout::rows_of(n, width).repeated_rows(units)),
                sum: &mut sum,
                at,
            };
            b.run(kernel.into()).unwrap();
        }
        let mut found = b.read(sum).unwrap();
        if disturb {
            found.swap(at + 256, at + 257);
        }
        let inside = at..at + units * width;
        let mut worst: f64 = 0.0;
        for (k, found) in found.iter().enumerate() {
            let right: f64 = match inside.contains(&k) {
                false => 0.0,
                true => {
                    let (j, a) = ((k - at) / width, (k - at) % width);
                    (0..n).map(|i| 2.0 * delta[i * layer + first + j] * phi[i * width + a]).sum()
                }
            };
            worst = worst.max((found - right).abs());
        }
        worst
    }
    // At most 512 terms below 1 in one sum: 2 · 1025 · 512 u.
    let (single, double) = (Cpu::<f32>::new(), Cpu::<f64>::new());
    assert!(largest_error(&double, false) < 2.0 * 1025.0 * 512.0 * DOUBLE);
    assert!(largest_error(&single, false) < 2.0 * 1025.0 * 512.0 * SINGLE);
    assert!(largest_error(&double, true) > 1e-3);
}
