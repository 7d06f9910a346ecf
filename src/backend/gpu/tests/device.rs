//! A device that chooses between an adapter and the processor.

use super::testing::{Simulated, peak, simulate};
use super::*;
use crate::device::{Device, Hardware};
use crate::{Activation, Curvature, Data, LinearOperator, Loss, Network, Problem, Structure};

/// `Auto` computes large requests on the adapter; where that fails, matrices and products come from the processor.
#[test]
fn automatic_falls_back_to_the_processor() {
    let number = |i: usize| ((i * 37 + 11) % 64) as f64 / 32.0 - 1.0;
    let network = Network::dense(&[30, 40, 2], Activation::Tanh).unwrap();
    let n = 60_000;
    let x = ndarray::Array2::from_shape_fn((n, 30), |(i, j)| number(30 * i + j));
    let y = ndarray::Array2::from_shape_fn((n, 2), |(i, j)| number(7 * i + j));
    let w: Vec<f64> = (0..network.parameters()).map(|l| number(l) / 4.0).collect();
    let problem = Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap();
    let v = ndarray::Array2::from_shape_fn((6, w.len()), |(r, l)| number(l + r));
    let products = |problem: &Problem| -> crate::Result<Vec<f64>> {
        let operator = problem.operator(&w, Curvature::Exact)?;
        Ok(operator.products(v.view())?.into_iter().collect())
    };
    let blocks = |problem: &Problem| -> crate::Result<Vec<f64>> {
        let at = problem.curvature(&w, Curvature::Exact, Structure::RowBlocks)?;
        let matrix = at.curvature.into_iter();
        Ok(matrix.flat_map(|m| m.diagonal()).collect())
    };
    type Ask<'a> = &'a dyn Fn(&Problem) -> crate::Result<Vec<f64>>;
    for ask in [&products as Ask, &blocks as Ask] {
        let right = ask(&problem).unwrap();
        let gpu = opened(testing::Setup::default());
        let auto = problem.clone().on(Device::Auto(Hardware::of(gpu.clone())));
        // In f32, so on the adapter.
        let found = ask(&auto).unwrap();
        assert!(found != right && peak(&gpu) > 0);
        for fault in [Simulated::Lost, Simulated::Timeout, Simulated::Unfinished] {
            let gpu = opened(testing::Setup::default());
            let auto = problem.clone().on(Device::Auto(Hardware::of(gpu.clone())));
            simulate(&gpu, fault, 5);
            assert!(ask(&auto).unwrap() == right, "{fault:?}");
        }
    }
}
