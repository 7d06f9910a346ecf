//! `secondo prune`.

use std::path::PathBuf;

use clap::{ArgMatches, Args};
use secondo::Penalty;
use secondo::inference::{Criterion, Pruned, Pruning, compact};
use serde_json::{Map, Value, json};

use super::source::{Source, SourceOptions};
use super::{Rules, level};
use crate::exit::Failure;
use crate::files::Kind;
use crate::output::{Results, say};

/// Removes weights one by one, with a fit after each
///
/// obs, the optimal brain surgeon, removes the weight whose absence costs least after the others have moved; obd leaves
/// the others where they are; wald removes the least significant; magnitude the smallest. The path tells the objective, AIC
/// and BIC after every removal.
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

pub fn run(options: &Options, matches: &ArgMatches) -> Result<(), Failure> {
    let source = options.source.load(matches, options.model.as_deref())?;
    let pruning = Pruning {
        criterion: options.criterion,
        steps: options.steps,
        level: options.level,
        options: options.rules.options(),
    };
    let pruned = pruning.prune(&source.problem, &source.w)?;
    let is_open = options.steps.is_none() && options.level.is_none();
    let chosen = if is_open { pruned.best() } else { pruned.path.len() };
    say(&text(&source, &pruned, chosen))?;
    let mut results = Results::default();
    if let (Some(path), Some(model)) = (&options.model, &source.model) {
        let weights = chosen.checked_sub(1).map_or(&source.w, |last| &pruned.path[last].weights);
        let mut model = model.clone();
        (model.network, model.weights) = compact(&model.network, weights)?;
        if matches!(model.penalty, Penalty::RidgeVec { .. }) {
            // It has a number for each weight, also for those that are gone.
            model.penalty = Penalty::None;
        }
        let bytes = model.to_bytes()?;
        results.keep(Kind::Model, Some(path), &|out| out.write_all(&bytes));
    }
    options.source.write_report(results, to_json(&source, &pruned, chosen))
}

fn text(source: &Source, pruned: &Pruned, chosen: usize) -> String {
    let places = source.names.places(source.problem.network());
    let mut out = format!(
        "{:>4}  {:<20}  {:>11}  {:>9}  {:>13}  {:>13}  {:>13}  {:>5}  {:>11}\n",
        "step", "removed", "saliency", "p", "before", "updated", "retrained", "left", "BIC"
    );
    for (step, r) in pruned.path.iter().enumerate() {
        let number =
            |v: Option<f64>, digits: usize| v.map_or("-".into(), |v| format!("{v:.digits$}"));
        out += &format!(
            "{:>4}  {:<20}  {:>11.4e}  {:>9}  {:>13.6e}  {:>13.6e}  {:>13.6e}  {:>5}  {:>11}\n",
            step + 1,
            places[r.removed].name,
            r.saliency,
            number(r.p_value, 4),
            r.value_before,
            r.value_after_update,
            r.value_after_retraining,
            r.parameters_left,
            number(r.bic, 3)
        );
    }
    let kept = source.w.len() - chosen;
    out += &format!("chosen: {chosen} removals, {kept} parameters left\n");
    if pruned.path.iter().any(|r| r.by_gauss_newton) {
        out += "the Gauss-Newton matrix stood in where the Hessian was not positive definite\n";
    }
    out + "p-values after a selection are no p-values: judge by BIC or held-out errors\n"
}

fn to_json(source: &Source, pruned: &Pruned, chosen: usize) -> Map<String, Value> {
    let places = source.names.places(source.problem.network());
    let path: Vec<Value> = (pruned.path.iter())
        .map(|r| {
            let place = &places[r.removed];
            json!({
                "removed": r.removed, "layer": place.layer, "row": place.row, "column": place.column,
                "name": place.name, "saliency": r.saliency, "value_before": r.value_before,
                "value_after_update": r.value_after_update,
                "value_after_retraining": r.value_after_retraining, "p_value": r.p_value,
                "parameters_left": r.parameters_left, "aic": r.aic, "bic": r.bic,
                "by_gauss_newton": r.by_gauss_newton,
            })
        })
        .collect();
    let entries = [
        ("saliencies", json!(pruned.saliencies)),
        ("path", json!(path)),
        ("chosen", json!(chosen)),
    ];
    entries.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}
