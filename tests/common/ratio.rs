//! A backend against `Cpu<f64>`, component by component: |error| ≤ u K A with A the same expression over absolute values.

use secondo::backend::{Backend, Cpu};
use secondo::{
    Activation, Curvature, Data, Evaluation, Group, Layer, Loss, Network, Problem, Propagation,
    Request, Structure,
};

use super::absolute::Absolute;
use super::nets::{Random, everywhere, losses, random_problem, targets};

/// u of f32.
pub const SINGLE: f64 = f32::EPSILON as f64 / 2.0;
/// u of f64.
pub const DOUBLE: f64 = f64::EPSILON / 2.0;

/// A problem with its parameters and a name.
pub type Case = (String, Problem, Vec<f64>);

/// How many of the two that are compared round with u. The reference is in f64, exact beside f32; beside another f64 its
/// own error is as large as the one that is tested, and the difference of the two may be twice the bound of either.
pub fn sides(u: f64) -> f64 {
    if u > DOUBLE { 1.0 } else { 2.0 }
}

/// The longest chain of roundings: each layer's sums and activations forth and back, and a block of samples.
pub fn chain(problem: &Problem) -> f64 {
    let layers: usize = problem.network().layers().iter().map(|l| 2 * (l.width() + 8)).sum();
    (layers + problem.rows().min(512)) as f64
}

pub fn numbers(at: &Evaluation) -> Vec<f64> {
    let mut all = vec![at.value];
    all.extend(&at.gradient);
    for e in at.multipliers.iter().chain(&at.outputs) {
        all.extend(e);
    }
    let blocks = at.curvature.iter().flat_map(|m| m.blocks());
    blocks.for_each(|b| all.extend(b.packed()));
    all.extend(at.pooled.iter().flatten());
    all
}

/// The largest network whose whole matrix is formed.
const WHOLE: usize = 400;

/// Every curvature in every structure, with all that comes with it.
pub fn requests(problem: &Problem) -> Vec<Request> {
    requests_up_to(problem, WHOLE)
}

/// The same with what couples units for networks of at most so many parameters.
pub fn requests_up_to(problem: &Problem, parameters: usize) -> Vec<Request> {
    (Curvature::ALL.into_iter())
        .flat_map(|c| Structure::ALL.map(|s| (c, s)))
        .filter(|(_, s)| {
            let few = problem.parameters() <= parameters;
            few || [Structure::RowBlocks, Structure::Diagonal].contains(s)
        })
        .map(|(c, s)| Request {
            multipliers: true,
            outputs: true,
            pooled: s == Structure::Diagonal,
            ..Request::curvature(c, s)
        })
        .collect()
}

/// The largest |tested − exact|/(u K A) of all numbers of all requests; `disturb` changes the tested side.
pub fn ratio<B: Backend>(
    problem: &Problem,
    w: &[f64],
    backend: &B,
    u: f64,
    disturb: impl Fn(&mut Vec<f64>),
) -> f64 {
    ratio_up_to(problem, w, backend, u, WHOLE, disturb)
}

/// The same with what couples units for networks of at most so many parameters.
pub fn ratio_up_to<B: Backend>(
    problem: &Problem,
    w: &[f64],
    backend: &B,
    u: f64,
    parameters: usize,
    disturb: impl Fn(&mut Vec<f64>),
) -> f64 {
    // The same inputs for both: what f32 can hold.
    let w = single(w);
    let k = sides(u) * chain(problem);
    let mut worst: f64 = 0.0;
    for request in requests_up_to(problem, parameters) {
        let chunk = 512;
        let exact = problem.evaluate_on(&Cpu::<f64>::new(), &w, request, chunk).unwrap();
        let bound = problem.evaluate_on(&Absolute, &w, request, chunk).unwrap();
        let tested = problem.evaluate_on(backend, &w, request, chunk).unwrap();
        let (mut tested, exact, bound) = (numbers(&tested), numbers(&exact), numbers(&bound));
        disturb(&mut tested);
        worst = worst.max(largest(&tested, &exact, &bound, u * k));
    }
    for curvature in Curvature::ALL {
        let v = vectors(problem);
        let on = |v: secondo::Result<Vec<f64>>| v.unwrap();
        let exact = on(problem.products_on(&Cpu::<f64>::new(), &w, curvature, &v, 512));
        let bound = on(problem.products_on(&Absolute, &w, curvature, &v, 512));
        let mut tested = on(problem.products_on(backend, &w, curvature, &v, 512));
        disturb(&mut tested);
        worst = worst.max(largest(&tested, &exact, &bound, u * k));
    }
    worst
}

/// The largest |tested − exact|/(allowed A).
fn largest(tested: &[f64], exact: &[f64], bound: &[f64], allowed: f64) -> f64 {
    assert_eq!(tested.len(), exact.len());
    let mut worst: f64 = 0.0;
    for ((t, e), a) in tested.iter().zip(exact).zip(bound) {
        let r = (t - e).abs() / (allowed * a.abs());
        // NaN (0/0 included) counts as no error only where both are equal.
        if t != e {
            worst = if r.is_nan() { f64::INFINITY } else { worst.max(r) };
        }
    }
    worst
}

/// Two directions for products, exact in f32.
pub fn vectors(problem: &Problem) -> Vec<f64> {
    let p = problem.parameters();
    (0..2 * p).map(|l| ((7 * l) % 16) as f64 / 8.0 - 1.0).collect()
}

/// Numbers that f32 holds exactly, so that only the computation differs.
pub fn single(values: &[f64]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v as f32)).collect()
}

fn round(data: Data) -> Data {
    let one = |v: &f64| f64::from(*v as f32);
    let weights = single(data.weights());
    Data::new(data.x().map(one), data.y().map(one)).unwrap().weighted(weights).unwrap()
}

/// The same problem with other data.
fn with_data(problem: &Problem, data: Data) -> Problem {
    Problem::new(problem.network().clone(), round(data), problem.loss().clone()).unwrap()
}

/// Inputs within ±1, parameters within ±`scale`.
pub fn dense(
    widths: &[usize],
    h: Activation,
    loss: usize,
    n: usize,
    scale: f64,
) -> (Problem, Vec<f64>) {
    sampled(Network::dense(widths, h).unwrap(), loss, n, scale)
}

fn sampled(network: Network, loss: usize, n: usize, scale: f64) -> (Problem, Vec<f64>) {
    let widths: usize = (network.layers().iter()).map(|l| l.units).sum();
    let mut random = Random::new((network.inputs() + widths + n) as u64);
    let outputs = network.outputs();
    let loss = losses(outputs)[loss].clone();
    let x = random.matrix(n, network.inputs(), 1.0);
    let mut y = targets(&mut random, &loss, n, outputs);
    if loss == Loss::SoftmaxCrossEntropy {
        // They must still sum to 1 after rounding.
        for ((i, o), y) in y.indexed_iter_mut() {
            *y = match outputs.is_power_of_two() {
                true => 1.0 / outputs as f64,
                false => f64::from(u8::from(o == i % outputs)),
            };
        }
    }
    let w = random.vector(network.parameters(), scale);
    let data = round(Data::new(x, y).unwrap());
    (Problem::new(network, data, loss).unwrap(), w)
}

/// The loss, or the one before if it needs several outputs and there is one.
fn suited(loss: usize, outputs: usize) -> usize {
    if loss == 3 && outputs == 1 { 2 } else { loss }
}

/// Widths and numbers of samples at, below and above the edges of tiles and blocks: one to four layers, every activation
/// and loss in turn, sample weights that differ, some of them 0.
pub fn edges() -> Vec<Case> {
    const SAMPLES: [usize; 11] = [1, 7, 8, 9, 63, 64, 65, 511, 512, 513, 1025];
    let shapes: [&[usize]; 15] = [
        &[1, 1],
        &[2, 9],
        &[7, 2, 1],
        &[8, 7, 2],
        &[9, 8, 9, 2],
        &[63, 2],
        &[64, 1],
        &[65, 2, 3],
        &[200, 2],
        &[2, 63, 1],
        &[1, 64, 2],
        &[2, 65, 1],
        &[3, 200, 1],
        &[2, 9, 8, 7, 1],
        &[7, 8, 1, 2, 3],
    ];
    let activations = everywhere();
    (0..3 * shapes.len())
        .map(|at| {
            let widths = shapes[at / 3];
            let n = SAMPLES[(at / 3 + 4 * (at % 3)) % SAMPLES.len()];
            let h = activations[at % activations.len()];
            let loss = suited(at % losses(1).len(), widths[widths.len() - 1]);
            let scale = 1.0 / (widths.iter().max().map_or(1.0, |&w| w as f64)).sqrt();
            let (problem, w) = dense(widths, h, loss, n, scale);
            let weights = (0..n).map(|i| 0.5 * ((i + 1) % 4) as f64).collect();
            let data = problem.data().unwrap().clone().weighted(weights).unwrap();
            let name = format!("edges {widths:?} {h} n {n} loss {loss}");
            (name, with_data(&problem, data), w)
        })
        .collect()
}

/// Activations that need a positive pre-activation, fed by exponentials with positive weights.
pub fn half_line() -> Vec<Case> {
    let kinds = [Activation::Log, Activation::Sqrt, Activation::Reciprocal];
    [8, 65, 513]
        .into_iter()
        .enumerate()
        .map(|(at, n)| {
            let layers = vec![
                Layer::dense(4, Activation::Exp),
                Layer::of(vec![Group::new(Propagation::Linear, kinds)]).without_bias(),
                Layer::dense(2, Activation::Identity).sources([1, 2]),
            ];
            let (problem, w) = sampled(Network::new(2, layers).unwrap(), at, n, 0.4);
            let w = w.iter().map(|w| w.abs() + 0.1).collect();
            (format!("half line n {n}"), problem, w)
        })
        .collect()
}

/// Features between 1e-3 and 1e3. Weights to match leave pre-activations near 1, others saturate.
fn mixed_scales() -> Vec<Case> {
    let mut cases = Vec::new();
    for h in [Activation::Tanh, Activation::Softplus, Activation::Gelu, Activation::GaussHalf] {
        for (loss, matched) in [(0, true), (2, true), (3, true), (0, false), (6, false)] {
            let (problem, mut w) = dense(&[7, 5, 2], h, loss, 65, 0.5);
            let scales: Vec<f64> = (0..7).map(|a| 10f64.powi(a - 3)).collect();
            let mut x = problem.data().unwrap().x().to_owned();
            (x.columns_mut().into_iter().zip(&scales)).for_each(|(mut x, s)| x *= *s);
            if matched {
                // The rows of the first layer's five units, a bias behind each.
                for row in w[..5 * 8].chunks_exact_mut(8) {
                    row.iter_mut().zip(&scales).for_each(|(w, s)| *w /= s);
                }
            }
            let data = Data::new(x, problem.data().unwrap().y().clone()).unwrap();
            let name = format!("mixed scales {h} loss {loss}, weights to match: {matched}");
            cases.push((name, with_data(&problem, data), w));
        }
    }
    cases
}

/// Everything that the ratio test is made on.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (widths, n) in [
        (vec![1, 1, 1], 1),
        (vec![2, 7, 2], 511),
        (vec![8, 9, 1], 512),
        (vec![9, 8, 3], 513),
        (vec![5, 63, 2], 127),
        (vec![5, 64, 64, 1], 129),
        (vec![3, 65, 2, 4], 65),
        (vec![3, 200, 2], 33),
        (vec![4, 6, 5, 4, 2], 1025),
    ] {
        for (loss, kind) in losses(1).iter().enumerate() {
            let outputs = widths[widths.len() - 1];
            if suited(loss, outputs) != loss {
                continue;
            }
            for scale in [0.5, 3.0] {
                // Exponential links overflow, as they should, when predictors reach the hundreds.
                let exponential = kind.mean(1.0) != 1.0 && !kind.kind().unwrap().is_classification;
                let scale = if exponential { 0.2 } else { scale / (widths[1] as f64).sqrt() };
                let (p, w) = dense(&widths, Activation::Tanh, loss, n, scale);
                cases.push((format!("{widths:?} n {n} loss {loss} scale {scale:.2}"), p, w));
            }
        }
    }
    for h in everywhere() {
        for scale in [0.5, 4.0, 40.0] {
            // Exponentials of exponentials leave the range of f32.
            if scale > 4.0
                && [Activation::Exp, Activation::ExpNegHalf, Activation::OneMinusExpNeg]
                    .contains(&h)
            {
                continue;
            }
            let (p, w) = dense(&[3, 6, 2], h, 0, 40, scale);
            cases.push((format!("{h} scale {scale}"), p, w));
        }
    }
    // Saturated losses over saturated units; those with exponential links have no such end.
    for loss in [1, 2, 3, 5, 6] {
        for h in [Activation::Tanh, Activation::Logistic, Activation::Silu] {
            let (p, w) = dense(&[2, 9, 3], h, loss, 9, 40.0);
            cases.push((format!("saturated {h} loss {loss}"), p, w));
        }
    }
    for seed in 0..60 {
        let (p, w) = random_problem(seed, false);
        if p.loss() == &Loss::SoftmaxCrossEntropy {
            continue; // rounded class probabilities do not sum to 1
        }
        let p = with_data(&p, p.data().unwrap().clone());
        cases.push((format!("seed {seed} {}", p.network()), p, w));
    }
    cases.extend(edges());
    cases.extend(half_line());
    cases.extend(mixed_scales());
    cases
}
