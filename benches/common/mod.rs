//! Shared by the benches: numbers, problems of any size, and a plot.
#![allow(dead_code)] // each bench uses a part

pub mod gram;
pub mod plot;
pub mod rate;

use ndarray::Array2;
use secondo::{Activation, Data, Device, Initialization, Loss, Network, Problem};

/// Numbers between −1 and 1 without a pattern.
pub fn number(k: usize) -> f64 {
    (k.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12) as f64 / (1u64 << 51) as f64 - 1.0
}

/// A network of tanh units with a linear last layer, `n` samples and a start.
pub fn problem(widths: &[usize], n: usize, device: Device) -> (Problem, Vec<f64>) {
    let network = Network::dense(widths, Activation::Tanh).expect("a network");
    let (d, o) = (network.inputs(), network.outputs());
    let x = Array2::from_shape_fn((n, d), |(i, j)| number(i * d + j));
    let y = Array2::from_shape_fn((n, o), |(i, j)| number(n * d + i * o + j));
    let w = Initialization::Glorot.draw(&network, 1);
    let data = Data::new(x, y).expect("data");
    let problem = Problem::new(network, data, Loss::SquaredError).expect("a problem");
    (problem.on(device), w)
}
