//! `secondo fit`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{ArgAction, Args};
use ndarray::{Array2, Axis};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use secondo::io::{
    Dataset, Model, ProblemFile, Reading, Standardization, Table, Target, Task, loss_from_json,
    loss_to_json, network_from_path, network_to_json, penalty_to_json, write_file,
};
use secondo::{
    Activation, Device, Error, Fit, Group, Initialization, Layer, Loss, LossKind, Network, Penalty,
    Radial, Reason, Reduction,
};
use serde_json::{Map, Value, json};

use super::Failure;
use super::common::{self, Computing, Csv, Known, not_negative};
use super::metrics::Metrics;
use super::output::{
    check_distinct, check_target, emit, has_extension, json_text, say, say_warning,
};
use super::plot::{self, Points};
use super::training::{Method, Trained, fit_json, train};

/// Fits a network to a table, or minimises the objective of a problem file
///
/// For a table (CSV with a header) every column but the target is a feature. Inputs, and the target of a regression,
/// are standardised; a part of the rows is held out to test the fit. The report is printed, and the model is written
/// to a file that 'secondo predict' reads.
///
/// The task is guessed unless --task says it: a target of text is a classification, and so are 2 to 20 different
/// whole numbers with at least five rows for each on average; other numbers are a regression.
///
/// A problem file (.json) holds network, data, loss, penalty and the start; the options for networks and tables do
/// not apply to it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  secondo fit diabetes.csv --target progression
      one hidden layer of 8 tanh units; writes diabetes.safetensors
  secondo fit iris.csv --target species --hidden 16,8 --starts 5
      two hidden layers; the best of five starts is kept
  secondo fit data.csv --target y --hidden none
      a linear model
  secondo fit data.csv --target y --hidden rbf:12
      twelve Gaussian radial basis units, spread over the rows
  secondo fit data.csv --target y --hidden 8,8 --skip
      every layer sees all before it, the inputs too
  secondo fit data.csv --target y --ignore id --missing drop
      leaves out a column, and the rows with gaps
  secondo fit data.csv --target y --max-iter 1000 --report fit.json
      more steps, and a report for programs
  secondo fit growth.csv --target height --plot growth.svg --plot growth.png
      a figure of convergence and, with one input, of the fit, in two formats
  secondo fit problem.json --method newton-rows --report fit.json
      a problem file, from its own start

The objective is the sum of the losses over the rows (with --mean: their mean) plus the penalty.
The same options, data and seed give the same model on the same device.")]
pub struct Options {
    /// The table (CSV with a header) or the problem file (.json)
    data: PathBuf,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    csv: Csv,
    #[command(flatten)]
    method: Method,
    #[command(flatten)]
    computing: Computing,
    /// Write the model here; an existing file is replaced [default: the table's name with .safetensors, in the current folder]
    #[arg(long, help_heading = "Output", value_name = "FILE")]
    model: Option<PathBuf>,
    /// Write the report here as JSON, with all parameters
    #[arg(long, help_heading = "Output", value_name = "FILE.json")]
    report: Option<PathBuf>,
    /// Draw the convergence here, and above it the fit if there is one input; may be given several times
    ///
    /// One figure in one file, as SVG or PNG by its extension: objective and gradient norm against steps, and data and model
    /// against the input, in the units of the data. It is written last: what hinders it takes nothing from model and report.
    #[arg(long, help_heading = "Output", value_name = "FILE.svg|FILE.png")]
    plot: Vec<PathBuf>,
    /// Print nothing but errors
    #[arg(long, help_heading = "Output", short)]
    quiet: bool,
}

/// What only tables need.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network and objective")]
struct TableOptions {
    /// The column to predict; needed for a table
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// regression or classification [default: guessed from the target]
    #[arg(long, value_name = "TASK", value_parser = task)]
    task: Option<Task>,
    /// The hidden layers: their widths, as in 16,8; KIND:WIDTH for radial units; none for a linear model [default: 8]
    ///
    /// KIND is what the form exp(-p/2), p = (x-m)'M(x-m), is trained in: rbf or rbf_iso_log_sigma (one width a unit, by its
    /// logarithm), rbf_iso_sigma, rbf_iso_tau (tau = 1/sigma^2), rbf_diag_log_sigma, rbf_diag_sigma, rbf_diag_tau (a width
    /// for each input), rbf_cholesky (M = LL', always positive definite), rbf_full_sym, rbf_full, rbf_aug (a quadratic in
    /// (x, 1)). In the first layer, centres and widths start from the rows. The penalty holds for both, too.
    #[arg(long, value_name = "LAYERS", value_parser = hidden, allow_hyphen_values = true)]
    hidden: Option<Hidden>,
    /// Feed every layer by all before it, the inputs too, not by the last alone
    #[arg(long)]
    skip: bool,
    /// Take the network from this file, in place of --hidden, --activation and --skip
    ///
    /// The file holds the JSON that a problem file has under 'spec' and a report under 'network', as in
    /// {"inputs": 2, "layers": [{"units": 3, "propagation": "rbf_diag_sigma", "activations": "exp_neg_half"},
    /// {"units": 1, "sources": [0, 1], "activations": "identity"}]}. Radial layers with the activation identity before a
    /// layer of as many units with the propagation normalized make normalised radial units.
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["hidden", "activation", "skip"])]
    architecture: Option<PathBuf>,
    #[arg(long, value_name = "NAME", value_parser = activation, allow_hyphen_values = true, help = activation_help())]
    activation: Option<Activation>,
    /// How the start is drawn: glorot, he, lecun, uniform, normal, zero [default: he for relu and its like, else glorot]
    #[arg(long, value_name = "NAME", value_parser = initialization)]
    init: Option<Initialization>,
    #[arg(long, value_name = "NAME", value_parser = loss_name, help = loss_help())]
    loss: Option<String>,
    /// Where logcosh and pseudo_huber turn from squares to absolute values, in standard deviations of the target [default: 1]
    #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
    delta: Option<f64>,
    /// The dispersion α of negative_binomial: counts of mean μ have the variance μ + α μ² [default: 1]
    #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
    dispersion: Option<f64>,
    /// The factor λ of the penalty ½ λ Σ w² [default: 1]
    #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
    ridge: Option<f64>,
    /// Whether the penalty holds for biases, too [default: true]
    #[arg(long, value_name = "BOOL", action = ArgAction::Set)]
    ridge_bias: Option<bool>,
    /// Minimise the mean of the losses instead of their sum
    #[arg(long)]
    mean: bool,
    /// The part of the rows that is held out for the test, from 0 to less than 1 [default: 0.2]
    #[arg(long, value_name = "X", value_parser = fraction, allow_negative_numbers = true)]
    test_fraction: Option<f64>,
    /// The seed of the hold-out and of the first start [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Fit from this many starts, with the seeds N, N+1, …, and keep the lowest objective [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), allow_negative_numbers = true)]
    starts: Option<u16>,
}

/// The hidden layers.
#[derive(Debug, Clone)]
struct Hidden(Vec<HiddenLayer>);

/// So many units: linear, or radial ones with the activation that makes them Gaussians.
#[derive(Debug, Clone, Copy)]
struct HiddenLayer {
    units: usize,
    form: Option<Radial>,
}

fn task(name: &str) -> Result<Task, String> {
    Task::from_name(name).map_err(|e| e.to_string())
}

fn hidden(text: &str) -> Result<Hidden, String> {
    if text == "none" {
        return Ok(Hidden(Vec::new()));
    }
    let layer = |text: &str| {
        let (form, width) = match text.split_once(':') {
            None => (None, text),
            Some(("rbf", width)) => (Some(Radial::IsotropicLogSigma), width),
            Some((name, width)) => {
                let form = Radial::from_name(name).map_err(|e| format!("{e}, rbf"))?;
                (Some(form), width)
            }
        };
        match width.parse::<usize>() {
            Ok(0) => Err("a layer of zero width; each layer needs at least one unit".to_string()),
            Ok(units) => Ok(HiddenLayer { units, form }),
            Err(_) => Err(format!(
                "'{width}' is not a width; give whole numbers as in 16,8, radial units as in rbf:8, or none"
            )),
        }
    };
    let layers = text.split(',').map(|text| layer(text.trim()));
    Ok(Hidden(layers.collect::<Result<_, _>>()?))
}

fn activation(name: &str) -> Result<Activation, String> {
    Activation::from_name(name).map_err(|e| e.to_string())
}

fn initialization(name: &str) -> Result<Initialization, String> {
    Initialization::from_name(name).map_err(|e| e.to_string())
}

fn loss_name(name: &str) -> Result<String, String> {
    let kind = LossKind::from_name(name).map_err(|e| e.to_string())?;
    Ok(kind.name.into())
}

fn activation_help() -> String {
    format!(
        "The activation of the hidden units that are not radial [default: tanh]: {}, or a formula in u as in \
         'u/(1+exp(-u))': numbers, u, pi, e, + - * / ^, parentheses, these activations as functions, and abs, cosh, erf, \
         expm1, log1p, sinh, tan",
        Activation::ALL.map(Activation::name).join(", ")
    )
}

fn loss_help() -> String {
    format!(
        "{}; {} [default: sos; bce_logits for two classes, softmax_ce for more]",
        names(losses_of_numbers()),
        names(Loss::KINDS.iter().filter(|kind| kind.is_classification))
    )
}

fn names(kinds: impl Iterator<Item = &'static LossKind>) -> String {
    kinds.map(|kind| kind.name).collect::<Vec<_>>().join(", ")
}

/// The losses for numbers whose parameters are options.
fn losses_of_numbers() -> impl Iterator<Item = &'static LossKind> {
    (Loss::KINDS.iter())
        .filter(|kind| !kind.is_classification)
        .filter(|kind| kind.parameters.iter().all(|p| LOSS_PARAMETERS.contains(p)))
}

/// The options that are parameters of losses.
const LOSS_PARAMETERS: [&str; 2] = ["delta", "dispersion"];

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if (0.0..1.0).contains(&v) => Ok(v),
        _ => Err("must be a number from 0 to less than 1".into()),
    }
}

impl TableOptions {
    /// The options that were given, by name.
    fn given(&self) -> Vec<&'static str> {
        [
            ("--target", self.target.is_some()),
            ("--task", self.task.is_some()),
            ("--hidden", self.hidden.is_some()),
            ("--skip", self.skip),
            ("--architecture", self.architecture.is_some()),
            ("--activation", self.activation.is_some()),
            ("--init", self.init.is_some()),
            ("--loss", self.loss.is_some()),
            ("--delta", self.delta.is_some()),
            ("--dispersion", self.dispersion.is_some()),
            ("--ridge", self.ridge.is_some()),
            ("--ridge-bias", self.ridge_bias.is_some()),
            ("--mean", self.mean),
            ("--test-fraction", self.test_fraction.is_some()),
            ("--seed", self.seed.is_some()),
            ("--starts", self.starts.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect()
    }
}

pub fn run(options: &Options) -> Result<(), Failure> {
    options.method.check()?;
    let problem_file = has_extension(&options.data, "json");
    let model_path = match (&options.model, problem_file) {
        (Some(path), _) => Some(path.clone()),
        (None, true) => None,
        (None, false) => Some(common::here(&options.data, "safetensors")),
    };
    let checkpoint = options.method.checkpoint.as_deref();
    let outputs: Vec<&Path> = [model_path.as_deref(), options.report.as_deref(), checkpoint]
        .into_iter()
        .flatten()
        .chain(options.plot.iter().map(PathBuf::as_path))
        .collect();
    plot::check(&options.plot)?;
    for path in &outputs {
        check_target(path)?;
    }
    let architecture = options.table.architecture.as_deref();
    let inputs: Vec<&Path> = [Some(options.data.as_path()), architecture]
        .into_iter()
        .flatten()
        .collect();
    check_distinct(&inputs, &outputs)?;
    if problem_file {
        let given: Vec<_> = options
            .table
            .given()
            .into_iter()
            .chain(options.csv.given())
            .collect();
        if !given.is_empty() {
            return Err(Failure::usage(format!(
                "{}: a problem file says this itself; leave out {}",
                options.data.display(),
                given.join(", ")
            )));
        }
        let device = options.computing.start(true)?;
        return fit_problem(options, device, model_path.as_deref());
    }
    if options.table.target.is_none() {
        return Err(Failure::usage(
            "--target COLUMN is missing: which column is to be predicted?",
        ));
    }
    let device = options.computing.start(true)?;
    match model_path {
        Some(model_path) => fit_table(options, device, &model_path),
        None => Ok(()),
    }
}

/// Titles and values in columns, a line for each.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, title: &str, value: impl AsRef<str>) {
        self.0.push_str(&format!("{title:<13}{}\n", value.as_ref()));
    }

    /// A sentence, in lines of about a hundred characters.
    fn note(&mut self, note: &str) {
        let mut title = "note";
        let mut line = String::new();
        for word in note.split(' ') {
            if !line.is_empty() && line.chars().count() + word.chars().count() > 90 {
                self.line(title, &line);
                title = "";
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(title, &line);
    }

    fn blank(&mut self) {
        self.0.push('\n');
    }
}

fn fit_table(options: &Options, device: Device, model_path: &Path) -> Result<(), Failure> {
    let begin = Instant::now();
    let (table_options, csv) = (&options.table, &options.csv);
    let table = Table::from_path(&options.data, csv.delimiter())?;
    let reading = Reading {
        target: table_options.target.clone().unwrap_or_default(),
        task: table_options.task,
        ignore: csv.ignore.clone(),
        weights: csv.weights.clone(),
        missing: csv.missing.unwrap_or_default(),
    };
    let data = table.dataset(&reading)?;
    let n = data.lines.len();
    if n < 2 {
        return Err(in_data(
            options,
            None,
            "there is one row only; a fit needs two or more".into(),
        ));
    }
    let seed = table_options.seed.unwrap_or(0);
    let starts = u64::from(table_options.starts.unwrap_or(1));
    if seed.checked_add(starts - 1).is_none() {
        return Err(Failure::usage(format!(
            "--seed {seed} leaves no room for {starts} starts"
        )));
    }
    let fraction = table_options.test_fraction.unwrap_or(0.2);
    let (train_rows, test_rows) = split(&data, fraction, seed);

    let (mut model, warnings) = prepare(options, &data, &reading.target, &train_rows)?;
    let part = |rows: &[usize]| {
        let x = data.x.select(Axis(0), rows);
        let target = match &data.target {
            Target::Numbers(y) => Known::Numbers(rows.iter().map(|&i| y[i]).collect()),
            Target::Classes { index, .. } => {
                Known::Classes(rows.iter().map(|&i| index[i]).collect())
            }
        };
        let weights: Option<Vec<f64>> = data
            .weights
            .as_ref()
            .map(|w| rows.iter().map(|&i| w[i]).collect());
        (x, target, weights)
    };
    let (x, target, weights) = part(&train_rows);
    if weights
        .as_ref()
        .is_some_and(|w| w.iter().all(|w| *w == 0.0))
    {
        let why = "every row with a weight above 0 was held out for the test; use another --seed or a smaller --test-fraction";
        return Err(in_data(options, None, why.into()));
    }
    let problem = common::problem(&model, &x, &target, weights.as_deref(), device)?;

    if !options.quiet {
        warnings.iter().take(5).for_each(|w| say_warning(w));
        if warnings.len() > 5 {
            say_warning(&format!(
                "{} more of this kind; --report lists them all",
                warnings.len() - 5
            ));
        }
        say(&introduction(
            options,
            &data,
            &reading,
            &model,
            train_rows.len(),
            test_rows.len(),
            seed,
        )
        .0)?;
    }
    let rule = table_options.init.unwrap_or_else(|| {
        Initialization::suited_to(table_options.activation.unwrap_or(Activation::Tanh))
    });
    let starts = (seed..=seed + (starts - 1))
        .map(|s| {
            Ok((
                Some(s),
                rule.draw_from(&model.network, problem.data().x(), s)?,
            ))
        })
        .collect::<Result<_, Error>>()?;
    let trained = train(&problem, starts, &options.method, !options.quiet)?;
    let (best, fit) = trained.best()?;
    model.weights = fit.w.clone();

    let measured = Metrics::of(&model, &x, &target, weights.as_deref())?;
    let (test_x, test_target, test_weights) = part(&test_rows);
    let tested = match test_rows.is_empty() {
        true => None,
        false => Metrics::of(&model, &test_x, &test_target, test_weights.as_deref())?,
    };

    // Everything is known; only now files are written.
    let mut notes = end_notes(fit);
    if [&measured, &tested]
        .into_iter()
        .flatten()
        .any(Metrics::undefined)
    {
        notes.push("R² is undefined where the target is constant".into());
    }
    if let (Some(train), Some(test)) = (&measured, &tested)
        && train.much_better_than(test)
    {
        notes.push(
            "the test rows are predicted much worse than the training rows (overfitting): more steps will hardly help; \
             try a larger --ridge, fewer hidden units, or --hidden none"
                .into(),
        );
    }
    let curve = plot::curve(&options.plot, Ok(model.clone()), &mut notes);
    let model_bytes = model.to_bytes()?;
    if let Some(report) = &options.report {
        let mut map = fit_json(fit);
        map.insert("W".into(), json!(fit.w));
        map.insert(
            "metrics".into(),
            json!({
                "train": measured.as_ref().map(Metrics::json),
                "test": tested.as_ref().map(Metrics::json),
            }),
        );
        map.insert(
            "data".into(),
            json!({
                "file": options.data.display().to_string(), "rows": n, "dropped": data.dropped,
                "train_rows": train_rows.len(), "test_rows": test_rows.len(),
                "test_lines": test_rows.iter().map(|&i| data.lines[i]).collect::<Vec<_>>(),
                "features": data.features, "target": reading.target, "task": data.task().name(),
                "task_guessed": data.guess, "classes": model.classes, "weights": reading.weights,
            }),
        );
        let s = &model.standardization;
        map.insert(
            "standardization".into(),
            json!({"x_mean": s.x_mean, "x_scale": s.x_scale, "y_mean": s.y_mean, "y_scale": s.y_scale}),
        );
        describe(&mut map, &model, options);
        map.insert("best_start".into(), json!(best + 1));
        map.insert("starts".into(), trained.json());
        let choices = json!({
            "hidden": hidden_json(options), "skip": table_options.skip,
            "architecture": table_options.architecture.as_ref().map(|path| path.display().to_string()),
            "activation": table_options.activation.unwrap_or(Activation::Tanh).name(),
            "init": rule.name(), "test_fraction": fraction, "seed": seed,
        });
        options_json(&mut map, options, choices);
        let all: Vec<&String> = warnings.iter().chain(&notes).collect();
        map.insert("notes".into(), json!(all));
        map.insert("model".into(), json!(model_path.display().to_string()));
        map.insert("total_seconds".into(), json!(begin.elapsed().as_secs_f64()));
        let text = json_text(&map);
        write_file(model_path, |out| out.write_all(&model_bytes))?;
        emit(Some(report), |out| out.write_all(text.as_bytes()))?;
    } else {
        write_file(model_path, |out| out.write_all(&model_bytes))?;
    }
    let plotted = plot::write(&options.plot, &trained, curve.as_ref(), |model| {
        Ok(vec![
            Points::of_table("training rows", model, &x, &target)?,
            Points::of_table("test rows", model, &test_x, &test_target)?,
        ])
    });
    if options.quiet {
        return plotted.and_then(|()| trained.done());
    }

    let mut text = Text::default();
    text.blank();
    training_text(&mut text, &trained, best, fit);
    text.blank();
    let weighted = if data.weights.is_some() {
        " (weighted)"
    } else {
        ""
    };
    text.0
        .push_str(&metrics_text(measured.as_ref(), tested.as_ref(), weighted));
    text.blank();
    for note in &notes {
        text.note(note);
    }
    text.line("model", format!("written to {}", model_path.display()));
    if let Some(report) = &options.report {
        text.line("report", format!("written to {}", report.display()));
    }
    plots_text(&mut text, options, &plotted);
    say(&text.0)?;
    plotted.and_then(|()| trained.done())
}

/// The model before training, with what the user should know about the data.
fn prepare(
    options: &Options,
    data: &Dataset,
    target: &str,
    train_rows: &[usize],
) -> Result<(Model, Vec<String>), Failure> {
    let (loss, classes) = choose_loss(options, data)?;
    let outputs = match (&loss, &data.target) {
        (Loss::SoftmaxCrossEntropy, Target::Classes { labels, .. }) => labels.len(),
        _ => 1,
    };
    let x = data.x.select(Axis(0), train_rows);
    let (mut standardization, mut warnings) = Standardization::of_inputs(&x, &data.features, 1)?;
    if let (Target::Numbers(y), true) = (&data.target, shifts(&loss)) {
        let y: Vec<f64> = train_rows.iter().map(|&i| y[i]).collect();
        let y = Array2::from_shape_fn((y.len(), 1), |(i, _)| y[i]);
        let more;
        (standardization, more) = standardization.with_targets(&y, &[target.to_string()])?;
        warnings.extend(more);
    }
    if let Target::Classes { labels, index } = &data.target {
        let mut counts = vec![0usize; labels.len()];
        train_rows.iter().for_each(|&i| counts[index[i]] += 1);
        let single: Vec<&str> = labels
            .iter()
            .zip(&counts)
            .filter(|(_, c)| **c == 1)
            .map(|(l, _)| l.as_str())
            .take(10)
            .collect();
        if !single.is_empty() {
            warnings.push(format!(
                "there is only one row to train for: {}",
                single.join(", ")
            ));
        }
    }
    let network = network(options, data.features.len(), outputs)?;
    check_size(&network)?;
    let weights = vec![0.0; network.parameters()];
    let mut model = Model::new(network, weights, loss)?;
    model.features = data.features.clone();
    model.targets = vec![target.to_string()];
    model.classes = classes;
    model.standardization = standardization;
    let lambda = options.table.ridge.unwrap_or(1.0);
    model.penalty = match lambda > 0.0 {
        false => Penalty::None,
        true => Penalty::Ridge {
            lambda,
            include_bias: options.table.ridge_bias.unwrap_or(true),
        },
    };
    model.reduction = match options.table.mean {
        true => Reduction::Mean,
        false => Reduction::Sum,
    };
    model.check()?;
    Ok((model, warnings))
}

/// The loss for the task, and the labels of the classes.
fn choose_loss(options: &Options, data: &Dataset) -> Result<(Loss, Vec<String>), Failure> {
    let name = options.table.loss.as_deref();
    let wrong = |known: &str| {
        Err(Failure::usage(format!(
            "--loss {} does not fit a {}; losses for it: {known}",
            name.unwrap_or_default(),
            data.task()
        )))
    };
    let parameters = loss_parameters(options, name)?;
    match &data.target {
        Target::Numbers(y) => {
            let name = name.unwrap_or("sos");
            if losses_of_numbers().all(|kind| kind.name != name) {
                return wrong(&names(losses_of_numbers()));
            }
            let mut form = json!({"type": name});
            for (parameter, value) in parameters {
                form[parameter] = value.into();
            }
            let loss = loss_from_json(&form)?;
            let refused = |(i, y): (usize, &f64)| Some((i, loss.refuses(*y)?));
            if let Some((i, why)) = y.iter().enumerate().find_map(refused) {
                let why = format!("{} {why}; the loss {name} is not defined there", y[i]);
                return Err(in_data(options, Some(data.lines[i]), why));
            }
            Ok((loss, Vec::new()))
        }
        Target::Classes { labels, .. } => {
            let loss = match (name, labels.len()) {
                (None | Some("bce_logits"), 2) => Loss::BinaryCrossEntropy,
                (None | Some("softmax_ce"), _) => Loss::SoftmaxCrossEntropy,
                (Some("bce_logits"), classes) => {
                    return Err(Failure::usage(format!(
                        "--loss bce_logits is for two classes, and there are {classes}; use softmax_ce"
                    )));
                }
                (Some(_), 2) => return wrong("bce_logits, softmax_ce"),
                (Some(_), _) => return wrong("softmax_ce"),
            };
            Ok((loss, labels.clone()))
        }
    }
}

/// The parameters of losses, 1 unless they are given, which only those of the chosen loss may be.
fn loss_parameters(
    options: &Options,
    name: Option<&str>,
) -> Result<[(&'static str, f64); LOSS_PARAMETERS.len()], Failure> {
    let given = [options.table.delta, options.table.dispersion];
    for (parameter, _) in LOSS_PARAMETERS.iter().zip(given).filter(|p| p.1.is_some()) {
        let has_it = |kind: &&LossKind| kind.parameters.contains(parameter);
        if Loss::KINDS
            .iter()
            .filter(has_it)
            .all(|kind| Some(kind.name) != name)
        {
            let losses = names(Loss::KINDS.iter().filter(has_it)).replace(", ", " and --loss ");
            return Err(Failure::usage(format!(
                "--{parameter} is for --loss {losses}"
            )));
        }
    }
    Ok(std::array::from_fn(|at| {
        (LOSS_PARAMETERS[at], given[at].unwrap_or(1.0))
    }))
}

/// Whether the target may be shifted and scaled without changing what the loss means.
fn shifts(loss: &Loss) -> bool {
    loss.kind().is_some_and(|kind| kind.is_location)
}

fn hidden_layers(options: &Options) -> Vec<HiddenLayer> {
    let default = HiddenLayer {
        units: 8,
        form: None,
    };
    (options.table.hidden.as_ref()).map_or(vec![default], |h| h.0.clone())
}

/// The network that the options or their file describe.
fn network(options: &Options, inputs: usize, outputs: usize) -> Result<Network, Failure> {
    if let Some(path) = &options.table.architecture {
        let network = network_from_path(path)?;
        for (what, has, needs) in [
            ("inputs", network.inputs(), inputs),
            ("outputs", network.outputs(), outputs),
        ] {
            if has != needs {
                let (path, why) = (
                    path.clone(),
                    format!("the network has {has} {what}; the table needs {needs}"),
                );
                return Err(Error::Format {
                    path,
                    line: None,
                    column: None,
                    why,
                }
                .into());
            }
        }
        return Ok(network);
    }
    let activation = options.table.activation.unwrap_or(Activation::Tanh);
    let gaussians = |units, form| Group::radial(units, form, Activation::ExpNegHalf);
    let hidden = hidden_layers(options)
        .into_iter()
        .map(|layer| match layer.form {
            None => Layer::dense(layer.units, activation),
            Some(form) => Layer::of(vec![gaussians(layer.units, form)]).without_bias(),
        });
    let layers = hidden.chain([Layer::dense(outputs, Activation::Identity)]);
    let layers = layers
        .enumerate()
        .map(|(before, layer)| match options.table.skip {
            true => layer.sources((0..=before).collect::<Vec<_>>()),
            false => layer,
        });
    Ok(Network::new(inputs, layers.collect())?)
}

/// What a report says of the hidden layers: null where a file says it.
fn hidden_json(options: &Options) -> Value {
    let layer = |layer: &HiddenLayer| match layer.form {
        None => json!(layer.units),
        Some(form) => json!(format!("{}:{}", form.name(), layer.units)),
    };
    match options.table.architecture {
        None => hidden_layers(options).iter().map(layer).collect(),
        Some(_) => Value::Null,
    }
}

/// The kinds of the hidden units and what feeds them, in words.
fn network_in_words(options: &Options) -> String {
    if let Some(path) = &options.table.architecture {
        return format!("as in {}", path.display());
    }
    let layers = hidden_layers(options);
    let activation = options.table.activation.unwrap_or(Activation::Tanh).name();
    let hidden = match layers.as_slice() {
        [] => "no hidden layer".into(),
        layers if layers.iter().all(|l| l.form.is_none()) => format!("{activation} hidden units"),
        layers => {
            let name = |l: &HiddenLayer| l.form.map_or(activation, Radial::name);
            let names: Vec<&str> = layers.iter().map(name).collect();
            format!("hidden units {}", names.join(", "))
        }
    };
    match options.table.skip {
        true => format!("{hidden}, all layers fed by all before"),
        false => hidden,
    }
}

fn in_data(options: &Options, line: Option<u64>, why: String) -> Failure {
    let column = line.and(options.table.target.clone());
    let path = options.data.clone();
    Error::Format {
        path,
        line,
        column,
        why,
    }
    .into()
}

/// A network whose parameters cannot be held is refused before they are allocated.
fn check_size(network: &Network) -> Result<(), Error> {
    // Parameters, gradient, a trial point and the diagonal of a curvature, at the very least.
    let (need, budget) = (
        32 * network.parameters() as u64,
        secondo::available_memory(),
    );
    match need <= budget {
        true => Ok(()),
        false => Err(Error::Memory {
            what: format!("the network {network}"),
            need,
            budget,
            advice: "use narrower hidden layers".into(),
        }),
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
            index
                .iter()
                .enumerate()
                .for_each(|(row, &class)| groups[class].push(row));
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

/// What was read and what will be fitted.
fn introduction(
    options: &Options,
    data: &Dataset,
    reading: &Reading,
    model: &Model,
    train: usize,
    test: usize,
    seed: u64,
) -> Text {
    let mut text = Text::default();
    let dropped = match data.dropped {
        0 => String::new(),
        count => format!(" ({count} rows with missing values left out)"),
    };
    text.line(
        "data",
        format!(
            "{}: {} rows, {} features{dropped}",
            options.data.display(),
            data.lines.len(),
            data.features.len()
        ),
    );
    let mut target = format!("{}: {}", reading.target, data.task());
    if !model.classes.is_empty() {
        let mut shown: Vec<&str> = model.classes.iter().map(String::as_str).take(10).collect();
        if model.classes.len() > 10 {
            shown.push("…");
        }
        target = format!(
            "{target} with {} classes ({})",
            model.classes.len(),
            shown.join(", ")
        );
    }
    text.line("target", target);
    if let Some(why) = &data.guess {
        let other = match data.task() {
            Task::Regression => Task::Classification,
            Task::Classification => Task::Regression,
        };
        // Text is no number, and a number that is not whole is no class.
        let possible = match &data.target {
            Target::Numbers(y) => y.iter().all(|v| v.fract() == 0.0),
            Target::Classes { labels, .. } => labels.iter().all(|l| l.parse::<f64>().is_ok()),
        };
        text.line(
            "",
            match possible {
                true => format!("guessed, since {why}; --task {other} if that is wrong"),
                false => format!("guessed, since {why}"),
            },
        );
    }
    if let Some(weights) = &reading.weights {
        text.line("weights", format!("of the rows: {weights}"));
    }
    text.line(
        "rows",
        match test {
            0 => format!("{train} to train, none held out to test"),
            _ => format!("{train} to train, {test} held out to test (seed {seed})"),
        },
    );
    text.line(
        "network",
        format!(
            "{}, {}, {} parameters",
            model.network,
            network_in_words(options),
            model.network.parameters()
        ),
    );
    let penalty = match &model.penalty {
        Penalty::Ridge {
            lambda,
            include_bias,
        } => format!(
            " + ridge {lambda}{}",
            if *include_bias { "" } else { " (biases free)" }
        ),
        _ => String::new(),
    };
    let reduction = if model.reduction == Reduction::Mean {
        "mean"
    } else {
        "sum"
    };
    let standard = match shifts(&model.loss) {
        true => "inputs and target standardised",
        false => "inputs standardised",
    };
    text.line(
        "objective",
        format!(
            "{reduction} of {}{penalty}, {standard}",
            in_words(&model.loss)
        ),
    );
    text
}

/// The loss in words, with its name.
fn in_words(loss: &Loss) -> String {
    let words = loss.kind().map_or("the losses", |kind| kind.words);
    format!("{words} ({})", loss.name())
}

fn training_text(text: &mut Text, trained: &Trained, best: usize, fit: &Fit) {
    let lines = trained.lines();
    for (index, line) in lines.iter().enumerate() {
        text.line(if index == 0 { "starts" } else { "" }, line);
    }
    if lines.len() > 1 {
        text.line("", format!("start {} has the lowest objective:", best + 1));
    }
    text.0.push_str(&format!("{fit}\n"));
}

fn metrics_text(train: Option<&Metrics>, test: Option<&Metrics>, weighted: &str) -> String {
    let Some(train) = train else {
        return "no row with weight to measure on\n".into();
    };
    let test = test.map(Metrics::lines).unwrap_or_default();
    let head = if test.is_empty() { "" } else { "test" };
    let mut out = format!("{:<13}{:>12}{head:>14}{weighted}", "", "training");
    out.truncate(out.trim_end().len());
    out.push('\n');
    for (index, (name, value)) in train.lines().into_iter().enumerate() {
        let other = test.get(index).map_or("", |(_, v)| v.as_str());
        out.push_str(format!("{name:<13}{value:>12}{other:>14}").trim_end());
        out.push('\n');
    }
    out
}

/// What an honest report says about the end of a fit.
fn end_notes(fit: &Fit) -> Vec<String> {
    if fit.converged() {
        return Vec::new();
    }
    let advice = match fit.reason {
        Reason::Iterations => "; a larger --max-iter may lower the objective",
        Reason::Time => "; a larger --time-limit may lower the objective",
        _ => "",
    };
    vec![format!(
        "not converged: {} with a largest gradient entry of {:.1e}{advice}",
        fit.reason, fit.gradient_norm
    )]
}

fn plots_text(text: &mut Text, options: &Options, plotted: &Result<(), Failure>) {
    for path in options.plot.iter().filter(|_| plotted.is_ok()) {
        text.line("plot", format!("written to {}", path.display()));
    }
}

/// What was minimised.
fn describe(map: &mut Map<String, Value>, model: &Model, options: &Options) {
    map.insert("network".into(), network_to_json(&model.network));
    map.insert("parameters".into(), json!(model.network.parameters()));
    map.insert("loss".into(), loss_to_json(&model.loss));
    map.insert("penalty".into(), penalty_to_json(&model.penalty));
    let reduction = if options.table.mean { "mean" } else { "sum" };
    map.insert("reduction".into(), json!(reduction));
}

fn options_json(map: &mut Map<String, Value>, options: &Options, choices: Value) {
    let mut all = options.method.json();
    if let Value::Object(choices) = choices {
        all.extend(choices);
    }
    all.insert("threads".into(), json!(options.computing.threads));
    map.insert("options".into(), Value::Object(all));
    map.insert("version".into(), json!(env!("CARGO_PKG_VERSION")));
}

fn fit_problem(
    options: &Options,
    device: Device,
    model_path: Option<&Path>,
) -> Result<(), Failure> {
    let begin = Instant::now();
    let file = ProblemFile::from_path(&options.data)?;
    let problem = file.problem.clone().on(device);
    let network = problem.network().clone();
    if !options.quiet {
        let mut text = Text::default();
        text.line(
            "problem",
            format!("{}: {} rows", options.data.display(), problem.data().len()),
        );
        let free = match file.constraint {
            Some(_) => format!("; {} free under W = fixed + Cθ", problem.parameters()),
            None => String::new(),
        };
        text.line(
            "network",
            format!("{network}, {} parameters{free}", network.parameters()),
        );
        let penalty = match &file.penalty {
            Penalty::None => String::new(),
            penalty => format!(" + {}", penalty.name()),
        };
        text.line(
            "objective",
            format!("sum of {}{penalty}", in_words(problem.loss())),
        );
        say(&text.0)?;
    }
    if model_path.is_some() {
        // What no model can hold is refused before the work.
        Model::new(
            network.clone(),
            file.weights(&file.parameters)?,
            problem.loss().clone(),
        )?
        .to_bytes()?;
    }
    let starts = vec![(None, file.parameters.clone())];
    let trained = train(&problem, starts, &options.method, !options.quiet)?;
    let (best, fit) = trained.best()?;
    let weights = file.weights(&fit.w)?;
    let mut notes = end_notes(fit);
    // Other losses have none; without degrees of freedom, or far from a minimum, there are none to give.
    let asked = options.report.is_some() && fit.reason != Reason::Interrupted;
    let errors = match asked.then(|| problem.standard_errors(&fit.w)) {
        Some(Ok(errors)) => Some(errors),
        None | Some(Err(Error::Unsupported { .. })) => None,
        Some(Err(why)) => {
            notes.push(format!("no standard errors: {why}"));
            None
        }
    };
    if model_path.is_none() && options.report.is_none() {
        notes.push("the parameters were not written; --report or --model keeps them".into());
    }
    let model = match model_path {
        None => None,
        Some(path) => {
            let mut model = Model::new(network.clone(), weights.clone(), problem.loss().clone())?;
            model.penalty = file.penalty.clone();
            Some((path, model.to_bytes()?))
        }
    };
    let fitted = Model::new(network.clone(), weights.clone(), problem.loss().clone());
    let curve = plot::curve(&options.plot, fitted, &mut notes);
    let report = options.report.as_ref().map(|path| {
        let mut map = fit_json(fit);
        map.insert("W".into(), json!(weights));
        if file.constraint.is_some() {
            map.insert("theta".into(), json!(fit.w));
        }
        if let Some(errors) = &errors {
            map.insert("standard_errors".into(), json!(errors));
        }
        map.insert("problem".into(), json!(options.data.display().to_string()));
        options_json(&mut map, options, Value::Null);
        map.insert("notes".into(), json!(notes));
        map.insert(
            "model".into(),
            json!(model_path.map(|p| p.display().to_string())),
        );
        map.insert("total_seconds".into(), json!(begin.elapsed().as_secs_f64()));
        (path, json_text(&map))
    });
    if let Some((path, bytes)) = &model {
        write_file(path, |out| out.write_all(bytes))?;
    }
    if let Some((path, text)) = &report {
        write_file(path, |out| out.write_all(text.as_bytes()))?;
    }
    let plotted = plot::write(&options.plot, &trained, curve.as_ref(), |_| {
        let data = problem.data();
        Ok(vec![Points::new("rows", data.x(), data.y().clone())])
    });
    if options.quiet {
        return plotted.and_then(|()| trained.done());
    }
    let mut text = Text::default();
    text.blank();
    training_text(&mut text, &trained, best, fit);
    text.blank();
    for note in &notes {
        text.note(note);
    }
    if let Some((path, _)) = &model {
        text.line("model", format!("written to {}", path.display()));
    }
    if let Some((path, _)) = &report {
        text.line("report", format!("written to {}", path.display()));
    }
    plots_text(&mut text, options, &plotted);
    say(&text.0)?;
    plotted.and_then(|()| trained.done())
}
