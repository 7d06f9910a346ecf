//! Ends of fits that mean the same in any units, and fits that say so where there is no minimum.

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::datasets;
use common::nets::Random;
use ndarray::{Array1, Array2};
use secondo::{
    Activation, ActivationFunction, Auto, BlockNewton, Control, Curvature, Data, Device, Error,
    Initialization, Interrupt, Lbfgs, LevenbergMarquardt, Loss, Method, Network, NewtonCg, Penalty,
    Preconditioning, Problem, Reason, Request, State, Structure, TrustRegion, silent,
};

fn methods() -> Vec<(&'static str, Box<dyn Method>)> {
    let rows = BlockNewton { max_iter: 20_000, ..BlockNewton::default() };
    let diagonal = NewtonCg { preconditioning: Preconditioning::Diagonal, ..NewtonCg::default() };
    let alone = NewtonCg { preconditioning: Preconditioning::None, ..NewtonCg::default() };
    let plain = Lbfgs { initial: Preconditioning::None, ..Lbfgs::default() };
    vec![
        ("auto", Box::new(Auto::default())),
        ("trust-region", Box::new(TrustRegion::default())),
        ("newton-cg", Box::new(NewtonCg::default())),
        ("newton-cg, diagonal", Box::new(diagonal)),
        ("newton-cg, none", Box::new(alone)),
        ("lbfgs", Box::new(Lbfgs::default())),
        ("lbfgs, plain", Box::new(plain)),
        ("newton-rows", Box::new(rows)),
    ]
}

/// A logistic regression, convex, and a network with a ridge: data with columns of any units.
fn problem(hidden: usize, factors: &[f64], ridge: f64) -> Problem {
    let mut random = Random::new(3);
    let x = random.matrix(80, factors.len(), 1.7);
    let noise = random.vector(80, 1.0);
    let y = Array2::from_shape_fn((80, 1), |(i, _)| {
        let p: f64 = (0..factors.len()).map(|a| x[(i, a)] * (a as f64 - 0.7)).sum();
        f64::from(u8::from(p + 1.5 * noise[i] > 0.2))
    });
    let x = x * Array1::from(factors.to_vec());
    let widths = [factors.len(), hidden, 1];
    let widths: Vec<usize> = widths.into_iter().filter(|w| *w > 0).collect();
    let network = Network::dense(&widths, Activation::Tanh).unwrap();
    let biases = network.is_bias();
    let rates = biases.iter().enumerate().map(|(l, bias)| {
        // A weight of a scaled input is as much smaller, and its ridge as much larger.
        let a = l % (factors.len() + 1);
        let first = l < hidden.max(1) * (factors.len() + 1);
        match (bias, first) {
            (true, _) => 0.0,
            (false, true) => ridge * factors[a].powi(2),
            (false, false) => ridge,
        }
    });
    let penalty = Penalty::RidgeVec { lambda: rates.collect() };
    let data = Data::new(x, y).unwrap();
    let problem = Problem::new(network, data, Loss::BinaryCrossEntropy).unwrap();
    problem.penalty(penalty).unwrap()
}

/// A column in other units changes neither the minimum nor, by more than a quarter, the number of steps.
#[test]
fn columns_in_any_units_lead_to_the_same_end() {
    for hidden in [0, 3] {
        let same = problem(hidden, &[1.0, 1.0, 1.0], 0.1);
        let start = Initialization::Glorot.draw(same.network(), 5);
        for (title, method) in methods() {
            // How exactly it solves follows the largest entry of the gradient, which has units: another of several minima may be nearer.
            if title == "newton-cg, none" && hidden > 0 {
                continue;
            }
            let mut right: Option<(f64, usize)> = None;
            for factors in [[1.0; 3], [1e8, 1.0, 1.0], [1.0, 1e-8, 1e4], [1e-6, 1e6, 1e-3]] {
                let problem = problem(hidden, &factors, 0.1);
                let mut start = start.clone();
                let rows = hidden.max(1);
                for row in start[..rows * 4].chunks_exact_mut(4) {
                    row.iter_mut().zip(factors).for_each(|(w, factor)| *w /= factor);
                }
                let fit = method.fit(&problem, &start, &mut silent).unwrap();
                // Blocks alone may reach what f64 resolves of E before the gradient is small.
                assert!(
                    fit.converged() || title == "newton-rows",
                    "{title}, {hidden}, {factors:?}: {fit}"
                );
                let (value, steps) = (fit.value, fit.iterations + fit.rejected);
                let (first, few) = *right.get_or_insert((value, steps));
                assert!((value / first - 1.0).abs() < 1e-12, "{title}, {factors:?}: {value}");
                let more = steps.abs_diff(few) as f64;
                assert!(
                    more <= (0.25 * few as f64).max(3.0),
                    "{title}, {hidden}, {factors:?}: {steps}, {few}"
                );
            }
        }
    }
}

/// Where gradients of few rows cost less than the pairs of L-BFGS, conjugate gradients begin; not with few parameters.
#[test]
fn few_rows_begin_with_products() {
    for (n, inputs, method) in [(72, 40, "Newton with"), (600, 40, "L-BFGS"), (72, 20, "L-BFGS")] {
        let mut random = Random::new(7);
        let (x, y) = (random.matrix(n, inputs, 1.0), random.matrix(n, 1, 1.0));
        let network = Network::dense(&[inputs, 16, 1], Activation::Tanh).unwrap();
        let start = Initialization::Glorot.draw(&network, 1);
        let problem = Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap();
        let problem = problem.penalty(Penalty::ridge(1.0)).unwrap();
        let fit = Auto::default().fit(&problem, &start, &mut silent).unwrap();
        let choice = fit.choice.clone().unwrap_or_default();
        assert!(choice.starts_with(method) && fit.converged(), "{n} × {inputs}: {fit}");
    }
}

/// The objective in any units, and targets of a squared error: the same end.
#[test]
fn an_objective_in_any_units_has_the_same_end() {
    let of = |factor: f64| {
        let plain = problem(3, &[1.0; 3], 0.1);
        let weights = vec![factor; plain.data().unwrap().len()];
        let data = plain.data().unwrap().clone().weighted(weights).unwrap();
        let biases = plain.network().is_bias();
        let rates = biases.iter().map(|bias| if *bias { 0.0 } else { 0.1 * factor });
        let penalty = Penalty::RidgeVec { lambda: rates.collect() };
        let problem = Problem::new(plain.network().clone(), data, Loss::BinaryCrossEntropy);
        problem.unwrap().penalty(penalty).unwrap()
    };
    let start = Initialization::Glorot.draw(of(1.0).network(), 5);
    for (title, method) in methods() {
        let one = method.fit(&of(1.0), &start, &mut silent).unwrap();
        for factor in [1e-8, 1e-3, 1e8] {
            let fit = method.fit(&of(factor), &start, &mut silent).unwrap();
            assert!(fit.converged(), "{title}, {factor:e}: {fit}");
            assert!((fit.value / factor / one.value - 1.0).abs() < 1e-12, "{title}: {fit}");
            let (steps, few) = (fit.iterations + fit.rejected, one.iterations + one.rejected);
            let more = steps.abs_diff(few) as f64;
            assert!(more <= (0.25 * few as f64).max(3.0), "{title}, {factor:e}: {steps}, {few}");
        }
    }
}

/// Whoever says "converged" is at a minimum: the exact Hessian's own decrement, by another way than the certificate's, is nothing beside
/// the objective.
#[test]
fn whatever_converged_is_at_a_minimum() {
    let mut converged = 0;
    for seed in 0..40u64 {
        let mut random = Random::new(100 + seed);
        let inputs = 1 + (seed % 3) as usize;
        let n = 12 + 5 * (seed % 7) as usize;
        let mut x = random.matrix(n, inputs, 1.0);
        let scales: Vec<f64> =
            (0..inputs).map(|a| 10f64.powi((seed as i32 * (a as i32 + 3)) % 9 - 4)).collect();
        x = x * Array1::from(scales);
        let noise = random.vector(n, 1.0);
        let loss = [Loss::SquaredError, Loss::BinaryCrossEntropy, Loss::Poisson]
            [(seed % 3) as usize]
            .clone();
        let y = Array2::from_shape_fn((n, 1), |(i, _)| match seed % 3 {
            0 => 1e3 * noise[i],
            1 => f64::from(u8::from(noise[i] > 0.0)),
            _ => (2.0 + 2.0 * noise[i]).floor(),
        });
        let network = Network::dense(&[inputs, 2, 1], Activation::Tanh).unwrap();
        let start = Initialization::Glorot.draw(&network, seed);
        let problem = Problem::new(network, Data::new(x, y).unwrap(), loss).unwrap();
        let rate = if seed % 2 == 0 { 1e-2 } else { 0.0 };
        let problem = problem.penalty(Penalty::Ridge { lambda: rate, include_bias: true }).unwrap();
        for (title, method) in methods() {
            let fit = method.fit(&problem, &start, &mut silent).unwrap();
            if !fit.converged() {
                continue;
            }
            converged += 1;
            let request = Request::curvature(Curvature::Exact, Structure::Full);
            let at = problem.evaluate(&fit.w, request).unwrap();
            let hessian = at.curvature.unwrap().dense().unwrap();
            let gain = decrement(&hessian, &at.gradient).abs();
            assert!(
                gain <= 1e-11 * fit.value.abs().max(1e-20),
                "{title}, seed {seed}: {gain:e} of {fit}"
            );
            let lower: Vec<f64> = (0..hessian.nrows())
                .flat_map(|a| (0..=a).map(move |b| (a, b)))
                .map(|(a, b)| hessian[(a, b)])
                .collect();
            let values = secondo::solve::eigenvalues(&lower, hessian.nrows()).unwrap();
            let (lowest, highest) = (values[0], values[values.len() - 1]);
            assert!(lowest >= -1e-9 * highest, "{title}, seed {seed}: a saddle, {fit}");
        }
    }
    assert!(converged > 100, "{converged}");
}

/// ½ gᵀ(H + τD)⁻¹g by plain elimination, D the diagonal and τ = 10⁻⁸, which leaves out what no f64 determines.
fn decrement(hessian: &Array2<f64>, gradient: &[f64]) -> f64 {
    let d = gradient.len();
    let mut rows: Vec<Vec<f64>> = (0..d)
        .map(|a| {
            let mut row = hessian.row(a).to_vec();
            row[a] += 1e-8 * row[a].abs() + f64::MIN_POSITIVE;
            row.push(gradient[a]);
            row
        })
        .collect();
    for k in 0..d {
        let pivot = (k..d).max_by(|a, b| rows[*a][k].abs().total_cmp(&rows[*b][k].abs())).unwrap();
        rows.swap(k, pivot);
        for below in k + 1..d {
            let factor = rows[below][k] / rows[k][k];
            let upper = rows[k].clone();
            rows[below].iter_mut().zip(upper).for_each(|(v, u)| *v -= factor * u);
        }
    }
    let mut solution = vec![0.0; d];
    for k in (0..d).rev() {
        let known: f64 = (k + 1..d).map(|a| rows[k][a] * solution[a]).sum();
        solution[k] = (rows[k][d] - known) / rows[k][k];
    }
    0.5 * solution.iter().zip(gradient).map(|(p, g)| p * g).sum::<f64>()
}

/// Classes that a plane separates, with a column equal to the constant: no method says that it converged, most say why, and equal columns get equal
/// weights.
#[test]
fn separated_classes_have_no_minimum() {
    let x = ndarray::array![[-2.0, 1.0], [-1.0, 1.0], [1.0, 1.0], [2.0, 1.0]];
    let y = ndarray::array![[0.0], [0.0], [1.0], [1.0]];
    let network = Network::dense(&[2, 1], Activation::Tanh).unwrap();
    let data = Data::new(x, y).unwrap();
    let problem = Problem::new(network, data, Loss::BinaryCrossEntropy).unwrap();
    for (title, method) in methods() {
        let fit = method.fit(&problem, &[0.0; 3], &mut silent).unwrap();
        assert!(!fit.converged() && fit.value < 1e-6, "{title}: {fit}");
        let off = (fit.w[1] - fit.w[2]).abs();
        assert!(off <= 1e-6 * fit.w[0].abs(), "{title}: {:?}", fit.w);
        if ["auto", "trust-region", "newton-cg", "newton-rows"].contains(&title) {
            assert_eq!(fit.reason, Reason::Unbounded, "{title}: {fit}");
        }
    }
}

/// a + b exp(c x) from where exp(10) makes the first gradient large: the way leads down a valley without an end.
#[test]
fn a_bad_start_does_not_make_a_good_end() {
    let x = Array2::from_shape_fn((30, 1), |(i, _)| i as f64 / 2.9);
    let y = x.mapv(|x: f64| {
        0.4 + 2.1 * (-0.8 * x).exp() + if (x * 2.9) as usize % 11 == 5 { 1.5 } else { 0.0 }
    });
    let layers = vec![
        secondo::Layer::dense(1, Activation::Exp).without_bias(),
        secondo::Layer::dense(1, Activation::Identity),
    ];
    let network = Network::new(1, layers).unwrap();
    let problem = Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap();
    let lowest = TrustRegion::default().fit(&problem, &[-0.8, 2.1, 0.4], &mut silent).unwrap();
    assert!(lowest.converged(), "{lowest}");
    let lm = LevenbergMarquardt::default();
    for (title, method) in methods().into_iter().chain([("lm", Box::new(lm) as Box<dyn Method>)]) {
        let fit = method.fit(&problem, &[1.0, 1.0, 1.0], &mut silent).unwrap();
        let there = fit.value <= lowest.value * (1.0 + 1e-9);
        assert!(there || !fit.converged(), "{title}: {fit}");
    }
}

/// A fit that is stopped after every step and resumed ends with the same bits, what L-BFGS remembers included.
#[test]
fn lbfgs_is_resumed_to_the_same_bits() {
    let problem = datasets::problem("iris", 5);
    let start = datasets::start(&problem, 2);
    is_resumed_to_the_same_bits(&problem, &start, 140);
    // Ended before the exact Hessian takes the place of the shared blocks.
    let start = Initialization::Glorot.draw(wide(1.0).network(), 3);
    for device in [Device::Cpu, Device::CpuF32] {
        is_resumed_to_the_same_bits(&wide(1.0).on(device), &start, 40);
    }
}

fn is_resumed_to_the_same_bits(problem: &Problem, start: &[f64], max_iter: usize) {
    let method = Lbfgs { pairs: 5, max_iter, ..Lbfgs::default() };
    let whole = method.fit(problem, start, &mut silent).unwrap();
    let mut state: Option<State> = None;
    let mut last = None;
    for _ in 0..150 {
        let mut steps = 0;
        let watch = &mut |progress: &secondo::Progress| {
            state = Some(progress.state.clone());
            steps += 1;
            if steps > 1 { Control::Stop } else { Control::Continue }
        };
        let fit = match last.take() {
            None => method.fit(problem, start, watch),
            Some(state) => method.resume(problem, state, watch),
        };
        let fit = fit.unwrap();
        last = state.take().or(None);
        if fit.reason != Reason::Interrupted {
            assert_eq!(fit.w, whole.w);
            assert_eq!(fit.value.to_bits(), whole.value.to_bits());
            // Long enough for an initial matrix.
            assert!(last.is_some_and(|state| !state.base.is_empty()));
            return;
        }
    }
    panic!("it does not end");
}

/// Rows of many inputs, where the blocks of units would cost too much: with one block for all of a layer the fit is the same in any units, and
/// equal columns get equal weights.
#[test]
fn units_that_share_blocks_are_fitted_in_any_units() {
    let (mut steps, mut value) = (0, 0.0);
    for scale in [1.0, 1e6, 1e-6] {
        let problem = wide(scale);
        let mut start = Initialization::Glorot.draw(problem.network(), 3);
        (0..6).for_each(|unit| start[401 * unit + 7] /= scale);
        let fit = Lbfgs::default().fit(&problem, &start, &mut silent).unwrap();
        let method = &fit.method;
        assert!(method.contains("shared row-blocks"), "{method}");
        assert!(fit.converged() && fit.evaluations.curvature > 0, "{scale}: {fit}");
        let alone = Lbfgs { initial: Preconditioning::Diagonal, ..Lbfgs::default() };
        let alone = alone.fit(&problem, &start, &mut silent).unwrap();
        let (gradients, others) = (fit.evaluations.gradient, alone.evaluations.gradient);
        assert!(gradients < others, "{scale}: {gradients} gradients, {others} with the diagonal");
        for unit in fit.w[..6 * 401].chunks(401) {
            assert!((unit[11] - unit[12]).abs() <= 1e-6 * unit[11].abs(), "{scale}: {fit}");
        }
        if scale == 1.0 {
            (steps, value) = (fit.iterations, fit.value);
        }
        assert!((fit.value / value - 1.0).abs() < 1e-9, "{scale}: {} beside {value}", fit.value);
        let differ = fit.iterations.abs_diff(steps);
        assert!(differ <= steps / 4, "{scale}: {differ} steps beside {steps}");
    }
}

/// 300 rows of 400 inputs that depend on each other, one of them in units of `scale`, and two equal ones.
fn wide(scale: f64) -> Problem {
    let mut random = Random::new(21);
    let (hidden, mixing) = (random.matrix(300, 12, 1.0), random.matrix(12, 400, 1.0));
    let mut x = hidden.dot(&mixing) + 0.1 * random.matrix(300, 400, 1.0);
    x.column_mut(7).mapv_inplace(|v| scale * v);
    let copy = x.column(11).to_owned();
    x.column_mut(12).assign(&copy);
    let y = Array2::from_shape_fn((300, 1), |(i, _)| f64::from(u8::from(hidden[(i, 0)] > 0.1)));
    let network = Network::dense(&[400, 6, 1], Activation::Tanh).unwrap();
    let data = Data::new(x, y).unwrap();
    let problem = Problem::new(network, data, Loss::BinaryCrossEntropy).unwrap();
    let mut lambda = vec![1e-2; 6 * 401 + 7];
    (0..6).for_each(|unit| lambda[401 * unit + 7] *= scale * scale);
    problem.penalty(Penalty::RidgeVec { lambda }).unwrap()
}

/// The default takes L-BFGS where parameters are many, says so, and ends at a certified minimum.
#[test]
fn many_parameters_are_fitted_by_gradients_first() {
    let problem = datasets::problem("digits", 8)
        .penalty(Penalty::Ridge { lambda: 0.1, include_bias: true })
        .unwrap();
    let start = datasets::start(&problem, 1);
    let fit = Auto::default().fit(&problem, &start, &mut silent).unwrap();
    assert!(fit.converged() && fit.certificate.unwrap().holds(), "{fit}");
    assert!(fit.choice.as_ref().is_some_and(|why| why.starts_with("L-BFGS")), "{fit}");
    assert!(fit.stages[0].evaluations.gradient > 10 * fit.stages[0].evaluations.curvature, "{fit}");
}

/// tanh that sets a flag at one of its evaluations.
struct Setting;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static AT: AtomicUsize = AtomicUsize::new(0);
static FLAG: Mutex<Option<Interrupt>> = Mutex::new(None);

impl ActivationFunction for Setting {
    fn name(&self) -> &str {
        "setting"
    }
    fn derivatives(&self, u: f64) -> [f64; 3] {
        if CALLS.fetch_add(1, Ordering::Relaxed) + 1 == AT.load(Ordering::Relaxed) {
            FLAG.lock().unwrap().iter().for_each(Interrupt::set);
        }
        let h = u.tanh();
        let slope = u.cosh().powi(-2);
        [h, slope, -2.0 * h * slope]
    }
}

/// A flag that is set within an evaluation ends each method there, at its best point; one that is set before, with an error.
#[test]
fn a_flag_ends_a_fit_inside_its_step() {
    let (n, units) = (30_000, 3);
    let mut random = Random::new(8);
    let x = random.matrix(n, 4, 1.0);
    let noise = random.vector(n, 1.0);
    let of = |i: usize| x[(i, 0)] * x[(i, 1)] + x[(i, 2)] + 0.3 * noise[i];
    let classes = Array2::from_shape_fn((n, 1), |(i, _)| f64::from(u8::from(of(i) > 0.0)));
    let numbers = Array2::from_shape_fn((n, 1), |(i, _)| of(i));
    let activation = Activation::register(Setting).unwrap();
    let network = Network::dense(&[4, units, 1], activation).unwrap();
    let start = Initialization::Glorot.draw(&network, 1);
    let problem = |y: &Array2<f64>, loss| {
        let data = Data::new(x.clone(), y.clone()).unwrap();
        Problem::new(network.clone(), data, loss).unwrap()
    };
    let (binary, squares) =
        (problem(&classes, Loss::BinaryCrossEntropy), problem(&numbers, Loss::SquaredError));
    let mut cases: Vec<_> = methods().into_iter().map(|(name, m)| (name, m, &binary)).collect();
    cases.push(("lm", Box::new(LevenbergMarquardt::default()), &squares));
    for (name, method, problem) in cases {
        let flag = Interrupt::default();
        let problem = problem.clone().interrupted_by(flag.clone());
        *FLAG.lock().unwrap() = Some(flag.clone());
        CALLS.store(0, Ordering::Relaxed);
        // In the midst of the third point.
        AT.store(5 * n * units / 2, Ordering::Relaxed);
        let fit = method.fit(&problem, &start, &mut silent).unwrap();
        let after = CALLS.load(Ordering::Relaxed) - AT.load(Ordering::Relaxed);
        assert_eq!(fit.reason, Reason::Interrupted, "{name}: {fit}");
        let value = problem.objective(&fit.w).unwrap();
        assert!((value - fit.value).abs() <= 1e-12 * value, "{name}");
        assert!(value <= problem.objective(&start).unwrap(), "{name}");
        assert!(after < n * units / 4, "{name}: {after} evaluations after the flag");
        assert_eq!(method.fit(&problem, &start, &mut silent), Err(Error::Interrupted), "{name}");
    }
    *FLAG.lock().unwrap() = None;
}
