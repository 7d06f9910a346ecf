//! The course of a fit: what is read is checked, trained, measured and reported, and only then files are written.

use std::path::Path;
use std::time::Instant;

use clap::ArgMatches;
use secondo::{Fit, Reason};
use serde_json::json;

use super::data::{self, TableFit};
use super::options::Options;
use super::problem::{self, FileFit};
use super::report::{Report, Starts};
use crate::exit::Failure;
use crate::files::{self, Kind};
use crate::output::{Results, Text, has_extension, here, say, say_warning};
use crate::plot;
use crate::training::train;

/// The parts of the problem.
enum Source {
    Table(Box<TableFit>),
    File(Box<FileFit>),
}

/// Runs the command.
pub fn run(options: &Options, matches: &ArgMatches) -> Result<(), Failure> {
    options.method.check()?;
    let is_problem = has_extension(&options.data, "json");
    let default = || (!is_problem).then(|| here(&options.data, "safetensors"));
    let model_path = options.model.clone().or_else(default);
    check_files(options, model_path.as_deref())?;
    if is_problem {
        problem::check(options, matches)?;
    } else {
        options.target.target()?;
    }
    let begin = Instant::now();
    let device = options.computing.start(true)?;
    let (job, source) = if is_problem {
        let (job, file) = problem::prepare(options, device, model_path.is_some())?;
        (job, Source::File(Box::new(file)))
    } else {
        let (job, table) = data::prepare(options, device)?;
        (job, Source::Table(Box::new(table)))
    };
    if !options.quiet {
        say_warnings(&job.warnings);
        say(&job.subject.introduction(&job.objective))?;
    }
    let trained = train(&job.problem, job.starts, &options.method, begin, !options.quiet)?;
    let (best, fit) = trained.best()?;
    let ended = match &source {
        Source::Table(table) => table.end(fit)?,
        Source::File(file) => {
            let (report, model) = (options.report.is_some(), model_path.is_some());
            file.end(&job.problem, fit, report, model)?
        }
    };
    let mut notes = job.warnings;
    let said = notes.len();
    notes.extend(not_converged(fit));
    notes.extend(ended.notes);
    let curve = plot::curve(&options.plot, ended.model.clone(), &mut notes);
    let bytes = match &model_path {
        Some(_) => ended.model?.to_bytes()?,
        None => Vec::new(),
    };
    let mut all = options.method.json();
    all.insert("threads".into(), json!(options.computing.threads));
    // Everything is known; only now files are written.
    let mut results = Results::beside(options.method.checkpoint.as_deref());
    let model = results.keep(Kind::Model, model_path.as_deref(), &|out| out.write_all(&bytes));
    let report = Report {
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
    };
    let json = report.to_json();
    let written = results
        .keep(Kind::Report, options.report.as_deref(), &|out| out.write_all(json.as_bytes()));
    let plotted = plot::write(&options.plot, &trained, curve.as_ref(), |model| match &source {
        Source::Table(table) => table.points(model),
        Source::File(file) => Ok(file.points()),
    });
    if !options.quiet {
        say(&result(options, &report, said, written.as_deref(), plotted.is_ok()))?;
    }
    plotted?;
    results.end()?;
    trained.done()
}

/// Refuses files that cannot be written, and those that would overwrite what is read.
fn check_files(options: &Options, model: Option<&Path>) -> Result<(), Failure> {
    plot::check(&options.plot)?;
    let method = &options.method;
    let single = [
        (Kind::Model, model),
        (Kind::Report, options.report.as_deref()),
        (Kind::Checkpoint, method.checkpoint.as_deref()),
    ];
    let outputs: Vec<(Kind, &Path)> = (single.into_iter())
        .filter_map(|(kind, path)| Some((kind, path?)))
        .chain(options.plot.iter().map(|path| (Kind::Plot, path.as_path())))
        .collect();
    let architecture = options.network.architecture.as_deref();
    let inputs: Vec<&Path> =
        ([Some(options.data.as_path()), architecture].into_iter()).flatten().collect();
    files::check(&inputs, method.resume.as_deref(), &outputs)
}

fn say_warnings(warnings: &[String]) {
    warnings.iter().take(5).for_each(|w| say_warning(w));
    if warnings.len() > 5 {
        say_warning(&format!("{} more of this kind; --report lists them all", warnings.len() - 5));
    }
}

/// The sentence of an honest report about the end of a fit that met no tolerance.
fn not_converged(fit: &Fit) -> Option<String> {
    let advice = match fit.reason {
        Reason::Iterations => "; a larger --max-iter may lower the objective",
        Reason::Time => "; a larger --time-limit may lower the objective",
        _ => "",
    };
    (!fit.converged()).then(|| {
        format!(
            "not converged: {} with a largest gradient entry of {:.1e}{advice}",
            fit.reason, fit.gradient_norm
        )
    })
}

/// The result, and the files besides the model that were written.
fn result(
    options: &Options,
    report: &Report,
    said: usize,
    written: Option<&Path>,
    plotted: bool,
) -> String {
    let mut text = Text(report.result(said));
    if let Some(path) = written {
        text.line("report", format!("written to {}", path.display()));
    }
    for path in options.plot.iter().filter(|_| plotted) {
        text.line("plot", format!("written to {}", path.display()));
    }
    text.0
}
