//! Radial units: their forms, their starts from data, widths that are shared, and what goes wrong with them.

use ndarray::{Array2, array};
use secondo::{
    Activation, Auto, Constraint, Curvature, Data, Error, Group, Initialization, Layer,
    LinearOperator, Loss, Method, Network, Normalized, Problem, Propagation, Radial, Request,
    Structure, TrustRegion, Unit, silent,
};

fn gaussians(units: usize, form: Radial) -> Layer {
    Layer::of(vec![Group::radial(units, form, Activation::ExpNegHalf)])
}

/// Radial units below a linear output.
fn network(inputs: usize, units: usize, form: Radial) -> Network {
    let output = Layer::dense(1, Activation::Identity);
    Network::new(inputs, vec![gaussians(units, form), output]).unwrap()
}

fn problem(network: Network, x: Array2<f64>) -> Problem {
    let y = Array2::from_shape_fn((x.nrows(), 1), |(i, _)| (x[(i, 0)] * 1.3).sin());
    Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap()
}

fn grid(n: usize, d: usize) -> Array2<f64> {
    Array2::from_shape_fn((n, d), |(i, j)| (i * (j + 2)) as f64 % 7.1 / 7.1 - 0.5)
}

#[test]
fn all_forms_of_one_unit_are_the_same_function() {
    let (z, centre, sigma) = ([0.3, -1.2, 2.0], [1.0, 0.5, -0.25], 1.7);
    let u: Vec<f64> = z.iter().zip(&centre).map(|(z, m)| z - m).collect();
    let p: f64 = u.iter().map(|u| u * u).sum::<f64>() / (sigma * sigma);
    for form in Radial::ALL {
        let w = form.weights(&centre, sigma);
        assert_eq!(w.len(), Unit::parameters(&form, 3), "{form:?}");
        let value = form.value(&z, &w);
        assert!((value - p).abs() < 1e-14 * p, "{form:?}: {value}, not {p}");
        let mut slope = [0.0; 3];
        form.d_z(&z, &w, &mut slope);
        for (s, u) in slope.iter().zip(&u) {
            let want = 2.0 * u / (sigma * sigma);
            assert!((s - want).abs() < 1e-14 * want.abs(), "{form:?}: {s}, not {want}");
        }
        assert_eq!(Radial::from_name(Radial::name(form)), Ok(form));
    }
    let unknown = Radial::from_name("rbf").unwrap_err();
    assert!(unknown.to_string().contains("rbf_cholesky"), "{unknown}");
}

#[test]
fn starts_from_data_are_usable_and_the_same_for_a_seed() {
    let x = grid(60, 2);
    for form in Radial::ALL {
        let net = network(2, 7, form);
        let w = Initialization::Glorot.draw_from(&net, &x, 3).unwrap();
        assert_eq!(w, Initialization::Glorot.draw_from(&net, &x, 3).unwrap());
        assert_ne!(w, Initialization::Glorot.draw_from(&net, &x, 4).unwrap());
        // Every row is near some centre: the units see the data.
        let layer = Network::new(2, vec![gaussians(7, form)]).unwrap();
        let h = layer.predict(&w[..layer.parameters()], &x).unwrap();
        let nearest = |row: ndarray::ArrayView1<f64>| row.iter().fold(0.0_f64, |m, v| m.max(*v));
        assert!(h.outer_iter().all(|row| nearest(row) > 0.2), "{form:?}");
        // Other units start as without data.
        let drawn = Initialization::Glorot.draw(&net, 3);
        assert_eq!(w[layer.parameters()..], drawn[layer.parameters()..]);
    }
    // Without data the centres are drawn and the widths 1.
    let net = network(2, 2, Radial::IsotropicSigma);
    let w = Initialization::Glorot.draw(&net, 0);
    assert!((w[2], w[5]) == (1.0, 1.0) && w[0] != w[3]);
    let wrong = Initialization::Glorot.draw_from(&net, &grid(5, 3), 0);
    assert!(matches!(wrong, Err(Error::Shape { .. })), "{wrong:?}");
    let wrong = Initialization::Glorot.draw_from(&net, &array![[0.0, f64::NAN]], 0);
    assert!(matches!(wrong, Err(Error::NonFinite { .. })), "{wrong:?}");
}

/// Fewer different rows than units, one row, rows that are all the same, very large and very small numbers.
#[test]
fn starts_from_awkward_data() {
    let few = array![[1.0], [1.0], [2.0], [2.0], [1.0]];
    for (x, units) in [
        (few.clone(), 1),
        (few.clone(), 2),
        (few.clone(), 6),
        (array![[3.0]], 4),
        (Array2::from_elem((20, 1), -7.0), 5),
        (&few * 1e-150, 6),
        (&few * 1e150, 6),
        (Array2::from_elem((3, 1), 1e30), 2),
    ] {
        let net = network(1, units, Radial::IsotropicSigma);
        let w = Initialization::Glorot.draw_from(&net, &x, 1).unwrap();
        let units: Vec<&[f64]> = w[..2 * units].chunks(2).collect();
        assert!(units.iter().all(|u| u[0].is_finite() && u[1] > 0.0), "{units:?}");
        for (j, unit) in units.iter().enumerate() {
            // Two units at one place would stay together for ever.
            assert!(units[..j].iter().all(|other| other[0] != unit[0]), "{units:?}");
        }
    }
}

/// Two Gaussians of one width are found with the width shared: θ has one σ.
#[test]
fn a_shared_width_is_fitted() {
    let net = Network::new(
        1,
        vec![
            gaussians(2, Radial::IsotropicSigma),
            Layer::dense(1, Activation::Identity).without_bias(),
        ],
    )
    .unwrap();
    let truth = [-1.0, 0.8, 1.5, 0.8, 2.0, -1.0];
    let x = Array2::from_shape_fn((50, 1), |(i, _)| i as f64 / 8.0 - 3.0);
    let y = net.predict(&truth, &x).unwrap();
    let shared = Constraint::shared_width(&net, 1).unwrap();
    assert_eq!((shared.free(), shared.parameters()), (5, 6));
    let start = shared.project(&[-0.7, 0.5, 1.2, 1.5, 1.0, -1.0]).unwrap();
    assert_eq!(start, [-0.7, 1.0, 1.2, 1.0, -1.0]);
    let problem = Problem::new(net.clone(), Data::new(x, y).unwrap(), Loss::SquaredError).unwrap();
    let problem = problem.constraint(shared).unwrap();
    let fit = Auto::default().fit(&problem, &start, &mut silent).unwrap();
    let want = [-1.0, 0.8, 1.5, 2.0, -1.0];
    let close = fit.w.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-7);
    assert!(fit.converged() && close, "{:?}", fit.w);

    for k in [0, 2, 3] {
        assert!(matches!(Constraint::shared_width(&net, k), Err(Error::Invalid { .. })), "{k}");
    }
    let augmented = network(1, 2, Radial::Augmented);
    assert!(Constraint::shared_width(&augmented, 1).is_err());
    let sum = Constraint::new(vec![0.0], 2, vec![(0, 0, 1.0), (0, 1, 1.0)]).unwrap();
    assert!(matches!(sum.project(&[1.0]), Err(Error::Unsupported { .. })));
}

/// σ = 0, on a centre and off it, and what overflows: refused by name, and never a wrong number.
#[test]
fn where_p_is_not_defined() {
    let x = array![[0.0], [1.0], [2.0]];
    for (form, shape) in [
        (Radial::IsotropicSigma, 0.0),
        (Radial::IsotropicSigma, 1e-200),
        (Radial::DiagonalSigma, 0.0),
        (Radial::IsotropicLogSigma, -800.0),
        (Radial::IsotropicTau, 1e308),
        (Radial::Symmetric, -1e5),
        (Radial::Cholesky, 800.0),
    ] {
        let at = problem(network(1, 1, form), x.clone());
        let w = [0.0, shape, 1.0, 0.0];
        let refused = at.evaluate(&w, Request::gradient()).unwrap_err();
        assert!(matches!(refused, Error::NonFinite { .. }), "{form:?} {shape}: {refused}");
        let fit = TrustRegion::default().fit(&at, &w, &mut silent);
        assert!(matches!(fit, Err(Error::NonFinite { .. })), "{form:?} {shape}: {fit:?}");
    }
    // A narrow unit on a sample is no trouble, until the squares of its slopes overflow.
    let at = problem(network(1, 1, Radial::IsotropicSigma), x);
    for sigma in [1e-3, 1e-30, 1e-60] {
        let found = at.curvature(&[1.0, sigma, 1.0, 0.0], Curvature::Exact, Structure::Full);
        assert_eq!(found.is_ok(), sigma > 1e-40, "{sigma}: {:?}", found.err());
    }
}

/// From σ that are far too small, and from an M that is not definite, fits go on; their values fall and stay finite.
#[test]
fn fits_from_bad_widths_end_with_a_report() {
    let x = grid(40, 2);
    for (form, shape) in [
        (Radial::DiagonalSigma, 0.02),
        (Radial::DiagonalTau, -0.5),
        (Radial::Symmetric, -0.5),
        (Radial::Full, -0.5),
        (Radial::IsotropicLogSigma, -4.0),
        (Radial::Cholesky, 3.0),
    ] {
        let net = network(2, 3, form);
        let mut w = Initialization::Glorot.draw_from(&net, &x, 2).unwrap();
        let row = Unit::parameters(&form, 2);
        w[..3 * row].chunks_mut(row).for_each(|row| row[2..].fill(shape));
        let at = problem(net, x.clone());
        let before = at.objective(&w).unwrap();
        let fit = Auto::default().fit(&at, &w, &mut silent).unwrap();
        assert!(fit.value < before && fit.value.is_finite(), "{form:?}: {}", fit.value);
        assert!(fit.w.iter().all(|w| w.is_finite()), "{form:?}");
    }
}

/// 10,000 centres: what is linear in them is computed, what is not is refused with the numbers.
#[test]
fn ten_thousand_centres() {
    let (units, x) = (10_000, grid(30, 1));
    let net = network(1, units, Radial::IsotropicLogSigma);
    let w = Initialization::Glorot.draw_from(&net, &x, 5).unwrap();
    let at = problem(net, x).memory_budget(1 << 30);
    let all = at.evaluate(&w, Request::gradient()).unwrap();
    assert_eq!(all.gradient.len(), 3 * units + 1);
    let rows = at.curvature(&w, Curvature::GaussNewton, Structure::RowBlocks).unwrap();
    assert_eq!(rows.curvature.unwrap().blocks().count(), units + 1);
    let v = vec![1e-3; w.len()];
    at.operator(&w, Curvature::Exact).unwrap().product(&v).unwrap();
    let refused = at.curvature(&w, Curvature::Exact, Structure::Full).unwrap_err();
    assert!(matches!(refused, Error::Memory { .. }), "{refused}");
}

#[test]
fn starts_that_would_take_hours_are_refused() {
    for (units, rows, inputs) in [(1_000_000, 5, 1), (10_000, 100_000, 10)] {
        let net = network(inputs, units, Radial::IsotropicSigma);
        let start = Initialization::Glorot.draw_from(&net, &Array2::zeros((rows, inputs)), 0);
        let error = start.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(&units.to_string()), "{error}");
    }
}

#[test]
fn networks_that_cannot_be_are_refused() {
    let more = Network::new(2, vec![Layer::normalized(3), Layer::dense(1, Activation::Identity)]);
    assert!(more.unwrap_err().to_string().contains("normalised unit 2"));
    // Files give units by their places alone.
    let unit = |j, units| {
        Group::uniform(Propagation::Normalized(Normalized(j)), units, Activation::Identity)
    };
    let output = || Layer::dense(1, Activation::Identity);
    for groups in [vec![unit(1, 1), unit(0, 1)], vec![unit(0, 2)]] {
        let moved = Network::new(2, vec![Layer::of(groups), output()]).unwrap_err();
        assert!(moved.to_string().contains("stands at place 0"), "{moved}");
    }
    let behind = Layer::of(vec![Group::linear(1, Activation::Tanh), unit(1, 1)]);
    assert!(Network::new(2, vec![behind, output()]).is_ok());
    let none = Network::new(2, vec![Layer::normalized(2)]);
    assert!(none.unwrap_err().to_string().contains("parameters"));
    let huge = Network::new(usize::MAX / 2, vec![gaussians(1, Radial::Full)]);
    assert!(matches!(huge, Err(Error::TooLarge { .. })));
}
