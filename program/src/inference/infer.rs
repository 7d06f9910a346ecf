//! `secondo infer`.

use std::path::PathBuf;

use clap::{ArgMatches, Args};
use secondo::inference::{
    Approximate, Approximation, Covariance, Inference, Options as Settings, Prediction, Report,
};
use secondo::io::{approximate_to_json, inference_to_json};

use super::source::{Source, SourceOptions};
use super::{Rules, level};
use crate::exit::Failure;
use crate::output::{Results, say};
use crate::plot::Mark;
use crate::plot::panels::{Panel, Panels, Series};

/// Says what a fit tells about weights, inputs and predictions: standard errors, tests, intervals
///
/// The Hessian at the minimum is the information that the data hold on the parameters. Printed are average slopes of the
/// inputs with intervals, tests that an input has no effect, AIC and BIC in the target's units; the weights on request. What the data do not determine
/// is named with its cause. Where no standard error has a meaning (no minimum, a saddle, no degrees of freedom) the report says
/// why.
///
/// For a model the rows that trained it are taken from the table; slopes and predictions are in the table's units, weights in
/// those of the standardised data.
#[derive(Debug, Args)]
#[command(after_help = "\
Covariances: model (the model is right), posterior (a penalty as prior; the default with a penalty), hc0 to hc3 (robust to
unequal variances and a wrong model).

Examples:
  secondo infer diabetes.safetensors diabetes.csv
      slopes, tests and fit
  secondo infer problem.json --covariance hc3 --print-weights
      robust standard errors, with the weights
  secondo infer problem.json --refit --report inference.json
      likelihood ratios by fits without each input; everything as JSON
  secondo infer diabetes.safetensors diabetes.csv --plot effects.svg
      the average prediction against each input, with its interval
  secondo infer large.safetensors data.csv --approximate row-blocks --at new.csv
      for a network with too many parameters for a matrix")]
pub struct Options {
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    rules: Rules,
    /// The covariance: model, posterior, hc0, hc1, hc2 or hc3 [default: model; posterior with a penalty]
    #[arg(long, help_heading = "Inference", value_name = "NAME", value_parser = covariance)]
    covariance: Option<Covariance>,
    /// The level of the intervals
    #[arg(long, help_heading = "Inference", value_name = "X", default_value = "0.95", value_parser = level, allow_negative_numbers = true)]
    level: f64,
    /// Add likelihood ratios of the inputs, by fits without each
    #[arg(long, help_heading = "Inference")]
    refit: bool,
    /// Judge them by so many simulated tables, too: for nets that may have too many units (99 to 999)
    #[arg(
        long,
        help_heading = "Inference",
        value_name = "N",
        default_value = "0",
        requires = "refit"
    )]
    bootstrap: usize,
    /// Add profile intervals of the weights, by fits with each at other values
    #[arg(long, help_heading = "Inference")]
    profile: bool,
    /// Add the effects of a step of one standard deviation in each input, as interpretnn defines them: sd
    #[arg(long, help_heading = "Inference", value_name = "STEP", value_parser = ["sd"])]
    effect_step: Option<String>,
    /// For many parameters: the posterior by layer-blocks, row-blocks, diagonal or low-rank:K (K eigenvalues) of the Gauss-Newton
    /// matrix; predictions and evidence alone
    #[arg(
        long,
        help_heading = "Inference",
        value_name = "NAME",
        value_parser = approximation,
        conflicts_with_all = ["refit", "profile", "effect_step", "covariance", "print_weights", "plot"]
    )]
    approximate: Option<Approximation>,
    /// Draw the average prediction against each input with its interval, and the weights with --print-weights; may be given several times
    #[arg(long, help_heading = "Output", value_name = "FILE.svg|FILE.png")]
    plot: Vec<PathBuf>,
    /// Predict for the rows of this table, with intervals
    #[arg(long, help_heading = "Output", value_name = "FILE.csv")]
    at: Option<PathBuf>,
    /// Print the weights of the network
    #[arg(long, help_heading = "Output")]
    print_weights: bool,
}

fn covariance(name: &str) -> Result<Covariance, String> {
    Covariance::from_name(name).map_err(|e| e.to_string())
}

fn approximation(name: &str) -> Result<Approximation, String> {
    Approximation::from_name(name).map_err(|e| e.to_string())
}

pub fn run(options: &Options, matches: &ArgMatches) -> Result<(), Failure> {
    let mut source = options.source.load(matches, None, &options.plot, true)?;
    if let Some(path) = &options.at {
        source.x_new = Some(options.source.rows_to_predict(&source, path)?);
    }
    if let Some(approximation) = options.approximate {
        return approximate(options, &source, approximation);
    }
    let settings = Settings {
        covariance: options.covariance,
        level: options.level,
        ..options.rules.options()
    };
    let inference = Inference::with(&source.problem, &source.w, settings)?;
    let (names, scaling) = (source.names.clone(), source.scaling.as_ref());
    let mut report = inference.report_as(names, scaling, source.x_new.as_ref())?;
    if options.refit {
        inference.add_ratios(&mut report, options.bootstrap)?;
    }
    if options.profile {
        inference.add_profiles(&mut report)?;
    }
    if options.effect_step.is_some() {
        inference.add_partial_effects(&mut report)?;
    }
    report.prints_weights = options.print_weights || options.profile;
    let panels = match options.plot.as_slice() {
        [] => Vec::new(),
        _ => panels(&inference, &source, &report)?,
    };
    say(&report.to_string())?;
    let written = options.source.write_report(Results::default(), inference_to_json(&report));
    // Where the report is refused, the rest is still written.
    Panels(panels).write(&options.plot)?;
    written
}

/// The report for a network whose parameters are too many for a matrix.
fn approximate(
    options: &Options,
    source: &Source,
    approximation: Approximation,
) -> Result<(), Failure> {
    let found = Approximate::new(&source.problem, &source.w, approximation)?;
    let mut predictions = match &source.x_new {
        None => Vec::new(),
        Some(x) => found.predictions(x, options.level)?,
    };
    if let Some(scaling) = &source.scaling {
        predictions.iter_mut().for_each(|p| p.rescale(scaling));
    }
    let parameters = source.problem.parameters();
    let mut text = format!(
        "network      {}, {parameters} parameters, {:.2} effective\n\
         posterior    approximated by {approximation} of the Gauss-Newton matrix\n\
         fit          objective {:.6}, dispersion {:.6e}\n",
        source.problem.network(),
        found.gamma(),
        found.value(),
        found.phi()
    );
    if let Some(refusal) = found.refused() {
        text += &format!("warning      {refusal}\n");
    }
    if let Some(l) = found.laplace() {
        text += &format!(
            "evidence     log {:.4} by {approximation} (symmetries {:.4} not added)\n",
            l.log_evidence, l.log_symmetry
        );
    }
    if !predictions.is_empty() {
        text += &table(&predictions);
    }
    say(&text)?;
    options.source.write_report(Results::default(), approximate_to_json(&found, &predictions))
}

fn table(predictions: &[Prediction]) -> String {
    let mut out = format!(
        "\n{:>5} {:>6} {:>14} {:>12} {:>14} {:>14}\n",
        "row", "output", "mean", "std error", "lower", "upper"
    );
    for (i, prediction) in predictions.iter().enumerate() {
        for (o, e) in prediction.outputs.iter().enumerate() {
            let number = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:.6}"));
            out += &format!(
                "{:>5} {:>6} {:>14} {:>12} {:>14} {:>14}\n",
                i + 1,
                o + 1,
                number(Some(e.estimate)),
                number(e.std_error),
                number(e.lower),
                number(e.upper)
            );
        }
    }
    out
}

/// So many points of each curve.
const POINTS: usize = 61;
/// The curves of so many inputs are drawn.
const INPUTS: usize = 12;

/// The average prediction against each input over its range, in the units of the data, and the weights.
fn panels(inference: &Inference, source: &Source, report: &Report) -> Result<Vec<Panel>, Failure> {
    let x = source.problem.data()?.x();
    let standardization = source.model.as_ref().filter(|_| source.scaling.is_some());
    let mut all = Vec::new();
    for (input, name) in source.names.inputs.iter().enumerate().take(INPUTS) {
        let column = x.column(input);
        let low = column.iter().copied().fold(f64::INFINITY, f64::min);
        let high = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let share = |k: usize| k as f64 / (POINTS - 1) as f64;
        let at: Vec<f64> = (0..POINTS).map(|k| low + share(k) * (high - low)).collect();
        let shown: Vec<f64> = match standardization {
            None => at.clone(),
            Some(model) => {
                let s = &model.standardization;
                at.iter().map(|v| v * s.x_scale[input] + s.x_mean[input]).collect()
            }
        };
        let mut series = Vec::new();
        for (output, of) in source.names.outputs.iter().enumerate() {
            let (scale, mean) = match &source.scaling {
                None => (1.0, 0.0),
                Some(s) => (s.y_scale[output], s.y_mean[output]),
            };
            let curve = inference.effect_curve(input, output, &at)?;
            let turned = |v: f64| v * scale + mean;
            let ends = curve.iter().filter_map(|e| Some((turned(e.lower?), turned(e.upper?))));
            let ends: Vec<(f64, f64)> = ends.collect();
            series.push(Series {
                name: of.clone(),
                mark: Mark::Line,
                points: shown.iter().zip(&curve).map(|(x, e)| (*x, turned(e.estimate))).collect(),
                ends: if ends.len() == curve.len() { ends } else { Vec::new() },
            });
        }
        let title = format!("average prediction against {name}");
        all.push(Panel { title, x: name.clone(), y: "average".into(), series, zero: false });
    }
    if report.prints_weights {
        let rows = || report.weights.iter().enumerate();
        let ends: Vec<(f64, f64)> =
            rows().filter_map(|(_, r)| Some((r.estimate.lower?, r.estimate.upper?))).collect();
        let series = Series {
            name: "weights".into(),
            mark: Mark::Dot,
            points: rows().map(|(l, r)| ((l + 1) as f64, r.estimate.estimate)).collect(),
            ends: if ends.len() == report.weights.len() { ends } else { Vec::new() },
        };
        let title = "weights with their intervals, in the order of the report".to_string();
        let (x, y) = ("weight".to_string(), "estimate".to_string());
        all.push(Panel { title, x, y, series: vec![series], zero: true });
    }
    Ok(all)
}
