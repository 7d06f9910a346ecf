//! Shared by the tests: stored reference results and comparisons that can fail.
#![allow(dead_code)]

pub mod absolute;
#[cfg(feature = "gpu")]
pub mod adapter;
pub mod datasets;
pub mod exact;
pub mod faulty;
pub mod hyperdual;
pub mod kernels;
pub mod mirror;
pub mod nets;
pub mod own;
pub mod ratio;

use std::path::{Path, PathBuf};

use ndarray::Array2;
use secondo::{
    Activation, Data, Group, Layer, Loss, Network, Penalty, Problem, Propagation, Radial,
};
use serde_json::Value;

/// A stored problem with its reference results.
pub struct Fixture {
    pub name: String,
    pub json: Value,
    pub network: Network,
    pub data: Data,
    pub loss: Loss,
    pub penalty: Penalty,
    pub w: Vec<f64>,
}

impl Fixture {
    /// The problem with its penalty.
    pub fn problem(&self) -> Problem {
        self.without_penalty().penalty(self.penalty.clone()).unwrap()
    }

    /// The problem's data part.
    pub fn without_penalty(&self) -> Problem {
        Problem::new(self.network.clone(), self.data.clone(), self.loss.clone()).unwrap()
    }

    pub fn numbers(&self, key: &str) -> Vec<f64> {
        flat(&self.json[key])
    }
}

pub fn data_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// All stored problems of a folder, in the order of their names.
pub fn fixtures(folder: &str) -> Vec<Fixture> {
    let mut paths: Vec<_> = std::fs::read_dir(data_dir().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no fixtures in {folder}");
    paths.iter().map(|path| fixture(path)).collect()
}

fn fixture(path: &Path) -> Fixture {
    let json: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let spec = &json["spec"];
    let layers = list(&spec["layers"]).iter().map(layer).collect();
    let network = Network::new(spec["inputs"].as_u64().unwrap() as usize, layers).unwrap();
    let mut data = Data::new(matrix(&json["X"]), matrix(&json["Y"])).unwrap();
    if json["sample_weights"].is_array() {
        data = data.weighted(flat(&json["sample_weights"])).unwrap();
    }
    let loss = match json["loss"]["type"].as_str().unwrap() {
        "sos" => Loss::SquaredError,
        "bce_logits" => Loss::BinaryCrossEntropy,
        "softmax_ce" => Loss::SoftmaxCrossEntropy,
        other => panic!("loss {other}"),
    };
    let p = &json["penalty"];
    let include_bias = p["include_bias"].as_bool().unwrap_or(true);
    let penalty = match p["type"].as_str() {
        None => Penalty::None,
        Some("ridge") => Penalty::Ridge { lambda: p["lambda"].as_f64().unwrap(), include_bias },
        Some("group_norm") => {
            Penalty::GroupNorm { lambda: p["lambda"].as_f64().unwrap(), include_bias }
        }
        Some(other) => panic!("penalty {other}"),
    };
    Fixture {
        name: json["name"].as_str().unwrap().into(),
        w: flat(&json["W"]),
        network,
        data,
        loss,
        penalty,
        json,
    }
}

fn layer(spec: &Value) -> Layer {
    let activations: Vec<_> = list(&spec["activations"])
        .iter()
        .map(|name| Activation::from_name(name.as_str().unwrap()).unwrap())
        .collect();
    let propagation = match spec["propagation"].as_str().unwrap() {
        "linear" => Propagation::Linear,
        name => Propagation::Radial(Radial::from_name(name).unwrap()),
    };
    let sources: Vec<usize> =
        list(&spec["sources"]).iter().map(|s| s.as_u64().unwrap() as usize).collect();
    let layer = Layer::of(vec![Group::new(propagation, activations)]).sources(sources);
    match spec["bias"].as_bool().unwrap() {
        true => layer,
        false => layer.without_bias(),
    }
}

pub fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

/// All numbers of nested lists in their order.
pub fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(flat).collect(),
        other => vec![other.as_f64().unwrap_or_else(|| panic!("not a number: {other}"))],
    }
}

pub fn matrix(value: &Value) -> Array2<f64> {
    let rows = list(value).len();
    let values = flat(value);
    Array2::from_shape_vec((rows, values.len() / rows), values).unwrap()
}

/// Collects what differs, so that a test names all of it at once.
#[derive(Default)]
pub struct Failures(Vec<String>);

impl Failures {
    /// Every entry within `tolerance` of the largest reference entry.
    pub fn compare(&mut self, what: &str, got: &[f64], want: &[f64], tolerance: f64) {
        if got.len() != want.len() {
            self.0.push(format!("{what}: {} numbers, not {}", got.len(), want.len()));
            return;
        }
        let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let mut worst = (0.0, 0);
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            let error = (g - w).abs();
            // NaN is the worst, and no later error replaces it.
            if error > worst.0 || error.is_nan() && !worst.0.is_nan() {
                worst = (error, i);
            }
        }
        if worst.0 > tolerance * largest || worst.0.is_nan() {
            let (error, i) = worst;
            self.0.push(format!(
                "{what}[{i}]: {} should be {}, off by {error:.2e}, allowed {:.2e}",
                got[i],
                want[i],
                tolerance * largest
            ));
        }
    }

    pub fn push(&mut self, message: String) {
        self.0.push(message);
    }

    pub fn any(&self) -> bool {
        !self.0.is_empty()
    }

    pub fn assert_none(self) {
        assert!(self.0.is_empty(), "{} differ:\n{}", self.0.len(), self.0.join("\n"));
    }
}

/// The blocks as full squares one after another, as the reference stores them.
pub fn dense_blocks(matrix: &secondo::Matrix) -> Vec<Vec<f64>> {
    (matrix.blocks()).map(|b| b.dense().iter().copied().collect()).collect()
}

/// The square of a flat P × P matrix on a range.
pub fn square(matrix: &[f64], p: usize, range: std::ops::Range<usize>) -> Vec<f64> {
    range.clone().flat_map(|a| range.clone().map(move |b| matrix[a * p + b])).collect()
}
