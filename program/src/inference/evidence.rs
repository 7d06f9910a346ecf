//! `secondo evidence`.

use std::cmp::Ordering;
use std::path::PathBuf;

use clap::{ArgMatches, Args};
use secondo::inference::{
    Alpha, Cycle, Evidence, Laplace, Maximized, Names, PriorGroup, Sharing, Width,
};
use secondo::io::{alpha_to_json, laplace_to_json};
use secondo::{Curvature, Network};
use serde_json::{Map, Value, json};

use super::source::{Source, SourceOptions, held_out_error, model_with};
use super::{information, positive};
use crate::exit::Failure;
use crate::files::Kind;
use crate::output::{Results, say};
use crate::plot::Mark;
use crate::plot::panels::{Panel, Panels, Series};

/// Finds the penalty by the evidence: the precision α of the weights and β of the targets
///
/// MacKay's re-estimation: the net is fitted, γ counts the parameters that the data determine, α becomes γ/|w|² and β
/// (N − γ)/RSS, until both stay. The penalty must be a ridge on all parameters; of a ridge_vec those with equal lambda share
/// their α. With --alpha-by input each input has its own (automatic relevance determination): those that tell nothing are switched
/// off. With --widths the hidden layer's width is chosen by the evidence, too.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  secondo evidence diabetes.safetensors diabetes.csv --model better.safetensors
      the model with the penalty of the largest evidence
  secondo evidence problem.json --cycles 1 --report evidence.json
      the evidence of the file's own penalty
  secondo evidence diabetes.safetensors diabetes.csv --alpha-by input
      which inputs matter
  secondo evidence diabetes.safetensors diabetes.csv --widths 1,2,4,8 --plot widths.svg
      how many hidden units the data support")]
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
    /// Which parameters share an α: penalty (those of equal lambda), one (all), layer, or input (the weights of each input)
    #[arg(long, help_heading = "Evidence", value_name = "GROUPS", default_value = "penalty", value_parser = sharing)]
    alpha_by: Sharing,
    /// Compare these widths of the hidden layer by their evidence, as in 1,2,4,8
    #[arg(long, help_heading = "Evidence", value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    widths: Vec<u16>,
    /// The starts for each width
    #[arg(long, help_heading = "Evidence", value_name = "N", default_value = "5", requires = "widths", value_parser = clap::value_parser!(u16).range(1..))]
    starts: u16,
    /// Draw the evidence against the width; may be given several times
    #[arg(long, help_heading = "Output", value_name = "FILE.svg|FILE.png", requires = "widths")]
    plot: Vec<PathBuf>,
    /// Write the model with the last penalty, or of the best width
    #[arg(long, help_heading = "Output", value_name = "FILE.safetensors")]
    model: Option<PathBuf>,
}

fn sharing(name: &str) -> Result<Sharing, String> {
    Sharing::from_name(name).map_err(|e| e.to_string())
}

pub fn run(options: &Options, matches: &ArgMatches) -> Result<(), Failure> {
    let source = options.source.load(matches, options.model.as_deref(), &options.plot, false)?;
    let evidence = Evidence {
        information: options.information,
        alpha: options.alpha,
        beta: options.beta,
        cycles: options.cycles,
        tolerance: options.tolerance,
        sharing: options.alpha_by,
    };
    if !options.widths.is_empty() {
        return compare(options, &source, &evidence);
    }
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
    if done.groups.len() > 1 {
        text += &of_groups(&source, &done);
    }
    let end = match (done.converged, done.fell) {
        (true, _) => "alpha and beta stay",
        (_, true) => "the evidence falls; the cycle where it was largest is kept",
        _ => "the cycles are used up",
    };
    text += &format!(
        "ended: {end}; gamma {:.2} of {} parameters; ln of symmetric copies {:.4}, not added\n",
        done.laplace.gamma,
        done.w.len(),
        done.laplace.log_symmetry
    );
    say(&text)?;
    let mut results = Results::default();
    write_model(options, &source, None, &done, &mut results)?;
    let mut map = fields(&done.laplace);
    let end = done.cycles.iter().rev().find(|c| c.laplace == done.laplace);
    let value = end.map(|c| c.value);
    map.insert("value".into(), json!(value));
    map.insert("converged".into(), json!(done.converged));
    map.insert("fell".into(), json!(done.fell));
    map.insert("W".into(), json!(done.w));
    let groups = done.groups.iter().map(|g| group(&source.names, source.problem.network(), g));
    map.insert("groups".into(), groups.collect());
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

/// A group of parameters that share an α: α, γ and the parameters' names.
pub fn group(names: &Names, network: &Network, group: &PriorGroup) -> Value {
    json!({
        "name": name_of(names, network, group), "alpha": group.alpha, "gamma": group.gamma,
        "parameters": group.parameters, "off": group.is_off,
    })
}

/// The input, or the layer, of a group's parameters.
pub fn name_of(names: &Names, network: &Network, group: &PriorGroup) -> String {
    let places = names.places(network);
    let of = |l: &usize| places[*l].name.split(" -> ").next().unwrap_or_default().to_string();
    let first = group.parameters.first().map(of).unwrap_or_default();
    if group.parameters.iter().all(|l| of(l) == first) {
        return if first == "1" { "biases".into() } else { first };
    }
    let layer = group.parameters.first().map_or(0, |l| places[*l].layer);
    format!("layer {layer}")
}

fn of_groups(source: &Source, done: &Maximized) -> String {
    let mut text = format!("\n{:<20} {:>14} {:>16}\n", "parameters of", "alpha", "gamma");
    for group in &done.groups {
        text += &format!(
            "{:<20} {:>14.6} {:>9.3} of {:<4}{}\n",
            name_of(&source.names, source.problem.network(), group),
            group.alpha,
            group.gamma,
            group.parameters.len(),
            if group.is_off { "switched off" } else { "" }
        );
    }
    text + "\n"
}

/// Writes the model with the weights and the penalty of the largest evidence.
fn write_model(
    options: &Options,
    source: &Source,
    network: Option<&Network>,
    done: &Maximized,
    results: &mut Results,
) -> Result<(), Failure> {
    let Some(path) = &options.model else {
        return Ok(());
    };
    let mut model = match (network, source.model.clone()) {
        (Some(network), Some(mut model)) => {
            // Of other sizes than the source's own.
            (model.network, model.weights) = (network.clone(), done.w.clone());
            model
        }
        _ => model_with(source, done.w.clone())?,
    };
    model.penalty = done.penalty.clone();
    let bytes = model.to_bytes()?;
    results.keep(Kind::Model, Some(path), &|out| out.write_all(&bytes));
    Ok(())
}

/// The evidence of several widths.
fn compare(options: &Options, source: &Source, evidence: &Evidence) -> Result<(), Failure> {
    let mut widths: Vec<usize> = options.widths.iter().map(|w| usize::from(*w)).collect();
    widths.sort_unstable();
    widths.dedup();
    let found = evidence.widths(&source.problem, &widths, u64::from(options.starts))?;
    let mut text = format!(
        "{:>5}  {:>10}  {:>14}  {:>12}  {:>14}  {:>9}  {:>12}\n",
        "units", "parameters", "log evidence", "symmetries", "sum", "gamma", "held-out"
    );
    let mut rows = Vec::new();
    for Width { units, network, best, .. } in &found {
        let Some(best) = best else {
            text += &format!("{units:>5}  {:>10}  no start came to an end\n", network.parameters());
            rows.push(json!({"units": units, "parameters": network.parameters()}));
            continue;
        };
        let l = &best.laplace;
        let held_out = held_out_error(source, network, &best.w)?;
        text += &format!(
            "{units:>5}  {:>10}  {:>14.4}  {:>12.4}  {:>14.4}  {:>9.3}  {:>12}\n",
            network.parameters(),
            l.log_evidence,
            l.log_symmetry,
            l.log_evidence + l.log_symmetry,
            l.gamma,
            held_out.map_or("-".into(), |v| format!("{v:.6}"))
        );
        let mut row = fields(l);
        row.insert("units".into(), json!(units));
        row.insert("parameters".into(), json!(network.parameters()));
        row.insert("held_out".into(), json!(held_out));
        row.insert("converged".into(), json!(best.converged));
        rows.push(Value::Object(row));
    }
    let sum = |w: &&Width| w.best.as_ref().map(|b| b.laplace.log_evidence + b.laplace.log_symmetry);
    let known = found.iter().filter(|w| w.best.is_some());
    let chosen = known.max_by(|a, b| sum(a).partial_cmp(&sum(b)).unwrap_or(Ordering::Equal));
    if let Some(chosen) = chosen {
        text += &format!(
            "{} units have the largest evidence, symmetric copies counted\n",
            chosen.units
        );
    }
    say(&text)?;
    let mut results = Results::default();
    if let Some(Width { network, best: Some(best), .. }) = chosen {
        write_model(options, source, Some(network), best, &mut results)?;
    }
    let map = Map::from_iter([
        ("widths".to_string(), json!(rows)),
        ("chosen".to_string(), json!(chosen.map(|w| w.units))),
    ]);
    let written = options.source.write_report(results, map);
    let series = |name: &str, of: &dyn Fn(&Laplace) -> f64| Series {
        name: name.into(),
        mark: Mark::Steps,
        points: (found.iter())
            .filter_map(|w| Some((w.units as f64, of(&w.best.as_ref()?.laplace))))
            .collect(),
        ends: Vec::new(),
    };
    let panel = Panel {
        title: "Evidence against the number of hidden units".into(),
        x: "hidden units".into(),
        y: "ln evidence".into(),
        series: vec![
            series("with symmetric copies", &|l| l.log_evidence + l.log_symmetry),
            series("of one minimum", &|l| l.log_evidence),
        ],
        zero: false,
    };
    Panels(vec![panel]).write(&options.plot)?;
    written
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
