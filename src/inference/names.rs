//! Names of parameters, and which of them multiply an input.

use crate::network::Network;

/// The names of inputs and outputs, as a table has them.
#[derive(Debug, Clone, PartialEq)]
pub struct Names {
    /// One for each input.
    pub inputs: Vec<String>,
    /// One for each output.
    pub outputs: Vec<String>,
}

impl Names {
    /// `x1`, `x2`, … and `y1`, `y2`, ….
    pub fn numbered(network: &Network) -> Self {
        let of = |letter: &str, count: usize| (1..=count).map(|i| format!("{letter}{i}")).collect();
        Names { inputs: of("x", network.inputs()), outputs: of("y", network.outputs()) }
    }

    /// The places of all parameters in the order of the flat vector.
    pub fn places(&self, network: &Network) -> Vec<Place> {
        places(network, self)
    }

    /// Returns the name of unit j of layer k.
    pub(super) fn unit(&self, network: &Network, k: usize, j: usize) -> String {
        match k {
            0 => self.inputs[j].clone(),
            _ if k == network.depth() => self.outputs[j].clone(),
            _ => format!("h{k}.{}", j + 1),
        }
    }
}

/// The place of one parameter of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The layer, from 1.
    pub layer: usize,
    /// The unit in its layer, from 0.
    pub row: usize,
    /// The parameter in its unit, from 0.
    pub column: usize,
    /// Such as `x2 -> h1.3`, the constant as `1`.
    pub name: String,
}

/// Returns the places of all parameters in the order of the flat vector.
pub(super) fn places(network: &Network, names: &Names) -> Vec<Place> {
    let mut all = Vec::with_capacity(network.parameters());
    for (k, group) in network.groups() {
        let layer = &network.layers()[k - 1];
        let mut sources: Vec<String> = (layer.sources.iter())
            .flat_map(|&t| (0..network.width(t)).map(move |j| (t, j)))
            .map(|(t, j)| names.unit(network, t, j))
            .collect();
        sources.push("1".into());
        for row in group.units.clone() {
            let unit = names.unit(network, k, row);
            all.extend((0..group.row).map(|column| Place {
                layer: k,
                row,
                column,
                name: if group.propagation.is_linear() {
                    format!("{} -> {unit}", sources[column])
                } else {
                    format!("{unit}, parameter {}", column + 1)
                },
            }));
        }
    }
    all
}

/// Returns the parameters that multiply input j in any layer; none where a unit that is not linear sees it.
pub(super) fn of_input(network: &Network, j: usize) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for (k, group) in network.all_groups() {
        // The inputs, layer 0, come first in z.
        if network.layers()[k - 1].sources.first() != Some(&0) {
            continue;
        }
        if !group.propagation.is_linear() {
            return None;
        }
        all.extend(group.range.clone().step_by(group.row).map(|start| start + j));
    }
    Some(all)
}
