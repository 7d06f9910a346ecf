//! Units of the user's own: what may be left out, and what is refused.

mod common;

use std::sync::Arc;

use ndarray::array;
use secondo::backend::Cpu;
use secondo::{
    Activation, Curvature, Data, Error, ExactUnit, Group, Layer, LinearOperator, Loss, Network,
    Problem, Propagation, Request, Structure, Unit,
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

/// p = w Σ_c z_c² with one thing wrong.
#[derive(Debug)]
struct Wrong(Mistake);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mistake {
    None,
    DW,
    DZ,
    DWw,
    DZz,
    DWz,
    /// NaN where z_0 is above 50, far from where derivatives are checked.
    Nan,
    /// A panic there.
    Panic,
    /// A panic wherever the unit is asked for its parameters.
    Parameters,
}

impl Wrong {
    fn factor(&self, of: Mistake) -> f64 {
        if self.0 == of { 1.001 } else { 1.0 }
    }
}

impl Unit for Wrong {
    fn name(&self) -> &str {
        "wrong"
    }
    fn parameters(&self, _: usize) -> usize {
        assert!(self.0 != Mistake::Parameters, "no parameters");
        1
    }
    fn value(&self, z: &[f64], w: &[f64]) -> f64 {
        match self.0 {
            Mistake::Nan if z[0] > 50.0 => return f64::NAN,
            Mistake::Panic if z[0] > 50.0 => panic!("z is {}", z[0]),
            _ => {}
        }
        w[0] * z.iter().map(|z| z * z).sum::<f64>()
    }
    fn d_w(&self, z: &[f64], _: &[f64], phi: &mut [f64]) {
        phi[0] = self.factor(Mistake::DW) * z.iter().map(|z| z * z).sum::<f64>();
    }
    fn d_z(&self, z: &[f64], w: &[f64], a: &mut [f64]) {
        let factor = self.factor(Mistake::DZ);
        (a.iter_mut().zip(z)).for_each(|(a, z)| *a = factor * 2.0 * w[0] * z);
    }
    fn d_ww(&self, _: &[f64], _: &[f64], psi: &mut [f64]) {
        psi[0] = self.factor(Mistake::DWw) - 1.0;
    }
    fn exact(&self) -> Option<&dyn ExactUnit> {
        Some(self)
    }
}

impl ExactUnit for Wrong {
    fn d_zz(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        let d = z.len();
        (0..d).for_each(|c| out[c * d + c] = self.factor(Mistake::DZz) * 2.0 * w[0]);
    }
    fn d_wz(&self, z: &[f64], _: &[f64], out: &mut [f64]) {
        let factor = self.factor(Mistake::DWz);
        (out.iter_mut().zip(z)).for_each(|(out, z)| *out = factor * 2.0 * z);
    }
}

fn network(unit: impl Unit + 'static, inputs: usize) -> Result<Network, Error> {
    let propagation = Propagation::Unit(Arc::new(unit));
    let layer = Layer::of(vec![Group::uniform(propagation, 2, Activation::Tanh)]);
    Network::new(inputs, vec![layer, Layer::dense(1, Activation::Identity)])
}

/// In debug builds when the network is made; when asked for, always.
#[test]
fn wrong_derivatives_are_refused() {
    for (mistake, name) in [
        (Mistake::DW, "d_w"),
        (Mistake::DZ, "d_z"),
        (Mistake::DWw, "d_ww"),
        (Mistake::DZz, "d_zz"),
        (Mistake::DWz, "d_wz"),
    ] {
        let check = Propagation::Unit(Arc::new(Wrong(mistake))).check(3);
        let made = network(Wrong(mistake), 3).map(drop);
        for found in [Some(check), cfg!(debug_assertions).then_some(made)]
            .into_iter()
            .flatten()
        {
            let Err(Error::Derivative {
                part,
                derivative,
                given,
                expected,
                ..
            }) = found
            else {
                panic!("{mistake:?}: {found:?}");
            };
            assert!(part.contains("wrong"), "{part}");
            // A wrong first derivative is found as such.
            assert_eq!(derivative, name);
            assert!((given - expected).abs() > 1e-4 * expected.abs());
        }
    }
    assert_eq!(
        Propagation::Unit(Arc::new(Wrong(Mistake::None))).check(3),
        Ok(())
    );
    network(Wrong(Mistake::None), 3).unwrap();
    // More than is checked without being asked.
    network(Wrong(Mistake::DW), 64).unwrap();
}

#[test]
fn a_panic_and_a_nan_name_the_unit() {
    let Err(Error::Part {
        kind: "unit",
        name,
        why,
    }) = network(Wrong(Mistake::Parameters), 2)
    else {
        panic!("a panic in parameters()");
    };
    assert!(
        name == "wrong" && why.contains("no parameters"),
        "{name}: {why}"
    );
    for mistake in [Mistake::Nan, Mistake::Panic] {
        let network = network(Wrong(mistake), 2).unwrap();
        let w = vec![0.5; network.parameters()];
        let x = array![[0.5, 1.0], [60.0, 0.0]];
        let data = Data::new(x, array![[1.0], [0.0]]).unwrap();
        let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
        let error = problem.objective(&w).unwrap_err();
        let right = match &error {
            Error::Part { kind, name, why } => {
                mistake == Mistake::Panic
                    && *kind == "unit"
                    && name == "wrong"
                    && why.contains("z is 60")
            }
            Error::NonFinite { what, .. } => mistake == Mistake::Nan && what.contains("'wrong'"),
            _ => false,
        };
        assert!(right, "{mistake:?}: {error}");
    }
}

#[cfg(feature = "gpu")]
mod on_an_adapter {
    use super::*;
    use common::adapter::{double, single};
    use common::own::{Quadratic, WGSL};
    use secondo::Device;

    fn at(wgsl: &'static str, device: &Device) -> Result<f64, Error> {
        let network = network(Quadratic { wgsl: Some(wgsl) }, 2)?;
        let w = vec![0.25; network.parameters()];
        let data = Data::new(array![[0.5, 1.0], [-1.0, 0.0]], array![[1.0], [0.0]])?;
        let problem = Problem::new(network, data, Loss::SquaredError)?.on(device.clone());
        problem.objective(&w)
    }

    fn changed(from: &str, to: &str) -> &'static str {
        assert!(WGSL.contains(from), "{from}");
        Box::leak(WGSL.replacen(from, to, 1).into_boxed_str())
    }

    /// Before anything is computed with it, also in what a request does not use.
    #[test]
    fn a_text_that_differs_is_refused() {
        for device in [Device::Gpu(single()), Device::Gpu(double())] {
            let right = at(WGSL, &Device::cpu()).unwrap();
            assert!((at(WGSL, &device).unwrap() - right).abs() < 1e-6 * right);
            for (from, to, function) in [
                ("return sum + w", "return sum + 1.001 * w", "unit_value()"),
                ("return -unit_d_z(a);", "return unit_d_z(a);", "unit_d_w(0)"),
                (
                    "return 2.0 * (w(INPUTS + c)",
                    "return 2.0 * (w(INPUTS)",
                    "unit_d_w(1)",
                ),
                (
                    "return -unit_d_wz(a, b);",
                    "return unit_d_wz(a, b);",
                    "unit_d_ww(2, 0)",
                ),
                ("second += 2.0", "second += 2.002", "unit_d_ww(0, 0)"),
                ("a - INPUTS == c", "a - INPUTS == 0u", "unit_d_ww(1, 2)"),
            ] {
                let error = at(changed(from, to), &device).unwrap_err();
                let Error::Part {
                    kind: "unit",
                    name,
                    why,
                } = &error
                else {
                    panic!("{from}: {error}");
                };
                assert_eq!(name, "quadratic");
                // The functions call each other: what is changed shows in the first that uses it.
                assert!(why.contains(&format!(" {function} gives")), "{from}: {why}");
                for fact in ["z = [", "w = [", "gives", "unit_"] {
                    assert!(why.contains(fact), "{why}");
                }
            }
        }
    }

    #[test]
    fn a_text_that_does_not_compile_is_refused_in_the_compilers_words() {
        for (from, to, words) in [
            (
                "fn unit_value() -> real {",
                "fn unit_value() -> real { let x: i32 = 1.5;",
                "i32",
            ),
            ("fn unit_d_w(", "fn unit_dw(", "unit_d_w"),
            ("return z(a) - w(a);", "return z(a) - ;", "expected"),
            ("return z(a) - w(a);", "return $MISSING;", "MISSING"),
        ] {
            let device = Device::Gpu(single());
            let error = at(changed(from, to), &device).unwrap_err();
            let Error::Part {
                kind: "unit",
                name,
                why,
            } = &error
            else {
                panic!("{from}: {error}");
            };
            assert!(name == "quadratic" && why.contains(words), "{why}");
            // The adapter goes on.
            at(WGSL, &device).unwrap();
        }
    }
}
