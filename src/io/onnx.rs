//! Models as ONNX files, for programs that know nothing of this crate.

use serde_json::json;

use super::model::Model;
use super::protobuf::Message;
use crate::error::{Error, Result};
use crate::network::{Activation, Network, Propagation};
use crate::objective::Loss;

/// The version of the operators and of the format.
const OPERATORS: u64 = 13;
const FORMAT: u64 = 7;
/// The types of numbers.
const FLOAT: u64 = 1;
const DOUBLE: u64 = 11;
/// The type of an attribute that is a whole number.
const INT: u64 = 2;

/// The graph that is being written: a value is known by its name.
#[derive(Default)]
struct Graph {
    nodes: Vec<Message>,
    constants: Vec<Message>,
    values: usize,
}

impl Graph {
    /// A node with whole numbers as attributes; returns its output.
    fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[(&str, u64)]) -> String {
        self.values += 1;
        let output = format!("v{}", self.values);
        self.node_as(operator, inputs, attributes, &output);
        output
    }

    fn node_as(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, u64)],
        output: &str,
    ) {
        let mut node = inputs.iter().fold(Message::default(), |node, name| node.text(1, name));
        node = node.text(2, output).text(3, &format!("{operator}_{output}")).text(4, operator);
        for (name, value) in attributes {
            let attribute = Message::default().text(1, name).number(3, *value).number(20, INT);
            node = node.message(5, attribute);
        }
        self.nodes.push(node);
    }

    /// Numbers that do not change; returns their name.
    fn constant(&mut self, shape: &[usize], values: impl IntoIterator<Item = f64>) -> String {
        let name = format!("c{}", self.constants.len());
        let bytes: Vec<u8> = values.into_iter().flat_map(f64::to_le_bytes).collect();
        let tensor = shape.iter().fold(Message::default(), |t, len| t.number(1, *len as u64));
        self.constants.push(tensor.number(2, DOUBLE).text(8, &name).bytes(9, &bytes));
        name
    }

    fn one(&mut self, operator: &str, input: &str) -> String {
        self.node(operator, &[input], &[])
    }

    /// An operation with a number on the right.
    fn with(&mut self, operator: &str, input: &str, value: f64) -> String {
        let constant = self.constant(&[], [value]);
        self.node(operator, &[input, &constant], &[])
    }

    /// An operator that programs have in single precision alone.
    fn single(&mut self, operator: &str, input: &str) -> String {
        let narrow = self.node("Cast", &[input], &[("to", FLOAT)]);
        let found = self.one(operator, &narrow);
        self.node("Cast", &[&found], &[("to", DOUBLE)])
    }

    /// Values side by side.
    fn beside(&mut self, parts: &[String]) -> String {
        match parts {
            [one] => one.clone(),
            _ => {
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                self.node("Concat", &parts, &[("axis", 1)])
            }
        }
    }

    /// ln(1 + eᵘ) = max(u, 0) + ln(1 + e^−|u|).
    fn softplus(&mut self, u: &str) -> String {
        let size = self.one("Abs", u);
        let minus = self.one("Neg", &size);
        let small = self.one("Exp", &minus);
        let small = self.with("Add", &small, 1.0);
        let small = self.one("Log", &small);
        let large = self.one("Relu", u);
        self.node("Add", &[&large, &small], &[])
    }

    /// e^(factor·u).
    fn exp(&mut self, u: &str, factor: f64) -> String {
        let u = self.with("Mul", u, factor);
        self.one("Exp", &u)
    }

    fn activation(&mut self, activation: Activation, u: &str) -> Result<String> {
        use Activation as A;
        Ok(match activation {
            A::Identity => u.into(),
            A::Tanh => self.one("Tanh", u),
            A::Logistic => self.one("Sigmoid", u),
            A::Softplus => self.softplus(u),
            A::Exp => self.one("Exp", u),
            A::ExpNegHalf => self.exp(u, -0.5),
            A::Gauss | A::GaussHalf => {
                let square = self.node("Mul", &[u, u], &[]);
                self.exp(&square, if activation == A::Gauss { -1.0 } else { -0.5 })
            }
            A::OneMinusExpNeg => {
                let e = self.exp(u, -1.0);
                let minus = self.one("Neg", &e);
                self.with("Add", &minus, 1.0)
            }
            A::Sin => self.one("Sin", u),
            A::Cos => {
                let shifted = self.with("Add", u, std::f64::consts::FRAC_PI_2);
                self.one("Sin", &shifted)
            }
            A::Log => self.one("Log", u),
            A::Sqrt => self.one("Sqrt", u),
            A::Reciprocal => self.one("Reciprocal", u),
            A::Atan => self.single("Atan", u),
            A::Relu => self.one("Relu", u),
            A::Silu => {
                let s = self.one("Sigmoid", u);
                self.node("Mul", &[u, &s], &[])
            }
            A::Gelu => {
                let scaled = self.with("Mul", u, std::f64::consts::FRAC_1_SQRT_2);
                let erf = self.single("Erf", &scaled);
                let twice = self.with("Add", &erf, 1.0);
                let half = self.with("Mul", u, 0.5);
                self.node("Mul", &[&half, &twice], &[])
            }
            A::Elliot => {
                let size = self.one("Abs", u);
                let below = self.with("Add", &size, 1.0);
                self.node("Div", &[u, &below], &[])
            }
            A::Elu | A::LeakyRelu => {
                let minus = self.one("Neg", u);
                let negative = self.one("Relu", &minus);
                let positive = self.one("Relu", u);
                let below = if activation == A::Elu {
                    let e = self.exp(&negative, -1.0);
                    self.with("Sub", &e, 1.0)
                } else {
                    self.with("Mul", &negative, -0.01)
                };
                self.node("Add", &[&positive, &below], &[])
            }
            A::Mish => {
                let s = self.softplus(u);
                let t = self.one("Tanh", &s);
                self.node("Mul", &[u, &t], &[])
            }
            other => {
                return Err(Error::Unsupported {
                    what: format!("the activation '{}' in ONNX", other.name()),
                    why: "ONNX has operators for the built-in ones alone; take one of these".into(),
                });
            }
        })
    }

    /// The outputs of all layers; returns that of the last.
    fn network(&mut self, network: &Network, weights: &[f64], x: String) -> Result<String> {
        let mut outputs = vec![x];
        for layer in network.layers() {
            let sources: Vec<String> = layer.sources.iter().map(|s| outputs[*s].clone()).collect();
            let z = self.beside(&sources);
            let mut parts = Vec::new();
            for group in &layer.groups {
                if !matches!(group.propagation, Propagation::Linear) {
                    return Err(Error::Unsupported {
                        what: format!("units '{}' in ONNX", group.propagation.name()),
                        why: "only linear units can be written".into(),
                    });
                }
                let mut at = group.range.start;
                for &(activation, units) in &group.runs {
                    let rows = &weights[at..at + units * group.row];
                    at += units * group.row;
                    let entries = rows.chunks(group.row).flat_map(|row| &row[..layer.inputs]);
                    let matrix = self.constant(&[units, layer.inputs], entries.copied());
                    let mut inputs = vec![z.clone(), matrix];
                    if layer.bias {
                        let biases = rows.chunks(group.row).map(|row| row[layer.inputs]);
                        inputs.push(self.constant(&[units], biases));
                    }
                    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
                    let p = self.node("Gemm", &inputs, &[("transB", 1)]);
                    parts.push(self.activation(activation, &p)?);
                }
            }
            outputs.push(self.beside(&parts));
        }
        Ok(outputs.pop().unwrap_or_default())
    }
}

/// An input or output: rows × columns of double precision.
fn place(name: &str, columns: usize) -> Message {
    let dimension = |d: Message| Message::default().message(1, d);
    let rows = dimension(Message::default().text(2, "rows"));
    let columns = dimension(Message::default().number(1, columns as u64));
    let shape = Message(rows.into_bytes().into_iter().chain(columns.into_bytes()).collect());
    let tensor = Message::default().number(1, DOUBLE).message(2, shape);
    Message::default().text(1, name).message(2, Message::default().message(1, tensor))
}

impl Model {
    /// Returns the model as an ONNX file: the graph from inputs in the units of the file to what [`predict`](Self::predict) returns.
    ///
    /// ```text
    /// X  (rows × features)  →  predictions    (rows × targets, in the units of the targets), or
    ///                          probabilities  (rows × classes)
    /// ```
    ///
    /// Standardisation and link are in the graph. Numbers are of double precision; arctan and GELU's error function pass through single
    /// precision, since runtimes have no other. The metadata `features`, `targets` and `classes` are lists in JSON. Operators of version 13.
    ///
    /// # Errors
    /// `Unsupported`: units that are not linear, activations and losses that are not built in; parts that do not fit together.
    ///
    /// ```
    /// use secondo::io::Model;
    /// use secondo::{Activation, Loss, Network};
    /// let model = Model::new(Network::dense(&[1, 1], Activation::Tanh)?, vec![2.0, 1.0], Loss::SquaredError)?;
    /// assert!(model.to_onnx()?.starts_with(b"\x08\x07\x12\x07secondo"));
    /// # Ok::<(), secondo::Error>(())
    /// ```
    pub fn to_onnx(&self) -> Result<Vec<u8>> {
        self.check()?;
        let mut graph = Graph::default();
        let s = &self.standardization;
        let inputs = self.network.inputs();
        let mean = graph.constant(&[inputs], s.x_mean.iter().copied());
        let scale = graph.constant(&[inputs], s.x_scale.iter().copied());
        let x = graph.node("Sub", &["X", &mean], &[]);
        let x = graph.node("Div", &[&x, &scale], &[]);
        let out = graph.network(&self.network, &self.weights, x)?;
        let (name, columns) = match self.loss {
            Loss::Custom(_) => {
                return Err(Error::Unsupported {
                    what: "a model with a user's loss in ONNX".into(),
                    why: "its link is not known to the file; for predictions any loss will do, such as SquaredError"
                        .into(),
                });
            }
            Loss::BinaryCrossEntropy => {
                let minus = graph.one("Neg", &out);
                let both = [graph.one("Sigmoid", &minus), graph.one("Sigmoid", &out)];
                graph.node_as("Concat", &[&both[0], &both[1]], &[("axis", 1)], "probabilities");
                ("probabilities", 2)
            }
            Loss::SoftmaxCrossEntropy => {
                graph.node_as("Softmax", &[&out], &[("axis", 1)], "probabilities");
                ("probabilities", self.classes.len())
            }
            _ => {
                let is_log = matches!(
                    self.loss,
                    Loss::Poisson | Loss::Gamma | Loss::NegativeBinomial { .. }
                );
                let out = if is_log { graph.one("Exp", &out) } else { out };
                let targets = self.targets.len();
                let scale = graph.constant(&[targets], s.y_scale.iter().copied());
                let mean = graph.constant(&[targets], s.y_mean.iter().copied());
                let scaled = graph.node("Mul", &[&out, &scale], &[]);
                graph.node_as("Add", &[&scaled, &mean], &[], "predictions");
                ("predictions", targets)
            }
        };
        let mut message = Message::default();
        for node in graph.nodes {
            message = message.message(1, node);
        }
        message = message.text(2, "secondo");
        for constant in graph.constants {
            message = message.message(5, constant);
        }
        message = message.message(11, place("X", inputs)).message(12, place(name, columns));
        let mut file = Message::default()
            .number(1, FORMAT)
            .text(2, "secondo")
            .text(3, env!("CARGO_PKG_VERSION"))
            .message(7, message)
            .message(8, Message::default().text(1, "").number(2, OPERATORS));
        for (key, list) in
            [("features", &self.features), ("targets", &self.targets), ("classes", &self.classes)]
        {
            let entry = Message::default().text(1, key).text(2, &json!(list).to_string());
            file = file.message(14, entry);
        }
        Ok(file.into_bytes())
    }
}
