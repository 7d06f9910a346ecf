//! Losses at the ends of the range, reductions, weights, penalties, constraints, and what is refused.

mod common;

use common::Failures;
use common::hyperdual::{self, Hyper};
use common::nets::{Random, losses, random_problem, targets};
use ndarray::{Array2, array};
use secondo::{
    Activation, Constraint, Curvature, Data, Error, Initialization, Layer, LinearOperator, Loss,
    Matrix, Method, Network, NewtonCg, Penalty, Problem, Reduction, Request, Structure, silent,
};

fn at(loss: &Loss, x: &[f64], y: &[f64]) -> (f64, Vec<f64>, Vec<f64>) {
    loss.derivatives(x, y).unwrap()
}

#[test]
fn losses_agree_with_hyper_dual_numbers() {
    let mut failures = Failures::default();
    let mut random = Random::new(1);
    for outputs in 1..5 {
        for loss in losses(outputs) {
            for _ in 0..20 {
                let x = random.vector(outputs, 3.0);
                let y = targets(&mut random, &loss, 1, outputs).row(0).to_vec();
                let (value, g, h) = at(&loss, &x, &y);
                let hyper = |o: usize, q: usize| {
                    let mut x: Vec<Hyper> = x.iter().map(|&v| v.into()).collect();
                    x[o].d1 = 1.0;
                    x[q].d2 = 1.0;
                    hyperdual::loss(&loss, &x, &y)
                };
                let name = format!("{loss:?} {x:?} {y:?}");
                // Terms of the size of 1 cancel where a loss is close to 0.
                let close = |f: &mut Failures, what: &str, got: &[f64], want: &[f64]| {
                    let shift = |v: &[f64]| v.iter().map(|v| v + 1.0).collect::<Vec<_>>();
                    f.compare(&format!("{name} {what}"), &shift(got), &shift(want), 1e-13);
                };
                close(&mut failures, "g", &[value], &[hyper(0, 0).v]);
                let want: Vec<f64> = (0..outputs).map(|o| hyper(o, o).d1).collect();
                close(&mut failures, "∂g", &g, &want);
                let want: Vec<f64> =
                    (0..outputs * outputs).map(|e| hyper(e / outputs, e % outputs).d12).collect();
                close(&mut failures, "∂²g", &h, &want);
            }
        }
    }
    failures.assert_none();
}

/// Values known in closed form where naive formulas overflow or lose everything.
#[test]
fn losses_at_the_ends_of_the_range() {
    let bce = |x: f64, y: f64| at(&Loss::BinaryCrossEntropy, &[x], &[y]);
    assert_eq!(bce(1e4, 0.0), (1e4, vec![1.0], vec![0.0]));
    assert_eq!(bce(1e4, 1.0), (0.0, vec![0.0], vec![0.0]));
    assert_eq!(bce(-1e4, 1.0), (1e4, vec![-1.0], vec![0.0]));
    assert_eq!(bce(-1e308, 1.0).0, 1e308);
    // Well classified: −log σ(40) = e⁻⁴⁰ to rounding, and so are both derivatives.
    let small = (-40.0f64).exp();
    let (v, g, h) = bce(40.0, 1.0);
    for (got, want) in [(v, small), (g[0], -small), (h[0], small)] {
        assert!((got / want - 1.0).abs() < 1e-14, "{got} {want}");
    }

    let softmax = |x: &[f64], y: &[f64]| at(&Loss::SoftmaxCrossEntropy, x, y);
    let (v, g, _) = softmax(&[1e4, -1e4, 0.0], &[0.0, 1.0, 0.0]);
    assert_eq!((v, g), (2e4, vec![1.0, -1.0, 0.0]));
    let (v, g, h) = softmax(&[40.0, 0.0, 0.0], &[1.0, 0.0, 0.0]);
    for (got, want) in [(v, 2.0 * small), (g[0], -2.0 * small), (g[1], small), (h[0], 2.0 * small)]
    {
        assert!((got / want - 1.0).abs() < 1e-14, "{got} {want}");
    }
    // Shifting all predictors changes nothing, whatever their size.
    assert_eq!(softmax(&[1e300, 1e300], &[0.5, 0.5]).0, std::f64::consts::LN_2);

    let cosh = |t: f64| at(&Loss::LogCosh { delta: 1.0 }, &[t], &[0.0]);
    assert!((cosh(1e-9).0 / 5e-19 - 1.0).abs() < 1e-15);
    assert_eq!(cosh(1e4).0, 1e4 - std::f64::consts::LN_2);
    assert_eq!((cosh(-800.0).1[0], cosh(-800.0).2[0]), (-1.0, 0.0));
    let huber = |t: f64| at(&Loss::PseudoHuber { delta: 1.0 }, &[t], &[0.0]);
    assert!((huber(1e-9).0 / 5e-19 - 1.0).abs() < 1e-15);
    assert!((huber(1e200).0 / 1e200 - 1.0).abs() < 1e-15);
    assert_eq!((huber(1e200).1[0], huber(1e200).2[0]), (1.0, 0.0));
    // A cross-over without a step.
    for t in [0.999_999_999, 1.000_000_001] {
        assert!((cosh(t).0 - t.cosh().ln()).abs() < 1e-15, "{t}");
    }
    assert_eq!(at(&Loss::Poisson, &[-1e4], &[0.0]).0, 0.0);

    let gamma = |x: f64, y: f64| at(&Loss::Gamma, &[x], &[y]);
    assert_eq!(gamma(0.0, 1.0), (0.0, vec![0.0], vec![1.0]));
    assert_eq!(gamma(1e308, 1.0), (1e308, vec![1.0], vec![0.0]));
    // t²/2 + t³/6 at t = −x.
    assert!((gamma(1e-9, 1.0).0 / (5e-19 - 1e-27 / 6.0) - 1.0).abs() < 1e-15);
    // e⁸⁰⁰ is no number, 1e-300 e⁸⁰⁰ is one: 2.726…e47.
    let want = (800.0 - 300.0 * std::f64::consts::LN_10).exp();
    assert!((gamma(-800.0, 1e-300).2[0] / want - 1.0).abs() < 1e-12);
    for t in [0.999_999_999f64, 1.000_000_001, -0.999_999_999, -1.000_000_001] {
        assert!((gamma(-t, 1.0).0 - (t.exp() - 1.0 - t)).abs() < 1e-15, "{t}");
    }

    let binomial =
        |dispersion, x: f64, y: f64| at(&Loss::NegativeBinomial { dispersion }, &[x], &[y]);
    assert_eq!(binomial(2.0, 1e300, 0.0), (5e299, vec![0.5], vec![0.0]));
    assert_eq!(binomial(1.0, -1e4, 3.0), (3e4, vec![-3.0], vec![0.0]));
    // (y + 1) ln 2 at α = μ = 1.
    assert_eq!(binomial(1.0, 0.0, 3.0), (4.0 * std::f64::consts::LN_2, vec![-1.0], vec![1.0]));
    // Of small dispersion the Poisson loss.
    let (poisson, close) = (at(&Loss::Poisson, &[0.7], &[3.0]), binomial(1e-200, 0.7, 3.0));
    for (a, b) in [(close.0, poisson.0), (close.1[0], poisson.1[0]), (close.2[0], poisson.2[0])] {
        assert!((a / b - 1.0).abs() < 1e-14, "{a} {b}");
    }
    // A cross-over without a step.
    for x in [-1e-9f64, 1e-9] {
        let plain = 4.0 * (1.0 + x.exp()).ln() - 3.0 * x;
        assert!((binomial(1.0, x, 3.0).0 - plain).abs() < 1e-15, "{x}");
    }
}

fn small(loss: Loss, y: Array2<f64>) -> secondo::Result<Problem> {
    let network = Network::dense(&[1, 2, y.ncols()], Activation::Tanh)?;
    let x = Array2::from_shape_fn((y.nrows(), 1), |(i, _)| i as f64 - 1.0);
    Problem::new(network, Data::new(x, y)?, loss)
}

#[test]
fn weights_and_the_mean() {
    let (problem, w) = random_problem(7, false);
    let (sum, weights) = (problem.clone(), problem.data().unwrap().weights().to_vec());
    let total: f64 = weights.iter().sum();
    let mean = problem.clone().reduction(Reduction::Mean).penalty(Penalty::ridge(0.5)).unwrap();
    let at = mean.evaluate(&w, Request::gradient()).unwrap();
    let want = sum.objective(&w).unwrap() / total + at.penalty;
    assert!((at.value - want).abs() < 1e-14 * want.abs());
    // The penalty is not divided: ½ 0.5 |w|².
    let norm: f64 = w.iter().map(|v| v * v).sum();
    assert!((at.penalty - 0.25 * norm).abs() < 1e-14 * norm);
    // A weight of 2 is the sample twice, in every curvature.
    let (x, y) = (array![[0.3], [0.9]], array![[0.1], [0.7]]);
    let network = Network::dense(&[1, 3, 1], Activation::Tanh).unwrap();
    let w = Initialization::Uniform.draw(&network, 1);
    let twice = Data::new(array![[0.3], [0.9], [0.9]], array![[0.1], [0.7], [0.7]]).unwrap();
    let weighted = Data::new(x, y).unwrap().weighted(vec![1.0, 2.0]).unwrap();
    let of = |data: Data, c: Curvature| {
        let p = Problem::new(network.clone(), data, Loss::SquaredError).unwrap();
        let at = p.curvature(&w, c, Structure::Diagonal).unwrap();
        at.curvature.unwrap().diagonal()
    };
    let mut failures = Failures::default();
    for c in Curvature::ALL {
        failures.compare(c.name(), &of(weighted.clone(), c), &of(twice.clone(), c), 1e-14);
    }
    failures.assert_none();
}

#[test]
fn a_sample_of_weight_0_takes_no_part_even_where_its_loss_overflows() {
    let data = Data::new(array![[1.0], [800.0]], array![[1.0], [1.0]]).unwrap();
    let network =
        Network::new(1, vec![Layer::dense(1, Activation::Identity).without_bias()]).unwrap();
    let problem = |data| Problem::new(network.clone(), data, Loss::Poisson).unwrap();
    assert!(matches!(problem(data.clone()).objective(&[1.0]), Err(Error::NonFinite { .. })));
    let at = problem(data.weighted(vec![1.0, 0.0]).unwrap())
        .curvature(&[1.0], Curvature::Exact, Structure::Diagonal)
        .unwrap();
    assert!((at.value - (1.0f64.exp() - 1.0)).abs() < 1e-15);
    let d = at.curvature.unwrap().diagonal();
    assert!((d[0] - 1.0f64.exp()).abs() < 1e-15);
}

#[test]
fn the_group_norm_at_zero() {
    let penalty = Penalty::GroupNorm { lambda: 2.0, include_bias: true };
    let problem =
        small(Loss::SquaredError, array![[0.0], [0.0]]).unwrap().penalty(penalty).unwrap();
    let zero = vec![0.0; problem.parameters()];
    let at = problem.curvature(&zero, Curvature::Exact, Structure::RowBlocks).unwrap();
    // No derivative there: the subgradient of least norm, and no curvature of its own.
    assert_eq!((at.value, at.penalty), (0.0, 0.0));
    assert!(at.gradient.iter().all(|&g| g == 0.0));
    let mut tiny = zero;
    tiny[0] = 1e-200;
    let at = problem.evaluate(&tiny, Request::gradient()).unwrap();
    assert!((at.penalty / 2e-200 - 1.0).abs() < 1e-14 && at.gradient[0] == 2.0);
}

/// The norm of weights whose squares overflow.
#[test]
fn the_group_norm_of_large_weights() {
    let problem = small(Loss::SquaredError, array![[0.0], [1.0]]).unwrap();
    let lambda = 2.0;
    let include_bias = true;
    let penalty = Penalty::GroupNorm { lambda, include_bias };
    let problem = problem.penalty(penalty).unwrap();
    // [1-2-1]: the hidden weights are huge, the output's are 0.
    let mut w = vec![0.0; 7];
    (w[0], w[2]) = (3e200, -4e200);
    let at = problem.evaluate(&w, Request::gradient()).unwrap();
    assert!((at.penalty / 1e201 - 1.0).abs() < 1e-14);
    assert!((at.gradient[0] - 1.2).abs() + (at.gradient[2] + 1.6).abs() < 1e-14);
}

/// −0 is 0 for every result, and a denormal number is next to it.
#[test]
fn signs_of_zeros_and_denormals() {
    for h in [Activation::Tanh, Activation::Relu, Activation::Silu] {
        let network = Network::dense(&[2, 3, 1], h).unwrap();
        let y = array![[1.0], [-1.0], [0.5]];
        let w = Initialization::Glorot.draw(&network, 3);
        let at = |tiny: f64| {
            let x = array![[tiny, 1.0], [2.0, tiny], [tiny, tiny]];
            let data = Data::new(x, y.clone()).unwrap();
            let problem = Problem::new(network.clone(), data, Loss::SquaredError).unwrap();
            let mut w = w.clone();
            (w[0], w[5]) = (tiny, tiny);
            let at = problem.curvature(&w, Curvature::Exact, Structure::Full).unwrap();
            let h = at.curvature.unwrap().dense().unwrap();
            let mut all = vec![at.value];
            all.extend(at.gradient);
            all.extend(h);
            all
        };
        let right = at(0.0);
        for (tiny, allowed) in [(-0.0, 0.0), (5e-324, 1e-300), (-2e-310, 1e-300)] {
            // The kink of ReLU is where the sign of a denormal number counts.
            if h == Activation::Relu && tiny != 0.0 {
                continue;
            }
            for (found, right) in at(tiny).iter().zip(&right) {
                assert!((found - right).abs() <= allowed, "{h}, {tiny}: {found} for {right}");
            }
        }
    }
}

#[test]
fn tied_and_fixed_parameters() {
    let (problem, w) = random_problem(11, false);
    let p = problem.parameters();
    // W = fixed + Cθ: θ₀ moves every third parameter, θ₁ the next ones at twice the rate, the rest is fixed.
    let entries: Vec<_> = (0..p)
        .filter(|l| l % 3 < 2)
        .map(|l| (l, l % 3, if l % 3 == 0 { 1.0 } else { 2.0 }))
        .collect();
    let constraint = Constraint::new(w, 2, entries).unwrap();
    let theta = [0.3, -0.2];
    let whole = constraint.weights(&theta).unwrap();
    let tied = problem.clone().constraint(constraint).unwrap();
    assert_eq!(tied.parameters(), 2);
    assert_eq!(tied.objective(&theta).unwrap(), problem.objective(&whole).unwrap());
    let g = problem.gradient(&whole).unwrap();
    let sum = |r: usize| (0..p).filter(|l| l % 3 == r).map(|l| g[l]).sum::<f64>();
    let got = tied.gradient(&theta).unwrap();
    assert!((got[0] - sum(0)).abs() < 1e-13 && (got[1] - 2.0 * sum(1)).abs() < 1e-13);
    // Blocks of units, or of layers, that share a θ are none in θ.
    for structure in [Structure::RowBlocks, Structure::LayerBlocks] {
        let refused = tied.curvature(&theta, Curvature::Exact, structure);
        let told = |what: &str, why: &str| what.contains(structure.name()) && why.contains("θ[0]");
        // One block alone shares nothing.
        let one = structure == Structure::LayerBlocks && problem.network().depth() == 1;
        match refused {
            Ok(_) => assert!(one, "{structure:?}"),
            Err(Error::Unsupported { what, why }) => assert!(told(&what, &why), "{what}: {why}"),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(matches!(tied.objective(&[1.0]), Err(Error::Shape { .. })));
    assert!(matches!(tied.objective(&[1.0, f64::NAN]), Err(Error::NonFinite { .. })));
}

/// CᵀBC from B in W, with C by its entries.
fn congruent(matrix: &Array2<f64>, free: usize, entries: &[(usize, usize, f64)]) -> Array2<f64> {
    let mut c = Array2::zeros((matrix.nrows(), free));
    entries.iter().for_each(|&(l, q, v)| c[[l, q]] += v);
    c.t().dot(matrix).dot(&c)
}

fn all(matrix: &Array2<f64>) -> Vec<f64> {
    matrix.iter().copied().collect()
}

/// A constraint in which every parameter depends on two of `free` θ and some are fixed, by place and value.
fn mixing(random: &mut Random, p: usize, free: usize) -> Vec<(usize, usize, f64)> {
    let mut entries: Vec<_> = (0..free).map(|q| (random.below(p), q, 0.5)).collect();
    for l in (0..p).filter(|l| l % 5 != 4) {
        for _ in 0..2 {
            entries.push((l, random.below(free), random.signed()));
        }
    }
    entries
}

/// Matrices, diagonals, products and Jacobians in θ are those in W with C: CᵀBC, its diagonal, CᵀBCv, JC.
#[test]
fn second_derivatives_under_a_constraint() {
    let mut failures = Failures::default();
    for (seed, radial) in (0..12).map(|s| (s, false)).chain((1000..1008).map(|s| (s, true))) {
        let (problem, w) = random_problem(seed, radial);
        let problem = problem.penalty(Penalty::ridge(0.3)).unwrap();
        let (mut random, p) = (Random::new(seed), problem.parameters());
        let free = 1 + p / 2;
        let entries = mixing(&mut random, p, free);
        let theta = random.vector(free, 0.1);
        // The point in W is that of the problem without the constraint.
        let moved = Constraint::new(vec![0.0; p], free, entries.clone()).unwrap();
        let moved = moved.weights(&theta).unwrap();
        let fixed = w.iter().zip(&moved).map(|(w, m)| w - m).collect();
        let constraint = Constraint::new(fixed, free, entries.clone()).unwrap();
        let w = constraint.weights(&theta).unwrap();
        let tied = problem.clone().constraint(constraint).unwrap();
        let v = Array2::from_shape_fn((3, free), |(r, q)| ((3 * q + r) % 5) as f64 - 2.0);
        for curvature in Curvature::ALL {
            let name = |what: &str| format!("seed {seed} {} {what}", curvature.name());
            let matrix = |problem: &Problem, w: &[f64], structure| {
                let at = problem.curvature(w, curvature, structure).unwrap();
                at.curvature.unwrap()
            };
            let whole = matrix(&problem, &w, Structure::Full).dense().unwrap();
            let want = congruent(&whole, free, &entries);
            let got = matrix(&tied, &theta, Structure::Full);
            assert_eq!((got.order(), got.structure()), (free, Structure::Full));
            let got = all(&got.dense().unwrap());
            failures.compare(&name("full"), &got, &all(&want), 1e-12);
            let got = matrix(&tied, &theta, Structure::Diagonal);
            assert_eq!((got.order(), got.structure()), (free, Structure::Diagonal));
            let diagonal = want.diag().to_vec();
            failures.compare(&name("diagonal"), &got.diagonal(), &diagonal, 1e-12);
            let operator = tied.operator(&theta, curvature).unwrap();
            assert_eq!(operator.order(), free);
            let got = all(&operator.products(v.view()).unwrap());
            failures.compare(&name("products"), &got, &all(&v.dot(&want)), 1e-11);
        }
        let mut c = Array2::zeros((p, free));
        entries.iter().for_each(|&(l, q, v)| c[[l, q]] += v);
        let want = problem.jacobian(&w).unwrap().dot(&c);
        let got = tied.jacobian(&theta).unwrap();
        failures.compare(&format!("seed {seed} J"), &all(&got), &all(&want), 1e-13);
    }
    failures.assert_none();
}

/// A diagonal in θ, and what conjugate gradients are preconditioned by, takes no more of the matrix in W than what couples the
/// parameters of one θ.
#[test]
fn a_diagonal_under_a_constraint() {
    let network = Network::dense(&[20, 12, 9, 2], Activation::Tanh).unwrap();
    let mut random = Random::new(9);
    let data = Data::new(random.matrix(30, 20, 1.0), random.matrix(30, 2, 1.0)).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError)
        .unwrap()
        .penalty(Penalty::ridge(1e-2))
        .unwrap();
    let p = problem.parameters();
    let fixed = random.vector(p, 0.3);
    const FIXED: usize = usize::MAX;
    type Tie = fn(usize) -> usize;
    // Which θ reaches a parameter. The first layer has 12 rows of 21.
    let ties: [(&str, &str, f64, Tie); 5] = [
        ("a θ for each parameter but some, in the other order", "diagonal", 10.0, |l| {
            if l % 7 == 6 { FIXED } else { 1000 - l }
        }),
        ("the same in order", "row-blocks", 10.0, |l| if l % 7 == 6 { FIXED } else { l }),
        ("pairs within rows, in the other order", "diagonal", 8.0, |l| {
            if l < 252 { 1000 - l / 21 * 21 - l % 21 / 2 } else { 1000 - l }
        }),
        ("columns of the first layer", "none", 2.0, |l| if l < 252 { l % 21 } else { l }),
        ("across layers", "none", 1.0, |l| l % 300),
    ];
    let mut failures = Failures::default();
    for (name, preconditioner, least, tie) in ties {
        let mut names: Vec<usize> = (0..p).map(tie).filter(|q| *q != FIXED).collect();
        names.sort();
        names.dedup();
        let place = |l: usize| names.binary_search(&tie(l)).ok();
        let entries: Vec<_> =
            (0..p).filter_map(|l| Some((l, place(l)?, 1.0 + (l % 3) as f64))).collect();
        let constraint = Constraint::new(fixed.clone(), names.len(), entries.clone()).unwrap();
        let tied = problem.clone().constraint(constraint.clone()).unwrap();
        let theta = random.vector(names.len(), 0.1);
        let w = constraint.weights(&theta).unwrap();
        for curvature in [Curvature::Exact, Curvature::GaussNewton] {
            let matrix = problem.curvature(&w, curvature, Structure::Full).unwrap();
            let whole = matrix.curvature.unwrap().dense().unwrap();
            let want = congruent(&whole, names.len(), &entries).diag().to_vec();
            let got = tied.curvature(&theta, curvature, Structure::Diagonal).unwrap();
            let got = got.curvature.unwrap().diagonal();
            failures.compare(name, &got, &want, 1e-12);
        }
        let need = |s| tied.plan(Request::curvature(Curvature::Exact, s)).unwrap().flops;
        let share = need(Structure::Full) / need(Structure::Diagonal);
        println!("{name}: the whole matrix takes {share} times the flops");
        assert!(share >= least, "{name}: {share}");
        let fit = NewtonCg::default().fit(&tied, &theta, &mut silent).unwrap();
        assert!(fit.converged(), "{name}: {fit}");
        let end = format!("preconditioner {preconditioner}");
        assert!(fit.method.ends_with(&end), "{}", fit.method);
    }
    failures.assert_none();
}

/// Where every unit has θ of its own, one after the other, its block in θ is CᵀBC of its block in W; so for layers.
#[test]
fn blocks_under_a_constraint() {
    let network = Network::dense(&[2, 3, 2, 1], Activation::Tanh).unwrap();
    let mut random = Random::new(8);
    let data = Data::new(random.matrix(9, 2, 1.0), random.matrix(9, 1, 1.0)).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    let (p, fixed) = (problem.parameters(), random.vector(problem.parameters(), 0.5));
    let units: Vec<_> = problem
        .curvature(&fixed, Curvature::Exact, Structure::RowBlocks)
        .unwrap()
        .curvature
        .iter()
        .flat_map(Matrix::blocks)
        .map(|b| b.range.clone())
        .collect();
    // Two θ for each unit but the second, which is fixed; the first is tied to the last of its unit. An entry of 0 at
    // another unit's parameter ties nothing.
    let mut entries = Vec::new();
    let mut free = 0;
    for (_, range) in units.iter().enumerate().filter(|(at, _)| *at != 1) {
        entries.push((range.start, free, 1.0));
        entries.push((range.end - 1, free, -2.0));
        entries.push((range.start + 1, free + 1, 0.5));
        entries.push((range.start + 1, free, 0.25));
        free += 2;
    }
    entries.push((p - 1, 0, 0.0));
    let theta = random.vector(free, 0.5);
    let constraint =
        |entries: &[_]| Constraint::new(fixed.clone(), free, entries.to_vec()).unwrap();
    let w = constraint(&entries).weights(&theta).unwrap();
    let tied = problem.clone().constraint(constraint(&entries)).unwrap();
    let mut failures = Failures::default();
    for curvature in Curvature::ALL {
        for structure in [Structure::RowBlocks, Structure::LayerBlocks] {
            let matrix = |problem: &Problem, w: &[f64]| {
                let at = problem.curvature(w, curvature, structure).unwrap();
                at.curvature.unwrap()
            };
            let got = matrix(&tied, &theta);
            let blocks = if structure == Structure::RowBlocks { 5 } else { 3 };
            assert_eq!((got.order(), got.blocks().count()), (free, blocks));
            assert_eq!(got.structure(), structure);
            let want = congruent(&matrix(&problem, &w).dense().unwrap(), free, &entries);
            let got = all(&got.dense().unwrap());
            let what = format!("{curvature:?} {structure:?}");
            failures.compare(&what, &got, &all(&want), 1e-13);
        }
    }
    failures.assert_none();
    let got = tied.curvature(&theta, Curvature::Exact, Structure::RowBlocks);
    let got = got.unwrap().curvature.unwrap();
    let places: Vec<_> = got.blocks().map(|b| (b.layer, b.unit, b.range.clone())).collect();
    assert_eq!(places[1], (Some(1), Some(2), 2..4));
    // θ in another order, a θ that reaches two units, and θ of two units that alternate.
    let (last, second) = (free - 1, units[2].clone());
    let reversed: Vec<_> = entries.iter().map(|&(l, q, v)| (l, last - q, v)).collect();
    let shared = [&entries[..], &[(second.start, 0, 1.0)]].concat();
    let swap = |q: usize| if q == 1 || q == 2 { 3 - q } else { q };
    let alternating: Vec<_> = entries.iter().map(|&(l, q, v)| (l, swap(q), v)).collect();
    for entries in [reversed, shared, alternating] {
        let tied = problem.clone().constraint(constraint(&entries)).unwrap();
        let refused = tied.curvature(&theta, Curvature::Exact, Structure::RowBlocks);
        assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
        let want = congruent(
            &problem
                .curvature(
                    &constraint(&entries).weights(&theta).unwrap(),
                    Curvature::Exact,
                    Structure::Full,
                )
                .unwrap()
                .curvature
                .unwrap()
                .dense()
                .unwrap(),
            free,
            &entries,
        );
        let got = tied.curvature(&theta, Curvature::Exact, Structure::Full).unwrap();
        let got = got.curvature.unwrap().dense().unwrap();
        let error = (&got - &want).iter().fold(0.0f64, |m, v| m.max(v.abs()));
        assert!(error < 1e-12, "{error}");
    }
}

#[test]
fn initial_parameters_are_the_same_everywhere() {
    let network = Network::dense(&[3, 4, 1], Activation::Tanh).unwrap();
    for rule in Initialization::ALL {
        let w = rule.draw(&network, 7);
        assert_eq!(w, rule.draw(&network, 7), "{rule:?}");
        assert_eq!(Initialization::from_name(rule.name()).unwrap(), rule);
        if rule != Initialization::Zero {
            assert_ne!(w, rule.draw(&network, 8), "{rule:?}");
        }
    }
    // Bounds and biases of the Glorot rule.
    let w = Initialization::Glorot.draw(&network, 7);
    assert!(w.iter().all(|v| v.abs() <= (6.0f64 / 5.0).sqrt()));
    assert!(network.is_bias().iter().zip(&w).all(|(&bias, &w)| !bias || w == 0.0));
    // Stored numbers: another machine must draw them, too.
    let stored = STORED_GLOROT;
    assert_eq!(&w[..3], &stored, "{:?}", &w[..3]);
}

const STORED_GLOROT: [f64; 3] = [-0.9248813904478744, -0.497480826095881, 0.7436020427722139];

#[test]
fn everything_wrong_is_refused_by_kind() {
    let shape = |e: Error| matches!(e, Error::Shape { .. });
    let invalid = |e: Error| matches!(e, Error::Invalid { .. });
    let non_finite = |e: Error| matches!(e, Error::NonFinite { .. });
    let y = array![[0.0], [1.0]];
    let x = array![[0.0], [1.0]];
    assert!(shape(Data::new(array![[0.0]], y.clone()).unwrap_err()));
    assert!(invalid(Data::new(Array2::zeros((0, 1)), Array2::zeros((0, 1))).unwrap_err()));
    assert!(non_finite(Data::new(array![[f64::NAN], [0.0]], y.clone()).unwrap_err()));
    assert!(non_finite(Data::new(x.clone(), array![[f64::INFINITY], [0.0]]).unwrap_err()));
    let data = Data::new(x, y.clone()).unwrap();
    assert!(shape(data.clone().weighted(vec![1.0]).unwrap_err()));
    assert!(invalid(data.clone().weighted(vec![1.0, -1.0]).unwrap_err()));
    assert!(invalid(data.clone().weighted(vec![0.0, 0.0]).unwrap_err()));
    assert!(non_finite(data.weighted(vec![1.0, f64::NAN]).unwrap_err()));
    for (loss, y) in [
        (Loss::BinaryCrossEntropy, array![[0.0], [2.0]]),
        (Loss::Poisson, array![[0.0], [-1.0]]),
        (Loss::Gamma, array![[1.0], [0.0]]),
        (Loss::NegativeBinomial { dispersion: 1.0 }, array![[1.0], [-1.0]]),
        (Loss::NegativeBinomial { dispersion: 0.0 }, y.clone()),
        (Loss::NegativeBinomial { dispersion: 1e-310 }, y.clone()),
        (Loss::SoftmaxCrossEntropy, array![[0.5, 0.2], [1.0, 0.0]]),
        (Loss::LogCosh { delta: 0.0 }, y.clone()),
        (Loss::PseudoHuber { delta: f64::NAN }, y.clone()),
        (Loss::WeightedSquaredError { output_weights: vec![-1.0] }, y.clone()),
    ] {
        let error = small(loss.clone(), y).unwrap_err();
        assert!(invalid(error), "{loss:?}");
    }
    let wsos = Loss::WeightedSquaredError { output_weights: vec![1.0, 2.0] };
    assert!(shape(small(wsos, y.clone()).unwrap_err()));
    let problem = small(Loss::SquaredError, y).unwrap();
    assert!(shape(problem.objective(&[0.0]).unwrap_err()));
    let mut w = vec![0.1; problem.parameters()];
    w[3] = f64::NAN;
    let error = problem.objective(&w).unwrap_err();
    assert_eq!(error, Error::NonFinite { what: "parameters".into(), at: vec![3] });
    assert!(invalid(problem.clone().penalty(Penalty::ridge(-1.0)).unwrap_err()));
    let short = Penalty::RidgeVec { lambda: vec![1.0] };
    assert!(shape(problem.penalty(short).unwrap_err()));
    let layer = |units| Layer::dense(units, Activation::Tanh);
    assert!(invalid(Network::new(0, vec![layer(1)]).unwrap_err()));
    assert!(invalid(Network::new(1, vec![]).unwrap_err()));
    assert!(invalid(Network::dense(&[1, 0, 1], Activation::Tanh).unwrap_err()));
    for sources in [vec![1], vec![0, 0], vec![], vec![7]] {
        assert!(invalid(Network::new(1, vec![layer(1).sources(sources)]).unwrap_err()));
    }
    for entries in [vec![(9, 0, 1.0)], vec![(0, 9, 1.0)], vec![(0, 0, 0.0)]] {
        assert!(invalid(Constraint::new(vec![0.0; 2], 1, entries).unwrap_err()));
    }
    assert!(matches!(Curvature::from_name("hessian"), Err(Error::Unknown { .. })));
    for loss in losses(2) {
        assert!(invalid(loss.derivatives(&[], &[]).unwrap_err()), "{loss:?}");
        let ragged = loss.derivatives(&[1.0, 2.0], &[1.0]).unwrap_err();
        assert!(shape(ragged), "{loss:?}");
    }
}

/// A deep and narrow network: no recursion, no lost digits.
#[test]
fn two_hundred_layers() {
    let layers = vec![Layer::dense(2, Activation::Sin); 200];
    let network = Network::new(2, layers).unwrap();
    let mut random = Random::new(3);
    let data = Data::new(random.matrix(5, 2, 1.0), random.matrix(5, 2, 1.0)).unwrap();
    let w = random.vector(network.parameters(), 1.0);
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    let at = problem.curvature(&w, Curvature::Exact, Structure::Diagonal).unwrap();
    let step = 1e-6;
    for l in [0, 7, 599, 1199] {
        let moved = |by: f64| {
            let mut w = w.clone();
            w[l] += by;
            problem.gradient(&w).unwrap()[l]
        };
        let slope = (moved(step) - moved(-step)) / (2.0 * step);
        let d = at.curvature.as_ref().unwrap().diagonal();
        assert!((slope - d[l]).abs() < 1e-6 * (1.0 + d[l].abs()), "{l}: {slope} {}", d[l]);
    }
}

#[test]
fn entries_of_a_constraint_add_up() {
    // W = 2θ
    let twice = Constraint::new(vec![0.0], 1, vec![(0, 0, 1.0), (0, 0, 1.0)]).unwrap();
    assert_eq!(twice.weights(&[1.0]), Ok(vec![2.0]));
    assert_eq!(twice.project(&[2.0]), Ok(vec![1.0]));
    let none = Constraint::new(vec![0.0], 1, vec![(0, 0, 1.0), (0, 0, -1.0)]).unwrap_err();
    assert!(none.to_string().contains("θ[0] reaches no parameter"), "{none}");
    let large = Constraint::new(vec![0.0], 1, vec![(0, 0, f64::MAX), (0, 0, f64::MAX)]);
    assert!(matches!(large, Err(Error::NonFinite { .. })));
    // θ₀ reaches no parameter that θ₁ reaches.
    let apart = vec![(0, 1, 1.0), (0, 1, 1.0), (1, 0, 3.0), (0, 0, 2.0), (0, 0, -2.0)];
    let apart = Constraint::new(vec![0.0; 2], 2, apart).unwrap();
    assert_eq!(apart.project(&[4.0, 3.0]), Ok(vec![1.0, 2.0]));
}
