//! Derivatives against stored results that share no code with the crate.

mod common;

use common::{Failures, dense_blocks, fixtures, flat, list, matrix, square};
use secondo::{Curvature, Evaluation, LinearOperator, Loss, Penalty, Problem, Request, Structure};

/// Of the largest entry of each quantity, in f64.
const TOLERANCE: f64 = 1e-13;

fn blocks(evaluation: Evaluation) -> Vec<Vec<f64>> {
    dense_blocks(&evaluation.curvature.unwrap())
}

fn row_blocks(problem: &Problem, w: &[f64], curvature: Curvature) -> Vec<Vec<f64>> {
    blocks(problem.curvature(w, curvature, Structure::RowBlocks).unwrap())
}

fn diagonal(problem: &Problem, w: &[f64], curvature: Curvature) -> Vec<f64> {
    let at = problem.curvature(w, curvature, Structure::Diagonal).unwrap();
    at.curvature.unwrap().diagonal()
}

#[test]
fn stored_networks() {
    let mut failures = Failures::default();
    for f in fixtures("derivs") {
        let name = |what: &str| format!("{}: {what}", f.name);
        let (data, whole) = (f.without_penalty(), f.problem());
        let everything =
            Request { gradient: true, multipliers: true, outputs: true, ..Request::default() };
        let at = data.evaluate(&f.w, everything).unwrap();
        let value = f.json["value_data"].as_f64().unwrap();
        failures.compare(&name("value"), &[at.value], &[value], TOLERANCE);
        failures.compare(&name("gradient"), &at.gradient, &f.numbers("grad_data"), TOLERANCE);
        let outputs: Vec<f64> = at.outputs.unwrap().iter().copied().collect();
        failures.compare(&name("outputs"), &outputs, &f.numbers("outputs"), TOLERANCE);
        for (k, e) in at.multipliers.iter().enumerate() {
            let e: Vec<f64> = e.iter().copied().collect();
            let want = flat(&f.json["multipliers"][k]);
            failures.compare(&name(&format!("e^{}", k + 1)), &e, &want, TOLERANCE);
        }
        let penalised = whole.evaluate(&f.w, Request::gradient()).unwrap();
        let value = f.json["value"].as_f64().unwrap();
        failures.compare(&name("value with penalty"), &[penalised.value], &[value], TOLERANCE);
        failures.compare(
            &name("gradient with penalty"),
            &penalised.gradient,
            &f.numbers("grad"),
            TOLERANCE,
        );

        let p = f.w.len();
        for (curvature, key, full) in [
            (Curvature::Lagrangian, "lagrangian", None),
            (Curvature::GaussNewton, "gauss_newton_data", Some("gauss_newton_data")),
            (Curvature::Exact, "hessian_data", Some("hessian_data")),
        ] {
            let what = |row: usize| name(&format!("{} block {row}", curvature.name()));
            let got = row_blocks(&data, &f.w, curvature);
            let stored = list(&f.json["row_blocks"]);
            assert_eq!(got.len(), stored.len());
            for (row, (got, stored)) in got.iter().zip(stored).enumerate() {
                failures.compare(&what(row), got, &flat(&stored[key]), TOLERANCE);
            }
            if let Some(full) = full {
                let matrix = f.numbers(full);
                let want: Vec<f64> = (0..p).map(|l| matrix[l * p + l]).collect();
                let got = diagonal(&data, &f.w, curvature);
                failures.compare(&name("diagonal"), &got, &want, TOLERANCE);
            }
        }
        // With the penalty: the blocks of the whole Hessian.
        if !f.json["hessian"].is_null() {
            let hessian = f.numbers("hessian");
            let got = row_blocks(&whole, &f.w, Curvature::Exact);
            for ((_, row, range), got) in f.network.rows().zip(&got) {
                let want = square(&hessian, p, range);
                failures.compare(&name(&format!("whole block {row}")), got, &want, TOLERANCE);
            }
            let want: Vec<f64> = (0..p).map(|l| hessian[l * p + l]).collect();
            let got = diagonal(&whole, &f.w, Curvature::Exact);
            failures.compare(&name("whole diagonal"), &got, &want, TOLERANCE);
        }
    }
    failures.assert_none();
}

fn full(problem: &Problem, w: &[f64], curvature: Curvature) -> Vec<f64> {
    let at = problem.curvature(w, curvature, Structure::Full).unwrap();
    let matrix = at.curvature.unwrap();
    let dense = matrix.dense().unwrap();
    // Symmetric to the last bit.
    assert_eq!(dense, dense.t());
    dense.iter().copied().collect()
}

#[test]
fn products_and_jacobians() {
    let mut failures = Failures::default();
    for f in fixtures("derivs") {
        let name = |what: &str| format!("{}: {what}", f.name);
        let data = f.without_penalty();
        let v = f.numbers("v");
        for (curvature, want) in [
            (Curvature::Exact, &f.numbers("hvp_data")),
            (Curvature::GaussNewton, &f.numbers("gnvp_data")),
        ] {
            let operator = data.operator(&f.w, curvature).unwrap();
            let got = operator.product(&v).unwrap();
            failures.compare(&name(curvature.name()), &got, want, TOLERANCE);
        }
        let got: Vec<f64> = data.jacobian(&f.w).unwrap().into_iter().collect();
        failures.compare(&name("Jacobian"), &got, &f.numbers("jacobian"), TOLERANCE);
    }
    failures.assert_none();
}

/// The blocks of whole layers, cut out of a stored matrix.
fn layers(network: &secondo::Network, matrix: &[f64]) -> Vec<Vec<f64>> {
    let p = network.parameters();
    let ranges = network.layers().iter().map(|l| l.range.clone());
    ranges.map(|range| square(matrix, p, range)).collect()
}

#[test]
fn whole_matrices_and_layers() {
    let mut failures = Failures::default();
    for f in fixtures("derivs") {
        let name = |what: &str| format!("{}: {what}", f.name);
        let data = f.without_penalty();
        let (hessian, gn) = (f.numbers("hessian_data"), f.numbers("gauss_newton_data"));
        let residual: Vec<f64> = hessian.iter().zip(&gn).map(|(h, g)| h - g).collect();
        for (curvature, want) in [
            (Curvature::Exact, &hessian),
            (Curvature::GaussNewton, &gn),
            (Curvature::Residual, &residual),
        ] {
            let got = full(&data, &f.w, curvature);
            failures.compare(&name(curvature.name()), &got, want, TOLERANCE);
            let at = data.curvature(&f.w, curvature, Structure::LayerBlocks).unwrap();
            // All together: of the residual, the last layer may be 0 but for rounding.
            let got = dense_blocks(&at.curvature.unwrap()).concat();
            let want = layers(&f.network, want).concat();
            let what = name(&format!("{} layers", curvature.name()));
            failures.compare(&what, &got, &want, TOLERANCE);
        }
        if !f.json["hessian"].is_null() {
            let got = full(&f.problem(), &f.w, Curvature::Exact);
            failures.compare(&name("with the penalty"), &got, &f.numbers("hessian"), TOLERANCE);
        }
    }
    for f in fixtures("nnet") {
        let name = |what: &str| format!("{}: {what}", f.name);
        let data = f.without_penalty();
        for (curvature, key) in
            [(Curvature::Exact, "hessian_data"), (Curvature::GaussNewton, "gauss_newton_data")]
        {
            let got = full(&data, &f.w, curvature);
            failures.compare(&name(key), &got, &flat(&f.json["jax"][key]), TOLERANCE);
        }
        // R's own Hessian, after its factor and order.
        let lambda = f.numbers("decay_ours_order");
        let whole = data.penalty(Penalty::RidgeVec { lambda }).unwrap();
        let factor = f.json["factor_R_over_ours"].as_f64().unwrap();
        let perm: Vec<usize> =
            (flat(&f.json["perm_our_from_R"]).iter()).map(|&v| v as usize).collect();
        let r = matrix(&f.json["hessian_R_in_R_order"]);
        let want: Vec<f64> = (perm.iter())
            .flat_map(|&a| perm.iter().map(move |&b| (a, b)))
            .map(|at| r[at])
            .collect();
        let got: Vec<f64> =
            (full(&whole, &f.w, Curvature::Exact).iter()).map(|v| factor * v).collect();
        failures.compare(&name("R's Hessian"), &got, &want, TOLERANCE);
    }
    failures.assert_none();
}

/// Σ_i ω_i ∇g_i ∇g_iᵀ from the stored Jacobians and the losses' gradients, written out here.
#[test]
fn empirical_fisher_from_stored_jacobians() {
    let mut failures = Failures::default();
    for f in fixtures("derivs") {
        let (p, outputs) = (f.w.len(), f.network.outputs());
        let jacobian = f.numbers("jacobian");
        let (x, y) = (f.numbers("outputs"), f.numbers("Y"));
        // Weights that differ, to see where they enter.
        let omega: Vec<f64> = (0..f.data.len()).map(|i| 0.25 * (i % 4) as f64).collect();
        let mut fisher = vec![0.0; p * p];
        for i in 0..f.data.len() {
            let x = &x[i * outputs..(i + 1) * outputs];
            let y = &y[i * outputs..(i + 1) * outputs];
            let total: f64 = x.iter().map(|v| v.exp()).sum();
            let g_x: Vec<f64> = (x.iter().zip(y))
                .map(|(x, y)| match f.loss {
                    Loss::SquaredError => x - y,
                    Loss::BinaryCrossEntropy => 1.0 / (1.0 + (-x).exp()) - y,
                    Loss::SoftmaxCrossEntropy => x.exp() / total - y,
                    _ => unreachable!(),
                })
                .collect();
            let g: Vec<f64> = (0..p)
                .map(|l| (0..outputs).map(|o| jacobian[(i * outputs + o) * p + l] * g_x[o]).sum())
                .collect();
            for a in 0..p {
                for b in 0..p {
                    fisher[a * p + b] += omega[i] * g[a] * g[b];
                }
            }
        }
        let data = f.data.clone().weighted(omega).unwrap();
        let problem = Problem::new(f.network.clone(), data, f.loss.clone()).unwrap();
        let got = row_blocks(&problem, &f.w, Curvature::EmpiricalFisher);
        for ((_, row, range), got) in f.network.rows().zip(&got) {
            let want = square(&fisher, p, range);
            failures.compare(&format!("{}: row {row}", f.name), got, &want, TOLERANCE);
        }
    }
    failures.assert_none();
}

/// R's nnet: no ½ in the squared error, biases first.
#[test]
fn r_nnet() {
    let mut failures = Failures::default();
    for f in fixtures("nnet") {
        let name = |what: &str| format!("{}: {what}", f.name);
        let p = f.w.len();
        let jax = &f.json["jax"];
        let data = f.without_penalty();
        let at = data.evaluate(&f.w, Request::gradient()).unwrap();
        let value = jax["value_data"].as_f64().unwrap();
        failures.compare(&name("value"), &[at.value], &[value], TOLERANCE);
        failures.compare(&name("gradient"), &at.gradient, &flat(&jax["grad_data"]), TOLERANCE);
        for (curvature, key) in
            [(Curvature::Exact, "hessian_data"), (Curvature::GaussNewton, "gauss_newton_data")]
        {
            let matrix = flat(&jax[key]);
            let got = row_blocks(&data, &f.w, curvature);
            for ((_, row, range), got) in f.network.rows().zip(&got) {
                let want = square(&matrix, p, range);
                failures.compare(&name(&format!("{key} {row}")), got, &want, TOLERANCE);
            }
        }

        // R's own numbers: value = 2 E with λ = decay in ½λw² … R adds decay w² without the ½.
        let decay = f.numbers("decay_ours_order");
        let lambda: Vec<f64> = decay.clone();
        let whole = data.penalty(Penalty::RidgeVec { lambda }).unwrap();
        let factor = f.json["factor_R_over_ours"].as_f64().unwrap();
        let at = whole.evaluate(&f.w, Request::default()).unwrap();
        let value_r = f.json["value_R"].as_f64().unwrap();
        failures.compare(&name("value of R"), &[factor * at.value], &[value_r], TOLERANCE);
        let perm: Vec<usize> =
            flat(&f.json["perm_our_from_R"]).iter().map(|&v| v as usize).collect();
        let r = matrix(&f.json["hessian_R_in_R_order"]);
        let got = row_blocks(&whole, &f.w, Curvature::Exact);
        for ((_, row, range), got) in f.network.rows().zip(&got) {
            let want: Vec<f64> = (range.clone())
                .flat_map(|a| range.clone().map(move |b| (a, b)))
                .map(|(a, b)| r[(perm[a], perm[b])])
                .collect();
            let got: Vec<f64> = got.iter().map(|v| factor * v).collect();
            failures.compare(&name(&format!("R's Hessian {row}")), &got, &want, TOLERANCE);
        }
    }
    failures.assert_none();
}

/// E(w + tv) − E(w) − t gᵀv − ½t² vᵀBv falls with t³ for the Hessian, and with t² for any other matrix.
#[test]
fn taylor_slopes() {
    let slope = |f: &common::Fixture, curvature: Curvature| {
        let problem = f.problem();
        let v = f.numbers("v");
        let at = problem.curvature(&f.w, curvature, Structure::Full).unwrap();
        let along: f64 = at.gradient.iter().zip(&v).map(|(g, v)| g * v).sum();
        let curved = at.curvature.unwrap().quadratic_form(&v).unwrap();
        let rest = |t: f64| {
            let w: Vec<f64> = f.w.iter().zip(&v).map(|(w, v)| w + t * v).collect();
            problem.objective(&w).unwrap() - at.value - t * along - 0.5 * t * t * curved
        };
        // The larger of both signs of t: one of them may cancel.
        let size = |t: f64| rest(t).abs().max(rest(-t).abs());
        let t = 2e-3;
        (size(t) / size(t / 2.0)).log2()
    };
    for f in fixtures("derivs") {
        let exact = slope(&f, Curvature::Exact);
        assert!((exact - 3.0).abs() < 0.1, "{}: {exact}", f.name);
        let other = slope(&f, Curvature::EmpiricalFisher);
        assert!(other < 2.5, "{}: {other}", f.name);
    }
}
