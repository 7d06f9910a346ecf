//! The methods for problems: their ends, their reports, and that a resumed fit is the same fit.

mod common;

use std::time::Instant;

use common::datasets;
use secondo::{Auto, LevenbergMarquardt, Method, NewtonCg, Preconditioning, TrustRegion, silent};

const SETS: [(&str, usize); 3] = [("breast_cancer", 5), ("diabetes", 8), ("digits", 16)];

fn cg(preconditioning: Preconditioning) -> NewtonCg {
    NewtonCg {
        preconditioning,
        ..NewtonCg::default()
    }
}

/// cargo test --test solvers -- --ignored --nocapture measure
#[test]
#[ignore = "a table for people"]
fn measure() {
    let only = std::env::var("SET").unwrap_or_default();
    let seeds: u64 = std::env::var("SEEDS").map_or(3, |s| s.parse().unwrap());
    for (name, hidden) in SETS {
        if !name.contains(&only) {
            continue;
        }
        let problem = datasets::problem(name, hidden);
        let methods: Vec<(&str, Box<dyn Method>)> = vec![
            ("auto", Box::new(Auto::default())),
            ("lm", Box::new(LevenbergMarquardt::default())),
            ("trust-region", Box::new(TrustRegion::default())),
            ("cg none", Box::new(cg(Preconditioning::None))),
            ("cg diagonal", Box::new(cg(Preconditioning::Diagonal))),
            ("cg rows", Box::new(cg(Preconditioning::RowBlocks))),
        ];
        let title = std::env::var("METHOD").unwrap_or_default();
        for seed in 0..seeds {
            let start = datasets::start(&problem, seed);
            for (title, method) in methods.iter().filter(|m| m.0.contains(&title)) {
                let clock = Instant::now();
                let Ok(fit) = method.fit(&problem, &start, &mut silent) else {
                    continue;
                };
                println!(
                    "{name:14} {seed} {title:13} {:8.3} s  {:4} + {:3} steps  {:6} products  value {:.10}  gradient {:.1e} of {:.1e}  {}",
                    clock.elapsed().as_secs_f64(),
                    fit.iterations,
                    fit.rejected,
                    fit.evaluations.products,
                    fit.value,
                    fit.gradient_norm,
                    fit.gradient_goal,
                    fit.reason.name()
                );
                println!("    {:?}", fit.choice);
            }
        }
    }
}
