//! How often tests at 5 % reject a true null hypothesis, and how often 95 % intervals cover: simulated tables of two designs.
//!
//! ```sh
//! cargo run --release --example calibration -- 10000
//! ```
//!
//! The truth is a [3-2-1] net of tanh units whose third input has no weights; fits start at the truth. The argument is the number
//! of tables for each design, 1000 unless given.

use ndarray::{Array2, array};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use rayon::prelude::*;
use secondo::inference::{Inference, Options, f_upper};
use secondo::{
    Activation, Auto, Constraint, Curvature, Data, Loss, Method, Network, Problem, Result, silent,
};

/// w₁, w₂ with their biases, v, c.
const TRUTH: [f64; 11] = [1.2, 0.5, 0.0, 0.3, -0.5, 1.2, 0.0, -0.5, 1.5, -1.2, 0.2];
/// The weights of the third input.
const IDLE: [usize; 2] = [2, 6];
const NAMES: [&str; 6] = [
    "Wald F, exact",
    "Wald F, G",
    "ratio F",
    "weight t, exact",
    "weight t, G",
    "mean covered, exact",
];

/// One table: what was rejected, and whether the mean was covered; none where a fit ended at no regular minimum.
fn table(n: usize, sigma: f64, seed: u64) -> Result<Option<[bool; 6]>> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let network = Network::dense(&[3, 2, 1], Activation::Tanh)?;
    let x = Array2::from_shape_simple_fn((n, 3), &mut normal);
    let y = network.predict(&TRUTH, &x)?.mapv(|mean| mean + sigma * normal());
    let problem = Problem::new(network.clone(), Data::new(x, y)?, Loss::SquaredError)?;
    let fit = Auto::default().fit(&problem, &TRUTH, &mut silent)?;

    let kept: Vec<usize> = (0..TRUTH.len()).filter(|l| !IDLE.contains(l)).collect();
    let ties = kept.iter().enumerate().map(|(a, &l)| (l, a, 1.0)).collect();
    let reduced = problem.clone().constraint(Constraint::new(vec![0.0; 11], kept.len(), ties)?)?;
    let start: Vec<f64> = kept.iter().map(|&l| TRUTH[l]).collect();
    let without = Auto::default().fit(&reduced, &start, &mut silent)?;

    let mut results = [false; 6];
    for (at, information) in [Curvature::Exact, Curvature::GaussNewton].into_iter().enumerate() {
        let options = Options { information, ..Options::default() };
        let inference = Inference::with(&problem, &fit.w, options)?;
        let (wald, weight) = (inference.wald(&IDLE)?, &inference.parameters()?[IDLE[0]]);
        let (Some(wald), Some(weight)) = (wald.p_f, weight.p_value) else {
            return Ok(None);
        };
        (results[at], results[3 + at]) = (wald < 0.05, weight < 0.05);
        if information == Curvature::Exact {
            let summary = inference.summary();
            let f = (without.value - fit.value) / summary.phi;
            results[2] = f_upper(f.max(0.0), 2.0, summary.df_residual) < 0.05;
            let at = array![[0.5, 0.5, 0.5]];
            let mean = network.predict(&TRUTH, &at)?[[0, 0]];
            let interval = &inference.predictions(&at)?[0].outputs[0];
            let inside = |l: f64, u: f64| l <= mean && mean <= u;
            results[5] = interval.lower.zip(interval.upper).is_some_and(|(l, u)| inside(l, u));
        }
    }
    Ok(Some(results))
}

fn main() -> Result<()> {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1000_u64);
    println!("{count} tables each; in percent");
    for (name, n, sigma) in [("A, σ 0.25, n 500", 500, 0.25), ("B, σ 0.75, n 500", 500, 0.75)] {
        let all: Vec<_> =
            (0..count).into_par_iter().map(|seed| table(n, sigma, seed)).collect::<Result<_>>()?;
        let regular: Vec<[bool; 6]> = all.into_iter().flatten().collect();
        println!("\n{name}: {} of {count} fits ended at a regular minimum", regular.len());
        for (i, column) in NAMES.iter().enumerate() {
            let hits = regular.iter().filter(|r| r[i]).count();
            println!("  {column:<20} {:5.1}", 100.0 * hits as f64 / regular.len().max(1) as f64);
        }
    }
    Ok(())
}
