//! Derivatives of any order: of the activations against tables of many digits, and of the Lagrangian in one unit's parameters
//! against stored results, lower orders and differences.

mod common;

use std::collections::BTreeMap;

use common::faulty::{Fault, Faulty};
use common::nets::{Random, random_problem};
use common::{Failures, Fixture, data_dir, fixtures, flat};
use ndarray::{Array2, IxDyn, array};
use secondo::backend::Cpu;
use secondo::{
    Activation, Configuration, Curvature, Data, Error, Group, Layer, Loss, Network, Penalty,
    Problem, Radial, Structure, SymmetricTensor,
};

/// Every activation, orders 3 to 8, and some 16 and 32: 2 ULP, or 2⁻⁵² of the local scale near interior zeros.
#[test]
fn activations_keep_to_their_promise() {
    let table = std::fs::read_to_string(data_dir().join("orders.csv")).unwrap();
    let mut worst: BTreeMap<(&str, usize), (f64, f64)> = BTreeMap::new();
    let mut rows = 0;
    for line in table.lines() {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |at: usize| cells[at].parse::<f64>().unwrap();
        let (h, order) = (Activation::from_name(cells[0]).unwrap(), number(1) as usize);
        let (u, exact, rest, scale) = (number(2), number(3), number(4), number(5));
        let found = h.derivative(u, order).unwrap();
        let ulp = |x: f64| (f64::from_bits(x.abs().to_bits() + 1) - x.abs()).abs();
        let error = match found == exact {
            true => rest.abs(),
            // Subtract exactly: the two are neighbours, or all is lost.
            false => ((found - exact) / ulp(exact) - rest).abs(),
        };
        let error = error / scale.max(1.0);
        // A subnormal's unit is the smallest there is.
        let allowed = 2.0;
        let error = if error.is_nan() { f64::INFINITY } else { error };
        let entry = worst.entry((cells[0], order)).or_default();
        if error > entry.0 {
            *entry = (error, u);
        }
        assert!(
            error <= allowed,
            "{h}, order {order} at {u:e}: {found:e}, exact {exact:e}, off by {error:.2} units"
        );
        rows += 1;
    }
    for ((name, order), (error, u)) in &worst {
        println!("{name:18} {order:2} {error:6.3} at {u:e}");
    }
    assert!(rows > 1500 && worst.len() >= 16 * 8, "{rows} rows");
}

#[test]
fn edges_of_the_activations() {
    let at = |h: Activation, u: f64, q| h.derivative(u, q).unwrap();
    for h in Activation::ALL {
        for u in [-1.5, 0.0, 0.25, 3.0] {
            let low = h.derivatives(u);
            for (q, v) in low.into_iter().enumerate() {
                assert!(at(h, u, q).to_bits() == v.to_bits() || v.is_nan(), "{h} {q}");
            }
        }
        for q in [3, 4, 8, 31, 170] {
            assert!(at(h, f64::NAN, q).is_nan(), "{h} {q}");
            for u in [1e-300, 1.0, 30.0, 700.0, 1e5, 1e300] {
                assert!(!at(h, u, q).is_nan(), "{h} {q} at {u}: {}", at(h, u, q));
            }
            let half_line = [Activation::Log, Activation::Sqrt].contains(&h);
            assert_eq!(at(h, -2.0, q).is_nan(), half_line, "{h} {q}");
            let limit = at(h, f64::INFINITY, q);
            match h {
                Activation::Sin | Activation::Cos => assert!(limit.is_nan()),
                Activation::Exp => assert_eq!(limit, f64::INFINITY),
                _ => assert_eq!(limit, 0.0, "{h} {q}"),
            }
        }
        let error = h.derivative(1.0, 171).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
    }
    for q in 2..9 {
        assert_eq!(at(Activation::Relu, 0.0, q), 0.0);
        assert_eq!(at(Activation::Relu, 5.0, q), 0.0);
    }
    assert_eq!(at(Activation::Log, 0.0, 4), f64::NEG_INFINITY);
    assert_eq!(at(Activation::Reciprocal, -0.0, 3), f64::NEG_INFINITY);
    assert_eq!(at(Activation::Reciprocal, 0.0, 3), f64::NEG_INFINITY);
    assert_eq!(at(Activation::Sqrt, 0.0, 3), f64::INFINITY);
}

fn dense(t: &SymmetricTensor) -> Vec<f64> {
    t.dense().unwrap().iter().copied().collect()
}

/// Third and fourth order of the stored problems, of linear and of radial units.
fn compare_stored(f: &Fixture, tensor: impl Fn(usize, usize, usize) -> Vec<f64>) -> Failures {
    let mut failures = Failures::default();
    let stored = &f.json["higher_order"];
    let number = |key: &str| stored[key].as_u64().unwrap() as usize;
    for (order, key) in [(3, "third"), (4, "fourth")] {
        let got = tensor(number("layer"), number("row"), order);
        failures.compare(&format!("{} {key}", f.name), &got, &flat(&stored[key]), 1e-13);
    }
    failures
}

fn stored() -> Vec<Fixture> {
    let all: Vec<_> =
        (fixtures("derivs").into_iter()).filter(|f| f.json["higher_order"].is_object()).collect();
    assert!(all.len() >= 5);
    all
}

#[test]
fn third_and_fourth_order_of_the_stored_problems() {
    for f in stored() {
        let problem = f.problem();
        let at = problem.configuration(&f.w).unwrap();
        compare_stored(&f, |k, j, q| dense(&problem.lagrangian_tensor(&f.w, k, j, q).unwrap()))
            .assert_none();
        compare_stored(&f, |k, j, q| {
            dense(&problem.lagrangian_tensor_at(&f.w, &at, k, j, q).unwrap())
        })
        .assert_none();
    }
}

#[test]
fn planted_faults_are_caught() {
    let linear: Vec<_> = (stored().into_iter())
        .filter(|f| f.network.layers().iter().all(|l| l.is_linear()))
        .collect();
    let with = |fault| {
        let backend = Faulty(Cpu::<f64>::new(), fault);
        linear.iter().any(|f| {
            compare_stored(f, |k, j, q| {
                dense(&f.problem().lagrangian_tensor_on(&backend, &f.w, k, j, q, 512).unwrap())
            })
            .any()
        })
    };
    assert!(!with(Fault::NONE));
    // Its h″ and higher orders are the host's.
    let kernels = ["tensor_sum", "fill", "activate"];
    for fault in (kernels.into_iter().flat_map(Fault::of)).filter(|f| f.words != "flips h″") {
        assert!(with(fault), "{fault:?} is not caught");
    }
}

/// Orders 1 and 2 are the gradient and the Lagrangian's row blocks without the penalty, for every unit of random networks.
#[test]
fn the_first_two_orders_are_gradient_and_row_block() {
    let mut failures = Failures::default();
    for (seed, radial) in (0..25).map(|s| (s, false)).chain((1000..1020).map(|s| (s, true))) {
        let (problem, w) = random_problem(seed, radial);
        let at = problem.curvature(&w, Curvature::Lagrangian, Structure::RowBlocks).unwrap();
        let blocks = at.curvature.unwrap();
        let with_penalty = problem.clone().penalty(Penalty::ridge(0.7)).unwrap();
        for (layer, row, range) in problem.network().rows() {
            let name = format!("seed {seed} layer {layer} row {row}");
            let tensor = |q| with_penalty.lagrangian_tensor(&w, layer, row, q).unwrap();
            failures.compare(&name, tensor(1).packed(), &at.gradient[range], 1e-13);
            let block = blocks.block(layer, Some(row)).unwrap();
            failures.compare(&name, tensor(2).packed(), block.packed(), 1e-13);
        }
    }
    failures.assert_none();
}

/// ∂/∂s of f at 0 by differences of tenth order.
fn slope(step: f64, f: impl Fn(f64) -> Vec<f64>) -> Vec<f64> {
    let weights = [5.0 / 6.0, -5.0 / 21.0, 5.0 / 84.0, -5.0 / 504.0, 1.0 / 1260.0];
    let mut sum = Vec::new();
    for (at, weight) in weights.into_iter().enumerate() {
        let s = (at + 1) as f64 * step;
        let (up, down) = (f(s), f(-s));
        sum.resize(up.len(), 0.0);
        for (sum, (up, down)) in sum.iter_mut().zip(up.iter().zip(&down)) {
            *sum += weight * (up - down) / step;
        }
    }
    sum
}

/// T of order q − 1 moved along w_b is T of order q with b for its last index, at the same states and multipliers: for every
/// activation up to order 8, and for every form of radial units up to 4 or 5.
#[test]
fn each_order_is_the_slope_of_the_one_before() {
    let mut random = Random::new(11);
    let x = random.matrix(6, 2, 1.0);
    let y = random.matrix(6, 1, 1.0);
    let mut cases: Vec<(String, Problem, Vec<f64>, usize, f64)> = Vec::new();
    for h in Activation::ALL {
        let network = Network::new(
            2,
            vec![Layer::dense(2, h), Layer::dense(1, Activation::Identity).sources([0, 1])],
        )
        .unwrap();
        // p between 1 and 3: where log, root and reciprocal are at home.
        let w = vec![0.4, -0.3, 2.0, 0.2, 0.5, 1.8, 0.6, -0.4, 0.3, 0.7, 0.1];
        let data = Data::new(x.clone(), y.clone()).unwrap();
        let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
        cases.push((h.to_string(), problem, w, 8, 0.01));
    }
    for f in fixtures("derivs") {
        let radial = !f.network.layers()[0].is_linear();
        cases.extend(radial.then(|| (f.name.clone(), f.problem(), f.w.clone(), 5, 0.005)));
    }
    assert_eq!(cases.len(), Activation::ALL.len() + 2);
    for form in Radial::ALL {
        let units = Layer::of(vec![Group::radial(2, form, Activation::ExpNegHalf)]);
        let output = Layer::dense(1, Activation::Identity);
        let network = Network::new(2, vec![units, output]).unwrap();
        let mut w = form.weights(&[0.3, -0.2], 1.3);
        w.extend(form.weights(&[-0.4, 0.1], 0.9));
        w.extend([0.8, -0.6, 0.1]);
        // No entry of M is 0.
        w.iter_mut().enumerate().for_each(|(l, w)| *w += 0.02 * (l % 5) as f64);
        let data = Data::new(x.clone(), y.clone()).unwrap();
        let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
        cases.push((format!("{form:?}"), problem, w, 4, 0.005));
    }
    let mut failures = Failures::default();
    for (name, problem, w, highest, step) in cases {
        let at = problem.configuration(&w).unwrap();
        let (layer, row) = (1, problem.network().width(1) - 1);
        let (_, _, range) =
            (problem.network().rows()).find(|r| (r.0, r.1) == (layer, row)).unwrap();
        let tensor = |w: &[f64], q| problem.lagrangian_tensor_at(w, &at, layer, row, q).unwrap();
        for q in 2..=highest {
            let t = tensor(&w, q);
            for b in 0..range.len() {
                let moved = |s: f64| {
                    let mut w = w.clone();
                    w[range.start + b] += s;
                    tensor(&w, q - 1).packed().to_vec()
                };
                let want = slope(step, moved);
                let got: Vec<f64> = tensor(&w, q - 1)
                    .entries()
                    .map(|(mut indices, _)| {
                        indices.push(b);
                        t.entry(&indices).unwrap()
                    })
                    .collect();
                let largest = |v: &[f64]| v.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                // Beside the largest of the whole tensor: those with b may be small.
                let scale = largest(t.packed()) / largest(&want).max(f64::MIN_POSITIVE);
                failures.compare(
                    &format!("{name} order {q} along {b}"),
                    &got,
                    &want,
                    1e-9 * scale.max(1.0),
                );
            }
        }
    }
    failures.assert_none();
}

#[test]
fn bad_requests_are_errors_that_say_why() {
    let f = &stored()[0];
    let problem = f.problem();
    let ask = |layer, row, order| problem.lagrangian_tensor(&f.w, layer, row, order).unwrap_err();
    for (layer, row, order, text) in [
        (0, 0, 3, "there is no layer 0; they run from 1 to 2"),
        (3, 0, 3, "there is no layer 3"),
        (1, 99, 3, "layer 1 has no row 99"),
        (1, 0, 0, "0, where 1 to 170 are possible"),
        (1, 0, 171, "171"),
        (1, 0, usize::MAX, "possible"),
    ] {
        let error = ask(layer, row, order);
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
    let error = problem.lagrangian_tensor(&f.w[1..], 1, 0, 3).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
    let mut at = problem.configuration(&f.w).unwrap();
    at.multipliers[0][[0, 0]] = f64::INFINITY;
    let error = problem.lagrangian_tensor_at(&f.w, &at, 1, 0, 3).unwrap_err();
    assert!(matches!(error, Error::NonFinite { .. }), "{error}");
    // A unit that supplies no more than two derivatives.
    let (problem, w) = with_two_derivatives();
    assert!(problem.lagrangian_tensor(&w, 1, 0, 2).is_ok());
    let error = problem.lagrangian_tensor(&w, 1, 0, 3).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("'plain'"), "{error}");
}

/// p = z w, nothing beyond the second derivative.
#[derive(Debug)]
struct Plain;

impl secondo::Unit for Plain {
    fn name(&self) -> &str {
        "plain"
    }
    fn parameters(&self, d: usize) -> usize {
        d
    }
    fn value(&self, z: &[f64], w: &[f64]) -> f64 {
        z.iter().zip(w).map(|(z, w)| z * w).sum()
    }
    fn d_w(&self, z: &[f64], _: &[f64], phi: &mut [f64]) {
        phi.copy_from_slice(z);
    }
    fn d_z(&self, _: &[f64], w: &[f64], a: &mut [f64]) {
        a.copy_from_slice(w);
    }
    fn d_ww(&self, _: &[f64], _: &[f64], psi: &mut [f64]) {
        psi.fill(0.0);
    }
}

fn with_two_derivatives() -> (Problem, Vec<f64>) {
    use secondo::Propagation;
    let group = Group::uniform(Propagation::Unit(std::sync::Arc::new(Plain)), 1, Activation::Tanh);
    let network = Network::new(2, vec![Layer::of(vec![group])]).unwrap();
    let data = Data::new(array![[0.5, -1.0]], array![[0.3]]).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    (problem, vec![0.7, 0.2])
}

/// Sizes are refused with the numbers before anything is allocated.
#[test]
fn what_is_too_large_is_refused() {
    let network = Network::dense(&[400, 2, 1], Activation::Tanh).unwrap();
    let data = Data::new(Array2::zeros((3, 400)), Array2::zeros((3, 1))).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    let w = vec![0.1; problem.parameters()];
    let error = problem.lagrangian_tensor(&w, 1, 1, 60).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    // C(406, 6) numbers
    let error = problem.lagrangian_tensor(&w, 1, 1, 6).unwrap_err();
    assert!(error.to_string().contains("order 6 of layer 1, row 1"), "{error}");
    assert!(
        matches!(error, Error::Memory { need, budget, .. } if need > budget && need > 8 * 5_900_000_000_000),
        "{error}"
    );
    let at = problem.configuration(&w).unwrap();
    let again = problem.lagrangian_tensor_at(&w, &at, 1, 1, 6).unwrap_err();
    assert!(matches!(again, Error::Memory { .. }), "{again}");
    let problem = problem.memory_budget(60 << 20);
    let error = problem.lagrangian_tensor(&w, 1, 0, 3).unwrap_err();
    assert!(matches!(error, Error::Memory { .. }), "{error}");
    assert!(problem.lagrangian_tensor(&w, 1, 0, 2).is_ok());
}

/// A tensor that would take hours is refused, too.
#[test]
fn what_takes_too_long_is_refused() {
    let problem = |n: usize| {
        let group = Group::radial(1, Radial::DiagonalSigma, Activation::ExpNegHalf);
        let network = Network::new(4, vec![Layer::of(vec![group])]).unwrap();
        let data = Data::new(Array2::ones((n, 4)), Array2::zeros((n, 1))).unwrap();
        Problem::new(network, data, Loss::SquaredError).unwrap()
    };
    let w = [0.5, 0.4, 0.3, 0.2, 1.0, 1.1, 1.2, 1.3];
    // C(19, 12) numbers, 27644437 − 4213597 blocks: 1.18·10¹² for one sample.
    let error = problem(1).lagrangian_tensor(&w, 1, 0, 12).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("1.2e12"), "{error}");
    let at = problem(1).configuration(&w).unwrap();
    assert_eq!(problem(1).lagrangian_tensor_at(&w, &at, 1, 0, 12), Err(error.clone()));
    let direct = problem(1).lagrangian_tensor_on(&Cpu::<f64>::new(), &w, 1, 0, 12, 1);
    assert_eq!(direct, Err(error));
    assert!(problem(3).lagrangian_tensor(&w, 1, 0, 5).is_ok());
}

/// The order of samples, chunks and threads: chunks change no more than rounding.
#[test]
fn chunks_change_no_more_than_rounding() {
    let (problem, w) = common::ratio::dense(&[3, 4, 2], Activation::Tanh, 0, 1500, 0.5);
    let all = problem.lagrangian_tensor(&w, 1, 2, 4).unwrap();
    for chunk in [1, 100, 512, 1500] {
        let t = problem.lagrangian_tensor_on(&Cpu::<f64>::new(), &w, 1, 2, 4, chunk).unwrap();
        let mut failures = Failures::default();
        failures.compare(&format!("chunk {chunk}"), t.packed(), all.packed(), 1e-14);
        failures.assert_none();
    }
}

/// The ratio test of a tensor: u K A over what enters it, with A of the multipliers and pre-activations that a backend of
/// absolute values gives.
fn ratio<B: secondo::backend::Backend>(
    problem: &Problem,
    w: &[f64],
    (layer, row, order): (usize, usize, usize),
    backend: &B,
    u: f64,
    disturb: f64,
) -> f64 {
    use common::absolute::Absolute;
    use common::exact::packed_powers;
    let request = secondo::Request { multipliers: true, ..secondo::Request::gradient() };
    assert_eq!(layer, 1);
    let network = problem.network();
    let n = problem.rows();
    let bound = problem.evaluate_on(&Absolute, w, request, n).unwrap();
    let view = network.layer(layer).unwrap();
    let h = (view.groups.iter().flat_map(|g| g.activations())).nth(row).unwrap();
    let start = view.range.start + row * view.width();
    let weights = &w[start..start + view.width()];
    let mut a = vec![0.0; SymmetricTensor::length(view.width(), order).unwrap()];
    for i in 0..n {
        let mut z = problem.data().unwrap().x().row(i).to_vec();
        z.extend(view.bias.then_some(1.0));
        let p: f64 = z.iter().zip(weights).map(|(z, w)| z * w).sum();
        let size: f64 = z.iter().zip(weights).map(|(z, w)| (z * w).abs()).sum();
        let of = |q| h.derivative(p, q).unwrap().abs();
        let c = bound.multipliers[layer - 1][[i, row]].abs() * (of(order) + of(order + 1) * size);
        let z: Vec<f64> = z.iter().map(|z| z.abs()).collect();
        let terms = packed_powers(&z, order).into_iter();
        a.iter_mut().zip(terms).for_each(|(a, v)| *a += c * v);
    }
    let exact = problem.lagrangian_tensor(w, layer, row, order).unwrap();
    let tested = problem.lagrangian_tensor_on(backend, w, layer, row, order, 512).unwrap();
    let k = common::ratio::chain(problem) + order as f64;
    let k = common::ratio::sides(u) * k;
    let mut worst = 0.0f64;
    for ((t, e), a) in tested.packed().iter().zip(exact.packed()).zip(&a) {
        let t = t * (1.0 + disturb);
        let r = (t - e).abs() / (u * k * (a + common::exact::FLOOR));
        worst = worst.max(if r.is_nan() { f64::INFINITY } else { r });
    }
    worst
}

/// The problems of the ratio test: the stored problems with numbers that f32 holds, and the edges of splits.
fn rows() -> Vec<(Problem, Vec<f64>, (usize, usize))> {
    use common::ratio::single;
    let mut all = Vec::new();
    for f in stored().iter().filter(|f| f.network.layers().iter().all(|l| l.is_linear())) {
        let rounded = |v: &f64| f64::from(*v as f32);
        let data = Data::new(f.data.x().map(rounded), f.data.y().map(rounded)).unwrap();
        let data = data.weighted(single(f.data.weights())).unwrap();
        let Ok(problem) = Problem::new(f.network.clone(), data, f.loss.clone()) else {
            continue;
        };
        let row = f.json["higher_order"]["row"].as_u64().unwrap() as usize;
        all.push((problem, single(&f.w), (1, row)));
    }
    assert!(all.len() >= 3);
    for (inputs, n) in [(1, 1), (2, 511), (3, 513), (9, 1300), (30, 65)] {
        let (problem, w) = common::ratio::dense(&[inputs, 3, 2], Activation::Tanh, 0, n, 0.5);
        all.push((problem, single(&w), (1, 1)));
    }
    all
}

#[test]
fn f32_within_the_rounding_of_its_own_terms() {
    let mut worst = 0.0f64;
    for (problem, w, (layer, row)) in rows() {
        for order in 1..=5 {
            let of = (layer, row, order);
            let r = ratio(&problem, &w, of, &Cpu::<f32>::new(), common::ratio::SINGLE, 0.0);
            worst = worst.max(r);
        }
    }
    println!("largest ratio {worst:.3}");
    assert!(worst < 1.0, "{worst}");
    let (problem, w, (layer, row)) = &rows()[0];
    let u = common::ratio::SINGLE;
    let r = ratio(problem, w, (*layer, *row, 3), &Cpu::<f32>::new(), u, 1e-3);
    assert!(r > 1.0, "a disturbance is not seen: {r}");
}

#[cfg(feature = "gpu")]
mod gpu {
    use super::*;
    use common::adapter::{double, limited, open, patched, single};
    use common::ratio::{DOUBLE, SINGLE};
    use secondo::backend::gpu::Options;
    use secondo::{Device, Fault as GpuFault};

    #[test]
    fn the_adapter_within_the_rounding_of_its_own_terms() {
        for (gpu, u) in [(single(), SINGLE), (double(), DOUBLE)] {
            let mut worst = 0.0f64;
            for (problem, w, (layer, row)) in rows() {
                for order in 1..=4 {
                    worst = worst.max(ratio(&problem, &w, (layer, row, order), &gpu, u, 0.0));
                }
            }
            println!("largest ratio {worst:.3}");
            assert!(worst < 1.0, "{worst}");
        }
    }

    /// A binding so small that a tensor takes several windows: the same numbers.
    #[test]
    fn windows_change_no_bit() {
        let (problem, w) = common::ratio::dense(&[20, 3, 2], Activation::Tanh, 0, 600, 0.3);
        let whole = problem.clone().on(Device::Gpu(single()));
        let mut limits = single().adapter().limits;
        (limits.buffer, limits.binding) = (1 << 17, 1 << 16);
        let narrow = limited(limits);
        let narrow = problem.on(Device::Gpu(narrow));
        for order in 1..=4 {
            let t = |p: &Problem| p.lagrangian_tensor(&w, 1, 2, order).unwrap();
            let (a, b) = (t(&whole), t(&narrow));
            let mut failures = Failures::default();
            failures.compare(&format!("order {order}"), a.packed(), b.packed(), 1e-6);
            failures.assert_none();
        }
    }

    #[test]
    fn radial_units_and_orders_beyond_the_fourth() {
        let f = fixtures("derivs").into_iter().find(|f| f.name.contains("rbf")).unwrap();
        let problem = f.problem();
        let on = problem.clone().on(Device::Gpu(double()));
        let t = |p: &Problem| dense(&p.lagrangian_tensor(&f.w, 1, 0, 3).unwrap());
        let mut failures = Failures::default();
        failures.compare("radial", &t(&on), &t(&problem), 1e-13);
        failures.assert_none();
        let (problem, w) = common::ratio::dense(&[2, 3, 1], Activation::Tanh, 0, 9, 0.5);
        let on = problem.clone().on(Device::Gpu(single()));
        let error = on.lagrangian_tensor(&w, 1, 0, 5).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        let auto = problem.on(Device::auto());
        assert!(auto.lagrangian_tensor(&w, 1, 0, 5).is_ok());
    }

    /// A lost device is an error, never a wrong number.
    #[test]
    fn faults_of_the_adapter() {
        use secondo::backend::gpu::testing::{Simulated, simulate};
        let (problem, w) = common::ratio::dense(&[3, 4, 2], Activation::Tanh, 0, 1500, 0.5);
        let ask = |gpu| problem.clone().on(Device::Gpu(gpu)).lagrangian_tensor(&w, 1, 2, 3);
        let right = ask(single()).unwrap();
        let mut struck = 0;
        for calls in (0..60).step_by(5) {
            let gpu = open(Options::default());
            simulate(&gpu, Simulated::Lost, calls);
            match ask(gpu) {
                Ok(t) => {
                    assert_eq!(t, right);
                    break;
                }
                Err(Error::Gpu { fault: GpuFault::Lost { .. }, .. }) => struck += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert!((1..12).contains(&struck), "{struck}");
    }

    /// A wrong index in the shader is caught.
    #[test]
    fn planted_faults_in_the_shader() {
        let (problem, w) = common::ratio::dense(&[3, 4, 2], Activation::Tanh, 0, 600, 0.5);
        for (from, to) in [
            (
                "var product = c[at_c(i, 0u, 0u)]",
                "var product = real(1.0) + real(0.0) * c[at_c(i, 0u, 0u)]",
            ),
            ("(s + 1u)", "1u"),
            ("begin + 512u", "begin + 511u"),
        ] {
            let gpu = patched(("tensor_sum", from, to));
            let r = ratio(&problem, &w, (1, 1, 3), &gpu, SINGLE, 0.0);
            assert!(r > 1.0, "{from}: {r}");
        }
    }
}

/// A tensor with the states that nothing propagated is still that of the formula.
#[test]
fn any_configuration() {
    let (problem, w) = random_problem(4, false);
    let mut random = Random::new(4);
    let any = |random: &mut Random| -> Vec<Array2<f64>> {
        (1..=problem.network().depth())
            .map(|k| random.matrix(problem.rows(), problem.network().width(k), 1.0))
            .collect()
    };
    let at = Configuration { states: any(&mut random), multipliers: any(&mut random) };
    let l = problem.lagrangian(&w, &at).unwrap();
    let mut failures = Failures::default();
    for (layer, row, range) in problem.network().rows() {
        let t = |q| problem.lagrangian_tensor_at(&w, &at, layer, row, q).unwrap();
        let name = format!("layer {layer} row {row}");
        failures.compare(&name, t(1).packed(), &l.d_w[range], 1e-13);
        let block = l.d_ww.block(layer, Some(row)).unwrap();
        failures.compare(&name, t(2).packed(), block.packed(), 1e-13);
        let third = t(3).dense().unwrap();
        assert_eq!(third.ndim(), 3);
        assert_eq!(third[IxDyn(&[0, 0, 0])], t(3).entry(&[0, 0, 0]).unwrap());
    }
    failures.assert_none();
}
