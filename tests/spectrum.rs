//! The density of eigenvalues against sums that are known, and determinants against products of pivots.

use ndarray::Array2;
use secondo::solve::{SpectralDensity, spectral_density};
use secondo::{
    Activation, Curvature, Data, Error, Initialization, LinearOperator, Loss, Matrix, Network,
    Problem, Structure,
};

fn of_diagonal(values: &[f64], steps: usize, probes: usize, seed: u64) -> SpectralDensity {
    let product = |v: &[f64]| Ok(values.iter().zip(v).map(|(l, v)| l * v).collect());
    spectral_density(values.len(), steps, probes, seed, product).unwrap()
}

/// Σ weights · nodes^power.
fn moment(density: &SpectralDensity, power: i32) -> f64 {
    density.nodes.iter().zip(&density.weights).map(|(x, w)| w * x.powi(power)).sum()
}

/// Of a diagonal matrix every probe with entries ±1 has vᵀDᵏv = tr Dᵏ: m steps give all moments up to 2m − 1 exactly.
#[test]
fn moments_of_diagonal_matrices_are_exact() {
    let values: Vec<f64> = (0..60).map(|i| f64::from(i - 20) / 10.0).collect();
    for (steps, probes, seed) in [(1, 1, 0), (3, 1, 7), (6, 4, 1)] {
        let density = of_diagonal(&values, steps, probes, seed);
        assert_eq!(density.nodes.len(), steps * probes);
        assert!(density.nodes.is_sorted() && density.weights.iter().all(|w| *w >= 0.0));
        for power in 0..2 * steps as i32 {
            let expected: f64 = values.iter().map(|v| v.powi(power)).sum();
            let size: f64 = values.iter().map(|v| v.abs().powi(power)).sum();
            let found = moment(&density, power);
            assert!(
                (found - expected).abs() < 1e-12 * size,
                "{steps} steps, {power}: {found}, {expected}"
            );
        }
        // The next one is not: the test could fail.
        let next = 2 * steps as i32;
        let expected: f64 = values.iter().map(|v| v.powi(next)).sum();
        assert!((moment(&density, next) - expected).abs() > 1e-9 * expected, "{steps}");
    }
}

/// Eigenvalues with multiplicities end the iteration early, and each node then has the number of its eigenvalues.
#[test]
fn exhausted_spaces_give_the_eigenvalues() {
    let values = [vec![2.0; 5], vec![-1.0; 3], vec![0.0; 2]].concat();
    let density = of_diagonal(&values, 10, 1, 5);
    for ((node, weight), (value, count)) in
        density.nodes.iter().zip(&density.weights).zip([(-1.0, 3.0), (0.0, 2.0), (2.0, 5.0)])
    {
        assert!((node - value).abs() < 1e-12 && (weight - count).abs() < 1e-12, "{density:?}");
    }
    assert_eq!(density.nodes.len(), 3);
    assert_eq!(of_diagonal(&[], 4, 2, 0).nodes.len(), 0);
    assert_eq!(of_diagonal(&[0.0; 4], 4, 1, 0).nodes, [0.0]);
    // Ill-conditioned, and many steps: without reorthogonalisation there would be copies of the largest.
    let wide: Vec<f64> = (0..200).map(|i| 10f64.powi(i % 100 / 10)).collect();
    let density = of_diagonal(&wide, 150, 1, 3);
    assert!(density.nodes.len() < 20, "{} nodes of 10 values", density.nodes.len());
    assert!((density.nodes.last().unwrap() - 1e9).abs() < 1e-3);
}

#[test]
fn of_a_network_it_has_the_trace_and_the_ends_of_the_spectrum() {
    let network = Network::dense(&[3, 5, 2], Activation::Tanh).unwrap();
    let w = Initialization::Normal.draw(&network, 1);
    let x = Array2::from_shape_fn((12, 3), |(i, j)| ((7 * i + 3 * j) as f64).sin());
    let y = Array2::from_shape_fn((12, 2), |(i, j)| ((5 * i + j) as f64).cos());
    let problem = Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap();
    let at = problem.curvature(&w, Curvature::Exact, Structure::Full).unwrap();
    let matrix = at.curvature.unwrap();
    let operator = problem.operator(&w, Curvature::Exact).unwrap();
    let (p, eigenvalues) = (matrix.order(), matrix.eigenvalues().unwrap());
    let density = |seed| spectral_density(p, p, 40, seed, |v| operator.product(v)).unwrap();
    let (found, again) = (density(2), density(2));
    assert_eq!(found, again);
    assert_ne!(found, density(3));
    assert!((moment(&found, 0) - p as f64).abs() < 1e-10);
    // The variance of one probe is twice the sum of the squares beside the diagonal.
    let beside: f64 = (0..p * p)
        .filter(|i| i / p != i % p)
        .map(|i| matrix.entry(i / p, i % p).unwrap().powi(2))
        .sum();
    let deviation = (2.0 * beside / 40.0).sqrt();
    assert!((moment(&found, 1) - matrix.trace()).abs() < 4.0 * deviation);
    let (low, high) = (found.nodes[0], found.nodes[found.nodes.len() - 1]);
    let size = eigenvalues[p - 1];
    assert!((low - eigenvalues[0]).abs() < 1e-9 * size && (high - size).abs() < 1e-9 * size);
}

#[test]
fn wrong_requests_are_errors() {
    let product = |v: &[f64]| Ok(v.to_vec());
    for (steps, probes) in [(0, 1), (1, 0)] {
        let found = spectral_density(3, steps, probes, 0, product);
        assert!(matches!(found, Err(Error::Invalid { .. })));
    }
    let short = spectral_density(3, 2, 1, 0, |_| Ok(vec![1.0]));
    assert!(matches!(short, Err(Error::Shape { .. })), "{short:?}");
    let nan = spectral_density(3, 2, 1, 0, |_| Ok(vec![f64::NAN; 3]));
    assert!(matches!(nan, Err(Error::NonFinite { .. })), "{nan:?}");
}

#[test]
fn determinants_have_a_sign() {
    let of = |order, lower: Vec<f64>| Matrix::full(order, lower).unwrap().signed_log_determinant();
    // [[1, 2, 0], [2, 1, 0], [0, 0, −4]]: determinant 12. [[1, 2], [2, 4]]: 0.
    let (sign, logarithm) = of(3, vec![1.0, 2.0, 1.0, 0.0, 0.0, -4.0]).unwrap();
    assert!(sign == 1.0 && (logarithm - 12f64.ln()).abs() < 1e-14);
    let (sign, logarithm) = of(2, vec![4.0, 0.0, 2.0]).unwrap();
    assert!(sign == 1.0 && (logarithm - 8f64.ln()).abs() < 1e-14);
    assert_eq!(of(1, vec![-1.0]).unwrap(), (-1.0, 0.0));
    let (_, logarithm) = of(2, vec![1.0, 2.0, 4.0]).unwrap();
    assert!(logarithm < -30.0);
    assert_eq!(of(1, vec![0.0]).unwrap(), (0.0, f64::NEG_INFINITY));
}
