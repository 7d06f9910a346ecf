//! Model files: what is written is read back to the bit, and no damage goes unnoticed or panics.
#![cfg(feature = "io")]

use std::path::Path;

use ndarray::array;
use secondo::io::{Model, Standardization};
use secondo::{
    Activation, Error, Group, Initialization, Layer, Loss, Network, Penalty, Propagation, Radial,
    Reduction,
};
use serde_json::{Value, json};

fn model() -> Model {
    let network = Network::new(
        2,
        vec![
            Layer::dense(2, Activation::Tanh).without_bias(),
            Layer::dense(3, Activation::Identity).sources([0, 1]),
        ],
    )
    .unwrap();
    let mut weights = Initialization::Normal.draw(&network, 3);
    // Bit patterns that careless code loses.
    weights[0] = -0.0;
    weights[1] = 5e-324;
    weights[2] = 0.1 + 0.2;
    weights[3] = -1.7976931348623157e308;
    let mut model = Model::new(network, weights, Loss::SoftmaxCrossEntropy).unwrap();
    model.features = vec!["größe".into(), "\"quoted\", b".into()];
    model.targets = vec!["species".into()];
    model.classes = vec!["a".into(), "b".into(), "c".into()];
    model.standardization = Standardization {
        x_mean: vec![1.0 / 3.0, -1e-300],
        x_scale: vec![2.0f64.sqrt(), 1e300],
        ..Standardization::none(2, 1)
    };
    model.penalty = Penalty::Ridge { lambda: 0.01, include_bias: false };
    model.reduction = Reduction::Mean;
    model
}

fn load(bytes: &[u8]) -> Result<Model, Error> {
    Model::from_bytes(bytes, Path::new("m.safetensors"))
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Everything that a prediction depends on, to the bit.
fn same(a: &Model, b: &Model) -> bool {
    let scaling = |m: &Model| {
        let s = &m.standardization;
        [&s.x_mean, &s.x_scale, &s.y_mean, &s.y_scale].map(|v| bits(v))
    };
    format!("{:?}", a.network) == format!("{:?}", b.network)
        && bits(&a.weights) == bits(&b.weights)
        && (&a.features, &a.targets, &a.classes) == (&b.features, &b.targets, &b.classes)
        && scaling(a) == scaling(b)
        && (&a.loss, &a.penalty, a.reduction) == (&b.loss, &b.penalty, b.reduction)
}

/// The file with another header, the tensors' bytes as they are.
fn with_header(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let header = header.to_string().into_bytes();
    [&(header.len() as u64).to_le_bytes(), header.as_slice(), &bytes[8 + length..]].concat()
}

#[track_caller]
fn refused(bytes: &[u8], said: &str) {
    let error = load(bytes).expect_err("the file is refused").to_string();
    assert!(error.contains("m.safetensors") && error.contains(said), "'{said}' is not in: {error}");
}

#[test]
fn a_model_is_read_back_to_the_bit() {
    let model = model();
    let bytes = model.to_bytes().unwrap();
    let copy = load(&bytes).unwrap();
    assert!(same(&model, &copy));
    assert_eq!(copy.to_bytes().unwrap(), bytes);

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.safetensors");
    std::fs::write(&path, "an old file").unwrap();
    model.save(&path).unwrap();
    assert!(same(&model, &Model::load(&path).unwrap()));
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        1,
        "nothing else is left in the folder"
    );
}

#[test]
fn the_file_is_what_other_readers_expect() {
    let model = model();
    let bytes = model.to_bytes().unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("layer1.weight").unwrap().shape(), [2, 2]);
    let last = file.tensor("layer2.weight").unwrap();
    assert_eq!((last.dtype(), last.shape()), (safetensors::Dtype::F64, &[3, 5][..]));
    let numbers: Vec<f64> =
        last.data().chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(numbers, model.weights[4..]);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = model().to_bytes().unwrap();
    for end in 0..bytes.len() {
        refused(&bytes[..end], "damaged or incomplete");
    }
    refused(&[bytes.as_slice(), &[0]].concat(), "damaged or incomplete");
}

#[test]
fn no_flipped_bit_changes_a_model_unnoticed() {
    let model = model();
    let mut bytes = model.to_bytes().unwrap();
    let mut harmless = 0;
    for place in 0..bytes.len() * 8 {
        bytes[place / 8] ^= 1 << (place % 8);
        if let Ok(read) = load(&bytes) {
            // A blank that became a tab, or the name of the checksum: the model is what it was.
            assert!(same(&model, &read), "bit {place}");
            harmless += 1;
        }
        bytes[place / 8] ^= 1 << (place % 8);
    }
    assert!(harmless < 100, "{harmless} flips were not noticed");
    assert!(same(&model, &load(&bytes).unwrap()));
}

#[test]
fn each_kind_of_damage_has_its_message() {
    let bytes = model().to_bytes().unwrap();
    let meta = |key: &str, value: Option<&str>| {
        with_header(&bytes, |h| {
            let map = h["__metadata__"].as_object_mut().unwrap();
            map.remove("checksum");
            match value {
                Some(value) => map.insert(key.into(), json!(value)),
                None => map.remove(key),
            };
        })
    };
    assert!(load(&meta("checksum", None)).is_ok(), "the checksum is optional");
    assert!(load(&meta("author", Some("me"))).is_ok(), "further keys are allowed");
    assert!(load(&meta("standardization", None)).is_ok());
    refused(&meta("checksum", Some("fnv1a64:0000000000000000")), "checksum");
    refused(&meta("checksum", Some("crc32:0")), "checksum");
    refused(&meta("format", None), "no model of secondo");
    refused(&meta("format", Some("pt")), "no model of secondo");
    refused(&meta("version", Some("2")), "newer than 1");
    refused(&meta("version", Some("x")), "no format version");
    refused(&meta("network", None), "'network' is missing");
    refused(&meta("network", Some("{")), "'network', line 1, column 1: not valid JSON");
    refused(&meta("network", Some("[]")), "must be an object");
    refused(
        &meta(
            "network",
            Some(r#"{"inputs": 2, "layers": [{"units": 4000000000, "activations": "tanh"}]}"#),
        ),
        "4000000000",
    );
    refused(
        &meta(
            "network",
            Some(
                r#"{"inputs": 18446744073709551615, "layers": [{"units": 2, "activations": "tanh"}]}"#,
            ),
        ),
        "too large",
    );
    refused(
        &meta("network", Some(r#"{"inputs": 2, "layers": [{"units": 2, "activations": "x"}]}"#)),
        "unknown activation",
    );
    refused(
        &meta("network", Some(r#"{"inputs": 2, "layers": [{"units": 2, "activations": "tanh"}]}"#)),
        "layer1.weight",
    );
    refused(&meta("features", Some(r#"["a"]"#)), "features: expected 2, found 1");
    refused(&meta("features", Some(r#"["a", "a"]"#)), "listed twice");
    refused(&meta("features", Some(r#"["a", 1]"#)), "list of names");
    refused(&meta("classes", Some("[]")), "classes");
    refused(&meta("loss", Some(r#"{"type": "x"}"#)), "unknown loss");
    refused(&meta("loss", Some(r#"{"type": "sos"}"#)), "classification");
    refused(&meta("penalty", Some(r#"{"type": "ridge", "lambda": -1}"#)), "lambda");
    refused(&meta("reduction", Some("max")), "sum, mean");
    let scaling = |x_scale: &str| {
        meta(
            "standardization",
            Some(&format!(
                r#"{{"x_mean": [0, 0], "x_scale": {x_scale}, "y_mean": [0], "y_scale": [1]}}"#
            )),
        )
    };
    assert!(load(&scaling("[1, 2]")).is_ok());
    refused(&scaling("[1]"), "x_scale: expected 2, found 1");
    refused(&scaling("[1, 0]"), "must be positive");
    refused(&scaling("[1, 1e400]"), "too large");

    let tensor = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        with_header(&bytes, |h| {
            h["__metadata__"].as_object_mut().unwrap().remove("checksum");
            change(h.as_object_mut().unwrap());
        })
    };
    refused(&tensor(&|h| drop(h.remove("layer2.weight"))), "damaged");
    refused(&tensor(&|h| h["layer1.weight"]["dtype"] = json!("I64")), "is of type I64");
    refused(
        &tensor(&|h| {
            h["layer1.weight"]["dtype"] = json!("F32");
            h["layer1.weight"]["shape"] = json!([2, 4]);
        }),
        "is of type F32; a model holds F64",
    );
    refused(
        &tensor(&|h| h["layer1.weight"]["shape"] = json!([4, 1])),
        "expected 2 × 2, found 4 × 1",
    );
    refused(
        &tensor(&|h| h["layer1.weight"]["shape"] = json!([4294967296u64, 4294967296u64])),
        "damaged",
    );
    refused(
        &tensor(&|h| h["layer1.weight"]["data_offsets"] = json!([0, u64::MAX])),
        "within the file",
    );
    refused(&tensor(&|h| h["layer1.weight"]["data_offsets"] = json!([8, 40])), "damaged");
    refused(&tensor(&|h| drop(h.insert("layer1.weight".into(), json!(1)))), "within the file");
    refused(
        &tensor(&|h| {
            let moved = h.remove("layer1.weight").unwrap();
            h.insert("layer9.weight".into(), moved);
        }),
        "'layer1.weight' is missing",
    );
    refused(
        &tensor(&|h| {
            drop(h.insert(
                "more".into(),
                json!({"dtype": "F64", "shape": [0], "data_offsets": [0, 0]}),
            ))
        }),
        "'more' belongs to no layer",
    );

    // Not a number among the weights: with and without the checksum.
    let mut nan = bytes.clone();
    let end = nan.len();
    nan[end - 8..].copy_from_slice(&f64::NAN.to_le_bytes());
    refused(&nan, "checksum");
    refused(
        &with_header(&nan, |h| drop(h["__metadata__"].as_object_mut().unwrap().remove("checksum"))),
        "row 2, column 4",
    );

    // A header that claims to be larger than any file.
    let mut huge = bytes.clone();
    huge[..8].copy_from_slice(&(1u64 << 63).to_le_bytes());
    refused(&huge, "longer than the file");
    refused(b"a,b,c\n1,2,3\n4,5,6\n", ".safetensors");
}

#[test]
fn what_is_no_file_is_an_io_error() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_path_buf(), dir.path().join("none.safetensors")] {
        assert!(matches!(Model::load(&path), Err(Error::Io { action: "read", .. })));
    }
    assert!(matches!(model().save(dir.path()), Err(Error::Io { action: "write", .. })));
    let lost = dir.path().join("no").join("m.safetensors");
    assert!(matches!(model().save(&lost), Err(Error::Io { action: "write", .. })));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_link_keeps_pointing_at_its_target() {
    let dir = tempfile::tempdir().unwrap();
    let (target, link) =
        (dir.path().join("target.safetensors"), dir.path().join("link.safetensors"));
    std::fs::write(&target, "old").unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&target, &link).unwrap();
        model().save(&link).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
        assert!(same(&model(), &Model::load(&target).unwrap()));
    }
    let _ = link;
}

#[test]
fn predictions_are_in_the_units_of_the_file() {
    // One linear unit that sees (x − 10)/2 and answers in tens.
    let network = Network::dense(&[1, 1], Activation::Tanh).unwrap();
    let mut line = Model::new(network.clone(), vec![3.0, 1.0], Loss::SquaredError).unwrap();
    line.standardization = Standardization {
        x_mean: vec![10.0],
        x_scale: vec![2.0],
        y_mean: vec![-5.0],
        y_scale: vec![10.0],
    };
    assert_eq!(line.predict(&array![[14.0]]).unwrap(), array![[65.0]]); // (3·2 + 1)·10 − 5
    assert!(matches!(line.predict(&array![[1.0, 2.0]]), Err(Error::Shape { .. })));
    assert!(matches!(line.predict(&array![[f64::NAN]]), Err(Error::NonFinite { .. })));
    let odds = Model::new(network, vec![0.0, 3f64.ln()], Loss::BinaryCrossEntropy).unwrap();
    let p = odds.predict(&array![[0.0]]).unwrap();
    assert!((p[(0, 0)] - 0.25).abs() < 1e-15 && (p[(0, 1)] - 0.75).abs() < 1e-15);
}

/// Every radial form, alone and beside linear units, and layers without parameters.
#[test]
fn networks_with_radial_units_are_read_back() {
    for form in Radial::ALL {
        let radial = |units, h| Group::radial(units, form, h);
        let network = Network::new(
            2,
            vec![
                Layer::of(vec![radial(2, Activation::Identity)]),
                Layer::normalized(2).sources([1]),
                Layer::of(vec![radial(1, Activation::ExpNegHalf)])
                    .and(Group::linear(2, Activation::Tanh)),
                Layer::dense(1, Activation::Identity).sources([0, 2, 3]),
            ],
        )
        .unwrap();
        let weights = Initialization::Normal.draw(&network, 1);
        let model = Model::new(network, weights, Loss::SquaredError).unwrap();
        let bytes = model.to_bytes().unwrap();
        let back = load(&bytes).unwrap();
        assert!(same(&model, &back) && back.to_bytes().unwrap() == bytes, "{form:?}");
    }
    // Each normalised unit is a group of its own: a width that no memory holds is refused before.
    let layer =
        json!({"units": 1u64 << 40, "propagation": "normalized", "activations": "identity"});
    let wide = secondo::io::network_from_json(&json!({"inputs": 1, "layers": [layer]}));
    assert!(wide.unwrap_err().to_string().contains("at most 65536"));
    // A list has one name for each unit: no list is as long as this.
    for (propagation, activations) in [
        (json!(["linear"]), json!("tanh")),
        (json!("linear"), json!(["tanh"])),
        (json!(5), json!("tanh")),
    ] {
        let layer =
            json!({"units": 10u64.pow(18), "propagation": propagation, "activations": activations});
        let long = secondo::io::network_from_json(&json!({"inputs": 1, "layers": [layer]}));
        assert!(matches!(long, Err(Error::Shape { .. } | Error::Invalid { .. })), "{long:?}");
    }
    let unit = Propagation::Unit(std::sync::Arc::new(Radial::Full));
    let own = Layer::of(vec![Group::uniform(unit, 1, Activation::Identity)]);
    let network = Network::new(1, vec![own]).unwrap();
    let refused = Model::new(network, vec![0.0; 2], Loss::SquaredError)
        .and_then(|model| model.to_bytes())
        .unwrap_err();
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused}");
}
