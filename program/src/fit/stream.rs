//! The fit of a table whose rows are read as they are needed: memory does not depend on their number.
//!
//! The columns are numbers and the task is a regression. Which rows are held out follows from a hash of seed and number, so that no
//! list of them is kept; means, scales and figures are sums over walks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::Array2;
use secondo::io::{Dataset, Dialect, FileSamples, Model, Standardization, Table, TrainingRows};
use secondo::{Device, Error, Fit, Problem, Reason, Samples, Walk, Window};

use super::job::{Ended, Job};
use super::loss;
use super::model::{Sizes, candidates, idle_weights, model};
use super::network::Architecture;
use super::options::Options;
use super::report::{Choices, DataFacts, Measured, Objective, Subject, TableFacts};
use crate::exit::Failure;
use crate::metrics::Metrics;
use crate::output::has_extension;
use crate::table::Rows;
use crate::training::Start;

/// Numbers that are read at once where rows are measured: 1 MiB.
const PART: usize = 1 << 17;

/// The rows by their use, and the model.
pub struct StreamFit {
    facts: TableFacts,
    model: Model,
    train: Part,
    test: Part,
}

/// Rows of the file of which the kept ones are counted, so that a walk can begin among them.
const BLOCK: usize = 1 << 16;

/// The rows of a file that are trained with, or those that are held out.
#[derive(Debug, Clone)]
struct Part {
    file: Arc<FileSamples>,
    seed: u64,
    fraction: f64,
    is_test: bool,
    rows: usize,
    /// How many of them stand before each block of the file.
    before: Arc<Vec<usize>>,
    /// The means and scales of inputs and target, where they are standardised.
    scaling: Option<Arc<Standardization>>,
}

/// The fit of the file that the options name.
///
/// # Errors
/// A file that cannot be read or has other columns than numbers; options that need all rows at once.
pub fn prepare(options: &Options, device: Device) -> Result<(Job, StreamFit), Failure> {
    let begin = Instant::now();
    check(options)?;
    let data = columns(options)?;
    let weights = options.table.weights();
    let inputs: Vec<&str> = data.features.iter().map(String::as_str).collect();
    let outputs: Vec<&str> = data.targets.iter().map(String::as_str).collect();
    let file = Arc::new(FileSamples::open(&options.data, &inputs, &outputs, weights)?);
    let (seed, fraction) = (options.starts.seed(), options.division.test_fraction());
    let [train, test] = [false, true].map(|is_test| Part::new(&file, seed, fraction, is_test));
    if train.rows == 0 {
        return Err(Failure::usage("no row is left to train: all are held out"));
    }
    let sizes = Sizes::of(options, &data, train.rows)?;
    let of_stream = || Some("the rows are read as they are needed");
    let (candidates, _) = candidates(options, &sizes, &of_stream)?;
    let candidate = &candidates[0];
    let mut shapes = data.clone();
    let (mut model, _) = model(options, &data, candidate, &Rows::take(&mut shapes))?;
    let mut groups = model.network.layers().iter().flat_map(|layer| &layer.groups);
    if !groups.all(|group| group.propagation.is_linear()) {
        return Err(Failure::usage(
            "radial units start at rows of the table, which --stream does not hold: take other units, or leave --stream out",
        ));
    }
    let (scaling, idle, warnings) = spread(&train, &model)?;
    if test.rows == 0 {
        model.training = Some(TrainingRows { rows: train.rows, held_out: Vec::new() });
    }
    model.standardization = scaling;
    let scaled = train.scaled(&model);
    let problem = Problem::over(model.network.clone(), Arc::new(scaled), model.loss.clone())?
        .penalty(model.penalty.clone())?
        .reduction(model.reduction)
        .on(device);
    let rule = options.starts.rule(&candidate.network);
    let idle = idle_weights(problem.network(), &idle);
    let starts: Vec<Start> = (options.starts.seeds(candidate.starts))
        .map(|seed| {
            let mut start = rule.draw(problem.network(), seed);
            idle.iter().for_each(|&l| start[l] = 0.0);
            (Some(seed), start)
        })
        .collect();
    let facts = TableFacts {
        data: data_facts(options, &data, [&train, &test]),
        standardization: model.standardization.clone(),
        metrics: Measured::default(),
        validation: None,
        evidence: None,
        choices: Choices {
            architecture: Architecture::of(&candidate.network),
            init: rule.name().into(),
            test_fraction: fraction,
            seed,
        },
    };
    let job = Job {
        subject: Subject::Table(Box::new(facts.clone())),
        objective: Objective::of(&model),
        problem,
        validation: None,
        starts,
        warnings,
        reading: begin.elapsed(),
        choosing: Duration::ZERO,
    };
    Ok((job, StreamFit { facts, model, train, test }))
}

/// Refuses what needs all rows at once.
fn check(options: &Options) -> Result<(), Failure> {
    options.starts.check()?;
    let data = &options.data;
    if !has_extension(data, "parquet") && !has_extension(data, "npy") && !data.is_dir() {
        return Err(Failure::usage(format!(
            "{}: --stream reads .parquet, .npy and folders of them; 'secondo convert {} table.parquet' makes one",
            data.display(),
            data.display()
        )));
    }
    let division = &options.division;
    division.check(false)?;
    let is_divided = division.cv.is_some() || division.repeats.is_some() || division.stops_early();
    let refused = [
        ("several values of --ridge, --hidden or --activation", options.leave_a_choice()),
        ("--ridge evidence", options.objective.evidence().is_some()),
        ("--cv, --repeats, --validation-fraction and --validation-column", is_divided),
        ("--groups", division.groups.is_some()),
        ("--encode, --exposure, --offset and --task classification", options.target.is_special()),
        ("--missing and --na", options.table.is_lenient()),
        ("--plot", !options.plot.is_empty()),
        (
            "--delimiter, --decimal, --thousands, --comment, --encoding, --header and --row-names, which are for text,",
            options.table.is_for_text(),
        ),
    ];
    match refused.iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((what, _)) => Err(Failure::usage(format!(
            "--stream reads the rows one part at a time, for a regression on numbers, and cannot have {what}; leave that or --stream out"
        ))),
    }
}

/// The columns by their use: those of a table with the same columns and one row.
fn columns(options: &Options) -> Result<Dataset, Failure> {
    let names = FileSamples::columns(&options.data)?;
    let mut csv = csv::Writer::from_writer(Vec::new());
    let written =
        csv.write_record(&names).and_then(|()| csv.write_record(names.iter().map(|_| "1")));
    let text = written.ok().and_then(|()| csv.into_inner().ok()).unwrap_or_default();
    let dialect = Dialect {
        delimiter: Some(b','),
        decimal: Some('.'),
        header: Some(true),
        ..Dialect::default()
    };
    let table = Table::parse(&String::from_utf8_lossy(&text), &options.data, &dialect)?;
    let data =
        options.table.dataset(&table, &options.target, None, [None, None]).map_err(|failure| {
            let why = "--stream knows the columns of numbers alone";
            Failure { message: format!("{}; {why}", failure.message), ..failure }
        })?;
    match data.targets.len() {
        1 => Ok(data),
        _ => Err(Failure::usage("--stream learns one target")),
    }
}

fn data_facts(options: &Options, data: &Dataset, [train, test]: [&Part; 2]) -> DataFacts {
    let mut remarks = vec![
        "the rows are read as they are needed: a regression on the columns of numbers".to_string(),
    ];
    if test.rows > 0 {
        remarks.push("the rows to test are chosen by a hash of their number".into());
        let why = "the model does not name them: infer and predict --interval need a fit with --test-fraction 0";
        remarks.push(why.into());
    }
    DataFacts {
        file: options.data.display().to_string(),
        rows: train.rows + test.rows,
        dropped: 0,
        weightless: 0,
        found: Vec::new(),
        columns: Vec::new(),
        remarks,
        train_rows: train.rows,
        validation_rows: 0,
        test_rows: test.rows,
        test_lines: Vec::new(),
        features: data.features.clone(),
        target: data.targets.join(", "),
        task: data.task(),
        task_guessed: None,
        other_task_possible: false,
        classes: Vec::new(),
        class_weights: Vec::new(),
        reference_class: None,
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
            let (train, test) = (measure(&self.train), measure(&self.test));
            Measured { train, test, ..Measured::default() }
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

/// A number from 0 to less than 1 for a row: the function mix of SplitMix64 (Steele, Lea and Flood 2014).
fn hash(seed: u64, row: usize) -> f64 {
    let mut z = seed.wrapping_add((row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

impl Part {
    fn new(file: &Arc<FileSamples>, seed: u64, fraction: f64, is_test: bool) -> Self {
        let before = Arc::default();
        let file = file.clone();
        let mut part = Part { file, seed, fraction, is_test, rows: 0, before, scaling: None };
        let mut counts = Vec::new();
        for first in (0..part.file.rows()).step_by(BLOCK) {
            counts.push(part.rows);
            part.rows += part.kept(first).take_while(|row| *row < first + BLOCK).count();
        }
        part.before = Arc::new(counts);
        part
    }

    /// The rows of the file from `first` on that are among these.
    fn kept(&self, first: usize) -> impl Iterator<Item = usize> {
        (first..self.file.rows()).filter(|row| self.has(*row))
    }

    /// The same rows as the network sees them.
    fn scaled(&self, model: &Model) -> Self {
        Part { scaling: Some(Arc::new(model.standardization.clone())), ..self.clone() }
    }

    /// Rows that are read at once.
    fn step(&self) -> usize {
        (PART / (self.inputs() + self.outputs() + 1)).max(1)
    }

    fn has(&self, row: usize) -> bool {
        (hash(self.seed, row) < self.fraction) == self.is_test
    }

    /// Calls `f` with all rows, some at a time.
    fn each(&self, mut f: impl FnMut(&Window) -> Result<(), Error>) -> Result<(), Error> {
        let mut walk = self.walk(0)?;
        let step = self.step();
        for first in (0..self.rows).step_by(step) {
            let mut window = Window::default();
            walk.next(step.min(self.rows - first), &mut window)?;
            f(&window)?;
        }
        Ok(())
    }

    /// How well a model predicts these rows; none without rows or weight.
    fn metrics(&self, model: &Model) -> Result<Option<Metrics>, Error> {
        let centre = model.standardization.y_mean.first().copied().unwrap_or(0.0);
        // Σ ω, Σ ω (y − c), Σ ω (y − c)², Σ ω (y − ŷ)², Σ ω |y − ŷ|.
        let (mut sums, mut rows) = ([0.0; 5], 0);
        self.each(|window| {
            let shape = (window.weights.len(), self.inputs());
            let x = Array2::from_shape_vec(shape, window.x.clone()).unwrap_or_default();
            let predicted = model.predict(&x)?;
            for ((y, omega), predicted) in window.y.iter().zip(&window.weights).zip(&predicted) {
                let (d, e) = (y - centre, y - predicted);
                let terms = [1.0, d, d * d, e * e, e.abs()];
                sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += omega * term);
                rows += usize::from(*omega > 0.0);
            }
            Ok(())
        })?;
        let [total, first, second, squares, sizes] = sums;
        let spread = second - first * first / total;
        Ok((total > 0.0).then(|| Metrics::Regression {
            rows,
            rmse: (squares / total).sqrt(),
            mae: sizes / total,
            r2: (spread > 0.0).then(|| 1.0 - squares / spread),
            deviance: None,
            targets: Vec::new(),
        }))
    }
}

/// Mean and scale of the columns, in one walk (Welford's sums, with the weights of West 1979), the inputs that are constant, and warnings on
/// constant columns.
fn spread(
    train: &Part,
    model: &Model,
) -> Result<(Standardization, Vec<usize>, Vec<String>), Error> {
    let columns = train.inputs() + 1;
    // Mean, Σ ω (x − mean)², and the first value, if all were equal to it.
    let mut sums = vec![(0.0, 0.0, None, true); columns];
    let mut total = 0.0;
    train.each(|window| {
        let rows = window.x.chunks_exact(columns - 1).zip(&window.y).zip(&window.weights);
        for ((x, y), omega) in rows.filter(|(_, omega)| **omega > 0.0) {
            total += omega;
            for (value, (mean, squares, first, is_constant)) in x.iter().chain([y]).zip(&mut sums) {
                let before = value - *mean;
                *mean += before * (omega / total);
                *squares += omega * before * (value - *mean);
                *is_constant = *is_constant && *value == *first.get_or_insert(*value);
            }
        }
        Ok(())
    })?;
    let mut out = Standardization::none(columns - 1, 1);
    let (mut warnings, mut idle) = (Vec::new(), Vec::new());
    let names = model.features.iter().chain(&model.targets);
    for (c, ((mean, squares, first, is_constant), name)) in sums.into_iter().zip(names).enumerate()
    {
        let (mut mean, mut scale) = (mean, f64::sqrt(squares / total));
        if is_constant {
            (mean, scale) = (first.unwrap_or(0.0), 1.0);
            idle.extend((c < columns - 1).then_some(c));
            warnings.push(format!(
                "the column '{name}' is constant ({mean}); it is only centred, with scale 1"
            ));
        }
        if !mean.is_finite() || !scale.is_finite() || scale <= 0.0 {
            return Err(Error::Invalid {
                what: format!("column '{name}'"),
                why: "its spread is beyond the range of a 64-bit float; rescale it".into(),
            });
        }
        if c < columns - 1 {
            (out.x_mean[c], out.x_scale[c]) = (mean, scale);
        } else if loss::shifts(&model.loss) {
            (out.y_mean[0], out.y_scale[0]) = (mean, scale);
        }
    }
    Ok((out, idle, warnings))
}

impl Samples for Part {
    fn rows(&self) -> usize {
        self.rows
    }

    fn inputs(&self) -> usize {
        self.file.inputs()
    }

    fn outputs(&self) -> usize {
        self.file.outputs()
    }

    fn walk(&self, first: usize) -> Result<Box<dyn Walk>, Error> {
        // The block in which it stands is the last with no more than so many before.
        let block = self.before.partition_point(|before| *before <= first).saturating_sub(1);
        let before = self.before.get(block).copied().unwrap_or(0);
        let row = self.kept(block * BLOCK).nth(first - before).unwrap_or(self.file.rows());
        let read = Window::default();
        Ok(Box::new(PartWalk {
            walk: self.file.walk(row)?,
            part: self.clone(),
            row,
            read,
            used: 0,
        }))
    }

    fn held(&self) -> u64 {
        let numbers = self.step() * (self.inputs() + self.outputs() + 1);
        self.file.held() + 8 * numbers as u64
    }
}

/// A walk over some rows of a file.
struct PartWalk {
    part: Part,
    walk: Box<dyn Walk>,
    /// The row after those that were read.
    row: usize,
    /// Rows that were read, of which so many were used.
    read: Window,
    used: usize,
}

impl PartWalk {
    /// Reads the next rows of the file.
    fn more(&mut self) -> Result<(), Error> {
        let rows = self.part.step().min(self.part.file.rows() - self.row);
        if rows == 0 {
            return Err(Error::Invalid { what: "rows".into(), why: "there are no more".into() });
        }
        self.read.x.clear();
        self.read.y.clear();
        self.read.weights.clear();
        self.walk.next(rows, &mut self.read)?;
        (self.row, self.used) = (self.row + rows, 0);
        Ok(())
    }
}

impl Walk for PartWalk {
    fn next(&mut self, rows: usize, window: &mut Window) -> Result<(), Error> {
        let (inputs, outputs) = (self.part.inputs(), self.part.outputs());
        let mut taken = 0;
        while taken < rows {
            if self.used == self.read.weights.len() {
                self.more()?;
            }
            let (at, row) = (self.used, self.row - self.read.weights.len() + self.used);
            self.used += 1;
            if !self.part.has(row) {
                continue;
            }
            taken += 1;
            let x = &self.read.x[at * inputs..(at + 1) * inputs];
            let y = &self.read.y[at * outputs..(at + 1) * outputs];
            let weight = self.read.weights[at];
            let all = || x.iter().chain(y);
            // Here the number of the row in the file is known.
            if let Some((column, v)) = all().enumerate().find(|(_, v)| !v.is_finite()) {
                return Err(self.part.file.refuse(row, column, *v));
            }
            if !weight.is_finite() || weight < 0.0 {
                return Err(self.part.file.refuse(row, inputs + outputs, weight));
            }
            match &self.part.scaling {
                None => {
                    window.x.extend(x);
                    window.y.extend(y);
                }
                Some(of) => {
                    window.x.extend(standard(x, &of.x_mean, &of.x_scale));
                    window.y.extend(standard(y, &of.y_mean, &of.y_scale));
                }
            }
            window.weights.push(weight);
        }
        Ok(())
    }
}

/// (v − mean)/scale of each number.
fn standard<'a>(
    values: &'a [f64],
    mean: &'a [f64],
    scale: &'a [f64],
) -> impl Iterator<Item = f64> + 'a {
    values.iter().zip(mean).zip(scale).map(|((v, mean), scale)| (v - mean) / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_the_rows_is_held_out_whatever_the_seed() {
        for seed in [0, 1, u64::MAX] {
            let held = (0..100_000).filter(|row| hash(seed, *row) < 0.2).count();
            // Four standard deviations.
            assert!((19_494..=20_506).contains(&held), "{seed}: {held}");
        }
        assert_ne!(hash(0, 1), hash(1, 1));
    }
}
