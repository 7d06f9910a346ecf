//! The example data as problems: standardised features, classes as one-hot rows or 0/1.

use std::path::Path;

use ndarray::Array2;
use secondo::{Activation, Data, Initialization, Loss, Network, Penalty, Problem};

/// A data set of the examples with hidden tanh units and ridge 1e-2, and its start for a seed.
pub fn problem(name: &str, hidden: usize) -> Problem {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/data/{name}.csv"));
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|l| l.split(',').collect()).collect();
    let (n, d) = (rows.len(), rows[0].len() - 1);
    let mut x = Array2::from_shape_fn((n, d), |(i, j)| rows[i][j].parse::<f64>().unwrap());
    for mut column in x.columns_mut() {
        let mean = column.mean().unwrap();
        let deviation = (column.map(|v| (v - mean).powi(2)).mean().unwrap()).sqrt();
        column.mapv_inplace(|v| (v - mean) / if deviation > 0.0 { deviation } else { 1.0 });
    }
    let (y, loss) = if name == "diabetes" {
        let y: Vec<f64> = rows.iter().map(|r| r[d].parse().unwrap()).collect();
        let mean = y.iter().sum::<f64>() / n as f64;
        let deviation = (y.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
        let y = Array2::from_shape_fn((n, 1), |(i, _)| (y[i] - mean) / deviation);
        (y, Loss::SquaredError)
    } else {
        let mut classes: Vec<&str> = rows.iter().map(|r| r[d]).collect();
        classes.sort();
        classes.dedup();
        let class = |i: usize| classes.iter().position(|c| *c == rows[i][d]).unwrap();
        match classes.len() {
            2 => {
                (Array2::from_shape_fn((n, 1), |(i, _)| class(i) as f64), Loss::BinaryCrossEntropy)
            }
            k => (
                Array2::from_shape_fn((n, k), |(i, o)| f64::from(u8::from(class(i) == o))),
                Loss::SoftmaxCrossEntropy,
            ),
        }
    };
    let network = Network::dense(&[d, hidden, y.ncols()], Activation::Tanh).unwrap();
    Problem::new(network, Data::new(x, y).unwrap(), loss)
        .unwrap()
        .penalty(Penalty::ridge(1e-2))
        .unwrap()
}

pub fn start(problem: &Problem, seed: u64) -> Vec<f64> {
    Initialization::Glorot.draw(problem.network(), seed)
}
