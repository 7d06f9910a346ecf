//! Units of the user's own: what may be left out, and what is refused.

use std::sync::Arc;

use ndarray::array;
use secondo::backend::Cpu;
use secondo::{
    Activation, Curvature, Data, Error, Group, Layer, LinearOperator, Loss, Network, Problem,
    Propagation, Request, Structure, Unit,
};

/// p = Σ_c w_c z_c², without what only the exact Hessian needs.
#[derive(Debug)]
struct Squares;

impl Unit for Squares {
    fn name(&self) -> &str {
        "squares"
    }
    fn parameters(&self, inputs: usize) -> usize {
        inputs
    }
    fn value(&self, z: &[f64], w: &[f64]) -> f64 {
        z.iter().zip(w).map(|(z, w)| w * z * z).sum()
    }
    fn d_w(&self, z: &[f64], _: &[f64], phi: &mut [f64]) {
        phi.iter_mut().zip(z).for_each(|(phi, z)| *phi = z * z);
    }
    fn d_z(&self, z: &[f64], w: &[f64], a: &mut [f64]) {
        (a.iter_mut().zip(z.iter().zip(w))).for_each(|(a, (z, w))| *a = 2.0 * w * z);
    }
    fn d_ww(&self, _: &[f64], _: &[f64], psi: &mut [f64]) {
        psi.fill(0.0);
    }
}

/// tanh units, then units of this kind beside a linear one, with three samples and one parameter vector.
fn problem(unit: Arc<dyn Unit>) -> (Problem, Vec<f64>) {
    let group = Group::uniform(Propagation::Unit(unit), 2, Activation::Tanh);
    let layers = vec![
        Layer::dense(2, Activation::Tanh),
        Layer::of(vec![group]).and(Group::linear(1, Activation::Tanh)),
        Layer::dense(1, Activation::Identity),
    ];
    let network = Network::new(2, layers).unwrap();
    let w = (0..network.parameters())
        .map(|l| ((5 * l) % 7) as f64 / 7.0 - 0.4)
        .collect();
    let x = array![[0.5, -1.0], [1.5, 0.3], [-0.7, 0.9]];
    let data = Data::new(x, array![[1.0], [0.0], [2.0]]).unwrap();
    (Problem::new(network, data, Loss::SquaredError).unwrap(), w)
}

#[test]
fn without_an_exact_part_only_the_exact_hessian_is_refused() {
    let (problem, w) = problem(Arc::new(Squares));
    let refused = |found: Result<(), Error>, what: &str| {
        let Err(error @ Error::Unsupported { .. }) = found else {
            panic!("{what}: {found:?}");
        };
        let text = error.to_string();
        for fact in [
            "squares",
            "∂²p/∂z²",
            "ExactUnit",
            "gauss-newton",
            "lagrangian",
        ] {
            assert!(text.contains(fact), "{what}: {text}");
        }
    };
    let v = vec![1.0; w.len()];
    for curvature in Curvature::ALL {
        let exact = [Curvature::Exact, Curvature::Residual].contains(&curvature);
        for structure in Structure::ALL {
            let request = Request::curvature(curvature, structure);
            let what = format!("{} {}", curvature.name(), structure.name());
            let all = [
                problem.plan(request).map(drop),
                problem.evaluate(&w, request).map(drop),
                problem
                    .evaluate_on(&Cpu::<f64>::new(), &w, request, 2)
                    .map(drop),
            ];
            for found in all {
                match exact {
                    true => refused(found, &what),
                    false => found.unwrap(),
                }
            }
        }
        let all = [
            problem.plan_products(curvature, 1).map(drop),
            problem.operator(&w, curvature).map(drop),
            (problem.products_on(&Cpu::<f64>::new(), &w, curvature, &v, 2)).map(drop),
        ];
        for found in all {
            match exact {
                true => refused(found, curvature.name()),
                false => found.unwrap(),
            }
        }
    }
    problem.gradient(&w).unwrap();
    problem.jacobian(&w).unwrap();
    let at = problem.configuration(&w).unwrap();
    problem.lagrangian(&w, &at).unwrap();
}

/// The products are those of the matrix, for the curvatures that such units have.
#[test]
fn products_without_an_exact_part_are_those_of_the_matrix() {
    let (problem, w) = problem(Arc::new(Squares));
    for curvature in [
        Curvature::GaussNewton,
        Curvature::EmpiricalFisher,
        Curvature::Lagrangian,
    ] {
        let at = problem.curvature(&w, curvature, Structure::Full).unwrap();
        let v: Vec<f64> = (0..w.len()).map(|l| (l % 5) as f64 - 2.0).collect();
        let found = problem
            .operator(&w, curvature)
            .unwrap()
            .product(&v)
            .unwrap();
        let right = at.curvature.unwrap().product(&v).unwrap();
        for (found, right) in found.iter().zip(&right) {
            assert!(
                (found - right).abs() < 1e-12 * (1.0 + right.abs()),
                "{}",
                curvature.name()
            );
        }
    }
}
