//! The problem at its estimate: a problem file, or a model with its table.

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args};
use ndarray::Array2;
use secondo::inference::{Names, Scaling};
use secondo::io::{Column, Model, ProblemFile, Standardization, Unknown};
use secondo::{Auto, Constraint, Device, Method, Network, Problem, silent};
use serde_json::{Map, Value, json};

use crate::computing::start_threads;
use crate::exit::{Exit, Failure};
use crate::files::{self, Kind};
use crate::given::given;
use crate::metrics::Metrics;
use crate::objective::uncounted;
use crate::output::{Results, has_extension, json_text, plural, say_note};
use crate::plot;
use crate::table::{Rows, TableOptions, ToPredict, left_out};

/// Where the estimate comes from, and where the report goes.
#[derive(Debug, Args)]
pub struct SourceOptions {
    /// A problem file (.json), whose W is the estimate, or a model (.safetensors)
    source: PathBuf,
    /// The table that trained the model, with the target: a text file with a header, .parquet, .npy or .npz; - is standard input
    data: Option<PathBuf>,
    /// Go on to the minimum on these rows first
    #[arg(long)]
    polish: bool,
    /// Write the report to this file as JSON
    #[arg(long, help_heading = "Output", value_name = "FILE.json")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    table: TableOptions,
}

/// A problem at its estimate.
pub struct Source {
    pub problem: Problem,
    /// W, or θ under a constraint.
    pub w: Vec<f64>,
    pub names: Names,
    /// The units of a model's table.
    pub scaling: Option<Scaling>,
    /// Rows to predict.
    pub x_new: Option<Array2<f64>>,
    /// The model, or that of the problem file.
    pub model: Option<Model>,
    /// The rows of a model's table that did not train it.
    pub held_out: Option<Rows>,
    /// Assumptions that the user should know.
    pub notes: Vec<String>,
}

impl SourceOptions {
    /// Writes the report, if one is asked for; a failure, which was said, if its file or that of a result before refused it.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_report(
        &self,
        mut results: Results,
        found: Map<String, Value>,
    ) -> Result<(), Failure> {
        let version = concat!("secondo ", env!("CARGO_PKG_VERSION"));
        let mut report = Map::from_iter([("written_by".to_string(), json!(version))]);
        report.extend(found);
        let text = json_text(&report);
        results
            .keep(Kind::Inference, self.report.as_deref(), &|out| out.write_all(text.as_bytes()));
        results.end()
    }

    /// Reads everything; `model` and `plots` are the files that will be written besides the report. With `removed` the weights of a
    /// model that are exactly 0 count as removed.
    ///
    /// # Errors
    /// Files that cannot be read or written, options that do not fit them.
    pub fn load(
        &self,
        matches: &ArgMatches,
        model: Option<&Path>,
        plots: &[PathBuf],
        removed: bool,
    ) -> Result<Source, Failure> {
        plot::check(plots.iter().map(AsRef::as_ref))?;
        let report = self.report.as_deref().map(|path| (Kind::Inference, path));
        let outputs: Vec<_> = (report.into_iter())
            .chain(model.map(|path| (Kind::Model, path)))
            .chain(plots.iter().map(|path| (Kind::Plot, path.as_path())))
            .collect();
        let inputs: Vec<&Path> =
            std::iter::once(self.source.as_path()).chain(self.data.as_deref()).collect();
        files::check(&inputs, None, &outputs)?;
        start_threads(None)?;
        let mut source = match &self.data {
            None if has_extension(&self.source, "safetensors") => Err(Failure::usage(
                "a model needs the table that trained it: MODEL.safetensors DATA.csv",
            )),
            None => match given::<TableOptions>(matches).first() {
                Some(option) => Err(Failure::usage(format!(
                    "{option} is for tables; a problem file holds its data"
                ))),
                None => self.problem_file(),
            },
            Some(data) if has_extension(&self.source, "json") => Err(Failure::usage(format!(
                "{} is a problem file and holds its data; leave out {}",
                self.source.display(),
                data.display()
            ))),
            Some(data) => of_model(Model::load(&self.source)?, &self.table, data),
        }?;
        if model.is_some() && source.model.is_none() {
            let why = "a model cannot hold this problem: it has several outputs of bce_logits";
            return Err(Failure::usage(why));
        }
        if removed {
            source = source.without_zeros()?;
        }
        source.notes.iter().for_each(|note| say_note(note));
        if self.polish {
            let method = Auto { gtol: 1e-13, ..Auto::default() };
            let fit = method.fit(&source.problem, &source.w, &mut silent)?;
            if !fit.value.is_finite() {
                let message = "the fit found no finite value".to_string();
                return Err(Failure { exit: Exit::Numerical, message });
            }
            source.w = fit.w;
        }
        Ok(source)
    }

    fn problem_file(&self) -> Result<Source, Failure> {
        let file = ProblemFile::from_path(&self.source)?;
        let network = file.problem.network();
        let names = Names::numbered(network);
        // Several Bernoulli outputs are no model.
        let weights = file.weights(&file.parameters)?;
        let model = Model::new(network.clone(), weights, file.problem.loss().clone()).ok();
        let model = model.map(|mut model| {
            model.penalty = file.penalty.clone();
            model
        });
        Ok(Source {
            problem: file.problem.clone().on(Device::Cpu),
            w: file.parameters,
            names,
            scaling: None,
            x_new: file.x_new,
            model,
            held_out: None,
            notes: Vec::new(),
        })
    }

    /// The rows of a table as the network sees them: by the names of the inputs, or in their order.
    ///
    /// # Errors
    /// A table that cannot be read, or has not the inputs.
    pub fn rows_to_predict(&self, source: &Source, path: &Path) -> Result<Array2<f64>, Failure> {
        let table = self.table.open(path)?;
        if let (Some(model), Some(_)) = (&source.model, &source.scaling) {
            let ToPredict { rows, notes, dropped, .. } =
                self.table.rows_to_predict(model, &table, Unknown::default())?;
            notes.iter().cloned().chain(left_out(dropped)).for_each(|note| say_note(&note));
            return Ok(model.standardization.inputs(&rows.x)?);
        }
        let inputs = source.problem.network().inputs();
        let of = |names: &[String]| names.iter().map(Column::number).collect::<Vec<_>>();
        let columns = match table.places(&of(&source.names.inputs)) {
            Ok(_) => of(&source.names.inputs),
            Err(_) if table.names().len() == inputs => of(table.names()),
            Err(error) => return Err(error.into()),
        };
        let rows: Vec<usize> = (0..table.rows()).collect();
        Ok(table.inputs(&columns, &rows, Unknown::default())?)
    }
}

/// A model at the rows of its table that trained it.
///
/// # Errors
/// A table that cannot be read, or has not the columns of the model.
pub fn of_model(mut model: Model, options: &TableOptions, data: &Path) -> Result<Source, Failure> {
    refuse_weights(&model)?;
    let table = options.open(data)?;
    let (mut rows, mut notes) = options.rows(&model, &table, Unknown::default())?;
    let all = rows.lines.len();
    let mut held_out = None;
    notes.push(match &model.training {
        Some(training) if training.rows == rows.lines.len() => {
            let trained = rows.without(&training.held_out);
            held_out = Some(rows.without(&trained.lines)).filter(|held| !held.lines.is_empty());
            rows = trained;
            format!(
                "trained by {}; held out: {}",
                plural(rows.lines.len(), "row"),
                training.held_out.len()
            )
        }
        Some(training) => format!(
            "the model was trained on a table of {}, not of {}; --polish fits it to these",
            plural(training.rows, "row"),
            rows.lines.len()
        ),
        None => "the model does not say which rows trained it; all are taken".into(),
    });
    // The lines of another table are none of this.
    model.training = model.training.filter(|t| t.rows == all);
    let Standardization { x_scale, y_mean, y_scale, .. } = model.standardization.clone();
    let m = model.network.outputs();
    let of_outputs =
        |values: Vec<f64>, rest: f64| if values.len() == m { values } else { vec![rest; m] };
    let outputs = model.outputs_named();
    Ok(Source {
        problem: rows.problem(&model, Device::Cpu)?,
        w: model.free_parameters()?,
        names: Names { inputs: model.features.clone(), outputs },
        scaling: Some(Scaling {
            x_scale,
            y_scale: of_outputs(y_scale, 1.0),
            y_mean: of_outputs(y_mean, 0.0),
        }),
        x_new: None,
        model: Some(model),
        held_out,
        notes,
    })
}

impl Source {
    /// Takes weights of a model that are exactly 0, as pruning leaves them, for fixed: what was removed is no parameter.
    ///
    /// # Errors
    /// None that a model can cause.
    pub fn without_zeros(mut self) -> Result<Self, Failure> {
        let p = self.problem.network().parameters();
        let kept: Vec<usize> =
            (0..p).filter(|&l| self.w.get(l).is_some_and(|w| *w != 0.0)).collect();
        let is_tied = self.w.len() != p;
        if self.scaling.is_none() || is_tied || kept.len() == p || kept.is_empty() {
            return Ok(self);
        }
        let removed = p - kept.len();
        self.notes.push(format!("{removed} weights are exactly 0: they count as removed"));
        let ties = kept.iter().enumerate().map(|(a, &l)| (l, a, 1.0)).collect();
        let constraint = Constraint::new(vec![0.0; p], kept.len(), ties)?;
        self.problem = self.problem.constraint(constraint)?;
        self.w = kept.iter().map(|&l| self.w[l]).collect();
        Ok(self)
    }
}

/// The error of a network with these weights on the rows that did not train it: RMSE, or for classes the mean log loss; none where
/// there are none.
///
/// # Errors
/// Predictions that cannot be made.
pub fn held_out_error(
    source: &Source,
    network: &Network,
    weights: &[f64],
) -> Result<Option<f64>, Failure> {
    let (Some(rows), Some(model)) = (&source.held_out, &source.model) else {
        return Ok(None);
    };
    let mut model = model.clone();
    (model.network, model.weights) = (network.clone(), weights.to_vec());
    Ok(Metrics::of(&model, rows)?.map(|metrics| match metrics {
        Metrics::Classification { log_loss, .. } => log_loss,
        Metrics::Regression { rmse, .. } => rmse,
    }))
}

/// Refuses a model whose objective weighs rows by what is no count of them.
fn refuse_weights(model: &Model) -> Result<(), Failure> {
    let Some(what) = uncounted(model) else {
        return Ok(());
    };
    Err(Failure::usage(format!(
        "the model has {what}: its objective weighs the rows by numbers that are no counts, and no inference is drawn from it; fit \
         without {what}"
    )))
}

/// The model of a source with other weights, which may be free ones.
///
/// # Errors
/// A source that no model can hold.
pub fn model_with(source: &Source, weights: Vec<f64>) -> Result<Model, Failure> {
    let mut model = source.model.clone().ok_or_else(|| {
        Failure::usage("a model cannot hold this problem: it has several outputs of bce_logits")
    })?;
    if weights.len() == model.weights.len() {
        model.weights = weights;
        return Ok(model);
    }
    Ok(model.with_free_parameters(&weights)?)
}
