//! The drawing of a network.

use plotters::style::BLACK;
use plotters::style::text_anchor::HPos;
use secondo::Propagation;

use super::super::Facts;
use super::super::axis::Scaling;
use super::super::figure::{Figure, Panel};
use super::super::marks::{CHOSEN, GOAL, Mark};
use super::{PAIR, shade};

/// So many units of a layer are drawn.
const UNITS: usize = 12;

/// Layers as columns of units, from the inputs to the outputs; lines are weights, the darker the larger.
pub fn network(facts: &Facts) -> Figure {
    let (network, weights) = (facts.network, facts.weights);
    let depth = network.depth();
    let drawn = |k: usize| network.width(k).min(UNITS);
    let place = |k: usize, j: usize| (k as f64, (j as f64 + 0.5) / drawn(k) as f64);
    let mut panel =
        Panel::new(Scaling::bare(-0.45..depth as f64 + 0.45), Scaling::bare(1.08..-0.16));
    let mut edges = Vec::new();
    for (k, layer) in (1..).zip(network.layers()) {
        for group in &layer.groups {
            let linear = matches!(group.propagation, Propagation::Linear);
            for (row, j) in group.units.clone().enumerate().filter(|(_, j)| *j < UNITS) {
                let mut column = 0;
                for &source in &layer.sources {
                    for i in 0..network.width(source) {
                        let at = group.range.start + row * group.row + column;
                        column += 1;
                        if i >= UNITS {
                            continue;
                        }
                        // The parameters of other units belong to no single input.
                        let weight = if linear { weights.get(at).copied() } else { None };
                        edges.push((place(source, i), place(k, j), weight.unwrap_or(f64::NAN)));
                    }
                }
            }
        }
    }
    let largest = edges.iter().map(|edge| edge.2.abs()).fold(0.0, f64::max);
    edges.sort_by(|a, b| a.2.abs().total_cmp(&b.2.abs()));
    for (from, to, weight) in edges {
        let colour = if weight < 0.0 { GOAL } else { CHOSEN };
        let share = if weight.is_finite() { (weight.abs() / largest).sqrt() } else { 0.4 };
        panel.line(shade(colour, 0.08 + 0.92 * share), 1, vec![from, to]);
    }
    for k in 0..=depth {
        let dots = (0..drawn(k)).map(|j| place(k, j));
        panel.marks(Mark::Dot, BLACK, dots.collect());
        let title = match k {
            0 => "inputs".to_string(),
            _ => activation(facts, k),
        };
        panel.text(title, BLACK, (k as f64, -0.11), HPos::Center);
        let width = network.width(k);
        let count = if width > UNITS { format!("{UNITS} of {width}") } else { width.to_string() };
        panel.text(count, BLACK, (k as f64, -0.04), HPos::Center);
    }
    let inputs = facts.shown.inputs.iter().take(UNITS);
    for (j, name) in inputs.enumerate() {
        let (x, y) = place(0, j);
        panel.text(name, BLACK, (x - 0.03, y), HPos::Right);
    }
    let outputs = if facts.shown.classes.len() == network.outputs() {
        &facts.shown.classes
    } else {
        &facts.shown.targets
    };
    for (j, name) in outputs.iter().enumerate().take(UNITS) {
        let (x, y) = place(depth, j);
        panel.text(name, BLACK, (x + 0.03, y), HPos::Left);
    }
    let legend = vec![
        (Mark::Line, CHOSEN, "positive weight".into()),
        (Mark::Line, GOAL, "negative weight".into()),
    ];
    Figure { title: format!("Network {network}"), legend, panels: vec![panel], height: PAIR }
}

/// The name of a layer's activation, or the number of different ones.
fn activation(facts: &Facts, k: usize) -> String {
    let runs = facts.network.layer(k).map(|layer| layer.runs()).unwrap_or_default();
    let mut names: Vec<&str> = runs.iter().map(|(activation, _)| activation.name()).collect();
    names.dedup();
    match names.as_slice() {
        [one] => one.to_string(),
        several => format!("{} activations", several.len()),
    }
}
