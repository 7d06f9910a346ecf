//! The parts of a fit of rows that are read as they are needed: the file, a model before training, its starts and its objective.

use std::sync::Arc;

use ndarray::Array2;
use secondo::io::{Coding, Column, Dataset, FileSamples, Model, Target};
use secondo::{Constraint, Device, Error, Initialization, Loss, Network, Problem, Samples};

use super::model::{Candidate, idle_weights, model};
use super::options::Options;
use super::part::Part;
use super::spread::{Spread, substitute};
use crate::exit::Failure;
use crate::table::Rows;

/// The file of a table, whose columns are read by their codings.
pub struct Source<'a> {
    pub options: &'a Options,
    outputs: Vec<Column>,
    classes: Vec<String>,
}

impl<'a> Source<'a> {
    /// The file that the options name, for this target.
    pub fn of(options: &'a Options, data: &Dataset, loss: &Loss, classes: Vec<String>) -> Self {
        let outputs = match &data.target {
            Target::Numbers(_) => data.targets.iter().map(Column::number).collect(),
            Target::Classes { labels, .. } => {
                // Two classes are one target, 0 or 1; several are one indicator each.
                let reference = matches!(loss, Loss::BinaryCrossEntropy).then_some(0);
                let coding = Coding::Levels { levels: labels.clone(), reference };
                data.targets
                    .iter()
                    .map(|name| Column { name: name.clone(), coding: coding.clone(), fill: None })
                    .collect()
            }
        };
        Source { options, outputs, classes }
    }

    /// The names of the classes, none of numbers.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The rows with these columns.
    ///
    /// # Errors
    /// Those of reading.
    pub fn open(&self, columns: &[Column]) -> Result<Arc<FileSamples>, Error> {
        let Options { data, table, .. } = self.options;
        FileSamples::coded(data, &table.dialect(), columns, &self.outputs, table.weights())
            .map(Arc::new)
    }

    /// Learns the substitutes for missing values in `columns` from the first of the parts, and puts them into all.
    ///
    /// # Errors
    /// Those of reading.
    pub fn fill<const N: usize>(
        &self,
        columns: &mut [Column],
        parts: [&mut Part; N],
    ) -> Result<(), Error> {
        if parts[0].rows() > 0 && substitute(columns, parts[0])? {
            let file = self.open(columns)?;
            parts.into_iter().for_each(|part| *part = part.over(&file));
        }
        Ok(())
    }
}

/// The model of a candidate before training.
///
/// # Errors
/// A network that there cannot be, or that needs rows to start from.
pub fn model_of(
    options: &Options,
    data: &Dataset,
    spread: &Spread,
    candidate: &Candidate,
) -> Result<Model, Failure> {
    let mut shapes = shapes(data, spread);
    let rows = Rows::take(&mut shapes);
    let (mut model, _) = model(options, &shapes, candidate, &rows)?;
    let mut groups = model.network.layers().iter().flat_map(|layer| &layer.groups);
    if !groups.all(|group| group.propagation.is_linear()) {
        return Err(Failure::usage(
            "radial units start at rows of the table, which --stream does not hold: take other units, or leave --stream out",
        ));
    }
    model.standardization = spread.standardization.clone();
    Ok(model)
}

/// Where the fits of a model start.
pub struct Starts<'a> {
    pub rule: Initialization,
    network: &'a Network,
    /// Weights that the data do not determine.
    idle: Vec<usize>,
    ties: Option<Constraint>,
}

impl<'a> Starts<'a> {
    /// Those of a model of a candidate.
    ///
    /// # Errors
    /// Ties that there cannot be.
    pub fn of(
        options: &Options,
        candidate: &Candidate,
        model: &'a Model,
        spread: &Spread,
    ) -> Result<Self, Error> {
        let (rule, network) = (options.starts.rule(&candidate.network), &model.network);
        let idle = idle_weights(network, &spread.idle);
        Ok(Starts { rule, network, idle, ties: model.ties()? })
    }

    /// The start with a seed.
    ///
    /// # Errors
    /// Those of the ties.
    pub fn with(&self, seed: u64) -> Result<Vec<f64>, Error> {
        let mut start = self.rule.draw(self.network, seed);
        self.idle.iter().for_each(|&l| start[l] = 0.0);
        self.ties.as_ref().map_or(Ok(start.clone()), |ties| ties.project(&start))
    }
}

/// The objective of a model over some rows.
pub fn problem_of(model: &Model, rows: &Part, device: Device) -> Result<Problem, Error> {
    let rows = Arc::new(rows.in_objective(model));
    let problem = Problem::over(model.network.clone(), rows, model.loss.clone())?
        .penalty(model.penalty.clone())?
        .reduction(model.reduction)
        .on(device);
    match model.ties()? {
        Some(ties) => problem.constraint(ties),
        None => Ok(problem),
    }
}

/// The data set with one row for each class, of the weight of all its rows, or one row: from it follow sizes and weights of classes.
fn shapes(data: &Dataset, spread: &Spread) -> Dataset {
    let mut out = data.clone();
    let rows = spread.class_sums.len().max(1);
    out.x = Array2::ones((rows, data.features.len()));
    out.lines = vec![1; rows];
    out.weights = None;
    match &mut out.target {
        Target::Numbers(y) => *y = Array2::ones((1, data.targets.len())),
        Target::Classes { index, .. } => {
            *index = (0..rows).collect();
            out.weights = Some(spread.class_sums.clone());
        }
    }
    out
}
