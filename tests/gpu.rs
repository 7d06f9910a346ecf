//! The shaders against the processor in f64: the tables of cases that `Cpu<f32>` meets too, the stored problems, windows,
//! memory, bits, and planted faults.
#![cfg(feature = "gpu")]

mod common;

use common::absolute::Absolute;
use common::adapter::{double, hardware, limited, name, open, patched, single};
use common::mirror::{Asked, mirror, mirror_of, problems};
use common::nets::{Random, random_problem};
use common::own;
use common::ratio::{
    Case, DOUBLE, SINGLE, cases, chain, dense, numbers, ratio, ratio_up_to, requests, vectors,
};
use common::{Failures, fixtures};
use ndarray::Array2;
use secondo::backend::gpu::testing::{self, peak};
use secondo::backend::gpu::{Gpu, Options, adapters};
use secondo::backend::kernel::Multiply;
use secondo::backend::{Backend, Layout, View, ViewMut};
use secondo::{
    Activation, Curvature, Data, Device, Error, Evaluation, Fault, Group, Layer, LinearOperator,
    Loss, Network, Problem, Radial, Request, Structure,
};

/// The largest ratio over every `step`-th case of the table from the `first` on, which must be below 1. Whole matrices and the blocks of layers
/// take most of the time: every sixth of these cases has them, so that software adapters finish in a minute.
fn within(gpu: &Gpu, u: f64, (first, step): (usize, usize)) {
    let mut worst: (f64, String) = (0.0, String::new());
    let some = cases().into_iter().skip(first).step_by(step);
    for (at, (name, problem, w)) in some.enumerate() {
        let whole = if at % 6 == 0 { 400 } else { 0 };
        let r = ratio_up_to(&problem, &w, gpu, u, whole, |_| {});
        if r > worst.0 {
            worst = (r, name);
        }
    }
    println!("largest ratio {:.3} at {}", worst.0, worst.1);
    assert!(worst.0 < 1.0, "ratio {} at {}", worst.0, worst.1);
}

#[test]
fn f32_within_the_rounding_of_its_own_terms() {
    assert!(cases().len() >= 200);
    within(&single(), SINGLE, (0, 2));
}

#[test]
fn f32_in_the_other_cases() {
    within(&single(), SINGLE, (1, 2));
}

#[test]
fn f32_with_the_kernels_for_hardware() {
    within(&hardware(), SINGLE, (0, 3));
}

#[test]
fn f64_within_the_rounding_of_its_own_terms() {
    within(&double(), DOUBLE, (0, 3));
}

/// All curvatures in all structures and products of networks with units that bring their text.
#[test]
fn units_with_a_text_within_the_rounding_of_their_own_terms() {
    for (gpu, u) in [(single(), SINGLE), (double(), DOUBLE), (hardware(), SINGLE)] {
        for (name, problem, w) in own::problems() {
            let r = ratio(&problem, &w, &gpu, u, |_| {});
            println!("{name}: {r:.3}");
            assert!(r < 1.0, "ratio {r} at {name}");
        }
    }
}

/// Each form of radial units above a hidden layer, by its own text; and normalised units, which the processor computes.
#[test]
fn radial_units_of_every_form() {
    let mut failures = Failures::default();
    for form in Radial::ALL {
        let radial = |activation| Layer::of(vec![Group::radial(2, form, activation)]);
        let layers = vec![
            Layer::dense(2, Activation::Tanh),
            radial(Activation::Identity),
            Layer::normalized(2),
            radial(Activation::ExpNegHalf).sources([0, 1]),
            Layer::dense(1, Activation::Identity).sources([3, 4]),
        ];
        let network = Network::new(2, layers).unwrap();
        let mut random = Random::new(7);
        let (x, y) = (random.matrix(5, 2, 1.0), random.matrix(5, 1, 1.0));
        let w = random.vector(network.parameters(), 0.3);
        // Neither σ nor τ near 0.
        let w: Vec<f64> = w.iter().map(|w| w + 0.6).collect();
        let data = Data::new(x, y).unwrap();
        let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
        let request = Request::curvature(Curvature::Exact, Structure::Full);
        let right = numbers(&problem.evaluate(&w, request).unwrap());
        let right_products = products(&problem, &w, Curvature::Exact);
        for (gpu, tolerance) in [(single(), 2e-5), (double(), 1e-12)] {
            let on = problem.clone().on(Device::Gpu(gpu));
            let name = format!("{} {}", Radial::name(form), on.device().precision());
            let found = numbers(&on.evaluate(&w, request).unwrap());
            failures.compare(&name, &found, &right, tolerance);
            let found = products(&on, &w, Curvature::Exact);
            failures.compare(&format!("{name} products"), &found, &right_products, tolerance);
        }
    }
    failures.assert_none();
}

#[test]
fn the_ratio_test_sees_a_disturbance() {
    let (problem, w) = dense(&[4, 9, 2], Activation::Tanh, 0, 40, 0.5);
    for (gpu, u, by) in [(single(), SINGLE, 3e-3), (double(), DOUBLE, 3e-11)] {
        assert!(ratio(&problem, &w, &gpu, u, |_| {}) < 1.0);
        for at in [0, 3, 20, 60, 200] {
            // Products have fewer numbers.
            let disturb =
                |v: &mut Vec<f64>| v.iter_mut().skip(at).take(1).for_each(|v| *v *= 1.0 + by);
            let r = ratio(&problem, &w, &gpu, u, disturb);
            assert!(r > 1.0, "number {at}: {r}");
        }
    }
}

/// Every `step`-th problem: a read-back after each kernel takes its time.
fn every(step: usize) -> Vec<Case> {
    problems().into_iter().step_by(step).collect()
}

/// Blocks of units for every `step`-th problem; everything, of which what couples units takes most of the time, for every
/// `whole`-th.
fn edges_then_all(gpu: &Gpu, u: f64, step: usize, whole: usize) {
    let report = mirror_of(gpu, u, &every(step), Asked::Units);
    println!("{report}");
    assert!(report.failing().is_empty(), "{report}");
    let report = mirror(gpu, u, &every(whole));
    println!("{report}");
    report.assert_passes();
}

#[test]
fn every_kernel_rounds_as_it_may() {
    edges_then_all(&single(), SINGLE, 1, 5);
}

#[test]
fn every_kernel_for_hardware_rounds_as_it_may() {
    edges_then_all(&hardware(), SINGLE, 3, 7);
}

#[test]
fn every_kernel_in_f64_rounds_as_it_may() {
    edges_then_all(&double(), DOUBLE, 3, 7);
}

/// A text in a shader that is replaced by a wrong one must be found in the kernel that has it, on software's variants of the
/// kernels and on those for hardware.
#[test]
fn planted_faults_are_found() {
    let small: Vec<Case> = (0..6)
        .map(|seed| {
            let (problem, w) = random_problem(seed, false);
            (format!("seed {seed}"), problem, w)
        })
        .collect();
    let of = |widths: &[usize], loss: usize, n: usize| {
        let (problem, w) = dense(widths, Activation::Tanh, loss, n, 0.3);
        (format!("{widths:?}"), problem, w)
    };
    // Several groups of units in a layer, some of them not linear, and skips.
    let groups: Vec<Case> = [2, 3, 5, 1001, 1003, 1004]
        .map(|seed| {
            let (problem, w) = random_problem(seed, seed >= 1000);
            (format!("seed {seed}"), problem, w)
        })
        .to_vec();
    // Many inputs to many units and to few, two blocks of samples, and a softmax.
    let wide = vec![of(&[60, 20, 4, 2], 0, 70), of(&[70, 4, 2], 0, 530), of(&[5, 4, 3], 3, 9)];
    let many = vec![of(&[4, 9, 2], 0, 3000)];
    // More blocks than splits.
    let long = vec![of(&[3, 2, 1], 0, 70_000)];
    // Sensitivities through three hidden layers.
    let deep = vec![of(&[3, 4, 3, 4, 2], 0, 9)];
    let (software, hardware) = (false, true);
    let faults = [
        (software, "fill", "bitcast<real>(params.low)", "real(0.0)", "fill"),
        (software, "fill", "params.out_offset + ", "", "fill"),
        (software, "copy", "+ c * params.source_c", "", "copy"),
        (software, "copy", "params.to_offset + ", "", "copy"),
        (software, "activate", "= v.y", "= -v.y", "activate"),
        (software, "activate", "= v.z", "= v.y", "activate"),
        (software, "activate", "params.p_offset + ", "", "activate"),
        (software, "activate", "params.h_offset + ", "", "activate"),
        (software, "scale", "*= by", "+= by", "scale"),
        (software, "scale", "+ c * params.by_c", "", "scale"),
        (software, "multiply", "out[at] += both", "out[at] = both", "multiply"),
        (software, "multiply", "out[at] = both", "out[at] += both", "multiply"),
        (software, "multiply", "r * params.b_r", "0u", "multiply"),
        (software, "multiply", "+ c * params.a_c", "", "multiply"),
        (software, "multiply", "params.a_offset + ", "", "multiply"),
        (software, "scaled_matrix", "p[at_p(i, 0u, q)] *", "", "scaled_matrix"),
        (software, "scaled_matrix", "d[at_d(i, 0u, j)]", "d[at_d(i, 0u, q)]", "scaled_matrix"),
        (software, "lower_triangle", "pair.x, pair.y", "pair.x, pair.x", "lower_triangle"),
        (software, "lower_triangle", "params.a_offset + ", "", "lower_triangle"),
        (software, "squared_gradient", "d * (d / w)", "d * d", "squared_gradient"),
        (software, "squared_gradient", "w != real(0.0)", "true", "squared_gradient"),
        (
            software,
            "gauss_newton_diagonal",
            "inner += hessian",
            "inner = hessian",
            "gauss_newton_diagonal",
        ),
        (software, "product_diagonal", "params.b_offset + ", "", "product_diagonal"),
        (software, "product_diagonal", "] += sum", "] = sum", "product_diagonal"),
        (software, "loss_value", "weight * gradient_at", "gradient_at", "loss_value"),
        (software, "loss_value", "weight * value_at", "value_at", "loss_value"),
        (software, "loss_value", "total = 1.0 +", "total = 2.0 +", "loss_value"),
        (software, "loss_hessian", "= weight *", "=", "loss_hessian"),
        (software, "product", "k * params.b_r", "0u", "product"),
        (software, "product", "sum += out[at]", "sum += real(0.0)", "product"),
        (software, "product", "params.out_offset + ", "", "product"),
        (software, "product", "params.x_offset + ", "", "product"),
        (software, "gram/unit_lanes", "let w = c[", "let w = 1.0 + 0.0 * c[", "gram"),
        (software, "gram/unit_lanes", "(b <= a)", "(b < a)", "gram"),
        (software, "gram/input_lanes", "(b <= a)", "(b < a)", "gram"),
        (
            software,
            "weighted_sum/lanes",
            "var sum = value",
            "var sum = 2.0 * value",
            "weighted_sum",
        ),
        (software, "weighted_sum/lanes", "sum += partial[at]", "sum += real(0.0)", "weighted_sum"),
        (software, "weighted_sum/lanes", "params.c_offset + ", "", "weighted_sum"),
        (software, "device/reduce", "(s0 + s1)", "(s0 - s1)", "gram"),
        (
            hardware,
            "gram/khatri_rao",
            "v *= phi[at_phi(i, 0u, a)]",
            "v *= phi[at_phi(i, 0u, b)]",
            "gram",
        ),
        (hardware, "gram/khatri_rao", "b = column + m", "b = row + m", "gram"),
        (hardware, "gram/units", "(b <= a)", "(b < a)", "gram"),
        (hardware, "gram/stream", "let w = c[", "let w = 1.0 + 0.0 * c[", "gram"),
        (hardware, "gram/stream", "sums[at + 56u]", "sums[at + 48u]", "gram"),
        (hardware, "weighted_sum/shared", "v *= v;", "v *= 1.0;", "gram_diagonal"),
        (hardware, "weighted_sum/shared", "let a = input + m;", "let a = input;", "weighted_sum"),
        (hardware, "product", "row % params.row_tiles", "0u", "product"),
        (
            hardware,
            "product",
            "x_or_zero(tile.matrix, row + 1u",
            "x_or_zero(tile.matrix, row",
            "product",
        ),
    ];
    let mut missed = Vec::new();
    for (hardware, stem, from, to, kernel) in faults {
        let gpu = patched((stem, from, to));
        let gpu = if hardware { testing::with_kernels_for_hardware(gpu) } else { gpu };
        let sums = stem.starts_with("gram") || stem.starts_with("weighted_sum");
        let offset = from.ends_with("_offset + ");
        let problems = match stem {
            "device/reduce" => &many,
            "scaled_matrix" => &deep,
            "weighted_sum/lanes" if from.starts_with("sum +=") => &long,
            "loss_value" if from.starts_with("total") => &wide,
            "multiply" | "lower_triangle" | "product" if !hardware => &groups,
            _ if offset => &groups,
            _ if hardware || sums => &wide,
            _ => &small,
        };
        // Kernels whose faults only products and pairs of units show; those of the others blocks of units show already.
        let coupled = ["multiply", "lower_triangle", "copy", "scaled_matrix"].contains(&stem)
            || stem == "product" && !hardware;
        let asked = if coupled { Asked::Coupled } else { Asked::Units };
        let report = mirror_of(&gpu, SINGLE, problems, asked);
        let failing: Vec<String> = report.failing().iter().map(ToString::to_string).collect();
        println!("{stem}: {from} -> {to}: {failing:?}");
        if !failing.iter().any(|f| f.starts_with(kernel)) {
            missed.push((stem, from, failing));
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}

/// The same in the kernels of units that bring their text.
#[test]
fn planted_faults_in_units_are_found() {
    // Two groups in a layer, skips; and two splits of the samples.
    let problems = &own::problems()[1..];
    let faults = [
        ("unit_value", "params.out_offset + ", ""),
        ("unit_value", "r * params.weights_r", "0u"),
        ("unit_value", "i * params.inputs_i", "i * INPUTS"),
        ("unit_derivative", "= unit_d_w(a)", "= -unit_d_w(a)"),
        ("unit_derivative", "r * params.out_r", "r"),
        ("unit_slope", "i * params.dz_i", "0u"),
        ("unit_slope", "dw[at_dw(0u, j, a)]", "dw[at_dw(0u, 0u, a)]"),
        ("unit_derivative_slope", "unit_d_ww(a, b)", "0.0"),
        (
            "unit_derivative_slope",
            "unit_d_wz(b, a) * dw[at_dw(0u, j, b)]",
            "unit_d_wz(b, a) * dw[at_dw(0u, 0u, b)]",
        ),
        ("unit_derivative_slope", "unit_d_wz(a, c)", "unit_d_wz(a, 0u)"),
        ("unit_derivative_slope", "c * params.dz_c", "0u"),
        ("unit_input_hessian", "sum += delta", "sum = delta"),
        ("unit_input_hessian", "] += sum", "] = sum"),
        ("unit_input_hessian", "params.delta_offset + ", ""),
        ("unit_parameter_hessian", "params.delta_offset + ", ""),
        ("unit_parameter_hessian", "let j = entry / size;", "let j = 0u;"),
        (
            "unit_parameter_hessian",
            "begin + params.run, params.n",
            "begin + params.run - 1u, params.n",
        ),
    ];
    let mut missed = Vec::new();
    for (kernel, from, to) in faults {
        let gpu = patched((kernel, from, to));
        let (problems, asked) = match kernel {
            "unit_slope" | "unit_derivative_slope" => (&problems[1..], Asked::Coupled),
            _ => (problems, Asked::Units),
        };
        let report = mirror_of(&gpu, SINGLE, problems, asked);
        let failing: Vec<String> = report.failing().iter().map(ToString::to_string).collect();
        println!("{kernel}: {from} -> {to}: {failing:?}");
        if !failing.iter().any(|f| f == kernel) {
            missed.push((kernel, from, failing));
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}

/// All stored problems, units that are not linear included.
#[test]
fn stored_problems() {
    let mut failures = Failures::default();
    for folder in ["derivs", "nnet"] {
        for fixture in fixtures(folder) {
            let problem = fixture.problem();
            for request in requests(&problem) {
                let right = numbers(&problem.evaluate(&fixture.w, request).unwrap());
                for (gpu, tolerance) in [(single(), 2e-5), (double(), 1e-12)] {
                    let on = problem.clone().on(Device::Gpu(gpu));
                    let found = numbers(&on.evaluate(&fixture.w, request).unwrap());
                    let what = format!("{} {request:?} {}", fixture.name, on.device().precision());
                    failures.compare(&what, &found, &right, tolerance);
                }
            }
            for curvature in Curvature::ALL {
                let right = products(&problem, &fixture.w, curvature);
                for (gpu, tolerance) in [(single(), 2e-5), (double(), 1e-12)] {
                    let on = problem.clone().on(Device::Gpu(gpu));
                    let found = products(&on, &fixture.w, curvature);
                    let precision = on.device().precision();
                    let what = format!("{} {curvature:?} products {precision}", fixture.name);
                    failures.compare(&what, &found, &right, tolerance);
                }
            }
        }
    }
    failures.assert_none();
}

fn error_of_largest(found: &Evaluation, right: &Evaluation) -> f64 {
    largest_error(&numbers(found), &numbers(right))
}

fn largest_error(found: &[f64], right: &[f64]) -> f64 {
    assert_eq!(found.len(), right.len());
    let scale = right.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let error = (found.iter().zip(right)).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    error / scale
}

/// The largest |error| ≤ u K A of all components, with the K of one block of samples, at 3,000 and at 3,000,000 samples.
#[test]
fn the_error_does_not_grow_with_the_samples() {
    let at = |n: usize| {
        let (problem, w) = dense(&[8, 3, 1], Activation::Tanh, 0, n, 0.5);
        let w: Vec<f64> = w.iter().map(|&v| f64::from(v as f32)).collect();
        let request = Request::curvature(Curvature::Exact, Structure::RowBlocks);
        let right = numbers(&problem.evaluate(&w, request).unwrap());
        let bound = numbers(&problem.evaluate_on(&Absolute, &w, request, 1 << 16).unwrap());
        let k = chain(&problem);
        let on = problem.on(Device::Gpu(single()));
        let found = numbers(&on.evaluate(&w, request).unwrap());
        (found.iter().zip(&right).zip(&bound))
            .map(|((found, right), a)| (found - right).abs() / (SINGLE * k * a))
            .fold(0.0, f64::max)
    };
    let (few, many) = (at(3_000), at(3_000_000));
    println!("ratio {few:.2e} at 3,000, {many:.2e} at 3,000,000 samples");
    assert!(many < 1.5 * few && few < 1.0, "{few:.2e} at 3,000, {many:.2e} at 3,000,000 samples");
}

#[test]
fn the_same_input_gives_the_same_bits() {
    // The second is small enough for whole matrices.
    for widths in [[33, 20, 2], [9, 8, 3]] {
        let (problem, w) = dense(&widths, Activation::Logistic, 0, 3000, 0.5);
        let problem = problem.on(Device::Gpu(single()));
        let same = |what: &str, numbers: &dyn Fn() -> Vec<f64>| {
            let bits = || -> Vec<u64> { numbers().into_iter().map(f64::to_bits).collect() };
            let first = bits();
            for _ in 0..5 {
                assert!(bits() == first, "{widths:?} {what}");
            }
        };
        for request in requests(&problem) {
            let found = || numbers(&problem.evaluate(&w, request).unwrap());
            same(&format!("{request:?}"), &found);
        }
        for curvature in Curvature::ALL {
            let found = || products(&problem, &w, curvature);
            same(&format!("{curvature:?} products"), &found);
        }
    }
}

/// Two products on the problem's device.
fn products(problem: &Problem, w: &[f64], curvature: Curvature) -> Vec<f64> {
    let v = Array2::from_shape_vec((2, w.len()), vectors(problem)).unwrap();
    let operator = problem.operator(w, curvature).unwrap();
    let products = operator.products(v.view()).unwrap();
    products.into_iter().collect()
}

/// The whole matrix, the blocks of layers and products do not depend on how the samples are cut, beyond rounding.
#[test]
fn chunks_change_nothing_beyond_rounding() {
    let layers = vec![
        Layer::dense(5, Activation::Tanh),
        Layer::dense(4, Activation::Logistic).sources(vec![0, 1]),
        Layer::dense(2, Activation::Identity).sources(vec![0, 1, 2]),
    ];
    let network = Network::new(3, layers).unwrap();
    let (dense, _) = dense(&[3, 2], Activation::Identity, 0, 700, 0.5);
    let problem = Problem::new(network, dense.data().unwrap().clone(), Loss::SquaredError).unwrap();
    let w: Vec<f64> =
        (0..problem.parameters()).map(|l| ((7 * l) % 16) as f64 / 16.0 - 0.5).collect();
    let v = vectors(&problem);
    for gpu in [single(), hardware(), double()] {
        let tolerance = if gpu.is_f64() { 1e-14 } else { 3e-6 };
        for curvature in Curvature::ALL {
            for structure in [Structure::Full, Structure::LayerBlocks] {
                // Many chunks are slow: one curvature has them.
                let chunks = match (curvature, structure) {
                    (Curvature::Exact, Structure::Full) => [7, 333],
                    _ => [333, 512],
                };
                let request = Request::curvature(curvature, structure);
                let at = |chunk| problem.evaluate_on(&gpu, &w, request, chunk).unwrap();
                let right = at(700);
                for chunk in chunks {
                    let error = error_of_largest(&at(chunk), &right);
                    assert!(error < tolerance, "{request:?} {chunk}: {error:.1e}");
                }
            }
            let at = |chunk| problem.products_on(&gpu, &w, curvature, &v, chunk).unwrap();
            let right = at(700);
            for chunk in [64, 333] {
                let error = largest_error(&at(chunk), &right);
                assert!(error < tolerance, "{curvature:?} {chunk}: {error:.1e}");
            }
        }
    }
}

/// Four threads share one adapter, with requests of few dispatches and of more than one submission holds.
#[test]
fn threads_may_share_an_adapter() {
    let mut deep = vec![2; 26];
    deep.push(1);
    for (widths, n, rounds) in [(vec![5, 9, 2], 700, 20), (deep, 30, 6)] {
        let (problem, w) = dense(&widths, Activation::Tanh, 0, n, 0.5);
        let problem = problem.on(Device::Gpu(single()));
        let request = Request::curvature(Curvature::Exact, Structure::RowBlocks);
        let right = numbers(&problem.evaluate(&w, request).unwrap());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..rounds {
                        assert!(numbers(&problem.evaluate(&w, request).unwrap()) == right);
                    }
                });
            }
        });
    }
}

/// An adapter that allows little: weights, blocks and samples in windows, dispatches folded. Same numbers.
#[test]
fn small_limits_change_nothing_beyond_rounding() {
    let mut limits = single().adapter().limits;
    (limits.buffer, limits.binding, limits.groups) = (1 << 20, 1 << 16, 3);
    let narrow = limited(limits);
    // 70 units of 81 weights take 22 KiB, their blocks 929 KiB, the samples 1 MiB.
    let (problem, w) = dense(&[80, 70, 3], Activation::Tanh, 0, 3300, 0.05);
    for request in requests(&problem) {
        let right = problem.clone().on(Device::Gpu(single())).evaluate(&w, request).unwrap();
        let problem = problem.clone().on(Device::Gpu(narrow.clone()));
        assert!(problem.plan(request).unwrap().chunk < 205);
        let found = problem.evaluate(&w, request).unwrap();
        let error = error_of_largest(&found, &right);
        assert!(error < 3e-6, "{request:?}: {error:.1e}");
    }
    // Weights in windows: 300 units of 201 weights take 241 KiB.
    let (problem, w) = dense(&[200, 300, 2], Activation::Tanh, 0, 40, 0.05);
    let request = Request::curvature(Curvature::GaussNewton, Structure::Diagonal);
    let right = problem.evaluate(&w, request).unwrap();
    let found = problem.on(Device::Gpu(narrow)).evaluate(&w, request).unwrap();
    let error = error_of_largest(&found, &right);
    assert!(error < 3e-6, "{error:.1e}");

    // Requests that couple units: the sums of a pair of layers in windows, and its products of single samples in small chunks.
    (limits.buffer, limits.binding) = (1 << 18, 1 << 14);
    let narrow = limited(limits);
    let (problem, w) = dense(&[9, 12, 10, 3], Activation::Tanh, 0, 900, 0.3);
    let gpu = narrow.clone();
    let (on, narrow) = (problem.clone().on(Device::Gpu(single())), problem.on(Device::Gpu(narrow)));
    for curvature in Curvature::ALL {
        for structure in [Structure::LayerBlocks, Structure::Full] {
            let request = Request::curvature(curvature, structure);
            let right = on.evaluate(&w, request).unwrap();
            assert!(narrow.plan(request).unwrap().chunk < 300);
            let found = narrow.evaluate(&w, request).unwrap();
            let error = error_of_largest(&found, &right);
            assert!(error < 3e-6, "{request:?}: {error:.1e}");
        }
        let right = products(&on, &w, curvature);
        assert!(narrow.plan_products(curvature, 2).unwrap().chunk < 250);
        let error = largest_error(&products(&narrow, &w, curvature), &right);
        assert!(error < 3e-6, "{curvature:?} products: {error:.1e}");
    }
    // Second derivatives of 40 units in windows: 19 KiB of sums.
    let mut random = Random::new(5);
    let layers = vec![
        Layer::of(vec![own::group(40, Activation::GaussHalf)]),
        Layer::dense(1, Activation::Identity),
    ];
    let network = Network::new(7, layers).unwrap();
    let data = Data::new(random.matrix(300, 7, 1.0), random.matrix(300, 1, 1.0)).unwrap();
    let w = random.vector(network.parameters(), 0.3);
    let units = Problem::new(network, data, Loss::SquaredError).unwrap();
    let on = units.clone().on(Device::Gpu(gpu));
    for structure in [Structure::RowBlocks, Structure::Diagonal] {
        let request = Request::curvature(Curvature::Exact, structure);
        let (right, found) = (units.evaluate(&w, request), on.evaluate(&w, request));
        let error = error_of_largest(&found.unwrap(), &right.unwrap());
        assert!(error < 3e-6, "{request:?}: {error:.1e}");
    }
    // Their parameters in windows: 2.4 KiB. φ of a sample is as large, so the value alone.
    (limits.buffer, limits.binding) = (1 << 18, 1 << 11);
    let narrowest = limited(limits);
    let on = units.clone().on(Device::Gpu(narrowest));
    let (right, found) = (units.objective(&w).unwrap(), on.objective(&w).unwrap());
    assert!((found - right).abs() < 1e-6 * right, "{found} {right}");
    // Vectors in windows, as weights are: two of 201 · 300 numbers.
    let (problem, w) = dense(&[200, 300, 2], Activation::Tanh, 0, 40, 0.05);
    let right = products(&problem, &w, Curvature::Exact);
    (limits.buffer, limits.binding) = (1 << 20, 1 << 16);
    let narrow = limited(limits);
    let found = products(&problem.on(Device::Gpu(narrow)), &w, Curvature::Exact);
    let error = largest_error(&found, &right);
    assert!(error < 3e-6, "{error:.1e}");
}

/// Workgroups that fill one dimension, one more, and then some.
#[test]
fn more_workgroups_than_a_dimension_has() {
    let gpu = single();
    let side = gpu.adapter().limits.groups as usize;
    for len in [64 * side - 1, 64 * side, 64 * side + 1, 64 * (side + 70) + 5] {
        // Small integers: sums and products are exact.
        let numbers =
            |salt: usize| -> Vec<f64> { (0..len).map(|i| ((i + salt) % 97) as f64).collect() };
        let (a, b) = (numbers(3), numbers(40));
        let mut out = gpu.upload(&a).unwrap();
        let factors = gpu.upload(&b).unwrap();
        let layout = Layout::rows_of(len, 1);
        let kernel = Multiply {
            a: View::new(&factors, layout),
            b: View::new(&factors, layout),
            out: ViewMut::new(&mut out, layout),
            accumulate: true,
        };
        gpu.run(kernel.into()).unwrap();
        let found = gpu.download(&out).unwrap();
        let wrong = (0..len).find(|&i| found[i] != a[i] + b[i] * b[i]);
        assert_eq!((found.len(), wrong), (len, None));
    }
}

/// Weights, gradient and blocks just past 128 MiB, what software adapters let a kernel see of one array.
#[test]
fn past_128_mib() {
    let request = Request::gradient();
    let (problem, w) = dense(&[6000, 5600, 1], Activation::Tanh, 0, 3, 0.01);
    let right = problem.evaluate(&w, request).unwrap();
    let found = problem.on(Device::Gpu(single())).evaluate(&w, request).unwrap();
    assert!(4 * found.gradient.len() > 128 << 20);
    let error = error_of_largest(&found, &right);
    assert!(error < 3e-6, "{error:.1e}");

    let request = Request::curvature(Curvature::GaussNewton, Structure::RowBlocks);
    let (problem, w) = dense(&[8192, 1], Activation::Tanh, 0, 5, 0.01);
    let right = problem.evaluate(&w, request).unwrap();
    let found = problem.on(Device::Gpu(single())).evaluate(&w, request).unwrap();
    let error = error_of_largest(&found, &right);
    assert!(error < 3e-6, "{error:.1e}");
}

/// A sample whose own arrays exceed the adapter is refused with the numbers, before anything runs.
#[test]
fn what_no_chunk_can_hold_is_refused() {
    let mut limits = single().adapter().limits;
    (limits.buffer, limits.binding) = (1 << 17, 1 << 16);
    let narrow = limited(limits);
    // S of the second hidden layer has 140² numbers a sample: 77 KiB.
    let (problem, w) = dense(&[3, 140, 140, 2], Activation::Tanh, 0, 10, 0.05);
    let problem = problem.on(Device::Gpu(narrow));
    let request = Request::curvature(Curvature::Exact, Structure::RowBlocks);
    let error = problem.evaluate(&w, request).unwrap_err();
    let limit = |fault: &Fault| matches!(fault, Fault::Limit { need, have, .. } if need > have);
    assert!(matches!(&error, Error::Gpu { fault, .. } if limit(fault)), "{error}");
    problem.gradient(&w).unwrap();
}

/// The device never holds more than its budget, and at least what the plan counts; buffers that were given back wait for
/// the next request of their size.
#[test]
fn the_device_holds_what_was_planned_and_no_more_than_it_may() {
    let (problem, w) = dense(&[40, 30, 3], Activation::Tanh, 0, 30_000, 0.1);
    let request = Request::curvature(Curvature::Exact, Structure::RowBlocks);
    for memory in [1 << 20, 4 << 20, 64 << 20, 2 << 30] {
        let gpu = open(Options { memory, ..Options::default() });
        let problem = problem.clone().on(Device::Gpu(gpu.clone()));
        let plan = problem.plan(request).unwrap();
        assert!(plan.device <= memory);
        problem.evaluate(&w, request).unwrap();
        let peak = peak(&gpu);
        println!("budget {memory}, plan {}, held {peak}", plan.device);
        assert!(peak <= memory, "{peak}, plan {}", plan.device);
        let held = plan.device * 9 / 10..=plan.device * 5 / 2;
        assert!(held.contains(&peak), "{peak}, plan {}", plan.device);
    }
    let gpu = open(Options { memory: 1 << 12, ..Options::default() });
    let error = problem.on(Device::Gpu(gpu)).evaluate(&w, request).unwrap_err();
    assert!(matches!(&error, Error::Memory { need, budget, .. } if need > budget), "{error}");
}

#[test]
fn adapters_are_chosen_by_name_and_number() {
    let all = adapters();
    let wanted = name().to_lowercase();
    let number = (all.iter()).position(|a| a.name.to_lowercase().contains(&wanted)).unwrap();
    let by_number = Gpu::open(Some(&number.to_string()), Options::default()).unwrap();
    assert_eq!(by_number.adapter(), single().adapter());
    // Two digits are a number; "4090" is a name.
    for name in ["no such adapter", "99", "15", "4090"] {
        let error = Gpu::open(Some(name), Options::default()).unwrap_err();
        let known =
            |fault: &Fault| matches!(fault, Fault::NoAdapter { known } if known.len() == all.len());
        assert!(matches!(&error, Error::Gpu { fault, .. } if known(fault)), "{error}");
    }
    // Without a name, software is never chosen.
    match Gpu::open(None, Options::default()) {
        Ok(gpu) => assert!(!gpu.adapter().software),
        Err(error) => assert!(all.iter().all(|a| a.software), "{error}"),
    }
}

#[test]
fn the_test_at_the_start_passes_and_can_fail() {
    secondo::self_test(&single()).unwrap();
    secondo::self_test(&double()).unwrap();
    let gpu = single();
    secondo::self_test(&gpu).unwrap();
    let clock = std::time::Instant::now();
    secondo::self_test(&gpu).unwrap();
    println!("{:.0} ms once more", 1e3 * clock.elapsed().as_secs_f64());
    let faulty = patched(("copy", "c * params.source_c", "0u"));
    let error = secondo::self_test(&faulty).unwrap_err();
    assert!(matches!(&error, Error::Gpu { fault: Fault::SelfTest { .. }, .. }), "{error}");
    // Kernels that wait at barriers are tested, too.
    // Kernels for products and whole matrices alone.
    for (stem, from, to) in [
        ("multiply", "r * params.b_r", "0u"),
        ("product", "k * params.b_r", "0u"),
        ("lower_triangle", "pair.x, pair.y", "pair.x, pair.x"),
    ] {
        let faulty = patched((stem, from, to));
        let error = secondo::self_test(&faulty).unwrap_err();
        let found = |fault: &Fault| matches!(fault, Fault::SelfTest { .. });
        assert!(matches!(&error, Error::Gpu { fault, .. } if found(fault)), "{stem}: {error}");
    }
    for stem in ["gram/khatri_rao", "gram/units", "weighted_sum/shared"] {
        let faulty = patched((stem, "var sum = value", "var sum = 1.01 * value"));
        let error = secondo::self_test(&testing::with_kernels_for_hardware(faulty)).unwrap_err();
        let found = |fault: &Fault| matches!(fault, Fault::SelfTest { .. });
        assert!(matches!(&error, Error::Gpu { fault, .. } if found(fault)), "{stem}: {error}");
    }
    let broken = patched(("squared_gradient", "let d =", "let let ="));
    let error = secondo::self_test(&broken).unwrap_err();
    assert!(
        matches!(&error, Error::Gpu { fault: Fault::Shader { .. }, .. })
            && error.to_string().contains("squared_gradient"),
        "{error}"
    );
}

/// NaN and what overflows f32 get the same verdict as on the processor.
#[test]
fn numbers_that_are_not_finite() {
    let network = Network::dense(&[1, 2, 1], Activation::Relu).unwrap();
    let data = Data::new(ndarray::array![[1.0], [2.0]], ndarray::array![[0.0], [1.0]]).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    let on = problem.clone().on(Device::Gpu(single()));
    let mut w = vec![0.5; 7];
    w[2] = f64::NAN;
    let verdicts = [problem.gradient(&w).unwrap_err(), on.gradient(&w).unwrap_err()];
    assert!(matches!(verdicts[0], Error::NonFinite { .. }) && verdicts[0] == verdicts[1]);
    // Finite in f64, not in f32.
    w[2] = 1e39;
    assert!(matches!(on.gradient(&w).unwrap_err(), Error::Invalid { .. }));
    // Overflow within: p = 3e38 · 2 + …; ReLU must not hide what comes of it.
    let w = vec![3e38, 3e38, 0.5, 0.5, 1.0, -1.0, 0.0];
    assert!(matches!(on.gradient(&w).unwrap_err(), Error::NonFinite { .. }));
    let at = on.curvature(&[0.5; 7], Curvature::Exact, Structure::Diagonal);
    assert_eq!(at.unwrap().curvature.unwrap().order(), 7);
}
