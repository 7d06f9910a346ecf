//! ONNX files, run by a small interpreter that shares no code with their writer, and weights under PyTorch's names.
#![cfg(feature = "io")]

use std::collections::HashMap;

use ndarray::{Array2, Axis, concatenate};
use secondo::io::{Model, Standardization, Weights};
use secondo::{Activation, Error, Group, Initialization, Layer, Loss, Network, Radial};

/// The fields of a message: numbers as they are, all else as bytes.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (first, rest) = bytes.split_first().expect("a number ends");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        shift += 7;
        if first & 0x80 == 0 {
            return value;
        }
    }
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (field, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(field)
            }
            other => panic!("wire type {other}"),
        };
        out.push((tag >> 3, field));
    }
    out
}

fn all(message: &[u8], number: u64) -> Vec<&[u8]> {
    let of = |(n, field)| match field {
        Field::Bytes(bytes) if n == number => Some(bytes),
        _ => None,
    };
    fields(message).into_iter().filter_map(of).collect()
}

fn texts(message: &[u8], number: u64) -> Vec<String> {
    all(message, number).iter().map(|b| String::from_utf8(b.to_vec()).unwrap()).collect()
}

fn numbers(message: &[u8], number: u64) -> Vec<u64> {
    let of = |(n, field)| match field {
        Field::Number(v) if n == number => Some(v),
        _ => None,
    };
    fields(message).into_iter().filter_map(of).collect()
}

/// erf by its Taylor series, for arguments below 4.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

/// The output of the graph in these bytes.
fn run(bytes: &[u8], x: &Array2<f64>) -> (String, Array2<f64>) {
    let graph = all(bytes, 7)[0];
    let mut values: HashMap<String, Array2<f64>> = HashMap::new();
    values.insert("X".into(), x.clone());
    for tensor in all(graph, 5) {
        assert_eq!(numbers(tensor, 2), [11]);
        let shape: Vec<usize> = numbers(tensor, 1).iter().map(|v| *v as usize).collect();
        let raw = all(tensor, 9)[0].chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap()));
        let (rows, columns) = match shape[..] {
            [] => (1, 1),
            [n] => (1, n),
            [a, b] => (a, b),
            _ => panic!("{shape:?}"),
        };
        let array = Array2::from_shape_vec((rows, columns), raw.collect()).unwrap();
        values.insert(texts(tensor, 8).remove(0), array);
    }
    for node in all(graph, 1) {
        let operator = texts(node, 4).remove(0);
        let inputs: Vec<Array2<f64>> =
            texts(node, 1).iter().map(|name| values[name].clone()).collect();
        let attributes: HashMap<String, u64> =
            (all(node, 5).iter()).map(|a| (texts(a, 1).remove(0), numbers(a, 3)[0])).collect();
        let a = &inputs[0];
        let output = match operator.as_str() {
            "Add" => a + &inputs[1],
            "Sub" => a - &inputs[1],
            "Mul" => a * &inputs[1],
            "Div" => a / &inputs[1],
            "Gemm" => {
                assert_eq!(attributes["transB"], 1);
                let product = a.dot(&inputs[1].t());
                if inputs.len() > 2 { product + &inputs[2] } else { product }
            }
            "Concat" => {
                assert_eq!(attributes["axis"], 1);
                let views: Vec<_> = inputs.iter().map(|i| i.view()).collect();
                concatenate(Axis(1), &views).unwrap()
            }
            "Softmax" => {
                let e = a.mapv(f64::exp);
                let sums = e.sum_axis(Axis(1)).insert_axis(Axis(1));
                e / sums
            }
            "Cast" => a.clone(),
            "Tanh" => a.mapv(f64::tanh),
            "Sigmoid" => a.mapv(|u| 1.0 / (1.0 + (-u).exp())),
            "Exp" => a.mapv(f64::exp),
            "Log" => a.mapv(f64::ln),
            "Abs" => a.mapv(f64::abs),
            "Neg" => a.mapv(|u| -u),
            "Relu" => a.mapv(|u| u.max(0.0)),
            "Sin" => a.mapv(f64::sin),
            "Sqrt" => a.mapv(f64::sqrt),
            "Reciprocal" => a.mapv(|u| 1.0 / u),
            "Atan" => a.mapv(f64::atan),
            "Erf" => a.mapv(erf),
            other => panic!("{other}"),
        };
        values.insert(texts(node, 2).remove(0), output);
    }
    let name = texts(all(graph, 12)[0], 1).remove(0);
    let found = values.remove(&name).unwrap();
    (name, found)
}

fn inputs(rows: usize, columns: usize) -> Array2<f64> {
    Array2::from_shape_fn((rows, columns), |(i, j)| 3.0 + ((5 * i + 3 * j) as f64).sin())
}

#[track_caller]
fn same(model: &Model, x: &Array2<f64>) {
    let (_, found) = run(&model.to_onnx().unwrap(), x);
    let expected = model.predict(x).unwrap();
    assert_eq!(found.shape(), expected.shape());
    for (a, b) in found.iter().zip(&expected) {
        assert!((a - b).abs() <= 1e-12 * b.abs().max(1.0), "{a} and {b}");
    }
}

fn scaled(model: &mut Model) {
    let inputs = model.features.len();
    model.standardization = Standardization {
        x_mean: (0..inputs).map(|i| 3.0 + 0.1 * i as f64).collect(),
        x_scale: (0..inputs).map(|i| 0.5 + i as f64).collect(),
        ..Standardization::none(inputs, model.targets.len())
    };
}

#[test]
fn graphs_predict_what_models_do() {
    let x = inputs(9, 3);
    for activation in Activation::ALL {
        let positive = matches!(activation, Activation::Log | Activation::Sqrt);
        let network = Network::dense(&[3, 4, 2], activation).unwrap();
        let mut weights = Initialization::Normal.draw(&network, 2);
        if positive {
            weights.iter_mut().for_each(|w| *w = w.abs());
        }
        let mut model = Model::new(network, weights, Loss::SquaredError).unwrap();
        if !positive {
            scaled(&mut model);
        }
        model.standardization.y_mean = vec![-20.0, 5.0];
        model.standardization.y_scale = vec![7.0, 0.25];
        same(&model, &x);
    }
    // Layers that skip, without biases, with several activations; every link.
    let layers = |outputs| {
        vec![
            Layer::of(vec![Group::linear(2, Activation::Tanh), Group::linear(1, Activation::Silu)]),
            Layer::dense(2, Activation::Logistic).without_bias().sources([0, 1]),
            Layer::dense(outputs, Activation::Identity).sources([1, 2]),
        ]
    };
    for (outputs, loss) in [
        (1, Loss::BinaryCrossEntropy),
        (3, Loss::SoftmaxCrossEntropy),
        (2, Loss::Poisson),
        (1, Loss::Gamma),
        (1, Loss::NegativeBinomial { dispersion: 0.5 }),
        (1, Loss::LogCosh { delta: 1.0 }),
    ] {
        let network = Network::new(3, layers(outputs)).unwrap();
        let weights = Initialization::Normal.draw(&network, 3);
        let mut model = Model::new(network, weights, loss).unwrap();
        scaled(&mut model);
        same(&model, &x);
        let (name, _) = run(&model.to_onnx().unwrap(), &x);
        let classes = !model.classes.is_empty();
        assert_eq!(name, if classes { "probabilities" } else { "predictions" });
    }
}

#[test]
fn what_onnx_has_no_operator_for_is_refused() {
    let radial = Network::new(
        1,
        vec![
            Layer::of(vec![Group::radial(1, Radial::IsotropicSigma, Activation::ExpNegHalf)]),
            Layer::dense(1, Activation::Identity),
        ],
    )
    .unwrap();
    let formula = Activation::formula("u/(1+exp(-2*u))").unwrap();
    for network in [radial, Network::dense(&[1, 2, 1], formula).unwrap()] {
        let weights = vec![1.0; network.parameters()];
        let model = Model::new(network, weights, Loss::SquaredError).unwrap();
        assert!(matches!(model.to_onnx(), Err(Error::Unsupported { .. })));
    }
}

/// Folded weights give predictions before the link; files give back the bits in double precision.
#[test]
fn weights_travel_under_the_names_of_pytorch() {
    let folder = std::env::temp_dir().join(format!("secondo-weights-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("w.safetensors");
    let network = Network::dense(&[3, 4, 2], Activation::Tanh).unwrap();
    let weights = Initialization::Normal.draw(&network, 8);
    let mut model = Model::new(network.clone(), weights, Loss::SquaredError).unwrap();
    scaled(&mut model);
    model.standardization.y_mean = vec![-20.0, 5.0];
    model.standardization.y_scale = vec![7.0, 0.25];
    let folded = model.folded().unwrap();
    let x = inputs(6, 3);
    let (a, b) = (model.predict(&x).unwrap(), folded.outputs(&x).unwrap());
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-12 * a.abs().max(1.0)));
    let names: Vec<String> = folded
        .state_dict()
        .unwrap()
        .into_iter()
        .map(|(name, shape, _)| format!("{name} {shape:?}"))
        .collect();
    assert_eq!(names, ["0.weight [4, 3]", "0.bias [4]", "2.weight [2, 4]", "2.bias [2]"]);
    for single in [false, true] {
        std::fs::write(&path, folded.to_state_dict_bytes(single).unwrap()).unwrap();
        let read = Weights::from_path(&path).unwrap();
        assert_eq!(read.network().unwrap().unwrap().to_string(), network.to_string());
        let chain = read.chain(&[Activation::Tanh], Activation::Identity).unwrap();
        let found = read.parameters(&chain).unwrap();
        for (a, b) in found.iter().zip(&folded.weights) {
            assert!(if single { *a == f64::from(*b as f32) } else { a == b });
        }
        let wrong = Network::dense(&[3, 5, 2], Activation::Tanh).unwrap();
        assert!(read.parameters(&wrong).unwrap_err().to_string().contains("'0.weight'"));
        let deep = Network::dense(&[3, 4, 4, 2], Activation::Tanh).unwrap();
        assert!(read.parameters(&deep).is_err());
        assert!(read.chain(&[Activation::Tanh; 2], Activation::Identity).is_err());
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn scaling_that_weights_cannot_hold_is_refused() {
    let layers = |bias: bool, last| {
        let hidden = Layer::dense(2, Activation::Tanh);
        vec![if bias { hidden } else { hidden.without_bias() }, Layer::dense(1, last)]
    };
    for (bias, last) in [(false, Activation::Identity), (true, Activation::Tanh)] {
        let network = Network::new(1, layers(bias, last)).unwrap();
        let weights = vec![0.5; network.parameters()];
        let mut model = Model::new(network, weights, Loss::SquaredError).unwrap();
        assert!(model.folded().is_ok());
        model.standardization.x_mean = vec![1.0];
        model.standardization.y_mean = vec![1.0];
        assert!(matches!(model.folded(), Err(Error::Unsupported { .. })));
    }
}
