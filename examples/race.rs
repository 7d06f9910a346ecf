//! Wall time to a gradient of 1e-8 of its start: the default method beside argmin's L-BFGS, seed by seed.
//!
//! `cargo run --release --example race [-- SEEDS]` prints the tables of `examples/results/race.md`: tanh units, ridge 1e-2,
//! standardised data, the processor in f64. Each start runs three times by turns; the fastest counts for either.

mod common;

use std::time::Instant;

use secondo::{Auto, Initialization, Method, Problem, Result, silent};

const GOAL: f64 = 1e-8;

fn main() -> Result<()> {
    let seeds: u64 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(10);
    println!(
        "| problem | P | seed | default: steps | seconds | objective | gradient/start | L-BFGS: evaluations | seconds | objective | gradient/start | times |"
    );
    println!("|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut summary = Vec::new();
    for (name, target, hidden) in common::SETS {
        let problem = common::read(name, target, hidden)?;
        race(&format!("{name} {}", problem.network()), &problem, seeds, &mut summary)?;
    }
    // The crossover: one set of data, more and more units.
    for hidden in [2, 4, 8, 16, 32, 64] {
        let problem = common::read("breast_cancer", "diagnosis", hidden)?;
        race(
            &format!("breast_cancer {}", problem.network()),
            &problem,
            seeds.min(3),
            &mut summary,
        )?;
    }
    println!(
        "\n| problem | P | L-BFGS's time over the default's: lowest | median | highest | starts where the default is faster |"
    );
    println!("|:--|--:|--:|--:|--:|--:|");
    for (name, p, mut ratios) in summary {
        ratios.sort_by(f64::total_cmp);
        let faster = ratios.iter().filter(|r| **r > 1.0).count();
        let (low, middle, high) = (ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
        println!(
            "| {name} | {p} | {low:.2} | {middle:.2} | {high:.2} | {faster} of {} |",
            ratios.len()
        );
    }
    Ok(())
}

fn race(
    name: &str,
    problem: &Problem,
    seeds: u64,
    summary: &mut Vec<(String, usize, Vec<f64>)>,
) -> Result<()> {
    let mut ratios = Vec::new();
    for seed in 0..seeds {
        let start = Initialization::Glorot.draw(problem.network(), seed);
        let largest = |g: &[f64]| g.iter().fold(0.0f64, |m, g| m.max(g.abs()));
        let scale = largest(&problem.gradient(&start)?);
        let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
        let (mut fit, mut run) = (None, None);
        for _ in 0..3 {
            let clock = Instant::now();
            fit = Some(Auto::default().fit(problem, &start, &mut silent)?);
            ours = ours.min(clock.elapsed().as_secs_f64());
            let other = common::lbfgs(problem, &start, GOAL, 50_000)?;
            theirs = theirs.min(other.seconds);
            run = Some(other);
        }
        let (Some(fit), Some(run)) = (fit, run) else {
            continue;
        };
        println!(
            "| {name} | {} | {seed} | {} | {ours:.4} | {:.6} | {:.1e} | {} | {theirs:.4} | {:.6} | {:.1e} | {:.2} |",
            problem.parameters(),
            fit.iterations,
            fit.value,
            fit.gradient_norm / scale,
            run.evaluations,
            run.value,
            run.gradient / scale,
            theirs / ours,
        );
        ratios.push(theirs / ours);
    }
    summary.push((name.to_string(), problem.parameters(), ratios));
    Ok(())
}
