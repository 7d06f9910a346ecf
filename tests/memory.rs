//! The memory that `Plan` predicts against the bytes that an evaluation really holds at its peak.
#[path = "common/allocator.rs"]
mod allocator;

use ndarray::Array2;
use secondo::{
    Activation, Constraint, Control, Curvature, Data, Device, Error, Initialization,
    LevenbergMarquardt, LinearOperator, Loss, Method, Network, NewtonCg, Penalty, Plan,
    Preconditioning, Problem, Progress, Request, Structure, TrustRegion, silent,
};

fn problem(widths: &[usize], n: usize) -> (Problem, Vec<f64>) {
    let network = Network::dense(widths, Activation::Tanh).unwrap();
    let (d, o) = (network.inputs(), network.outputs());
    let x = Array2::from_shape_fn((n, d), |(i, j)| ((i * 7 + j * 13) % 101) as f64 / 50.0 - 1.0);
    let y = Array2::from_shape_fn((n, o), |(i, j)| ((i * 3 + j) % 17) as f64 / 8.0 - 1.0);
    let w = Initialization::Glorot.draw(&network, 1);
    (Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap(), w)
}

/// The test below allocates next to nothing meanwhile.
#[test]
fn the_plan_is_within_a_tenth_of_what_is_held() {
    let blocks = |c| Request::curvature(c, Structure::RowBlocks);
    for (widths, n, request, device) in [
        (vec![32, 64, 1], 1_000_000, blocks(Curvature::Exact), Device::Cpu),
        (vec![32, 64, 1], 100_000, blocks(Curvature::GaussNewton), Device::CpuF32),
        (vec![20, 40, 30, 5], 20_000, blocks(Curvature::Exact), Device::Cpu),
        (vec![20, 40, 30, 5], 20_000, blocks(Curvature::GaussNewton), Device::Cpu),
        (vec![300, 40, 10], 3_000, blocks(Curvature::Lagrangian), Device::Cpu),
        (
            vec![50, 200, 3],
            30_000,
            Request { multipliers: true, ..Request::gradient() },
            Device::Cpu,
        ),
        (
            vec![50, 200, 3],
            30_000,
            Request::curvature(Curvature::EmpiricalFisher, Structure::Diagonal),
            Device::Cpu,
        ),
        // A chunk's arrays are most of it.
        (
            vec![20, 40, 30, 5],
            6_000,
            Request::curvature(Curvature::Exact, Structure::Full),
            Device::Cpu,
        ),
        // Four lanes, of which two wait.
        (
            vec![20, 40, 30, 5],
            17_000,
            Request::curvature(Curvature::GaussNewton, Structure::Full),
            Device::Cpu,
        ),
        // The matrix is, and what it is made of.
        (vec![60, 50, 2], 300, Request::curvature(Curvature::Exact, Structure::Full), Device::Cpu),
        (
            vec![60, 50, 2],
            300,
            Request::curvature(Curvature::GaussNewton, Structure::LayerBlocks),
            Device::CpuF32,
        ),
        (
            vec![20, 40, 30, 5],
            6_000,
            Request::curvature(Curvature::Residual, Structure::LayerBlocks),
            Device::Cpu,
        ),
        (
            vec![20, 40, 30, 5],
            6_000,
            Request::curvature(Curvature::Lagrangian, Structure::Full),
            Device::Cpu,
        ),
    ] {
        let (problem, w) = problem(&widths, n);
        let problem = problem.on(device);
        let plan = problem.plan(request).unwrap();
        let what = format!("{widths:?}, n = {n}, {request:?}, {plan}");
        holds(&what, n, &plan, || problem.evaluate(&w, request).unwrap());
    }
    for (widths, n, curvature, count, device) in [
        (vec![50, 200, 3], 30_000, Curvature::Exact, 1, Device::Cpu),
        (vec![32, 64, 1], 100_000, Curvature::GaussNewton, 8, Device::CpuF32),
        // Vectors and products are most of it.
        (vec![300, 200, 10], 300, Curvature::Residual, 30, Device::Cpu),
        (vec![50, 200, 3], 30_000, Curvature::EmpiricalFisher, 2, Device::Cpu),
    ] {
        let (problem, w) = problem(&widths, n);
        let problem = problem.on(device);
        let plan = problem.plan_products(curvature, count).unwrap();
        let v = Array2::from_shape_fn((count, w.len()), |(r, l)| ((5 * l + r) % 9) as f64 - 4.0);
        // In this memory nothing is kept for the next products.
        let problem = problem.memory_budget(plan.bytes());
        let operator = problem.operator(&w, curvature).unwrap();
        let what = format!("{widths:?}, n = {n}, {count} products, {curvature:?}, {plan}");
        holds(&what, n, &plan, || operator.products(v.view()).unwrap());
    }
    under_a_constraint();
    fits();
    triangles();
}

/// Newton–CG in the memory that it says: 200,000 parameters, with a diagonal, and with row blocks whose factors are most of it.
fn fits() {
    // With a diagonal, chunks are computed at once, which need not be at their peaks at once.
    for (widths, n, preconditioning, least) in [
        (vec![784, 256, 10], 2_000, Preconditioning::Diagonal, 0.65),
        (vec![784, 256, 10], 2_000, Preconditioning::RowBlocks, 0.85),
    ] {
        let (problem, w) = problem(&widths, n);
        let problem = problem.penalty(Penalty::ridge(1e-2)).unwrap();
        let method = NewtonCg {
            preconditioning,
            products: 3,
            region: TrustRegion { max_iter: 10, ..TrustRegion::default() },
        };
        let clock = std::time::Instant::now();
        let need = method.memory(&problem).unwrap();
        let problem = problem.memory_budget(need);
        let what = format!("{widths:?}, n = {n}, a fit with {}", preconditioning.name());
        let (fit, ratio) = held(&what, need, || {
            // The second point is enough: its derivatives and the factors of the first live at once.
            let until = &mut |p: &Progress| match p.iteration {
                0 => Control::Continue,
                _ => Control::Stop,
            };
            method.fit(&problem, &w, until).unwrap()
        });
        // It is what is held at most.
        assert!((least..1.0).contains(&ratio), "{what}: {ratio}");
        assert!(fit.iterations > 0 && fit.value < fit.initial_value, "{fit}");
        println!("{:?}", clock.elapsed());
        let tight = problem.memory_budget(need - 1);
        let refused = method.fit(&tight, &w, &mut silent);
        assert!(matches!(refused, Err(Error::Memory { .. })), "{refused:?}");
    }
}

/// Levenberg–Marquardt in the memory that it says: where triangles are most of it, with few rows and with several lanes, and where chunks are.
fn triangles() {
    for (widths, n, may_be_shorter) in [
        (vec![60, 20, 1], 300, false),
        (vec![30, 40, 1], 9_000, true),
        (vec![8, 10, 1], 40_000, true),
    ] {
        let (problem, w) = problem(&widths, n);
        let problem = problem.penalty(Penalty::ridge(1e-2)).unwrap();
        let method = LevenbergMarquardt { max_iter: 2, ..LevenbergMarquardt::default() };
        let need = method.memory(&problem).unwrap();
        let problem = problem.memory_budget(need);
        let what = format!("{widths:?}, n = {n}, a fit by triangles");
        let (fit, ratio) = held(&what, need, || method.fit(&problem, &w, &mut silent).unwrap());
        // It is what is held at most; not all of it at once.
        assert!((0.4..1.0).contains(&ratio), "{what}: {ratio}");
        assert!(fit.iterations > 0 && fit.value < fit.initial_value, "{fit}");
        // Shorter chunks take less, but for the triangles.
        let short = problem.clone().memory_budget(need - need / 4);
        let (fit, ratio) = held(&what, need - need / 4, || method.fit(&short, &w, &mut silent));
        assert!(fit.is_ok() == may_be_shorter && ratio < 1.0, "{what}: {fit:?}, {ratio}");
        let tight = problem.memory_budget(8 * (w.len() as u64).pow(2));
        let refused = method.fit(&tight, &w, &mut silent);
        assert!(matches!(refused, Err(Error::Memory { .. })), "{refused:?}");
    }
}

/// Requests in θ under W = fixed + Cθ, whose results are made beside those in W.
fn under_a_constraint() {
    for (widths, n, request) in [
        // The matrices in W and in θ are most of it.
        (vec![60, 50, 2], 300, Request::curvature(Curvature::Exact, Structure::Full)),
        (vec![60, 50, 2], 300, Request::curvature(Curvature::GaussNewton, Structure::LayerBlocks)),
        (vec![300, 80, 10], 300, Request::curvature(Curvature::Exact, Structure::RowBlocks)),
        (vec![300, 80, 10], 6_000, Request::curvature(Curvature::Exact, Structure::Diagonal)),
    ] {
        let (problem, w) = problem(&widths, n);
        // Two thirds of the parameters are free.
        let free: Vec<usize> = (0..w.len()).filter(|l| l % 3 > 0).collect();
        let entries = free.iter().enumerate().map(|(q, l)| (*l, q, 2.0)).collect();
        let constraint = Constraint::new(w, free.len(), entries).unwrap();
        let problem = problem.constraint(constraint).unwrap();
        let theta = vec![0.01; free.len()];
        let plan = problem.plan(request).unwrap();
        let what = format!("{widths:?}, n = {n}, in θ, {request:?}, {plan}");
        holds(&what, n, &plan, || problem.evaluate(&theta, request).unwrap());
        let v = Array2::from_elem((30, free.len()), 1.0);
        let plan = problem.plan_products(Curvature::Exact, 30).unwrap();
        let problem = problem.memory_budget(plan.bytes());
        let operator = problem.operator(&theta, Curvature::Exact).unwrap();
        let what = format!("{widths:?}, n = {n}, products in θ, {plan}");
        holds(&what, n, &plan, || operator.products(v.view()).unwrap());
    }
}

/// The peak of `run` is within a tenth of what was planned; where chunks are computed at once, they need not be at
/// their peaks at once.
fn holds<R>(what: &str, n: usize, plan: &Plan, run: impl FnOnce() -> R) {
    let (_, ratio) = held(what, plan.bytes(), run);
    let at_once = plan.chunk < n && plan.chunk <= 512;
    let least = if at_once { 0.65 } else { 0.9 };
    assert!((least..1.1).contains(&ratio), "{what}: {ratio}");
}

/// A result, and what was held at the peak in units of what was planned.
fn held<R>(what: &str, predicted: u64, run: impl FnOnce() -> R) -> (R, f64) {
    let (result, held) = allocator::peak_of(run);
    let held = held as f64;
    println!("{what}: held {held:.4e} bytes, predicted {:.4e}", predicted as f64);
    (result, held / predicted as f64)
}

/// A product costs a few gradients, several share the propagation, and a whole matrix about its numbers for each sample.
#[test]
fn flops_are_of_the_size_that_formulas_give() {
    let (problem, _) = problem(&[20, 40, 30, 5], 1000);
    let gradient = problem.plan(Request::gradient()).unwrap().flops;
    let products = |count| problem.plan_products(Curvature::Exact, count).unwrap().flops;
    let (one, ten) = (products(1), products(10));
    assert!((2.0..5.0).contains(&(one / gradient)), "{}", one / gradient);
    assert!((4.0..10.0).contains(&(ten / one)), "{}", ten / one);
    // A multiplication and an addition for each pair of parameters below the diagonal: a quarter of them are formed where
    // a layer meets itself, all where layers meet.
    let p = problem.parameters() as f64;
    let request = Request::curvature(Curvature::GaussNewton, Structure::Full);
    let whole = problem.plan(request).unwrap().flops / (1000.0 * p * p);
    assert!((0.5..1.5).contains(&whole), "{whole}");
}
