//! Pruning by five criteria on real data: objective and held-out loss at equal size.
//!
//! ```sh
//! cargo run --release --example pruning_study --features io -- diabetes breast_cancer wine
//! ```
//!
//! The arguments are sets, all four unless given; `--seeds N` (5) and `--share X` (0.05), the part of the weights that is removed before
//! each fit. One hidden layer of tanh units, ridge 0.01, standardised data; a quarter of the rows is held out, another for each seed.
//! Prints a table: medians over the seeds at the first fit with at most so many parameters.

mod common;

use std::collections::BTreeMap;

use ndarray::Axis;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use rayon::prelude::*;
use secondo::inference::{Covariance, Criterion, Options, Pruning};
use secondo::{
    Auto, Curvature, Data, Initialization, Method, Penalty, Problem, Reduction, Result, silent,
};

const SETS: [(&str, &str, usize); 4] = [
    ("diabetes", "progression", 8),
    ("breast_cancer", "diagnosis", 8),
    ("wine", "cultivar", 8),
    ("digits", "digit", 16),
];
/// The parts of the parameters at which the criteria are compared.
const PARTS: [(&str, f64); 5] =
    [("3/4", 0.75), ("1/2", 0.5), ("1/4", 0.25), ("1/6", 1.0 / 6.0), ("1/10", 0.1)];
const NAMES: [&str; 5] = ["OBS, exact", "OBS, Gauss–Newton", "OBD", "magnitude", "Wald, hc0"];

fn pruning(index: usize, share: f64) -> Pruning {
    let criterion =
        [Criterion::Obs, Criterion::Obs, Criterion::Obd, Criterion::Magnitude, Criterion::Wald]
            [index];
    let information = if index == 1 { Curvature::GaussNewton } else { Curvature::Exact };
    let covariance = (index == 4).then_some(Covariance::Hc0);
    let options = Options { information, covariance, ..Options::default() };
    Pruning { criterion, share, options, ..Pruning::default() }
}

/// The problem on some rows.
fn part(problem: &Problem, rows: &[usize], penalty: Penalty) -> Result<Problem> {
    let data = problem.data()?;
    let data = Data::new(data.x().select(Axis(0), rows), data.y().select(Axis(0), rows))?;
    Problem::new(problem.network().clone(), data, problem.loss().clone())?.penalty(penalty)
}

/// Objective and held-out mean loss at each part of the parameters; none where the path ended before.
type Found = [Option<(f64, f64)>; PARTS.len()];

fn study(whole: &Problem, seed: u64, index: usize, share: f64) -> Result<Found> {
    let mut rows: Vec<usize> = (0..whole.rows()).collect();
    rows.shuffle(&mut Pcg64::seed_from_u64(seed));
    let held = rows.split_off(3 * rows.len() / 4);
    let train = part(whole, &rows, Penalty::ridge(1e-2))?;
    let held = part(whole, &held, Penalty::None)?.reduction(Reduction::Mean);
    let start = Initialization::Glorot.draw(train.network(), seed);
    let w = Auto { gtol: 1e-13, ..Auto::default() }.fit(&train, &start, &mut silent)?.w;
    let p = w.len();
    let steps = Some(p - (0.1 * p as f64) as usize + 1);
    let pruned = Pruning { steps, ..pruning(index, share) }.prune(&train, &w)?;
    let mut found = Found::default();
    for removal in pruned.path.iter().filter(|r| r.value_after_retraining.is_some()) {
        for (place, (_, part)) in found.iter_mut().zip(PARTS) {
            let fits = removal.parameters_left as f64 <= part * p as f64;
            if let (None, true, Some(value)) = (&place, fits, removal.value_after_retraining) {
                *place = Some((value, held.objective(&removal.weights)?));
            }
        }
    }
    Ok(found)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    match all.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => all[n / 2],
        n => 0.5 * (all[n / 2 - 1] + all[n / 2]),
    }
}

fn main() -> Result<()> {
    let (mut sets, mut seeds, mut share) = (Vec::new(), 5, 0.05);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seeds" => seeds = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(seeds),
            "--share" => share = arguments.next().and_then(|x| x.parse().ok()).unwrap_or(share),
            name => sets.push(name.to_string()),
        }
    }
    for (name, target, hidden) in
        SETS.into_iter().filter(|s| sets.is_empty() || sets.iter().any(|n| n == s.0))
    {
        let whole = common::read(name, target, hidden)?;
        let runs: Vec<(u64, usize)> =
            (0..seeds).flat_map(|seed| (0..NAMES.len()).map(move |i| (seed, i))).collect();
        let found: Vec<Result<Found>> =
            runs.par_iter().map(|&(seed, index)| study(&whole, seed, index, share)).collect();
        let mut ends = BTreeMap::new();
        for (run, found) in runs.iter().zip(found) {
            match found {
                Ok(found) => drop(ends.insert(*run, found)),
                Err(error) => println!("{name}, seed {}, {}: {error}", run.0, NAMES[run.1]),
            }
        }
        println!(
            "\n{name} {}, {} parameters, {seeds} seeds, share {share}\n",
            whole.network(),
            whole.parameters()
        );
        println!(
            "| left | criterion | objective | held-out loss | paths that came so far | below magnitude in |"
        );
        println!("|--:|:--|--:|--:|--:|--:|");
        for (at, (part, _)) in PARTS.iter().enumerate() {
            for (index, criterion) in NAMES.iter().enumerate() {
                let of = |index: usize, seed: u64| ends.get(&(seed, index)).and_then(|f| f[at]);
                let all: Vec<(f64, f64)> = (0..seeds).filter_map(|seed| of(index, seed)).collect();
                let pairs = (0..seeds).filter_map(|seed| Some((of(index, seed)?, of(3, seed)?)));
                let below = pairs.clone().filter(|(a, b)| a.0 < b.0).count();
                println!(
                    "| {part} | {criterion} | {:.5} | {:.5} | {} | {below} of {} |",
                    median(all.iter().map(|v| v.0).collect()),
                    median(all.iter().map(|v| v.1).collect()),
                    all.len(),
                    pairs.count()
                );
            }
        }
    }
    Ok(())
}
