//! The fit of a table: its rows, and the model before training.

use std::time::{Duration, Instant};

use secondo::inference::Names;
use secondo::io::{Column, Dataset, Model, Table, TrainingRows, fill_gaps, impute};
use secondo::{
    Activation, Auto, Device, Error, Fit, Method as _, Network, Penalty, Problem, Reason,
    Reduction, silent,
};

use super::division::may_fold;
use super::evidence;
use super::job::{Ended, Job};
use super::loss;
use super::model::{Sizes, candidates, in_data, model, start};
use super::network::Architecture;
use super::options::Options;
use super::report::{Choices, DataFacts, Measured, Objective, Subject, TableFacts};
use super::validation::{Validation, validate};
use crate::exit::Failure;
use crate::metrics::Metrics;
use crate::objective::uncounted;
use crate::show::Points;
use crate::table::Rows;
use crate::training::Start;

/// The most parameters of a linear model that is fitted beside.
const BESIDE: usize = 2000;
/// The fewest test rows that tell overfitting.
const TELLING: usize = 20;
/// The most time for it.
const TIME: Duration = Duration::from_secs(5);

/// The rows by their use, and the model.
pub struct TableFit {
    facts: TableFacts,
    model: Model,
    train: Rows,
    validation: Rows,
    test: Rows,
    /// Whether a penalty holds for biases, too.
    include_bias: bool,
}

/// The fit of the table that the options name.
///
/// # Errors
/// A table that cannot be read, and options that do not fit it.
pub fn prepare(options: &Options, device: Device) -> Result<(Job, TableFit), Failure> {
    let begin = Instant::now();
    check_options(options)?;
    let table = options.table.open(&options.data)?;
    let task = loss::task(options.objective.loss.as_deref());
    let apart = options.division.columns();
    let mut data = options.table.dataset(&table, &options.target, task, apart)?;
    if data.lines.len() < 2 {
        let why = "there is one row only; a fit needs two or more";
        return Err(in_data(options, None, why.into()));
    }
    let reading = begin.elapsed();
    let mut all = Rows::take(&mut data);
    let division = options.division.divide(&data, options.starts.seed())?;
    // Rows that are to judge have no part in what is filled in.
    let mut train = all.of(&division.train);
    impute(&mut data.columns, &mut train.x, train.weights.as_deref())?;
    fill_gaps(&data.columns, &mut all.x)?;
    let begin = Instant::now();
    let sizes = Sizes::of(options, &data, division.train.len())?;
    let hindrance = || {
        if options.method.checkpoint.is_some() || options.method.resume.is_some() {
            // A choice with another limit might be another.
            Some("a checkpoint holds a fit with one penalty")
        } else if options.division.stops_early() {
            Some("the fit ends early by rows apart")
        } else {
            let are_few = !may_fold(&data, &division.train);
            are_few.then_some("there are fewer than ten rows, or groups, to train with")
        }
    };
    let (candidates, note) = candidates(options, &sizes, &hindrance)?;
    data.notes.extend(note);
    let choice = validate(options, &data, &all, &division.train, &candidates)?;
    let mut choosing = choice.as_ref().map_or(Duration::ZERO, |_| begin.elapsed());
    let candidate = &candidates[choice.as_ref().map_or(0, |choice| choice.candidate)];
    let [validation, test] = [&division.validation, &division.test].map(|rows| all.of(rows));
    let (mut model, mut warnings) = model(options, &data, candidate, &train)?;
    let choosing_failed = choice.iter().flat_map(|choice| &choice.warnings);
    warnings.splice(..0, table.warnings().iter().chain(choosing_failed).cloned());
    let apart = validation.lines.iter().chain(&test.lines).copied();
    model.training = Some(TrainingRows { rows: data.lines.len(), held_out: apart.collect() });
    let mut problem = train.problem(&model, device)?;
    let rule = options.starts.rule(&candidate.network);
    let mut starts = (options.starts.seeds(candidate.starts))
        .map(|seed| Ok((Some(seed), start(&model, &problem, rule, seed)?)))
        .collect::<Result<Vec<Start>, Error>>()?;
    let mut by_evidence = None;
    if let Some(sharing) = options.objective.evidence() {
        if let Some(what) = uncounted(&model) {
            return Err(Failure::usage(format!(
                "--ridge evidence is for rows that count alike; fit without {what}"
            )));
        }
        let names = Names { inputs: model.features.clone(), outputs: model.outputs_named() };
        let begin = Instant::now();
        let (facts, seed, done) = evidence::maximize(&problem, &names, &starts, sharing)?;
        choosing += begin.elapsed();
        if !facts.converged && !facts.fell {
            warnings.push("the evidence did not reach its maximum in 100 cycles".into());
        }
        by_evidence = Some(facts);
        model.penalty = done.penalty.clone();
        problem = problem.penalty(done.penalty)?;
        starts = vec![(seed, done.w)];
    }
    let facts = TableFacts {
        data: data_facts(options, &table, &data, &model, [&train, &validation, &test]),
        standardization: model.standardization.clone(),
        metrics: Measured::default(),
        validation: choice.map(|choice| choice.validation),
        evidence: by_evidence,
        choices: Choices {
            architecture: Architecture::of(&candidate.network),
            init: rule.name().into(),
            test_fraction: options.division.test_fraction(),
            seed: options.starts.seed(),
        },
    };
    let job = Job {
        subject: Subject::Table(Box::new(facts.clone())),
        objective: Objective::of(&model),
        problem,
        validation: error_of(options, &model, &validation)?,
        starts,
        warnings,
        reading,
        choosing,
    };
    let include_bias = options.objective.includes_bias();
    let fit = TableFit { facts, model, train, validation, test, include_bias };
    Ok((job, fit))
}

/// Refuses options that exclude each other.
fn check_options(options: &Options) -> Result<(), Failure> {
    options.target.target()?;
    options.starts.check()?;
    options.division.check(options.leave_a_choice())?;
    if options.objective.evidence().is_some() {
        evidence::check(options)?;
    }
    check_early_stopping(options)
}

/// Refuses checkpoints of a fit that ends early.
pub fn check_early_stopping(options: &Options) -> Result<(), Failure> {
    let method = &options.method;
    if options.division.stops_early() && (method.checkpoint.is_some() || method.resume.is_some()) {
        return Err(Failure::usage(
            "a checkpoint does not hold the curve of early stopping; leave out --checkpoint and --resume, or --validation-fraction \
             and --validation-column",
        ));
    }
    Ok(())
}

/// The model whose objective is the error of validation rows.
pub fn with_mean_loss(model: &Model) -> Model {
    let mut model = model.clone();
    (model.penalty, model.reduction) = (Penalty::None, Reduction::Mean);
    model
}

/// The problem whose objective is the error of the validation rows, and the patience, where the fit is to end early: the mean of the
/// losses, without a penalty.
fn error_of(
    options: &Options,
    model: &Model,
    rows: &Rows,
) -> Result<Option<(Problem, usize)>, Failure> {
    if !options.division.stops_early() {
        return Ok(None);
    }
    let problem = rows.problem(&with_mean_loss(model), Device::cpu())?;
    Ok(Some((problem, options.division.patience())))
}

fn data_facts(
    options: &Options,
    table: &Table,
    data: &Dataset,
    model: &Model,
    [train, validation, test]: [&Rows; 3],
) -> DataFacts {
    DataFacts {
        file: options.data.display().to_string(),
        rows: data.lines.len(),
        dropped: data.dropped,
        weightless: data.weightless,
        found: table.found().to_vec(),
        columns: data.columns.iter().filter_map(Column::in_words).collect(),
        remarks: data.notes.clone(),
        train_rows: train.lines.len(),
        validation_rows: validation.lines.len(),
        test_rows: test.lines.len(),
        test_lines: test.lines.clone(),
        features: data.features.clone(),
        target: model.targets.join(", "),
        task: data.task(),
        task_guessed: data.guess.clone(),
        other_task_possible: loss::other_task_possible(&data.target),
        classes: model.classes.clone(),
        class_weights: model.class_weights.clone(),
        reference_class: model.reference.map(|class| model.classes[class].clone()),
        exposure: model.exposure.as_ref().map(|exposure| exposure.column.clone()),
        groups: options.division.groups.clone(),
        weights: options.table.weights().map(String::from),
    }
}

impl TableFit {
    /// The model with the parameters of `fit`, and how well it predicts.
    pub fn end(&self, fit: &Fit) -> Result<Ended, Failure> {
        let mut model = self.model.clone();
        model = model.with_free_parameters(&fit.w)?;
        let mut notes = Vec::new();
        // A fit is not lost because it cannot be measured.
        let mut measure = |rows: &Rows| {
            Metrics::of(&model, rows).unwrap_or_else(|failure| {
                notes.push(format!("it was not measured: {}", failure.message));
                None
            })
        };
        let [train, validation, test] =
            [&self.train, &self.validation, &self.test].map(&mut measure);
        // A run that was told to end does not begin another fit.
        let linear_ridge = self.facts.validation.as_ref().and_then(Validation::linear_ridge);
        let linear = match fit.reason {
            Reason::Interrupted | Reason::Time => None,
            _ => self.linear(linear_ridge).unwrap_or_else(|failure| {
                notes.push(format!("the linear model was not fitted: {}", failure.message));
                None
            }),
        };
        let linear_ridge = linear_ridge.filter(|_| linear.is_some());
        let metrics = Measured { train, validation, test, linear, linear_ridge };
        if [&metrics.train, &metrics.test].into_iter().flatten().any(Metrics::undefined) {
            notes.push("R² is undefined where the target is constant".into());
        }
        notes.extend(self.overfitting(&metrics));
        let predicted = self.train.predicted(&model).ok();
        // Of probabilities the scale is 1, of numbers the spread of the target.
        let scales = &model.standardization.y_scale;
        let is_constant = |(at, y): (usize, ndarray::ArrayView1<f64>)| {
            let (low, high) = y.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
            high - low <= 1e-3 * scales.get(at).copied().unwrap_or(1.0)
        };
        if self.train.lines.len() > 1
            && predicted.is_some_and(|p| p.columns().into_iter().enumerate().all(is_constant))
        {
            notes.push(
                "the model predicts the same for every row, to a thousandth of the spread: the features do not help at this penalty".into(),
            );
        }
        Ok(Ended {
            subject: Subject::Table(Box::new(TableFacts { metrics, ..self.facts.clone() })),
            weights: model.weights.clone(),
            model: Ok(model),
            notes,
        })
    }

    /// The note on test rows that are predicted much worse than those that trained, if there are enough of them to tell.
    fn overfitting(&self, metrics: &Measured) -> Option<String> {
        let (train, test) = (metrics.train.as_ref()?, metrics.test.as_ref()?);
        if self.test.lines.len() < TELLING || !train.much_better_than(test) {
            return None;
        }
        let is_chosen = self.facts.validation.as_ref().is_some_and(|v| v.candidates.len() > 1);
        let advice = match &metrics.linear {
            Some(linear) if linear.is_better_than(test) => {
                "the linear model predicts them better: --hidden none"
            }
            _ if is_chosen => "more rows, or fewer features, would help",
            _ => "try a larger --ridge, fewer hidden units, or --hidden none",
        };
        Some(format!(
            "the test rows are predicted much worse than the training rows (overfitting); {advice}"
        ))
    }

    /// How well a linear model with the same loss, and with this penalty or else the same, predicts the test rows, or those to train
    /// with where there are no others; none where the model is linear, and where that fit fails or is too large to do beside.
    fn linear(&self, ridge: Option<f64>) -> Result<Option<Metrics>, Failure> {
        let (network, mut model) = (&self.model.network, self.model.clone());
        if network.depth() == 1 {
            return Ok(None);
        }
        model.network =
            Network::dense(&[network.inputs(), network.outputs()], Activation::Identity)?;
        model.weights = vec![0.0; model.network.parameters()];
        if let Some(lambda) = ridge {
            let include_bias = self.include_bias;
            model.penalty = match lambda {
                0.0 => Penalty::None,
                _ => Penalty::Ridge { lambda, include_bias },
            };
        }
        if matches!(model.penalty, Penalty::RidgeVec { .. }) {
            // Of another network; that of the evidence has a factor for each of its parameters.
            model.penalty = Penalty::ridge(1.0);
        }
        if model.weights.len() > BESIDE {
            return Ok(None);
        }
        let problem = self.train.problem(&model, Device::cpu())?;
        let start = vec![0.0; problem.parameters()];
        let method = Auto { max_iter: 100, time_limit: Some(TIME), ..Auto::default() };
        let Ok(fit) = method.fit(&problem, &start, &mut silent) else {
            return Ok(None);
        };
        model = model.with_free_parameters(&fit.w)?;
        let rows = if self.test.lines.is_empty() { &self.train } else { &self.test };
        Metrics::of(&model, rows)
    }

    /// The rows in the units of the table.
    pub fn points(&self) -> Vec<Points> {
        let parts = [
            ("training rows", &self.train),
            ("validation rows", &self.validation),
            ("test rows", &self.test),
        ];
        let shown = parts
            .into_iter()
            .filter(|(title, rows)| *title != "validation rows" || !rows.lines.is_empty());
        shown.filter_map(|(title, rows)| Points::of_table(title, rows)).collect()
    }
}
