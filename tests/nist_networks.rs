//! Twelve of NIST's regressions written as networks with fixed and tied weights, by the default method from both of NIST's
//! starts; three of them with radial units, too. θ are functions of NIST's parameters b, and so are their digits; see
//! `nist.rs`.

#![cfg(feature = "io")]

use std::path::Path;

use secondo::io::ProblemFile;
use secondo::{
    Auto, Curvature, Fit, LevenbergMarquardt, Method, Problem, Structure, TrustRegion, silent,
};
use serde_json::{Value, json};

struct Case {
    name: String,
    /// How it is written: as in linear units, or the kind of its radial units.
    form: String,
    problem: Problem,
    starts: Vec<Vec<f64>>,
    solution: Vec<f64>,
    /// Derivatives of ½RSS at the starts, where they are stored.
    points: Vec<Value>,
}

fn numbers(v: &Value) -> Vec<f64> {
    (v.as_array().unwrap().iter()).map(|v| v.as_f64().unwrap()).collect()
}

fn square(x: &Value) -> Value {
    let x = x.as_f64().unwrap_or_else(|| numbers(x)[0]);
    json!([x, x * x])
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/nist");
    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let mut out = Vec::new();
    for network in read("networks").as_array().unwrap() {
        let name = network["name"].as_str().unwrap().to_string();
        let data = read(&name);
        let rows = |v: &Value| -> Value {
            let rows = v.as_array().unwrap().iter();
            rows.map(|v| if v.is_array() { v.clone() } else { json!([v]) }).collect()
        };
        let x = match name.as_str() {
            // A quotient of quadratics: x and x², unless the units square x themselves.
            "MGH09" if network["spec"]["inputs"] == 2 => {
                data["x"].as_array().unwrap().iter().map(square).collect()
            }
            _ => rows(&data["x"]),
        };
        let file = json!({
            "spec": network["spec"],
            "activation_definitions": network["activation_definitions"],
            "loss": {"type": "sos"},
            "penalty": null,
            "X": x,
            "Y": rows(&data["y"]),
            "constraint": network["constraint"],
            "theta": network["starts"][0],
        });
        out.push(Case {
            name,
            form: network["form"].as_str().unwrap_or("linear").into(),
            points: network["points"].as_array().cloned().unwrap_or_default(),
            problem: ProblemFile::from_str(&file.to_string()).unwrap().problem,
            starts: network["starts"].as_array().unwrap().iter().map(numbers).collect(),
            solution: numbers(&network["solution"]),
        });
    }
    out
}

/// The fewest digits of any θ, of the equivalent solution that has most.
fn digits(case: &Case, found: &[f64]) -> f64 {
    let fewest = |order: &[usize], signs: &[f64]| {
        (order.iter().zip(signs).zip(&case.solution))
            .map(|((&a, sign), c)| {
                let error = ((sign * found[a] - c) / c).abs();
                if error.is_nan() { 0.0 } else { (-error.log10()).clamp(0.0, 11.0) }
            })
            .fold(11.0, f64::min)
    };
    let plain = vec![1.0; found.len()];
    let mut best = 0.0_f64;
    match case.name.as_str() {
        "Lanczos3" => {
            for [a, b, c] in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                best = best.max(fewest(&[a, b, c, a + 3, b + 3, c + 3], &plain));
            }
        }
        "Gauss1" => {
            for order in [[0, 1, 2, 3, 4, 5, 6, 7], [0, 3, 4, 1, 2, 5, 7, 6]] {
                for (s, t) in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
                    let signs = match case.form.as_str() {
                        "rbf_iso_sigma" => [1.0, 1.0, s, 1.0, t, 1.0, 1.0, 1.0],
                        "rbf_iso_tau" => [1.0; 8],
                        _ => [1.0, s, s, t, t, 1.0, 1.0, 1.0],
                    };
                    best = best.max(fewest(&order, &signs));
                }
            }
        }
        _ => {
            let order: Vec<usize> = (0..found.len()).collect();
            best = fewest(&order, &plain);
            if case.name == "Eckerle4" && case.form == "rbf_iso_sigma" {
                best = best.max(fewest(&order, &[1.0, -1.0, 1.0]));
            }
        }
    }
    best
}

fn table(
    title: &str,
    fit: impl Fn(&Problem, &[f64]) -> secondo::Result<Fit>,
) -> (f64, Vec<String>) {
    let (mut sum, mut runs, mut failures) = (0.0, 0, Vec::new());
    for case in cases() {
        for (k, start) in case.starts.iter().enumerate() {
            let (b, line) = match fit(&case.problem, start) {
                Ok(fit) => {
                    let b = digits(&case, &fit.w);
                    let steps = format!("{:3} + {:3}", fit.iterations, fit.rejected);
                    (b, format!("{steps}  {}  {:?}", fit.reason.name(), fit.choice))
                }
                Err(error) => (0.0, error.to_string()),
            };
            let (name, form) = (&case.name, &case.form);
            let line = format!("{title} {name:9} {form:17} {} {b:6.2}  {line}", k + 1);
            println!("{line}");
            if b < if case.name == "Lanczos3" { 5.0 } else { 6.0 } {
                failures.push(line);
            }
            sum += b;
            runs += 1;
        }
    }
    println!("{title}: mean of {runs} {:.2}", sum / f64::from(runs));
    (sum / f64::from(runs), failures)
}

#[test]
fn the_default_method_finds_certified_values_from_both_starts() {
    let method = Auto::default();
    let (mean, failures) = table("auto", |p, start| method.fit(p, start, &mut silent));
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(mean >= 9.4, "{mean}");
    let method = LevenbergMarquardt::default();
    let (mean, failures) = table("lm", |p, start| method.fit(p, start, &mut silent));
    assert!(failures.is_empty() && mean >= 9.4, "{failures:#?}");
}

/// Value, gradient, Hessian and Gauss–Newton matrix in θ at both starts.
#[test]
fn radial_forms_have_the_stored_derivatives() {
    let mut seen = 0;
    for case in cases() {
        for point in &case.points {
            let theta = numbers(&point["theta"]);
            let compare = |what: &str, got: &[f64], want: &Value| {
                let want: Vec<f64> = match want.as_array() {
                    None => vec![want.as_f64().unwrap()],
                    Some(rows) if rows[0].is_array() => rows.iter().flat_map(numbers).collect(),
                    Some(_) => numbers(want),
                };
                let largest = want.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
                for (g, w) in got.iter().zip(&want) {
                    let (name, form) = (&case.name, &case.form);
                    assert!((g - w).abs() <= 1e-13 * largest, "{name} {form} {what}: {g} {w}");
                }
                assert_eq!(got.len(), want.len());
            };
            for (curvature, key) in
                [(Curvature::Exact, "hessian"), (Curvature::GaussNewton, "gauss_newton")]
            {
                let at = case.problem.curvature(&theta, curvature, Structure::Full);
                let at = at.unwrap();
                compare("value", &[at.value], &point["half_rss"]);
                compare("gradient", &at.gradient, &point["grad"]);
                let dense = at.curvature.unwrap().dense().unwrap();
                compare(key, dense.as_slice().unwrap(), &point[key]);
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 8);
}

/// The harness tells a fit from none: a few steps do not do.
#[test]
fn a_fit_that_stops_early_has_no_digits() {
    let method = TrustRegion { max_iter: 1, ..TrustRegion::default() };
    let (_, failures) = table("one step", |p, start| method.fit(p, start, &mut silent));
    assert!(failures.len() >= 20, "{failures:#?}");
}
