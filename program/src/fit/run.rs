//! The course of a fit: what is read is checked, trained, measured and reported, and only then files are written.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ArgMatches;
use secondo::{Fit, Reason};
use serde_json::json;

use super::data::{self, TableFit};
use super::options::Options;
use super::problem::{self, FileFit};
use super::report::{Report, Starts};
use super::spent::Parts;
use crate::exit::Failure;
use crate::files::{self, Kind};
use crate::output::{Text, has_extension, here, say, say_error, say_warning};
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
    let training = Instant::now();
    let validation = job.validation.as_ref().map(|(problem, patience)| (problem, *patience));
    let trained =
        train(&job.problem, validation, job.starts, &options.method, begin, !options.quiet)?;
    let (best, fit) = trained.best()?;
    let (training, judging) = (training.elapsed(), Instant::now());
    let ended = match &source {
        Source::Table(table) => table.end(fit)?,
        Source::File(file) => {
            let (report, model) = (options.report.is_some(), model_path.is_some());
            file.end(&job.problem, fit, report, model)?
        }
    };
    let parts = Parts::of([job.reading, job.choosing, training, judging.elapsed()]);
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
    let mut results = Results { checkpoint: options.method.checkpoint.as_deref(), refused: false };
    let model = results.keep(Kind::Model, model_path.as_deref(), &bytes);
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
        parts,
    };
    let json = report.to_json();
    let written = results.keep(Kind::Report, options.report.as_deref(), json.as_bytes());
    let plotted = plot::write(&options.plot, &trained, curve.as_ref(), |model| match &source {
        Source::Table(table) => table.points(model),
        Source::File(file) => Ok(file.points()),
    });
    if !options.quiet {
        say(&result(options, &report, said, written.as_deref(), plotted.is_ok()))?;
    }
    plotted?;
    if results.refused {
        return Err(Failure::said());
    }
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

/// The results of a fit on their way into files: none is lost because its own file refuses it.
struct Results<'a> {
    checkpoint: Option<&'a Path>,
    /// Whether a file refused.
    refused: bool,
}

impl Results<'_> {
    /// Writes one, says what refused it, and returns where it lies.
    fn keep(&mut self, kind: Kind, path: Option<&Path>, bytes: &[u8]) -> Option<PathBuf> {
        let (lies, refused) = match files::keep(kind, path?, self.checkpoint, bytes) {
            Ok(kept) => (Some(kept.path), kept.why),
            Err(failure) => (None, Some(failure.message)),
        };
        if let Some(why) = refused {
            self.refused = true;
            say_error(&why);
        }
        lies
    }
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
    let early = fit.reason == Reason::Validation;
    (!fit.converged() && !early).then(|| {
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
