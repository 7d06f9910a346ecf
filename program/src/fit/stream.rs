//! The fit of a table whose rows are read as they are needed: memory does not depend on their number.
//!
//! Codings, classes and task follow from an outline of the table; which rows are held out from a hash; means, scales, substitutes and figures are sums
//! over walks.

use std::time::{Duration, Instant};

use ndarray::Array2;
use secondo::io::{Column, Dataset, Missing, Model, Table, Target, TrainingRows};
use secondo::{Device, Error, Fit, Reason, Samples};

use super::data::{check_early_stopping, with_mean_loss};
use super::division::NO_VALIDATION;
use super::job::{Ended, Job};
use super::loss;
use super::model::{Sizes, candidates, loss_of};
use super::network::Architecture;
use super::options::Options;
use super::part::{Divided, Division, Part};
use super::report::{Choices, DataFacts, Measured, Objective, Subject, TableFacts};
use super::spread::Spread;
use super::stream_folds::validate;
use super::stream_source::{Source, Starts, model_of, problem_of};
use crate::exit::Failure;
use crate::training::{ReadingProgress, Start};

/// The rows by their use, and the model.
pub struct StreamFit {
    facts: TableFacts,
    model: Model,
    train: Part,
    validation: Part,
    test: Part,
}

/// The fit of the file that the options name.
///
/// # Errors
/// A file that cannot be read; options that need all rows at once.
pub fn prepare(options: &Options, device: Device) -> Result<(Job, StreamFit), Failure> {
    let begin = Instant::now();
    check(options)?;
    let progress = ReadingProgress::new(!options.quiet, &options.data);
    let outline = options.table.outline(&options.data)?;
    let mut data = columns(options, &outline)?;
    // Of the outline's rows nothing else is needed.
    data.x = Array2::default((0, 0));
    let loss = loss_of(options, &data)?;
    let classes = match &data.target {
        Target::Numbers(_) => Vec::new(),
        Target::Classes { labels, .. } => labels.clone(),
    };
    let other_task_possible = loss::other_task_possible(&data.target);
    let source = Source::of(options, &data, &loss, classes);
    let Divided { train, validation, test, .. } = divided(&source, &mut data)?;
    if train.rows() == 0 {
        let why = match (data.dropped, data.weightless) {
            (0, 0) => "all are held out".to_string(),
            (gaps, zeros) => format!(
                "in {gaps} rows a value is missing, {zeros} have the weight 0, and {} are held out",
                validation.rows() + test.rows()
            ),
        };
        return Err(Failure::usage(format!("no row is left to train: {why}")));
    }
    let spread = Spread::of(&train, &data, &loss, source.classes())?;
    drop(progress);
    let sizes = Sizes::of(options, &data, train.rows())?;
    let of_stream = || Some("the rows are read as they are needed");
    let (candidates, note) = candidates(options, &sizes, &of_stream)?;
    data.notes.extend(note);
    let reading = begin.elapsed();
    let begin = Instant::now();
    let choice = validate(&source, &data, &train, &loss, &candidates)?;
    let choosing = choice.as_ref().map_or(Duration::ZERO, |_| begin.elapsed());
    let begin = Instant::now();
    let candidate = &candidates[choice.as_ref().map_or(0, |choice| choice.candidate)];
    let mut model = model_of(options, &data, &spread, candidate)?;
    if validation.rows() + test.rows() == 0 {
        model.training = Some(TrainingRows { rows: train.rows(), held_out: Vec::new() });
    }
    let problem = problem_of(&model, &train, device)?;
    let error = match (options.division.stops_early(), validation.rows()) {
        (false, _) => None,
        (true, 0) => return Err(Failure::usage(NO_VALIDATION)),
        (true, _) => Some((
            problem_of(&with_mean_loss(&model), &validation, Device::cpu())?,
            options.division.patience(),
        )),
    };
    let from = Starts::of(options, candidate, &model, &spread)?;
    let starts: Vec<Start> = (options.starts.seeds(candidate.starts))
        .map(|seed| Ok((Some(seed), from.with(seed)?)))
        .collect::<Result<_, Error>>()?;
    let facts = TableFacts {
        data: DataFacts {
            found: outline.found().to_vec(),
            other_task_possible,
            ..data_facts(options, &data, &model, [&train, &validation, &test])
        },
        standardization: model.standardization.clone(),
        metrics: Measured::default(),
        validation: choice.as_ref().map(|choice| choice.validation.clone()),
        evidence: None,
        choices: Choices {
            architecture: Architecture::of(&candidate.network),
            init: from.rule.name().into(),
            test_fraction: options.division.test_fraction(),
            seed: options.starts.seed(),
        },
    };
    let mut warnings = outline.warnings().to_vec();
    warnings.extend(choice.into_iter().flat_map(|choice| choice.warnings));
    warnings.extend(spread.warnings);
    let job = Job {
        subject: Subject::Table(Box::new(facts.clone())),
        objective: Objective::of(&model),
        problem,
        validation: error,
        starts,
        warnings,
        reading: reading + begin.elapsed(),
        choosing,
    };
    Ok((job, StreamFit { facts, model, train, validation, test }))
}

/// The rows by their use, with the substitutes for missing values in the columns of `data`.
fn divided(source: &Source, data: &mut Dataset) -> Result<Divided, Failure> {
    let options = source.options;
    let file = source.open(&data.columns)?;
    let division = Division {
        seed: options.starts.seed(),
        fraction: options.division.test_fraction(),
        validation: options.division.validation_fraction(),
        leaves_gaps: options.table.missing() != Missing::Error,
        is_weighted: options.table.weights().is_some(),
    };
    let mut parts = Part::divide(&file, division)?;
    (data.dropped, data.weightless) = (parts.dropped, parts.weightless);
    let Divided { train, validation, test, .. } = &mut parts;
    source.fill(&mut data.columns, [train, validation, test])?;
    Ok(parts)
}

/// Refuses what needs all rows at once.
fn check(options: &Options) -> Result<(), Failure> {
    options.target.target()?;
    options.starts.check()?;
    let division = &options.division;
    division.check(options.leave_a_choice())?;
    let dialect = options.table.dialect();
    check_early_stopping(options)?;
    let refused = [
        ("--ridge evidence", options.objective.evidence().is_some()),
        ("--validation-column", division.validation_column.is_some()),
        ("--groups", division.groups.is_some()),
        ("--exposure and --offset", options.target.is_exposed()),
        ("--na", !dialect.missing.is_empty()),
        ("--comment and --encoding", dialect.comment.is_some() || dialect.encoding.is_some()),
        ("--plot", !options.plot.is_empty()),
    ];
    match refused.iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((what, _)) => Err(Failure::usage(format!(
            "--stream reads the rows one part at a time and cannot have {what}; leave that or --stream out"
        ))),
    }
}

/// The columns by their use, with their codings.
fn columns(options: &Options, outline: &Table) -> Result<Dataset, Failure> {
    let task = loss::task(options.objective.loss.as_deref());
    options.table.dataset(outline, &options.target, task, [None, None])
}

fn data_facts(
    options: &Options,
    data: &Dataset,
    model: &Model,
    [train, validation, test]: [&Part; 3],
) -> DataFacts {
    let mut remarks = data.notes.clone();
    remarks.push("the rows are read as they are needed".into());
    if validation.rows() + test.rows() > 0 {
        remarks.push("the rows that are held out are chosen by a hash of their number".into());
        let why = "the model does not name them: infer and predict --interval need a fit with --test-fraction 0 and without --validation-fraction";
        remarks.push(why.into());
    }
    if !model.classes.is_empty() {
        remarks.push("areas under the ROC curve are left out: they need all rows at once".into());
    }
    DataFacts {
        file: options.data.display().to_string(),
        rows: train.rows() + validation.rows() + test.rows(),
        dropped: data.dropped,
        weightless: data.weightless,
        found: Vec::new(),
        columns: data.columns.iter().filter_map(Column::in_words).collect(),
        remarks,
        train_rows: train.rows(),
        validation_rows: validation.rows(),
        test_rows: test.rows(),
        test_lines: Vec::new(),
        features: data.features.clone(),
        target: data.targets.join(", "),
        task: data.task(),
        task_guessed: data.guess.clone(),
        other_task_possible: false,
        classes: model.classes.clone(),
        class_weights: model.class_weights.clone(),
        reference_class: model.reference.map(|class| model.classes[class].clone()),
        exposure: None,
        groups: None,
        weights: options.table.weights().map(String::from),
    }
}

impl StreamFit {
    /// The model with the parameters of `fit`, and how well it predicts.
    pub fn end(&self, fit: &Fit) -> Result<Ended, Failure> {
        let model = self.model.clone().with_free_parameters(&fit.w)?;
        let mut notes = Vec::new();
        // A fit is not lost because it cannot be measured.
        let mut measure = |part: &Part| {
            part.metrics(&model).unwrap_or_else(|error| {
                notes.push(format!("it was not measured: {error}"));
                None
            })
        };
        let is_ended = matches!(fit.reason, Reason::Interrupted | Reason::Time);
        let metrics = if is_ended {
            Measured::default()
        } else {
            let [train, validation, test] =
                [&self.train, &self.validation, &self.test].map(&mut measure);
            Measured { train, validation, test, ..Measured::default() }
        };
        if is_ended {
            notes.push("it was not measured on the rows, since it was ended".into());
        }
        Ok(Ended {
            subject: Subject::Table(Box::new(TableFacts { metrics, ..self.facts.clone() })),
            weights: model.weights.clone(),
            model: Ok(model),
            notes,
        })
    }
}
