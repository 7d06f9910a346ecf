//! Hostile arguments of the public API: each is a typed error, none a panic, an abort or a NaN.

use std::time::Duration;

use ndarray::{Array2, array};
use secondo::solve::{Preconditioner, conjugate_gradients};
use secondo::train::newton::{Newton, function, newton_root};
use secondo::train::residual_function;
use secondo::{
    Activation, Constraint, Control, Curvature, Data, Error, Group, Initialization, Layer,
    LevenbergMarquardt, Loss, Method, Network, Problem, Progress, Radial, Reason, State,
    TrustRegion,
};

fn problem() -> Problem {
    let data = Data::new(array![[1.0], [2.0], [3.0]], array![[0.5], [0.1], [0.9]]).unwrap();
    let network = Network::dense(&[1, 2, 1], Activation::Tanh).unwrap();
    Problem::new(network, data, Loss::SquaredError).unwrap()
}

#[test]
fn numbers_of_products_are_planned_or_refused() {
    let mut planned = 0;
    for power in (0..64).step_by(3) {
        let problem = problem().memory_budget(u64::MAX >> (power % 3 * 20));
        for count in
            [1_usize << power, (1_usize << power).wrapping_sub(1).max(1), usize::MAX >> power]
        {
            match problem.plan_products(Curvature::Exact, count) {
                Ok(_) => planned += 1,
                Err(Error::Memory { .. } | Error::Unsupported { .. }) => assert!(count > 1000),
                Err(other) => panic!("{count}: {other}"),
            }
        }
    }
    assert!(planned > 10);
}

/// A state in the middle of a fit.
fn state(method: &dyn Method) -> State {
    let mut seen = None;
    let watch = &mut |progress: &Progress| {
        seen = Some(progress.state.clone());
        if progress.iteration > 1 { Control::Stop } else { Control::Continue }
    };
    method.fit(&problem(), &[0.3, 0.1, -0.2, 0.4, 0.5, -0.6, 0.7], watch).unwrap();
    seen.unwrap()
}

#[test]
fn counters_and_times_of_states_are_checked() {
    let methods: [Box<dyn Method>; 3] = [
        Box::new(secondo::Auto::default()),
        Box::new(TrustRegion::default()),
        Box::new(LevenbergMarquardt::default()),
    ];
    let changes: [fn(&mut State); 9] = [
        |s| s.tried = usize::MAX,
        |s| (s.tried, s.accepted) = (usize::MAX, usize::MAX),
        |s| s.slow = usize::MAX,
        |s| s.modified_blocks = usize::MAX,
        |s| s.evaluations.objective = usize::MAX,
        |s| s.evaluations.gradient = usize::MAX,
        |s| s.evaluations.curvature = usize::MAX - 1,
        |s| s.evaluations.products = usize::MAX,
        |s| s.elapsed = Duration::MAX,
    ];
    for method in &methods {
        let good = state(method.as_ref());
        assert!(method.resume(&problem(), good.clone(), &mut secondo::silent).is_ok());
        for change in changes {
            let mut bad = good.clone();
            change(&mut bad);
            let found = method.resume(&problem(), bad, &mut secondo::silent);
            assert!(matches!(found, Err(Error::Invalid { .. })), "{found:?}");
        }
    }
}

#[test]
fn sizes_of_users_functions_are_refused_before_memory_is_taken() {
    for (parameters, residuals) in
        [(1, 1 << 61), (60_000, 60_000), (60_000, 1), (2, usize::MAX), (1 << 20, 1 << 40)]
    {
        let r = residual_function(parameters, residuals, |_, _| {}, |_, _| {});
        let found = LevenbergMarquardt::default().minimize(&r, &vec![0.0; parameters]);
        assert!(matches!(found, Err(Error::Memory { .. } | Error::TooLarge { .. })), "{found:?}");
    }
    let d = 1 << 20;
    let x = vec![0.0; d];
    let f = function(d, |_| 0.0, |_, _| {}, |_, _| {});
    let memory = |found: secondo::Result<_>| {
        let found: secondo::Result<secondo::train::newton::NewtonReport> = found;
        assert!(matches!(found, Err(Error::Memory { .. })), "{found:?}");
    };
    memory(TrustRegion::default().minimize(&f, &x));
    memory(Newton::default().pure(&f, &x));
    memory(newton_root(|_, _| {}, |_, _| {}, &x, &Newton::default()));
}

#[test]
fn projections_are_finite_or_refused() {
    for size in [1e-200, 1e-308, 1e200, 3.0, 1e-162] {
        let c = Constraint::new(vec![0.0; 3], 1, vec![(0, 0, size), (2, 0, size)]).unwrap();
        let theta = c.project(&[size, 5.0, size]).unwrap();
        assert!((theta[0] - 1.0).abs() < 1e-15, "{size}: {theta:?}");
    }
    let c = Constraint::new(vec![-1e308, 0.0], 1, vec![(0, 0, 1.0)]).unwrap();
    assert!(matches!(c.project(&[1e308, 0.0]), Err(Error::NonFinite { .. })));
    assert!(matches!(c.project(&[f64::NAN, 0.0]), Err(Error::NonFinite { .. })));
    let c = Constraint::new(vec![0.0; 1], 1, vec![(0, 0, 1e-300)]).unwrap();
    assert!(matches!(c.project(&[1e300]), Err(Error::NonFinite { .. })));
}

#[test]
fn starts_from_the_data_are_finite_or_refused() {
    let layers = |form| {
        let hidden = Layer::of(vec![Group::radial(3, form, Activation::ExpNegHalf)]);
        vec![hidden, Layer::dense(1, Activation::Identity)]
    };
    let mut refused = 0;
    for form in [Radial::IsotropicSigma, Radial::DiagonalTau] {
        let network = Network::new(2, layers(form)).unwrap();
        for size in [1e-320, 1e-200, 1.0, 1e150, 1e160, 1e308] {
            let x = Array2::from_shape_fn((6, 2), |(i, a)| {
                size * (i as f64 / 3.0 - 1.0 + a as f64 / 7.0)
            });
            match Initialization::Glorot.draw_from(&network, &x, 1) {
                Ok(w) => assert!(w.iter().all(|v| v.is_finite()), "{size}: {w:?}"),
                Err(Error::Invalid { .. }) => {
                    refused += usize::from(!(1e-100..=1.0).contains(&size))
                }
                Err(other) => panic!("{size}: {other}"),
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn products_of_another_length_are_refused() {
    for length in [0, 1, 3, 100] {
        let product = |_: &[f64]| Ok(vec![1.0; length]);
        let found = conjugate_gradients(product, &[1.0, 2.0], &Preconditioner::None, 1.0, 1e-9, 9);
        assert!(matches!(found, Err(Error::Shape { .. })), "{length}: {found:?}");
    }
}

#[test]
fn results_beyond_f64_are_errors() {
    // E¹ = ω v h′(0) = 1e310 beside a finite objective.
    let data = Data::new(array![[0.0]], array![[1.0]]).unwrap().weighted(vec![1e10]).unwrap();
    let network = Network::dense(&[1, 1, 1], Activation::Tanh).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    let w = [0.0, 0.0, 1e300, 0.0];
    assert_eq!(problem.objective(&w).unwrap(), 5e9);
    let found = problem.multipliers(&w);
    assert!(matches!(found, Err(Error::NonFinite { .. })), "{found:?}");
    // Jᵀr = 1e350 beside ½‖r‖² = 5e299.
    let r = residual_function(1, 1, |_, r| r[0] = 1e150, |_, j| j[0] = 1e200);
    let found = LevenbergMarquardt::default().minimize(&r, &[0.0]).unwrap();
    assert!(found.reason == Reason::NonFinite && !found.gradient_norm.is_infinite(), "{found:?}");
}
