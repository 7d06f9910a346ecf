//! `Cpu<f32>` against `Cpu<f64>`, component by component: |error| ≤ u K A with A the same expression over absolute values.
//! Chunks, threads, and the memory that the plan predicts.

mod common;

use common::absolute::Absolute;
use common::nets::{Random, everywhere, losses, random_problem, targets};
use secondo::backend::{Backend, Cpu};
use secondo::{
    Activation, Curvature, Data, Evaluation, Layer, Loss, Matrix, Network, Problem, Request,
    Structure,
};

const U: f64 = f32::EPSILON as f64 / 2.0;

/// The longest chain of roundings: each layer's sums and activations forth and back, and a block of samples.
fn chain(problem: &Problem) -> f64 {
    let layers: usize = problem
        .network()
        .layers()
        .iter()
        .map(|l| 2 * (l.width() + 8))
        .sum();
    (layers + problem.data().len().min(512)) as f64
}

fn numbers(at: &Evaluation) -> Vec<f64> {
    let mut all = vec![at.value];
    all.extend(&at.gradient);
    for e in &at.multipliers {
        all.extend(e);
    }
    match &at.curvature {
        Some(Matrix::RowBlocks(b)) => b.iter().for_each(|b| all.extend(b.packed())),
        Some(Matrix::Diagonal(d)) => all.extend(d),
        _ => {}
    }
    all
}

fn requests() -> Vec<Request> {
    (Curvature::ALL.into_iter())
        .flat_map(|c| [(c, Structure::RowBlocks), (c, Structure::Diagonal)])
        .map(|(c, s)| Request {
            multipliers: true,
            ..Request::curvature(c, s)
        })
        .collect()
}

/// The largest |f32 − f64|/(u K A) of all numbers of all requests; `disturb` changes the f32 side.
fn ratio(problem: &Problem, w: &[f64], disturb: impl Fn(&mut Vec<f64>)) -> f64 {
    // The same inputs for both: what f32 can hold.
    let w: Vec<f64> = w.iter().map(|&v| f64::from(v as f32)).collect();
    let k = chain(problem);
    let mut worst: f64 = 0.0;
    for request in requests() {
        let chunk = 512;
        let exact = problem
            .evaluate_on(&Cpu::<f64>::new(), &w, request, chunk)
            .unwrap();
        let bound = problem.evaluate_on(&Absolute, &w, request, chunk).unwrap();
        let single = problem
            .evaluate_on(&Cpu::<f32>::new(), &w, request, chunk)
            .unwrap();
        let mut single = numbers(&single);
        disturb(&mut single);
        for ((s, e), a) in single.iter().zip(numbers(&exact)).zip(numbers(&bound)) {
            let r = (s - e).abs() / (U * k * a.abs());
            // NaN (0/0 included) counts as no error only where both are equal.
            if s != &e {
                worst = if r.is_nan() {
                    f64::INFINITY
                } else {
                    worst.max(r)
                };
            }
        }
    }
    worst
}

/// Data that f32 holds exactly, so that only the computation differs.
fn round(data: Data) -> Data {
    let single = |v: &f64| f64::from(*v as f32);
    let weights = data.weights().iter().map(single).collect();
    Data::new(data.x().map(single), data.y().map(single))
        .unwrap()
        .weighted(weights)
        .unwrap()
}

fn dense(
    widths: &[usize],
    h: Activation,
    loss: usize,
    n: usize,
    scale: f64,
) -> (Problem, Vec<f64>) {
    let network = Network::dense(widths, h).unwrap();
    let mut random = Random::new(widths.iter().sum::<usize>() as u64 + n as u64);
    let outputs = network.outputs();
    let loss = losses(outputs)[loss].clone();
    let x = random.matrix(n, network.inputs(), 1.0);
    let y = targets(&mut random, &loss, n, outputs).map(|v| f64::from(*v as f32));
    // Softmax targets must still sum to 1 after rounding.
    let y = match loss {
        Loss::SoftmaxCrossEntropy => y
            .map(|_| 1.0 / outputs as f64)
            .map(|v| (v * 1024.0).round() / 1024.0),
        _ => y,
    };
    let y = match loss {
        Loss::SoftmaxCrossEntropy if outputs.is_power_of_two() => y,
        Loss::SoftmaxCrossEntropy => {
            let mut y = y;
            y.fill(0.0);
            (0..n).for_each(|i| y[(i, i % outputs)] = 1.0);
            y
        }
        _ => y,
    };
    let w = random.vector(network.parameters(), scale);
    let data = round(Data::new(x, y).unwrap());
    (Problem::new(network, data, loss).unwrap(), w)
}

fn cases() -> Vec<(String, Problem, Vec<f64>)> {
    let mut cases = Vec::new();
    for (widths, n) in [
        (vec![1, 1, 1], 1),
        (vec![2, 7, 2], 511),
        (vec![8, 9, 1], 512),
        (vec![9, 8, 3], 513),
        (vec![5, 63, 2], 127),
        (vec![5, 64, 64, 1], 129),
        (vec![3, 65, 2, 4], 65),
        (vec![3, 200, 2], 33),
        (vec![4, 6, 5, 4, 2], 1025),
    ] {
        for loss in 0..7 {
            let outputs = widths[widths.len() - 1];
            if loss == 3 && outputs == 1 {
                continue;
            }
            for scale in [0.5, 3.0] {
                // Poisson overflows, as it should, when predictors reach the hundreds.
                let scale = if loss == 4 {
                    0.2
                } else {
                    scale / (widths[1] as f64).sqrt()
                };
                let (p, w) = dense(&widths, Activation::Tanh, loss, n, scale);
                cases.push((
                    format!("{widths:?} n {n} loss {loss} scale {scale:.2}"),
                    p,
                    w,
                ));
            }
        }
    }
    for h in everywhere() {
        for scale in [0.5, 4.0, 40.0] {
            // Exponentials of exponentials leave the range of f32.
            if scale > 4.0
                && [
                    Activation::Exp,
                    Activation::ExpNegHalf,
                    Activation::OneMinusExpNeg,
                ]
                .contains(&h)
            {
                continue;
            }
            let (p, w) = dense(&[3, 6, 2], h, 0, 40, scale);
            cases.push((format!("{h} scale {scale}"), p, w));
        }
    }
    for seed in 0..60 {
        let (p, w) = random_problem(seed, false);
        let data = round(p.data().clone());
        if p.loss() == &Loss::SoftmaxCrossEntropy {
            continue; // rounded class probabilities do not sum to 1
        }
        let p = Problem::new(p.network().clone(), data, p.loss().clone()).unwrap();
        cases.push((format!("seed {seed} {}", p.network()), p, w));
    }
    cases
}

#[test]
fn f32_within_the_rounding_of_its_own_terms() {
    let mut worst: (f64, String) = (0.0, String::new());
    let cases = cases();
    assert!(cases.len() >= 200, "{}", cases.len());
    for (name, problem, w) in cases {
        let r = ratio(&problem, &w, |_| {});
        if r > worst.0 {
            worst = (r, name);
        }
    }
    println!("largest ratio {:.3} at {}", worst.0, worst.1);
    assert!(worst.0 < 1.0, "ratio {} at {}", worst.0, worst.1);
    // It must not be so loose that nothing is measured.
    assert!(worst.0 > 1e-3, "ratio {} at {}", worst.0, worst.1);
}

#[test]
fn the_ratio_test_sees_a_disturbance() {
    let (problem, w) = dense(&[4, 9, 2], Activation::Tanh, 0, 40, 0.5);
    assert!(ratio(&problem, &w, |_| {}) < 1.0);
    for at in [0, 3, 20, 60, 200] {
        let r = ratio(&problem, &w, |v| v[at] *= 1.0 + 3e-3);
        assert!(r > 1.0, "number {at}: {r}");
    }
    assert_eq!(ratio(&problem, &w, |v| v[5] = f64::NAN), f64::INFINITY);
}

#[test]
fn the_error_does_not_grow_with_the_samples() {
    let at = |n: usize| {
        let (problem, w) = dense(&[8, 3, 1], Activation::Tanh, 0, n, 0.5);
        let request = Request::curvature(Curvature::Exact, Structure::RowBlocks);
        let run = |b: &dyn Fn() -> Evaluation| numbers(&b());
        let exact = run(&|| {
            problem
                .evaluate_on(&Cpu::<f64>::new(), &w, request, 8192)
                .unwrap()
        });
        let single = run(&|| {
            problem
                .evaluate_on(&Cpu::<f32>::new(), &w, request, 8192)
                .unwrap()
        });
        let scale = exact.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let error = exact
            .iter()
            .zip(&single)
            .fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
        error / scale
    };
    let (few, many) = (at(3_000), at(300_000));
    assert!(
        many < 2.0 * few + 1e-9,
        "{few:.2e} at 3,000, {many:.2e} at 300,000 samples"
    );
}

fn bits<B: Backend>(backend: &B, problem: &Problem, w: &[f64], chunk: usize) -> Vec<u64> {
    (requests().into_iter())
        .flat_map(|r| numbers(&problem.evaluate_on(backend, w, r, chunk).unwrap()))
        .map(f64::to_bits)
        .collect()
}

#[test]
fn threads_change_no_bit() {
    for (widths, n) in [
        (vec![9, 8, 3], 3000),
        (vec![70, 40, 2], 700),
        (vec![3, 2, 2, 1], 20_000),
    ] {
        let (problem, w) = dense(&widths, Activation::Logistic, 0, n, 0.5);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
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
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let at = pool.install(|| problem.evaluate(&w, request).unwrap());
            numbers(&at)
                .into_iter()
                .map(f64::to_bits)
                .collect::<Vec<_>>()
        };
        let one = on(1);
        for threads in [2, 16, 64] {
            assert!(on(threads) == one, "{widths:?}, {threads} threads");
        }
    }
}

#[test]
fn a_chunk_of_nothing_and_a_backend_that_counts_are_refused() {
    let (problem, w) = dense(&[2, 3, 1], Activation::Tanh, 0, 9, 0.5);
    let none = problem.evaluate_on(&Cpu::<f64>::new(), &w, Request::default(), 0);
    assert!(
        matches!(none, Err(secondo::Error::Invalid { .. })),
        "{none:?}"
    );
    let meter = secondo::backend::Meter::new(8, 1);
    let counted = problem.evaluate_on(&meter, &w, Request::gradient(), 4);
    assert!(
        matches!(counted, Err(secondo::Error::NonFinite { .. })),
        "{counted:?}"
    );
}

#[test]
fn chunks_change_nothing_beyond_rounding() {
    let (problem, w) = dense(&[9, 8, 3], Activation::Logistic, 0, 2600, 0.5);
    for request in requests() {
        let at = |chunk| {
            numbers(
                &problem
                    .evaluate_on(&Cpu::<f64>::new(), &w, request, chunk)
                    .unwrap(),
            )
        };
        let (whole, bound) = (
            at(2600),
            numbers(&problem.evaluate_on(&Absolute, &w, request, 2600).unwrap()),
        );
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
    let secondo::Error::Memory {
        need,
        budget,
        advice,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert!(need > budget && advice.contains("diagonal"), "{error}");
    // The diagonal still fits, and a little less than everything takes smaller chunks.
    tight
        .evaluate(
            &w,
            Request::curvature(Curvature::Exact, Structure::Diagonal),
        )
        .unwrap();
    let wide = dense(&[60, 80, 3], Activation::Tanh, 0, 5000, 0.5).0;
    let plan = wide.plan(request).unwrap();
    let less = wide.clone().memory_budget(plan.bytes() - plan.working / 2);
    let smaller = less.plan(request).unwrap();
    assert!(smaller.chunk < plan.chunk && smaller.bytes() <= plan.bytes() - plan.working / 2);
    less.evaluate(&w, request).unwrap();
}

#[test]
fn sizes_that_overflow_are_errors() {
    for widths in [
        vec![1 << 40, 1 << 40],
        vec![usize::MAX, 1],
        vec![1, usize::MAX, 1],
    ] {
        let error = Network::dense(&widths, Activation::Tanh).unwrap_err();
        assert!(matches!(error, secondo::Error::TooLarge { .. }), "{error}");
    }
    // Parameters that can be addressed, blocks that cannot: nothing is allocated for either.
    let layers = vec![
        Layer::dense(1 << 30, Activation::Tanh),
        Layer::dense(1 << 20, Activation::Tanh),
    ];
    let network = Network::new(1, layers).unwrap();
    assert!(network.parameters() > 1 << 50);
    let network = Network::dense(&[1, 1 << 40, 1], Activation::Tanh).unwrap();
    let data = Data::new(ndarray::array![[0.0]], ndarray::array![[0.0]]).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    for request in [
        Request::gradient(),
        Request::curvature(Curvature::Exact, Structure::RowBlocks),
    ] {
        let error = problem.plan(request).unwrap_err();
        assert!(
            matches!(
                error,
                secondo::Error::Memory { .. } | secondo::Error::TooLarge { .. }
            ),
            "{error}"
        );
    }
}
