//! Units of the user's own: what may be left out, and what is refused.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ndarray::array;
use secondo::backend::Cpu;
use secondo::{
    Activation, BlockNewton, Curvature, Data, Device, Error, ExactUnit, Group, Layer,
    LinearOperator, Loss, Method, Network, NewtonCg, Problem, Propagation, Reason, Request,
    Structure, TrustRegion, Unit, silent,
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
    let w = (0..network.parameters()).map(|l| ((5 * l) % 7) as f64 / 7.0 - 0.4).collect();
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
        for fact in ["squares", "∂²p/∂z²", "ExactUnit", "gauss-newton", "lagrangian"] {
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
                problem.evaluate_on(&Cpu::<f64>::new(), &w, request, 2).map(drop),
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
    for curvature in [Curvature::GaussNewton, Curvature::EmpiricalFisher, Curvature::Lagrangian] {
        let at = problem.curvature(&w, curvature, Structure::Full).unwrap();
        let v: Vec<f64> = (0..w.len()).map(|l| (l % 5) as f64 - 2.0).collect();
        let found = problem.operator(&w, curvature).unwrap().product(&v).unwrap();
        let right = at.curvature.unwrap().product(&v).unwrap();
        for (found, right) in found.iter().zip(&right) {
            assert!((found - right).abs() < 1e-12 * (1.0 + right.abs()), "{}", curvature.name());
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
        for found in [Some(check), cfg!(debug_assertions).then_some(made)].into_iter().flatten() {
            let Err(Error::Derivative { part, derivative, given, expected, .. }) = found else {
                panic!("{mistake:?}: {found:?}");
            };
            assert!(part.contains("wrong"), "{part}");
            // A wrong first derivative is found as such.
            assert_eq!(derivative, name);
            assert!((given - expected).abs() > 1e-4 * expected.abs());
        }
    }
    assert_eq!(Propagation::Unit(Arc::new(Wrong(Mistake::None))).check(3), Ok(()));
    network(Wrong(Mistake::None), 3).unwrap();
    // More than is checked without being asked.
    network(Wrong(Mistake::DW), 64).unwrap();
}

#[test]
fn a_panic_and_a_nan_name_the_unit() {
    let Err(Error::Part { kind: "unit", name, why }) = network(Wrong(Mistake::Parameters), 2)
    else {
        panic!("a panic in parameters()");
    };
    assert!(name == "wrong" && why.contains("no parameters"), "{name}: {why}");
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
            Error::NonFinite { what, .. } => {
                mistake == Mistake::Nan && what.to_string().contains("'wrong'")
            }
            _ => false,
        };
        assert!(right, "{mistake:?}: {error}");
    }
}

/// p = s Σ_c z_c², without parameters.
#[derive(Debug)]
struct Bare {
    s: f64,
    exact: bool,
    wgsl: Option<&'static str>,
    calls: Calls,
}

/// How many calls of a value go well, and how many of anything.
#[derive(Debug)]
struct Calls {
    of_value: AtomicI64,
    of_names: AtomicI64,
}

fn bare() -> Bare {
    Bare {
        s: 1.0,
        exact: true,
        wgsl: None,
        calls: Calls { of_value: i64::MAX.into(), of_names: i64::MAX.into() },
    }
}

fn use_up(calls: &AtomicI64) {
    assert!(calls.fetch_sub(1, Ordering::Relaxed) > 0, "out of calls");
}

impl Unit for Bare {
    fn name(&self) -> &str {
        use_up(&self.calls.of_names);
        "bare"
    }
    fn parameters(&self, _: usize) -> usize {
        0
    }
    fn value(&self, z: &[f64], _: &[f64]) -> f64 {
        use_up(&self.calls.of_value);
        self.s * z.iter().map(|z| z * z).sum::<f64>()
    }
    fn d_w(&self, _: &[f64], _: &[f64], _: &mut [f64]) {}
    fn d_z(&self, z: &[f64], _: &[f64], a: &mut [f64]) {
        (a.iter_mut().zip(z)).for_each(|(a, z)| *a = 2.0 * self.s * z);
    }
    fn d_ww(&self, _: &[f64], _: &[f64], _: &mut [f64]) {}
    fn exact(&self) -> Option<&dyn ExactUnit> {
        use_up(&self.calls.of_names);
        self.exact.then_some(self)
    }
    fn wgsl(&self) -> Option<&str> {
        self.wgsl
    }
}

impl ExactUnit for Bare {
    fn d_zz(&self, z: &[f64], _: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        (0..z.len()).for_each(|c| out[c * z.len() + c] = 2.0 * self.s);
    }
    fn d_wz(&self, _: &[f64], _: &[f64], _: &mut [f64]) {}
}

/// They are asked like the others, wherever they stand.
#[test]
fn units_without_parameters_are_seen() {
    let (problem, w) = problem(Arc::new(Bare { exact: false, ..bare() }));
    for curvature in [Curvature::Exact, Curvature::Residual] {
        let request = Request::curvature(curvature, Structure::Full);
        let found = problem.plan(request).map(drop);
        assert!(matches!(found, Err(Error::Unsupported { .. })), "{found:?}");
    }
    problem.curvature(&w, Curvature::GaussNewton, Structure::Full).unwrap();
    #[cfg(feature = "io")]
    {
        let network = problem.network().clone();
        let model = secondo::io::Model::new(network, w, Loss::SquaredError).unwrap();
        let error = model.to_bytes().unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains("'bare'"), "{error}");
    }
}

#[test]
fn a_panic_in_a_name_is_an_error() {
    let unit = Arc::new(bare());
    let (problem, w) = problem(unit.clone());
    unit.calls.of_names.store(0, Ordering::Relaxed);
    let exact = Request::curvature(Curvature::Exact, Structure::Full);
    for found in [problem.plan(exact).map(drop), problem.objective(&w).map(drop)] {
        let Err(Error::Part { name, why, .. }) = found else {
            panic!("{found:?}");
        };
        assert_eq!((&*name, &*why), ("without a name", "it panicked: out of calls"));
    }
}

/// On every device that computes the unit.
fn a_panic_ends_a_fit_at_its_best_point_on(device: &Device) {
    let methods: [&dyn Method; 3] =
        [&TrustRegion::default(), &NewtonCg::default(), &BlockNewton::default()];
    for method in methods {
        let mut progressed = false;
        // Methods need one to many values for a step.
        for values in [5, 10, 15, 20] {
            let unit = Arc::new(bare());
            let (problem, w) = problem(unit.clone());
            let problem = problem.on(device.clone());
            // Of two units and three samples.
            unit.calls.of_value.store(6 * values, Ordering::Relaxed);
            let fit = method.fit(&problem, &w, &mut silent).unwrap();
            if fit.reason != Reason::Part {
                continue;
            }
            let fault = fit.fault.as_ref().unwrap();
            let said = "the unit 'bare': it panicked: out of calls";
            assert!(fault.contains(said), "{fault}");
            progressed |= fit.iterations > 0 && fit.value < fit.initial_value;
            unit.calls.of_value.store(i64::MAX, Ordering::Relaxed);
            let value = problem.objective(&fit.w).unwrap();
            assert!((value - fit.value).abs() <= 1e-6 * fit.value, "{fit}");
        }
        assert!(progressed, "{}", method.name());
    }
}

#[test]
fn a_panic_ends_a_fit_at_its_best_point() {
    a_panic_ends_a_fit_at_its_best_point_on(&Device::Cpu);
}

#[cfg(feature = "gpu")]
mod on_an_adapter {
    use super::*;
    use common::adapter::{double, single};
    use common::own::{Quadratic, WGSL};
    use secondo::backend::gpu::Gpu;

    const BARE: &str = "
fn unit_value() -> real {
    var sum = real();
    for (var c = 0u; c < INPUTS; c += 1u) {
        sum += z(c) * z(c);
    }
    return sum;
}
fn unit_d_w(a: u32) -> real { return real(); }
fn unit_d_z(c: u32) -> real { return 2.0 * z(c); }
fn unit_d_ww(a: u32, b: u32) -> real { return real(); }
fn unit_d_zz(b: u32, c: u32) -> real { return select(real(), real(2.0), b == c); }
fn unit_d_wz(a: u32, c: u32) -> real { return real(); }
";

    fn refused(found: Result<(), Error>, what: &str) {
        let Err(Error::Part { kind: "unit", name, why }) = found else {
            panic!("{what}: {found:?}");
        };
        assert!(name == "bare" && why.contains("gives"), "{what}: {why}");
    }

    /// Whoever computes with it, the one text is compared with each form in Rust.
    #[test]
    fn a_text_is_compared_with_each_unit() {
        let devices: [fn() -> Gpu; 2] = [single, double];
        for gpu in devices.map(|open| open()) {
            let on = |s: f64| problem(Arc::new(Bare { s, wgsl: Some(BARE), ..bare() }));
            let exact = Request::curvature(Curvature::Exact, Structure::Full);
            let (right, w) = on(1.0);
            let expected = right.evaluate(&w, exact).unwrap();
            let found = right.evaluate_on(&gpu, &w, exact, 2).unwrap();
            assert!((found.value - expected.value).abs() <= 1e-5 * expected.value);
            let (found, expected) = (found.curvature.unwrap(), expected.curvature.unwrap());
            for (found, expected) in found.diagonal().iter().zip(expected.diagonal()) {
                assert!((found - expected).abs() <= 1e-4 * (1.0 + expected.abs()));
            }
            // The same name and text, and another function.
            let (wrong, w) = on(2.0);
            let v = vec![1.0; w.len()];
            let none = Request::default();
            let products = wrong.products_on(&gpu, &w, Curvature::Exact, &v, 2);
            let tensor = wrong.lagrangian_tensor_on(&gpu, &w, 1, 0, 2, 2);
            refused(wrong.evaluate_on(&gpu, &w, none, 2).map(drop), "evaluate");
            refused(products.map(drop), "products");
            refused(tensor.map(drop), "tensor");
            let wrong = wrong.on(Device::Gpu(gpu));
            refused(wrong.objective(&w).map(drop), "objective");
        }
    }

    #[test]
    fn a_panic_ends_a_fit_at_its_best_point() {
        a_panic_ends_a_fit_at_its_best_point_on(&Device::Gpu(double()));
    }

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
                ("return 2.0 * (w(INPUTS + c)", "return 2.0 * (w(INPUTS)", "unit_d_w(1)"),
                ("return -unit_d_wz(a, b);", "return unit_d_wz(a, b);", "unit_d_ww(2, 0)"),
                ("second += 2.0", "second += 2.002", "unit_d_ww(0, 0)"),
                ("a - INPUTS == c", "a - INPUTS == 0u", "unit_d_ww(1, 2)"),
            ] {
                let error = at(changed(from, to), &device).unwrap_err();
                let Error::Part { kind: "unit", name, why } = &error else {
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
            ("fn unit_value() -> real {", "fn unit_value() -> real { let x: i32 = 1.5;", "i32"),
            ("fn unit_d_w(", "fn unit_dw(", "unit_d_w"),
            ("return z(a) - w(a);", "return z(a) - ;", "expected"),
            ("return z(a) - w(a);", "return $MISSING;", "MISSING"),
        ] {
            let device = Device::Gpu(single());
            let error = at(changed(from, to), &device).unwrap_err();
            let Error::Part { kind: "unit", name, why } = &error else {
                panic!("{from}: {error}");
            };
            assert!(name == "quadratic" && why.contains(words), "{why}");
            // The adapter goes on.
            at(WGSL, &device).unwrap();
        }
    }
}
