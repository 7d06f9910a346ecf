//! NIST's regression Gauss1 with radial units: y = b₁ e^(−b₂x) + b₃ e^(−((x − b₄)/b₅)²) + b₆ e^(−((x − b₇)/b₈)²).
//!
//! `cargo run --release --example rbf_gauss1` prints the parameters beside the certified ones.

use ndarray::Array2;
use secondo::{
    Activation, Auto, Data, Group, Layer, Loss, Method, Network, Problem, Radial, Result, silent,
};

/// b₁ … b₈, from the National Institute of Standards and Technology.
const CERTIFIED: [f64; 8] = [
    98.778210871,
    0.010497276517,
    100.48990633,
    67.481111276,
    23.129773360,
    71.994503004,
    178.99805021,
    18.389389025,
];

fn main() -> Result<()> {
    let rows: Vec<f64> = include_str!("data/gauss1.csv")
        .split(['\n', ','])
        .filter_map(|cell| cell.parse().ok())
        .collect();
    let column = |c: usize| Array2::from_shape_fn((rows.len() / 2, 1), |(i, _)| rows[2 * i + c]);
    let data = Data::new(column(0), column(1))?;

    // An exponential beside two Gaussians e^(−p/2), p = ((x − μ)/σ)²: so b₅ = √2 σ. The output adds them up.
    let exponential = Group::linear(1, Activation::Exp);
    let gaussians = Group::radial(2, Radial::IsotropicSigma, Activation::ExpNegHalf);
    let network = Network::new(
        1,
        vec![
            Layer::of(vec![exponential, gaussians]).without_bias(),
            Layer::dense(1, Activation::Identity).without_bias(),
        ],
    )?;
    let problem = Problem::new(network, data, Loss::SquaredError)?;

    // NIST's first start, in the order of the network: −b₂; μ, σ of each Gaussian; the heights.
    let root = 2.0_f64.sqrt();
    let start = [-0.009, 65.0, 20.0 / root, 178.0, 16.5 / root, 97.0, 100.0, 70.0];
    let fit = Auto::default().fit(&problem, &start, &mut silent)?;
    println!("{fit}\nresidual sum of squares {:.7} (certified 1315.8222432)", 2.0 * fit.value);
    let [decay, m1, s1, m2, s2, b1, b3, b6] = fit.w[..] else {
        return Ok(());
    };
    let found = [b1, -decay, b3, m1, root * s1.abs(), b6, m2, root * s2.abs()];
    for (j, (b, certified)) in found.iter().zip(CERTIFIED).enumerate() {
        println!("b{}  {b:<16.11} certified {certified}", j + 1);
    }
    Ok(())
}
