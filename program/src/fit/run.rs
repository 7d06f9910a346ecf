//! The course of a fit: what is read is checked, trained, measured and reported, and only then files are written.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ArgMatches;
use secondo::io::Model;
use secondo::{Device, Error, Fit, Penalty, Problem, Reason};
use serde_json::json;

use super::data::{self, TableFit};
use super::job::Job;
use super::options::Options;
use super::problem::{self, FileFit};
use super::report::{Report, Starts};
use super::spent::Parts;
use super::stream::{self, StreamFit};
use crate::exit::Failure;
use crate::files::{self, Kind};
use crate::output::{Results, Text, has_extension, here, say, say_warning};
use crate::plot;
use crate::ranks::Ranks;
use crate::show::{Fitted, Shown};
use crate::training::{ReadingProgress, Trained, train};

/// The parts of the problem.
enum Source {
    Table(Box<TableFit>),
    Stream(Box<StreamFit>),
    File(Box<FileFit>),
}

/// Runs the command.
pub fn run(options: &mut Options, matches: &ArgMatches) -> Result<(), Failure> {
    let begin = Instant::now();
    let default =
        || (!has_extension(&options.data, "json")).then(|| here(&options.data, "safetensors"));
    let model_path = options.model.clone().or_else(default);
    // Before MPI, since it may begin the program anew.
    let device = check(options, matches, model_path.as_deref())
        .and_then(|()| options.computing.start(!options.mpi));
    let ranks = Ranks::start(options.mpi)?;
    // One process speaks for all.
    options.quiet |= !ranks.is_first();
    let options = &*options;
    let prepared = device.and_then(|device| prepare(options, device, model_path.is_some()));
    let Some((job, source)) = ranks.share(prepared, |(job, _)| &mut job.problem)? else {
        return Ok(());
    };
    if !options.quiet {
        say_warnings(&job.warnings);
        say(&job.subject.introduction(&job.objective))?;
    }
    let (training, processes) = (Instant::now(), job.problem.processes());
    let validation = job.validation.as_ref().map(|(problem, patience)| (problem, *patience));
    let trained =
        train(&job.problem, validation, job.starts, &options.method, begin, !options.quiet)?;
    let (best, fit) = trained.best()?;
    let (training, judging) = (training.elapsed(), Instant::now());
    let ended = match &source {
        Source::Table(table) => table.end(fit)?,
        Source::Stream(rows) => {
            let _progress = ReadingProgress::new(!options.quiet, &options.data);
            rows.end(fit)?
        }
        Source::File(file) => {
            let (report, model) = (!options.report.is_empty(), model_path.is_some());
            file.end(&job.problem, fit, report, model)?
        }
    };
    let parts = Parts::of([job.reading, job.choosing, training, judging.elapsed()]);
    let mut notes = job.warnings;
    let said = notes.len();
    let is_free = matches!(job.objective.penalty, Penalty::None);
    notes.extend(not_converged(fit, is_free));
    notes.extend(ended.notes);
    let shown = shown(options, &source, &job.problem, &trained, fit, &ended.model);
    let bytes = match &model_path {
        Some(_) => ended.model?.to_bytes()?,
        None => Vec::new(),
    };
    let mut all = options.method.json();
    all.insert("threads".into(), json!(options.computing.threads));
    if options.mpi {
        all.insert("processes".into(), json!(processes));
    }
    // Everything is known; only now files are written.
    let mut results = Results::beside(options.method.checkpoint.as_deref());
    let model = results.keep(Kind::Model, model_path.as_deref(), &|out| out.write_all(&bytes));
    let mut report = Report {
        subject: ended.subject,
        objective: job.objective,
        weights: ended.weights,
        fit: fit.clone(),
        starts: Starts::of(&trained, best),
        options: all,
        version: env!("CARGO_PKG_VERSION").into(),
        notes,
        model: model.map(|path| path.display().to_string()),
        total_seconds: begin.elapsed().as_secs_f64(),
        shown,
        parts,
    };
    let note = report.figures().note(&options.plot);
    report.notes.extend(note);
    let mut written = Vec::new();
    for path in &options.report {
        let (kind, text) = if is_page(path) {
            (Kind::Page, report.to_html())
        } else {
            (Kind::Report, report.to_json())
        };
        written.extend(results.keep(kind, Some(path), &|out| out.write_all(text.as_bytes())));
    }
    let figures = report.figures();
    let plotted = options.plot.iter().try_for_each(|asked| figures.write(asked.name, &asked.path));
    if !options.quiet {
        say(&result(options, &report, said, &written, plotted.is_ok()))?;
    }
    plotted?;
    results.end()?;
    trained.done()
}

/// Refuses options that contradict each other, and files that cannot be written.
fn check(options: &Options, matches: &ArgMatches, model: Option<&Path>) -> Result<(), Failure> {
    options.method.check()?;
    check_files(options, model)?;
    if options.mpi && !options.computing.may_stay_on_processor() {
        return Err(Failure::usage("--mpi computes on the processor: say --device cpu"));
    }
    if has_extension(&options.data, "json") {
        problem::check(options, matches)
    } else {
        options.target.target().map(drop)
    }
}

/// Reads what is fitted; `model` is whether there will be one.
fn prepare(options: &Options, device: Device, model: bool) -> Result<(Job, Source), Failure> {
    if has_extension(&options.data, "json") {
        let (job, file) = problem::prepare(options, device, model)?;
        return Ok((job, Source::File(Box::new(file))));
    }
    Ok(if options.stream {
        let (job, rows) = stream::prepare(options, device)?;
        (job, Source::Stream(Box::new(rows)))
    } else {
        let (job, table) = data::prepare(options, device)?;
        (job, Source::Table(Box::new(table)))
    })
}

/// The numbers that figures show, where something will hold them.
fn shown(
    options: &Options,
    source: &Source,
    problem: &Problem,
    trained: &Trained,
    fit: &Fit,
    model: &Result<Model, Error>,
) -> Shown {
    if options.report.is_empty() && options.plot.is_empty() {
        return Shown::default();
    }
    let model = model.as_ref().map_err(|error| error.to_string());
    let points = match source {
        Source::Table(table) => table.points(),
        // They are not held.
        Source::Stream(_) => Vec::new(),
        Source::File(file) => file.points(),
    };
    Fitted { problem, trained, fit, model }.shown(&points)
}

/// Whether a report's file is to be a page.
fn is_page(path: &Path) -> bool {
    has_extension(path, "html") || has_extension(path, "htm")
}

/// Refuses files that cannot be written, and those that would overwrite what is read.
fn check_files(options: &Options, model: Option<&Path>) -> Result<(), Failure> {
    plot::check(options.plot.iter().map(|asked| asked.path.as_path()))?;
    let method = &options.method;
    let single = [(Kind::Model, model), (Kind::Checkpoint, method.checkpoint.as_deref())];
    let report = |path: &PathBuf| if is_page(path) { Kind::Page } else { Kind::Report };
    let outputs: Vec<(Kind, &Path)> = (single.into_iter())
        .filter_map(|(kind, path)| Some((kind, path?)))
        .chain(options.report.iter().map(|path| (report(path), path.as_path())))
        .chain(options.plot.iter().map(|asked| (Kind::Plot, asked.path.as_path())))
        .collect();
    let architecture = options.network.architecture.as_deref();
    let inputs: Vec<&Path> =
        ([Some(options.data.as_path()), architecture].into_iter()).flatten().collect();
    files::check(&inputs, method.resume.as_deref(), &outputs)?;
    let is_json = |path: &PathBuf| path.extension().is_none() || has_extension(path, "json");
    let is_known = |path: &&PathBuf| is_page(path) || is_json(path);
    if let Some(path) = options.report.iter().find(|path| !is_known(path)) {
        return Err(Failure::usage(format!(
            "{}: a report is a page (.html) or for programs (.json); for paper, print the page",
            path.display()
        )));
    }
    Ok(())
}

fn say_warnings(warnings: &[String]) {
    warnings.iter().take(5).for_each(|w| say_warning(w));
    if warnings.len() > 5 {
        say_warning(&format!("{} more of this kind; --report lists them all", warnings.len() - 5));
    }
}

/// The sentence of an honest report about the end of a fit that met no tolerance; `is_free` says that there is no penalty.
fn not_converged(fit: &Fit, is_free: bool) -> Option<String> {
    let advice = match fit.reason {
        Reason::Iterations => "; a larger --max-iter may lower the objective",
        Reason::Time => "; a larger --time-limit may lower the objective",
        _ => "",
    };
    let early = fit.reason == Reason::Validation;
    (!fit.converged() && !early).then(|| {
        // Weights that go on without end for a fall that is none.
        let is_flat = is_free && fit.gradient_norm <= fit.gradient_goal;
        let flat = "; the gradient is within its goal, so that some weights are hardly determined: 'secondo infer' names inputs that depend \
                    on each other, and --ridge settles them";
        format!(
            "not converged: {} with a largest gradient entry of {:.1e}{}",
            fit.reason,
            fit.gradient_norm,
            if is_flat { flat } else { advice }
        )
    })
}

/// The result, and the files besides the model that were written.
fn result(
    options: &Options,
    report: &Report,
    said: usize,
    written: &[PathBuf],
    plotted: bool,
) -> String {
    let mut text = Text(report.result(said));
    for path in written {
        text.line("report", format!("written to {}", path.display()));
    }
    for asked in options.plot.iter().filter(|_| plotted) {
        text.line("plot", format!("written to {}", asked.path.display()));
    }
    text.0
}
