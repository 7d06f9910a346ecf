//! The methods for problems: their ends, their reports, and that a resumed fit is the same fit.

mod common;

use std::time::Duration;

use common::datasets;
use ndarray::{Array2, array};
use secondo::{
    Activation, Auto, BlockNewton, Control, Curvature, Data, Error, Fit, Group, Initialization,
    Layer, LevenbergMarquardt, Loss, Method, Network, NewtonCg, Penalty, Preconditioning, Problem,
    Radial, Reason, Settings, State, Structure, TrustRegion, silent,
};

const SETS: [(&str, usize); 3] = [("breast_cancer", 5), ("diabetes", 8), ("digits", 16)];

fn cg(preconditioning: Preconditioning) -> NewtonCg {
    NewtonCg { preconditioning, ..NewtonCg::default() }
}

/// Every method, by a title.
fn methods() -> Vec<(&'static str, Box<dyn Method>)> {
    let mut all: Vec<(&str, Box<dyn Method>)> = vec![
        ("auto", Box::new(Auto::default())),
        ("trust-region", Box::new(TrustRegion::default())),
        ("lm", Box::new(LevenbergMarquardt::default())),
        ("rows", Box::new(BlockNewton::default())),
    ];
    for preconditioning in Preconditioning::ALL {
        all.push((preconditioning.name(), Box::new(cg(preconditioning))));
    }
    let layers = BlockNewton { structure: Structure::LayerBlocks, ..BlockNewton::default() };
    all.push(("layers", Box::new(layers)));
    all
}

/// A regression with a few parameters and a start.
fn small() -> (Problem, Vec<f64>) {
    let x = Array2::from_shape_fn((40, 2), |(i, j)| ((i * (3 + 2 * j)) as f64 * 0.37).sin());
    let y = Array2::from_shape_fn((40, 1), |(i, _)| x[(i, 0)] * x[(i, 1)] + 0.3 * x[(i, 0)]);
    let network = Network::dense(&[2, 4, 1], Activation::Tanh).unwrap();
    let problem = Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError)
        .unwrap()
        .penalty(Penalty::ridge(1e-2))
        .unwrap();
    let start = datasets::start(&problem, 5);
    (problem, start)
}

fn largest(v: &[f64]) -> f64 {
    v.iter().fold(0.0, |m, v| v.abs().max(m))
}

/// The promises of every fit.
fn check(title: &str, problem: &Problem, start: &[f64], method: &dyn Method) -> Fit {
    let mut values = Vec::new();
    let fit = method
        .fit(problem, start, &mut |p| {
            values.push(p.value);
            assert_eq!(p.iteration + 1, values.len());
            assert_eq!((p.state.x.len(), p.state.value), (start.len(), p.value));
            Control::Continue
        })
        .unwrap();
    let slack = 1e-13 * values[0].abs();
    assert!(values.windows(2).all(|v| v[1] <= v[0] + slack), "{title}: the objective rose");
    assert_eq!(values.len(), fit.iterations + 1, "{title}");
    let at = problem.objective(&fit.w).unwrap();
    assert!((at - fit.value).abs() <= 1e-12 * at, "{title}: {at} for {}", fit.value);
    let gradient = largest(&problem.gradient(&fit.w).unwrap());
    assert!(
        (gradient - fit.gradient_norm).abs() <= 1e-9 * (1.0 + gradient),
        "{title}: {gradient:e} for {:e}",
        fit.gradient_norm
    );
    fit
}

#[test]
fn every_method_descends_and_reports_what_is_so() {
    let (problem, start) = small();
    for (title, method) in methods() {
        let fit = check(title, &problem, &start, &*method);
        println!("{title:13} {:?} {:e} {:e}", fit.reason, fit.value, fit.gradient_norm);
        assert!(fit.value < 0.2 * fit.initial_value, "{title}: {fit}");
        let blocks = ["rows", "layers"].contains(&title);
        assert!(blocks || fit.converged(), "{title}: {fit}");
    }
}

#[test]
fn real_data_end_at_a_small_gradient() {
    for (name, hidden) in &SETS {
        let problem = datasets::problem(name, *hidden);
        for seed in 0..10 {
            let start = datasets::start(&problem, seed);
            let initial = largest(&problem.gradient(&start).unwrap());
            let fit = check(name, &problem, &start, &Auto::default());
            assert!(fit.converged(), "{name} {seed}: {fit}");
            assert!(fit.gradient_norm <= 1e-8 * initial, "{name} {seed}: {fit}");
        }
    }
}

/// The state of every accepted step, handed back, leads to the same point bit for bit.
#[test]
fn a_resumed_fit_is_the_same_fit() {
    let (problem, start) = small();
    for (title, method) in methods() {
        let mut states: Vec<State> = Vec::new();
        let whole = method
            .fit(&problem, &start, &mut |p| {
                states.push(p.state.clone());
                Control::Continue
            })
            .unwrap();
        let every = (states.len() / 6).max(1);
        for state in states.iter().step_by(every).chain(states.last()) {
            let at = state.accepted;
            let rest = method.resume(&problem, state.clone(), &mut silent).unwrap();
            assert_eq!(rest.w, whole.w, "{title}, from step {at}");
            let counts = |f: &Fit| (f.iterations, f.rejected, f.value, f.reason, f.gradient_norm);
            assert_eq!(counts(&rest), counts(&whole), "{title}, from step {at}");
            assert_eq!(rest.evaluations, whole.evaluations, "{title}, from step {at}");
            // The harness must notice a state that is another.
            let mut other = state.clone();
            other.x[0] += 1e-9;
            let rest = method.resume(&problem, other, &mut silent).unwrap();
            let last = at == whole.iterations;
            assert!(last || rest.w != whole.w, "{title}, from step {at}");
        }
        let mut foreign = states[0].clone();
        foreign.settings = Settings::new("another");
        let refused = method.resume(&problem, foreign, &mut silent);
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{title}: {refused:?}");
    }
}

/// Every option that a path depends on is compared, by name; limits may change.
#[test]
fn a_state_of_other_options_is_refused() {
    let (problem, start) = small();
    let state = |method: &dyn Method| {
        let mut kept = None;
        let end = method.fit(&problem, &start, &mut |p| {
            kept = Some(p.state.clone());
            Control::Stop
        });
        end.and(Ok(kept.unwrap())).unwrap()
    };
    let region = TrustRegion::default;
    let of_region = state(&region());
    let scaling = Some(vec![2.0; start.len()]);
    #[rustfmt::skip]
    let others = [
        ("gtol", TrustRegion { gtol: 1e-7, ..region() }),
        ("xtol", TrustRegion { xtol: 1e-7, ..region() }),
        ("ftol", TrustRegion { ftol: 1e-7, ..region() }),
        ("initial_radius", TrustRegion { initial_radius: 2.0, ..region() }),
        ("max_radius", TrustRegion { max_radius: 9.0, ..region() }),
        ("eta", TrustRegion { eta: 0.1, ..region() }),
        ("scaling", TrustRegion { scaling, ..region() }),
        ("curvature", TrustRegion { curvature: Curvature::GaussNewton, ..region() }),
    ];
    for (name, other) in others {
        let refused = other.resume(&problem, of_region.clone(), &mut silent);
        let said = refused.unwrap_err().to_string();
        assert!(said.starts_with(&format!("state: {name} is ")), "{said}");
    }
    let limits = TrustRegion {
        max_iter: 7,
        time_limit: Some(Duration::from_secs(60)),
        fallback: false,
        ..region()
    };
    let resumed = limits.resume(&problem, of_region.clone(), &mut silent);
    assert!(resumed.unwrap().iterations > 0);
    let said = cg(Preconditioning::None).resume(&problem, of_region, &mut silent);
    let said = said.unwrap_err().to_string();
    assert!(said.contains("it is one of 'trust-region', not of 'newton-cg'"), "{said}");
    // Written and read, they are the same to the last bit.
    for (title, method) in methods() {
        let settings = method.settings();
        let again: Settings = settings.to_string().parse().unwrap();
        assert_eq!(again, settings, "{title}");
    }
    let with_numbers = TrustRegion { scaling: Some(vec![1.0 / 3.0, 1e-300]), ..region() };
    let settings = with_numbers.settings();
    assert_eq!(settings.to_string().parse::<Settings>(), Ok(settings));
    assert!("lm 0 1e-8".parse::<Settings>().is_err());
}

/// All weights 0: a saddle of a tanh network with centred targets, where the gradient is 0.
#[test]
fn a_saddle_with_no_gradient_is_left() {
    let x = array![[-2.0], [-1.0], [1.0], [2.0]];
    let y = x.mapv(f64::tanh);
    let network = Network::dense(&[1, 2, 1], Activation::Tanh).unwrap();
    let data = Data::new(x, y).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    let ridge = (problem.clone().penalty(Penalty::ridge(1e-2))).unwrap();
    // A start of rounding's size is no measure for a step.
    for (problem, w, part) in [(&problem, 0.0, 1e-6), (&ridge, 1e-17, 0.1)] {
        let start = vec![w; problem.parameters()];
        assert!(largest(&problem.gradient(&start).unwrap()) < 1e-15);
        for (title, method) in methods() {
            let fit = method.fit(problem, &start, &mut silent).unwrap();
            let leaves = !["lm", "rows", "layers"].contains(&title);
            println!("{title:13} {:?} {:e}", fit.reason, fit.value);
            assert_eq!(fit.value < part * fit.initial_value, leaves, "{title}: {fit}");
            // However slowly an exact fit is come near to, it is at finite weights.
            assert_ne!(fit.reason, Reason::Unbounded, "{title}: {fit}");
        }
    }
}

/// Classes that can be told apart, without a penalty: the loss has no minimum but 0 at infinity, and curves downwards on the way.
/// A fit ends soon after its gradient is small, also where a long step leads to where the numbers end (f = 0, and all derivatives),
/// and does not say that it converged.
#[test]
fn a_loss_that_falls_for_ever_has_no_minimum() {
    let x = Array2::from_shape_fn((12, 2), |(i, c)| ((5 * i + 3 * c) % 7) as f64 / 3.0 - 1.0);
    let y = Array2::from_shape_fn((12, 1), |(i, _)| f64::from(u8::from(x[(i, 0)] > 0.1)));
    let network = Network::dense(&[2, 3, 1], Activation::Tanh).unwrap();
    let data = Data::new(x, y).unwrap();
    let problem = Problem::new(network, data, Loss::BinaryCrossEntropy).unwrap();
    let mut zeros = 0;
    for seed in 0..40 {
        let start = Initialization::Glorot.draw(problem.network(), seed);
        for (title, method) in
            [("auto", &Auto::default() as &dyn Method), ("trust-region", &TrustRegion::default())]
        {
            let fit = method.fit(&problem, &start, &mut silent).unwrap();
            assert_eq!(fit.reason, Reason::Unbounded, "{title}, {seed}: {fit}");
            assert!(fit.gradient_norm <= fit.gradient_goal, "{title}, {seed}: {fit}");
            zeros += usize::from(fit.value == 0.0);
        }
    }
    assert!(zeros > 0, "no seed shows an end at 0");
}

/// exp overflows for steps that are long: they are rejected, and the fit goes on.
#[test]
fn points_without_a_value_are_left_out() {
    let layers = vec![
        Layer::dense(1, Activation::Exp).without_bias(),
        Layer::dense(1, Activation::Identity).without_bias(),
    ];
    let x = Array2::from_shape_fn((12, 1), |(i, _)| 100.0 * i as f64);
    let y = x.mapv(|x| 2.0 * (-0.004 * x).exp());
    let network = Network::new(1, layers).unwrap();
    let problem = Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap();
    for (title, method) in methods() {
        // Where the gradient has all but vanished a D made of it is no scale.
        let scaled = ["diagonal", "row-blocks"].contains(&title);
        let first = if scaled { -0.05 } else { -0.5 };
        let fit = method.fit(&problem, &[first, 1.0], &mut silent).unwrap();
        assert!(fit.w.iter().all(|w| w.is_finite()) && fit.value.is_finite(), "{title}: {fit}");
        assert!(fit.value < fit.initial_value, "{title}: {fit}");
        let none = method.fit(&problem, &[5.0, 1.0], &mut silent);
        assert!(matches!(none, Err(Error::NonFinite { .. })), "{title}: {none:?}");
    }
}

#[test]
fn every_end_has_its_reason() {
    let (problem, start) = small();
    for (title, method) in methods() {
        let stopped = method.fit(&problem, &start, &mut |p| match p.iteration {
            2 => Control::Stop,
            _ => Control::Continue,
        });
        let stopped = stopped.unwrap();
        assert_eq!((stopped.reason, stopped.iterations), (Reason::Interrupted, 2), "{title}");
        let short = method.fit(&problem, &[0.0], &mut silent);
        assert!(matches!(short, Err(Error::Shape { .. })), "{title}: {short:?}");
        let hole = method.fit(&problem, &vec![f64::NAN; start.len()], &mut silent);
        assert!(matches!(hole, Err(Error::NonFinite { .. })), "{title}: {hole:?}");
    }
}

/// Every method within limits, by a title.
fn limited(max_iter: usize, time_limit: Option<Duration>) -> Vec<(&'static str, Box<dyn Method>)> {
    let region = TrustRegion { max_iter, time_limit, ..TrustRegion::default() };
    vec![
        ("trust-region", Box::new(region.clone())),
        ("newton-cg", Box::new(NewtonCg { region, ..NewtonCg::default() })),
        ("auto", Box::new(Auto { max_iter, time_limit, ..Auto::default() })),
        (
            "lm",
            Box::new(LevenbergMarquardt { max_iter, time_limit, ..LevenbergMarquardt::default() }),
        ),
        ("rows", Box::new(BlockNewton { max_iter, time_limit, ..BlockNewton::default() })),
    ]
}

/// No iterations and no time leave the start, evaluated once.
#[test]
fn limits_of_0_evaluate_the_start() {
    let (problem, start) = small();
    let value = problem.objective(&start).unwrap();
    for (limits, reason) in
        [(limited(0, None), Reason::Iterations), (limited(100, Some(Duration::ZERO)), Reason::Time)]
    {
        for (title, method) in limits {
            let fit = method.fit(&problem, &start, &mut silent).unwrap();
            assert_eq!((fit.reason, &fit.w), (reason, &start), "{title}");
            assert!((fit.value - value).abs() <= 1e-14 * value, "{title}");
            assert_eq!((fit.iterations, fit.evaluations.curvature), (0, 1), "{title}");
        }
    }
}

/// Tolerances, radii and counts that make no sense; those of `TrustRegion` and `LevenbergMarquardt` have tests of their own.
#[test]
fn options_out_of_range_are_refused() {
    let (problem, start) = small();
    let mut bad: Vec<Box<dyn Method>> = Vec::new();
    for number in [-1.0, f64::NAN, f64::INFINITY] {
        let region = |set: fn(&mut TrustRegion, f64)| {
            let mut region = TrustRegion::default();
            set(&mut region, number);
            Box::new(NewtonCg { region, ..NewtonCg::default() })
        };
        bad.push(region(|r, v| r.gtol = v));
        bad.push(region(|r, v| r.xtol = v));
        bad.push(region(|r, v| r.ftol = v));
        bad.push(region(|r, v| r.initial_radius = v));
        bad.push(region(|r, v| r.eta = v));
        bad.push(Box::new(Auto { gtol: number, ..Auto::default() }));
        bad.push(Box::new(Auto { xtol: number, ..Auto::default() }));
        bad.push(Box::new(Auto { ftol: number, ..Auto::default() }));
    }
    bad.push(Box::new(NewtonCg { products: 0, ..NewtonCg::default() }));
    let region = TrustRegion { max_radius: 0.5, ..TrustRegion::default() };
    bad.push(Box::new(NewtonCg { region, ..NewtonCg::default() }));
    for method in bad {
        let refused = method.fit(&problem, &start, &mut silent);
        assert!(
            matches!(refused, Err(Error::Invalid { .. })),
            "{}: {refused:?}",
            method.settings()
        );
    }
}

/// A linear unit with a bias.
fn line(x: Array2<f64>, y: Array2<f64>) -> Problem {
    let network = Network::dense(&[x.ncols(), 1], Activation::Tanh).unwrap();
    Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap()
}

/// Residuals that vanish, at the end or already at the start, and targets that are all the same.
#[test]
fn exact_fits_have_converged() {
    let x = array![[0.0], [1.0], [2.0], [5.0]];
    let through = line(x.clone(), x.mapv(|x| 3.0 - 2.0 * x));
    let constant = line(x.clone(), Array2::from_elem((4, 1), 7.0));
    for (problem, right) in [(through, [-2.0, 3.0]), (constant, [0.0, 7.0])] {
        for (title, method) in methods() {
            let fit = method.fit(&problem, &[0.5, 0.5], &mut silent).unwrap();
            assert!(fit.converged() && fit.value < 1e-6, "{title}: {fit}");
            let near = fit.w.iter().zip(right).all(|(w, r)| (w - r).abs() < 1e-3);
            assert!(near, "{title}: {:?}", fit.w);
            let there = method.fit(&problem, &right, &mut silent).unwrap();
            assert!(there.converged(), "{title}: {there}");
            assert_eq!((there.value, &there.w[..]), (0.0, &right[..]), "{title}");
        }
        // Without residuals they have no scale.
        let none = problem.standard_errors(&right);
        assert!(matches!(none, Err(Error::Numerical { .. })), "{none:?}");
    }
    // Neither gradient nor curvature.
    let nothing = Layer::dense(1, Activation::Identity).without_bias();
    let network = Network::new(1, vec![nothing]).unwrap();
    let data = Data::new(Array2::zeros((3, 1)), Array2::ones((3, 1))).unwrap();
    let flat = Problem::new(network, data, Loss::SquaredError).unwrap();
    for (title, method) in methods() {
        let fit = method.fit(&flat, &[2.0], &mut silent).unwrap();
        assert!(fit.converged() && fit.w == [2.0] && fit.value == 1.5, "{title}: {fit}");
    }
}

/// Features 10¹² apart, neither scaled; and starts that are far too large or too small.
#[test]
fn scales_far_apart() {
    let x = Array2::from_shape_fn((20, 2), |(i, j)| {
        ((i * (3 + 2 * j)) as f64 * 0.37).sin() * [1e-6, 1e6][j]
    });
    let y = Array2::from_shape_fn((20, 1), |(i, _)| 3e6 * x[(i, 0)] - 2e-6 * x[(i, 1)] + 1.0);
    let problem = line(x, y);
    for (title, method) in methods() {
        if ["auto", "trust-region", "lm"].contains(&title) {
            let fit = method.fit(&problem, &[0.0; 3], &mut silent).unwrap();
            println!("{title} {:?} {:?}", fit.w, fit.reason);
            let right = [3e6, -2e-6, 1.0];
            let near = (fit.w.iter().zip(right)).all(|(w, r)| (w / r - 1.0).abs() < 1e-6);
            assert!(near, "{title}: {:?} {fit}", fit.w);
        }
    }
    let (problem, start) = small();
    for scale in [1e30, 1e-30, 1e-300] {
        let start: Vec<f64> = start.iter().map(|w| w * scale).collect();
        for (title, method) in methods() {
            let fit = check(title, &problem, &start, &*method);
            assert!(fit.w.iter().all(|w| w.is_finite()), "{title} {scale}: {fit}");
            // A region as small as the start need not show a decrease, nor blocks damped by a multiple of the identity.
            let held = scale < 1.0 || ["rows", "layers"].contains(&title);
            assert!(held || fit.value < fit.initial_value, "{title} {scale}: {fit}");
        }
    }
}

/// For an objective that is no sum of squares the refusal names another way.
#[test]
fn other_losses_are_refused_by_levenberg_marquardt() {
    let problem = datasets::problem("breast_cancer", 2);
    let start = datasets::start(&problem, 0);
    let refused = LevenbergMarquardt::default().fit(&problem, &start, &mut silent);
    assert!(refused.unwrap_err().to_string().contains("gauss-newton"));
    let method = TrustRegion { curvature: Curvature::GaussNewton, ..TrustRegion::default() };
    let fit = check("gauss-newton", &problem, &start, &method);
    assert!(fit.value < 0.2 * fit.initial_value, "{fit}");
}

/// Weights of samples and outputs, a mean, a penalty without biases: the sum of squares is the objective.
#[test]
fn levenberg_marquardt_minimises_the_objective_itself() {
    let (problem, start) = small();
    let weights = (0..40).map(|i| 0.5 + (i % 3) as f64).collect();
    let data = problem.data().unwrap().clone().weighted(weights).unwrap();
    let output_weights = vec![0.7];
    let loss = Loss::WeightedSquaredError { output_weights };
    let problem = Problem::new(problem.network().clone(), data, loss)
        .unwrap()
        .reduction(secondo::Reduction::Mean)
        .penalty(Penalty::Ridge { lambda: 1e-3, include_bias: false })
        .unwrap();
    let fit = check("lm", &problem, &start, &LevenbergMarquardt::default());
    assert!((fit.initial_value - problem.objective(&start).unwrap()).abs() < 1e-14);
    assert!(fit.converged() && fit.gradient_norm < 1e-8, "{fit}");
}

/// Radial units of the augmented form have directions in which nothing changes, and every matrix is singular.
#[test]
fn singular_directions_stop_no_method() {
    let gaussians = Group::radial(2, Radial::Augmented, Activation::ExpNegHalf);
    let output = Layer::dense(1, Activation::Identity);
    let network = Network::new(2, vec![Layer::of(vec![gaussians]), output]).unwrap();
    // Two hills and what no hill fits.
    let x = Array2::from_shape_fn((64, 2), |(i, j)| [i % 8, i / 8][j] as f64 / 2.0 - 1.75);
    let hill = |centre: [f64; 2]| Radial::Augmented.weights(&centre, 0.9);
    let truth = [hill([-0.8, -0.5]), hill([0.9, 0.6]), vec![1.0, 1.5, 0.2]].concat();
    let hills = network.predict(&truth, &x).unwrap();
    let y = Array2::from_shape_fn((64, 1), |(i, _)| hills[(i, 0)] + 0.05 * (3.0 * i as f64).cos());
    let start = [hill([-0.5, -0.9]), hill([0.5, 0.9]), vec![0.5, 0.5, 0.0]].concat();
    let problem = Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap();
    let at = problem.curvature(&start, Curvature::Exact, Structure::Full).unwrap();
    let eigenvalues = at.curvature.unwrap().eigenvalues().unwrap();
    let scale = largest(&eigenvalues);
    let null = eigenvalues.iter().filter(|v| v.abs() < 1e-13 * scale).count();
    assert!(null >= 6, "three for each unit: {eigenvalues:?}");
    let begin = largest(&at.gradient);
    let mut slow = Vec::new();
    for (title, method) in methods() {
        let fit = check(title, &problem, &start, method.as_ref());
        let line = format!(
            "{title}: {} to {} in {}, gradient {begin:.1e} to {:.1e}, {:?}",
            at.value, fit.value, fit.iterations, fit.gradient_norm, fit.reason
        );
        println!("{line}");
        // Blocks are slow by nature. A product along a null direction may be negative by rounding, and Newton–CG says so.
        let goal = if title == "rows" { 1e-2 } else { 1e-8 };
        if fit.gradient_norm > goal * begin {
            slow.push(line);
        }
    }
    assert!(slow.is_empty(), "{slow:#?}");
}
