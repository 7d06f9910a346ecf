//! Hostile calls and hostile files: what the library does with whatever it is given. The tests count the memory of the whole
//! process, so that they run one after the other.

use std::sync::Mutex;
use std::time::Duration;

use ndarray::Array2;
use secondo::backend::Cpu;
use secondo::{Activation, Data, Loss, Network, Problem, Request};

#[path = "../common/allocator.rs"]
mod allocator;
#[path = "../common/random.rs"]
mod random;

#[path = "../limits.rs"]
mod limits;

#[path = "../machine.rs"]
mod machine;

#[path = "../mutated.rs"]
mod mutated;

#[path = "../resident.rs"]
mod resident;

static ALONE: Mutex<()> = Mutex::new(());

/// Has every thread do a product of matrices: the library for them reserves memory for each at its first.
fn warm() {
    let product = || {
        let network = Network::dense(&[40, 40, 40], Activation::Tanh).unwrap();
        let data = Data::new(Array2::ones((500, 40)), Array2::ones((500, 40))).unwrap();
        let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
        let w = vec![0.01; problem.parameters()];
        // All samples at once: on this thread.
        problem.evaluate_on(&Cpu::<f64>::new(), &w, Request::gradient(), 500).unwrap();
    };
    rayon::broadcast(|_| product());
    product();
}

/// The processor's time of this process: other programs do not change it.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name in brackets; the 14th and 15th are in hundredths of a second.
    let numbers = stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11).take(2);
    Duration::from_millis(numbers.map(|n| 10 * n.parse::<u64>().unwrap_or(0)).sum())
}

/// A number that the environment gives, or this one.
fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}
