//! Random networks against hyper-dual numbers: all activations, losses, skips, and radial units in any layer; and
//! planted faults, each of which the comparison must catch.

mod common;

use common::faulty::{Fault, Faulty};
use common::hyperdual;
use common::nets::random_problem;
use common::{Failures, fixtures};
use secondo::backend::Cpu;
use secondo::{Curvature, Problem, Request, Structure};

/// Of the largest entry of each quantity.
const TOLERANCE: f64 = 2e-12;

/// The derivatives of a problem by hyper-dual numbers.
struct Reference {
    name: String,
    problem: Problem,
    w: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
    multipliers: Vec<Vec<f64>>,
    /// Of every curvature, the whole lower triangle.
    lower: Vec<Vec<f64>>,
}

impl Reference {
    fn new(name: String, problem: Problem, w: Vec<f64>) -> Self {
        let plain: Vec<_> = w.iter().map(|&v| v.into()).collect();
        Reference {
            value: hyperdual::objective(&problem, &plain).v,
            gradient: hyperdual::gradient(&problem, &w),
            multipliers: (1..=problem.network().depth())
                .map(|k| hyperdual::multipliers(&problem, &w, k))
                .collect(),
            lower: Curvature::ALL.map(|c| hyperdual::lower(&problem, &w, c)).to_vec(),
            name,
            problem,
            w,
        }
    }

    fn random(seed: u64, radial: bool) -> Self {
        let (problem, w) = random_problem(seed, radial);
        let name = format!("seed {seed}, {}, {:?}", problem.network(), problem.loss());
        Reference::new(name, problem, w)
    }

    /// Compares everything that a backend computes.
    fn compare(&self, fault: Fault, failures: &mut Failures) {
        let backend = Faulty(Cpu::<f64>::new(), fault);
        let name = |what: &str| format!("{}: {what}", self.name);
        let request = Request { gradient: true, multipliers: true, ..Request::default() };
        let evaluate = |request| self.problem.evaluate_on(&backend, &self.w, request, 512);
        let Ok(at) = evaluate(request) else {
            return failures.push(name("an error"));
        };
        failures.compare(&name("value"), &[at.value], &[self.value], TOLERANCE);
        failures.compare(&name("gradient"), &at.gradient, &self.gradient, TOLERANCE);
        for (k, (e, want)) in at.multipliers.iter().zip(&self.multipliers).enumerate() {
            let e: Vec<f64> = e.iter().copied().collect();
            failures.compare(&name(&format!("e^{}", k + 1)), &e, want, TOLERANCE);
        }
        for (curvature, lower) in Curvature::ALL.into_iter().zip(&self.lower) {
            if curvature == Curvature::Lagrangian {
                // The tensors of second order are the blocks of rows.
                let (mut got, mut want) = (Vec::new(), Vec::new());
                for (k, j, range) in self.problem.network().rows() {
                    let tensor =
                        (self.problem).lagrangian_tensor_on(&backend, &self.w, k, j, 2, 512);
                    let Ok(tensor) = tensor else {
                        return failures.push(name("an error"));
                    };
                    got.extend(tensor.packed());
                    want.extend(
                        (range.clone())
                            .flat_map(|a| (range.start..=a).map(move |b| a * (a + 1) / 2 + b))
                            .map(|at| lower[at]),
                    );
                }
                failures.compare(&name("tensors"), &got, &want, TOLERANCE);
            }
            for structure in Structure::ALL {
                let Ok(at) = evaluate(Request::curvature(curvature, structure)) else {
                    return failures.push(name("an error"));
                };
                let matrix = at.curvature.unwrap();
                let (mut got, mut want) = (Vec::new(), Vec::new());
                for block in matrix.blocks() {
                    let range = block.range.clone();
                    got.extend(block.packed());
                    want.extend(
                        (range.clone())
                            .flat_map(|a| (range.start..=a).map(move |b| a * (a + 1) / 2 + b))
                            .map(|at| lower[at]),
                    );
                }
                // The scale of the whole matrix: single blocks may vanish but for rounding.
                let what = format!("{} {}", curvature.name(), structure.name());
                failures.compare(&name(&what), &got, &want, TOLERANCE);
            }
            let Ok(at) = evaluate(Request::pooled(curvature)) else {
                return failures.push(name("an error"));
            };
            let layers = self.problem.network().layers();
            let (mut got, mut want) = (at.pooled.concat(), Vec::new());
            for g in layers.iter().flat_map(|layer| &layer.groups) {
                let of = |a: usize, b: usize| -> f64 {
                    let rows = g.range.clone().step_by(g.row.max(1)).map(|row| (row + a, row + b));
                    rows.map(|(a, b)| lower[a * (a + 1) / 2 + b]).sum()
                };
                let is_linear = g.propagation.is_linear();
                let entries = (0..g.row).flat_map(|a| (0..=a).map(move |b| (a, b)));
                want.extend(entries.map(|(a, b)| if is_linear { of(a, b) } else { 0.0 }));
            }
            // The scale of the whole matrix here, too.
            got.extend(lower);
            want.extend(lower);
            let diagonal = at.curvature.map(|matrix| matrix.diagonal());
            assert!(diagonal.is_some_and(|d| d.len() == self.w.len()));
            let what = format!("{} sums of row blocks", curvature.name());
            failures.compare(&name(&what), &got, &want, TOLERANCE);
            let p = self.w.len();
            let vectors: Vec<f64> = (0..2 * p).map(|l| ((7 * l) % 11) as f64 / 5.0 - 1.0).collect();
            let Ok(got) = (self.problem).products_on(&backend, &self.w, curvature, &vectors, 512)
            else {
                return failures.push(name("an error"));
            };
            let want: Vec<f64> = (vectors.chunks(p))
                .flat_map(|v| (0..p).map(move |a| (v, a)))
                .map(|(v, a)| {
                    let entry = |b: usize| lower[a.max(b) * (a.max(b) + 1) / 2 + a.min(b)];
                    (0..p).map(|b| entry(b) * v[b]).sum()
                })
                .collect();
            // The terms' scale: they may cancel.
            let largest = |v: &[f64]| v.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            let scale = largest(lower) / largest(&want).max(f64::MIN_POSITIVE);
            let tolerance = TOLERANCE * scale.max(1.0);
            let what = format!("{} products", curvature.name());
            failures.compare(&name(&what), &got, &want, tolerance);
        }
    }
}

#[test]
fn linear_units() {
    let mut failures = Failures::default();
    for seed in 0..150 {
        Reference::random(seed, false).compare(Fault::NONE, &mut failures);
    }
    failures.assert_none();
}

/// Activations that need a positive pre-activation, fed by exponentials with positive weights.
#[test]
fn activations_of_the_half_line() {
    use ndarray::array;
    use secondo::{Activation, Data, Group, Layer, Loss, Network, Propagation};
    let half_line = [Activation::Log, Activation::Sqrt, Activation::Reciprocal];
    let network = Network::new(
        2,
        vec![
            Layer::dense(3, Activation::Exp),
            Layer::of(vec![Group::new(Propagation::Linear, half_line)]).without_bias(),
            Layer::dense(2, Activation::Identity).sources([1, 2]),
        ],
    )
    .unwrap();
    let x = array![[0.3, -0.4], [1.0, 0.2], [-0.7, 0.9]];
    let y = array![[0.1, 1.0], [-0.4, 0.3], [0.8, -0.2]];
    let w: Vec<f64> = (0..network.parameters()).map(|l| 0.3 + 0.1 * (l % 7) as f64).collect();
    let problem = Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap();
    let mut failures = Failures::default();
    Reference::new("half line".into(), problem, w).compare(Fault::NONE, &mut failures);
    failures.assert_none();
}

#[test]
fn radial_units_anywhere() {
    let mut failures = Failures::default();
    for seed in 1000..1060 {
        Reference::random(seed, true).compare(Fault::NONE, &mut failures);
    }
    failures.assert_none();
}

/// Layers without parameters that couple the units of the layer before: hidden, with skips, beside linear units, after one
/// another, and as outputs.
#[test]
fn normalized_units() {
    use secondo::{Activation::*, Group, Layer, Radial};
    let radial = |units, form| Layer::of(vec![Group::radial(units, form, Identity)]);
    let networks = [
        vec![
            radial(3, Radial::IsotropicLogSigma),
            Layer::normalized(3),
            Layer::dense(2, Identity).sources([0, 2]),
        ],
        vec![
            radial(2, Radial::Cholesky).and(Group::linear(1, Tanh)),
            Layer::normalized(2).and(Group::linear(2, Logistic)).sources([0, 1]),
            radial(2, Radial::DiagonalLogSigma).sources([1, 2]),
            Layer::normalized(2),
            Layer::dense(2, Tanh).sources([1, 3, 4]),
        ],
        vec![Layer::normalized(2), radial(2, Radial::Full), Layer::normalized(2)],
    ];
    compare("normalized", networks);
}

/// Inputs of some layers are the outputs of one other alone, next to it or not, with the constant or without; of others, not.
#[test]
fn skips_and_layers_of_one_source() {
    use secondo::{Activation::*, Group, Layer};
    let (linear, tanh) = (|n| Layer::dense(n, Identity), |n| Layer::dense(n, Tanh));
    let mixed = tanh(2).and(Group::linear(1, Logistic));
    let networks = [
        vec![tanh(3), tanh(2), linear(2).sources([0, 2])],
        vec![tanh(3), mixed.clone().sources([0, 1]), linear(2)],
        vec![tanh(3), tanh(2).sources([0]), tanh(2), linear(2).sources([1, 3])],
        vec![tanh(3), tanh(2).sources([0]), mixed.sources([1]), linear(2).sources([2, 3])],
        vec![tanh(2).without_bias(), tanh(3), tanh(2).without_bias(), linear(2)],
        vec![tanh(2), tanh(3).without_bias().sources([0, 1]), linear(2).without_bias()],
    ];
    compare("skips", networks);
}

/// Everything that the harness compares, of networks with two inputs and two outputs.
fn compare<const N: usize>(kind: &str, networks: [Vec<secondo::Layer>; N]) {
    use common::nets::Random;
    use secondo::{Data, Loss, Network};
    let mut failures = Failures::default();
    for (seed, layers) in (0..).zip(networks) {
        let network = Network::new(2, layers).unwrap();
        let mut random = Random::new(seed);
        let (x, y) = (random.matrix(4, 2, 1.2), random.matrix(4, 2, 1.0));
        let w = random.vector(network.parameters(), 0.7);
        let data = Data::new(x, y).unwrap();
        let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
        let name = format!("{kind} {}", problem.network());
        Reference::new(name, problem, w).compare(Fault::NONE, &mut failures);
    }
    failures.assert_none();
}

/// The harness must fail: each fault makes some comparison differ.
#[test]
fn planted_faults_are_caught() {
    let references: Vec<Reference> = (0..12)
        .map(|seed| Reference::random(seed, false))
        .chain((1000..1012).map(|seed| Reference::random(seed, true)))
        .chain(
            fixtures("derivs")
                .into_iter()
                .map(|f| Reference::new(f.name.clone(), f.without_penalty(), f.w.clone())),
        )
        .collect();
    let missed: Vec<_> = (Fault::ALL.iter())
        .filter(|&&fault| {
            let mut failures = Failures::default();
            references.iter().for_each(|r| r.compare(fault, &mut failures));
            !failures.any()
        })
        .collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

/// The comparison itself must fail where it should.
#[test]
fn the_comparison_fails_where_it_must() {
    let want = [1.0, -2.0, 3.0];
    let differs = |got: &[f64], tolerance| {
        let mut failures = Failures::default();
        failures.compare("probe", got, &want, tolerance);
        failures.any()
    };
    assert!(!differs(&want, 0.0));
    assert!(!differs(&[1.0 + 2e-13, -2.0, 3.0], 1e-13));
    assert!(differs(&[1.0 + 4e-13, -2.0, 3.0], 1e-13));
    assert!(differs(&[1.0, 2.0, 3.0], 1e-13));
    assert!(differs(&[1.0, -2.0], 1e-13));
    assert!(differs(&[f64::NAN, -2.0, 3.0], 1e-13));
    assert!(differs(&[1.0, -2.0, f64::NAN], 1e-13));
    assert!(differs(&[1.0, f64::INFINITY, 3.0], 1e-13));
    let mut failures = Failures::default();
    failures.compare("an error where 0 is right", &[1e-300], &[0.0], 1e-13);
    assert!(failures.any());
}
