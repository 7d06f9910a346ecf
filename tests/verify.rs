//! The comparison of a problem's derivatives: right ones agree, and a unit with a wrong derivative is found.

use std::sync::Arc;

use ndarray::Array2;
use secondo::{
    Activation, Data, Initialization, Layer, Loss, LossFunction, Network, Penalty, Problem,
    Reduction, verify,
};

fn data(rows: usize, inputs: usize, outputs: usize) -> Data {
    let x = Array2::from_shape_fn((rows, inputs), |(i, j)| ((3 * i + 5 * j) as f64).sin());
    let y = Array2::from_shape_fn((rows, outputs), |(i, j)| ((2 * i + j) as f64).cos());
    Data::new(x, y).unwrap()
}

#[test]
fn right_derivatives_agree_to_ten_digits() {
    for activation in [Activation::Tanh, Activation::Gelu, Activation::Relu] {
        let layers = vec![
            Layer::dense(3, activation),
            Layer::dense(2, activation).sources([0, 1]),
            Layer::dense(1, Activation::Identity),
        ];
        let network = Network::new(2, layers).unwrap();
        let w = Initialization::Normal.draw(&network, 4);
        let data = data(7, 2, 1).weighted(vec![1.0, 2.0, 0.0, 1.0, 0.5, 3.0, 1.0]).unwrap();
        let problem = Problem::new(network, data, Loss::SquaredError)
            .and_then(|problem| problem.penalty(Penalty::ridge(0.3)))
            .unwrap()
            .reduction(Reduction::Mean);
        let found = verify::derivatives(&problem, &w, 6, 1).unwrap();
        assert_eq!(
            found.iter().map(|a| a.quantity).collect::<Vec<_>>(),
            ["value", "gradient", "Hessian", "products"]
        );
        assert_eq!(found[1].compared, 6);
        for a in &found {
            assert!(a.agrees && a.digits > 8.0 && a.reference > 8.0, "{activation}: {a:?}");
        }
        assert_eq!(found, verify::derivatives(&problem, &w, 6, 1).unwrap());
    }
}

/// A squared error with a factor in its second derivative, in which the check of users' parts, of debug builds, is not asked.
#[derive(Debug)]
struct Wrong(f64);

impl LossFunction for Wrong {
    fn name(&self) -> &str {
        "wrong"
    }

    fn value(&self, x: &[f64], y: &[f64]) -> f64 {
        0.5 * (x[0] - y[0]).powi(2)
    }

    fn gradient(&self, x: &[f64], y: &[f64], out: &mut [f64]) {
        out[0] = x[0] - y[0];
    }

    fn hessian(&self, x: &[f64], _: &[f64], out: &mut [f64]) {
        // Right near the targets, where users' losses are compared before they are used.
        out[0] = if x[0].abs() < 20.0 { 1.0 } else { self.0 };
    }
}

#[test]
fn a_wrong_second_derivative_is_found() {
    for (factor, agrees) in [(1.0, true), (1.0 + 1e-5, false), (-1.0, false)] {
        let network = Network::dense(&[1, 1], Activation::Tanh).unwrap();
        let problem =
            Problem::new(network, data(3, 1, 1), Loss::Custom(Arc::new(Wrong(factor)))).unwrap();
        let found = verify::derivatives(&problem, &[3.0, 40.0], 2, 0).unwrap();
        assert_eq!(
            found.iter().map(|a| a.agrees).collect::<Vec<_>>(),
            [true, true, agrees, agrees]
        );
        assert!(agrees || found[2].digits < 6.0, "{:?}", found[2]);
    }
}
