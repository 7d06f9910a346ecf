//! Each curvature in each structure: the same problems, the same starts, every method, and L-BFGS beside them.
//!
//! `cargo run --release --example compare_curvatures [-- FOLDER [STARTS]]` prints two tables and writes a plot for each set of
//! data to the folder: tanh units, ridge 1e-2, standardised data, five starts unless said otherwise, the processor in f64.
//!
//! Blocks of rows and layers take block Newton's damped steps, whole matrices a trust region, products Newton–CG; L-BFGS is
//! argmin's. (The paper's matrix couples no units: its layers and its whole matrix are its rows.)

mod common;

use std::fmt::Write as _;
use std::path::PathBuf;

use common::Point;
use secondo::{
    BlockNewton, Control, Curvature, Initialization, Method, NewtonCg, Preconditioning, Problem,
    Result, Structure, TrustRegion,
};

const STEPS: usize = 200;
const MARKS: [usize; 3] = [10, 50, STEPS];

/// One method on one start.
struct Run {
    points: Vec<Point>,
    gradient: f64,
    steps: usize,
    evaluations: usize,
    seconds: f64,
    why: String,
}

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).map(PathBuf::from);
    let starts = (std::env::args().nth(2)).and_then(|a| a.parse().ok()).unwrap_or(5);
    println!(
        "| data, network | method | curvature | after 10 steps | after 50 | after 200 | gradient | steps | evaluations | s | ended |"
    );
    println!("|:--|:--|:--|--:|--:|--:|--:|--:|--:|--:|:--|");
    let mut distances = Vec::new();
    for (name, target, hidden) in common::SETS {
        let problem = common::read(name, target, hidden)?;
        let title = format!("{name} {}", problem.network());
        let mut plotted = Vec::new();
        for (label, curvature, method) in methods() {
            let mut runs = Vec::new();
            for seed in 0..starts {
                let start = Initialization::Glorot.draw(problem.network(), seed);
                runs.push(match &method {
                    Some(method) => ours(method.as_ref(), &problem, &start)?,
                    None => theirs(&problem, &start)?,
                });
            }
            table_row(&title, label, curvature, &runs);
            plotted.push((format!("{label} {curvature}"), runs.swap_remove(0).points));
        }
        if let Some(folder) = &folder {
            let path = folder.join(format!("curvatures-{name}.svg"));
            if let Err(error) = std::fs::write(&path, plot(&title, &plotted)) {
                eprintln!("{}: {error}", path.display());
            }
        }
        distances.push((title, residual(&problem)?));
    }
    println!(
        "\n‖Exact − Gauss–Newton‖ over ‖Gauss–Newton‖ (data parts, Frobenius norm), first start:\n"
    );
    println!("| data, network | before training | at the minimum |\n|:--|--:|--:|");
    for (title, (before, after)) in distances {
        println!("| {title} | {before:.3} | {after:.3} |");
    }
    Ok(())
}

/// Structure, curvature and method; `None` is L-BFGS.
type Entry = (&'static str, &'static str, Option<Box<dyn Method>>);

/// Every combination.
fn methods() -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    let four = [
        Curvature::Exact,
        Curvature::GaussNewton,
        Curvature::EmpiricalFisher,
        Curvature::Lagrangian,
    ];
    for (label, structure) in [("rows", Structure::RowBlocks), ("layers", Structure::LayerBlocks)] {
        for curvature in four {
            if structure == Structure::LayerBlocks && curvature == Curvature::Lagrangian {
                continue;
            }
            let method =
                BlockNewton { curvature, structure, max_iter: STEPS, ..BlockNewton::default() };
            all.push((label, curvature.name(), Some(Box::new(method))));
        }
    }
    for curvature in four {
        let method = TrustRegion { curvature, max_iter: STEPS, ..TrustRegion::default() };
        all.push(("whole", curvature.name(), Some(Box::new(method))));
    }
    for curvature in [Curvature::Exact, Curvature::GaussNewton] {
        let method = NewtonCg {
            region: TrustRegion { curvature, max_iter: STEPS, ..TrustRegion::default() },
            preconditioning: Preconditioning::RowBlocks,
            ..NewtonCg::default()
        };
        all.push(("products", curvature.name(), Some(Box::new(method))));
    }
    all.push(("L-BFGS", "", None));
    all
}

fn ours(method: &dyn Method, problem: &Problem, start: &[f64]) -> Result<Run> {
    let mut points = Vec::new();
    let fit = method.fit(problem, start, &mut |p| {
        let e = p.state.evaluations;
        points.push(Point {
            steps: p.iteration,
            evaluations: e.objective + e.gradient + e.products,
            seconds: p.elapsed.as_secs_f64(),
            value: p.value,
        });
        Control::Continue
    })?;
    let e = fit.evaluations;
    Ok(Run {
        points,
        gradient: fit.gradient_norm,
        steps: fit.iterations,
        evaluations: e.objective + e.gradient + e.products,
        seconds: fit.times.total.as_secs_f64(),
        why: fit.reason.name().into(),
    })
}

fn theirs(problem: &Problem, start: &[f64]) -> Result<Run> {
    let run = common::lbfgs(problem, start, 1e-8, 20_000)?;
    let why = if run.why.contains("converged") { "gradient" } else { "stalled" };
    Ok(Run {
        points: run.points,
        gradient: run.gradient,
        steps: run.steps,
        evaluations: run.evaluations,
        seconds: run.seconds,
        why: why.into(),
    })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Medians over the starts.
fn table_row(title: &str, label: &str, curvature: &str, runs: &[Run]) {
    let after = |steps: usize| {
        median(runs.iter().map(|run| {
            // A fit that ended earlier stays where it ended.
            let reached = run.points.iter().take_while(|p| p.steps <= steps).last();
            reached.map_or(f64::NAN, |p| p.value)
        }))
    };
    let mut reasons: Vec<&str> = runs.iter().map(|run| run.why.as_str()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let marks = MARKS.map(|steps| format!("{:.4}", after(steps))).join(" | ");
    println!(
        "| {title} | {label} | {curvature} | {marks} | {:.1e} | {} | {} | {:.3} | {} |",
        median(runs.iter().map(|r| r.gradient)),
        median(runs.iter().map(|r| r.steps as f64)),
        median(runs.iter().map(|r| r.evaluations as f64)),
        median(runs.iter().map(|r| r.seconds)),
        reasons.join(", "),
    );
}

/// ‖Exact − GaussNewton‖/‖GaussNewton‖ at the first start and where the trust region ends from it.
fn residual(problem: &Problem) -> Result<(f64, f64)> {
    let bare = problem.clone().penalty(secondo::Penalty::None)?;
    let at = |w: &[f64]| -> Result<f64> {
        let norm = |curvature| -> Result<f64> {
            let at = bare.curvature(w, curvature, Structure::Full)?;
            let matrix = at.curvature.map(|m| m.dense()).transpose()?;
            Ok(matrix.map_or(0.0, |m| m.iter().map(|v| v * v).sum::<f64>().sqrt()))
        };
        Ok(norm(Curvature::Residual)? / norm(Curvature::GaussNewton)?)
    };
    let start = Initialization::Glorot.draw(problem.network(), 0);
    let fit = TrustRegion::default().fit(problem, &start, &mut secondo::silent)?;
    Ok((at(&start)?, at(&fit.w)?))
}

/// Colours that the colour-blind can tell apart (Okabe and Ito), by curvature.
fn colour(name: &str) -> &'static str {
    match name.rsplit(' ').next() {
        Some("exact") => "#0072b2",
        Some("gauss-newton") => "#d55e00",
        Some("empirical-fisher") => "#009e73",
        Some("lagrangian") => "#cc79a7",
        _ => "#000000",
    }
}

/// Dashes, by structure.
fn dash(name: &str) -> &'static str {
    match name.split(' ').next() {
        Some("rows") => "2 3",
        Some("layers") => "7 3",
        Some("products") => "10 3 2 3",
        _ => "none",
    }
}

/// The objective above the lowest that any method found, against steps, evaluations and seconds, as SVG: three panels with
/// logarithmic axes.
fn plot(title: &str, runs: &[(String, Vec<Point>)]) -> String {
    let values = || runs.iter().flat_map(|(_, points)| points.iter().map(|p| p.value));
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let above = |value: f64| ((value - low) / (high - low)).max(1e-10).log10();
    let (width, height, top, left) = (330.0, 330.0, 70.0, 60.0);
    let whole = 3.0 * (width + left) + 230.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {whole} 450\" width=\"{whole}\" height=\"450\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{left}\" y=\"25\" font-size=\"15\">{title}: (objective − lowest) / (highest − lowest), one start</text>\n"
    );
    type Measure = fn(&Point) -> f64;
    let panels: [(&str, Measure); 3] = [
        ("steps", |p| p.steps as f64 + 1.0),
        ("evaluations: objectives, gradients, products", |p| p.evaluations as f64),
        ("seconds", |p| p.seconds.max(1e-5)),
    ];
    for (panel, (axis, measure)) in panels.into_iter().enumerate() {
        let x0 = left + panel as f64 * (width + left);
        let ends = || runs.iter().flat_map(|(_, points)| points.iter().map(measure));
        let (from, to) = (
            ends().fold(f64::INFINITY, f64::min).log10().floor(),
            ends().fold(0.0, f64::max).log10().ceil(),
        );
        let x = |v: f64| x0 + width * (v.log10() - from) / (to - from).max(1.0);
        let y = |v: f64| top - height * v / 10.0;
        for decade in 0..=10 {
            let at = y(-f64::from(decade));
            let _ = writeln!(out, "<path d=\"M{x0} {at:.1}h{width}\" stroke=\"#eee\"/>");
            if panel == 0 && decade % 2 == 0 {
                let (x, y, power) = (
                    x0 - 6.0,
                    at + 4.0,
                    if decade == 0 { "1".into() } else { format!("1e-{decade}") },
                );
                let _ = writeln!(
                    out,
                    "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{power}</text>"
                );
            }
        }
        for decade in from as i32..=to as i32 {
            let (at, power) = (x(10f64.powi(decade)), 10f64.powi(decade));
            let _ = writeln!(out, "<path d=\"M{at:.1} {top}v{height}\" stroke=\"#ddd\"/>");
            let _ = writeln!(
                out,
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{power}</text>",
                top + height + 18.0
            );
        }
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{axis}</text>",
            x0 + width / 2.0,
            top + height + 40.0
        );
        for (name, points) in runs {
            let mut path = String::new();
            for (i, p) in points.iter().enumerate() {
                let _ = write!(
                    path,
                    "{}{:.1} {:.1}",
                    if i == 0 { 'M' } else { 'L' },
                    x(measure(p)),
                    y(above(p.value))
                );
            }
            let (colour, dash) = (colour(name), dash(name));
            let _ = writeln!(
                out,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" stroke-dasharray=\"{dash}\"/>"
            );
        }
    }
    let x = 3.0 * (width + left) + 30.0;
    for (i, (name, _)) in runs.iter().enumerate() {
        let y = top + 20.0 * i as f64 + 10.0;
        let (colour, dash) = (colour(name), dash(name));
        let _ = writeln!(
            out,
            "<path d=\"M{x} {y}h36\" stroke=\"{colour}\" stroke-width=\"1.6\" stroke-dasharray=\"{dash}\"/>"
        );
        let _ = writeln!(out, "<text x=\"{}\" y=\"{}\">{name}</text>", x + 44.0, y + 4.0);
    }
    out + "</svg>\n"
}
