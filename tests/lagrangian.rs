//! The Lagrangian (paper eq. 6–10): stationary where it is propagated, its derivatives anywhere, and how far its row
//! blocks are from the Hessian's.

mod common;

use common::Failures;
use common::hyperdual::{self, Hyper};
use common::nets::{Random, random_problem};
use ndarray::{Array2, array};
use secondo::{
    Activation, Configuration, Curvature, Data, Layer, Loss, Matrix, Network, Penalty, Problem,
    Structure,
};

fn largest<'a>(v: impl IntoIterator<Item = &'a f64>) -> f64 {
    v.into_iter().fold(0.0, |m, v| m.max(v.abs()))
}

#[test]
fn a_propagated_configuration_is_stationary() {
    for (seed, radial) in (0..40).map(|s| (s, false)).chain((1000..1020).map(|s| (s, true))) {
        let (problem, w) = random_problem(seed, radial);
        let problem = problem.penalty(Penalty::ridge(0.1)).unwrap();
        let at = problem.configuration(&w).unwrap();
        let l = problem.lagrangian(&w, &at).unwrap();
        let gradient = problem.gradient(&w).unwrap();
        let scale = 1.0 + at.multipliers.iter().map(largest).fold(0.0, f64::max);
        for (d_e, d_x) in l.d_e.iter().zip(&l.d_x) {
            assert!(largest(d_e) < 1e-13, "seed {seed}: ∂L/∂E = {d_e}");
            assert!(largest(d_x) < 1e-12 * scale, "seed {seed}: ∂L/∂X = {d_x}");
        }
        let value = problem.objective(&w).unwrap();
        assert!((l.value - value).abs() <= 1e-12 * value.abs(), "seed {seed}");
        let mut failures = Failures::default();
        failures.compare(&format!("seed {seed}: ∂L/∂W"), &l.d_w, &gradient, 1e-12);
        let blocks = problem.curvature(&w, Curvature::Lagrangian, Structure::RowBlocks).unwrap();
        assert_eq!(blocks.multipliers.len(), 0);
        let blocks = blocks.curvature.unwrap();
        let flat = |b: &Matrix| b.blocks().flat_map(|b| b.packed().to_vec()).collect::<Vec<_>>();
        failures.compare(&format!("seed {seed}: ∂²L/∂W²"), &flat(&l.d_ww), &flat(&blocks), 1e-12);
        failures.assert_none();
    }
}

/// L in hyper-dual numbers, straight from eq. 6; for linear units.
fn reference(problem: &Problem, w: &[Hyper], x: &[Vec<Hyper>], e: &[Vec<Hyper>]) -> Hyper {
    let (network, data) = (problem.network(), problem.data().unwrap());
    let mut sum = Hyper::ZERO;
    for i in 0..data.len() {
        let row = |k: usize| -> Vec<Hyper> {
            match k {
                0 => data.x().row(i).iter().map(|&v| v.into()).collect(),
                _ => x[k - 1][i * network.width(k)..(i + 1) * network.width(k)].to_vec(),
            }
        };
        let y = data.y().row(i).to_vec();
        let omega = Hyper::from(data.weights()[i]);
        sum = sum + omega * hyperdual::loss(problem.loss(), &row(network.depth()), &y);
        for (index, layer) in network.layers().iter().enumerate() {
            let mut z: Vec<Hyper> = layer.sources.iter().flat_map(|&t| row(t)).collect();
            if layer.bias {
                z.push(Hyper::from(1.0));
            }
            let units = layer.groups.iter().flat_map(|g| g.activations());
            for (j, h) in units.enumerate() {
                let start = layer.range.start + j * z.len();
                let p = (0..z.len()).fold(Hyper::ZERO, |p, a| p + w[start + a] * z[a]);
                let x = row(index + 1)[j];
                let e = e[index][i * layer.units + j];
                sum = sum + e * (x - hyperdual::activation(h, p));
            }
        }
    }
    sum
}

/// All derivatives at a configuration that nothing propagated.
#[test]
fn derivatives_at_any_configuration() {
    let mut failures = Failures::default();
    for seed in 0..25 {
        let (problem, w) = random_problem(seed, false);
        let mut random = Random::new(seed);
        let mut any = |_: ()| -> Vec<Array2<f64>> {
            (1..=problem.network().depth())
                .map(|k| random.matrix(problem.rows(), problem.network().width(k), 1.0))
                .collect()
        };
        let at = Configuration { states: any(()), multipliers: any(()) };
        let l = problem.lagrangian(&w, &at).unwrap();
        let name = |what: &str| format!("seed {seed}, {}: {what}", problem.network());

        let hyper = |v: &[f64]| v.iter().map(|&v| Hyper::from(v)).collect::<Vec<_>>();
        let layers = |a: &[Array2<f64>]| -> Vec<Vec<Hyper>> {
            a.iter().map(|a| hyper(&a.iter().copied().collect::<Vec<_>>())).collect()
        };
        let (w0, x0, e0) = (hyper(&w), layers(&at.states), layers(&at.multipliers));
        let value = reference(&problem, &w0, &x0, &e0).v;
        failures.compare(&name("L"), &[l.value], &[value], 1e-12);

        let second = |a: usize, b: usize| {
            let mut w = w0.clone();
            w[a].d1 = 1.0;
            w[b].d2 = 1.0;
            reference(&problem, &w, &x0, &e0)
        };
        let d_w: Vec<f64> = (0..w.len()).map(|a| second(a, a).d1).collect();
        failures.compare(&name("∂L/∂W"), &l.d_w, &d_w, 1e-12);
        let (mut got, mut want) = (Vec::new(), Vec::new());
        for block in l.d_ww.blocks() {
            got.extend_from_slice(block.packed());
            for a in block.range.clone() {
                want.extend((block.range.start..=a).map(|b| second(a, b).d12));
            }
        }
        failures.compare(&name("∂²L/∂W²"), &got, &want, 1e-12);
        for k in 0..x0.len() {
            let along = |which: usize, at: usize| {
                let (mut x, mut e) = (x0.clone(), e0.clone());
                [&mut x, &mut e][which][k][at].d1 = 1.0;
                reference(&problem, &w0, &x, &e).d1
            };
            for (which, got) in [(0, &l.d_x[k]), (1, &l.d_e[k])] {
                let want: Vec<f64> = (0..x0[k].len()).map(|at| along(which, at)).collect();
                let got: Vec<f64> = got.iter().copied().collect();
                failures.compare(&name(["∂L/∂X", "∂L/∂E"][which]), &got, &want, 1e-12);
            }
        }
    }
    failures.assert_none();
}

#[test]
fn wrong_configurations_are_errors() {
    let (problem, w) = random_problem(3, false);
    let good = problem.configuration(&w).unwrap();
    let mut bad = good.clone();
    bad.states.pop();
    assert!(matches!(problem.lagrangian(&w, &bad), Err(secondo::Error::Shape { .. })));
    let mut bad = good.clone();
    bad.multipliers[0] = Array2::zeros((1, 99));
    assert!(matches!(problem.lagrangian(&w, &bad), Err(secondo::Error::Shape { .. })));
    let mut bad = good;
    bad.states[0][(0, 0)] = f64::NAN;
    assert!(matches!(problem.lagrangian(&w, &bad), Err(secondo::Error::NonFinite { .. })));
}

fn blocks(problem: &Problem, w: &[f64], curvature: Curvature) -> Vec<Array2<f64>> {
    let at = problem.curvature(w, curvature, Structure::RowBlocks).unwrap();
    (at.curvature.unwrap().blocks()).map(|b| b.dense()).collect()
}

/// By hand: x = 1, y = 0, f = w₂ tanh w₁ at (1, 1). The Hessian is [[−0.31081, 0.63970], [0.63970, 0.58003]], the
/// paper's matrix [[−0.48719, 0], [0, 0]]: wrong in every entry of the hidden row's block, and 0 for the output row.
#[test]
fn how_far_the_papers_blocks_are_from_the_hessian() {
    let layers = vec![
        Layer::dense(1, Activation::Tanh).without_bias(),
        Layer::dense(1, Activation::Identity).without_bias(),
    ];
    let network = Network::new(1, layers).unwrap();
    let data = Data::new(array![[1.0]], array![[0.0]]).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    let numbers =
        |c| blocks(&problem, &[1.0, 1.0], c).iter().map(|b| b[(0, 0)]).collect::<Vec<_>>();
    let (exact, paper) = (numbers(Curvature::Exact), numbers(Curvature::Lagrangian));
    let gauss_newton = numbers(Curvature::GaussNewton);
    let t = 1.0f64.tanh();
    let t1 = 1.0 - t * t;
    let close = |a: f64, b: f64| (a - b).abs() < 1e-15;
    assert!(close(exact[0], t1 * t1 - 2.0 * t * t * t1) && close(exact[1], t * t), "{exact:?}");
    assert!(close(paper[0], -2.0 * t * t * t1) && paper[1] == 0.0, "{paper:?}");
    assert!((exact[0] + 0.31081).abs() < 1e-5 && (paper[0] + 0.48719).abs() < 1e-5);
    // The part that the paper's blocks lack here is the Gauss–Newton part.
    for j in 0..2 {
        assert!(close(exact[j], paper[j] + gauss_newton[j]));
    }
}

/// Exact = Gauss–Newton + Lagrangian for output rows and for hidden units followed by identity units only; one layer
/// deeper it does not hold.
#[test]
fn where_the_papers_blocks_are_the_missing_part() {
    let mut random = Random::new(5);
    let network = Network::dense(&[3, 4, 3, 2], Activation::Tanh).unwrap();
    let data = Data::new(random.matrix(20, 3, 1.0), random.matrix(20, 2, 1.0)).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    let w = random.vector(problem.parameters(), 0.8);
    let (exact, gauss_newton, paper) = (
        blocks(&problem, &w, Curvature::Exact),
        blocks(&problem, &w, Curvature::GaussNewton),
        blocks(&problem, &w, Curvature::Lagrangian),
    );
    let gap = |row: usize| {
        let difference = &exact[row] - &gauss_newton[row] - &paper[row];
        largest(&difference) / largest(&exact[row])
    };
    // Rows 0–3: first layer, followed by tanh units; 4–6: second layer, followed by the linear output; 7–8: output.
    for row in 0..4 {
        assert!(gap(row) > 1e-3, "row {row}: {}", gap(row));
    }
    for row in 4..9 {
        assert!(gap(row) < 1e-14, "row {row}: {}", gap(row));
    }
    // And the paper's matrix is far from the Hessian's block in every row.
    for row in 0..9 {
        let distance = largest(&(&exact[row] - &paper[row])) / largest(&exact[row]);
        println!("row {row}: ‖exact − Lagrangian‖ / ‖exact‖ = {distance:.3}");
        assert!(distance > 0.1, "row {row}: {distance}");
    }
}

/// At an exact fit all multipliers vanish: the paper's blocks are 0, the Hessian is the Gauss–Newton matrix.
#[test]
fn at_an_exact_fit_the_papers_blocks_vanish() {
    let mut random = Random::new(6);
    let network = Network::dense(&[2, 3, 1], Activation::Tanh).unwrap();
    let w = random.vector(network.parameters(), 1.0);
    let x = random.matrix(9, 2, 1.0);
    let y = network.predict(&w, &x).unwrap();
    let problem = Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap();
    assert!(blocks(&problem, &w, Curvature::Lagrangian).iter().all(|b| largest(b) == 0.0));
    let exact = blocks(&problem, &w, Curvature::Exact);
    for (e, g) in exact.iter().zip(blocks(&problem, &w, Curvature::GaussNewton)) {
        assert!(largest(&(e - &g)) <= 1e-15 * largest(e));
    }
}
