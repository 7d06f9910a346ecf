//! Each cause of a singular or indefinite matrix by name, and each warning.

use super::*;

/// The kinds and causes of the warnings, and the refusal.
fn named(name: &str, options: &[&str], change: impl FnOnce(&mut Value)) -> (Vec<String>, Value) {
    let (_folder, file) = changed(name, change);
    let found = report("infer", &file, options);
    let mut all = Vec::new();
    for warning in found["warnings"].as_array().unwrap() {
        all.push(warning["kind"].as_str().unwrap().to_string());
        all.extend(warning["cause"].as_str().map(String::from));
    }
    (all, found["refused"].clone())
}

fn expect(what: &str, name: &str, options: &[&str], change: impl FnOnce(&mut Value)) {
    let (all, _) = named(name, options, change);
    assert!(all.iter().any(|found| found == what), "{what} is not among {all:?}");
}

/// Gives the rows other targets.
fn targets(json: &mut Value, of: impl Fn(usize, &[f64]) -> f64) {
    let x = matrix(&json["X"]);
    json["Y"] = x.iter().enumerate().map(|(i, x)| serde_json::json!([of(i, x)])).collect();
}

/// A number between −1 and 1 that looks drawn by chance.
fn noise(i: usize) -> f64 {
    ((i * 7919 + 13) % 1009) as f64 / 504.0 - 1.0
}

#[test]
fn singular_matrices_have_their_causes_named() {
    let [linear, _, net, ridge, collinear] = FIXTURES;
    let polish = ["--polish"];
    expect("collinear-inputs", collinear, &[], |_| {});
    expect("constant-input", linear, &polish, |json| {
        json["X"].as_array_mut().unwrap().iter_mut().for_each(|row| row[1] = 3.0.into());
    });
    let gauss_newton = ["--information", "gauss-newton"];
    // Unit 2 as unit 1, and as its mirror image; the rows have no noise, so that any weights of theirs are a minimum.
    for sign in [1.0, -1.0] {
        expect("equal-units", ridge, &gauss_newton, |json| {
            let mut w = numbers(&json["W"]);
            (0..4).for_each(|i| w[4 + i] = sign * w[i]);
            json["W"] = w.into_iter().collect();
        });
    }
    expect("dead-unit", net, &gauss_newton, |json| json["W"][8] = 0.0.into());
    expect("saturated-unit", net, &gauss_newton, |json| {
        (0..3).for_each(|i| json["W"][i] = 0.0.into());
        json["W"][3] = 60.0.into();
    });
    // One output too many.
    expect("softmax-outputs", net, &polish, |json| {
        json["spec"]["layers"] = serde_json::json!([
            {"units": 3, "sources": [0], "bias": true, "propagation": "linear", "activations": "identity"}
        ]);
        json["loss"] = serde_json::json!({"type": "softmax_ce"});
        let class = |i: usize, x: &[f64]| {
            usize::from(x[0] + noise(i) > 0.0) + usize::from(x[1] > noise(i + 50))
        };
        json["Y"] = (matrix(&json["X"]).iter().enumerate())
            .map(|(i, x)| Value::from_iter((0..3).map(|c| f64::from(u8::from(class(i, x) == c)))))
            .collect();
        json["W"] = (0..12).map(|_| 0.0).collect();
        json.as_object_mut().unwrap().remove("X_new");
    });
    // All hidden weights 0: stationary, and a saddle.
    let (all, refused) = named(collinear, &[], |json| {
        let y: Vec<f64> = matrix(&json["Y"]).concat();
        let mean = y.iter().sum::<f64>() / y.len() as f64;
        json["W"] = (0..11).map(|i| if i == 10 { mean } else { 0.0 }).collect();
    });
    assert_eq!(refused, "indefinite");
    assert!(["dead-unit", "equal-units"].iter().all(|k| all.iter().any(|a| a == k)), "{all:?}");
}

#[test]
fn invalid_tests_are_warned_of() {
    let [linear, logistic, net, ridge, _] = FIXTURES;
    let polish = ["--polish"];
    expect("separation", logistic, &polish, |json| {
        targets(json, |_, x| f64::from(u8::from(x[0] > 3.5)));
    });
    expect("penalised", ridge, &[], |_| {});
    expect("few-rows", linear, &polish, |json| {
        for key in ["X", "Y"] {
            json[key].as_array_mut().unwrap().truncate(7);
        }
    });
    expect("overdispersed", linear, &polish, |json| {
        json["loss"] = serde_json::json!({"type": "poisson"});
        json["W"] = (0..4).map(|_| 0.0).collect();
        json["X"].as_array_mut().unwrap().iter_mut().for_each(|row| {
            for j in 0..3 {
                row[j] = (number(&row[j]) / 100.0).into();
            }
        });
        targets(json, |i, _| if i % 3 == 0 { 30.0 } else { 1.0 });
    });
    expect("unequal-variance", net, &polish, |json| {
        let mean = matrix(&json["Y"]).concat();
        targets(json, |i, x| {
            mean[i] + x[2].abs().powi(2) * noise(i) * f64::from(u8::from(x[2] > 0.0))
        });
    });
    expect("refused", net, &[], |json| json["W"][0] = 3.0.into());
    // Two inputs that are nearly one.
    expect("weakly-identified", net, &polish, |json| {
        for (i, row) in json["X"].as_array_mut().unwrap().iter_mut().enumerate() {
            row[2] = (number(&row[0]) + 1e-3 * noise(i)).into();
        }
    });
    expect("correlated-outputs", net, &polish, |json| {
        json["spec"]["layers"][1] = serde_json::json!(
            {"units": 2, "sources": [1], "bias": true, "propagation": "linear", "activations": "identity"}
        );
        let y = matrix(&json["Y"]).concat();
        json["Y"] = (y.iter().enumerate())
            .map(|(i, y)| {
                serde_json::json!([y + noise(i), 0.5 * y - noise(i) + 0.1 * noise(i + 77)])
            })
            .collect();
        let mut w = numbers(&json["W"]);
        w.extend([0.3, 0.2, 0.1]);
        json["W"] = w.into_iter().collect();
    });
}
