//! The matrix that units share, from the row blocks themselves.

use ndarray::Array2;

use super::*;
use crate::curvature::{Curvature, Structure};
use crate::evaluate::Request;
use crate::network::{Activation, Layer, Network};
use crate::objective::{Data, Loss, Penalty};

/// More units than one thread solves for at once, two inputs in other units than the rest, a layer without bias, a group of one unit.
fn problem() -> Problem {
    let number = |k: usize| f64::from((k * 7919 % 2003) as u32) / 1001.0 - 1.0;
    let x =
        Array2::from_shape_fn((90, 5), |(i, a)| [1e3, 1e-3, 1.0, 2.0, 0.5][a] * number(5 * i + a));
    let y = Array2::from_shape_fn((90, 1), |(i, _)| number(3 * i));
    let layers = vec![
        Layer::dense(37, Activation::Tanh),
        Layer::dense(4, Activation::Tanh).without_bias(),
        Layer::dense(1, Activation::Identity),
    ];
    let data = Data::new(x, y).unwrap();
    let problem = Problem::new(Network::new(5, layers).unwrap(), data, Loss::SquaredError);
    problem.unwrap().penalty(Penalty::ridge(0.3)).unwrap()
}

/// M⁻¹ of M v for the formula's M, from the row blocks themselves.
#[test]
fn the_matrix_is_that_of_the_formula() {
    let problem = problem();
    let w: Vec<f64> = (0..problem.parameters()).map(|l| (l as f64 * 0.7).sin() / 1e3).collect();
    let scales = crate::train::scales::scales(&problem).unwrap();
    let at = problem.evaluate(&w, Request::pooled(Curvature::GaussNewton)).unwrap();
    let own = at.curvature.unwrap().diagonal();
    let found = preconditioner(&problem, at.pooled, &own, &scales, &Limits::default()).unwrap();
    let rows = problem.curvature(&w, Curvature::GaussNewton, Structure::RowBlocks).unwrap();
    let rows = rows.curvature.unwrap();
    let v: Vec<f64> = (0..w.len()).map(|l| (l as f64 * 1.3).cos()).collect();
    let mut image = vec![0.0; w.len()];
    for (_, g) in problem.network().groups() {
        let blocks: Vec<_> = rows.blocks().filter(|b| g.range.contains(&b.range.start)).collect();
        let r = &scales[g.range.clone()][..g.row];
        // But for the ridge, which is on the diagonal, A is their sum.
        let sum = |a: usize, b: usize| -> f64 {
            blocks.iter().map(|block| block.packed()[triangle(a.max(b)) + a.min(b)]).sum()
        };
        let trace = |block: &[f64]| -> f64 {
            (0..g.row).map(|a| block[triangle(a) + a] / r[a] / r[a]).sum()
        };
        let total: f64 = blocks.iter().map(|block| trace(block.packed())).sum();
        let tau = (0..g.row).map(|a| 1e-3 * sum(a, a) / r[a] / r[a]).fold(0.0, f64::max);
        for block in &blocks {
            let at = block.range.start;
            for a in 0..g.row {
                let entry = |b| sum(a, b) + if a == b { tau * r[a] * r[a] } else { 0.0 };
                let along: f64 = (0..g.row).map(|b| entry(b) * v[at + b]).sum();
                image[at + a] = trace(block.packed()) / total * along;
            }
        }
    }
    for (found, v) in found.apply(&image).unwrap().iter().zip(&v) {
        assert!((found - v).abs() < 1e-9, "{found} for {v}");
    }
}

/// Units without curvature, some of a group or all of it, leave M positive definite and finite.
#[test]
fn units_that_do_not_matter_are_left_alone() {
    let problem = problem();
    let p = problem.parameters();
    let scales = vec![1.0; p];
    for alive in [0, 1, 20] {
        let mut own = vec![0.0; p];
        own[..6 * alive].fill(2.0);
        let groups = problem.network().groups().map(|(_, g)| triangle(g.row));
        let sums = groups.map(|numbers| vec![0.0; numbers]).collect();
        let m = preconditioner(&problem, sums, &own, &scales, &Limits::default()).unwrap();
        let found = m.apply(&vec![1.0; p]).unwrap();
        assert!(found.iter().all(|v| *v > 0.0 && v.is_finite()), "{alive}");
    }
}

/// Radial units have inputs of their own kind: nothing is shared.
#[test]
fn units_that_are_not_linear_share_nothing() {
    use crate::network::{Group, Radial};
    assert_eq!(orders(&problem()), Some(vec![6, 37, 5]));
    let radial = Group::radial(2, Radial::Full, Activation::ExpNegHalf);
    let layers = vec![Layer::of(vec![radial]), Layer::dense(1, Activation::Identity)];
    let data = problem().data().unwrap().clone();
    let network = Network::new(5, layers).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    assert_eq!(orders(&problem), None);
}
