//! The library in a process whose address space is limited: each large job is done or refused, and none ends the process.
#![cfg(target_os = "linux")]

use std::process::Command;

use ndarray::Array2;
use secondo::solve::{Cholesky, Factor, eigenvalues};
use secondo::train::newton::{Newton, function, newton_root};
use secondo::train::residual_function;
use secondo::{
    Activation, Curvature, Data, Error, Indefinite, Initialization, LevenbergMarquardt,
    LinearOperator, Loss, Matrix, Method, Network, Problem, Result, Structure, TrustRegion,
};

/// The variable that makes this binary do the jobs.
const JOBS: &str = "SECONDO_TEST_JOBS";

fn problem(widths: &[usize], n: usize) -> Result<(Problem, Vec<f64>)> {
    let network = Network::dense(widths, Activation::Tanh)?;
    let (d, o) = (network.inputs(), network.outputs());
    let x = Array2::from_shape_fn((n, d), |(i, j)| ((i * 7 + j * 13) % 101) as f64 / 50.0 - 1.0);
    let y = Array2::from_shape_fn((n, o), |(i, j)| ((i * 3 + j) % 17) as f64 / 8.0 - 1.0);
    let w = Initialization::Glorot.draw(&network, 1);
    Ok((Problem::new(network, Data::new(x, y)?, Loss::SquaredError)?, w))
}

fn curvature(widths: &[usize], n: usize, structure: Structure) -> Result<()> {
    let (problem, w) = problem(widths, n)?;
    problem.curvature(&w, Curvature::Exact, structure).map(drop)
}

/// The packed triangle of a positive definite matrix.
fn triangle(d: usize) -> Vec<f64> {
    let mut lower = Vec::new();
    for a in 0..d {
        lower.extend((0..=a).map(|b| if a == b { d as f64 } else { 0.5 }));
    }
    lower
}

fn on_functions(d: usize) -> Result<()> {
    let f = function(
        d,
        |x| x.iter().map(|x| x * x).sum(),
        |x, g| g.iter_mut().zip(x).for_each(|(g, x)| *g = 2.0 * x),
        |_, h| (0..d).for_each(|i| h[i * (i + 1) / 2 + i] = 2.0),
    );
    let (region, start) = (TrustRegion { max_iter: 2, ..TrustRegion::default() }, vec![1.0; d]);
    let at_most = Newton { max_iter: 2, ..Newton::default() };
    region.minimize(&f, &start)?;
    at_most.pure(&f, &start)?;
    let root = |x: &[f64], f: &mut [f64]| f.copy_from_slice(x);
    let jacobian = |_: &[f64], j: &mut [f64]| (0..d).for_each(|i| j[i * d + i] = 1.0);
    newton_root(root, jacobian, &start, &at_most)?;
    let r = residual_function(d, d, root, jacobian);
    let method = LevenbergMarquardt { max_iter: 2, ..LevenbergMarquardt::default() };
    method.minimize(&r, &start).map(drop)
}

type Job = (&'static str, fn() -> Result<()>);

const ALL: [Job; 14] = [
    ("a gradient", || problem(&[50, 200, 3], 5000).and_then(|(p, w)| p.gradient(&w)).map(drop)),
    ("a whole Hessian", || curvature(&[20, 40, 30, 5], 500, Structure::Full)),
    ("a larger Hessian", || curvature(&[60, 90, 3], 100, Structure::Full)),
    ("one by layers", || curvature(&[60, 90, 3], 100, Structure::LayerBlocks)),
    ("row blocks", || curvature(&[300, 40, 10], 1000, Structure::RowBlocks)),
    ("products", || {
        let (problem, w) = problem(&[100, 200, 3], 2000)?;
        problem.operator(&w, Curvature::Exact)?.product(&w).map(drop)
    }),
    ("a Jacobian", || problem(&[50, 60, 3], 1000).and_then(|(p, w)| p.jacobian(&w)).map(drop)),
    ("predictions", || {
        let (problem, w) = problem(&[10, 3000, 3], 10)?;
        problem.predict(&w, &Array2::zeros((20_000, 10))).map(drop)
    }),
    ("a fit", || {
        let (problem, w) = problem(&[20, 40, 2], 500)?;
        let method = TrustRegion { max_iter: 1, ..TrustRegion::default() };
        method.fit(&problem, &w, &mut secondo::silent).map(drop)
    }),
    ("a factorization", || {
        let lower = triangle(1500);
        let factor = Factor::new(&lower, 1500, Indefinite::Absolute)?;
        factor.solve(1.0, &mut vec![1.0; 1500]).map(drop)
    }),
    ("an inverse", || Cholesky::new(&triangle(1500), 1500).map(|c| drop(c.inverse()))),
    ("eigenvalues", || eigenvalues(&triangle(700), 700).map(drop)),
    ("a dense matrix", || Matrix::full(2000, triangle(2000))?.dense().map(drop)),
    ("functions", || on_functions(700)),
];

/// Does all jobs where the next test started it; nothing otherwise.
#[test]
fn jobs() {
    if std::env::var_os(JOBS).is_none() {
        return;
    }
    for (name, job) in ALL {
        println!("job {name}");
        match job() {
            Ok(()) => println!("done {name}"),
            Err(Error::Memory { .. }) => println!("refused {name}"),
            Err(other) => panic!("{name}: {other}"),
        }
    }
    println!("all came back");
}

#[test]
fn no_job_ends_the_process_whatever_the_limit() {
    let (mut done, mut refused) = (0, 0);
    // The reserve of the library of products for two threads may be most of it, or may not fit at all.
    let scratch = 2 * (secondo::scratch_of_thread() >> 20) as u32;
    let megabytes = |step: u32| 100 * 3_u32.pow(step) / 2_u32.pow(step);
    for limit in
        [megabytes(1), scratch + megabytes(0), scratch + megabytes(4), scratch + megabytes(6)]
    {
        let line =
            format!("ulimit -v {}; exec \"$0\" --exact limits::jobs --nocapture", limit << 10);
        let mut shell = Command::new("bash");
        shell.args(["-c", &line]).arg(std::env::current_exe().unwrap());
        let out = shell.env(JOBS, "1").env("RAYON_NUM_THREADS", "1").output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout);
        let count = |word: &str| said.lines().filter(|line| line.starts_with(word)).count();
        println!("{limit} MiB: {} done, {} refused", count("done "), count("refused "));
        let why = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && said.contains("all came back"), "{limit}: {said} {why}");
        (done, refused) = (done + count("done "), refused + count("refused "));
    }
    assert!(done > 10 && refused > 10, "{done} done, {refused} refused");
}

/// A job that takes more than there is without asking first is seen.
#[test]
fn an_abort_is_seen() {
    let line = "ulimit -v 200000; exec \"$0\" --exact limits::aborting --nocapture";
    let mut shell = Command::new("bash");
    shell.args(["-c", line]).arg(std::env::current_exe().unwrap());
    assert!(!shell.env(JOBS, "1").output().unwrap().status.success());
}

#[test]
fn aborting() {
    if std::env::var_os(JOBS).is_some() {
        let size = std::env::args().count() << 30;
        println!("{}", vec![1_u8; size].len());
    }
}
