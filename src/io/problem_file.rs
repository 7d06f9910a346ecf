//! A whole problem in one JSON file: network, data, loss, penalty and parameters.
//!
//! ```json
//! {"spec": {"inputs": 1, "layers": [
//!    {"units": 2, "sources": [0], "bias": true, "propagation": "linear", "activations": "tanh"},
//!    {"units": 1, "sources": [1], "bias": true, "propagation": "linear", "activations": "identity"}]},
//!  "loss": {"type": "sos"},
//!  "penalty": {"type": "ridge", "lambda": 0.01, "include_bias": true},
//!  "X": [[0.5], [-1.0]], "Y": [[1.0], [0.0]],
//!  "W": [1, 0, -1, 0, 1, 1, 0]}
//! ```
//!
//! | key | content |
//! |---|---|
//! | `spec` | the network, see [`network_from_json`] |
//! | `loss` | `type`, a name or alias of [`Loss::KINDS`], and its parameters by their names: `output_weights` of wsos is a list, `delta` of logcosh and pseudo_huber a number |
//! | `penalty` | optional or null; `type` (ridge, ridge_vec, group_norm), `lambda` (a list for ridge_vec) and `include_bias` (true unless given) |
//! | `X`, `Y` | lists of rows |
//! | `sample_weights` | optional |
//! | `W` | the parameters, layer by layer, unit by unit; or `constraint` {`fixed`, `C_entries`: \[\[row, column, value\], …\]} with `theta`, W = fixed + Cθ |
//! | `X_new` | optional: rows to predict |
//! | `v` or `V` | optional: one vector, or a list of vectors, as long as the parameters |
//! | `activation_definitions` | optional: names of activations that are not built in, each with its formula in u, see [`Activation::formula`] |
//!
//! Numbers may be strings, which can carry more digits. Keys that begin with `x_` are free for notes. A key that is much like one of
//! the above, or has another program's name for it, is an error; others are listed in [`ProblemFile::unused`].

use std::path::Path;

use ndarray::Array2;
use serde_json::{Map, Value, json};

use super::files;
use super::json::{
    self, array, field, in_file, matrix, nearest, number, numbers, object, only, size, type_of,
    unknown, vector, wrong,
};
use super::spec::network_from_json;
use crate::error::{Error, Result};
use crate::network::{Activation, Constraint, Network};
use crate::objective::{Data, Loss, LossKind, Parameter, ParameterSource, Penalty};
use crate::problem::Problem;

/// The contents of a problem file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProblemFile {
    /// Network, data, loss, penalty and, where there is one, the constraint; on the CPU in f64.
    pub problem: Problem,
    /// W, or θ under a constraint.
    pub parameters: Vec<f64>,
    /// The vectors of `v` or `V`, each as long as `parameters`.
    pub vectors: Vec<Vec<f64>>,
    /// The rows of `X_new`, where the file has some.
    pub x_new: Option<Array2<f64>>,
    /// W = fixed + Cθ, where the file has one.
    pub constraint: Option<Constraint>,
    /// The penalty, which is part of `problem`, too.
    pub penalty: Penalty,
    /// The keys of the file that mean nothing here and do not begin with `x_`.
    pub unused: Vec<String>,
}

/// The keys of a problem file.
const KEYS: [&str; 13] = [
    "spec",
    "loss",
    "penalty",
    "X",
    "Y",
    "X_new",
    "sample_weights",
    "W",
    "constraint",
    "theta",
    "v",
    "V",
    "activation_definitions",
];
/// Names that other programs have for keys of a problem file; nothing for what a problem file has not.
const ELSEWHERE: [(&str, &str); 16] = [
    ("weight", "sample_weights"),
    ("weights", "sample_weights"),
    ("network", "spec"),
    ("architecture", "spec"),
    ("model", "spec"),
    ("objective", "loss"),
    ("criterion", "loss"),
    ("regularization", "penalty"),
    ("regularisation", "penalty"),
    ("regularizer", "penalty"),
    ("ridge", "penalty"),
    ("weight_decay", "penalty"),
    ("inputs", "X"),
    ("targets", "Y"),
    ("parameters", "W"),
    ("reduction", ""),
];

/// The keys that mean nothing.
///
/// # Errors
/// A key that seems to mean one of those that exist.
fn unused(top: &Map<String, Value>) -> Result<Vec<String>> {
    let mut unused = Vec::new();
    for key in top.keys().filter(|key| !KEYS.contains(&key.as_str()) && !key.starts_with("x_")) {
        let other = ELSEWHERE.iter().find(|(name, _)| name == key).map(|(_, meant)| *meant);
        match other.or_else(|| nearest(key, &KEYS)) {
            Some("") => {
                let why = "there is no such key: a problem file has the sum of the losses; scale the penalty for their mean";
                return Err(wrong(key, why));
            }
            Some(meant) => {
                let why = format!(
                    "the key is unknown; is '{meant}' meant? Keys that begin with x_ are free for notes"
                );
                return Err(wrong(key, why));
            }
            None => unused.push(key.clone()),
        }
    }
    Ok(unused)
}

impl ProblemFile {
    /// The problem in the file at `path`.
    ///
    /// # Errors
    /// A file that cannot be read, is not JSON (with line and column), misses a key or has a wrong value
    /// (with the key, such as `spec.layers[1].activations`).
    pub fn from_path(path: &Path) -> Result<Self> {
        parse(&files::read_text(path)?, path)
    }

    /// The problem in `text`.
    ///
    /// ```
    /// use secondo::io::ProblemFile;
    /// let file = ProblemFile::from_str(r#"{
    ///     "spec": {"inputs": 1, "layers": [{"units": 1, "activations": "identity"}]},
    ///     "loss": {"type": "sos"},
    ///     "X": [[2]], "Y": [[1]], "W": [1, 3]}"#)?;
    /// assert_eq!(file.problem.objective(&file.parameters)?, 8.0); // ½ (1 − (1·2 + 3))²
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`from_path`](Self::from_path); the path in the error is `problem`.
    // Not the trait: the error needs a path, and there is nothing to gain from `parse()`.
    #[allow(clippy::should_implement_trait)]
    pub fn from_str(text: &str) -> Result<Self> {
        parse(text, Path::new("problem"))
    }

    /// The network's flat weights: `parameters`, or fixed + Cθ.
    ///
    /// # Errors
    /// None for parameters of the right length.
    pub fn weights(&self, parameters: &[f64]) -> Result<Vec<f64>> {
        match &self.constraint {
            None => Ok(parameters.to_vec()),
            Some(constraint) => constraint.weights(parameters),
        }
    }
}

fn parse(text: &str, path: &Path) -> Result<ProblemFile> {
    let value = json::parse(text, path)?;
    problem(&value).map_err(|error| in_file(path, error))
}

fn problem(value: &Value) -> Result<ProblemFile> {
    let top = value.as_object().ok_or_else(|| wrong("problem", "must be an object {…}"))?;
    let unused = unused(top)?;
    let key = |name: &str| top.get(name).ok_or_else(|| wrong(name, "the key is missing"));
    let spec = key("spec")?;
    let constrained = top.get("constraint").filter(|c| !c.is_null());
    let (parameters, constraint) = match constrained {
        Some(constraint) => {
            if !top.contains_key("theta") {
                return Err(wrong(
                    "theta",
                    "the key is missing; a constraint W = fixed + Cθ needs it",
                ));
            }
            let theta = numbers(key("theta")?, "theta")?;
            let constraint = constraint_from_json(constraint, theta.len())?;
            (theta, Some(constraint))
        }
        None if top.contains_key("theta") && !top.contains_key("W") => {
            return Err(wrong("constraint", "the key is missing; theta needs it"));
        }
        None => (numbers(key("W")?, "W")?, None),
    };
    let length = constraint.as_ref().map_or(parameters.len(), Constraint::parameters);
    check_widths(spec, length)?;
    let spec = with_definitions(spec, top.get("activation_definitions"))?;
    let network = network_from_json(&spec)?;
    if length != network.parameters() {
        let what = if constraint.is_some() { "constraint.fixed" } else { "W" };
        return Err(Error::shape(what, &[network.parameters()], &[length]));
    }
    let loss = loss_from_json(key("loss")?)?;
    let penalty = match top.get("penalty") {
        None => Penalty::None,
        Some(penalty) => penalty_from_json(penalty)?,
    };
    let x = matrix(key("X")?, "X", network.inputs())?;
    let y = matrix(key("Y")?, "Y", network.outputs())?;
    let mut data = Data::new(x, y)?;
    if let Some(weights) = top.get("sample_weights").filter(|w| !w.is_null()) {
        data = data.weighted(numbers(weights, "sample_weights")?)?;
    }
    let mut vectors = Vec::new();
    if let Some(v) = top.get("v").filter(|v| !v.is_null()) {
        vectors.push(vector(v, "v", parameters.len())?);
    }
    if let Some(list) = top.get("V").filter(|v| !v.is_null()) {
        for (i, v) in array(list, "V")?.iter().enumerate() {
            vectors.push(vector(v, &format!("V[{i}]"), parameters.len())?);
        }
    }
    let x_new = (top.get("X_new").filter(|x| !x.is_null()))
        .map(|x| matrix(x, "X_new", network.inputs()))
        .transpose()?;
    let mut problem = Problem::new(network, data, loss)?.penalty(penalty.clone())?;
    if let Some(constraint) = &constraint {
        problem = problem.constraint(constraint.clone())?;
    }
    Ok(ProblemFile { problem, parameters, vectors, x_new, constraint, penalty, unused })
}

/// The spec with each name of an activation that the file defines replaced by its formula. Built-in names keep their meaning.
fn with_definitions(spec: &Value, definitions: Option<&Value>) -> Result<Value> {
    let mut spec = spec.clone();
    let definitions = match definitions {
        None | Some(Value::Null) => return Ok(spec),
        Some(value) => object(value, "activation_definitions")?,
    };
    let layers = spec.get_mut("layers").and_then(Value::as_array_mut);
    for layer in layers.into_iter().flatten() {
        let names = match layer.get_mut("activations") {
            Some(Value::Array(names)) => names.as_mut_slice(),
            Some(name) => std::slice::from_mut(name),
            None => &mut [],
        };
        for value in names {
            let Some(name) = value.as_str() else {
                continue;
            };
            let (Some(definition), false) =
                (definitions.get(name), Activation::ALL.iter().any(|a| a.name() == name))
            else {
                continue;
            };
            let place = format!("activation_definitions.{name}");
            let formula = (definition.as_str())
                .ok_or_else(|| wrong(&place, "must be a formula in u, as text"))?;
            let activation = Activation::formula(formula).map_err(|error| match error {
                // On one line.
                Error::Formula { formula, column, why } => {
                    wrong(&place, format!("the formula '{formula}', column {column}: {why}"))
                }
                other => wrong(&place, other.to_string()),
            })?;
            *value = activation.name().into();
        }
    }
    Ok(spec)
}

/// No layer has more units than there are parameters. Nothing as wide as a damaged file may say is allocated.
pub(super) fn check_widths(spec: &Value, parameters: usize) -> Result<()> {
    let layers = spec.get("layers").and_then(Value::as_array).into_iter().flatten();
    for (index, layer) in layers.enumerate() {
        let units = layer.get("units").and_then(Value::as_u64).unwrap_or(0);
        if units > parameters as u64 {
            return Err(wrong(
                &format!("spec.layers[{index}].units"),
                format!("{units} units need more than the {parameters} parameters that there are"),
            ));
        }
    }
    Ok(())
}

fn constraint_from_json(value: &Value, free: usize) -> Result<Constraint> {
    let map = object(value, "constraint")?;
    only(map, "constraint", &["fixed", "C_entries"])?;
    let fixed = numbers(field(map, "fixed", "constraint")?, "constraint.fixed")?;
    let list = array(field(map, "C_entries", "constraint")?, "constraint.C_entries")?;
    let entries = (list.iter().enumerate())
        .map(|(i, entry)| {
            let place = format!("constraint.C_entries[{i}]");
            match array(entry, &place)?.as_slice() {
                [row, column, value] => {
                    Ok((size(row, &place)?, size(column, &place)?, number(value, &place)?))
                }
                _ => Err(wrong(&place, "must be [row, column, value]")),
            }
        })
        .collect::<Result<_>>()?;
    Constraint::new(fixed, free, entries)
}

/// The loss in the form of a problem file: `{"type": "logcosh", "delta": 0.5}`.
///
/// # Errors
/// A key that is missing or has a wrong value, a name that is unknown.
pub fn loss_from_json(value: &Value) -> Result<Loss> {
    struct Source<'a>(&'a Map<String, Value>);
    impl ParameterSource for Source<'_> {
        fn number(&self, name: &'static str) -> Result<f64> {
            number(field(self.0, name, "loss")?, &format!("loss.{name}"))
        }
        fn numbers(&self, name: &'static str) -> Result<Vec<f64>> {
            numbers(field(self.0, name, "loss")?, &format!("loss.{name}"))
        }
    }
    let map = object(value, "loss")?;
    let name = type_of(map, "loss")?;
    let parameters = LossKind::from_name(name).map_or(&[][..], |kind| kind.parameters);
    only(map, "loss", &[&["type"], parameters].concat())?;
    Loss::read(name, &Source(map)).map_err(|error| match error {
        unknown @ Error::Unknown { .. } => wrong("loss.type", unknown.to_string()),
        other => other,
    })
}

/// The loss as [`loss_from_json`] reads it, but for a user's, which has no such form.
pub fn loss_to_json(loss: &Loss) -> Value {
    let mut out = json!({"type": loss.name()});
    if let Loss::Custom(custom) = loss {
        out["custom"] = json!(format!("{custom:?}"));
    }
    if let (Some(name), parameter) = loss.parameter() {
        out[name] = match parameter {
            Parameter::All(v) => json!(v),
            Parameter::Each(v) => json!(v),
        };
    }
    out
}

/// The penalty in the form of a problem file: null, or `{"type": "ridge", "lambda": 0.01, "include_bias": true}`.
///
/// # Errors
/// A key that is missing or has a wrong value, a name that is unknown.
pub fn penalty_from_json(value: &Value) -> Result<Penalty> {
    if value.is_null() {
        return Ok(Penalty::None);
    }
    let map = object(value, "penalty")?;
    only(map, "penalty", &["type", "lambda", "include_bias", "terms"])?;
    let lambda = || number(field(map, "lambda", "penalty")?, "penalty.lambda");
    let include_bias = match map.get("include_bias") {
        None | Some(Value::Null) => true,
        Some(value) => (value.as_bool())
            .ok_or_else(|| wrong("penalty.include_bias", "must be true or false"))?,
    };
    Ok(match type_of(map, "penalty")? {
        "ridge" => Penalty::Ridge { lambda: lambda()?, include_bias },
        "ridge_vec" => Penalty::RidgeVec {
            lambda: numbers(field(map, "lambda", "penalty")?, "penalty.lambda")?,
        },
        "group_norm" => Penalty::GroupNorm { lambda: lambda()?, include_bias },
        "sum" => {
            let terms = (field(map, "terms", "penalty")?.as_array())
                .ok_or_else(|| wrong("penalty.terms", "must be a list of penalties"))?;
            Penalty::Sum(terms.iter().map(penalty_from_json).collect::<Result<_>>()?)
        }
        name => return Err(unknown("penalty.type", "penalty", name, &Penalty::NAMES)),
    })
}

/// The penalty as [`penalty_from_json`] reads it, but for a user's, which has no such form.
pub fn penalty_to_json(penalty: &Penalty) -> Value {
    match penalty {
        Penalty::None => Value::Null,
        Penalty::Ridge { lambda, include_bias } | Penalty::GroupNorm { lambda, include_bias } => {
            json!({"type": penalty.name(), "lambda": lambda, "include_bias": include_bias})
        }
        Penalty::RidgeVec { lambda } => json!({"type": penalty.name(), "lambda": lambda}),
        Penalty::Sum(terms) => {
            let terms: Vec<Value> = terms.iter().map(penalty_to_json).collect();
            json!({"type": penalty.name(), "terms": terms})
        }
        Penalty::Custom(custom) => {
            json!({"type": penalty.name(), "custom": format!("{custom:?}")})
        }
    }
}

/// Used by models, too: the network of a specification whose widths are known to be modest.
pub(super) fn network(spec: &Value, parameters: usize) -> Result<Network> {
    check_widths(spec, parameters)?;
    network_from_json(spec)
}
