//! Simulated tables of which the truth is known, and what tests and intervals say of them.

use ndarray::{Array2, array};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use secondo::inference::{
    Covariance, Dispersion, Distribution, Inference, Options, chi2_upper, f_upper,
};
use secondo::{
    Activation, Auto, Constraint, Curvature, Data, LevenbergMarquardt, Loss, Method, Network,
    Problem, Result, silent,
};

/// w₁, w₂ with their biases, v, c of a [3-2-1] net of tanh units.
pub const TRUTH: [f64; 11] = [1.2, 0.5, 0.0, 0.3, -0.5, 1.2, 0.0, -0.5, 1.5, -1.2, 0.2];
/// The weights of the third input.
pub const IDLE: [usize; 2] = [2, 6];

/// The columns of a design with a hidden layer: rejections at 5 %, and how often a 95 % interval covers.
pub const REGULAR: [&str; 11] = [
    "Wald F, G",
    "Wald F, exact",
    "ratio F",
    "weight t, exact",
    "weight t, G",
    "mean covered, exact",
    "χ² exact, RSS/n",
    "hc0 G",
    "hc1 exact",
    "hc3 G",
    "ratio χ²",
];
/// The columns without a hidden layer: two tests whose sizes are exact, and three formulas that are wrong.
pub const LINEAR: [&str; 5] =
    ["F of two weights", "t of one", "F with RSS/n", "χ² with RSS/n", "z for t"];

/// A standard normal number (Box and Muller).
pub fn normal(rng: &mut Pcg64) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
}

/// The tests of one table, and the scaled condition of its information.
pub struct Regular {
    pub found: [bool; 11],
    pub condition: f64,
}

/// A table of n rows with noise σ, fitted from the truth; none where a fit ended at no regular minimum. Only the first six columns
/// unless `all`.
pub fn regular(n: usize, sigma: f64, seed: u64, all: bool) -> Result<Option<Regular>> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let network = Network::dense(&[3, 2, 1], Activation::Tanh)?;
    let x = Array2::from_shape_simple_fn((n, 3), || normal(&mut rng));
    let y = network.predict(&TRUTH, &x)?.mapv(|mean| mean + sigma * normal(&mut rng));
    let problem = Problem::new(network.clone(), Data::new(x, y)?, Loss::SquaredError)?;
    let fit = Auto::default().fit(&problem, &TRUTH, &mut silent)?;
    let kept: Vec<usize> = (0..TRUTH.len()).filter(|l| !IDLE.contains(l)).collect();
    let ties = kept.iter().enumerate().map(|(a, &l)| (l, a, 1.0)).collect();
    let reduced = problem.clone().constraint(Constraint::new(vec![0.0; 11], kept.len(), ties)?)?;
    let start: Vec<f64> = kept.iter().map(|&l| TRUTH[l]).collect();
    let without = Auto::default().fit(&reduced, &start, &mut silent)?;

    let with = |information, covariance, dispersion| -> Result<Inference> {
        let options = Options { information, covariance, dispersion, ..Options::default() };
        Inference::with(&problem, &fit.w, options)
    };
    let (exact, expected) = (Curvature::Exact, Curvature::GaussNewton);
    let by_exact = with(exact, None, Dispersion::Residual)?;
    let by_expected = with(expected, None, Dispersion::Residual)?;
    let mut found = [false; 11];
    for (at, inference) in [&by_expected, &by_exact].into_iter().enumerate() {
        let (wald, weight) = (inference.wald(&IDLE)?, &inference.parameters()?[IDLE[0]]);
        let (Some(wald), Some(weight)) = (wald.p_f, weight.p_value) else {
            return Ok(None);
        };
        (found[at], found[4 - at]) = (wald < 0.05, weight < 0.05);
    }
    let summary = by_exact.summary();
    let gain = 2.0 * (without.value - fit.value);
    found[2] = f_upper((0.5 * gain / summary.phi).max(0.0), 2.0, summary.df_residual) < 0.05;
    let at = array![[0.5, 0.5, 0.5]];
    let mean = network.predict(&TRUTH, &at)?[[0, 0]];
    let interval = &by_exact.predictions(&at)?[0].outputs[0];
    let inside = |l: f64, u: f64| l <= mean && mean <= u;
    found[5] = interval.lower.zip(interval.upper).is_some_and(|(l, u)| inside(l, u));
    if all {
        let p =
            |of: Inference| -> Result<bool> { Ok(of.wald(&IDLE)?.p_f.is_some_and(|p| p < 0.05)) };
        let by_likelihood = with(exact, None, Dispersion::MaximumLikelihood)?;
        found[6] = by_likelihood.wald(&IDLE)?.p_chi2.is_some_and(|p| p < 0.05);
        found[7] = p(with(expected, Some(Covariance::Hc0), Dispersion::Residual)?)?;
        found[8] = p(with(exact, Some(Covariance::Hc1), Dispersion::Residual)?)?;
        found[9] = p(with(expected, Some(Covariance::Hc3), Dispersion::Residual)?)?;
        let ratio = n as f64 * (without.value / fit.value).ln();
        found[10] = chi2_upper(ratio.max(0.0), 2.0) < 0.05;
    }
    Ok(Some(Regular { found, condition: by_exact.condition() }))
}

/// A table of 12 rows in which nothing depends on the three inputs, fitted by a linear model.
pub fn linear(seed: u64) -> Result<[bool; 5]> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let x = Array2::from_shape_simple_fn((12, 3), || normal(&mut rng));
    let y = Array2::from_shape_simple_fn((12, 1), || normal(&mut rng));
    let network = Network::dense(&[3, 1], Activation::Tanh)?;
    let problem = Problem::new(network, Data::new(x, y)?, Loss::SquaredError)?;
    let fit = LevenbergMarquardt::default().fit(&problem, &[0.0; 4], &mut silent)?;
    let with = |dispersion| -> Result<Inference> {
        let information = Curvature::GaussNewton;
        Inference::with(&problem, &fit.w, Options { information, dispersion, ..Options::default() })
    };
    let (right, wrong) = (with(Dispersion::Residual)?, with(Dispersion::MaximumLikelihood)?);
    let (test, fault) = (right.wald(&[1, 2])?, wrong.wald(&[1, 2])?);
    let weight = &right.parameters()?[0];
    let z = weight.statistic.map(|t| Distribution::Normal.two_sided(t));
    let p = [test.p_f, weight.p_value, fault.p_f, fault.p_chi2, z];
    Ok(p.map(|p| p.is_some_and(|p| p < 0.05)))
}
