//! The method's options, and the fits from one or several starts with their progress.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use secondo::solve::Indefinite;
use secondo::{
    BlockNewton, Control, Curvature, Error, Fit, Method as _, Problem, Progress, Reason,
};
use serde_json::{Map, Value, json};

use super::Failure;
use super::common::not_negative;
use super::output::{say_note, say_warning};

/// Methods that this version has.
const METHODS: [&str; 2] = ["auto", "newton-rows"];
/// Methods that are named in the documentation and come later.
const LATER: [&str; 4] = ["newton-layers", "trust-region", "newton-cg", "lm"];

/// How to minimise.
#[derive(Debug, Args)]
#[command(next_help_heading = "Training")]
pub struct Method {
    /// newton-rows: damped Newton steps with one curvature block for each unit; auto chooses it
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = method)]
    pub method: String,
    /// The curvature: exact, gauss-newton, empirical-fisher or lagrangian
    #[arg(long, value_name = "NAME", default_value = "exact", value_parser = curvature)]
    pub curvature: Curvature,
    /// How indefinite blocks are made definite: shift, ldlt, absolute or clip [default: absolute]
    #[arg(long, value_name = "NAME", value_parser = indefinite)]
    pub indefinite: Option<Indefinite>,
    /// Stop after this many accepted steps [default: 200]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub max_iter: Option<usize>,
    /// Stop when the largest gradient entry is below this, relative to the start where that is above 1 [default: 1e-8]
    #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
    pub gtol: Option<f64>,
    /// Stop when a step changes the objective by less than this part of it; 0: never [default: 0]
    #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
    pub ftol: Option<f64>,
    /// Stop when a step is shorter than this part of the parameters; 0: never [default: 0]
    #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
    pub xtol: Option<f64>,
    /// When the adapter fails or f32 overflows there: continue on the CPU from the last accepted point, or stop (exit code 3)
    #[arg(long, value_name = "RULE", default_value = "continue", value_parser = ["continue", "stop"])]
    pub device_failure: String,
    /// Stop after this time, all starts together
    #[arg(long, value_name = "SECONDS", value_parser = not_negative, allow_negative_numbers = true)]
    pub time_limit: Option<f64>,
}

fn method(name: &str) -> Result<String, String> {
    if METHODS.contains(&name) {
        Ok(name.into())
    } else if LATER.contains(&name) {
        Err(format!(
            "'{name}' is not available in this version; available: {}",
            METHODS.join(", ")
        ))
    } else {
        Err(format!(
            "unknown method '{name}'; known: {}",
            METHODS.join(", ")
        ))
    }
}

fn indefinite(name: &str) -> Result<Indefinite, String> {
    Indefinite::from_name(name).map_err(|e| e.to_string())
}

pub fn curvature(name: &str) -> Result<Curvature, String> {
    Curvature::from_name(name).map_err(|e| e.to_string())
}

impl Method {
    fn solver(&self) -> BlockNewton {
        let default = BlockNewton::default();
        BlockNewton {
            curvature: self.curvature,
            indefinite: self.indefinite.unwrap_or(default.indefinite),
            max_iter: self.max_iter.unwrap_or(default.max_iter),
            gtol: self.gtol.unwrap_or(default.gtol),
            ftol: self.ftol.unwrap_or(default.ftol),
            xtol: self.xtol.unwrap_or(default.xtol),
            fallback: self.device_failure == "continue",
            ..default
        }
    }

    /// The options in effect, for a report.
    pub fn json(&self) -> Map<String, Value> {
        let solver = self.solver();
        let options = json!({
            "method": "newton-rows",
            "curvature": solver.curvature.name(),
            "indefinite": solver.indefinite.name(),
            "max_iter": solver.max_iter,
            "gtol": solver.gtol,
            "ftol": solver.ftol,
            "xtol": solver.xtol,
            "mu": solver.mu,
            "time_limit": self.time_limit,
            "device_failure": self.device_failure,
        });
        match options {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}

/// One start and where it led.
pub struct Start {
    /// The seed of its parameters; `None` where they were given.
    pub seed: Option<u64>,
    pub end: Result<Fit, Error>,
}

/// The ends of all starts.
pub struct Trained {
    pub starts: Vec<Start>,
    /// Starts that were not begun because the time was up or the user interrupted.
    pub skipped: usize,
    /// Whether Ctrl-C ended it.
    pub interrupted: bool,
    pub seconds: f64,
}

impl Trained {
    /// The start with the lowest objective.
    ///
    /// # Errors
    /// No start came to an end; the first error says why.
    pub fn best(&self) -> Result<(usize, &Fit), Failure> {
        let ends = self.starts.iter().enumerate();
        let best = ends
            .filter_map(|(i, s)| s.end.as_ref().ok().map(|fit| (i, fit)))
            .min_by(|a, b| a.1.value.total_cmp(&b.1.value));
        match (best, self.starts.first()) {
            (Some(best), _) => Ok(best),
            (
                None,
                Some(Start {
                    end: Err(error), ..
                }),
            ) => Err(error.clone().into()),
            (None, _) => Err(Failure::usage("there is nothing to start from")),
        }
    }

    /// The end of a command whose results are written: exit code 130 where Ctrl-C ended it.
    pub fn done(&self) -> Result<(), Failure> {
        match self.interrupted {
            true => Err(Failure::interrupted()),
            false => Ok(()),
        }
    }

    /// A line for each start, where there are several.
    pub fn lines(&self) -> Vec<String> {
        let several = self.starts.len() + self.skipped > 1;
        let mut lines: Vec<String> = (self.starts.iter().enumerate())
            .filter(|_| several)
            .map(|(i, start)| {
                let seed = start
                    .seed
                    .map_or(String::new(), |seed| format!(" (seed {seed})"));
                match &start.end {
                    Ok(fit) => format!(
                        "{}{seed}: objective {:.9e} after {} steps; {}",
                        i + 1,
                        fit.value,
                        fit.iterations,
                        fit.reason
                    ),
                    Err(error) => format!("{}{seed}: failed; {error}", i + 1),
                }
            })
            .collect();
        if self.skipped > 0 {
            let why = match self.interrupted {
                true => "it was interrupted",
                false => "the time limit was reached",
            };
            lines.push(format!("{} more were not begun: {why}", self.skipped));
        }
        lines
    }

    pub fn json(&self) -> Value {
        let start = |s: &Start| match &s.end {
            Ok(fit) => json!({
                "seed": s.seed, "value": fit.value, "gradient_norm": fit.gradient_norm,
                "iterations": fit.iterations, "reason": fit.reason.name(), "converged": fit.converged(),
            }),
            Err(error) => json!({"seed": s.seed, "error": error.to_string()}),
        };
        Value::Array(self.starts.iter().map(start).collect())
    }
}

/// Minimises `problem` from every start; shows a progress line on a terminal if `show`. Ctrl-C ends it at the best point.
pub fn train(
    problem: &Problem,
    starts: Vec<(Option<u64>, Vec<f64>)>,
    method: &Method,
    show: bool,
) -> Trained {
    let begin = Instant::now();
    let stop = watch_interrupts(show);
    let count = starts.len();
    let mut out = Trained {
        starts: Vec::with_capacity(count),
        skipped: 0,
        interrupted: false,
        seconds: 0.0,
    };
    for (index, (seed, w)) in starts.into_iter().enumerate() {
        let mut solver = method.solver();
        if let Some(limit) = method.time_limit {
            let left = limit - begin.elapsed().as_secs_f64();
            if left <= 0.0 && index > 0 {
                out.skipped = count - index;
                break;
            }
            // A limit beyond what a duration holds is none.
            solver.time_limit = Duration::try_from_secs_f64(left.max(0.0)).ok();
        }
        let bar = progress_bar(show, solver.max_iter, index, count);
        let end = solver.fit(problem, &w, &mut |progress| {
            bar.set_position(progress.iteration as u64);
            bar.set_message(message(progress, solver.time_limit));
            match stop.load(Ordering::Relaxed) {
                true => Control::Stop,
                false => Control::Continue,
            }
        });
        bar.finish_and_clear();
        out.interrupted = matches!(&end, Ok(fit) if fit.reason == Reason::Interrupted);
        out.starts.push(Start { seed, end });
        if stop.load(Ordering::Relaxed) {
            out.skipped = count - index - 1;
            out.interrupted |= out.skipped > 0;
            break;
        }
    }
    out.seconds = begin.elapsed().as_secs_f64();
    out
}

/// The flag that the first Ctrl-C sets; the second ends the program at once.
fn watch_interrupts(show: bool) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let stop = flag.clone();
    let watching = ctrlc::set_handler(move || {
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        if show {
            say_note(
                "interrupted; the fit ends after this step at its best point (Ctrl-C again: at once)",
            );
        }
    });
    if let Err(error) = watching {
        say_warning(&format!("Ctrl-C will end the fit without a model: {error}"));
    }
    flag
}

/// Where the fit stands, and the time that it takes at most.
fn message(progress: &Progress, limit: Option<Duration>) -> String {
    let damping = match progress.radius {
        Some(radius) => format!("radius {radius:.0e}"),
        None => format!("μ {:.0e}", progress.mu),
    };
    let allowed = limit.map(|limit| limit.saturating_sub(progress.elapsed));
    let left = match progress.remaining().into_iter().chain(allowed).min() {
        Some(left) => format!(", at most {:#} left", HumanDuration(left)),
        None => String::new(),
    };
    format!(
        "objective {:.6e}, gradient {:.1e}, {damping}{left}",
        progress.value, progress.gradient_norm
    )
}

/// A line on stderr if that is a terminal, and nothing otherwise.
fn progress_bar(show: bool, steps: usize, index: usize, count: usize) -> ProgressBar {
    if !show || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
    let template = "{prefix}{pos}/{len} steps, {wide_msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message("starting");
    if count > 1 {
        bar.set_prefix(format!("start {}/{count} ", index + 1));
    }
    bar
}

/// The keys that every report of a fit has.
pub fn fit_json(fit: &Fit) -> Map<String, Value> {
    let seconds = |d: Duration| d.as_secs_f64();
    let report = json!({
        "value": fit.value,
        "initial_value": fit.initial_value,
        "gradient_norm": fit.gradient_norm,
        "iterations": fit.iterations,
        "rejected": fit.rejected,
        "evaluations": {"objective": fit.evaluations.objective, "curvature": fit.evaluations.curvature},
        "modified_blocks": fit.modified_blocks,
        "reason": fit.reason.name(),
        "converged": fit.converged(),
        "method": fit.method,
        "adapter": fit.adapter,
        "device_failure": fit.failure,
        "precision": fit.precision,
        "seconds": seconds(fit.times.total),
        "seconds_by_stage": {
            "objective": seconds(fit.times.objective),
            "gradient": seconds(fit.times.gradient),
            "curvature": seconds(fit.times.curvature),
            "solve": seconds(fit.times.solve),
        },
    });
    match report {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
