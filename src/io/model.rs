//! Fitted networks as `.safetensors` files.
//!
//! # The file
//!
//! A [safetensors](https://github.com/huggingface/safetensors) file with one tensor for each layer and a metadata map
//! of strings. The layers k = 1 … m are the tensors `layer1.weight`, `layer2.weight`, … of type F64 and shape
//! s_k × d_k: one row for each unit; the columns are the outputs of the layer's sources in increasing order of the
//! sources, then the bias if the layer has one. Layer 0 is the input. The row of a radial unit holds its parameters in the
//! order of [`Radial`](crate::Radial); where the units of a layer differ in their number of parameters, the tensor is the
//! rows one after the other, and a layer without parameters has none. The metadata:
//!
//! | key | value |
//! |---|---|
//! | `format` | `secondo` |
//! | `version` | `1` |
//! | `network` | JSON: the architecture, see [`network_from_json`](super::network_from_json) |
//! | `features` | JSON: list of the inputs' names |
//! | `columns` | JSON: list of the columns of a table that the inputs come from, see [`Column`]; optional, every input is a column of numbers |
//! | `targets` | JSON: list of the targets' names; one for a classification |
//! | `classes` | JSON: list of the class labels in the order of the outputs; `[]` for a regression |
//! | `class_weights` | JSON: list of the weights of the classes in the objective; optional, all 1 |
//! | `reference` | JSON: index of the class whose output is held at 0; optional |
//! | `exposure` | JSON: `{"column": "years", "log": false}`, see [`Exposure`]; optional |
//! | `standardization` | JSON: `{"x_mean": […], "x_scale": […], "y_mean": […], "y_scale": […]}`; optional, means 0 and scales 1 |
//! | `loss` | JSON: `{"type": "sos"}`, see [`loss_from_json`](super::loss_from_json) |
//! | `penalty` | JSON, see [`penalty_from_json`](super::penalty_from_json); optional, null |
//! | `reduction` | `sum` or `mean`; optional, `sum` |
//! | `training` | JSON: `{"rows": 100, "held_out": [3, 17]}`, the rows of the table and the lines of those that did not train it; optional |
//! | `checksum` | `fnv1a64:` and 16 hexadecimal digits; optional, verified where it is present |
//!
//! The network sees (x − x_mean)/x_scale; a regression answers y_scale · output + y_mean (for the loss `poisson`
//! exp(output), with an exposure for each unit of it). With two classes and the loss `bce_logits` the one output is the log odds of the second class; with
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
use safetensors::SafeTensors;
use serde_json::{Value, json};

use super::column::Column;
use super::container::{self, Kind, Metadata};
use super::json::{self, array, field, format_error, in_file, numbers, object, size};
use super::problem_file::{self, loss_from_json, loss_to_json, penalty_from_json, penalty_to_json};
use super::spec::network_to_json;
use super::standardization::Standardization;
use super::table::{Exposure, Task};
use super::{files, write_file};
use crate::error::{Error, Result};
use crate::guard;
use crate::network::{Activation, Constraint, LayerView, Network, Propagation};
use crate::objective::{Loss, Penalty, Reduction};

const KIND: Kind = Kind {
    format: "secondo",
    name: "model",
    version: 1,
    hint: "is it a .safetensors file? (the model is named before the table)",
};

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
    /// The columns of a table that the inputs come from; none where each input is the column of numbers of its name.
    pub columns: Vec<Column>,
    /// The names of the targets: one for each output; one for a classification.
    pub targets: Vec<String>,
    /// The class labels in the order of the outputs; empty for a regression.
    pub classes: Vec<String>,
    /// The weights of the classes in the objective, beside those of the rows; none where all are 1.
    pub class_weights: Vec<f64>,
    /// The class whose output is held at 0, so that the others are log odds against it; none where every output is free.
    pub reference: Option<usize>,
    /// The column of the exposures, where the targets are counts that grow with it.
    pub exposure: Option<Exposure>,
    /// The scales in which the network sees inputs and targets.
    pub standardization: Standardization,
    /// The loss that was minimised.
    pub loss: Loss,
    /// The penalty that was added.
    pub penalty: Penalty,
    /// Whether the losses were summed or averaged.
    pub reduction: Reduction,
    /// Which rows of its table trained it, where that is known.
    pub training: Option<TrainingRows>,
}

/// The rows of a table that trained a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingRows {
    /// The number of rows of the table that had all that was needed.
    pub rows: usize,
    /// The lines of those that were held out.
    pub held_out: Vec<u64>,
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
            columns: Vec::new(),
            targets: (1..=targets).map(|i| format!("y{i}")).collect(),
            classes: (0..classes).map(|c| c.to_string()).collect(),
            class_weights: Vec::new(),
            reference: None,
            exposure: None,
            standardization: Standardization::none(network.inputs(), targets),
            network,
            weights,
            loss,
            penalty: Penalty::None,
            reduction: Reduction::Sum,
            training: None,
        };
        model.check()?;
        Ok(model)
    }

    /// Regression, or classification if there are classes.
    pub fn task(&self) -> Task {
        if self.classes.is_empty() { Task::Regression } else { Task::Classification }
    }

    /// The columns of a table that the inputs come from.
    pub fn table_columns(&self) -> Vec<Column> {
        match self.columns.as_slice() {
            [] => self.features.iter().map(Column::number).collect(),
            columns => columns.to_vec(),
        }
    }

    /// That the parts fit together.
    ///
    /// # Errors
    /// The first part that does not.
    pub fn check(&self) -> Result<()> {
        let length = |what: &str, expected: usize, found: usize| {
            if expected == found {
                return Ok(());
            }
            Err(Error::shape(what, &[expected], &[found]))
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
                let name = loss.guarded(|| loss.name())?;
                return Err(Error::invalid(
                    "classes",
                    format!("the loss '{name}' is none of a classification"),
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
        let inputs_of: Vec<String> = self.columns.iter().flat_map(Column::inputs).collect();
        if !self.columns.is_empty() && inputs_of != self.features {
            return Err(Error::invalid("columns", "their inputs are not the features"));
        }
        distinct("classes", &self.classes)?;
        self.check_objective()?;
        self.loss.check(outputs, 0, &Array2::zeros((0, outputs)))?;
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

    /// That class weights, reference and exposure fit the loss.
    fn check_objective(&self) -> Result<()> {
        let (weights, classes) = (&self.class_weights, self.classes.len());
        if !(weights.is_empty() || weights.len() == classes) {
            return Err(Error::shape("class weights", &[classes], &[weights.len()]));
        }
        if let Some(c) = weights.iter().position(|w| !w.is_finite() || *w <= 0.0) {
            let why = format!("that of class {c} is {}; it must be positive", weights[c]);
            return Err(Error::invalid("class weights", why));
        }
        self.ties()?;
        self.exposure.as_ref().map_or(Ok(()), |_| Exposure::check(&self.loss))
    }

    /// The constraint W = Cθ that holds the output of the reference class at 0, where there is one.
    ///
    /// # Errors
    /// A reference that is no class, or of another loss than `softmax_ce`.
    pub fn ties(&self) -> Result<Option<Constraint>> {
        let Some(reference) = self.reference else {
            return Ok(None);
        };
        if !matches!(self.loss, Loss::SoftmaxCrossEntropy) {
            let why = "only the classes of the loss softmax_ce have a reference";
            return Err(Error::invalid("reference", why));
        }
        Constraint::without_output(&self.network, reference).map(Some)
    }

    /// The names of the outputs: of several the classes or the targets, of one the target.
    pub fn outputs_named(&self) -> Vec<String> {
        let is_each_class = self.network.outputs() > 1 && !self.classes.is_empty();
        if is_each_class { self.classes.clone() } else { self.targets.clone() }
    }

    /// The free parameters: W, or θ where a reference class holds an output at 0.
    ///
    /// # Errors
    /// As [`ties`](Self::ties).
    pub fn free_parameters(&self) -> Result<Vec<f64>> {
        match self.ties()? {
            None => Ok(self.weights.clone()),
            Some(ties) => ties.project(&self.weights),
        }
    }

    /// The same model with these free parameters.
    ///
    /// # Errors
    /// As [`ties`](Self::ties); another number of parameters.
    pub fn with_free_parameters(mut self, theta: &[f64]) -> Result<Self> {
        self.weights = match self.ties()? {
            None => theta.to_vec(),
            Some(ties) => ties.weights(theta)?,
        };
        self.network.check(&self.weights)?;
        Ok(self)
    }

    /// The network's outputs x^m for inputs in the units of the file, rows × outputs: predictions before the link and
    /// before the targets' scale.
    ///
    /// # Errors
    /// Another number of columns than there are features; a number that is not finite.
    pub fn outputs(&self, x: &Array2<f64>) -> Result<Array2<f64>> {
        self.network.predict(&self.weights, &self.standardization.inputs(x)?)
    }

    /// Predictions for inputs in the units of the file: for a regression rows × targets in the targets' units, for a
    /// classification rows × classes of probabilities. With an [`exposure`](Self::exposure) they are means for each unit of it.
    ///
    /// # Errors
    /// As [`outputs`](Self::outputs).
    pub fn predict(&self, x: &Array2<f64>) -> Result<Array2<f64>> {
        self.predictions(self.outputs(x)?)
    }

    /// The predictions that [`outputs`](Self::outputs) stand for.
    ///
    /// # Errors
    /// Another number of columns than the network has outputs.
    pub fn predictions(&self, mut out: Array2<f64>) -> Result<Array2<f64>> {
        if out.ncols() != self.network.outputs() {
            return Err(Error::shape("outputs", &[self.network.outputs()], &[out.ncols()]));
        }
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
            _ => {
                let mean = out.mapv(|x| self.loss.mean(x));
                self.standardization.original(&mean)
            }
        }
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// Parts that do not fit together; a user's units, loss or penalty.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.check()?;
        let custom = match &self.loss {
            Loss::Custom(custom) => Some(("loss", self.loss.guarded(|| custom.name())?)),
            _ => self.penalty.custom()?.map(|name| ("penalty", name)),
        };
        if let Some((kind, name)) = custom {
            return Err(Error::Unsupported {
                what: format!("saving the {kind} '{name}'"),
                why: "it is user-defined, and a file cannot hold its code; for predictions any loss without a penalty \
                      will do, such as SquaredError"
                    .into(),
            });
        }
        let mut tensors = BTreeMap::new();
        for (k, g) in self.network.all_groups() {
            if let Propagation::Unit(unit) = &g.propagation {
                let name = guard::named("unit", || unit.name(), |name| name)?;
                return Err(Error::Unsupported {
                    what: format!("saving layer {k}, whose units are '{name}',"),
                    why: "a file holds the names of the crate's own units alone".into(),
                });
            }
        }
        for (name, layer) in stored(&self.network) {
            let rows = self.weights.get(layer.range.clone()).unwrap_or_default();
            tensors.insert(name, (shape(layer), rows));
        }
        Ok(container::to_bytes(&KIND, self.metadata(), &tensors))
    }

    fn metadata(&self) -> Metadata {
        let reduction = match self.reduction {
            Reduction::Sum => "sum",
            Reduction::Mean => "mean",
        };
        let entries = [
            ("network", network_to_json(&self.network).to_string()),
            ("features", json!(self.features).to_string()),
            ("targets", json!(self.targets).to_string()),
            ("classes", json!(self.classes).to_string()),
            ("standardization", self.standardization.to_json().to_string()),
            ("loss", loss_to_json(&self.loss).to_string()),
            ("penalty", penalty_to_json(&self.penalty).to_string()),
            ("reduction", reduction.to_string()),
        ];
        let training = self
            .training
            .as_ref()
            .map(|t| ("training", json!({"rows": t.rows, "held_out": t.held_out}).to_string()));
        let columns: Vec<_> = self.columns.iter().map(Column::to_json).collect();
        let columns = (!columns.is_empty()).then(|| ("columns", json!(columns).to_string()));
        let class_weights = (!self.class_weights.is_empty())
            .then(|| ("class_weights", json!(self.class_weights).to_string()));
        let reference = self.reference.map(|class| ("reference", json!(class).to_string()));
        let exposure = (self.exposure.as_ref()).map(|e| ("exposure", e.to_json().to_string()));
        let more = training.into_iter().chain(columns).chain(class_weights);
        let all = entries.into_iter().chain(more).chain(reference).chain(exposure);
        all.map(|(key, value)| (key.to_string(), value)).collect()
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

fn read(bytes: &[u8], path: &Path) -> Result<Model> {
    let (tensors, metadata) = container::read(&KIND, bytes, path)?;
    let optional = |key: &str| metadata.get(key).map(String::as_str);
    let key = |key: &str| container::key(&metadata, key, path);
    // The metadata key comes first in what is wrong with its contents.
    let json = |name: &str, text: &str| {
        json::parse(text, path).map_err(|e| match e {
            Error::Format { line, column, why, .. } => {
                let place = line.zip(column).map(|(l, c)| format!(", line {l}, column {c}"));
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
    let stored: usize = tensors.tensors().iter().map(|(_, view)| view.data().len() / 8).sum();
    let network = problem_file::network(&spec, stored)?;
    let weights = read_weights(&tensors, &network, path)?;
    let loss = loss_from_json(&json_key("loss")?)?;
    let targets = strings("targets")?;
    let standardization = match optional("standardization") {
        None => Standardization::none(network.inputs(), targets.len()),
        Some(text) => Standardization::from_json(&json("standardization", text)?)?,
    };
    let columns = match optional("columns") {
        None => Vec::new(),
        Some(text) => (array(&json("columns", text)?, "columns")?.iter())
            .map(Column::from_json)
            .collect::<Result<_>>()?,
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
    let training =
        (optional("training")).map(|text| training(&json("training", text)?)).transpose()?;
    let model = Model {
        network,
        weights,
        features: strings("features")?,
        columns,
        targets,
        classes: strings("classes")?,
        class_weights: match optional("class_weights") {
            None => Vec::new(),
            Some(text) => numbers(&json("class_weights", text)?, "class_weights")?,
        },
        reference: (optional("reference"))
            .map(|text| size(&json("reference", text)?, "reference"))
            .transpose()?,
        exposure: (optional("exposure"))
            .map(|text| Exposure::from_json(&json("exposure", text)?))
            .transpose()?,
        standardization,
        loss,
        penalty,
        reduction,
        training,
    };
    model.check()?;
    Ok(model)
}

fn training(value: &Value) -> Result<TrainingRows> {
    let map = object(value, "training")?;
    let lines = array(field(map, "held_out", "training")?, "training.held_out")?;
    let line = |v: &Value| size(v, "training.held_out").map(|line| line as u64);
    Ok(TrainingRows {
        rows: size(field(map, "rows", "training")?, "training.rows")?,
        held_out: lines.iter().map(line).collect::<Result<_>>()?,
    })
}

/// The layers that have parameters, with the names of their tensors.
fn stored(network: &Network) -> impl Iterator<Item = (String, &LayerView)> {
    (network.layers().iter().enumerate())
        .filter(|(_, layer)| !layer.range.is_empty())
        .map(|(index, layer)| (tensor_name(index), layer))
}

/// Units × parameters of each, where all units of the layer have as many; else the number of all parameters.
fn shape(layer: &LayerView) -> Vec<usize> {
    match layer.groups.as_slice() {
        [first, rest @ ..] if rest.iter().all(|g| g.row == first.row) => {
            vec![layer.units, first.row]
        }
        _ => vec![layer.range.len()],
    }
}

/// The flat parameters from one tensor for each layer that has any, and nothing else.
fn read_weights(tensors: &SafeTensors, network: &Network, path: &Path) -> Result<Vec<f64>> {
    let mut weights =
        Vec::with_capacity(tensors.tensors().iter().map(|(_, v)| v.data().len() / 8).sum());
    for (name, layer) in stored(network) {
        let view = tensors
            .tensor(&name)
            .map_err(|_| format_error(path, format!("the tensor '{name}' is missing")))?;
        let numbers = container::numbers(&KIND, &name, &view, path)?;
        let shape = shape(layer);
        if view.shape() != shape {
            return Err(Error::shape(format!("tensor '{name}'"), &shape, view.shape()));
        }
        if let Some(i) = numbers.iter().position(|v| !v.is_finite()) {
            let place = match shape[..] {
                [_, width] => vec![i / width, i % width],
                _ => vec![i],
            };
            return Err(Error::non_finite(format!("tensor '{name}'"), &place));
        }
        weights.extend(numbers);
    }
    let known: HashSet<String> = stored(network).map(|(name, _)| name).collect();
    let mut extra: Vec<_> = tensors.names().into_iter().filter(|n| !known.contains(*n)).collect();
    extra.sort_unstable();
    match extra.first() {
        Some(name) => Err(format_error(
            path,
            format!("the tensor '{name}' belongs to no layer of the network {network}"),
        )),
        None => Ok(weights),
    }
}
