//! The worked examples of Newton's method, and its behaviour where it must not converge.

use secondo::Error;
use secondo::train::TrustRegion;
use secondo::train::newton::*;

/// eˣ − ln x.
fn exp_minus_log() -> impl TwiceDifferentiable {
    univariate(|x| x.exp() - x.ln(), |x| x.exp() - 1.0 / x, |x| x.exp() + x.powi(-2))
}

/// x⁴ + 0.8y⁴ + 4x² + 2y² − xy − 0.2x²y.
fn quartic() -> impl TwiceDifferentiable {
    function(
        2,
        |v| {
            let (x, y) = (v[0], v[1]);
            x.powi(4) + 0.8 * y.powi(4) + 4.0 * x * x + 2.0 * y * y - x * y - 0.2 * x * x * y
        },
        |v, g| {
            let (x, y) = (v[0], v[1]);
            g[0] = 4.0 * x.powi(3) + 8.0 * x - y - 0.4 * x * y;
            g[1] = 3.2 * y.powi(3) + 4.0 * y - x - 0.2 * x * x;
        },
        |v, h| {
            let (x, y) = (v[0], v[1]);
            h[0] = 12.0 * x * x + 8.0 - 0.4 * y;
            h[1] = -1.0 - 0.4 * x;
            h[2] = 9.6 * y * y + 4.0;
        },
    )
}

/// x² − y² + y⁴: a saddle at (0, 0), minima of −1/4 at (0, ±1/√2).
fn saddle() -> impl TwiceDifferentiable {
    function(
        2,
        |v| v[0] * v[0] - v[1] * v[1] + v[1].powi(4),
        |v, g| g.copy_from_slice(&[2.0 * v[0], -2.0 * v[1] + 4.0 * v[1].powi(3)]),
        |v, h| h.copy_from_slice(&[2.0, 0.0, -2.0 + 12.0 * v[1] * v[1]]),
    )
}

/// 100(y − x²)² + (1 − x)².
fn rosenbrock() -> impl TwiceDifferentiable {
    function(
        2,
        |v| 100.0 * (v[1] - v[0] * v[0]).powi(2) + (1.0 - v[0]).powi(2),
        |v, g| {
            let r = v[1] - v[0] * v[0];
            g.copy_from_slice(&[-400.0 * v[0] * r - 2.0 * (1.0 - v[0]), 200.0 * r]);
        },
        |v, h| {
            let r = v[1] - v[0] * v[0];
            let xx = 800.0 * v[0] * v[0] - 400.0 * r + 2.0;
            h.copy_from_slice(&[xx, -400.0 * v[0], 200.0]);
        },
    )
}

fn region() -> TrustRegion {
    TrustRegion::default()
}

#[test]
fn one_variable_gives_the_printed_iterates() {
    let found = Newton::default().pure(&exp_minus_log(), &[0.05]).unwrap();
    for (x, printed) in found.path[1..].iter().zip([0.097, 0.183, 0.320, 0.477, 0.558, 0.567]) {
        // Half a unit of the last digit, and a little more: 0.32052 is printed as 0.320.
        assert!((x[0] - printed).abs() <= 6e-4, "{} for {printed}", x[0]);
    }
    assert!(found.converged() && (found.x[0] - 0.5671).abs() < 5e-5);
    let exact = TrustRegion { gtol: 1e-12, ..region() };
    let damped = exact.minimize(&exp_minus_log(), &[0.05]).unwrap();
    assert!(damped.converged() && (damped.x[0] - 0.567143290409784).abs() < 1e-12);
}

#[test]
fn two_variables_give_the_printed_iterates() {
    let f = quartic();
    let (mut g, mut h) = ([0.0; 2], [0.0; 3]);
    f.gradient(&[4.0, 4.0], &mut g);
    f.hessian(&[4.0, 4.0], &mut h);
    for (found, printed) in g.iter().chain(&h).zip([277.6, 213.6, 198.4, -2.6, 157.6]) {
        assert!((found - printed).abs() < 1e-12 * printed.abs());
    }
    let options = Newton { max_iter: 8, gtol: 0.0, xtol: 0.0 };
    let found = options.pure(&f, &[4.0, 4.0]).unwrap();
    for (x, printed) in found.path[1..].iter().zip([[2.58, 2.62], [1.59, 1.67]]) {
        assert!((x[0] - printed[0]).abs() <= 5e-3 && (x[1] - printed[1]).abs() <= 5e-3, "{x:?}");
    }
    let eighth = found.path[8].iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    assert!((1e-18..1e-16).contains(&eighth), "{eighth:e}");
    let damped = region().minimize(&f, &[4.0, 4.0]).unwrap();
    for (damped, pure) in damped.path.iter().zip(&found.path) {
        let apart = (damped[0] - pure[0]).hypot(damped[1] - pure[1]);
        assert!(apart < 1e-14, "no region is needed: {damped:?}, {pure:?}");
    }
    assert!(damped.converged() && damped.value < 1e-20);
}

#[test]
fn eigenvalues_name_the_critical_point() {
    let root = 2.0_f64.sqrt();
    for (hessian, kind, values) in [
        ([4.0, -1.0, 6.0], CriticalKind::Minimum, [5.0 - root, 5.0 + root]),
        ([-4.0, -1.0, -6.0], CriticalKind::Maximum, [-5.0 - root, -5.0 + root]),
        ([4.0, 0.0, -4.0], CriticalKind::Saddle, [-4.0, 4.0]),
        ([4.0, 0.0, 0.0], CriticalKind::Inconclusive, [0.0, 4.0]),
        ([-4.0, 0.0, 0.0], CriticalKind::Inconclusive, [-4.0, 0.0]),
        ([0.0, 0.0, 0.0], CriticalKind::Inconclusive, [0.0, 0.0]),
        ([1.0, 0.0, 1e-12], CriticalKind::Inconclusive, [1e-12, 1.0]),
        ([1.0, 0.0, -1e-12], CriticalKind::Inconclusive, [-1e-12, 1.0]),
    ] {
        let found = classify(&hessian, 2, 1e-10).unwrap();
        assert_eq!(found.kind, kind);
        for (found, value) in found.eigenvalues.iter().zip(values) {
            assert!((found - value).abs() < 1e-14, "{found} for {value}");
        }
    }
    // As printed; −3.49, which is in circulation, is −3.586.
    let minimum = classify(&[4.0, -1.0, 6.0], 2, 1e-10).unwrap().eigenvalues;
    assert!((minimum[0] - 3.59).abs() < 5e-3 && (minimum[1] - 6.41).abs() < 5e-3);
    let maximum = classify(&[-4.0, -1.0, -6.0], 2, 1e-10).unwrap().eigenvalues;
    assert!((maximum[0] + 6.41).abs() < 5e-3 && (maximum[1] + 3.586).abs() < 5e-4);
    // Both signs make a saddle whatever else is zero.
    let three = classify(&[1.0, 0.0, 0.0, 0.0, 0.0, -1.0], 3, 1e-10).unwrap();
    assert_eq!(three.kind, CriticalKind::Saddle);
    assert_eq!(classify(&[], 0, 0.0).unwrap().kind, CriticalKind::Inconclusive);
    for tol in [-1.0, 1.0, f64::NAN] {
        assert!(matches!(classify(&[1.0], 1, tol), Err(Error::Invalid { .. })));
    }
    assert!(matches!(classify(&[1.0], 2, 0.0), Err(Error::Shape { .. })));
}

#[test]
fn the_minimiser_leaves_the_saddle_where_the_pure_iteration_stays() {
    let pure = Newton::default().pure(&saddle(), &[1.0, 0.0]).unwrap();
    assert!(pure.converged());
    assert_eq!(pure.x, [0.0, 0.0]);
    for x0 in [[1.0, 0.0], [0.0, 0.0], [1.0, 1e-9], [1e-9, -1e-12], [-3.0, 0.1]] {
        let found = region().minimize(&saddle(), &x0).unwrap();
        assert!(found.converged(), "from {x0:?}: {found}");
        assert!((found.value + 0.25).abs() < 1e-15, "from {x0:?}: {found}");
    }
    // A maximum: cos from 0.
    let cosine = univariate(f64::cos, |x| -x.sin(), |x| -x.cos());
    let found = region().minimize(&cosine, &[0.0]).unwrap();
    assert!(found.converged() && (found.value + 1.0).abs() < 1e-15);
    assert_eq!(Newton::default().pure(&cosine, &[0.0]).unwrap().x, [0.0]);
}

#[test]
fn a_root_of_one_equation_and_of_a_system() {
    let cubic = newton_root(
        |x, f| f[0] = x[0].powi(3) - 2.0 * x[0] - 5.0,
        |x, j| j[0] = 3.0 * x[0] * x[0] - 2.0,
        &[2.0],
        &Newton::default(),
    )
    .unwrap();
    // Newton's own example: 2.1, 2.094568, …
    assert!((cubic.path[1][0] - 2.1).abs() < 1e-15);
    assert!((cubic.path[2][0] - 2.094568).abs() < 5e-7);
    assert!(cubic.converged() && (cubic.x[0] - 2.0945514815423265).abs() < 1e-9);

    // (2, 1) solves x² + y² = 5, x y³ = 2; J is not symmetric.
    let system = newton_root(
        |x, f| {
            f[0] = x[0] * x[0] + x[1] * x[1] - 5.0;
            f[1] = x[0] * x[1].powi(3) - 2.0;
        },
        |x, j| {
            let y2 = x[1] * x[1];
            j.copy_from_slice(&[2.0 * x[0], 2.0 * x[1], y2 * x[1], 3.0 * x[0] * y2]);
        },
        &[2.5, 0.8],
        &Newton { gtol: 1e-13, ..Newton::default() },
    )
    .unwrap();
    assert!(system.converged(), "{system}");
    assert!((system.x[0] - 2.0).abs() < 1e-13 && (system.x[1] - 1.0).abs() < 1e-13);

    // A linear system is solved in one step, whatever the scale of its rows and columns.
    let linear = newton_root(
        |x, f| {
            f[0] = 1e-200 * (x[0] + 2e100 * x[1] - 5.0);
            f[1] = 1e150 * (3.0 * x[0] - 1e100 * x[1] - 1.0);
        },
        |_, j| j.copy_from_slice(&[1e-200, 2e-100, 3e150, -1e250]),
        &[0.0, 0.0],
        &Newton { max_iter: 1, ..Newton::default() },
    )
    .unwrap();
    assert!((linear.x[0] - 1.0).abs() < 1e-14 && (linear.x[1] * 1e100 - 2.0).abs() < 1e-14);
}

#[test]
fn the_root_finder_ends_with_a_reason() {
    let root = |f: fn(f64) -> f64, j: fn(f64) -> f64, x0: f64| {
        let (f, j) = (
            move |x: &[f64], out: &mut [f64]| out[0] = f(x[0]),
            move |x: &[f64], out: &mut [f64]| out[0] = j(x[0]),
        );
        newton_root(f, j, &[x0], &Newton::default()).unwrap()
    };
    let singular = root(|x| x * x + 1.0, |x| 2.0 * x, 0.0);
    assert_eq!((singular.reason, singular.x[0], singular.value), (Reason::Singular, 0.0, 1.0));
    let outside = root(f64::ln, |x| 1.0 / x, 10.0);
    assert_eq!((outside.reason, outside.x[0]), (Reason::NonFinite, 10.0));
    assert!(!outside.converged());
    assert_eq!(root(f64::ln, |x| 1.0 / x, -1.0).reason, Reason::NonFinite);
    let dependent = newton_root(
        |x, f| f.copy_from_slice(&[0.1 * x[0] + 0.3 * x[1] - 1.0, 0.2 * x[0] + 0.6 * x[1] - 3.0]),
        |_, j| j.copy_from_slice(&[0.1, 0.3, 0.2, 0.6]),
        &[0.0, 0.0],
        &Newton::default(),
    );
    assert_eq!(dependent.unwrap().reason, Reason::Singular);
}

#[test]
fn no_iterations_evaluate_once() {
    let none = TrustRegion { max_iter: 0, ..region() };
    let found = none.minimize(&quartic(), &[4.0, 4.0]).unwrap();
    assert_eq!(found.reason, Reason::Iterations);
    assert_eq!(
        found.evaluations,
        Evaluations { objective: 1, gradient: 1, curvature: 1, products: 0 }
    );
    assert_eq!((found.iterations, found.x.as_slice()), (0, [4.0, 4.0].as_slice()));
    assert!((found.gradient_norm - 277.6).abs() < 1e-12);
    let options = Newton { max_iter: 0, ..Newton::default() };
    let pure = options.pure(&quartic(), &[4.0, 4.0]).unwrap();
    assert_eq!((pure.reason, pure.x), (Reason::Iterations, vec![4.0, 4.0]));
}

#[test]
fn the_best_point_is_kept_where_the_function_is_not_defined() {
    // x − ln x from 3.9: the full step goes to −11.3.
    let f = univariate(|x| x - x.ln(), |x| 1.0 - 1.0 / x, |x| x.powi(-2));
    let found = region().minimize(&f, &[3.9]).unwrap();
    assert!(found.converged() && (found.x[0] - 1.0).abs() < 1e-8, "{found}");
    assert!(found.path.iter().all(|x| x[0] > 0.0));
    let start = region().minimize(&f, &[-1.0]).unwrap();
    assert_eq!((start.reason, start.x), (Reason::NonFinite, vec![-1.0]));
    assert_eq!(start.evaluations.objective, 1);
    // Finite at the start only.
    let island = univariate(|x| if x == 1.0 { 0.0 } else { f64::NAN }, |_| 1.0, |_| 1.0);
    let found = region().minimize(&island, &[1.0]).unwrap();
    assert_eq!((found.reason, found.x), (Reason::NonFinite, vec![1.0]));
    // A gradient that is not finite is rejected as well.
    let edge = univariate(|x| x * x, |x| if x.abs() < 0.5 { f64::NAN } else { 2.0 * x }, |_| 2.0);
    let found = region().minimize(&edge, &[2.0]).unwrap();
    assert!(!found.converged() && found.x[0] >= 0.5 && found.value <= 4.0, "{found}");
}

#[test]
fn wrong_derivatives_stall_and_do_not_converge() {
    let wrong = univariate(|x| x * x, |x| -2.0 * x, |_| 2.0);
    let found = region().minimize(&wrong, &[1.0]).unwrap();
    assert_eq!((found.reason, found.x), (Reason::Stalled, vec![1.0]));
    let lifted = univariate(|x| 1e9 + x * x, |x| -2.0 * x, |_| 2.0);
    let found = region().minimize(&lifted, &[1.0]).unwrap();
    assert_eq!((found.reason, found.x), (Reason::Stalled, vec![1.0]));
    // A concave point that f does not know of.
    let flat = univariate(|_| 1.0, |_| 0.0, |_| -1.0);
    assert_eq!(region().minimize(&flat, &[0.0]).unwrap().reason, Reason::Indefinite);
}

#[test]
fn values_never_increase_and_known_minima_are_found() {
    for x0 in [[-1.2, 1.0], [0.0, 0.0], [10.0, -10.0], [-100.0, 3.0]] {
        let f = rosenbrock();
        let options = TrustRegion { max_iter: 1000, ..region() };
        let found = options.minimize(&f, &x0).unwrap();
        assert!(found.converged(), "from {x0:?}: {found}");
        assert!((found.x[0] - 1.0).abs() + (found.x[1] - 1.0).abs() < 1e-7, "{found}");
        let values: Vec<f64> = found.path.iter().map(|x| f.value(x)).collect();
        assert!(values.windows(2).all(|v| v[1] <= v[0] + 1e-14), "{values:?}");
    }
    // An offset hides the last decreases of f; the gradient still tells.
    let lifted = univariate(|x| 1e6 + x.cosh(), f64::sinh, f64::cosh);
    let found = region().minimize(&lifted, &[1.0]).unwrap();
    assert!(found.converged() && found.x[0].abs() < 1e-8, "{found}");
    // Hessian singular at the minimum: linear convergence, no failure.
    let flat = univariate(|x| x.powi(4), |x| 4.0 * x.powi(3), |x| 12.0 * x * x);
    let found = region().minimize(&flat, &[1.0]).unwrap();
    assert!(found.converged() && found.x[0].abs() < 2e-3);
    // No minimum: it runs on, and says so.
    let slope = univariate(|x| x, |_| 1.0, |_| 0.0);
    let found = region().minimize(&slope, &[0.0]).unwrap();
    assert!(!found.converged() && found.x[0] < -50.0, "{found}");
}

#[test]
fn options_and_starting_points_are_checked() {
    let f = quartic();
    for wrong in [-1.0, f64::NAN, f64::INFINITY] {
        for options in [
            Newton { gtol: wrong, ..Newton::default() },
            Newton { xtol: wrong, ..Newton::default() },
        ] {
            assert!(matches!(options.pure(&f, &[0.0, 0.0]), Err(Error::Invalid { .. })));
        }
    }
    let newton = Newton::default();
    assert!(matches!(newton.pure(&f, &[0.0]), Err(Error::Shape { .. })));
    let not_finite = newton.pure(&f, &[0.0, f64::NAN]);
    assert!(matches!(not_finite, Err(Error::NonFinite { at, .. }) if at == [1]));
    let empty = function(0, |_| 7.0, |_, _| (), |_, _| ());
    assert!(newton.pure(&empty, &[]).unwrap().converged());
    let said = region().minimize(&f, &[4.0, 4.0]).unwrap().to_string();
    assert!(said.starts_with("converged after"), "{said}");
}
