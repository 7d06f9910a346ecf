//! The fit of a problem file.

use std::time::{Duration, Instant};

use clap::ArgMatches;
use secondo::io::{Model, ProblemFile};
use secondo::{Device, Error, Fit, Problem, Reason, Reduction};

use super::division::DivisionOptions;
use super::job::{Ended, Job};
use super::options::{NetworkOptions, ObjectiveOptions, Options, StartOptions};
use super::report::{Objective, ProblemFacts, Subject};
use crate::exit::Failure;
use crate::given::given;
use crate::output::{say_note, unused_keys};
use crate::show::Points;
use crate::table::{TableOptions, TargetOptions};

/// A problem file that is fitted.
pub struct FileFit {
    facts: ProblemFacts,
    file: ProblemFile,
}

/// Refuses the options that a problem file has no use for.
///
/// # Errors
/// A usage error that names them.
pub fn check(options: &Options, matches: &ArgMatches) -> Result<(), Failure> {
    if options.stream {
        return Err(Failure::usage("--stream is for tables: a problem file holds its rows"));
    }
    let given = [
        given::<TargetOptions>(matches),
        given::<DivisionOptions>(matches),
        given::<NetworkOptions>(matches),
        given::<ObjectiveOptions>(matches),
        given::<StartOptions>(matches),
        given::<TableOptions>(matches),
    ]
    .concat();
    if given.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{}: a problem file says this itself; leave out {}",
        options.data.display(),
        given.join(", ")
    )))
}

/// The fit of the problem file that the options name; `model` says whether its model is to be written.
///
/// # Errors
/// A file that cannot be read; what no model can hold is refused before the work.
pub fn prepare(options: &Options, device: Device, model: bool) -> Result<(Job, FileFit), Failure> {
    let begin = Instant::now();
    let file = ProblemFile::from_path(&options.data)?;
    if !file.unused.is_empty() && !options.quiet {
        say_note(&unused_keys(&file.unused));
    }
    let problem = file.problem.clone().on(device);
    let objective = Objective {
        network: problem.network().clone(),
        loss: problem.loss().clone(),
        penalty: file.penalty.clone(),
        reduction: Reduction::Sum,
    };
    let facts = ProblemFacts {
        file: options.data.display().to_string(),
        rows: problem.rows(),
        free: file.constraint.as_ref().map(|_| problem.parameters()),
        standard_errors: None,
    };
    let start = file.parameters.clone();
    let fit = FileFit { facts, file };
    if model {
        fit.model(fit.file.weights(&start)?)?.to_bytes()?;
    }
    let job = Job {
        subject: Subject::Problem(fit.facts.clone()),
        objective,
        problem,
        validation: None,
        starts: vec![(None, start)],
        warnings: Vec::new(),
        reading: begin.elapsed(),
        choosing: Duration::ZERO,
    };
    Ok((job, fit))
}

impl FileFit {
    fn model(&self, weights: Vec<f64>) -> Result<Model, Error> {
        let problem = &self.file.problem;
        let mut model = Model::new(problem.network().clone(), weights, problem.loss().clone())?;
        model.penalty = self.file.penalty.clone();
        Ok(model)
    }

    /// The network's parameters and, for a report, their standard errors; `model` says whether the model is written.
    pub fn end(
        &self,
        problem: &Problem,
        fit: &Fit,
        report: bool,
        model: bool,
    ) -> Result<Ended, Failure> {
        let weights = self.file.weights(&fit.w)?;
        let mut facts = self.facts.clone();
        let mut notes = Vec::new();
        // Other losses have none; without degrees of freedom, or far from a minimum, there are none to give.
        if report && fit.reason != Reason::Interrupted {
            match problem.standard_errors(&fit.w) {
                Ok(errors) => facts.standard_errors = Some(errors),
                Err(Error::Unsupported { .. }) => {}
                Err(why) => notes.push(format!("no standard errors: {why}")),
            }
        }
        if !model && !report {
            notes.push("the parameters were not written; --report or --model keeps them".into());
        }
        Ok(Ended {
            subject: Subject::Problem(facts),
            model: self.model(weights.clone()),
            weights,
            notes,
        })
    }

    /// The rows of the file.
    pub fn points(&self) -> Vec<Points> {
        let data = self.file.problem.data();
        data.iter().map(|data| Points::of_data("rows", &data.x(), data.y())).collect()
    }
}
