//! `secondo prune`.

use std::path::PathBuf;

use clap::{ArgMatches, Args};
use secondo::Penalty;
use secondo::inference::{Criterion, Piece, Pruned, Pruning, Scheme, compact};
use serde_json::{Map, Value, json};

use super::source::{Source, SourceOptions, held_out_error, model_with};
use super::{Rules, level};
use crate::exit::Failure;
use crate::files::Kind;
use crate::output::{Results, say};
use crate::plot::Mark;
use crate::plot::panels::{Panel, Panels, Series};

/// Removes weights, units or inputs one by one, with a fit after each
///
/// obs, the optimal brain surgeon, removes the weight whose absence costs least after the others have moved; obd leaves
/// the others where they are; wald removes the least significant; magnitude the smallest. The path tells the objective, AIC,
/// BIC and, of a model, the error on the rows that were held out after every removal. Units that have become useless go with
/// their last weight.
///
/// For many parameters --share removes several weights before each fit, one after another in the quadratic model, and --scheme
/// works with blocks of the curvature, or with products alone.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  secondo prune problem.json --criterion wald --level 0.05 --model small.safetensors
      removes weights while a p-value is above 5 %
  secondo prune problem.json --steps 0 --report saliencies.json
      the saliencies alone")]
pub struct Options {
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    rules: Rules,
    /// The rule: obs, obd, magnitude or wald
    #[arg(long, help_heading = "Pruning", value_name = "NAME", default_value = "obs", value_parser = criterion)]
    criterion: Criterion,
    /// The piece that is removed at a time: weights, units or inputs
    #[arg(long, help_heading = "Pruning", value_name = "WHAT", default_value = "weights", value_parser = piece)]
    what: Piece,
    /// The share of the weights that is removed before each fit
    #[arg(long, help_heading = "Pruning", value_name = "X", default_value = "0", value_parser = share, allow_negative_numbers = true)]
    share: f64,
    /// The part of the inverse curvature: full, layer-blocks, row-blocks or products (conjugate gradients)
    #[arg(long, help_heading = "Pruning", value_name = "NAME", default_value = "full", value_parser = scheme)]
    scheme: Scheme,
    /// The model on the path that is written: bic, aic, held-out or last [default: bic; last with --steps or --level]
    #[arg(long, help_heading = "Pruning", value_name = "RULE", value_parser = ["bic", "aic", "held-out", "last"])]
    choose: Option<String>,
    /// Draw the path; may be given several times
    #[arg(long, help_heading = "Output", value_name = "FILE.svg|FILE.png")]
    plot: Vec<PathBuf>,
    /// Remove so many weights; 0 gives the saliencies alone [default: all but one, and the model of the lowest BIC]
    #[arg(long, help_heading = "Pruning", value_name = "K", conflicts_with = "level")]
    steps: Option<usize>,
    /// Remove weights while a p-value is above this level
    #[arg(long, help_heading = "Pruning", value_name = "P", value_parser = level, allow_negative_numbers = true)]
    level: Option<f64>,
    /// Write the pruned model, without the units that have become useless
    #[arg(long, help_heading = "Output", value_name = "FILE.safetensors")]
    model: Option<PathBuf>,
}

fn criterion(name: &str) -> Result<Criterion, String> {
    Criterion::from_name(name).map_err(|e| e.to_string())
}

fn piece(name: &str) -> Result<Piece, String> {
    Piece::from_name(name).map_err(|e| e.to_string())
}

fn scheme(name: &str) -> Result<Scheme, String> {
    Scheme::from_name(name).map_err(|e| e.to_string())
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if (0.0..1.0).contains(&v) => Ok(v),
        _ => Err("must be a number from 0 to less than 1".into()),
    }
}

pub fn run(options: &Options, matches: &ArgMatches) -> Result<(), Failure> {
    let source = options.source.load(matches, options.model.as_deref(), &options.plot, false)?;
    if source.model.as_ref().is_some_and(|model| model.reference.is_some()) {
        return Err(Failure::usage(
            "the model has a reference class, whose parameters are 0 by definition; fit without --reference-class to prune",
        ));
    }
    let pruning = Pruning {
        criterion: options.criterion,
        piece: options.what,
        share: options.share,
        scheme: options.scheme,
        steps: options.steps,
        level: options.level,
        options: options.rules.options(),
    };
    let mut pruned = pruning.prune(&source.problem, &source.w)?;
    if let Some(scaling) = &source.scaling {
        pruned.rescale(scaling);
    }
    let held_out: Vec<Option<f64>> = std::iter::once(&source.w)
        .chain(pruned.path.iter().map(|r| &r.weights))
        .map(|w| held_out_error(&source, source.problem.network(), w))
        .collect::<Result<_, Failure>>()?;
    let is_open = options.steps.is_none() && options.level.is_none();
    let chosen = match options.choose.as_deref() {
        Some("aic") => pruned.best_by_aic(),
        Some("held-out") => least(&held_out)?,
        Some("last") => pruned.path.len(),
        Some(_) => pruned.best(),
        None if is_open => pruned.best(),
        None => pruned.path.len(),
    };
    say(&text(&source, &pruned, &held_out, chosen, options.scheme))?;
    let mut results = Results::default();
    if let Some(path) = &options.model {
        let weights = chosen.checked_sub(1).map_or(&source.w, |last| &pruned.path[last].weights);
        let mut model = model_with(&source, weights.clone())?;
        (model.network, model.weights) = compact(&model.network, weights)?;
        if matches!(model.penalty, Penalty::RidgeVec { .. }) {
            // It has a number for each weight, also for those that are gone.
            model.penalty = Penalty::None;
        }
        let bytes = model.to_bytes()?;
        results.keep(Kind::Model, Some(path), &|out| out.write_all(&bytes));
    }
    let found = to_json(&source, &pruned, &held_out, chosen, options.scheme);
    let written = options.source.write_report(results, found);
    let panels =
        if options.plot.is_empty() { Vec::new() } else { panels(&source, &pruned, &held_out) };
    Panels(panels).write(&options.plot)?;
    written
}

/// The place of the smallest held-out error.
fn least(held_out: &[Option<f64>]) -> Result<usize, Failure> {
    let known = held_out.iter().enumerate().filter_map(|(step, v)| Some((step, (*v)?)));
    known.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(step, _)| step).ok_or_else(|| {
        Failure::usage("--choose held-out: no rows were held out of the fit of this model")
    })
}

/// How many parameters are left after the start and every removal.
fn left(source: &Source, pruned: &Pruned) -> Vec<usize> {
    std::iter::once(source.w.len()).chain(pruned.path.iter().map(|r| r.parameters_left)).collect()
}

/// Objective, criteria and held-out error against the number of parameters.
fn panels(source: &Source, pruned: &Pruned, held_out: &[Option<f64>]) -> Vec<Panel> {
    let left = left(source, pruned);
    let panel = |title: &str, y: &str, all: Vec<(&str, Vec<Option<f64>>)>| {
        let series = |(name, values): (&str, Vec<Option<f64>>)| Series {
            name: name.into(),
            mark: Mark::Steps,
            points: (left.iter().zip(values))
                .filter_map(|(left, v)| Some((*left as f64, v?)))
                .collect(),
            ends: Vec::new(),
        };
        let all: Vec<Series> =
            all.into_iter().map(series).filter(|s| !s.points.is_empty()).collect();
        let x = "parameters left".to_string();
        Panel { title: title.into(), x, y: y.into(), series: all, zero: false }
    };
    let path = || pruned.path.iter();
    let start = path().next().map(|r| r.value_before);
    let objective = std::iter::once(start).chain(path().map(|r| r.value_after_retraining));
    let updated = std::iter::once(None).chain(path().map(|r| Some(r.value_after_update)));
    let aic = std::iter::once(pruned.aic).chain(path().map(|r| r.aic));
    let bic = std::iter::once(pruned.bic).chain(path().map(|r| r.bic));
    let all = vec![
        panel(
            "Objective along the path",
            "objective",
            vec![("after the fit", objective.collect()), ("after the update", updated.collect())],
        ),
        panel("Criteria", "AIC, BIC", vec![("AIC", aic.collect()), ("BIC", bic.collect())]),
        panel("Rows that were held out", "error", vec![("held out", held_out.to_vec())]),
    ];
    all.into_iter().filter(|panel| !panel.series.is_empty()).collect()
}

fn text(
    source: &Source,
    pruned: &Pruned,
    held_out: &[Option<f64>],
    chosen: usize,
    scheme: Scheme,
) -> String {
    let places = source.names.places(source.problem.network());
    let mut out = format!(
        "{:>4}  {:<20}  {:>11}  {:>9}  {:>13}  {:>13}  {:>13}  {:>5}  {:>11}  {:>10}\n",
        "step",
        "removed",
        "saliency",
        "p",
        "before",
        "updated",
        "retrained",
        "left",
        "BIC",
        "held-out"
    );
    for (step, r) in pruned.path.iter().enumerate() {
        let number =
            |v: Option<f64>, digits: usize| v.map_or("-".into(), |v| format!("{v:.digits$}"));
        let name = match r.also.len() {
            0 => places[r.removed].name.clone(),
            more => format!("{} and {more} more", places[r.removed].name),
        };
        out += &format!(
            "{:>4}  {name:<20}  {:>11.4e}  {:>9}  {:>13.6e}  {:>13.6e}  {:>13}  {:>5}  {:>11}  {:>10}\n",
            step + 1,
            r.saliency,
            number(r.p_value, 4),
            r.value_before,
            r.value_after_update,
            r.value_after_retraining.map_or("-".into(), |v| format!("{v:.6e}")),
            r.parameters_left,
            number(r.bic, 3),
            number(held_out[step + 1], 5)
        );
    }
    let kept = left(source, pruned)[chosen];
    out += &format!("chosen: {chosen} removals, {kept} parameters left\n");
    if scheme != Scheme::Full {
        out += &format!("the inverse curvature was approximated: {}\n", scheme.name());
    }
    if pruned.by_gauss_newton || pruned.path.iter().any(|r| r.by_gauss_newton) {
        out += "the Gauss-Newton matrix stood in where the Hessian was not positive definite\n";
    }
    out + "p-values after a selection are no p-values: judge by BIC or held-out errors\n"
}

fn to_json(
    source: &Source,
    pruned: &Pruned,
    held_out: &[Option<f64>],
    chosen: usize,
    scheme: Scheme,
) -> Map<String, Value> {
    let places = source.names.places(source.problem.network());
    let path: Vec<Value> = (pruned.path.iter().zip(&held_out[1..]))
        .map(|(r, held_out)| {
            let place = &places[r.removed];
            json!({
                "removed": r.removed, "layer": place.layer, "row": place.row, "column": place.column,
                "name": place.name, "saliency": r.saliency, "value_before": r.value_before,
                "value_after_update": r.value_after_update,
                "value_after_retraining": r.value_after_retraining, "p_value": r.p_value,
                "parameters_left": r.parameters_left, "aic": r.aic, "bic": r.bic,
                "by_gauss_newton": r.by_gauss_newton, "also": r.also, "held_out": held_out,
            })
        })
        .collect();
    let entries = [
        ("saliencies", json!(pruned.saliencies)),
        ("path", json!(path)),
        ("chosen", json!(chosen)),
        ("scheme", json!(scheme.name())),
        ("by_gauss_newton", json!(pruned.by_gauss_newton)),
        ("held_out", json!(held_out.first().copied().flatten())),
    ];
    entries.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}
