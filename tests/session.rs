//! The memory of a session, and that its results have the bits of requests that remember nothing.

#[cfg(feature = "gpu")]
#[path = "common/adapter.rs"]
#[allow(dead_code)]
mod adapter;

use std::thread;

use ndarray::Array2;
use secondo::{
    Activation, Curvature, Data, Initialization, LinearOperator, Loss, Method, Network, NewtonCg,
    Penalty, Point, Preconditioning, Problem, Request, Structure, TrustRegion, silent,
};

/// Three classes on curved borders; several chunks of samples are computed at once.
fn problem(n: usize) -> (Problem, Vec<f64>) {
    let network = Network::dense(&[6, 12, 3], Activation::Tanh).unwrap();
    let x = Array2::from_shape_fn((n, 6), |(i, j)| ((i * 7 + j * 13) % 101) as f64 / 50.0 - 1.0);
    let class = |i: usize| {
        let s: f64 = (0..6).map(|j| x[(i, j)] * (j as f64 - 2.5)).sum();
        if s * s > 4.0 { 0 } else { 1 + usize::from(s + x[(i, 0)] > 0.3) }
    };
    let y = Array2::from_shape_fn((n, 3), |(i, o)| f64::from(u8::from(class(i) == o)));
    let w = Initialization::Glorot.draw(&network, 3);
    let data = Data::new(x, y).unwrap();
    let problem = Problem::new(network, data, Loss::SoftmaxCrossEntropy).unwrap();
    (problem.penalty(Penalty::ridge(1e-2)).unwrap(), w)
}

const N: usize = 3000;

/// Directions.
fn vectors(count: usize, len: usize) -> Array2<f64> {
    Array2::from_shape_fn((count, len), |(r, l)| ((5 * l + 3 * r) % 9) as f64 - 4.0)
}

/// Some of everything that can be asked at a point.
fn numbers(point: &Point) -> Vec<u64> {
    let mut all = vec![point.value().unwrap()];
    for (curvature, structure) in [
        (Curvature::GaussNewton, Structure::RowBlocks),
        (Curvature::Exact, Structure::Full),
        (Curvature::Lagrangian, Structure::Diagonal),
    ] {
        let at = point.evaluate(Request::curvature(curvature, structure)).unwrap();
        all.push(at.value);
        all.extend(&at.gradient);
        all.extend(at.curvature.iter().flat_map(|m| m.blocks()).flat_map(|b| b.packed().to_vec()));
    }
    for curvature in Curvature::ALL {
        let operator = point.operator(curvature).unwrap();
        all.extend(operator.products(vectors(3, point.w().len()).view()).unwrap());
    }
    all.iter().map(|v| v.to_bits()).collect()
}

/// The same without a session, in a problem that was asked nothing before each time.
fn fresh(problem: &Problem, w: &[f64]) -> Vec<u64> {
    let mut all = vec![problem.clone().objective(w).unwrap()];
    for (curvature, structure) in [
        (Curvature::GaussNewton, Structure::RowBlocks),
        (Curvature::Exact, Structure::Full),
        (Curvature::Lagrangian, Structure::Diagonal),
    ] {
        let at = problem.clone().curvature(w, curvature, structure).unwrap();
        all.push(at.value);
        all.extend(&at.gradient);
        all.extend(at.curvature.iter().flat_map(|m| m.blocks()).flat_map(|b| b.packed().to_vec()));
    }
    for curvature in Curvature::ALL {
        // In a budget in which nothing is kept.
        let need = problem.plan_products(curvature, 3).unwrap().bytes();
        let alone = problem.clone().memory_budget(need);
        let operator = alone.operator(w, curvature).unwrap();
        all.extend(operator.products(vectors(3, w.len()).view()).unwrap());
    }
    all.iter().map(|v| v.to_bits()).collect()
}

fn other(w: &[f64], t: f64) -> Vec<f64> {
    w.iter().enumerate().map(|(l, w)| w + t * (l as f64).sin()).collect()
}

#[test]
fn a_session_has_the_bits_of_single_requests() {
    for n in [150, N] {
        let (problem, w) = problem(n);
        let session = problem.session();
        for t in [0.0, 0.1, 0.0] {
            let w = other(&w, t);
            let point = session.at(&w).unwrap();
            assert!(numbers(&point) == fresh(&problem, &w), "n = {n}, t = {t}");
            // From what is kept now.
            assert!(numbers(&point) == fresh(&problem, &w), "n = {n}, t = {t}, again");
        }
    }
}

#[test]
fn everything_at_a_point_takes_one_sweep_forward_and_one_back() {
    let (problem, w) = problem(N);
    let session = problem.session();
    let point = session.at(&w).unwrap();
    // The greatest order first: what h″ is needed for is not known before it is asked.
    point.operator(Curvature::Exact).unwrap().product(&w).unwrap();
    let (value, gradient) = (point.value().unwrap(), point.gradient().unwrap());
    let diagonal = Request::curvature(Curvature::GaussNewton, Structure::Diagonal);
    for _ in 0..3 {
        assert_eq!(point.value().unwrap(), value);
        assert_eq!(point.evaluate(diagonal).unwrap().gradient, gradient);
        point.operator(Curvature::Exact).unwrap().product(&w).unwrap();
    }
    let counts = session.counts();
    let chunks_agree = [Request::gradient(), diagonal].map(|r| session.plan(r).unwrap().chunk);
    let chunk = problem.plan_products(Curvature::Exact, 1).unwrap().chunk;
    assert_eq!(chunks_agree, [chunk; 2], "choose another size");
    assert_eq!((counts.forward, counts.backward), (N as u64, N as u64));
    assert_eq!(counts.uploaded, N as u64);
    // Other points are swept anew, and the counts would show it.
    session.at(&other(&w, 0.1)).unwrap().gradient().unwrap();
    assert_eq!(session.counts().forward, 2 * N as u64);
}

#[test]
fn no_kind_of_request_is_planned_twice() {
    let (problem, w) = problem(N);
    let session = problem.session();
    let ask = |w: &[f64]| {
        let point = session.at(w).unwrap();
        point.value().unwrap();
        point.gradient().unwrap();
        let rows = Request::curvature(Curvature::GaussNewton, Structure::RowBlocks);
        point.evaluate(rows).unwrap();
        let operator = point.operator(Curvature::Exact).unwrap();
        operator.products(vectors(1, w.len()).view()).unwrap();
        operator.products(vectors(4, w.len()).view()).unwrap();
    };
    ask(&w);
    assert_eq!(session.counts().plans, 5);
    for t in [0.0, 0.1, 0.2] {
        ask(&other(&w, t));
    }
    assert_eq!(session.counts().plans, 5);
    // A kind that is new.
    session.at(&w).unwrap().evaluate(Request { outputs: true, ..Request::default() }).unwrap();
    assert_eq!(session.counts().plans, 6);
}

fn newton_cg(preconditioning: Preconditioning, max_iter: usize) -> NewtonCg {
    let region = TrustRegion { max_iter, ..NewtonCg::default().region };
    NewtonCg { preconditioning, region, ..NewtonCg::default() }
}

#[test]
fn a_fit_by_products_sweeps_once_for_a_point() {
    for preconditioning in Preconditioning::ALL {
        let (problem, w) = problem(N);
        let before = problem.counts();
        assert_eq!(before.forward, 0);
        let fit = newton_cg(preconditioning, 20).fit(&problem, &w, &mut silent).unwrap();
        let (counts, asked) = (problem.counts(), fit.evaluations);
        assert!(asked.products > 2 * asked.gradient, "{asked:?}");
        // The start, and every trial; back where one was accepted.
        let points = asked.objective as u64 + 1;
        assert_eq!(counts.forward, points * N as u64, "{preconditioning:?} {asked:?}");
        assert_eq!(
            counts.backward,
            asked.gradient as u64 * N as u64,
            "{preconditioning:?} {asked:?}"
        );
        assert_eq!(counts.uploaded, N as u64);
        // Value, derivatives, products.
        assert_eq!(counts.plans, 3);

        // The same steps, to the bit, in a budget that leaves no room.
        let method = newton_cg(preconditioning, 20);
        let tight = problem.clone().memory_budget(method.memory(&problem).unwrap());
        let alone = method.fit(&tight, &w, &mut silent).unwrap();
        assert!(fit.w == alone.w && fit.iterations == alone.iterations);
        assert!(tight.counts().forward > 2 * counts.forward);
        assert!(tight.counts().uploaded > 2 * N as u64);
    }
}

#[test]
fn threads_share_a_session() {
    let (problem, w) = problem(N);
    let right = fresh(&problem, &w);
    let elsewhere = fresh(&problem, &other(&w, 0.3));
    let session = problem.session();
    let point = session.at(&w).unwrap();
    thread::scope(|scope| {
        for t in 0..4 {
            let (session, point, right, elsewhere) = (&session, &point, &right, &elsewhere);
            let w = other(&w, 0.3);
            scope.spawn(move || {
                for round in 0..3 {
                    assert!(numbers(point) == *right, "thread {t}, round {round}");
                    let own = session.at(&w).unwrap();
                    assert!(numbers(&own) == *elsewhere, "thread {t}, round {round}, elsewhere");
                }
            });
        }
    });
    // Nothing is copied or planned for each thread.
    assert_eq!(session.counts().uploaded, N as u64);
}

#[test]
fn two_sessions_live_at_once() {
    let ((first, w), (second, v)) = (problem(N), problem(700));
    let (a, b, c) = (first.session(), second.session(), first.session());
    let (at_a, at_b, at_c) = (a.at(&w).unwrap(), b.at(&v).unwrap(), c.at(&w).unwrap());
    let (of_a, of_b) = (numbers(&at_a), numbers(&at_b));
    drop(at_a);
    drop(a);
    assert!(of_a == fresh(&first, &w) && of_b == fresh(&second, &v));
    assert!(numbers(&at_c) == of_a && numbers(&at_b) == of_b);
    // Nothing is common to them.
    assert_eq!((c.counts().uploaded, b.counts().uploaded), (N as u64, 700));
}

#[test]
fn without_room_everything_is_computed_anew() {
    let (problem, w) = problem(N);
    let request = Request::curvature(Curvature::Exact, Structure::RowBlocks);
    let right = problem.evaluate(&w, request).unwrap();
    let need = problem.plan(request).unwrap().bytes();
    let tight = problem.clone().memory_budget(need);
    let session = tight.session();
    let point = session.at(&w).unwrap();
    for round in 1..=3 {
        assert_eq!(point.evaluate(request).unwrap(), right);
        let counts = session.counts();
        assert_eq!(counts.forward, round * N as u64);
        assert_eq!(counts.uploaded, round * N as u64);
        assert_eq!(counts.plans, 1);
    }
    // And once where there is.
    let roomy = problem.clone().memory_budget(need + (64 << 20));
    let session = roomy.session();
    let point = session.at(&w).unwrap();
    for _ in 1..=3 {
        assert_eq!(point.evaluate(request).unwrap(), right);
    }
    assert_eq!(session.counts().forward, N as u64);
}

/// A fit of 50 evaluations on an adapter: X crosses once.
#[cfg(feature = "gpu")]
#[test]
fn x_crosses_to_an_adapter_once() {
    let (problem, w) = problem(1000);
    let problem = problem.on(secondo::Device::Gpu(adapter::double()));
    let method = newton_cg(Preconditioning::Diagonal, 30);
    let fit = method.fit(&problem, &w, &mut silent).unwrap();
    let asked = fit.evaluations;
    assert!(asked.objective + asked.gradient >= 50, "{asked:?}");
    let counts = problem.counts();
    assert_eq!(counts.uploaded, 1000);
    assert_eq!(counts.plans, 3);
    assert_eq!(counts.forward, 1000 * (asked.objective as u64 + 1));
    assert_eq!(counts.backward, 1000 * asked.gradient as u64);
    // Requests without a session copy it again.
    let again = problem.clone();
    again.gradient(&w).unwrap();
    again.gradient(&other(&w, 0.1)).unwrap();
    assert_eq!(again.counts().forward, 2000);
}
