//! The fit of a table: its rows, and the model before training.

use std::time::Duration;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use secondo::io::{Column, Dataset, Model, Table, Target, TrainingRows};
use secondo::{Activation, Auto, Device, Error, Fit, Method as _, Network, Reason, silent};

use super::job::{Ended, Job};
use super::model::{in_data, model, start};
use super::network::Architecture;
use super::options::Options;
use super::report::{Choices, DataFacts, Measured, Objective, Subject, TableFacts};
use super::validation::validate;
use crate::exit::Failure;
use crate::metrics::Metrics;
use crate::plot::Points;
use crate::table::Rows;
use crate::training::Start;

/// The most parameters of a linear model that is fitted beside.
const BESIDE: usize = 2000;
/// The most time for it.
const TIME: Duration = Duration::from_secs(5);

/// The rows to train and to test with, and the model.
pub struct TableFit {
    facts: TableFacts,
    model: Model,
    train: Rows,
    test: Rows,
}

/// The fit of the table that the options name.
///
/// # Errors
/// A table that cannot be read, and options that do not fit it.
pub fn prepare(options: &Options, device: Device) -> Result<(Job, TableFit), Failure> {
    let target = options.target.target()?;
    let table = options.table.open(&options.data)?;
    let data = options.table.dataset(&table, &options.target)?;
    if data.lines.len() < 2 {
        let why = "there is one row only; a fit needs two or more";
        return Err(in_data(options, None, why.into()));
    }
    let seed = options.starts.seed();
    let count = u64::from(options.starts.starts.unwrap_or(1));
    let Some(last) = seed.checked_add(count - 1) else {
        return Err(Failure::usage(format!("--seed {seed} leaves no room for {count} starts")));
    };
    let fraction = options.target.test_fraction();
    let (train_rows, test_rows) = split(&data, fraction, seed);
    let validation = validate(options, &data, target, &train_rows)?;
    let ridge = validation.as_ref().map_or(options.objective.factors()[0], |v| v.chosen);
    let (mut model, mut warnings) = model(options, &data, target, &train_rows, ridge)?;
    warnings.splice(..0, table.warnings().iter().cloned());
    let (train, test) = (Rows::of(&data, &train_rows), Rows::of(&data, &test_rows));
    model.training = Some(TrainingRows { rows: data.lines.len(), held_out: test.lines.clone() });
    let problem = train.problem(&model, device)?;
    let rule = options.starts.rule(&options.network);
    let starts = (seed..=last)
        .map(|seed| Ok((Some(seed), start(&problem, rule, seed)?)))
        .collect::<Result<Vec<Start>, Error>>()?;
    let facts = TableFacts {
        data: data_facts(options, &table, &data, &model, &train, &test),
        standardization: model.standardization.clone(),
        metrics: Measured::default(),
        validation,
        choices: Choices {
            architecture: Architecture::of(&options.network),
            init: rule.name().into(),
            test_fraction: fraction,
            seed,
        },
    };
    let objective = Objective {
        network: model.network.clone(),
        loss: model.loss.clone(),
        penalty: model.penalty.clone(),
        reduction: model.reduction,
    };
    let job = Job {
        subject: Subject::Table(Box::new(facts.clone())),
        objective,
        problem,
        starts,
        warnings,
    };
    let fit = TableFit { facts, model, train, test };
    Ok((job, fit))
}

fn data_facts(
    options: &Options,
    table: &Table,
    data: &Dataset,
    model: &Model,
    train: &Rows,
    test: &Rows,
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
        test_rows: test.lines.len(),
        test_lines: test.lines.clone(),
        features: data.features.clone(),
        target: model.targets.join(", "),
        task: data.task(),
        task_guessed: data.guess.clone(),
        other_task_possible: match &data.target {
            Target::Numbers(y) => y.iter().all(|v| v.fract() == 0.0),
            Target::Classes { labels, .. } => labels.iter().all(|l| l.parse::<f64>().is_ok()),
        },
        classes: model.classes.clone(),
        weights: options.table.weights().map(String::from),
    }
}

impl TableFit {
    /// The model with the parameters of `fit`, and how well it predicts.
    pub fn end(&self, fit: &Fit) -> Result<Ended, Failure> {
        let mut model = self.model.clone();
        model.weights = fit.w.clone();
        let mut notes = Vec::new();
        // A fit is not lost because it cannot be measured.
        let mut measure = |rows: &Rows| {
            Metrics::of(&model, rows).unwrap_or_else(|failure| {
                notes.push(format!("it was not measured: {}", failure.message));
                None
            })
        };
        let (train, test) = (measure(&self.train), measure(&self.test));
        // What was told to end does not begin another fit.
        let linear = match fit.reason {
            Reason::Interrupted | Reason::Time => None,
            _ => self.linear().unwrap_or_else(|failure| {
                notes.push(format!("the linear model was not fitted: {}", failure.message));
                None
            }),
        };
        let metrics = Measured { train, test, linear };
        if [&metrics.train, &metrics.test].into_iter().flatten().any(Metrics::undefined) {
            notes.push("R² is undefined where the target is constant".into());
        }
        if let (Some(train), Some(test)) = (&metrics.train, &metrics.test)
            && train.much_better_than(test)
        {
            notes.push(
                "the test rows are predicted much worse than the training rows (overfitting): more steps will hardly help; \
                 try a larger --ridge, fewer hidden units, or --hidden none"
                    .into(),
            );
        }
        Ok(Ended {
            subject: Subject::Table(Box::new(TableFacts { metrics, ..self.facts.clone() })),
            weights: fit.w.clone(),
            model: Ok(model),
            notes,
        })
    }

    /// How well a linear model with the same loss and penalty predicts the test rows, or those to train with where there are no
    /// others; none where the model is linear, and where that fit fails or is too large to do beside.
    fn linear(&self) -> Result<Option<Metrics>, Failure> {
        let (network, mut model) = (&self.model.network, self.model.clone());
        if network.depth() == 1 {
            return Ok(None);
        }
        model.network =
            Network::dense(&[network.inputs(), network.outputs()], Activation::Identity)?;
        model.weights = vec![0.0; model.network.parameters()];
        if model.weights.len() > BESIDE {
            return Ok(None);
        }
        let problem = self.train.problem(&model, Device::cpu())?;
        let method = Auto { max_iter: 100, time_limit: Some(TIME), ..Auto::default() };
        let Ok(fit) = method.fit(&problem, &model.weights, &mut silent) else {
            return Ok(None);
        };
        model.weights = fit.w;
        let rows = if self.test.lines.is_empty() { &self.train } else { &self.test };
        Metrics::of(&model, rows)
    }

    /// The rows in the units of the table.
    pub fn points(&self, model: &Model) -> Result<Vec<Points>, Failure> {
        Ok(vec![
            Points::of_table("training rows", model, &self.train)?,
            Points::of_table("test rows", model, &self.test)?,
        ])
    }
}

/// Rows to train and rows to test, each in the order of the file. Classes are divided one by one, and each keeps a row
/// to train.
fn split(data: &Dataset, fraction: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    // Another stream than that of the starts, which are drawn with the same seed.
    let mut rng = Pcg64::seed_from_u64(seed ^ 0x7e57_7e57_7e57_7e57);
    let groups: Vec<Vec<usize>> = match &data.target {
        Target::Numbers(y) => vec![(0..y.len()).collect()],
        Target::Classes { labels, index } => {
            let mut groups = vec![Vec::new(); labels.len()];
            (index.iter().enumerate()).for_each(|(row, &class)| groups[class].push(row));
            groups
        }
    };
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for mut rows in groups {
        rows.shuffle(&mut rng);
        let held = (rows.len() as f64 * fraction).round() as usize;
        let held = held.min(rows.len().saturating_sub(1));
        train.extend(rows.split_off(held));
        test.extend(rows);
    }
    train.sort_unstable();
    test.sort_unstable();
    (train, test)
}
