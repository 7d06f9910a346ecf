//! Times of requests that several processes compute over MPI, and of messages between two of them: the constants of the model in
//! docs/scale.md, which `benches/scale.py` reads.
//!
//! ```sh
//! cargo build --release --features mpi --example ranks
//! mpirun -n 2 target/release/examples/ranks [ROWS] > ranks-2.csv
//! ```
//!
//! Each process holds all rows, ten inputs and a target that are computed from their numbers, and one thread computes. Rank 0 prints lines of
//!
//! ```text
//! message, numbers, seconds of one way                                              of each of several repetitions
//! request, widths, name, parameters, flop, numbers down, numbers up, seconds        the same; numbers: of all messages to one process and from it
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ndarray::Array2;
use secondo::{
    Activation, Curvature, Data, Device, Initialization, LevenbergMarquardt, LinearOperator, Loss,
    Method, Mpi, Network, Problem, Request, Result, Structure, Team, silent,
};

const INPUTS: usize = 10;
const ROWS: usize = 100_000;
const REPETITIONS: usize = 7;

/// The processes, with the numbers that this one sent and received.
#[derive(Debug)]
struct Counted {
    team: Arc<Mpi>,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Team for Counted {
    fn rank(&self) -> usize {
        self.team.rank()
    }

    fn size(&self) -> usize {
        self.team.size()
    }

    fn send(&self, to: usize, numbers: &[f64]) -> Result<()> {
        self.sent.fetch_add(numbers.len() as u64, Ordering::Relaxed);
        self.team.send(to, numbers)
    }

    fn receive(&self, from: usize) -> Result<Vec<f64>> {
        let numbers = self.team.receive(from)?;
        self.received.fetch_add(numbers.len() as u64, Ordering::Relaxed);
        Ok(numbers)
    }
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let rows = std::env::args().nth(1).map_or(Ok(ROWS), |rows| rows.parse())?;
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
    let team = Arc::new(Mpi::start()?);
    messages(&*team)?;
    for hidden in [16, 64] {
        let counted = Counted { team: team.clone(), sent: 0.into(), received: 0.into() };
        let counted = Arc::new(counted);
        let made = || {
            let network = Network::dense(&[INPUTS, hidden, 1], Activation::Tanh)?;
            Ok(Problem::new(network, data(rows)?, Loss::SquaredError)?.on(Device::Cpu))
        };
        if let Some(problem) = Problem::across(counted.clone(), made)? {
            requests(&problem, &counted)?;
        }
    }
    team.done();
    Ok(())
}

fn data(rows: usize) -> Result<Data> {
    let value = |i: usize, j: usize| (0.1 + i as f64 * (0.37 + 0.11 * j as f64)).sin();
    let x = Array2::from_shape_fn((rows, INPUTS), |(i, j)| value(i, j));
    let y = Array2::from_shape_fn((rows, 1), |(i, _)| value(i, 0) * value(i, 1) + value(i, 2));
    Data::new(x, y)
}

/// Numbers that go from rank 0 to rank 1 and back.
fn messages(team: &dyn Team) -> Result<()> {
    if team.size() < 2 || team.rank() > 1 {
        return Ok(());
    }
    for numbers in [1, 1 << 12, 1 << 16, 1 << 20, 1 << 22] {
        let message = vec![1.0; numbers];
        for _ in 0..3 * REPETITIONS {
            if team.rank() == 1 {
                let received = team.receive(0)?;
                team.send(0, &received)?;
                continue;
            }
            let clock = Instant::now();
            team.send(1, &message)?;
            team.receive(1)?;
            println!("message, {numbers}, {:e}", clock.elapsed().as_secs_f64() / 2.0);
        }
    }
    Ok(())
}

/// Requests, each at points of its own, so that nothing is kept of the one before.
fn requests(problem: &Problem, counted: &Counted) -> Result<()> {
    let start = Initialization::Glorot.draw(problem.network(), 1);
    let name = problem.network().to_string();
    // Rank 0 sends to so many and hears of as many, in a binomial tree.
    let (p, children) = (start.len(), u64::from(problem.processes().ilog2().max(1)));
    let session = problem.session();
    let measure = |what: &str, flop: f64, ask: &dyn Fn(&[f64]) -> Result<()>| {
        for repetition in 0..=REPETITIONS {
            let scale = 1.0 + 0.01 * repetition as f64;
            let w: Vec<f64> = start.iter().map(|w| scale * w).collect();
            let numbers = [&counted.sent, &counted.received];
            numbers.iter().for_each(|count| count.store(0, Ordering::Relaxed));
            let clock = Instant::now();
            ask(&w)?;
            let seconds = clock.elapsed().as_secs_f64();
            let [down, up] = numbers.map(|count| count.load(Ordering::Relaxed) / children);
            // The first request carries the samples to where they stay.
            if repetition > 0 {
                println!("request, {name}, {what}, {p}, {flop:e}, {down}, {up}, {seconds:e}");
            }
        }
        Ok(())
    };
    for (what, request) in [
        ("value", Request::default()),
        ("gradient", Request::gradient()),
        ("row blocks", Request::curvature(Curvature::Exact, Structure::RowBlocks)),
        ("full exact", Request::curvature(Curvature::Exact, Structure::Full)),
    ] {
        let flop = problem.plan(request)?.flops;
        measure(what, flop, &|w| session.at(w)?.evaluate(request).map(drop))?;
    }
    let flop = problem.plan_products(Curvature::Exact, 1)?.flops;
    let v = Array2::ones((1, p));
    measure("product", flop, &|w| {
        session.at(w)?.operator(Curvature::Exact)?.products(v.view()).map(drop)
    })?;
    // A value comes with it. Its factorizations are most of it: 2 n (P + 1)².
    let flop = 2.0 * problem.rows() as f64 * (p as f64 + 1.0).powi(2);
    let squares = LevenbergMarquardt { max_iter: 0, ..LevenbergMarquardt::default() };
    measure("triangle", flop, &|w| squares.fit(problem, w, &mut silent).map(drop))
}
