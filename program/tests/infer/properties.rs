//! Relations between inferences of related problems, without an oracle.

use ndarray::{Array2, array};
use secondo::inference::{
    Covariance, Dispersion, Distribution, Inference, Options, RowWeights, Scale,
};
use secondo::{Activation, Auto, Constraint, Data, Layer, Loss, Method, Network, Problem, silent};

use super::designs::normal;
use rand::SeedableRng;
use rand_pcg::Pcg64;

/// Of the sum of two tanh units of the first two inputs.
const TRUTH: [f64; 9] = [1.2, 0.5, 0.3, -0.5, 1.2, -0.5, 1.5, -1.2, 0.2];

fn table(n: usize, inputs: usize, seed: u64) -> (Array2<f64>, Array2<f64>) {
    let mut rng = Pcg64::seed_from_u64(seed);
    let x = Array2::from_shape_simple_fn((n, inputs), || normal(&mut rng));
    let two = Network::dense(&[2, 2, 1], Activation::Tanh).unwrap();
    let mean = two.predict(&TRUTH, &x.select(ndarray::Axis(1), &[0, 1])).unwrap();
    let y = mean.mapv(|mean| mean + 0.25 * normal(&mut rng));
    (x, y)
}

fn fitted(problem: &Problem, start: &[f64]) -> Vec<f64> {
    Auto { gtol: 1e-13, ..Auto::default() }.fit(problem, start, &mut silent).unwrap().w
}

fn near(what: &str, found: f64, expected: f64, tolerance: f64) {
    let error = (found - expected).abs();
    assert!(error <= tolerance * expected.abs().max(1e-12), "{what}: {found} for {expected}");
}

#[test]
fn fixed_weights_are_a_smaller_network() {
    // [3-2-1] with the third input's weights fixed at 0, against [2-2-1].
    let (x, y) = table(200, 3, 1);
    let whole = Network::dense(&[3, 2, 1], Activation::Tanh).unwrap();
    let small = Network::dense(&[2, 2, 1], Activation::Tanh).unwrap();
    let two = x.select(ndarray::Axis(1), &[0, 1]);
    let kept: Vec<usize> = (0..11).filter(|l| ![2, 6].contains(l)).collect();
    let ties = kept.iter().enumerate().map(|(a, &l)| (l, a, 1.0)).collect();
    let tied = Problem::new(whole, Data::new(x, y.clone()).unwrap(), Loss::SquaredError)
        .unwrap()
        .constraint(Constraint::new(vec![0.0; 11], 9, ties).unwrap())
        .unwrap();
    let free = Problem::new(small, Data::new(two, y).unwrap(), Loss::SquaredError).unwrap();
    let w = fitted(&free, &TRUTH);
    for kind in [Covariance::Model, Covariance::Hc0, Covariance::Hc3] {
        let options = Options { covariance: Some(kind), ..Options::default() };
        let a = Inference::with(&tied, &w, options.clone()).unwrap();
        let b = Inference::with(&free, &w, options).unwrap();
        assert_eq!((a.refused(), b.refused()), (None, None));
        for (a, b) in a.parameters().unwrap().iter().zip(b.parameters().unwrap()) {
            near("se", a.std_error.unwrap(), b.std_error.unwrap(), 1e-9);
        }
        // W's covariance is that of θ, and 0 where it is fixed.
        assert_eq!(a.weights().unwrap()[2].std_error, Some(0.0));
        near("bic", a.summary().bic.unwrap(), b.summary().bic.unwrap(), 1e-12);
        let slopes = (a.slopes().unwrap(), b.slopes().unwrap());
        near("slope", slopes.0[0][1].std_error.unwrap(), slopes.1[0][1].std_error.unwrap(), 1e-9);
        let test = (a.wald(&[0, 4]).unwrap(), b.wald(&[0, 3]).unwrap());
        near("F", test.0.f.unwrap(), test.1.f.unwrap(), 1e-8);
    }
}

#[test]
fn tied_weights_have_one_standard_error() {
    // y = a x₁ + a x₂: the slope of the sum.
    let (x, y) = table(40, 2, 2);
    let line = |inputs: usize| {
        Network::new(inputs, vec![Layer::dense(1, Activation::Identity).without_bias()]).unwrap()
    };
    let sum = x.sum_axis(ndarray::Axis(1)).insert_axis(ndarray::Axis(1));
    let tied = Problem::new(line(2), Data::new(x, y.clone()).unwrap(), Loss::SquaredError)
        .unwrap()
        .constraint(Constraint::new(vec![0.0; 2], 1, vec![(0, 0, 1.0), (1, 0, 1.0)]).unwrap())
        .unwrap();
    let one = Problem::new(line(1), Data::new(sum, y).unwrap(), Loss::SquaredError).unwrap();
    let w = fitted(&one, &[0.1]);
    let (a, b) = (Inference::new(&tied, &w).unwrap(), Inference::new(&one, &w).unwrap());
    let expected = b.parameters().unwrap()[0].std_error.unwrap();
    for weight in a.weights().unwrap() {
        near("se", weight.std_error.unwrap(), expected, 1e-12);
    }
    assert_eq!(a.wald(&[0, 1]).unwrap().df, 1);
}

#[test]
fn precision_weights_are_scaled_rows_and_frequencies_are_not() {
    // A weight ω of a line through 0 is the row times √ω.
    let (x, y) = table(30, 2, 3);
    let omega: Vec<f64> = (0..30).map(|i| 0.25 + (i % 5) as f64).collect();
    let scaled =
        |m: &Array2<f64>| Array2::from_shape_fn(m.raw_dim(), |(i, j)| m[[i, j]] * omega[i].sqrt());
    let net = Network::new(2, vec![Layer::dense(1, Activation::Identity).without_bias()]).unwrap();
    let plain = Data::new(scaled(&x), scaled(&y)).unwrap();
    let plain = Problem::new(net.clone(), plain, Loss::SquaredError).unwrap();
    let weighted = Data::new(x, y).unwrap().weighted(omega.clone()).unwrap();
    let weighted = Problem::new(net, weighted, Loss::SquaredError).unwrap();
    let w = fitted(&plain, &[0.0; 2]);
    for kind in [Covariance::Model, Covariance::Hc0, Covariance::Hc2, Covariance::Hc3] {
        let options = Options { covariance: Some(kind), ..Options::default() };
        let a = Inference::with(&weighted, &w, options.clone()).unwrap();
        let b = Inference::with(&plain, &w, options.clone()).unwrap();
        for (a, b) in a.parameters().unwrap().iter().zip(b.parameters().unwrap()) {
            near(kind.name(), a.std_error.unwrap(), b.std_error.unwrap(), 1e-10);
        }
        // The density of y is √ω times that of √ω y.
        let logs: f64 = omega.iter().map(|w| 0.5 * w.ln()).sum();
        let (l, m) = (a.summary().log_likelihood.unwrap(), b.summary().log_likelihood.unwrap());
        near("log likelihood", l, m + logs, 1e-10);
    }
    let frequency = Options { weights_are: RowWeights::Frequency, ..Options::default() };
    let f = Inference::with(&weighted, &w, frequency).unwrap();
    let p = Inference::new(&weighted, &w).unwrap();
    assert!(f.summary().df_residual > p.summary().df_residual + 10.0);
}

#[test]
fn a_dispersion_matrix_is_that_of_a_multivariate_regression() {
    // V = Σ̂ ⊗ (ZᵀZ)⁻¹ with Σ̂ = EᵀE/(n − 2), Z = (x, 1): R's vcov.mlm.
    let x = array![[0.0], [1.0], [2.0], [4.0], [5.0]];
    let y = array![[0.1, 1.0], [0.9, 0.2], [2.3, 0.1], [3.8, -1.6], [5.4, -1.9]];
    let net = Network::dense(&[1, 2], Activation::Tanh).unwrap();
    let data = Data::new(x.clone(), y.clone()).unwrap();
    let problem = Problem::new(net, data, Loss::SquaredError).unwrap();
    let w = fitted(&problem, &[0.0; 4]);
    let options = Options { dispersion: Dispersion::Matrix, ..Options::default() };
    let found = Inference::with(&problem, &w, options).unwrap();
    let e = |i: usize, o: usize| y[[i, o]] - w[2 * o] * x[[i, 0]] - w[2 * o + 1];
    let sigma = |o: usize, q: usize| (0..5).map(|i| e(i, o) * e(i, q)).sum::<f64>() / 3.0;
    // ZᵀZ = [[46, 12], [12, 5]], determinant 86.
    let inverse = [[5.0 / 86.0, -12.0 / 86.0], [-12.0 / 86.0, 46.0 / 86.0]];
    let v = found.covariance().unwrap();
    for a in 0..4 {
        for b in 0..4 {
            near("V", v[[a, b]], sigma(a / 2, b / 2) * inverse[a % 2][b % 2], 1e-9);
        }
    }
    let Some(Scale::Matrix(estimated)) = &found.summary().dispersion else { panic!() };
    near("Σ", estimated[[0, 1]], sigma(0, 1), 1e-10);
    // One pooled number is another covariance.
    let pooled = Inference::new(&problem, &w).unwrap();
    assert!((pooled.covariance().unwrap()[[0, 2]]).abs() < 1e-12 && v[[0, 2]].abs() > 1e-4);
}

#[test]
fn the_score_test_has_its_exact_size_and_finds_a_curve() {
    // Of a linear model with normal noise F is exact at any number of rows.
    const TABLES: u64 = 600;
    let net = Network::dense(&[2, 1], Activation::Tanh).unwrap();
    let test = |seed: u64, curve: f64| {
        let mut rng = Pcg64::seed_from_u64(seed);
        let x = Array2::from_shape_simple_fn((40, 2), || normal(&mut rng));
        let y = Array2::from_shape_fn((40, 1), |(i, _)| {
            0.5 * x[[i, 0]] + curve * x[[i, 0]] * x[[i, 1]] + normal(&mut rng)
        });
        let problem =
            Problem::new(net.clone(), Data::new(x, y).unwrap(), Loss::SquaredError).unwrap();
        let w = fitted(&problem, &[0.0; 3]);
        Inference::new(&problem, &w).unwrap().neglected_nonlinearity().unwrap().unwrap()
    };
    // Of two inputs 3 products of two and 4 of three.
    assert_eq!((test(0, 0.0).df, test(0, 0.0).terms), (7, "quadratic and cubic"));
    let [size] = super::counted(TABLES, |seed| Some([test(seed, 0.0).p_f < 0.05]));
    assert!(super::in_band(size, 5.0, TABLES), "{size}");
    // n R² with its table rejects too often at 40 rows, and the wrong degrees of freedom are seen.
    let [wrong] = super::counted(TABLES, |seed| {
        let t = test(seed, 0.0);
        Some([secondo::inference::f_upper(t.f, 1.0, 30.0) < 0.05])
    });
    assert!(!super::in_band(wrong, 5.0, TABLES), "{wrong}");
    let [power] = super::counted(50, |seed| Some([test(seed, 1.0).p_f < 0.05]));
    assert!(power > 90.0, "{power}");
}

#[test]
fn profile_intervals_of_a_line_are_those_of_wald() {
    // A quadratic objective: the profile is Wald's interval.
    let (x, y) = table(25, 2, 5);
    let net = Network::dense(&[2, 1], Activation::Tanh).unwrap();
    let problem = Problem::new(net, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap();
    let w = fitted(&problem, &[0.0; 3]);
    let inference = Inference::new(&problem, &w).unwrap();
    let estimate = &inference.parameters().unwrap()[1];
    let [low, high] = inference.profile(1).unwrap().unwrap();
    near("lower", low.unwrap(), estimate.lower.unwrap(), 1e-7);
    near("upper", high.unwrap(), estimate.upper.unwrap(), 1e-7);
    let q = Distribution::T(22.0).quantile(0.95);
    near("q", (high.unwrap() - w[1]) / estimate.std_error.unwrap(), q, 1e-6);
}

#[test]
fn the_bootstrap_of_a_ratio_agrees_with_f_where_f_is_exact() {
    // Without a hidden layer F has its table: 199 simulations come near it.
    let (x, y) = table(30, 3, 8);
    let net = Network::dense(&[3, 1], Activation::Tanh).unwrap();
    let problem = Problem::new(net, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap();
    let w = fitted(&problem, &[0.0; 4]);
    let inference = Inference::new(&problem, &w).unwrap();
    let ratio = inference.likelihood_ratio(&[2]).unwrap().unwrap();
    let p = inference.bootstrap(&[2], &ratio, 199, 7).unwrap();
    let expected = ratio.p_f.unwrap();
    let error = (expected * (1.0 - expected) / 199.0).sqrt();
    assert!((p - expected).abs() < 4.0 * error + 0.01, "{p} for {expected}");
}
