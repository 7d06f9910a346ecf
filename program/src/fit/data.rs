//! The fit of a table: its rows, and the model before training.

use ndarray::Axis;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use secondo::io::{Dataset, Model, Standardization, Target};
use secondo::{Device, Error, Fit, Loss, Penalty, Problem, Reduction};

use super::job::{Ended, Job};
use super::loss;
use super::network::{Architecture, network};
use super::options::Options;
use super::report::{Choices, DataFacts, Measured, Objective, Subject, TableFacts};
use crate::exit::Failure;
use crate::metrics::Metrics;
use crate::plot::Points;
use crate::table::{Rows, column};
use crate::training::Start;

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
    let (model, warnings) = model(options, &data, target, &train_rows)?;
    let (train, test) = (Rows::of(&data, &train_rows), Rows::of(&data, &test_rows));
    if (train.weights.as_ref()).is_some_and(|w| w.iter().all(|w| *w == 0.0)) {
        let why = "every row with a weight above 0 was held out for the test; use another --seed or a smaller --test-fraction";
        return Err(in_data(options, None, why.into()));
    }
    let problem = train.problem(&model, device)?;
    let rule = options.starts.rule(options.network.activation());
    let starts = starts(&problem, seed..=last, rule)?;
    let facts = TableFacts {
        data: data_facts(options, &data, &model, &train, &test),
        standardization: model.standardization.clone(),
        metrics: Measured::default(),
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

fn starts(
    problem: &Problem,
    seeds: std::ops::RangeInclusive<u64>,
    rule: secondo::Initialization,
) -> Result<Vec<Start>, Error> {
    let x = problem.data().x();
    seeds.map(|seed| Ok((Some(seed), rule.draw_from(problem.network(), x, seed)?))).collect()
}

fn data_facts(
    options: &Options,
    data: &Dataset,
    model: &Model,
    train: &Rows,
    test: &Rows,
) -> DataFacts {
    DataFacts {
        file: options.data.display().to_string(),
        rows: data.lines.len(),
        dropped: data.dropped,
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
        let metrics = Measured { train: measure(&self.train), test: measure(&self.test) };
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

    /// The rows in the units of the table.
    pub fn points(&self, model: &Model) -> Result<Vec<Points>, Failure> {
        Ok(vec![
            Points::of_table("training rows", model, &self.train)?,
            Points::of_table("test rows", model, &self.test)?,
        ])
    }
}

/// A failure in the table, or in a line of its target.
fn in_data(options: &Options, line: Option<u64>, why: String) -> Failure {
    let target = options.target.target().ok().map(String::from);
    Failure::from(Error::Format { path: options.data.clone(), line, column: line.and(target), why })
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

/// The model before training, with what the user should know about the data.
fn model(
    options: &Options,
    data: &Dataset,
    target: &str,
    train_rows: &[usize],
) -> Result<(Model, Vec<String>), Failure> {
    let objective = &options.objective;
    let given = [objective.delta, objective.dispersion];
    let loss = loss::choose(objective.loss.as_deref(), given, data)?;
    if let Target::Numbers(y) = &data.target {
        let refused = |(i, y): (usize, &f64)| Some((i, loss.refuses(*y)?));
        if let Some((i, why)) = y.iter().enumerate().find_map(refused) {
            let why = format!("{} {why}; the loss {} is not defined there", y[i], loss.name());
            return Err(in_data(options, Some(data.lines[i]), why));
        }
    }
    let classes = match &data.target {
        Target::Numbers(_) => Vec::new(),
        Target::Classes { labels, .. } => labels.clone(),
    };
    let outputs = match loss {
        Loss::SoftmaxCrossEntropy => classes.len(),
        _ => 1,
    };
    let (standardization, warnings) = standardization(data, &loss, target, train_rows)?;
    let network = network(&options.network, data.features.len(), outputs)?;
    let weights = vec![0.0; network.parameters()];
    let mut model = Model::new(network, weights, loss)?;
    model.features = data.features.clone();
    model.targets = vec![target.to_string()];
    model.classes = classes;
    model.standardization = standardization;
    let lambda = options.objective.ridge.unwrap_or(1.0);
    if lambda > 0.0 {
        model.penalty =
            Penalty::Ridge { lambda, include_bias: options.objective.ridge_bias.unwrap_or(true) };
    }
    if options.objective.mean {
        model.reduction = Reduction::Mean;
    }
    model.check()?;
    Ok((model, warnings))
}

/// Mean and scale of the rows to train with, and warnings on columns and classes.
fn standardization(
    data: &Dataset,
    loss: &Loss,
    target: &str,
    train_rows: &[usize],
) -> Result<(Standardization, Vec<String>), Failure> {
    let x = data.x.select(Axis(0), train_rows);
    let (mut standardization, mut warnings) = Standardization::of_inputs(&x, &data.features, 1)?;
    match &data.target {
        Target::Numbers(y) if loss::shifts(loss) => {
            let y: Vec<f64> = train_rows.iter().map(|&i| y[i]).collect();
            let more;
            (standardization, more) =
                standardization.with_targets(&column(&y), &[target.to_string()])?;
            warnings.extend(more);
        }
        Target::Numbers(_) => {}
        Target::Classes { labels, index } => {
            let mut counts = vec![0usize; labels.len()];
            train_rows.iter().for_each(|&i| counts[index[i]] += 1);
            let single: Vec<&str> = (labels.iter().zip(&counts))
                .filter(|(_, count)| **count == 1)
                .map(|(label, _)| label.as_str())
                .take(10)
                .collect();
            if !single.is_empty() {
                warnings.push(format!("there is only one row to train for: {}", single.join(", ")));
            }
        }
    }
    Ok((standardization, warnings))
}
