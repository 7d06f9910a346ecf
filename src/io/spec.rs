//! A network's architecture as JSON.
//!
//! ```json
//! {"inputs": 3, "layers": [
//!   {"units": 4, "sources": [0], "bias": true, "propagation": "linear", "activations": "tanh"},
//!   {"units": 1, "sources": [0, 1], "bias": true, "propagation": "linear", "activations": ["identity"]}]}
//! ```
//!
//! `propagation` and `activations` are one name or a list with one name for each unit; `bias` is true and
//! `propagation` linear unless given. Propagations: `linear`, those of [`Radial`], and `normalized`
//! ([`Layer::normalized`]), whose unit j reads the j-th number of its inputs, j being its place in the layer. An activation is built in, registered by the
//! program that reads the file, or a formula in u such as `1-(1+u)^-2`.

use std::path::Path;

use serde_json::{Value, json};

use super::files;
use super::json::{self, array, field, in_file, object, only, size, wrong};
use crate::error::{Error, Result};
use crate::network::{Activation, Group, Layer, Network, Normalized, Propagation, Radial};

/// Normalised units of one layer, each a group of its own: with k of them a sample takes k² exponentials at the least.
const MOST_NORMALIZED: usize = 1 << 16;

/// The network that `spec` describes.
///
/// # Errors
/// A key that is missing, unknown or has the wrong type, an unknown name, or what [`Network::new`] refuses. Keys that begin with
/// `x_` are free for notes.
pub fn network_from_json(spec: &Value) -> Result<Network> {
    let object = object(spec, "spec")?;
    only(object, "spec", &["inputs", "layers"])?;
    let inputs = size(field(object, "inputs", "spec")?, "spec.inputs")?;
    let layers = array(field(object, "layers", "spec")?, "spec.layers")?;
    let layers = (layers.iter().enumerate())
        .map(|(index, layer)| layer_from_json(layer, &format!("spec.layers[{index}]")))
        .collect::<Result<_>>()?;
    Network::new(inputs, layers)
}

/// The network that the JSON file describes.
///
/// # Errors
/// A file that cannot be read or is not JSON, and what [`network_from_json`] refuses.
pub fn network_from_path(path: &Path) -> Result<Network> {
    let value = json::parse(&files::read_text(path)?, path)?;
    // A report and a problem file have it under a key.
    let below = ["network", "spec"].into_iter().find_map(|key| value.get(key));
    let spec = below.unwrap_or(&value);
    network_from_json(spec).map_err(|error| in_file(path, error))
}

fn layer_from_json(spec: &Value, place: &str) -> Result<Layer> {
    let layer = object(spec, place)?;
    only(layer, place, &["units", "sources", "bias", "propagation", "activations"])?;
    let at = |key: &str| format!("{place}.{key}");
    let units = size(field(layer, "units", place)?, &at("units"))?;
    let bias = match layer.get("bias") {
        None => true,
        Some(value) => {
            value.as_bool().ok_or_else(|| wrong(&at("bias"), "must be true or false"))?
        }
    };
    let activations = field(layer, "activations", place)?;
    let linear = Value::from("linear");
    let propagation = layer.get("propagation").unwrap_or(&linear);
    let kind = |name: &str, j: usize| {
        propagation_named(name, j).map_err(|e| wrong(&at("propagation"), e.to_string()))
    };
    if units > MOST_NORMALIZED && propagation.as_str() == Some(Normalized::NAME) {
        let why = format!("{units} normalised units; at most {MOST_NORMALIZED} can be in a layer");
        return Err(wrong(&at("units"), why));
    }
    let function = |name: &str| {
        Activation::from_name(name).map_err(|e| wrong(&at("activations"), e.to_string()))
    };
    let groups = match (propagation.as_str(), activations.as_str()) {
        // One name for all: a width that no memory holds costs nothing before it is refused.
        (Some(p), Some(a)) if p != Normalized::NAME => {
            vec![Group::uniform(kind(p, 0)?, units, function(a)?)]
        }
        _ => {
            let names = names(activations, units, &at("activations"))?;
            let kinds = self::names(propagation, units, &at("propagation"))?;
            // Neighbouring units with the same propagation form a group, but for normalised ones, which differ.
            let mut groups: Vec<(&str, usize, Vec<Activation>)> = Vec::new();
            let each = kinds.into_iter().cycle().zip(names.into_iter().cycle());
            for (j, (k, name)) in each.take(units).enumerate() {
                let activation = function(name)?;
                match groups.last_mut() {
                    Some((last, _, group)) if *last == k && k != Normalized::NAME => {
                        group.push(activation);
                    }
                    _ => groups.push((k, j, vec![activation])),
                }
            }
            (groups.into_iter())
                .map(|(k, j, units)| Ok(Group::new(kind(k, j)?, units)))
                .collect::<Result<_>>()?
        }
    };
    let mut out = Layer::of(groups);
    if let Some(sources) = layer.get("sources") {
        let sources = (array(sources, &at("sources"))?.iter())
            .map(|s| size(s, &at("sources")))
            .collect::<Result<Vec<_>>>()?;
        out = out.sources(sources);
    }
    Ok(if bias { out } else { out.without_bias() })
}

/// The propagation of that name, of unit `j` of its layer.
fn propagation_named(name: &str, j: usize) -> Result<Propagation> {
    let radial = Radial::ALL.map(|r| (r.name(), Propagation::Radial(r)));
    let all = [
        ("linear", Propagation::Linear),
        (Normalized::NAME, Propagation::Normalized(Normalized(j))),
    ];
    let all = || all.iter().chain(&radial);
    (all().find(|(known, _)| *known == name))
        .map(|(_, propagation)| propagation.clone())
        .ok_or_else(|| Error::Unknown {
            kind: "propagation",
            name: name.into(),
            known: all().map(|(known, _)| known.to_string()).collect(),
        })
}

/// The architecture as JSON; [`network_from_json`] reads it back.
pub fn network_to_json(network: &Network) -> Value {
    let layers: Vec<Value> = (network.layers().iter())
        .map(|layer| {
            let propagation: Vec<_> = (layer.groups.iter())
                .flat_map(|g| std::iter::repeat_n(g.propagation.name(), g.units.len()))
                .collect();
            let activations: Vec<_> =
                layer.groups.iter().flat_map(|g| g.activations()).map(Activation::name).collect();
            json!({
                "units": layer.units,
                "sources": layer.sources,
                "bias": layer.bias,
                "propagation": one_or_all(&propagation),
                "activations": one_or_all(&activations),
            })
        })
        .collect();
    json!({"inputs": network.inputs(), "layers": layers})
}

fn one_or_all(names: &[&str]) -> Value {
    match names {
        [first, rest @ ..] if rest.iter().all(|n| n == first) => json!(first),
        _ => json!(names),
    }
}

/// The one name for all units, or one for each: no more than the file has, however many units it claims.
fn names<'a>(value: &'a Value, units: usize, place: &str) -> Result<Vec<&'a str>> {
    if let Some(name) = value.as_str() {
        return Ok(vec![name]);
    }
    let names = array(value, place)?;
    if names.len() != units {
        return Err(Error::shape(place, &[units], &[names.len()]));
    }
    (names.iter()).map(|n| n.as_str().ok_or_else(|| wrong(place, "must be names"))).collect()
}
