//! The method's options, and the fits from one or several starts with their progress.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use secondo::solve::Indefinite;
use secondo::{
    Auto, BlockNewton, Control, Curvature, Error, Fit, LevenbergMarquardt, NewtonCg, Problem,
    Structure, TrustRegion,
};
use serde_json::{Map, Value, json};

use super::Failure;
use super::common::not_negative;

/// The names of the methods.
const METHODS: [&str; 6] = [
    "auto",
    "trust-region",
    "newton-cg",
    "lm",
    "newton-rows",
    "newton-layers",
];

/// How to minimise.
#[derive(Debug, Args)]
#[command(next_help_heading = "Training")]
pub struct Method {
    /// trust-region: Newton with the whole matrix; newton-cg: with products; lm: Levenberg–Marquardt, for squared errors;
    /// newton-rows, newton-layers: damped Newton steps with one block for each unit or layer; auto chooses and says why
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = method)]
    pub method: String,
    /// The curvature: exact, gauss-newton, empirical-fisher or lagrangian
    #[arg(long, value_name = "NAME", default_value = "exact", value_parser = curvature)]
    pub curvature: Curvature,
    /// How indefinite blocks are made definite: shift, ldlt, absolute or clip [default: absolute]
    #[arg(long, value_name = "NAME", value_parser = indefinite)]
    pub indefinite: Option<Indefinite>,
    /// Stop after this many steps [default: 1000; trust-region, newton-rows and newton-layers: 200]
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
    /// The method with its options; `limit` is the time that is left.
    fn solver(&self, limit: Option<Duration>) -> Box<dyn secondo::Method> {
        let fallback = self.device_failure == "continue";
        let blocks = |structure: Structure| {
            let default = BlockNewton::default();
            BlockNewton {
                curvature: self.curvature,
                structure,
                indefinite: self.indefinite.unwrap_or(default.indefinite),
                max_iter: self.max_iter.unwrap_or(default.max_iter),
                gtol: self.gtol.unwrap_or(default.gtol),
                ftol: self.ftol.unwrap_or(default.ftol),
                xtol: self.xtol.unwrap_or(default.xtol),
                time_limit: limit,
                fallback,
                ..default
            }
        };
        let region = |default: TrustRegion| TrustRegion {
            curvature: self.curvature,
            max_iter: self.max_iter.unwrap_or(default.max_iter),
            gtol: self.gtol.unwrap_or(default.gtol),
            ftol: self.ftol.unwrap_or(default.ftol),
            xtol: self.xtol.unwrap_or(default.xtol),
            time_limit: limit,
            fallback,
            ..default
        };
        match self.method.as_str() {
            "trust-region" => Box::new(region(TrustRegion::default())),
            "newton-cg" => {
                let default = NewtonCg::default();
                Box::new(NewtonCg {
                    region: region(default.region),
                    ..default
                })
            }
            "lm" => {
                let default = LevenbergMarquardt::default();
                Box::new(LevenbergMarquardt {
                    max_iter: self.max_iter.unwrap_or(default.max_iter),
                    goal: self.gtol.unwrap_or(default.goal),
                    ftol: self.ftol.unwrap_or(default.ftol),
                    xtol: self.xtol.unwrap_or(default.xtol),
                    time_limit: limit,
                    ..default
                })
            }
            "newton-rows" => Box::new(blocks(Structure::RowBlocks)),
            "newton-layers" => Box::new(blocks(Structure::LayerBlocks)),
            // A policy for blocks asks for blocks.
            _ if self.indefinite.is_some() => Box::new(blocks(Structure::RowBlocks)),
            _ => {
                let default = Auto::default();
                Box::new(Auto {
                    curvature: self.curvature,
                    max_iter: self.max_iter.unwrap_or(default.max_iter),
                    gtol: self.gtol.unwrap_or(default.gtol),
                    ftol: self.ftol.unwrap_or(default.ftol),
                    xtol: self.xtol.unwrap_or(default.xtol),
                    time_limit: limit,
                    fallback,
                })
            }
        }
    }

    /// The options that were given, for a report; none where the method's default holds.
    pub fn json(&self) -> Map<String, Value> {
        let solver = self.solver(None);
        let options = json!({
            "method": solver.name(),
            "settings": solver.options(),
            "curvature": self.curvature.name(),
            "indefinite": self.indefinite.map(Indefinite::name),
            "max_iter": self.max_iter,
            "gtol": self.gtol,
            "ftol": self.ftol,
            "xtol": self.xtol,
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
    /// Starts that the time limit left no time for.
    pub skipped: usize,
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
            lines.push(format!(
                "{} more were not begun: the time limit was reached",
                self.skipped
            ));
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

/// Minimises `problem` from every start; shows a progress bar on a terminal if `show`.
pub fn train(
    problem: &Problem,
    starts: Vec<(Option<u64>, Vec<f64>)>,
    method: &Method,
    show: bool,
) -> Trained {
    let begin = Instant::now();
    let count = starts.len();
    let mut out = Trained {
        starts: Vec::with_capacity(count),
        skipped: 0,
        seconds: 0.0,
    };
    for (index, (seed, w)) in starts.into_iter().enumerate() {
        let mut left_over = None;
        if let Some(limit) = method.time_limit {
            let left = limit - begin.elapsed().as_secs_f64();
            if left <= 0.0 && index > 0 {
                out.skipped = count - index;
                break;
            }
            // A limit beyond what a duration holds is none.
            left_over = Duration::try_from_secs_f64(left.max(0.0)).ok();
        }
        let bar = progress_bar(show, index, count);
        let end = method.solver(left_over).fit(problem, &w, &mut |progress| {
            bar.set_length(progress.max_iter as u64);
            bar.set_position(progress.state.tried as u64);
            bar.set_message(format!(
                "objective {:.6e}, gradient {:.1e}",
                progress.value, progress.gradient_norm
            ));
            Control::Continue
        });
        bar.finish_and_clear();
        out.starts.push(Start { seed, end });
    }
    out.seconds = begin.elapsed().as_secs_f64();
    out
}

/// A bar on stderr if that is a terminal, and nothing otherwise.
fn progress_bar(show: bool, index: usize, count: usize) -> ProgressBar {
    if !show || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let template = "{prefix}[{bar:30}] {pos}/{len} steps, {msg}, {elapsed}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
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
        "evaluations": {"objective": fit.evaluations.objective, "curvature": fit.evaluations.curvature,
            "products": fit.evaluations.products},
        "modified_blocks": fit.modified_blocks,
        "reason": fit.reason.name(),
        "converged": fit.converged(),
        "method": fit.method,
        "choice": fit.choice,
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
