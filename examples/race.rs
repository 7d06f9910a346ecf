//! The default method beside plain L-BFGS, start by start, to a certified end at a gradient of 1e-8 of its start; the largest network to 1e-4, where
//! both are stopped.
//!
//! `cargo run --release --example race` prints the last table of `examples/results/race.md` and ratios of times: tanh units, ridge 1e-2 (letter 0.1),
//! standardised data, the processor in f64. Each start runs twice by turns; the faster counts for either.
//!
//! `--starts N`, `--only TEXT` (problems whose name contains it), and `--folder DIR`, into which data, starts and results are written for
//! `benches/peers/train.py`, which runs other programs' methods on them.

mod common;

use std::path::{Path, PathBuf};
use std::time::Instant;

use ndarray::Array2;
use secondo::{
    Activation, Auto, Control, Data, Fit, Initialization, Lbfgs, Loss, Method, Network, Penalty,
    Preconditioning, Problem, Progress, Result,
};
use serde_json::{Value, json};

/// The part of the gradient at the start that ends a fit.
const GOAL: f64 = 1e-8;

/// File, target, hidden units, ridge.
const PROBLEMS: [(&str, &str, usize, f64); 11] = [
    ("iris", "species", 5, 1e-2),
    ("diabetes", "progression", 8, 1e-2),
    ("breast_cancer", "diagnosis", 2, 1e-2),
    ("breast_cancer", "diagnosis", 5, 1e-2),
    ("breast_cancer", "diagnosis", 8, 1e-2),
    ("breast_cancer", "diagnosis", 16, 1e-2),
    ("breast_cancer", "diagnosis", 32, 1e-2),
    ("breast_cancer", "diagnosis", 64, 1e-2),
    ("digits", "digit", 16, 1e-2),
    ("digits", "digit", 32, 1e-2),
    ("letter", "letter", 64, 1e-1),
];

struct Options {
    starts: u64,
    only: String,
    folder: Option<PathBuf>,
}

fn main() -> Result<()> {
    let mut options = Options { starts: 10, only: String::new(), folder: None };
    let mut words = std::env::args().skip(1);
    while let (Some(name), value) = (words.next(), words.next().unwrap_or_default()) {
        match name.as_str() {
            "--starts" => options.starts = value.parse().unwrap_or(options.starts).max(1),
            "--only" => options.only = value,
            "--folder" => options.folder = Some(value.into()),
            other => eprintln!("unknown option {other}: --starts N, --only TEXT, --folder DIR"),
        }
    }
    println!(
        "| problem | P | start | default: gradients | matrices | products | seconds | objective | gradient/start | plain L-BFGS: gradients | seconds | objective | gradient/start | times |"
    );
    println!("|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut ratios = Vec::new();
    for (file, target, hidden, ridge) in PROBLEMS {
        let problem = common::read(file, target, hidden)?.penalty(Penalty::ridge(ridge))?;
        let name = format!("{file} {}", problem.network());
        if name.contains(&options.only) {
            ratios.push(race(&name, (&problem, ridge), (GOAL, false), &options)?);
        }
    }
    let made = made()?;
    let name = format!("made {}", made.network());
    if name.contains(&options.only) {
        // Far from a minimum: a large net on many rows is rarely fitted to the end, and both stop at the goal.
        ratios.push(race(&name, (&made, 1e-1), (1e-4, true), &options)?);
    }
    println!(
        "\n| problem | P | plain L-BFGS's time over the default's: lowest | median | highest |"
    );
    println!("|:--|--:|--:|--:|--:|");
    for (name, p, mut ratios) in ratios {
        ratios.sort_by(f64::total_cmp);
        let (low, middle, high) = (
            ratios[0],
            (ratios[(ratios.len() - 1) / 2] + ratios[ratios.len() / 2]) / 2.0,
            ratios[ratios.len() - 1],
        );
        println!("| {name} | {p} | {low:.2} | {middle:.2} | {high:.2} |");
    }
    Ok(())
}

/// 10,000 rows of [784-256-10] from a fixed formula: classes that a smooth function of the inputs decides.
fn made() -> Result<Problem> {
    let (n, inputs, classes) = (10_000, 784, 10);
    let wave = |i: usize, a: usize| ((i * 7919 + a * 104_729) as f64 * 0.618_034).sin();
    let x = Array2::from_shape_fn((n, inputs), |(i, a)| wave(i % 997 + i, a));
    let class = |i: usize| {
        let of = |c: usize| (0..8).map(|a| x[[i, 31 * a + c]] * wave(c, a)).sum::<f64>();
        (0..classes).fold(0, |best, c| if of(c) > of(best) { c } else { best })
    };
    let y = Array2::from_shape_fn((n, classes), |(i, c)| f64::from(u8::from(class(i) == c)));
    let network = Network::dense(&[inputs, 256, classes], Activation::Tanh)?;
    Problem::new(network, Data::new(x.clone(), y)?, Loss::SoftmaxCrossEntropy)?
        .penalty(Penalty::ridge(1e-1))
}

/// The fastest of the runs, and its report.
struct Run {
    seconds: f64,
    fit: Fit,
}

/// One more run, which is stopped where the gradient comes down to `stop`.
fn timed(
    method: &dyn Method,
    problem: &Problem,
    start: &[f64],
    stop: f64,
    best: Option<Run>,
) -> Result<Run> {
    let clock = Instant::now();
    let mut reached = None;
    let fit = method.fit(problem, start, &mut |progress: &Progress| {
        if progress.gradient_norm <= stop {
            reached = Some(clock.elapsed());
            return Control::Stop;
        }
        Control::Continue
    })?;
    let seconds = reached.unwrap_or(clock.elapsed()).as_secs_f64();
    Ok(match best {
        Some(best) if best.seconds <= seconds => best,
        _ => Run { seconds, fit },
    })
}

/// Name, P and the ratios of times.
type Ratios = (String, usize, Vec<f64>);

fn race(
    name: &str,
    (problem, ridge): (&Problem, f64),
    (gtol, stops): (f64, bool),
    options: &Options,
) -> Result<Ratios> {
    let default = Auto { gtol, ..Auto::default() };
    let plain = Lbfgs { gtol, initial: Preconditioning::None, ..Lbfgs::default() };
    let largest = |g: &[f64]| g.iter().fold(0.0f64, |m, g| m.max(g.abs()));
    let (mut ratios, mut starts, mut results) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..options.starts {
        let start = Initialization::Glorot.draw(problem.network(), seed);
        let scale = largest(&problem.gradient(&start)?);
        let (mut ours, mut theirs) = (None, None);
        let stop = if stops { gtol * scale } else { -1.0 };
        for _ in 0..2 {
            ours = Some(timed(&default, problem, &start, stop, ours)?);
            theirs = Some(timed(&plain, problem, &start, stop, theirs)?);
        }
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            continue;
        };
        let (a, b) = (&ours.fit, &theirs.fit);
        println!(
            "| {name} | {} | {seed} | {} | {} | {} | {:.4} | {:.6} | {:.1e} | {} | {:.4} | {:.6} | {:.1e} | {:.2} |",
            problem.parameters(),
            a.evaluations.gradient,
            a.evaluations.curvature,
            a.evaluations.products,
            ours.seconds,
            a.value,
            a.gradient_norm / scale,
            b.evaluations.gradient,
            theirs.seconds,
            b.value,
            b.gradient_norm / scale,
            theirs.seconds / ours.seconds,
        );
        ratios.push(theirs.seconds / ours.seconds);
        for (method, run) in [("secondo, default", &ours), ("secondo, plain L-BFGS", &theirs)] {
            results.push(json!({
                "end": if run.fit.converged() || run.fit.gradient_norm <= stop { "goal" } else { "limit" },
                "method": method, "start": seed, "seconds": run.seconds, "objective": run.fit.value,
                "gradients": run.fit.evaluations.gradient, "relative": run.fit.gradient_norm / scale,
            }));
        }
        starts.extend(start);
    }
    if let Some(folder) = &options.folder {
        export(folder, name, (problem, ridge), gtol, &starts, results)?;
    }
    Ok((name.to_string(), problem.parameters(), ratios))
}

/// Data and starts as f64 of this machine, row by row, and the rest as JSON.
fn export(
    folder: &Path,
    name: &str,
    (problem, ridge): (&Problem, f64),
    gtol: f64,
    starts: &[f64],
    results: Vec<Value>,
) -> Result<()> {
    let stem = name.replace([' ', '[', ']'], "");
    let bytes = |values: &mut dyn Iterator<Item = f64>| -> Vec<u8> {
        values.flat_map(f64::to_le_bytes).collect()
    };
    let data = problem.data()?;
    let layers = problem.network().layers();
    let widths: Vec<usize> = std::iter::once(problem.network().inputs())
        .chain(layers.iter().map(|layer| layer.units))
        .collect();
    let loss = match problem.loss() {
        Loss::SquaredError => "squares",
        Loss::BinaryCrossEntropy => "binary",
        _ => "softmax",
    };
    let about = json!({
        "name": name, "widths": widths, "loss": loss, "ridge": ridge, "gtol": gtol,
        "rows": data.len(), "results": results,
    });
    let files = [
        ("x", bytes(&mut data.x().iter().copied())),
        ("y", bytes(&mut data.y().iter().copied())),
        ("starts", bytes(&mut starts.iter().copied())),
        ("json", about.to_string().into_bytes()),
    ];
    let made = std::fs::create_dir_all(folder);
    for (extension, bytes) in files {
        let path = folder.join(format!("{stem}.{extension}"));
        if let Err(error) = made.as_ref().map_or(Ok(()), |()| std::fs::write(&path, bytes)) {
            eprintln!("{}: {error}", path.display());
        }
    }
    Ok(())
}
