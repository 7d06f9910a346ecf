//! `secondo infer`.

use std::path::PathBuf;

use clap::{ArgMatches, Args};
use secondo::inference::{Covariance, Inference, Options as Settings};
use secondo::io::inference_to_json;

use super::source::SourceOptions;
use super::{Rules, level};
use crate::exit::Failure;
use crate::output::{Results, say};

/// Says what a fit tells about weights, inputs and predictions: standard errors, tests, intervals
///
/// The Hessian at the minimum is the information that the data hold on the parameters. Printed are average slopes of the
/// inputs with intervals, tests that an input has no effect, AIC and BIC; the weights on request. What the data do not determine
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
  secondo infer problem.json --covariance hc3 --weights
      robust standard errors, with the weights
  secondo infer problem.json --refit --report inference.json
      likelihood ratios by fits without each input; everything as JSON")]
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
    /// Predict for the rows of this table, with intervals
    #[arg(long, help_heading = "Output", value_name = "FILE.csv")]
    at: Option<PathBuf>,
    /// Print the weights of the network
    #[arg(long = "weights", help_heading = "Output")]
    print_weights: bool,
}

fn covariance(name: &str) -> Result<Covariance, String> {
    Covariance::from_name(name).map_err(|e| e.to_string())
}

pub fn run(options: &Options, matches: &ArgMatches) -> Result<(), Failure> {
    let mut source = options.source.load(matches, None)?;
    if let Some(path) = &options.at {
        source.x_new = Some(options.source.rows_to_predict(&source, path)?);
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
    report.prints_weights = options.print_weights || options.profile;
    say(&report.to_string())?;
    options.source.write_report(Results::default(), inference_to_json(&report))
}
