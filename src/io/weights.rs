//! Weights as other programs name and store them: PyTorch's state dicts, and NumPy's archives with the same names.
//!
//! The linear layers are pairs `PREFIX.weight` (units × inputs) and, with biases, `PREFIX.bias` (units), in the order of their prefixes,
//! numbers compared as numbers: `0.weight`, `0.bias`, `2.weight`, `10.weight` as `nn.Sequential` names them.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::Dtype;
use serde_json::{Value, json};

use super::container::{self, Metadata};
use super::json::{self, format_error, in_file};
use super::model::Model;
use super::npy::tensor;
use super::spec::{network_from_json, network_to_json};
use super::{Standardization, files, npz};
use crate::error::{Error, Result};
use crate::network::{Activation, Layer, Network, Propagation};
use crate::objective::Loss;

/// The weights of one linear layer.
#[derive(Debug, Clone, PartialEq)]
struct Pair {
    prefix: String,
    /// Units and inputs.
    shape: [usize; 2],
    weight: Vec<f64>,
    bias: Option<Vec<f64>>,
}

/// Weights that a file of another program holds, one linear layer after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    pairs: Vec<Pair>,
    network: Option<Value>,
}

/// A tensor: its shape and its numbers, row by row.
type Tensor = (Vec<usize>, Vec<f64>);
/// The tensors of a file with their names, and the architecture where it is there.
type Contents = (Vec<(String, Tensor)>, Option<Value>);

impl Weights {
    /// The weights in a `.safetensors` file (F64, F32, F16 or BF16) or a `.npz` archive.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged; a tensor that is neither a `weight` with two axes nor a `bias` beside one; a number that is not
    /// finite.
    pub fn from_path(path: &Path) -> Result<Self> {
        let is_npz = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz"));
        let read = if is_npz { from_npz(path) } else { from_safetensors(path) };
        let (tensors, network) = read?;
        let pairs = pairs(tensors).map_err(|error| in_file(path, error))?;
        Ok(Weights { pairs, network })
    }

    /// The architecture that the file itself holds, where this crate wrote it.
    ///
    /// # Errors
    /// As [`network_from_json`].
    pub fn network(&self) -> Result<Option<Network>> {
        self.network.as_ref().map(network_from_json).transpose()
    }

    /// The network of these layers, each fed by the one before: `hidden` is the activation of all layers but the last, or has one for each.
    ///
    /// # Errors
    /// Another number of activations than there are hidden layers; layers that do not fit each other.
    pub fn chain(&self, hidden: &[Activation], output: Activation) -> Result<Network> {
        let count = self.pairs.len() - 1;
        if hidden.len() != 1 && hidden.len() != count {
            return Err(Error::shape(
                "activations of the hidden layers",
                &[count],
                &[hidden.len()],
            ));
        }
        let layers = self.pairs.iter().enumerate().map(|(k, pair)| {
            let of_layer = || if hidden.len() == 1 { hidden[0] } else { hidden[k] };
            let layer = Layer::dense(pair.shape[0], if k == count { output } else { of_layer() });
            if pair.bias.is_some() { layer } else { layer.without_bias() }
        });
        Network::new(self.pairs[0].shape[1], layers.collect())
    }

    /// The flat parameters of a network whose layers these are, in its order.
    ///
    /// # Errors
    /// `Shape`, with the names of the tensors, for another number of layers or another shape; units that are not linear.
    pub fn parameters(&self, network: &Network) -> Result<Vec<f64>> {
        if network.depth() != self.pairs.len() {
            return Err(Error::shape("layers", &[network.depth()], &[self.pairs.len()]));
        }
        linear(network)?;
        let mut out = Vec::with_capacity(network.parameters());
        for (layer, pair) in network.layers().iter().zip(&self.pairs) {
            let expected = [layer.units, layer.inputs];
            if pair.shape != expected {
                let name = format!("tensor '{}weight'", pair.prefix);
                return Err(Error::shape(name, &expected, &pair.shape));
            }
            if layer.bias != pair.bias.is_some() {
                let (has, needs) = if layer.bias { ("no", "one") } else { ("a", "none") };
                let why = format!("the file has {has} bias, and the network needs {needs}");
                return Err(Error::invalid(format!("layer '{}'", pair.prefix), why));
            }
            for (j, row) in pair.weight.chunks(layer.inputs.max(1)).enumerate() {
                out.extend_from_slice(row);
                out.extend(pair.bias.as_ref().map(|bias| bias[j]));
            }
        }
        Ok(out)
    }
}

fn linear(network: &Network) -> Result<()> {
    match network.all_groups().find(|(_, g)| !matches!(g.propagation, Propagation::Linear)) {
        None => Ok(()),
        Some((k, group)) => Err(Error::Unsupported {
            what: format!(
                "units '{}' of layer {k} under PyTorch's names",
                group.propagation.name()
            ),
            why: "linear layers alone have weight and bias".into(),
        }),
    }
}

/// The pairs in the order of their prefixes.
fn pairs(tensors: Vec<(String, Tensor)>) -> Result<Vec<Pair>> {
    let mut found: BTreeMap<Vec<Key>, (String, Option<Tensor>, Option<Tensor>)> = BTreeMap::new();
    for (name, tensor) in tensors {
        let prefix = ["weight", "bias"].into_iter().find_map(|end| {
            let prefix = name.strip_suffix(end)?;
            (prefix.is_empty() || prefix.ends_with('.')).then_some(prefix.to_string())
        });
        let (Some(prefix), axes @ 1..=2) = (prefix, tensor.0.len()) else {
            return Err(unknown(&name, &tensor.0));
        };
        if (axes == 2) != name.ends_with("weight") {
            return Err(unknown(&name, &tensor.0));
        }
        if let Some(at) = tensor.1.iter().position(|v| !v.is_finite()) {
            return Err(Error::non_finite(format!("tensor '{name}'"), &[at]));
        }
        let entry = found.entry(keys(&prefix)).or_insert((prefix, None, None));
        if axes == 2 {
            entry.1 = Some(tensor);
        } else {
            entry.2 = Some(tensor);
        }
    }
    if found.is_empty() {
        return Err(Error::invalid("the file", "there is no tensor in it"));
    }
    let pair = |(prefix, weight, bias): (String, Option<Tensor>, Option<Tensor>)| {
        let Some((shape, weight)) = weight else {
            return Err(Error::invalid(
                format!("tensor '{prefix}bias'"),
                "there is no weight beside",
            ));
        };
        if let Some((of_bias, _)) = &bias
            && of_bias[0] != shape[0]
        {
            return Err(Error::shape(format!("tensor '{prefix}bias'"), &shape[..1], of_bias));
        }
        Ok(Pair { prefix, shape: [shape[0], shape[1]], weight, bias: bias.map(|(_, v)| v) })
    };
    found.into_values().map(pair).collect()
}

fn unknown(name: &str, shape: &[usize]) -> Error {
    let why = "only 'weight' with two axes, and 'bias' with one beside it, of linear layers are understood; names are as in 0.weight, 0.bias, 2.weight";
    Error::invalid(format!("tensor '{name}' of shape {shape:?}"), why)
}

/// A part of a name: numbers come in their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(u64),
    Text(String),
}

fn keys(prefix: &str) -> Vec<Key> {
    let key = |part: &str| part.parse().map_or_else(|_| Key::Text(part.into()), Key::Number);
    prefix.split('.').filter(|part| !part.is_empty()).map(key).collect()
}

fn from_safetensors(path: &Path) -> Result<Contents> {
    let bytes = files::read(path)?;
    let hint = "is it a .safetensors file?";
    let (tensors, metadata) = container::open(hint, &bytes, path)?;
    let mut out = Vec::new();
    for (name, view) in tensors.tensors() {
        let half = |b: &[u8; 2]| u32::from(u16::from_le_bytes(*b));
        let data = view.data();
        let numbers: Vec<f64> = match view.dtype() {
            Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            Dtype::F32 => {
                data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect()
            }
            Dtype::BF16 => {
                data.as_chunks().0.iter().map(|b| f32::from_bits(half(b) << 16).into()).collect()
            }
            Dtype::F16 => data.as_chunks().0.iter().map(|b| from_half(half(b))).collect(),
            other => {
                let why = format!(
                    "the tensor '{name}' is of type {other:?}; F64, F32, F16 and BF16 are read"
                );
                return Err(format_error(path, why));
            }
        };
        out.push((name, (view.shape().to_vec(), numbers)));
    }
    let network = metadata.get("network").map(|text| json::parse(text, path)).transpose()?;
    Ok((out, network))
}

/// A number of half precision.
fn from_half(bits: u32) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = ((bits >> 10 & 31) as i32, f64::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    }
}

fn from_npz(path: &Path) -> Result<Contents> {
    let (mut out, mut network) = (Vec::new(), None);
    for (name, bytes) in npz::files_of(path)? {
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_string();
        if name == "network" {
            // A text: four bytes for each character, behind a header of one line.
            let start = bytes.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1);
            let (characters, _) = bytes[start..].as_chunks::<4>();
            let text = characters.iter().filter_map(|b| char::from_u32(u32::from_le_bytes(*b)));
            network = Some(json::parse(&text.collect::<String>(), path)?);
            continue;
        }
        out.push((name, tensor(&bytes, path)?));
    }
    Ok((out, network))
}

/// A tensor of a model under PyTorch's names: its name, its shape, and its numbers.
pub type NamedTensor = (String, Vec<usize>, Vec<f64>);

impl Model {
    /// Returns the model with its scaling in the weights: inputs in the units of the file give outputs in those of the targets, before
    /// the link.
    ///
    /// ```text
    /// w′_ab = w_ab/s_b,   b′_a = b_a − Σ_b w_ab m_b/s_b      for weights of an input with mean m and scale s
    /// w′_ab = t_a w_ab,   b′_a = t_a b_a + c_a               for the last layer, targets with mean c and scale t
    /// ```
    ///
    /// # Errors
    /// `Unsupported`: a mean that is not 0 with a layer without biases, scaled targets behind an activation, units that are not linear.
    pub fn folded(&self) -> Result<Model> {
        self.check()?;
        linear(&self.network)?;
        let s = &self.standardization;
        let mut out = self.clone();
        let refuse = |why: &str| {
            Err(Error::Unsupported { what: "scaling within the weights".into(), why: why.into() })
        };
        let depth = self.network.depth();
        let is_scaled = s.y_scale.iter().any(|v| *v != 1.0) || s.y_mean.iter().any(|v| *v != 0.0);
        for (k, layer) in (1..).zip(self.network.layers()) {
            let reads = layer.sources.first() == Some(&0);
            if reads && !layer.bias && s.x_mean.iter().any(|m| *m != 0.0) {
                return refuse("a layer that the inputs feed has no biases");
            }
            let scales = k == depth && is_scaled;
            if scales && !layer.runs().iter().all(|(activation, _)| activation.is_identity()) {
                return refuse("the last layer has an activation");
            }
            if scales && !layer.bias && s.y_mean.iter().any(|m| *m != 0.0) {
                return refuse("the last layer has no biases");
            }
            let row = layer.width();
            for (j, weights) in out.weights[layer.range.clone()].chunks_mut(row).enumerate() {
                for b in (0..self.network.inputs()).filter(|_| reads) {
                    weights[b] /= s.x_scale[b];
                    if layer.bias {
                        weights[row - 1] -= weights[b] * s.x_mean[b];
                    }
                }
                if scales {
                    weights.iter_mut().for_each(|w| *w *= s.y_scale[j]);
                    if layer.bias {
                        weights[row - 1] += s.y_mean[j];
                    }
                }
            }
        }
        out.standardization = Standardization::none(self.network.inputs(), self.targets.len());
        out.check()?;
        Ok(out)
    }

    /// Returns the weights under PyTorch's names and in its layout, `0.weight` and `0.bias` for the first layer, `2.weight` for the second, as an
    /// `nn.Sequential` of linear modules and activations in turns has them.
    ///
    /// # Errors
    /// Units that are not linear.
    pub fn state_dict(&self) -> Result<Vec<NamedTensor>> {
        linear(&self.network)?;
        let mut out = Vec::new();
        for (k, layer) in self.network.layers().iter().enumerate() {
            let rows = || self.weights[layer.range.clone()].chunks(layer.width());
            let weight = rows().flat_map(|row| &row[..layer.inputs]).copied().collect();
            out.push((format!("{}.weight", 2 * k), vec![layer.units, layer.inputs], weight));
            if layer.bias {
                let bias = rows().map(|row| row[layer.inputs]).collect();
                out.push((format!("{}.bias", 2 * k), vec![layer.units], bias));
            }
        }
        Ok(out)
    }

    /// Returns the bytes of a `.safetensors` file with the [`state_dict`](Self::state_dict), in single precision if `single`. The metadata
    /// key `network` holds the architecture, `format` is `pt`.
    ///
    /// # Errors
    /// As [`state_dict`](Self::state_dict).
    pub fn to_state_dict_bytes(&self, single: bool) -> Result<Vec<u8>> {
        let bytes = |values: &[f64]| -> Vec<u8> {
            if single {
                values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect()
            } else {
                values.iter().flat_map(|v| v.to_le_bytes()).collect()
            }
        };
        let entries = [
            ("format", "pt".to_string()),
            ("producer", "secondo".to_string()),
            ("network", network_to_json(&self.network).to_string()),
            ("features", json!(self.features).to_string()),
            ("targets", json!(self.targets).to_string()),
            ("classes", json!(self.classes).to_string()),
        ];
        let metadata: Metadata = entries.map(|(key, value)| (key.to_string(), value)).into();
        let tensors = self.state_dict()?;
        let tensors = tensors
            .iter()
            .map(|(name, shape, values)| (name.as_str(), shape.clone(), bytes(values)));
        let kind = if single { "F32" } else { "F64" };
        Ok(container::assemble(&metadata, kind, tensors.collect()))
    }

    /// Returns a model of a network with weights of another program: as [`new`](Self::new), with one output for each class.
    ///
    /// # Errors
    /// As [`new`](Self::new) and [`Weights::parameters`].
    pub fn from_weights(weights: &Weights, network: Network, loss: Loss) -> Result<Model> {
        let parameters = weights.parameters(&network)?;
        Model::new(network, parameters, loss)
    }
}
