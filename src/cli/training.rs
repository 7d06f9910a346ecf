//! The method's options, and the fits from one or several starts with their progress.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use secondo::io::{Checkpoint, Fingerprint};
use secondo::{
    Auto, BlockNewton, Control, Curvature, Error, Fit, Indefinite, LevenbergMarquardt, NewtonCg,
    Preconditioning, Problem, Progress, Reason, State, Structure, TrustRegion,
};
use serde_json::{Map, Value, json};
use signal_hook::consts::SIGTERM;
use signal_hook::flag;

use super::Failure;
use super::common::not_negative;
use super::output::{say_note, say_warning};
use super::plot::Trace;

/// The methods by name.
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
    /// How to minimise [default: auto]
    ///
    /// auto: chosen by loss and size; the report says what and why
    /// trust-region: Newton within a trust region, the whole matrix formed
    /// newton-cg: the same by conjugate gradients, from products with the matrix alone
    /// lm: Levenberg–Marquardt, for squared errors and ridge penalties
    /// newton-rows, newton-layers: damped steps with one block of the matrix for each unit or layer
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = method, verbatim_doc_comment, hide_default_value = true)]
    pub method: String,
    /// The curvature: exact, gauss-newton, empirical-fisher or lagrangian (the paper's matrix; not the Hessian) [default: exact]
    #[arg(long, value_name = "NAME", value_parser = trained_curvature)]
    pub curvature: Option<Curvature>,
    /// newton-rows, newton-layers: how indefinite blocks are made definite: shift, ldlt, absolute or clip [default: absolute]
    #[arg(long, value_name = "NAME", value_parser = indefinite)]
    pub indefinite: Option<Indefinite>,
    /// newton-cg: the preconditioner: none, diagonal or row-blocks [default: row-blocks]
    #[arg(long, value_name = "NAME", value_parser = preconditioner)]
    pub preconditioner: Option<Preconditioning>,
    /// Stop after this many steps [default: 1000; trust-region, newton-rows and newton-layers: 200]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub max_iter: Option<usize>,
    /// Stop when the largest gradient entry is below this, relative to the start where that is above 1 [default: 1e-8]
    #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
    pub gtol: Option<f64>,
    /// Stop when a step changes the objective by less than this part of it [default: by the method]
    #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
    pub ftol: Option<f64>,
    /// Stop when a step is shorter than this part of the parameters [default: by the method]
    #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
    pub xtol: Option<f64>,
    /// When the adapter fails or f32 overflows there: continue on the CPU from the last accepted point, or stop (exit code 3)
    #[arg(long, value_name = "RULE", default_value = "continue", value_parser = ["continue", "stop"])]
    pub device_failure: String,
    /// Stop after this time, all starts together
    #[arg(long, value_name = "SECONDS", value_parser = not_negative, allow_negative_numbers = true)]
    pub time_limit: Option<f64>,
    /// Keep the state of the fit here while it runs, and at its end; the one before stays as FILE.old
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// The time between two checkpoints
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = not_negative, requires = "checkpoint")]
    pub checkpoint_every: f64,
    /// Go on from this checkpoint of the same fit; on the CPU to the same last bit
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
}

fn method(name: &str) -> Result<String, String> {
    match METHODS.contains(&name) {
        true => Ok(name.into()),
        false => Err(format!(
            "unknown method '{name}'; known: {}",
            METHODS.join(", ")
        )),
    }
}

fn indefinite(name: &str) -> Result<Indefinite, String> {
    Indefinite::from_name(name).map_err(|e| e.to_string())
}

fn preconditioner(name: &str) -> Result<Preconditioning, String> {
    Preconditioning::from_name(name).map_err(|e| e.to_string())
}

pub fn curvature(name: &str) -> Result<Curvature, String> {
    Curvature::from_name(name).map_err(|e| e.to_string())
}

/// A curvature that steps can be taken with.
fn trained_curvature(name: &str) -> Result<Curvature, String> {
    match curvature(name)? {
        Curvature::Residual => {
            Err("residual is what Gauss-Newton leaves out, and no curvature to train with".into())
        }
        other => Ok(other),
    }
}

impl Method {
    /// Refuses options that the method does not have.
    ///
    /// # Errors
    /// A usage error that names them.
    pub fn check(&self) -> Result<(), Failure> {
        let blocks = self.method.starts_with("newton-") && self.method != "newton-cg";
        let allowed = [
            ("--curvature", self.curvature.is_some(), self.method != "lm"),
            ("--indefinite", self.indefinite.is_some(), blocks),
            (
                "--preconditioner",
                self.preconditioner.is_some(),
                self.method == "newton-cg",
            ),
        ];
        let idle: Vec<&str> = (allowed.iter())
            .filter(|(_, given, allowed)| *given && !allowed)
            .map(|(name, ..)| *name)
            .collect();
        match idle.is_empty() {
            true => Ok(()),
            false => Err(Failure::usage(format!(
                "--method {} does not take {}; name another method, or leave it out",
                self.method,
                idle.join(", ")
            ))),
        }
    }

    /// The method with its options, and with so much time.
    fn solver(&self, time_limit: Option<Duration>) -> Box<dyn secondo::Method> {
        let curvature = self.curvature.unwrap_or(Curvature::Exact);
        let fallback = self.device_failure == "continue";
        let default = TrustRegion::default();
        let region = TrustRegion {
            curvature,
            max_iter: self.max_iter.unwrap_or(default.max_iter),
            gtol: self.gtol.unwrap_or(default.gtol),
            ftol: self.ftol.unwrap_or(default.ftol),
            xtol: self.xtol.unwrap_or(default.xtol),
            time_limit,
            fallback,
            ..default
        };
        match self.method.as_str() {
            "trust-region" => Box::new(region),
            "newton-cg" => {
                let default = NewtonCg::default();
                Box::new(NewtonCg {
                    region: TrustRegion {
                        max_iter: self.max_iter.unwrap_or(default.region.max_iter),
                        ..region
                    },
                    preconditioning: self.preconditioner.unwrap_or(default.preconditioning),
                    ..default
                })
            }
            "lm" => {
                let default = LevenbergMarquardt::default();
                Box::new(LevenbergMarquardt {
                    max_iter: self.max_iter.unwrap_or(default.max_iter),
                    goal: self.gtol.unwrap_or(1e-8),
                    ftol: self.ftol.unwrap_or(default.ftol),
                    xtol: self.xtol.unwrap_or(default.xtol),
                    time_limit,
                    ..default
                })
            }
            "auto" => {
                let default = Auto::default();
                Box::new(Auto {
                    curvature,
                    ftol: self.ftol.unwrap_or(default.ftol),
                    xtol: self.xtol.unwrap_or(default.xtol),
                    max_iter: self.max_iter.unwrap_or(default.max_iter),
                    gtol: self.gtol.unwrap_or(default.gtol),
                    time_limit,
                    fallback,
                })
            }
            blocks => {
                let default = BlockNewton::default();
                Box::new(BlockNewton {
                    curvature,
                    structure: match blocks {
                        "newton-layers" => Structure::LayerBlocks,
                        _ => Structure::RowBlocks,
                    },
                    indefinite: self.indefinite.unwrap_or(default.indefinite),
                    max_iter: self.max_iter.unwrap_or(default.max_iter),
                    gtol: self.gtol.unwrap_or(default.gtol),
                    ftol: self.ftol.unwrap_or(default.ftol),
                    xtol: self.xtol.unwrap_or(default.xtol),
                    time_limit,
                    fallback,
                    ..default
                })
            }
        }
    }

    /// The options in effect, for a report.
    pub fn json(&self) -> Map<String, Value> {
        let options = json!({
            "method": self.method,
            "in_effect": self.solver(None).settings().to_string(),
            "curvature": self.curvature.map(Curvature::name),
            "indefinite": self.indefinite.map(Indefinite::name),
            "preconditioner": self.preconditioner.map(Preconditioning::name),
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

/// A fit's checkpoint while it runs.
struct Keeper<'a> {
    path: &'a Path,
    fingerprint: &'a Fingerprint,
    every: Duration,
    last: Instant,
    failed: bool,
}

impl Keeper<'_> {
    /// Writes the state if it is time, or in any case; a failure is said once, and the fit goes on.
    fn keep(&mut self, state: &State, now: bool) {
        if !(now || self.last.elapsed() >= self.every) {
            return;
        }
        if let Err(error) = Checkpoint::of(state).save(self.path, self.fingerprint)
            && !std::mem::replace(&mut self.failed, true)
        {
            say_warning(&format!("no checkpoint: {error}"));
        }
        self.last = Instant::now();
    }
}

/// One start and where it led.
pub struct Start {
    /// The seed of its parameters; `None` where they were given.
    pub seed: Option<u64>,
    pub end: Result<Fit, Error>,
    pub trace: Trace,
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
) -> Result<Trained, Failure> {
    let begin = Instant::now();
    let name = method.solver(None).settings().to_string();
    let mut options = Map::new();
    options.insert("method".into(), json!(name));
    let fingerprint = Fingerprint::new(problem, &options);
    if starts.len() > 1 && (method.checkpoint.is_some() || method.resume.is_some()) {
        return Err(Failure::usage(
            "a checkpoint holds one fit; leave out --starts, or --checkpoint and --resume",
        ));
    }
    // What another fit has left there is not overwritten.
    if let Some(path) = method.checkpoint.as_deref().filter(|path| path.exists()) {
        Checkpoint::load(path, &fingerprint)?;
    }
    let mut resumed = match &method.resume {
        None => None,
        Some(path) => Some(Checkpoint::load(path, &fingerprint)?.state()?),
    };
    let stop = watch_interrupts(show);
    let count = starts.len();
    let mut out = Trained {
        starts: Vec::with_capacity(count),
        skipped: 0,
        interrupted: false,
        seconds: 0.0,
    };
    for (index, (seed, w)) in starts.into_iter().enumerate() {
        let mut time_limit = None;
        if let Some(limit) = method.time_limit {
            let left = limit - begin.elapsed().as_secs_f64();
            if left <= 0.0 && index > 0 {
                out.skipped = count - index;
                break;
            }
            // A limit beyond what a duration holds is none.
            time_limit = Duration::try_from_secs_f64(left.max(0.0)).ok();
        }
        let solver = method.solver(time_limit);
        let bar = progress_bar(show, index, count);
        let mut keeper = method.checkpoint.as_deref().map(|path| Keeper {
            path,
            fingerprint: &fingerprint,
            every: Duration::try_from_secs_f64(method.checkpoint_every).unwrap_or(Duration::MAX),
            last: Instant::now(),
            failed: false,
        });
        let this = Instant::now();
        let mut last = resumed.clone();
        let mut trace = Trace::default();
        let observe = &mut |progress: &Progress| {
            trace.note(progress);
            bar.set_length(progress.max_iter as u64);
            bar.set_position(progress.iteration as u64);
            bar.set_message(message(
                progress,
                time_limit.map(|l| l.saturating_sub(this.elapsed())),
            ));
            if let Some(keeper) = &mut keeper {
                keeper.keep(progress.state, false);
                last = Some(progress.state.clone());
            }
            match stop.load(Ordering::Relaxed) {
                true => Control::Stop,
                false => Control::Continue,
            }
        };
        let end = match resumed.take() {
            Some(state) => solver.resume(problem, state, observe),
            None => solver.fit(problem, &w, observe),
        };
        if let (Some(keeper), Some(state)) = (&mut keeper, &last) {
            keeper.keep(state, true);
        }
        bar.finish_and_clear();
        out.interrupted = matches!(&end, Ok(fit) if fit.reason == Reason::Interrupted);
        out.starts.push(Start { seed, end, trace });
        if stop.load(Ordering::Relaxed) {
            out.skipped = count - index - 1;
            out.interrupted |= out.skipped > 0;
            break;
        }
    }
    out.seconds = begin.elapsed().as_secs_f64();
    Ok(out)
}

/// The flag that SIGTERM and the first Ctrl-C set; the second Ctrl-C ends the program at once.
fn watch_interrupts(show: bool) -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let stop = interrupted.clone();
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
    // Whoever ends a program so waits a while before it is killed.
    if let Err(error) = flag::register(SIGTERM, interrupted.clone()) {
        say_warning(&format!(
            "SIGTERM will end the fit without a model: {error}"
        ));
    }
    interrupted
}

/// Where the fit stands, and the time that it takes at most: `left` is what a limit leaves.
fn message(progress: &Progress, left: Option<Duration>) -> String {
    let damping = match progress.radius {
        Some(radius) => format!("radius {radius:.0e}"),
        None => format!("μ {:.0e}", progress.mu),
    };
    let left = match progress.remaining().into_iter().chain(left).min() {
        Some(left) => format!(", at most {:#} left", HumanDuration(left)),
        None => String::new(),
    };
    format!(
        "objective {:.6e}, gradient {:.1e}, {damping}{left}",
        progress.value, progress.gradient_norm
    )
}

/// A line on stderr if that is a terminal, and nothing otherwise.
fn progress_bar(show: bool, index: usize, count: usize) -> ProgressBar {
    if !show || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
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
        "evaluations": {
            "objective": fit.evaluations.objective, "gradient": fit.evaluations.gradient,
            "curvature": fit.evaluations.curvature, "products": fit.evaluations.products,
        },
        "modified_blocks": fit.modified_blocks,
        "reason": fit.reason.name(),
        "converged": fit.converged(),
        "method": fit.method,
        "choice": fit.choice,
        "adapter": fit.adapter,
        "device_failure": fit.failure,
        "precision": fit.precision.name(),
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
