//! The calls, each with what must hold of its results.

use ndarray::{Array2, ArrayView2};
use secondo::backend::Cpu;
use secondo::inference::{
    Criterion, Distribution, Evidence, Options, Piece, Pruning, Scheme, chi2_upper, f_upper,
    saliencies,
};
use secondo::solve::{
    Batch, Cholesky, Factor, Preconditioner, conjugate_gradients, eigenvalues, trust_region,
};
use secondo::train::newton::{classify, function, newton_root};
use secondo::train::residual_function;
use secondo::{
    Activation, Constraint, Control, Device, Evaluation, Fit, Indefinite, Inference,
    Initialization, LinearOperator, Matrix, NewtonCg, Problem, Progress, Result, Series,
    SymmetricTensor, TrustRegion, check,
};

use super::Call;
use super::world::{self, METHODS, World, finite};
use crate::random::Random;

pub const ALL: &[Call] = &[
    ("networks", networks),
    ("problems", problems),
    ("problems with penalties", penalties),
    ("problems with constraints", constraints),
    ("problems of other settings", settings),
    ("values and gradients", values),
    ("requests", requests),
    ("requests at a point", points),
    ("requests in chunks", chunks),
    ("plans", plans),
    ("operators", operators),
    ("Jacobians", jacobians),
    ("Lagrangians", lagrangians),
    ("tensors", tensors),
    ("predictions", predictions),
    ("starts", starts),
    ("ties", ties),
    ("matrices", matrices),
    ("matrices asked", matrices_asked),
    ("entries of tensors", entries),
    ("Cholesky factors", cholesky),
    ("factors by a policy", factors),
    ("batches", batches),
    ("eigenvalues", spectra),
    ("trust-region subproblems", subproblems),
    ("conjugate gradients", conjugate),
    ("fits", fits),
    ("fits that go on", resumed),
    ("least squares", least_squares),
    ("minima of functions", minima),
    ("roots", roots),
    ("critical points", critical),
    ("activations", activations),
    ("formulas", formulas),
    ("series", series),
    ("checks of derivatives", checks),
    ("inference", inference),
    ("tests of weights", weights),
    ("pruning and evidence", pruning),
    ("distributions", distributions),
    #[cfg(feature = "io")]
    ("models", files::models),
    #[cfg(feature = "io")]
    ("standardisation", files::standardisation),
    #[cfg(feature = "io")]
    ("checkpoints", files::checkpoints),
];

/// The most parameters of a problem that later calls work with.
const SMALL: usize = 300;

fn is_small(problem: &Problem) -> bool {
    problem.network().parameters() <= SMALL && problem.network().inputs() <= SMALL
}

fn sound(e: &Evaluation) {
    finite([e.value, e.penalty, e.left_out]);
    finite(e.gradient.iter().copied());
    finite(e.multipliers.iter().chain(&e.outputs).flatten().copied());
    let packed = e.curvature.iter().flat_map(|m| m.blocks());
    packed.for_each(|block| finite(block.packed().iter().copied()));
}

fn networks(world: &mut World, random: &mut Random) -> Result<()> {
    let network = world::network(random)?;
    // Whatever its size, these can be asked.
    let all = network.is_bias().len();
    assert_eq!(all, network.parameters());
    assert!(network.layer(random.size()).is_none_or(|layer| layer.units > 0));
    let _ = (network.width(random.size()), network.groups().count(), network.depth());
    let _ = Constraint::shared_width(&network, random.size()).map(|c| c.free());
    if network.inputs().max(network.outputs()) > 70_000 {
        return Ok(());
    }
    let loss = world::loss(random, network.outputs());
    let problem = world::problem(random, network, loss)?;
    problem.plan(world::request(random))?;
    if is_small(&problem) {
        world.become_problem(problem, random);
    } else if problem.network().parameters() < 1 << 20 {
        problem.plan_products(world::curvature(random), random.size())?;
        let w = Initialization::Glorot.draw(problem.network(), 1);
        finite([problem.objective(&w)?]);
    }
    Ok(())
}

fn problems(world: &mut World, random: &mut Random) -> Result<()> {
    let network = world.problem.network().clone();
    let loss = world::loss(random, network.outputs());
    let rows = random.below(7);
    let x = world::array(random, rows, network.inputs());
    let y = match random.below(3) {
        0 => world::array(random, rows, network.outputs()),
        _ => world::targets(random, &loss, rows, network.outputs()),
    };
    let mut data = secondo::Data::new(x, y)?;
    if random.one_in(3) {
        data = data.weighted(random.numbers(rows))?;
    }
    let problem = Problem::new(network, data, loss)?;
    world.become_problem(problem, random);
    Ok(())
}

fn penalties(world: &mut World, random: &mut Random) -> Result<()> {
    let penalty = world::penalty(random, world.problem.network().parameters());
    let problem = world.problem.clone().penalty(penalty)?;
    world.become_problem(problem, random);
    Ok(())
}

fn constraints(world: &mut World, random: &mut Random) -> Result<()> {
    let constraint = world::constraint(random, world.problem.network().parameters())?;
    let problem = world.problem.clone().constraint(constraint)?;
    world.become_problem(problem, random);
    Ok(())
}

fn settings(world: &mut World, random: &mut Random) -> Result<()> {
    let problem = world::changed(random, world.problem.clone());
    world.become_problem(problem, random);
    Ok(())
}

fn values(world: &mut World, random: &mut Random) -> Result<()> {
    let w = world.point(random);
    let value = world.problem.objective(&w)?;
    let gradient = world.problem.gradient(&w)?;
    finite(gradient.iter().copied().chain([value]));
    assert_eq!(gradient.len(), world.problem.parameters());
    finite(world.problem.multipliers(&w)?.iter().flatten().copied());
    Ok(())
}

fn requests(world: &mut World, random: &mut Random) -> Result<()> {
    let w = world.point(random);
    sound(&world.problem.evaluate(&w, world::request(random))?);
    let kind = (world::curvature(random), world::structure(random));
    let at = world.problem.curvature(&w, kind.0, kind.1)?;
    sound(&at);
    if let Some(matrix) = at.curvature {
        world.matrix = matrix;
    }
    Ok(())
}

fn points(world: &mut World, random: &mut Random) -> Result<()> {
    let w = world.point(random);
    let session = world.problem.session();
    let point = session.at(&w)?;
    for _ in 0..3 {
        sound(&point.evaluate(world::request(random))?);
    }
    finite(point.gradient()?.into_iter().chain([point.value()?]));
    let operator = point.operator(world::curvature(random))?;
    finite(operator.product(&random.numbers(w.len()))?);
    Ok(())
}

fn chunks(world: &mut World, random: &mut Random) -> Result<()> {
    let (w, chunk) = (world.point(random), random.size());
    let request = world::request(random);
    let curvature = world::curvature(random);
    let vectors = random.numbers(w.len());
    if random.one_in(2) {
        let backend = Cpu::<f64>::new();
        sound(&world.problem.evaluate_on(&backend, &w, request, chunk)?);
        let problem = &world.problem;
        finite(problem.products_on(&backend, &w, curvature, &vectors, chunk)?);
        let of = (random.size(), random.size(), random.below(4));
        finite(
            problem.lagrangian_tensor_on(&backend, &w, of.0, of.1, of.2, chunk)?.packed().to_vec(),
        );
    } else {
        sound(&world.problem.evaluate_on(&Cpu::<f32>::new(), &w, request, chunk)?);
    }
    Ok(())
}

fn plans(world: &mut World, random: &mut Random) -> Result<()> {
    let plan = world.problem.plan(world::request(random))?;
    assert!(plan.bytes() >= plan.results && plan.flops.is_finite() && plan.chunk > 0);
    let plan = world.problem.plan_products(world::curvature(random), random.size())?;
    assert!(!plan.to_string().is_empty());
    let method = NewtonCg { products: random.size(), ..NewtonCg::default() };
    assert!(method.memory(&world.problem)? > 0);
    Ok(())
}

fn operators(world: &mut World, random: &mut Random) -> Result<()> {
    let w = world.point(random);
    let operator = world.problem.operator(&w, world::curvature(random))?;
    let rows = random.below(4);
    let vectors = world::array(random, rows, w.len());
    let products = operator.products(vectors.view())?;
    assert_eq!(products.dim(), vectors.dim());
    finite(products);
    finite(operator.product(&random.numbers(w.len()))?);
    if random.one_in(2) {
        return Ok(());
    }
    // No number, but a width that no array has.
    let none = ArrayView2::from_shape((0, random.size()), &[]);
    none.map_or(Ok(()), |none| operator.products(none).map(drop))
}

fn jacobians(world: &mut World, random: &mut Random) -> Result<()> {
    let jacobian = world.problem.jacobian(&world.point(random))?;
    assert_eq!(jacobian.ncols(), world.problem.parameters());
    finite(jacobian);
    Ok(())
}

fn lagrangians(world: &mut World, random: &mut Random) -> Result<()> {
    let w = world.point(random);
    let mut at = world.problem.configuration(&w)?;
    let layer = random.below(at.states.len());
    match random.below(5) {
        0 => at.states[layer] = Array2::zeros((random.below(3), random.below(3))),
        1 => at.multipliers.truncate(layer),
        2 => at.states[layer].mapv_inplace(|v| v * 1e200),
        3 => at.multipliers[layer].fill(random.number()),
        _ => {}
    }
    let found = world.problem.lagrangian(&w, &at)?;
    finite(found.d_w.into_iter().chain([found.value]));
    finite(found.d_x.iter().chain(&found.d_e).flatten().copied());
    let of = match random.below(2) {
        0 => (1 + random.below(2), 0, random.below(5)),
        _ => (random.size(), random.size(), random.size()),
    };
    let tensor = world.problem.lagrangian_tensor_at(&w, &at, of.0, of.1, of.2)?;
    finite(tensor.packed().to_vec());
    Ok(())
}

fn tensors(world: &mut World, random: &mut Random) -> Result<()> {
    let w = world.point(random);
    let layer = 1 + random.below(2);
    let row = if random.one_in(3) { random.size() } else { 0 };
    let tensor = world.problem.lagrangian_tensor(&w, layer, row, random.below(5))?;
    finite(tensor.packed().to_vec());
    world.tensor = tensor;
    if random.one_in(2) {
        return Ok(());
    }
    // Of a unit with many parameters each order takes many times as long as the one before, up to hours before memory refuses it.
    let order = match random.size() {
        5..=12 => 4,
        order => order,
    };
    let tensor = world.problem.lagrangian_tensor(&w, layer, 0, order)?;
    finite(tensor.packed().to_vec());
    Ok(())
}

fn predictions(world: &mut World, random: &mut Random) -> Result<()> {
    let w = world.point(random);
    let rows = random.below(5);
    let x = world::array(random, rows, world.problem.network().inputs());
    let outputs = world.problem.predict(&w, &x)?;
    assert_eq!(outputs.dim(), (x.nrows(), world.problem.network().outputs()));
    let weights = random.numbers(world.problem.network().parameters());
    world.problem.network().predict(&weights, &x)?;
    Ok(())
}

fn starts(world: &mut World, random: &mut Random) -> Result<()> {
    let rule = random.pick(&Initialization::ALL);
    let network = world.problem.network();
    let seed = random.size() as u64;
    finite(rule.draw(network, seed));
    let rows = random.below(9);
    let mut x = world::array(random, rows, network.inputs());
    if random.one_in(4) {
        x.mapv_inplace(|v| v * 1e170);
    }
    finite(rule.draw_from(network, &x, seed)?);
    Ok(())
}

fn ties(world: &mut World, random: &mut Random) -> Result<()> {
    let p = world.problem.network().parameters();
    let c = world::constraint(random, p)?;
    let theta = c.project(&random.numbers(p))?;
    finite(theta);
    finite(c.weights(&random.numbers(c.free()))?);
    c.push_forward(&random.numbers(c.free()))?;
    c.pull_back(&random.numbers(p))?;
    Ok(())
}

/// A packed triangle, mostly of a matrix that is positive definite, and its order, at times another.
fn triangle(random: &mut Random) -> (Vec<f64>, usize) {
    let d = random.below(7);
    let mut lower = Vec::new();
    for a in 0..d {
        lower.extend((0..a).map(|_| random.tame()));
        lower.push(random.tame() + 5.0);
    }
    if random.one_in(6) && d > 0 {
        let at = random.below(lower.len());
        lower[at] = random.number();
    }
    (lower, if random.one_in(12) { random.size() } else { d })
}

fn matrices(world: &mut World, random: &mut Random) -> Result<()> {
    let matrix = if random.one_in(3) {
        let count = random.below(7);
        Matrix::from_diagonal(random.numbers(count))?
    } else {
        let (lower, d) = triangle(random);
        Matrix::full(d, lower)?
    };
    world.matrix = matrix;
    Ok(())
}

fn matrices_asked(world: &mut World, random: &mut Random) -> Result<()> {
    let matrix = &world.matrix;
    let d = matrix.order();
    let block = matrix.block(random.size(), random.one_in(2).then(|| random.size()));
    if let Some(block) = block {
        assert_eq!(block.dense().nrows(), block.order());
        block.entry(random.size(), random.size())?;
    }
    let _ = (matrix.trace(), matrix.diagonal().len(), matrix.structure());
    match random.below(8) {
        0 => matrix.entry(random.size(), random.size()).map(|v| finite([v])),
        1 => matrix.dense().map(finite),
        2 => matrix.product(&random.numbers(d)).map(drop),
        3 => matrix.quadratic_form(&random.numbers(d)).map(drop),
        4 => matrix.log_determinant().map(|v| finite([v])),
        5 => matrix.solve(&random.numbers(d)).map(finite),
        6 => {
            world.matrix = matrix.inverse()?;
            Ok(())
        }
        _ => {
            finite(matrix.eigenvalues()?);
            assert!(matrix.condition()? >= 1.0 - 1e-9);
            Ok(())
        }
    }
}

fn entries(world: &mut World, random: &mut Random) -> Result<()> {
    let (d, q) = (random.size(), random.size());
    let indices: Vec<usize> = (0..random.below(5)).map(|_| random.size()).collect();
    let listed = world.tensor.entries().count();
    assert_eq!(listed, world.tensor.packed().len());
    world.tensor.dense()?;
    let _ = world.tensor.entry(&indices);
    assert!(SymmetricTensor::length(d, q)? > 0 || d == 0);
    Ok(())
}

fn cholesky(_: &mut World, random: &mut Random) -> Result<()> {
    let (lower, d) = triangle(random);
    let factor = Cholesky::new(&lower, d)?;
    finite([factor.log_determinant()]);
    // That of the smallest numbers is beyond the range.
    assert_eq!(factor.inverse()?.len(), lower.len());
    finite(factor.lower());
    let mut b = random.numbers(d);
    factor.solve(&mut b)?;
    finite(b);
    Ok(())
}

fn factors(_: &mut World, random: &mut Random) -> Result<()> {
    let (lower, d) = triangle(random);
    let factor = Factor::new(&lower, d, random.pick(&Indefinite::ALL))?;
    let mut b = random.numbers(d);
    let modification = factor.solve(random.number().abs(), &mut b)?;
    finite(b.into_iter().chain([modification.change]));
    Ok(())
}

fn batches(_: &mut World, random: &mut Random) -> Result<()> {
    let blocks: Vec<_> = (0..random.below(4)).map(|_| triangle(random)).collect();
    let views = || blocks.iter().map(|(lower, d)| (lower.as_slice(), *d));
    if random.one_in(2) {
        Preconditioner::blocks(views())?;
    }
    let batch = Batch::new(views(), random.pick(&Indefinite::ALL))?;
    let steps = batch.step(random.number(), &random.numbers(batch.order()))?;
    finite(steps.step.iter().copied());
    Ok(())
}

fn spectra(_: &mut World, random: &mut Random) -> Result<()> {
    let (lower, d) = triangle(random);
    finite(eigenvalues(&lower, d)?);
    Ok(())
}

fn subproblems(_: &mut World, random: &mut Random) -> Result<()> {
    let (lower, d) = triangle(random);
    let order = lower.len().min(d);
    let scaling = if random.one_in(4) { random.numbers(d.min(9)) } else { vec![1.0; d.min(9)] };
    let gradient = random.numbers(d.min(9).min(order + 9));
    let found = trust_region(&lower, &gradient, &scaling, random.number().abs(), random.number())?;
    finite(found.step.iter().copied().chain([found.reduction, found.length, found.lambda]));
    Ok(())
}

fn conjugate(_: &mut World, random: &mut Random) -> Result<()> {
    let d = random.below(6);
    let preconditioner = match random.below(3) {
        0 => Preconditioner::None,
        1 => Preconditioner::Diagonal((0..d).map(|_| random.number().abs()).collect()),
        _ => Preconditioner::Blocks(vec![Cholesky::new(&[4.0, 2.0, 5.0], 2)?]),
    };
    let scale = random.number();
    let product = |v: &[f64]| Ok(v.iter().map(|v| scale * v).collect());
    let (radius, tolerance, most) = (random.number().abs(), random.number(), random.size());
    let gradient = random.numbers(d);
    let found = conjugate_gradients(product, &gradient, &preconditioner, radius, tolerance, most)?;
    finite(found.step.iter().copied().chain([found.reduction, found.length]));
    Ok(())
}

fn sound_fit(fit: &Fit, parameters: usize) {
    assert_eq!(fit.w.len(), parameters);
    finite(fit.w.iter().copied().chain([fit.value, fit.initial_value, fit.gradient_norm]));
    assert!(fit.value <= fit.initial_value, "{} from {}", fit.value, fit.initial_value);
    assert!(!fit.to_string().is_empty());
    #[cfg(feature = "io")]
    {
        let json = secondo::io::fit_to_json(fit);
        let again = secondo::io::fit_from_json(&json.into(), fit.w.clone()).unwrap();
        assert_eq!(again.reason, fit.reason);
    }
}

fn fits(world: &mut World, random: &mut Random) -> Result<()> {
    let (number, p) = (random.below(METHODS), world.problem.parameters());
    let method = world::method(random, number, p);
    let (stop, mut kept) = (random.below(4), None);
    let observe = &mut |progress: &Progress| {
        let _ = (progress.remaining(), progress.radius);
        kept = Some(progress.state.clone());
        if progress.iteration > stop { Control::Stop } else { Control::Continue }
    };
    let fit = method.fit(&world.problem, &world.point(random), observe)?;
    sound_fit(&fit, p);
    world.state = kept.map(|state| (number, state));
    Ok(())
}

fn resumed(world: &mut World, random: &mut Random) -> Result<()> {
    let p = world.problem.parameters();
    let Some((number, state)) = world.state.clone() else {
        return fits(world, random);
    };
    // With the settings of the state the method is its own, whatever was drawn.
    let mut method = world::method(random, number, p);
    for _ in 0..20 {
        if method.settings() == state.settings {
            break;
        }
        method = world::method(random, number, p);
    }
    let state = world::changed_state(random, state, p);
    let fit = method.resume(&world.problem, state, &mut secondo::silent)?;
    assert_eq!(fit.w.len(), p);
    finite(fit.w.iter().copied());
    Ok(())
}

fn least_squares(_: &mut World, random: &mut Random) -> Result<()> {
    let (d, n) = (random.size(), random.size());
    let (a, wild) = (random.number(), random.one_in(6));
    let r = residual_function(
        d,
        n,
        |x, r| {
            for (i, r) in r.iter_mut().enumerate() {
                *r = x.iter().map(|x| a * x).sum::<f64>() - i as f64;
            }
            if wild && x.iter().any(|x| *x > 1.0) {
                r.iter_mut().for_each(|r| *r = f64::NAN);
            }
        },
        |_, j| j.iter_mut().for_each(|j| *j = a),
    );
    let found = world::least_squares(random).minimize(&r, &random.numbers(d.min(40)))?;
    finite(found.x.iter().copied());
    Ok(())
}

fn minima(_: &mut World, random: &mut Random) -> Result<()> {
    let (d, a) = (random.size(), random.number());
    let f = function(
        d,
        |x| x.iter().map(|x| a * x * x - x).sum(),
        |x, g| g.iter_mut().zip(x).for_each(|(g, x)| *g = 2.0 * a * x - 1.0),
        |_, h| {
            for i in 0..d {
                h[i * (i + 1) / 2 + i] = 2.0 * a;
            }
        },
    );
    let start = random.numbers(d.min(40));
    let found = if random.one_in(2) {
        world::newton(random).pure(&f, &start)?
    } else {
        TrustRegion { max_iter: 5, max_radius: random.number(), ..TrustRegion::default() }
            .minimize(&f, &start)?
    };
    finite(found.x.iter().copied());
    Ok(())
}

fn roots(_: &mut World, random: &mut Random) -> Result<()> {
    let a = random.number();
    let count = random.below(5);
    let start = random.numbers(count);
    let found = newton_root(
        |x, f| f.iter_mut().zip(x).for_each(|(f, x)| *f = x * x - a),
        |x, j| {
            let d = x.len();
            for i in 0..d {
                j[i * d + i] = 2.0 * x[i];
            }
        },
        &start,
        &world::newton(random),
    )?;
    finite(found.x.iter().copied());
    Ok(())
}

fn critical(_: &mut World, random: &mut Random) -> Result<()> {
    let (lower, d) = triangle(random);
    finite(classify(&lower, d, random.number())?.eigenvalues.iter().copied());
    Ok(())
}

fn activations(_: &mut World, random: &mut Random) -> Result<()> {
    let activation = random.pick(&Activation::ALL);
    let u = random.number();
    let value = activation.value(u);
    assert_eq!(value.to_bits(), activation.derivatives(u)[0].to_bits(), "{activation:?} at {u}");
    let order = random.below(12);
    activation.series(&Series::variable(u, order))?;
    activation.derivative(u, random.size())?;
    Ok(())
}

fn formulas(_: &mut World, random: &mut Random) -> Result<()> {
    let mut text: String = random.pick(&["u", "2.5", "1e400", "exp(u)", "u^-1", "", "é"]).into();
    for _ in 0..random.below(5) {
        let around = [("tanh(", ")"), ("-", ""), ("(", ")^2"), ("log(", ""), ("u/(1+abs(", "))")];
        let (before, behind) = random.pick(&around);
        text = format!("{before}{text}{behind}");
    }
    let activation = Activation::formula(&text)?;
    let u = random.number();
    let _ = activation.derivatives(u);
    let _ = activation.derivative(u, random.size());
    activation.series(&Series::variable(u, random.below(9)))?;
    Ok(())
}

fn series(_: &mut World, random: &mut Random) -> Result<()> {
    let order = random.below(9);
    let (a, count) = (Series::variable(random.number(), order), random.below(5));
    let b = Series::new(random.numbers(count));
    let all = [
        a.exp(),
        a.log(),
        a.sqrt(),
        a.powf(random.number()),
        a.tan(),
        a.tanh(),
        a.softplus(),
        a.atan(),
        a.erf(),
        a.normal_cdf(),
        a.abs(),
        a.relu(),
        &a + &b,
        &a * &b,
        &a / &b,
    ];
    for series in all {
        assert_eq!(series.coefficients().len(), series.derivatives().len());
    }
    Ok(())
}

fn checks(_: &mut World, random: &mut Random) -> Result<()> {
    let scale = random.number();
    let count = random.below(4);
    let points = random.numbers(count);
    check::derivatives("part", |u| [scale * u * u, 2.0 * scale * u, 2.0 * scale], &points)?;
    let f = |x: &[f64], out: &mut [f64]| out.fill(x.iter().sum());
    let ones = |_: &[f64], out: &mut [f64]| out.fill(1.0);
    check::jacobian("part", "the gradient", random.below(4), f, ones, &points)?;
    assert!(check::points(random.below(4), random.below(4), 1).len() < 4);
    Ok(())
}

fn options(random: &mut Random) -> Options {
    let level = if random.one_in(8) { random.number() } else { 0.9 };
    Options {
        level,
        information: if random.one_in(2) {
            Options::default().information
        } else {
            world::curvature(random)
        },
        covariance: random.one_in(2).then(|| random.pick(&secondo::inference::Covariance::ALL)),
        ..Options::default()
    }
}

fn inference(world: &mut World, random: &mut Random) -> Result<()> {
    let problem = world.problem.clone().on(Device::Cpu);
    let w = world.point(random);
    let inference = Inference::with(&problem, &w, options(random))?;
    for estimate in inference.parameters()? {
        finite([estimate.estimate].into_iter().chain(estimate.std_error));
    }
    let rows = random.below(3);
    let x = world::array(random, rows, problem.network().inputs());
    match random.below(5) {
        0 => inference.predictions(&x).map(drop),
        1 => inference.report(Some(&x)).map(drop),
        2 => inference.slopes().map(drop),
        3 => inference.laplace().map(drop),
        _ => inference.input(random.size()).map(drop),
    }
}

fn weights(world: &mut World, random: &mut Random) -> Result<()> {
    let problem = world.problem.clone().on(Device::Cpu);
    let inference = Inference::with(&problem, &world.w, options(random))?;
    let set: Vec<usize> = (0..random.below(4)).map(|_| random.size()).collect();
    match random.below(4) {
        0 => inference.profile(random.size()).map(drop),
        1 => saliencies(&inference, random.pick(&Criterion::ALL)).map(drop),
        2 => {
            let Some(ratio) = inference.likelihood_ratio(&set)? else {
                return Ok(());
            };
            let replicates = random.pick(&[0, 1, 3, 1 << 20, usize::MAX]);
            let p = inference.bootstrap(&set, &ratio, replicates, 1)?;
            assert!((0.0..=1.0).contains(&p), "{p}");
            Ok(())
        }
        _ => inference.wald(&set).map(drop),
    }
}

fn pruning(world: &mut World, random: &mut Random) -> Result<()> {
    let problem = world.problem.clone().on(Device::Cpu);
    if random.one_in(2) {
        let steps = Some(if random.one_in(4) { random.size() } else { 1 });
        let level = random.one_in(3).then(|| random.number());
        let criterion = random.pick(&Criterion::ALL);
        let pruning = Pruning {
            criterion,
            piece: random.pick(&Piece::ALL),
            scheme: random.pick(&Scheme::ALL),
            share: if random.one_in(3) { random.number() } else { 0.0 },
            steps,
            level,
            options: options(random),
        };
        pruning.prune(&problem, &world.point(random))?;
    } else {
        let alpha = random.one_in(2).then(|| random.number());
        let beta = random.one_in(3).then(|| random.number());
        let evidence = Evidence {
            alpha,
            beta,
            cycles: random.below(3),
            tolerance: random.number(),
            ..Evidence::default()
        };
        finite(evidence.maximize(&problem, &world.w)?.w);
    }
    Ok(())
}

fn distributions(_: &mut World, random: &mut Random) -> Result<()> {
    let (a, b, c) = (random.number(), random.number(), random.number());
    for p in [chi2_upper(a.abs(), b.abs()), f_upper(a.abs(), b.abs(), c.abs())] {
        assert!(p.is_nan() || (-1e-12..=1.0 + 1e-12).contains(&p), "{p} of {a} {b} {c}");
    }
    for distribution in [Distribution::Normal, Distribution::T(a.abs())] {
        let _ = distribution.quantile(b);
        let p = distribution.two_sided(c);
        assert!(p.is_nan() || (-1e-12..=1.0 + 1e-12).contains(&p), "{p} of {distribution:?} {c}");
    }
    Ok(())
}

#[cfg(feature = "io")]
mod files {
    use std::path::Path;

    use secondo::io::{
        Checkpoint, Fingerprint, Model, Standardization, loss_from_json, loss_to_json,
        network_from_json, network_to_json, penalty_from_json, penalty_to_json,
    };

    use super::*;

    pub fn models(world: &mut World, random: &mut Random) -> Result<()> {
        let network = world.problem.network().clone();
        let again = network_from_json(&network_to_json(&network))?;
        assert_eq!(again.parameters(), network.parameters());
        let loss = world.problem.loss().clone();
        assert_eq!(loss_from_json(&loss_to_json(&loss))?, loss);
        let penalty = world::penalty(random, network.parameters());
        if world.problem.clone().penalty(penalty.clone()).is_ok() {
            drop(penalty_from_json(&penalty_to_json(&penalty)));
        }
        let weights = random.numbers(network.parameters());
        let mut model = Model::new(network, weights, loss)?;
        if random.one_in(3) {
            model.standardization = Standardization::none(random.below(4), random.below(3));
        }
        let bytes = model.to_bytes()?;
        let model = Model::from_bytes(&bytes, Path::new("m"))?;
        let rows = random.below(4);
        let x = world::array(random, rows, model.network.inputs());
        model.predict(&x)?;
        Ok(())
    }

    pub fn standardisation(_: &mut World, random: &mut Random) -> Result<()> {
        let (rows, columns) = (random.below(4), random.below(4));
        let x = world::array(random, rows, columns);
        let weights = random.one_in(2).then(|| random.numbers(rows));
        let (s, _) = Standardization::of_inputs(&x, &[], columns, weights.as_deref())?;
        finite(s.x_mean.iter().chain(&s.x_scale).copied());
        let (s, _) = s.with_targets(&x, &[], weights.as_deref())?;
        let there = s.targets(&x)?;
        s.original(&there)?;
        s.inputs(&x)?;
        assert_eq!(Standardization::from_json(&s.to_json())?, s);
        Ok(())
    }

    pub fn checkpoints(world: &mut World, random: &mut Random) -> Result<()> {
        let Some((number, state)) = world.state.clone() else {
            return Ok(());
        };
        let state = world::changed_state(random, state, world.problem.parameters());
        let fingerprint = Fingerprint::new(&world.problem, &Default::default()).unwrap();
        let bytes = Checkpoint::of(&state).to_bytes(&fingerprint);
        let read = Checkpoint::from_bytes(&bytes, Path::new("c"), &fingerprint)?;
        world.state = Some((number, read.state()?));
        Ok(())
    }
}
