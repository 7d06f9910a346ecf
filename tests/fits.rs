//! Row-block Newton on real data: the objective never rises, every end has its reason.

mod common;

use std::time::Duration;

use common::datasets;
use ndarray::array;
use rayon::prelude::*;
use secondo::solve::Indefinite;
use secondo::{
    Activation, BlockNewton, Control, Curvature, Data, Error, Initialization, Layer, Loss, Method,
    Network, Problem, Reason, silent,
};

const SETS: [(&str, usize); 4] =
    [("diabetes", 8), ("breast_cancer", 5), ("iris", 5), ("digits", 16)];

/// Fits and checks what every fit promises; returns the last objective.
fn fit(problem: &Problem, start: &[f64], method: &BlockNewton) -> f64 {
    let mut values = Vec::new();
    let report = method
        .fit(problem, start, &mut |p| {
            values.push(p.value);
            Control::Continue
        })
        .unwrap();
    assert!(values.windows(2).all(|v| v[1] < v[0]), "the objective rose: {values:?}");
    assert_eq!(values.len(), report.iterations + 1);
    assert_eq!((values[0], *values.last().unwrap()), (report.initial_value, report.value));
    // The report's point is the one with the report's value.
    assert_eq!(problem.objective(&report.w).unwrap(), report.value);
    let gradient = problem.gradient(&report.w).unwrap();
    let largest = gradient.iter().fold(0.0f64, |m, g| m.max(g.abs()));
    assert!((largest - report.gradient_norm).abs() <= 1e-9 * (1.0 + largest));
    match report.reason {
        Reason::Iterations => assert_eq!(report.iterations, method.max_iter),
        Reason::Gradient => assert!(report.gradient_norm <= report.gradient_goal),
        // The blocks promise no more than rounding, and neither does the whole Hessian.
        Reason::Function => assert!(report.certificate.is_some_and(|found| found.holds())),
        Reason::Stalled => {}
        other => panic!("{other}"),
    }
    report.value
}

#[test]
fn the_objective_never_rises_on_any_data_with_any_curvature() {
    for (name, hidden) in SETS {
        let problem = datasets::problem(name, hidden);
        let fits: Vec<_> =
            Curvature::ALL.into_iter().flat_map(|c| (0..5).map(move |seed| (c, seed))).collect();
        fits.into_par_iter().for_each(|(curvature, seed)| {
            let method = BlockNewton {
                curvature,
                max_iter: if name == "digits" { 50 } else { 200 },
                ..BlockNewton::default()
            };
            let start = datasets::start(&problem, seed);
            let end = fit(&problem, &start, &method);
            let initial = problem.objective(&start).unwrap();
            assert!(end < 0.9 * initial, "{name}, {}: {initial} to {end}", curvature.name());
        });
    }
}

#[test]
fn every_policy_descends() {
    let problem = datasets::problem("breast_cancer", 5);
    for indefinite in Indefinite::ALL {
        for curvature in [Curvature::Exact, Curvature::Lagrangian] {
            let method =
                BlockNewton { curvature, indefinite, max_iter: 60, ..BlockNewton::default() };
            let end = fit(&problem, &datasets::start(&problem, 3), &method);
            assert!(end < 60.0, "{indefinite}, {}: {end}", curvature.name());
        }
    }
}

fn line() -> Problem {
    let data = Data::new(array![[1.0], [2.0], [4.0]], array![[1.0], [2.5], [3.5]]).unwrap();
    Problem::new(Network::dense(&[1, 1], Activation::Tanh).unwrap(), data, Loss::SquaredError)
        .unwrap()
}

/// A linear unit has the whole Hessian as its block: least squares in a few steps.
#[test]
fn a_linear_unit_is_least_squares() {
    let method = BlockNewton { gtol: 1e-10, ..BlockNewton::default() };
    let report = method.fit(&line(), &[0.0, 0.0], &mut silent).unwrap();
    assert_eq!(report.reason, Reason::Gradient);
    // x̄ = 7/3, ȳ = 7/3: slope Σ(x−x̄)(y−ȳ)/Σ(x−x̄)² = 11/14, through the means.
    assert!((report.w[0] - 11.0 / 14.0).abs() < 1e-8, "{:?}", report.w);
    assert!((report.w[1] - 0.5).abs() < 1e-8, "{:?}", report.w);
    assert!(report.iterations < 30, "{}", report.iterations);
}

#[test]
fn ends_have_their_reasons() {
    let problem = datasets::problem("iris", 5);
    let start = datasets::start(&problem, 1);
    let run = |method: BlockNewton| method.fit(&problem, &start, &mut silent).unwrap();
    let none = run(BlockNewton { max_iter: 0, ..BlockNewton::default() });
    assert_eq!((none.reason, &none.w), (Reason::Iterations, &start));
    assert_eq!(none.evaluations.curvature, 1);
    let now = run(BlockNewton { time_limit: Some(Duration::ZERO), ..BlockNewton::default() });
    assert_eq!((now.reason, &now.w), (Reason::Time, &start));
    // Tolerances that the first point meets; where the Hessian is not positive definite it is no minimum all the same.
    let on_line = |method: BlockNewton| method.fit(&line(), &[0.0, 0.0], &mut silent).unwrap();
    let gtol = 1e9;
    let near = BlockNewton { gtol, ..BlockNewton::default() };
    assert_eq!(on_line(near.clone()).reason, Reason::Gradient);
    assert_eq!(run(near).reason, Reason::Indefinite);
    assert_eq!(on_line(BlockNewton { ftol: 0.9, gtol, ..BlockNewton::default() }).iterations, 0);
    // Others end a fit only at a minimum: these are met long before.
    let met = on_line(BlockNewton { ftol: 0.5, xtol: 10.0, ..BlockNewton::default() });
    assert!(met.converged() && met.iterations > 2, "{met}");
    let mut seen = 0;
    let stopped = BlockNewton::default()
        .fit(&problem, &start, &mut |_| {
            seen += 1;
            if seen == 4 { Control::Stop } else { Control::Continue }
        })
        .unwrap();
    assert_eq!((stopped.reason, stopped.iterations), (Reason::Interrupted, 3));
    assert!(stopped.value < stopped.initial_value);
}

/// An exponential of an exponential: most trial points overflow, and none may cost the best point.
#[test]
fn trial_points_that_are_not_finite_are_rejected() {
    let layers = vec![Layer::dense(2, Activation::Exp), Layer::dense(1, Activation::Exp)];
    let network = Network::new(1, layers).unwrap();
    let data = Data::new(array![[1.0], [2.0], [3.0]], array![[1.0], [0.5], [2.0]]).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    for seed in 0..20 {
        let start = Initialization::Normal.draw(problem.network(), seed);
        for curvature in Curvature::ALL {
            let method =
                BlockNewton { curvature, mu: 1e-12, max_iter: 50, ..BlockNewton::default() };
            let report = method.fit(&problem, &start, &mut silent).unwrap();
            assert!(report.value <= report.initial_value && report.value.is_finite());
            assert!(report.w.iter().all(|w| w.is_finite()));
        }
    }
}

#[test]
fn a_start_that_cannot_be_evaluated_and_options_out_of_range_are_errors() {
    let layers = vec![Layer::dense(1, Activation::Exp), Layer::dense(1, Activation::Exp)];
    let data = Data::new(array![[1.0]], array![[1.0]]).unwrap();
    let problem = Problem::new(Network::new(1, layers).unwrap(), data, Loss::SquaredError).unwrap();
    let huge = BlockNewton::default().fit(&problem, &[800.0, 0.0, 800.0, 0.0], &mut silent);
    assert!(matches!(huge, Err(Error::NonFinite { .. })), "{huge:?}");
    let short = BlockNewton::default().fit(&problem, &[1.0], &mut silent);
    assert!(matches!(short, Err(Error::Shape { .. })), "{short:?}");
    for method in [
        BlockNewton { gtol: -1.0, ..BlockNewton::default() },
        BlockNewton { ftol: f64::NAN, ..BlockNewton::default() },
        BlockNewton { xtol: f64::INFINITY, ..BlockNewton::default() },
        BlockNewton { mu: 0.0, ..BlockNewton::default() },
    ] {
        let refused = method.fit(&problem, &[0.1; 4], &mut silent);
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    }
}

/// More than one chunk of samples, with sums of their own for the objective and with the same sums for the curvature: it still
/// never rises, because both add the same samples in the same order.
#[test]
fn the_objective_never_rises_over_many_chunks() {
    let n = 5_000;
    let x = ndarray::Array2::from_shape_fn((n, 100), |(i, j)| {
        ((i * 7 + j * 13) % 101) as f64 / 50.0 - 1.0
    });
    let y = ndarray::Array2::from_shape_fn((n, 2), |(i, o)| ((i * 3 + o) % 17) as f64 / 8.0 - 1.0);
    let network = Network::dense(&[100, 60, 2], Activation::Tanh).unwrap();
    let problem = Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap();
    let plans = [
        secondo::Request::default(),
        secondo::Request::curvature(Curvature::Exact, secondo::Structure::RowBlocks),
    ]
    .map(|r| problem.plan(r).unwrap().chunk);
    assert!(plans[0] < plans[1] && plans[1] < n, "{plans:?}");
    let start = Initialization::Glorot.draw(problem.network(), 1);
    fit(&problem, &start, &BlockNewton { max_iter: 6, ..BlockNewton::default() });
}

#[test]
fn a_fit_that_cannot_fit_is_refused() {
    let problem = datasets::problem("digits", 16);
    let request = secondo::Request::curvature(Curvature::Exact, secondo::Structure::RowBlocks);
    let plan = problem.plan(request).unwrap();
    let start = datasets::start(&problem, 0);
    let tight = problem.memory_budget(plan.results + 100_000);
    let refused = BlockNewton::default().fit(&tight, &start, &mut silent);
    assert!(matches!(refused, Err(Error::Memory { .. })), "{refused:?}");
}
