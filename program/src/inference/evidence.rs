//! `secondo evidence`.

use std::path::PathBuf;

use clap::{ArgMatches, Args};
use secondo::Curvature;
use secondo::inference::{Alpha, Cycle, Evidence, Laplace};
use secondo::io::{alpha_to_json, laplace_to_json};
use serde_json::{Map, Value, json};

use super::source::SourceOptions;
use super::{information, positive};
use crate::exit::Failure;
use crate::files::Kind;
use crate::output::{Results, say};

/// Finds the penalty by the evidence: the precision α of the weights and β of the targets
///
/// MacKay's re-estimation: the net is fitted, γ counts the parameters that the data determine, α becomes γ/|w|² and β
/// (N − γ)/RSS, until both stay. The penalty must be a ridge on all parameters; of a ridge_vec those with equal lambda share
/// their α.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  secondo evidence diabetes.safetensors diabetes.csv --model better.safetensors
      the model with the penalty of the largest evidence
  secondo evidence problem.json --cycles 1 --report evidence.json
      the evidence of the file's own penalty")]
pub struct Options {
    #[command(flatten)]
    source: SourceOptions,
    /// The information whose eigenvalues count: gauss-newton or exact
    #[arg(long, help_heading = "Evidence", value_name = "NAME", default_value = "gauss-newton", value_parser = information)]
    information: Curvature,
    /// α at the start [default: that of the penalty]
    #[arg(long, help_heading = "Evidence", value_name = "A", value_parser = positive, allow_negative_numbers = true)]
    alpha: Option<f64>,
    /// β at the start [default: 1/φ at the estimate]
    #[arg(long, help_heading = "Evidence", value_name = "B", value_parser = positive, allow_negative_numbers = true)]
    beta: Option<f64>,
    /// The most cycles
    #[arg(long, help_heading = "Evidence", value_name = "K", default_value = "100")]
    cycles: usize,
    /// End when α and β change by less than this part of themselves
    #[arg(long, help_heading = "Evidence", value_name = "T", default_value = "1e-6", value_parser = positive, allow_negative_numbers = true)]
    tolerance: f64,
    /// Write the model with the last penalty
    #[arg(long, help_heading = "Output", value_name = "FILE.safetensors")]
    model: Option<PathBuf>,
}

pub fn run(options: &Options, matches: &ArgMatches) -> Result<(), Failure> {
    let source = options.source.load(matches, options.model.as_deref())?;
    let evidence = Evidence {
        information: options.information,
        alpha: options.alpha,
        beta: options.beta,
        cycles: options.cycles,
        tolerance: options.tolerance,
    };
    let done = evidence.maximize(&source.problem, &source.w)?;
    let mut text = format!(
        "{:>5}  {:>12}  {:>12}  {:>9}  {:>14}\n",
        "cycle", "alpha", "beta", "gamma", "log evidence"
    );
    for (k, Cycle { laplace: l, .. }) in done.cycles.iter().enumerate() {
        let alpha = in_words(&l.alpha);
        text += &format!(
            "{:>5}  {alpha:>12}  {:>12.6}  {:>9.4}  {:>14.6}\n",
            k + 1,
            l.beta,
            l.gamma,
            l.log_evidence
        );
    }
    let end = if done.converged { "alpha and beta stay" } else { "the cycles are used up" };
    text += &format!(
        "ended: {end}; gamma {:.2} of {} parameters; ln of symmetric copies {:.4}, not added\n",
        done.laplace.gamma,
        done.w.len(),
        done.laplace.log_symmetry
    );
    say(&text)?;
    let mut results = Results::default();
    if let (Some(path), Some(model)) = (&options.model, &source.model) {
        let mut model = model.clone();
        model.weights = done.w.clone();
        model.penalty = done.penalty.clone();
        let bytes = model.to_bytes()?;
        results.keep(Kind::Model, Some(path), &|out| out.write_all(&bytes));
    }
    let mut map = fields(&done.laplace);
    map.insert("value".into(), json!(done.cycles.last().map(|c| c.value)));
    map.insert("converged".into(), json!(done.converged));
    map.insert("W".into(), json!(done.w));
    let cycles: Vec<Value> = (done.cycles.iter())
        .map(|cycle| {
            let mut map = fields(&cycle.laplace);
            map.insert("value".into(), json!(cycle.value));
            Value::Object(map)
        })
        .collect();
    map.insert("cycles".into(), json!(cycles));
    options.source.write_report(results, map)
}

fn fields(laplace: &Laplace) -> Map<String, Value> {
    match laplace_to_json(laplace) {
        Value::Object(mut map) => {
            map.insert("alpha".into(), alpha_to_json(&laplace.alpha));
            map
        }
        _ => Map::new(),
    }
}

fn in_words(alpha: &Alpha) -> String {
    match alpha {
        Alpha::One(alpha) => format!("{alpha:.6}"),
        Alpha::Each(all) => {
            let (low, high) =
                all.iter().fold((f64::MAX, 0.0f64), |(l, h), a| (l.min(*a), h.max(*a)));
            format!("{low:.3}…{high:.3}")
        }
    }
}
