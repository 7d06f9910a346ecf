//! A network without the units that pruning has made useless.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::network::{Activation, Group, Layer, Network, Propagation};

/// A linear unit.
struct Row {
    /// The weights of the units (layer, unit) that feed it.
    terms: BTreeMap<(usize, usize), f64>,
    bias: f64,
    activation: Activation,
    alive: bool,
}

/// Returns the same function with fewer units: those that nothing uses are gone, and those that no input reaches are constants,
/// which the biases behind them take in. Each layer keeps a unit. A network with units that are not linear is returned as it is.
///
/// ```
/// use ndarray::array;
/// use secondo::inference::compact;
/// use secondo::{Activation, Network};
/// // The second of two tanh units sees no input: tanh 1 · 3 goes into the output's bias.
/// let net = Network::dense(&[1, 2, 1], Activation::Tanh)?;
/// let w = [0.5, 0.1, 0.0, 1.0, 2.0, 3.0, 0.25];
/// let (small, v) = compact(&net, &w)?;
/// assert_eq!((small.to_string().as_str(), v.len()), ("[1-1-1]", 4));
/// let x = array![[0.7]];
/// assert!((small.predict(&v, &x)?[[0, 0]] - net.predict(&w, &x)?[[0, 0]]).abs() < 1e-15);
/// # Ok::<(), secondo::Error>(())
/// ```
///
/// # Errors
/// `Shape` for another number of weights than the network has, `NonFinite` with the index.
pub fn compact(network: &Network, w: &[f64]) -> Result<(Network, Vec<f64>)> {
    network.check(w)?;
    if !network.layers().iter().all(|layer| layer.is_linear()) {
        return Ok((network.clone(), w.to_vec()));
    }
    rebuilt(network, &without_useless(network, w))
}

/// The same function in the same network: the weights of and from useless units are 0, their constants in the biases behind them.
/// Returns the weights, and those that have become idle with their units.
pub(super) fn folded(network: &Network, w: &[f64]) -> (Vec<f64>, Vec<usize>) {
    if !network.layers().iter().all(|layer| layer.is_linear()) {
        return (w.to_vec(), Vec::new());
    }
    let (mut all, mut idle) = (Vec::with_capacity(w.len()), Vec::new());
    for (view, units) in network.layers().iter().zip(without_useless(network, w)) {
        for unit in &units {
            for &t in &view.sources {
                for j in 0..network.width(t) {
                    let term = unit.terms.get(&(t, j)).filter(|_| unit.alive);
                    idle.extend(term.is_none().then_some(all.len()));
                    all.push(term.copied().unwrap_or(0.0));
                }
            }
            if view.bias {
                idle.extend((!unit.alive).then_some(all.len()));
                all.push(if unit.alive { unit.bias } else { 0.0 });
            }
        }
    }
    (all, idle)
}

/// The rows of all layers, constants of useless units moved into the biases behind them.
fn without_useless(network: &Network, w: &[f64]) -> Vec<Vec<Row>> {
    let mut layers = rows(network, w);
    while let Some((k, j)) = useless(network, &layers) {
        let constant = layers[k - 1][j].activation.value(layers[k - 1][j].bias);
        layers[k - 1][j].alive = false;
        for row in layers.iter_mut().flatten() {
            if let Some(weight) = row.terms.remove(&(k, j)) {
                row.bias += weight * constant;
            }
        }
    }
    layers
}

fn rows(network: &Network, w: &[f64]) -> Vec<Vec<Row>> {
    let of_layer = |layer: &crate::network::LayerView| {
        let sources: Vec<(usize, usize)> = (layer.sources.iter())
            .flat_map(|&t| (0..network.width(t)).map(move |j| (t, j)))
            .collect();
        let of_group = |group: &crate::network::GroupView| -> Vec<Row> {
            let starts = group.range.clone().step_by(group.row.max(1));
            let row = |(start, activation): (usize, Activation)| Row {
                terms: sources.iter().copied().zip(w[start..].iter().copied()).collect(),
                bias: if layer.bias { w[start + sources.len()] } else { 0.0 },
                activation,
                alive: true,
            };
            starts.zip(group.activations()).map(row).collect()
        };
        layer.groups.iter().flat_map(of_group).collect()
    };
    network.layers().iter().map(of_layer).collect()
}

/// Returns a hidden unit (layer, unit) that may go, not the last of its layer.
fn useless(network: &Network, layers: &[Vec<Row>]) -> Option<(usize, usize)> {
    for (k, units) in (1..network.depth()).zip(layers) {
        if units.iter().filter(|u| u.alive).count() < 2 {
            continue;
        }
        for (j, unit) in units.iter().enumerate().filter(|(_, u)| u.alive) {
            let weight = |row: &Row| row.terms.get(&(k, j)).is_some_and(|v| *v != 0.0);
            let users =
                || (1..).zip(layers).filter(|(_, rows)| rows.iter().any(|r| r.alive && weight(r)));
            let is_constant = unit.terms.values().all(|v| *v == 0.0);
            let foldable = is_constant && users().all(|(r, _)| network.layers()[r - 1].bias);
            if users().next().is_none() || foldable {
                return Some((k, j));
            }
        }
    }
    None
}

fn rebuilt(network: &Network, layers: &[Vec<Row>]) -> Result<(Network, Vec<f64>)> {
    let (mut built, mut w) = (Vec::new(), Vec::new());
    for (view, units) in network.layers().iter().zip(layers) {
        let alive = || units.iter().filter(|u| u.alive);
        let group = Group::new(Propagation::Linear, alive().map(|u| u.activation));
        let layer = Layer::of(vec![group]).sources(view.sources.clone());
        built.push(if view.bias { layer } else { layer.without_bias() });
        for unit in alive() {
            w.extend(unit.terms.values());
            w.extend(view.bias.then_some(unit.bias));
        }
    }
    Ok((Network::new(network.inputs(), built)?, w))
}
