//! Fitted networks as `.safetensors` files.
//!
//! # The file
//!
//! A [safetensors](https://github.com/huggingface/safetensors) file with one tensor for each layer and a metadata map
//! of strings. The layers k = 1 … m are the tensors `layer1.weight`, `layer2.weight`, … of type F64 and shape
//! s_k × d_k: one row for each unit; the columns are the outputs of the layer's sources in increasing order of the
//! sources, then the bias if the layer has one. Layer 0 is the input. The metadata:
//!
//! | key | value |
//! |---|---|
//! | `format` | `secondo` |
//! | `version` | `1` |
//! | `network` | JSON: the architecture, see [`network_from_json`](super::network_from_json) |
//! | `features` | JSON: list of the inputs' names |
//! | `targets` | JSON: list of the targets' names; one for a classification |
//! | `classes` | JSON: list of the class labels in the order of the outputs; `[]` for a regression |
//! | `standardization` | JSON: `{"x_mean": […], "x_scale": […], "y_mean": […], "y_scale": […]}`; optional, means 0 and scales 1 |
//! | `loss` | JSON: `{"type": "sos"}`, see [`loss_from_json`](super::loss_from_json) |
//! | `penalty` | JSON, see [`penalty_from_json`](super::penalty_from_json); optional, null |
//! | `reduction` | `sum` or `mean`; optional, `sum` |
//! | `checksum` | `fnv1a64:` and 16 hexadecimal digits; optional, verified where it is present |
//!
//! The network sees (x − x_mean)/x_scale; a regression answers y_scale · output + y_mean (for the loss `poisson`
//! exp(output)). With two classes and the loss `bce_logits` the one output is the log odds of the second class; with
//! `softmax_ce` there is one output for each class, and the probabilities are their softmax.
//!
//! The checksum is FNV-1a with 64 bits over, for each metadata key but `checksum`, in the order of its bytes: the key,
//! a zero byte, the value, a zero byte; then for each tensor, in the order of its name's bytes: the name, a zero byte,
//! the tensor's bytes as stored. Keys that are not listed are allowed.
//!
//! # From Python
//!
//! ```python
//! import json
//! import numpy as np
//! from safetensors import safe_open
//! from safetensors.numpy import save_file
//!
//! with safe_open("diabetes.safetensors", framework="numpy") as f:      # read
//!     meta = f.metadata()
//!     spec = json.loads(meta["network"])
//!     weights = [f.get_tensor(f"layer{k + 1}.weight") for k in range(len(spec["layers"]))]
//!     scaling = json.loads(meta["standardization"])
//!
//! net = {"inputs": 2, "layers": [                                      # write: y = 3 tanh(x1 - x2) + 1
//!     {"units": 1, "sources": [0], "bias": True, "activations": "tanh"},
//!     {"units": 1, "sources": [1], "bias": True, "activations": "identity"}]}
//! save_file({"layer1.weight": np.array([[1.0, -1.0, 0.0]]), "layer2.weight": np.array([[3.0, 1.0]])},
//!           "by_hand.safetensors",
//!           metadata={"format": "secondo", "version": "1", "network": json.dumps(net),
//!                     "features": json.dumps(["x1", "x2"]), "targets": json.dumps(["y"]),
//!                     "classes": "[]", "loss": json.dumps({"type": "sos"})})
//! ```

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use ndarray::Array2;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};

use super::problem_file::{
    self, format_error, from_json, in_file, loss_from_json, loss_to_json, numbers,
    penalty_from_json, penalty_to_json,
};
use super::spec::{array, field, network_to_json, object};
use super::table::{Standardization, Task};
use super::{files, write_file};
use crate::error::{Error, Result};
use crate::network::{Activation, Network};
use crate::objective::{Loss, Penalty, Reduction};

const FORMAT: &str = "secondo";
const VERSION: u64 = 1;

/// A fitted network with all that predictions need.
///
/// ```
/// use ndarray::array;
/// use secondo::io::Model;
/// use secondo::{Activation, Loss, Network};
/// // y = 2x + 1 in the units of the file.
/// let model = Model::new(Network::dense(&[1, 1], Activation::Tanh)?, vec![2.0, 1.0], Loss::SquaredError)?;
/// let copy = Model::from_bytes(&model.to_bytes()?, "copy.safetensors".as_ref())?;
/// assert_eq!(copy.predict(&array![[3.0]])?, array![[7.0]]);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Model {
    /// The network.
    pub network: Network,
    /// Its flat parameters W.
    pub weights: Vec<f64>,
    /// The names of the inputs.
    pub features: Vec<String>,
    /// The names of the targets: one for each output; one for a classification.
    pub targets: Vec<String>,
    /// The class labels in the order of the outputs; empty for a regression.
    pub classes: Vec<String>,
    /// What the network sees of inputs and targets.
    pub standardization: Standardization,
    /// The loss that was minimised.
    pub loss: Loss,
    /// The penalty that was added.
    pub penalty: Penalty,
    /// Whether the losses were summed or averaged.
    pub reduction: Reduction,
}

impl Model {
    /// A model with the names `x1`, `x2`, … and `y1`, …, without standardisation and penalty. The losses
    /// `bce_logits` (with one output) and `softmax_ce` have the classes `0`, `1`, ….
    ///
    /// # Errors
    /// Weights of a wrong length or not finite; `bce_logits` with several outputs.
    pub fn new(network: Network, weights: Vec<f64>, loss: Loss) -> Result<Self> {
        let outputs = network.outputs();
        let classes = match loss {
            Loss::BinaryCrossEntropy => 2,
            Loss::SoftmaxCrossEntropy => outputs,
            _ => 0,
        };
        let targets = if classes > 0 { 1 } else { outputs };
        let model = Model {
            features: (1..=network.inputs()).map(|i| format!("x{i}")).collect(),
            targets: (1..=targets).map(|i| format!("y{i}")).collect(),
            classes: (0..classes).map(|c| c.to_string()).collect(),
            standardization: Standardization::none(network.inputs(), targets),
            network,
            weights,
            loss,
            penalty: Penalty::None,
            reduction: Reduction::Sum,
        };
        model.check()?;
        Ok(model)
    }

    /// Regression, or classification if there are classes.
    pub fn task(&self) -> Task {
        match self.classes.is_empty() {
            true => Task::Regression,
            false => Task::Classification,
        }
    }

    /// That the parts fit together.
    ///
    /// # Errors
    /// The first part that does not.
    pub fn check(&self) -> Result<()> {
        let length = |what: &str, expected: usize, found: usize| match expected == found {
            true => Ok(()),
            false => Err(Error::shape(what, &[expected], &[found])),
        };
        let (inputs, outputs) = (self.network.inputs(), self.network.outputs());
        self.network.check(&self.weights)?;
        length("features", inputs, self.features.len())?;
        match (&self.loss, self.classes.len()) {
            (Loss::BinaryCrossEntropy, classes) => {
                length("outputs for the loss bce_logits", 1, outputs)?;
                length("classes for the loss bce_logits", 2, classes)?;
            }
            (Loss::SoftmaxCrossEntropy, classes) => length("classes", outputs, classes)?,
            (loss, classes) if classes > 0 => {
                return Err(Error::invalid(
                    "classes",
                    format!("the loss '{}' is none of a classification", loss.name()),
                ));
            }
            _ => {}
        }
        let targets = match self.task() {
            Task::Regression => outputs,
            Task::Classification => 1,
        };
        length("targets", targets, self.targets.len())?;
        distinct("features", &self.features)?;
        distinct("classes", &self.classes)?;
        self.loss.check(outputs, &Array2::zeros((0, outputs)))?;
        self.penalty.check(&self.network)?;
        let s = &self.standardization;
        for (what, values, expected, positive) in [
            ("x_mean", &s.x_mean, inputs, false),
            ("x_scale", &s.x_scale, inputs, true),
            ("y_mean", &s.y_mean, targets, false),
            ("y_scale", &s.y_scale, targets, true),
        ] {
            let what = format!("standardization.{what}");
            length(&what, expected, values.len())?;
            if let Some(i) = values.iter().position(|v| !v.is_finite()) {
                return Err(Error::non_finite(what, &[i]));
            }
            if let Some(i) = values.iter().position(|v| positive && *v <= 0.0) {
                return Err(Error::invalid(what, format!("scale {i} must be positive")));
            }
        }
        Ok(())
    }

    /// The network's outputs x^m for inputs in the units of the file, rows × outputs: predictions before the link and
    /// before the targets' scale.
    ///
    /// # Errors
    /// Another number of columns than there are features; a number that is not finite.
    pub fn outputs(&self, x: &Array2<f64>) -> Result<Array2<f64>> {
        self.network
            .predict(&self.weights, &self.standardization.inputs(x)?)
    }

    /// Predictions for inputs in the units of the file: for a regression rows × targets in the targets' units, for a
    /// classification rows × classes of probabilities.
    ///
    /// # Errors
    /// As [`outputs`](Self::outputs).
    pub fn predict(&self, x: &Array2<f64>) -> Result<Array2<f64>> {
        let mut out = self.outputs(x)?;
        match self.loss {
            Loss::BinaryCrossEntropy => {
                let odds = |i: usize, sign: f64| Activation::Logistic.value(sign * out[(i, 0)]);
                Ok(Array2::from_shape_fn((out.nrows(), 2), |(i, class)| {
                    odds(i, if class == 0 { -1.0 } else { 1.0 })
                }))
            }
            Loss::SoftmaxCrossEntropy => {
                for mut row in out.rows_mut() {
                    let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    row.mapv_inplace(|v| libm::exp(v - top));
                    let total: f64 = row.sum();
                    row.mapv_inplace(|v| v / total);
                }
                Ok(out)
            }
            Loss::Poisson => self.standardization.original(&out.mapv(libm::exp)),
            _ => self.standardization.original(&out),
        }
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// Parts that do not fit together; units that are not linear.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.check()?;
        let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
        for (index, layer) in self.network.layers().iter().enumerate() {
            if !layer.is_linear() {
                return Err(Error::Unsupported {
                    what: format!(
                        "saving layer {}, whose units are not all linear,",
                        index + 1
                    ),
                    why: "this version stores layers of linear units only".into(),
                });
            }
            let bytes = (self
                .weights
                .get(layer.range.clone())
                .unwrap_or_default()
                .iter())
            .flat_map(|v| v.to_le_bytes())
            .collect();
            tensors.insert(
                tensor_name(index),
                (vec![layer.units, layer.width()], bytes),
            );
        }
        let mut metadata = self.metadata();
        let sum = checksum(
            &metadata,
            tensors.iter().map(|(n, (_, b))| (n.as_str(), b.as_slice())),
        );
        metadata.insert("checksum".into(), format!("fnv1a64:{sum:016x}"));

        let mut header = Map::new();
        header.insert("__metadata__".into(), json!(metadata));
        let mut end = 0;
        for (name, (shape, bytes)) in &tensors {
            let start = end;
            end += bytes.len();
            header.insert(
                name.clone(),
                json!({"dtype": "F64", "shape": shape, "data_offsets": [start, end]}),
            );
        }
        let mut header = Value::Object(header).to_string().into_bytes();
        // Blanks to a multiple of eight, so that the numbers are aligned in memory.
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut out = (header.len() as u64).to_le_bytes().to_vec();
        out.extend(header);
        for (_, bytes) in tensors.values() {
            out.extend_from_slice(bytes);
        }
        Ok(out)
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        let s = &self.standardization;
        let reduction = match self.reduction {
            Reduction::Sum => "sum",
            Reduction::Mean => "mean",
        };
        let standardization = json!({
            "x_mean": s.x_mean, "x_scale": s.x_scale, "y_mean": s.y_mean, "y_scale": s.y_scale,
        });
        let entries = [
            ("format", FORMAT.to_string()),
            ("version", VERSION.to_string()),
            ("network", network_to_json(&self.network).to_string()),
            ("features", json!(self.features).to_string()),
            ("targets", json!(self.targets).to_string()),
            ("classes", json!(self.classes).to_string()),
            ("standardization", standardization.to_string()),
            ("loss", loss_to_json(&self.loss).to_string()),
            ("penalty", penalty_to_json(&self.penalty).to_string()),
            ("reduction", reduction.to_string()),
        ];
        entries
            .into_iter()
            .map(|(key, value)| (key.to_string(), value))
            .collect()
    }

    /// The model in `bytes`; `path` is for messages.
    ///
    /// # Errors
    /// Bytes that are incomplete or damaged, no model of this crate, a version that is newer, a tensor that is
    /// missing, too many, or has another type or shape than the network needs, parts that do not fit together.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        read(bytes, path).map_err(|error| in_file(path, error))
    }

    /// Writes the file whole or not at all; see [`write_file`].
    ///
    /// # Errors
    /// As [`to_bytes`](Self::to_bytes), and whatever the operating system refuses.
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes()?;
        write_file(path, |out| out.write_all(&bytes))
    }

    /// The model in the file at `path`.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes), and a file that cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        Model::from_bytes(&files::read(path)?, path)
    }
}

fn tensor_name(index: usize) -> String {
    format!("layer{}.weight", index + 1)
}

fn distinct(what: &str, names: &[String]) -> Result<()> {
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        Some(name) => Err(Error::invalid(what, format!("'{name}' is listed twice"))),
        None => Ok(()),
    }
}

/// FNV-1a with 64 bits over the metadata, but for the checksum itself, and the tensors.
fn checksum<'a>(
    metadata: &BTreeMap<String, String>,
    tensors: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |bytes: &[u8]| {
        for &byte in bytes {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    for (key, value) in metadata.iter().filter(|(key, _)| *key != "checksum") {
        add(key.as_bytes());
        add(&[0]);
        add(value.as_bytes());
        add(&[0]);
    }
    for (name, bytes) in tensors {
        add(name.as_bytes());
        add(&[0]);
        add(bytes);
    }
    hash
}

/// The parts of a safetensors file, each within the bytes that there are.
fn open<'a>(bytes: &'a [u8], path: &Path) -> Result<(SafeTensors<'a>, BTreeMap<String, String>)> {
    let damaged =
        |why: &str| format_error(path, format!("the file is damaged or incomplete: {why}"));
    let (size, rest) = bytes
        .split_first_chunk::<8>()
        .ok_or_else(|| damaged("it is too short for a safetensors file"))?;
    let header = usize::try_from(u64::from_le_bytes(*size))
        .ok()
        .and_then(|length| rest.get(..length))
        .ok_or_else(|| {
            damaged("it says that its header is longer than the file; is it a .safetensors file? (the model is named before the table)")
        })?;
    let data = rest.len() - header.len();
    // The offsets are checked here, before anything adds them up or slices with them.
    let parsed: Value = serde_json::from_slice(header)
        .map_err(|e| damaged(&format!("the header is not valid JSON: {e}")))?;
    let entries = parsed
        .as_object()
        .ok_or_else(|| damaged("the header is not an object"))?;
    let tensors = entries.iter().filter(|(name, _)| *name != "__metadata__");
    for (name, entry) in tensors {
        let ends = entry.get("data_offsets").and_then(Value::as_array);
        let inside = |v: &Value| v.as_u64().is_some_and(|v| v <= data as u64);
        if !ends.is_some_and(|ends| ends.iter().all(inside)) {
            return Err(damaged(&format!(
                "the tensor '{name}' does not lie within the file"
            )));
        }
    }
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(&e.to_string()))?;
    let metadata = metadata
        .metadata()
        .clone()
        .unwrap_or_default()
        .into_iter()
        .collect();
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| damaged(&e.to_string()))?;
    Ok((tensors, metadata))
}

fn read(bytes: &[u8], path: &Path) -> Result<Model> {
    let (tensors, metadata) = open(bytes, path)?;
    let optional = |key: &str| metadata.get(key).map(String::as_str);
    let key = |key: &str| {
        optional(key)
            .ok_or_else(|| format_error(path, format!("the metadata key '{key}' is missing")))
    };
    if optional("format") != Some(FORMAT) {
        return Err(format_error(
            path,
            "it is a safetensors file, but no model of secondo: the metadata key 'format' is not 'secondo'",
        ));
    }
    let version = key("version")?;
    match version.parse::<u64>() {
        Ok(VERSION) => {}
        Ok(newer) if newer > VERSION => {
            return Err(format_error(
                path,
                format!("its format version is {newer}, newer than {VERSION}; use a newer secondo"),
            ));
        }
        _ => {
            return Err(format_error(
                path,
                format!("'{version}' is no format version"),
            ));
        }
    }
    if let Some(expected) = optional("checksum") {
        let mut named: Vec<_> = tensors.tensors();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let sum = checksum(
            &metadata,
            named
                .iter()
                .map(|(name, view)| (name.as_str(), view.data())),
        );
        if expected != format!("fnv1a64:{sum:016x}") {
            return Err(format_error(
                path,
                format!(
                    "the checksum is {expected}, but the contents give fnv1a64:{sum:016x}: the file is damaged"
                ),
            ));
        }
    }
    // The metadata key comes first in what is wrong with its contents.
    let json = |name: &str, text: &str| {
        from_json(text, path).map_err(|e| match e {
            Error::Format {
                line, column, why, ..
            } => {
                let place = line
                    .zip(column)
                    .map(|(l, c)| format!(", line {l}, column {c}"));
                format_error(
                    path,
                    format!("metadata key '{name}'{}: {why}", place.unwrap_or_default()),
                )
            }
            other => other,
        })
    };
    let json_key = |name: &str| json(name, key(name)?);
    let strings = |name: &str| -> Result<Vec<String>> {
        (array(&json_key(name)?, name)?.iter())
            .map(|v| v.as_str().map(String::from))
            .collect::<Option<_>>()
            .ok_or_else(|| Error::invalid(name, "must be a list of names"))
    };

    let spec = json_key("network")?;
    let stored: usize = tensors
        .tensors()
        .iter()
        .map(|(_, view)| view.data().len() / 8)
        .sum();
    let network = problem_file::network(&spec, stored)?;
    let weights = read_weights(&tensors, &network, path)?;
    let loss = loss_from_json(&json_key("loss")?)?;
    let targets = strings("targets")?;
    let standardization = match optional("standardization") {
        None => Standardization::none(network.inputs(), targets.len()),
        Some(text) => {
            let value = json("standardization", text)?;
            let map = object(&value, "standardization")?;
            let list = |name: &str| {
                let place = format!("standardization.{name}");
                numbers(field(map, name, "standardization")?, &place)
            };
            Standardization {
                x_mean: list("x_mean")?,
                x_scale: list("x_scale")?,
                y_mean: list("y_mean")?,
                y_scale: list("y_scale")?,
            }
        }
    };
    let penalty = match optional("penalty") {
        None => Penalty::None,
        Some(text) => penalty_from_json(&json("penalty", text)?)?,
    };
    let reduction = match optional("reduction") {
        None | Some("sum") => Reduction::Sum,
        Some("mean") => Reduction::Mean,
        Some(other) => {
            return Err(format_error(
                path,
                format!("unknown reduction '{other}'; known: sum, mean"),
            ));
        }
    };
    let model = Model {
        network,
        weights,
        features: strings("features")?,
        targets,
        classes: strings("classes")?,
        standardization,
        loss,
        penalty,
        reduction,
    };
    model.check()?;
    Ok(model)
}

/// The flat parameters from one tensor for each layer, and nothing else.
fn read_weights(tensors: &SafeTensors, network: &Network, path: &Path) -> Result<Vec<f64>> {
    let mut weights = Vec::with_capacity(
        tensors
            .tensors()
            .iter()
            .map(|(_, v)| v.data().len() / 8)
            .sum(),
    );
    for (index, layer) in network.layers().iter().enumerate() {
        let name = tensor_name(index);
        let view = tensors
            .tensor(&name)
            .map_err(|_| format_error(path, format!("the tensor '{name}' is missing")))?;
        if view.dtype() != Dtype::F64 {
            return Err(format_error(
                path,
                format!(
                    "the tensor '{name}' is of type {:?}; a model holds F64 (in Python: array.astype(\"float64\"))",
                    view.dtype()
                ),
            ));
        }
        let shape = [layer.units, layer.width()];
        if view.shape() != shape {
            return Err(Error::shape(
                format!("tensor '{name}'"),
                &shape,
                view.shape(),
            ));
        }
        for (i, number) in view.data().chunks_exact(8).enumerate() {
            let value = number
                .first_chunk::<8>()
                .map_or(f64::NAN, |b| f64::from_le_bytes(*b));
            if !value.is_finite() {
                let width = layer.width().max(1);
                return Err(Error::non_finite(
                    format!("tensor '{name}'"),
                    &[i / width, i % width],
                ));
            }
            weights.push(value);
        }
    }
    let known: HashSet<String> = (0..network.depth()).map(tensor_name).collect();
    let mut extra: Vec<_> = tensors
        .names()
        .into_iter()
        .filter(|n| !known.contains(*n))
        .collect();
    extra.sort_unstable();
    match extra.first() {
        Some(name) => Err(format_error(
            path,
            format!("the tensor '{name}' belongs to no layer of the network {network}"),
        )),
        None => Ok(weights),
    }
}
