//! Levenberg–Marquardt where it must not fail: see `nist.rs` for its digits.

use ndarray::Array2;
use secondo::train::{LevenbergMarquardt, Reason, Residuals, residual_function};
use secondo::{
    Activation, Constraint, Curvature, Data, Device, Error, Initialization, Loss, Method, Network,
    Penalty, Problem, Reduction, Structure, silent,
};

/// r = Ax − b, A row-major.
fn linear(a: Vec<f64>, b: Vec<f64>) -> impl Residuals {
    let (m, p) = (b.len(), a.len() / b.len());
    let j = a.clone();
    residual_function(
        p,
        m,
        move |x, r| {
            for i in 0..m {
                let row = &a[i * p..(i + 1) * p];
                r[i] = row.iter().zip(x).map(|(a, x)| a * x).sum::<f64>() - b[i];
            }
        },
        move |_, out| out.copy_from_slice(&j),
    )
}

fn fit() -> LevenbergMarquardt {
    LevenbergMarquardt::default()
}

#[test]
fn a_line_has_the_textbook_standard_deviations() {
    // y = x₁ + x₂t at t = 0 … 4: x = (1.1, 1.96), RSS 0.044 by hand.
    let t = [0.0, 1.0, 2.0, 3.0, 4.0];
    let y = vec![1.1, 3.0, 5.1, 7.0, 8.9];
    let a = t.iter().flat_map(|t| [1.0, *t]).collect();
    let found = fit().minimize(&linear(a, y), &[0.0, 0.0]).unwrap();
    assert!(found.converged(), "{found}");
    let slope = 19.6 / 10.0;
    let rss: f64 = (t.iter().zip([1.1, 3.0, 5.1, 7.0, 8.9]))
        .map(|(t, y)| (5.02 + slope * (t - 2.0) - y).powi(2))
        .sum();
    assert!((found.x[0] - (5.02 - 2.0 * slope)).abs() < 1e-14);
    assert!((found.x[1] - slope).abs() < 1e-14);
    assert!((2.0 * found.value - rss).abs() < 1e-14);
    let s = (rss / 3.0).sqrt();
    let sd = found.deviations.unwrap();
    assert_eq!(found.freedom, 3);
    assert!((found.residual_deviation.unwrap() - s).abs() < 1e-13);
    assert!((sd[0] - s * 0.6_f64.sqrt()).abs() < 1e-13);
    assert!((sd[1] - s * 0.1_f64.sqrt()).abs() < 1e-13);
}

#[test]
fn singular_and_wide_jacobians_do_no_harm() {
    // Two equal columns: no standard deviations, but a minimum.
    let found = (fit().minimize(&linear(vec![1.0; 6], vec![1.0, 2.0, 3.0]), &[0.0, 0.0])).unwrap();
    assert!(found.converged() && (found.x[0] + found.x[1] - 2.0).abs() < 1e-12, "{found}");
    assert!(found.deviations.is_none() && found.residual_deviation.is_some());
    // Fewer residuals than parameters.
    let found = (fit().minimize(&linear(vec![1.0, 2.0, 3.0], vec![6.0]), &[0.0; 3])).unwrap();
    assert!(found.converged() && found.value < 1e-28, "{found}");
    assert_eq!((found.freedom, found.deviations), (0, None));
    // A parameter without effect stays where it is.
    let idle = linear(vec![1.0, 0.0, 2.0, 0.0, 3.0, 0.0], vec![1.0, 2.0, 3.5]);
    let found = fit().minimize(&idle, &[0.0, 7.0]).unwrap();
    assert!(found.converged() && found.x[1] == 7.0, "{found}");
    // Residuals of 0 at the start; no parameters.
    let found = fit().minimize(&linear(vec![1.0], vec![0.0]), &[0.0]).unwrap();
    assert_eq!((found.reason, found.iterations), (Reason::Gradient, 0));
    let none = residual_function(0, 2, |_, r| r.fill(3.0), |_, _| ());
    let found = fit().minimize(&none, &[]).unwrap();
    assert_eq!((found.reason, found.value), (Reason::Gradient, 9.0));
    assert_eq!(found.residual_deviation, Some(3.0));
    let empty = residual_function(2, 0, |_, _| (), |_, _| ());
    assert_eq!(fit().minimize(&empty, &[1.0, 2.0]).unwrap().x, [1.0, 2.0]);
}

/// Powers of two, so that the paths are the same to the bit.
#[test]
fn units_do_not_matter() {
    let rosenbrock = |s: f64, t: f64, u: f64| {
        residual_function(
            2,
            2,
            move |x, r| {
                let (x, y) = (x[0] / s, x[1] / t);
                r.copy_from_slice(&[10.0 * (y - x * x) * u, (1.0 - x) * u]);
            },
            move |x, j| {
                let x = x[0] / s;
                j.copy_from_slice(&[-20.0 * x * u / s, 10.0 * u / t, -u / s, 0.0]);
            },
        )
    };
    let plain = fit().minimize(&rosenbrock(1.0, 1.0, 1.0), &[-1.2, 1.0]).unwrap();
    assert!(plain.converged() && plain.value < 1e-28 && plain.iterations < 60, "{plain}");
    let (s, t, u) = (2_f64.powi(-60), 2_f64.powi(40), 2_f64.powi(100));
    let other = fit().minimize(&rosenbrock(s, t, u), &[-1.2 * s, t]).unwrap();
    assert_eq!([plain.x[0] * s, plain.x[1] * t], other.x.as_slice());
    assert_eq!((plain.iterations, plain.reason), (other.iterations, other.reason));
    // The tolerances end it before.
    let early = LevenbergMarquardt { xtol: 1e-3, ..fit() };
    let found = early.minimize(&rosenbrock(1.0, 1.0, 1.0), &[-1.2, 1.0]).unwrap();
    assert!(found.iterations <= plain.iterations && found.converged());
}

#[test]
fn the_best_point_is_kept_where_residuals_are_not_defined() {
    // ln x − 1 from 20: Gauss and Newton's step goes to −19.9.
    let log = residual_function(1, 1, |x, r| r[0] = x[0].ln() - 1.0, |x, j| j[0] = 1.0 / x[0]);
    let found = fit().minimize(&log, &[20.0]).unwrap();
    assert!(found.converged() && (found.x[0] - 1.0_f64.exp()).abs() < 1e-14, "{found}");
    let start = fit().minimize(&log, &[-1.0]).unwrap();
    assert_eq!((start.reason, start.x), (Reason::NonFinite, vec![-1.0]));
    let island = residual_function(
        1,
        1,
        |x, r| r[0] = if x[0] == 1.0 { 5.0 } else { f64::NAN },
        |_, j| j[0] = 1.0,
    );
    let found = fit().minimize(&island, &[1.0]).unwrap();
    assert_eq!((found.reason, found.x), (Reason::NonFinite, vec![1.0]));
    // A Jacobian that is not r's stalls.
    let wrong = residual_function(1, 1, |x, r| r[0] = x[0], |_, j| j[0] = -1.0);
    let found = fit().minimize(&wrong, &[1.0]).unwrap();
    assert!(!found.converged() && found.x == [1.0], "{found}");
}

#[test]
fn options_and_starting_points_are_checked() {
    let f = linear(vec![1.0, 2.0], vec![1.0, 2.0]);
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        for options in [
            LevenbergMarquardt { gtol: bad, ..fit() },
            LevenbergMarquardt { xtol: bad, ..fit() },
            LevenbergMarquardt { ftol: bad, ..fit() },
            LevenbergMarquardt { initial_radius: bad, ..fit() },
            LevenbergMarquardt { eta: bad, ..fit() },
        ] {
            let refused = options.minimize(&f, &[0.0]);
            assert!(matches!(refused, Err(Error::Invalid { .. })), "{options:?}");
        }
    }
    let small = LevenbergMarquardt { max_radius: 0.5, ..fit() };
    assert!(matches!(small.minimize(&f, &[0.0]), Err(Error::Invalid { .. })));
    assert!(matches!(fit().minimize(&f, &[]), Err(Error::Shape { .. })));
    let refused = fit().minimize(&f, &[f64::NAN]);
    assert!(matches!(refused, Err(Error::NonFinite { at, .. }) if at == [0]));
    let none = LevenbergMarquardt { max_iter: 0, ..fit() }.minimize(&f, &[0.0]).unwrap();
    assert_eq!((none.reason, none.iterations, none.value), (Reason::Iterations, 0, 2.5));
    let vast = residual_function(2, usize::MAX, |_, _| (), |_, _| ());
    let refused = fit().minimize(&vast, &[0.0; 2]);
    assert!(matches!(refused, Err(Error::TooLarge { .. } | Error::Memory { .. })), "{refused:?}");
}

/// A made problem of squared errors: some rows and the second output may have the weight 0, a ridge reaches all but the first parameters.
fn squares(widths: &[usize], n: usize, output_weights: Vec<f64>) -> Problem {
    let network = Network::dense(widths, Activation::Tanh).unwrap();
    let v = |i: usize, j: usize| ((0.37 * (j + 1) as f64) * i as f64 + 0.8 * j as f64).sin();
    let x = Array2::from_shape_fn((n, widths[0]), |(i, j)| v(i, j));
    let outputs = output_weights.len();
    let y = Array2::from_shape_fn((n, outputs), |(i, o)| v(i, 0) * v(i, 1) + 0.3 * v(i, o + 5));
    let weights = (0..n).map(|i| if i % 11 == 4 { 0.0 } else { 1.0 + 0.5 * v(i, 9) }).collect();
    let data = Data::new(x, y).unwrap().weighted(weights).unwrap();
    let p = network.parameters();
    let ridge = (0..p).map(|l| if l < 4 { 0.0 } else { 0.02 * (1 + l % 3) as f64 }).collect();
    let loss = Loss::WeightedSquaredError { output_weights };
    let problem = Problem::new(network, data, loss).unwrap().on(Device::Cpu);
    problem.penalty(Penalty::RidgeVec { lambda: ridge }).unwrap()
}

/// The triangle has the gradient, and the Gauss–Newton matrix, which is computed in another way: s² times the diagonal of its inverse are the squares of
/// the standard errors. One chunk, chunks, lanes, triangles so large that chunks come below each other; fewer rows than parameters;
/// ties, fixed weights and a penalty that reaches some.
#[test]
fn the_triangle_is_that_of_the_gauss_newton_matrix() {
    for (widths, n, v) in [
        (vec![3, 4, 2], 60, vec![1.5, 0.0]),
        (vec![3, 4, 2], 1_300, vec![1.5, 0.7]),
        (vec![3, 4, 2], 9_001, vec![0.4, 1.0]),
        (vec![24, 28, 1], 9_001, vec![1.0]),
        (vec![3, 9, 2], 40, vec![1.0, 1.0]),
    ] {
        let problem = squares(&widths, n, v.clone()).reduction(Reduction::Mean);
        let p = problem.parameters();
        let w = Initialization::Glorot.draw(problem.network(), 3);
        let mut entries: Vec<_> = (2..p).map(|l| (l, l - 2, 1.0)).collect();
        entries.extend([(0, 1, 0.5), (3, 0, -0.7)]);
        let mut fixed = vec![0.0; p];
        fixed[1] = 0.4;
        let tied = Constraint::new(fixed, p - 2, entries).unwrap();
        let tied = problem.clone().constraint(tied).unwrap();
        for (problem, w) in [(&problem, w.clone()), (&tied, w[2..].to_vec())] {
            let title = format!("{widths:?}, {n} rows, {} parameters", w.len());
            let at = problem.curvature(&w, Curvature::GaussNewton, Structure::Full).unwrap();
            let there = LevenbergMarquardt { max_iter: 0, ..fit() };
            let there = there.fit(problem, &w, &mut silent).unwrap();
            let largest = at.gradient.iter().fold(0.0f64, |m, g| m.max(g.abs()));
            assert!((there.gradient_norm / largest - 1.0).abs() < 1e-12, "{title}: {there}");
            assert_eq!(there.value, at.value, "{title}");
            let counted = (0..n).filter(|i| i % 11 != 4).count();
            let observed = counted * v.iter().filter(|v| **v > 0.0).count();
            let errors = problem.standard_errors(&w);
            if observed <= w.len() {
                assert!(matches!(errors, Err(Error::Invalid { .. })), "{title}: {errors:?}");
                continue;
            }
            let errors = errors.unwrap();
            let s2 = 2.0 * (at.value - at.penalty) / (observed - w.len()) as f64;
            let inverse = at.curvature.unwrap().inverse().unwrap().diagonal();
            for (l, (error, inverse)) in errors.iter().zip(inverse).enumerate() {
                let right = (s2 * inverse).sqrt();
                assert!((error / right - 1.0).abs() < 1e-8, "{title}: {l}: {error}, {right}");
            }
            // Whatever computes the rest.
            let single = problem.clone().on(Device::CpuF32);
            assert_eq!(single.standard_errors(&w).unwrap(), errors, "{title}");
        }
    }
}

/// No parameter that is free, and none at all.
#[test]
fn nothing_to_fit_is_an_end() {
    let problem = squares(&[2, 2, 1], 30, vec![1.0]);
    let p = problem.parameters();
    let fixed = Constraint::new(vec![0.1; p], 0, Vec::new()).unwrap();
    let none = fit().fit(&problem.constraint(fixed).unwrap(), &[], &mut silent);
    assert!(none.is_err() || none.is_ok_and(|fit| fit.w.is_empty() && fit.iterations == 0));
}
