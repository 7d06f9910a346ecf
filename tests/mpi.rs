//! Run by scripts/test-mpi under `mpirun`: the same problems as in tests/team.rs, over MPI. Without an argument one process computes
//! everything.

#[path = "common/processes.rs"]
mod processes;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use processes::{Made, UNIT, end_of_fit, everything, held, methods, network, read, start};
use secondo::{Device, Error, Loss, Mpi, Problem, Request, Result, Structure, Team};

/// MPI, with counts of what this process sends.
#[derive(Debug)]
struct Counted(Mpi, [AtomicU64; 2]);

impl Team for Counted {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn send(&self, to: usize, numbers: &[f64]) -> Result<()> {
        self.1[0].fetch_add(1, Ordering::Relaxed);
        self.1[1].fetch_add(numbers.len() as u64, Ordering::Relaxed);
        self.0.send(to, numbers)
    }

    fn receive(&self, from: usize) -> Result<Vec<f64>> {
        self.0.receive(from)
    }

    fn done(&self) {
        self.0.done();
    }
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Prints hashes of all bits: of values, derivatives and fits.
fn bits(problem: &Problem) {
    println!("everything {:016x}", hash(&everything(problem, &Structure::ALL)));
    for method in methods() {
        println!("{} {:016x}", method.name(), hash(&end_of_fit(&*method, problem)));
    }
}

/// Ten gradients, each at a new point; what each process sent for them is printed by all.
fn count(team: &Arc<Counted>) {
    let problem = Problem::across(team.clone(), || held(8 * UNIT, 4)).unwrap();
    let sent = || team.1.iter().map(|count| count.load(Ordering::Relaxed)).collect::<Vec<_>>();
    if let Some(problem) = problem {
        let w = start(&problem);
        for scale in 0..10 {
            let w: Vec<f64> = w.iter().map(|w| w * f64::from(scale)).collect();
            problem.gradient(&w).unwrap();
        }
        println!("parameters {}", w.len());
    }
    println!("sent {} {}", sent()[0], sent()[1]);
}

/// A fault in one process: before it is ready, while it computes, or as another problem than the others have.
fn fault(team: Arc<dyn Team>, kind: &str, at: usize) {
    let (is_here, rows) = (team.rank() == at, 8 * UNIT);
    let faulty = |why| {
        let made =
            Made::new(rows, is_here.then_some(((2 * at + 1) * rows / (2 * team.size()), why)));
        let problem = Problem::over(network(4), Arc::new(made), Loss::SquaredError)?;
        Ok(problem.memory_budget(4 << 20).on(Device::Cpu))
    };
    let problem = Problem::across(team.clone(), || match kind {
        "early panic" if is_here => panic!("planted"),
        "early exit" if is_here => std::process::exit(3),
        "early error" if is_here => Err(Error::Numerical { what: "planted".into() }),
        "other rows" if is_here => held(rows - 1, 4),
        "other rows" => held(rows, 4),
        "panic" => faulty("panic"),
        "exit" => faulty("exit"),
        _ => faulty("planted"),
    });
    match problem {
        Ok(Some(problem)) => match problem.gradient(&start(&problem)) {
            Ok(_) => println!("no error"),
            Err(error) => println!("error: {error}"),
        },
        Ok(None) => {}
        Err(error) => println!("rank {}: {error}", team.rank()),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` gives names of tests and options; only scripts/test-mpi compares what is printed.
    if arguments.first().is_some_and(|word| !["count", "fault", "return"].contains(&word.as_str()))
    {
        return;
    }
    let mut words = arguments.iter().map(String::as_str);
    let team = match Mpi::start() {
        Ok(team) => Arc::new(Counted(team, Default::default())),
        Err(error) => {
            println!("refused: {error}");
            std::process::exit(3);
        }
    };
    match (words.next(), words.next(), words.next()) {
        (Some("count"), ..) => count(&team),
        (Some("fault"), Some(kind), Some(at)) => fault(team, kind, at.parse().unwrap()),
        (Some("return"), Some(at), _) if at.parse() == Ok(team.rank()) => {}
        (Some("return"), ..) => drop(Problem::across(team, || held(100, 2))),
        _ => {
            let size = team.size();
            let problem = Problem::across(team, || read(5 * UNIT + 17, 4)).unwrap();
            if let Some(problem) = problem {
                let at = Request::default();
                assert_eq!(problem.processes(), size);
                assert!(problem.evaluate(&start(&problem), at).is_ok());
                bits(&problem);
            }
        }
    }
}
