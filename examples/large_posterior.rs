//! The posterior of a network with a hundred thousand parameters, by the blocks of its units: planned and used memory.
//!
//! `cargo run --release --example large_posterior [-- HIDDEN]`: a [256-HIDDEN-1] net (390 hidden units unless given) at its minimum.

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use secondo::inference::{Approximate, Approximation};
use secondo::{
    Activation, Auto, Data, Initialization, Loss, Method, Network, Penalty, Problem, Result, silent,
};

/// A line of the system's account of this process, in MiB, where there is one.
fn status(name: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// The resident memory; from now on [`peak`] is the largest since here.
fn resident() -> Option<f64> {
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    status("VmRSS:")
}

fn peak() -> Option<f64> {
    status("VmHWM:")
}

fn main() -> Result<()> {
    let hidden = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(390);
    let mut rng = Pcg64::seed_from_u64(0);
    let x = Array2::from_shape_simple_fn((400, 256), || 2.0 * rng.random::<f64>() - 1.0);
    let y =
        Array2::from_shape_fn((400, 1), |(i, _)| (3.0 * x[[i, 0]]).tanh() + x[[i, 1]] * x[[i, 2]]);
    let network = Network::dense(&[256, hidden, 1], Activation::Tanh)?;
    let problem = Problem::new(network, Data::new(x.clone(), y)?, Loss::SquaredError)?
        .penalty(Penalty::ridge(1.0))?;
    let start = Initialization::Glorot.draw(problem.network(), 0);
    let fit = Auto::default().fit(&problem, &start, &mut silent)?;
    let end = if fit.converged() { "converged" } else { "did not converge" };
    println!("{}: {} parameters, {end}", problem.network(), fit.w.len());
    let w = fit.w;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    for approximation in [Approximation::RowBlocks, Approximation::LowRank(40)] {
        let (planned, before) = (Approximate::plan(&problem, approximation)?, resident());
        let found = Approximate::new(&problem, &w, approximation)?;
        let rows = x.slice(ndarray::s![..3, ..]).to_owned();
        let errors: Vec<f64> = (found.predictions(&rows, 0.95)?.iter())
            .filter_map(|p| p.outputs[0].std_error)
            .collect();
        let evidence = found.laplace().map_or(f64::NAN, |l| l.log_evidence);
        println!(
            "{approximation}: γ {:.1}, ln evidence {evidence:.1}, standard errors {errors:.4?}",
            found.gamma()
        );
        if let Some(refusal) = found.refused() {
            println!("  {refusal}");
        }
        if let (Some(before), Some(after)) = (before, peak()) {
            println!("  planned {:.0} MiB, taken at most {:.0} MiB", mib(planned), after - before);
        }
    }
    Ok(())
}
