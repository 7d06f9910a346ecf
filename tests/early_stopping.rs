//! Early stopping returns the point of the path whose error on other rows is the lowest: compared with errors by a network written out here.

use ndarray::Array2;
use secondo::{
    Activation, BlockNewton, Control, Data, EarlyStopping, Error, Initialization, Lbfgs, Loss,
    Method, Network, Penalty, Problem, Reason, Reduction, TrustRegion, silent,
};

const HIDDEN: usize = 6;

fn network() -> Network {
    Network::dense(&[2, HIDDEN, 1], Activation::Tanh).unwrap()
}

/// Rows of a plane with noise, the same each time.
fn rows(seed: u64, count: usize) -> (Array2<f64>, Array2<f64>) {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as f64 / (1u64 << 30) as f64 - 1.0
    };
    let x = Array2::from_shape_fn((count, 2), |_| next());
    let y = Array2::from_shape_fn((count, 1), |(i, _)| x[(i, 0)] - x[(i, 1)] + next());
    (x, y)
}

fn problem(seed: u64, count: usize) -> Problem {
    let (x, y) = rows(seed, count);
    Problem::new(network(), Data::new(x, y).unwrap(), Loss::SquaredError).unwrap()
}

/// ½ mean (y − f(x))², with f written out: rows of six units (two weights, bias), then the output's (six weights, bias).
fn error(w: &[f64], seed: u64, count: usize) -> f64 {
    let (x, y) = rows(seed, count);
    let out = |i: usize| {
        let hidden = |j: usize| {
            let row = &w[3 * j..3 * j + 3];
            (row[0] * x[(i, 0)] + row[1] * x[(i, 1)] + row[2]).tanh()
        };
        let last = &w[3 * HIDDEN..];
        (0..HIDDEN).map(|j| last[j] * hidden(j)).sum::<f64>() + last[HIDDEN]
    };
    (0..count).map(|i| 0.5 * (y[(i, 0)] - out(i)).powi(2)).sum::<f64>() / count as f64
}

#[test]
fn the_best_point_of_the_path_is_returned() {
    let problem = problem(1, 16).penalty(Penalty::ridge(1e-6)).unwrap();
    let validation = self::problem(2, 40).reduction(Reduction::Mean);
    let start = Initialization::Glorot.draw(&network(), 4);
    let methods: [&dyn Method; 3] = [
        &TrustRegion { max_iter: 80, ..TrustRegion::default() },
        &Lbfgs { max_iter: 80, ..Lbfgs::default() },
        &BlockNewton { max_iter: 80, ..BlockNewton::default() },
    ];
    for method in methods {
        let name = method.name();
        let mut path = Vec::new();
        let whole = method.fit(&problem, &start, &mut |p| {
            path.push((p.iteration, p.value, p.state.x.clone()));
            Control::Continue
        });
        assert!(whole.unwrap().validation.is_none());
        let errors: Vec<f64> = path.iter().map(|(.., w)| error(w, 2, 40)).collect();
        for patience in [1, 4, 1000] {
            // The first point after which so many are no better, or the end.
            let mut best = 0;
            let mut end = errors.len() - 1;
            for at in 0..errors.len() {
                if errors[at] < errors[best] {
                    best = at;
                }
                if at - best >= patience {
                    end = at;
                    break;
                }
            }
            let early = EarlyStopping { method, validation: &validation, patience };
            assert_eq!((early.name(), early.settings()), (name, method.settings()));
            let fit = early.fit(&problem, &start, &mut silent).unwrap();
            let found = fit.validation.as_ref().unwrap();
            assert_eq!((found.best, found.curve.len()), (best, end + 1), "{name} {patience}");
            assert_eq!(found.ended, end + 1 < errors.len() || end - best >= patience, "{name}");
            assert_eq!((fit.w.as_slice(), fit.value), (&path[best].2[..], path[best].1), "{name}");
            for (found, (at, (step, value, _))) in found.curve.iter().zip(path.iter().enumerate()) {
                assert_eq!((found.step, found.objective), (*step, *value), "{name}");
                assert!((found.error - errors[at]).abs() < 1e-12 * errors[at], "{name}");
            }
            // The rows differ: the path goes on beyond the best point, and the reason says so.
            assert!(best < end, "{name} {patience}");
            assert_eq!(fit.reason, Reason::Validation, "{name}");
            assert!(!fit.converged() && fit.certificate.is_none());
            assert!(fit.to_string().contains("validation   error"), "{fit}");
        }
    }
}

#[test]
fn ends_of_the_method_stay_what_they_are() {
    // The rows are those of the training: the error falls to the end.
    let problem = problem(1, 60).penalty(Penalty::ridge(1.0)).unwrap();
    let start = Initialization::Glorot.draw(&network(), 4);
    let method = TrustRegion::default();
    let early = EarlyStopping { method: &method, validation: &problem, patience: 5 };
    let (fit, plain) = (
        early.fit(&problem, &start, &mut silent).unwrap(),
        method.fit(&problem, &start, &mut silent).unwrap(),
    );
    assert_eq!((&fit.w, fit.reason), (&plain.w, plain.reason));
    assert!(fit.converged() && fit.certificate == plain.certificate);
    // An observer that stops interrupts; the best point is returned all the same.
    let validation = self::problem(2, 40);
    let early = EarlyStopping { method: &method, validation: &validation, patience: 1000 };
    let stop = &mut |p: &secondo::Progress| {
        if p.iteration == 6 { Control::Stop } else { Control::Continue }
    };
    let fit = early.fit(&problem, &start, stop).unwrap();
    assert_eq!(fit.reason, Reason::Interrupted);
    let found = fit.validation.unwrap();
    assert_eq!((found.curve.last().unwrap().step, found.ended), (6, false));
    assert_eq!(fit.value, found.curve[found.best].objective);
}

#[test]
fn what_does_not_fit_is_refused() {
    let problem = problem(1, 16);
    let (x, y) = rows(2, 8);
    let other = Network::dense(&[2, 1], Activation::Tanh).unwrap();
    let other = Problem::new(other, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap();
    let method = TrustRegion::default();
    let start = vec![0.0; problem.parameters()];
    let early = |validation, patience| {
        let early = EarlyStopping { method: &method, validation, patience };
        early.fit(&problem, &start, &mut silent).map(|fit| fit.w.len())
    };
    assert!(matches!(early(&other, 3), Err(Error::Shape { .. })));
    assert!(matches!(early(&problem, 0), Err(Error::Invalid { .. })));
    assert_eq!(early(&problem, 1).unwrap(), start.len());
}
