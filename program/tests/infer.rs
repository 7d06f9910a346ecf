//! `secondo infer`, `prune` and `evidence` against stored statistics that share no code with the crate, and against themselves.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rayon::prelude::*;
use secondo::inference::{Distribution, chi2_upper, f_upper};
use serde_json::Value;

#[path = "infer/causes.rs"]
mod causes;
#[path = "infer/commands.rs"]
mod commands;
#[allow(dead_code)] // The example prints more.
#[path = "../../examples/calibration/designs.rs"]
mod designs;
#[path = "infer/properties.rs"]
mod properties;

const FIXTURES: [&str; 5] = [
    "i01_lm_stackloss",
    "i04_logistic_anes",
    "i09_net_3_2_1",
    "i11_net_ridge_indefinite_data",
    "i15_singular_collinear",
];
const INFORMATION: [&str; 2] = ["exact", "gauss-newton"];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/fixtures/inference/{name}.json"))
}

fn fixture(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap()
}

fn program(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_secondo")).args(args).output().unwrap()
}

/// The report of a command that must end well.
fn report(command: &str, source: &Path, options: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let mut args = vec![command, source.to_str().unwrap(), "--report", file.to_str().unwrap()];
    args.extend(options);
    let out = program(&args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn infer(name: &str, information: &str, options: &[&str]) -> Value {
    let mut all = vec!["--information", information];
    all.extend(options);
    report("infer", &path(name), &all)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn matrix(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().unwrap().iter().map(numbers).collect()
}

/// The difference of two numbers, or nothing: both null, or close.
fn differs(what: &str, found: &Value, expected: &Value, tolerance: f64) -> Option<String> {
    match (found, expected) {
        (Value::Null, Value::Null) => None,
        (Value::Bool(a), Value::Bool(b)) if a == b => None,
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).find_map(|(a, b)| differs(what, a, b, tolerance))
        }
        _ => match (found.as_f64(), expected.as_f64()) {
            (Some(a), Some(b)) if (a - b).abs() <= tolerance * b.abs() => None,
            _ => Some(format!("{what}: {found} for {expected}")),
        },
    }
}

/// Compares the fields of tables row by row.
fn tables(what: &str, found: &Value, expected: &Value, fields: &[(&str, f64)]) -> Option<String> {
    let (found, expected) = (found.as_array().unwrap(), expected.as_array().unwrap());
    if found.len() != expected.len() {
        return Some(format!("{what}: {} rows for {}", found.len(), expected.len()));
    }
    found.iter().zip(expected).enumerate().find_map(|(i, (a, b))| {
        fields.iter().find_map(|(field, tolerance)| {
            differs(&format!("{what}[{i}].{field}"), &a[field], &b[field], *tolerance)
        })
    })
}

/// Compares covariances on the scale of their standard errors.
fn covariances(found: &Value, expected: &Value) -> Option<String> {
    if found.is_null() {
        return Some("there is none".into());
    }
    let (a, b) = (matrix(found), matrix(expected));
    let size = |i: usize| b[i][i].abs().sqrt();
    let mut pairs = (0..b.len()).flat_map(|i| (0..b.len()).map(move |j| (i, j)));
    pairs
        .find(|&(i, j)| (a[i][j] - b[i][j]).abs() > 1e-8 * size(i) * size(j))
        .map(|(i, j)| format!("covariance [{i}][{j}]: {} for {}", a[i][j], b[i][j]))
}

/// The first difference between a report and the reference for this information and kind.
fn difference(found: &Value, reference: &Value, information: &str, kind: &str) -> Option<String> {
    let key = format!("{information}/{kind}");
    let weights = [
        ("estimate", 1e-12),
        ("identified", 0.0),
        ("std_error", 1e-8),
        ("statistic", 1e-7),
        ("p_value", 1e-6),
        ("lower", 1e-7),
        ("upper", 1e-7),
    ];
    let tests = [("df", 0.0), ("chi2", 1e-7), ("p_chi2", 1e-6), ("f", 1e-7), ("p_f", 1e-6)];
    let predictions = [
        ("mean", 1e-10),
        ("std_error", 1e-8),
        ("lower", 1e-7),
        ("upper", 1e-7),
        ("pred_lower", 1e-7),
        ("pred_upper", 1e-7),
    ];
    let effects = [("slope", 1e-9), ("std_error", 1e-8), ("lower", 1e-7), ("upper", 1e-7)];
    let table = |name: &str, fields: &[(&str, f64)]| {
        let expected = reference[name].get(&key)?;
        tables(name, &found[name], expected, fields)
    };
    let summary = &reference["summary"];
    covariances(&found["covariance"], &reference["covariance"][information][kind])
        .or_else(|| table("weights", &weights))
        .or_else(|| table("inputs", &tests))
        .or_else(|| table("predictions", &predictions))
        .or_else(|| table("effects", &effects))
        .or_else(|| {
            let fields =
                ["samples", "observations", "outputs", "parameters", "edf", "df_residual", "value"];
            let more = ["log_likelihood", "df_model", "aic", "bic"];
            fields.iter().chain(&more).find_map(|f| differs(f, &found[f], &summary[f], 1e-9))
        })
        .or_else(|| {
            let expected = summary["dispersion"].get("residual")?;
            differs("dispersion", &found["dispersion"], expected, 1e-9)
        })
        .or_else(|| {
            differs("leverage", &found["leverage"], reference["leverage"].get(information)?, 1e-7)
        })
        .or_else(|| {
            let residuals = reference.get("residuals")?;
            ["raw", "standardized", "cooks_distance"]
                .iter()
                .find_map(|f| differs(f, &found["residuals"][f], &residuals[f], 1e-7))
        })
        .or_else(|| {
            let underscored = information.replace('-', "_");
            let expected = &summary["information"][&underscored];
            ["positive", "zero", "negative"]
                .iter()
                .find_map(|f| differs(f, &found["information"][f], &expected[f], 0.0))
        })
}

#[test]
fn every_covariance_and_table_agrees_with_the_references() {
    for name in FIXTURES {
        let reference = &fixture(name)["reference"];
        for information in INFORMATION {
            for kind in reference["covariance"][information].as_object().unwrap().keys() {
                // No covariance: its refusal is tested below.
                if (name, information, kind.as_str()) == (FIXTURES[3], "exact", "model") {
                    continue;
                }
                let found = infer(name, information, &["--covariance", kind]);
                let difference = difference(&found, reference, information, kind);
                assert_eq!(difference, None, "{name} {information} {kind}");
            }
        }
    }
}

/// Formulas that someone might take for the right ones and that options can ask for: fixture, information, kind, options.
const BY_OPTIONS: [(usize, &str, &str, &[&str]); 12] = [
    (2, "exact", "model", &["--information", "gauss-newton", "--covariance", "model"]),
    (2, "gauss-newton", "model", &["--information", "exact", "--covariance", "model"]),
    (2, "exact", "model", &["--covariance", "model", "--dispersion", "ml"]),
    (2, "exact", "hc0", &["--covariance", "hc1"]),
    (2, "exact", "hc1", &["--covariance", "hc0"]),
    (2, "exact", "hc2", &["--covariance", "hc3"]),
    (2, "exact", "hc3", &["--covariance", "hc2"]),
    (0, "exact", "model", &["--covariance", "model", "--dispersion", "10.5194"]),
    (1, "exact", "model", &["--covariance", "hc0"]),
    (3, "gauss-newton", "model", &["--information", "gauss-newton", "--covariance", "posterior"]),
    (3, "gauss-newton", "posterior", &["--information", "gauss-newton", "--covariance", "model"]),
    (4, "exact", "model", &["--covariance", "model", "--level", "0.9"]),
];

#[test]
fn wrong_formulas_that_options_ask_for_are_caught() {
    for (at, information, kind, options) in BY_OPTIONS {
        let name = FIXTURES[at];
        let found = report("infer", &path(name), options);
        let reference = &fixture(name)["reference"];
        assert!(difference(&found, reference, information, kind).is_some(), "{name} {options:?}");
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// Puts another number into a field of every row of a table.
fn replace(found: &mut Value, table: &str, field: &str, of: impl Fn(&Value) -> f64) {
    for row in found[table].as_array_mut().unwrap() {
        let new = of(row);
        row[field] = match &row[field] {
            Value::Array(list) if list.len() == 1 => serde_json::json!([new]),
            Value::Null => Value::Null,
            _ => new.into(),
        };
    }
}

/// The first number of a field that is a list over outputs.
fn first(row: &Value, field: &str) -> f64 {
    number(&row[field][0])
}

type Plant = fn(&mut Value);

/// Formulas that are wrong in one thing: what it is, the fixture, and how a report would look.
const IN_TABLES: [(&str, usize, Plant); 27] = [
    ("covariance without dispersion", 2, |f| {
        let phi = number(&f["dispersion"]);
        let scaled: Vec<Vec<f64>> = matrix(&f["covariance"])
            .iter()
            .map(|row| row.iter().map(|v| v / phi).collect())
            .collect();
        f["covariance"] = serde_json::json!(scaled);
    }),
    ("dispersion RSS/N", 2, |f| {
        f["dispersion"] = (number(&f["rss"]) / number(&f["observations"])).into();
    }),
    ("variance for standard error", 2, |f| {
        replace(f, "weights", "std_error", |r| number(&r["std_error"]).powi(2));
    }),
    ("statistic not rooted", 2, |f| {
        replace(f, "weights", "statistic", |r| number(&r["statistic"]).powi(2));
    }),
    ("one-sided p", 2, |f| replace(f, "weights", "p_value", |r| 0.5 * number(&r["p_value"]))),
    ("normal law for t", 2, |f| {
        replace(f, "weights", "p_value", |r| {
            Distribution::Normal.two_sided(number(&r["statistic"]))
        });
    }),
    ("z for t in intervals", 0, |f| {
        replace(f, "weights", "lower", |r| {
            number(&r["estimate"]) - 1.959964 * number(&r["std_error"])
        });
    }),
    ("one-sided quantile in intervals", 2, |f| {
        let q = Distribution::T(number(&f["df_residual"])).quantile(0.9);
        replace(f, "weights", "upper", |r| number(&r["estimate"]) + q * number(&r["std_error"]));
    }),
    ("χ² that ignores correlations", 2, |f| {
        let t = |l: usize| number(&f["weights"][l]["statistic"]).powi(2);
        let sums: Vec<f64> = (0..3).map(|j| t(j) + t(4 + j)).collect();
        for (row, sum) in f["inputs"].as_array_mut().unwrap().iter_mut().zip(sums) {
            row["chi2"] = sum.into();
        }
    }),
    ("F that is χ²", 2, |f| replace(f, "inputs", "f", |r| number(&r["chi2"]))),
    ("p as 1 − cdf", 2, |f| {
        replace(f, "inputs", "p_chi2", |r| 1.0 - (1.0 - number(&r["p_chi2"])))
    }),
    ("degrees of freedom exchanged", 2, |f| {
        let rest = number(&f["df_residual"]);
        replace(f, "inputs", "p_f", |r| f_upper(number(&r["f"]), rest, number(&r["df"])));
    }),
    ("N for N − edf", 2, |f| {
        let n = number(&f["observations"]);
        replace(f, "inputs", "p_f", |r| f_upper(number(&r["f"]), number(&r["df"]), n));
    }),
    ("P for edf", 3, |f| f["edf"] = f["parameters"].clone()),
    ("N − P for N − edf", 3, |f| {
        f["df_residual"] = (number(&f["observations"]) - number(&f["parameters"])).into();
    }),
    ("φ not counted", 2, |f| f["df_model"] = f["edf"].clone()),
    ("likelihood without 2π", 2, |f| {
        let constant = 0.5 * number(&f["observations"]) * (2.0 * std::f64::consts::PI).ln();
        f["log_likelihood"] = (number(&f["log_likelihood"]) + constant).into();
    }),
    ("AIC that counts weights alone", 2, |f| f["aic"] = (number(&f["aic"]) - 2.0).into()),
    ("BIC that counts weights alone", 2, |f| {
        f["bic"] = (number(&f["bic"]) - number(&f["samples"]).ln()).into();
    }),
    ("noise in the error of the mean", 2, |f| {
        let phi = number(&f["dispersion"]);
        replace(f, "predictions", "std_error", |r| (first(r, "std_error").powi(2) + phi).sqrt());
    }),
    ("new observations without the error of the mean", 2, |f| {
        let half = Distribution::T(number(&f["df_residual"])).quantile(0.95)
            * number(&f["dispersion"]).sqrt();
        replace(f, "predictions", "pred_upper", |r| first(r, "mean") + half);
    }),
    ("new observations without noise", 2, |f| {
        replace(f, "predictions", "pred_lower", |r| first(r, "lower"));
    }),
    ("leverage with dispersion", 2, |f| {
        let phi = number(&f["dispersion"]);
        f["leverage"] = numbers(&f["leverage"]).iter().map(|h| h * phi).collect();
    }),
    ("residuals without leverage", 2, |f| {
        let sigma = number(&f["dispersion"]).sqrt();
        f["residuals"]["standardized"] =
            numbers(&f["residuals"]["raw"]).iter().map(|e| e / sigma).collect();
    }),
    ("residuals with the leverage of the exact Hessian", 2, |f| {
        let (sigma, h) = (number(&f["dispersion"]).sqrt(), numbers(&f["leverage"]));
        let raw = numbers(&f["residuals"]["raw"]);
        f["residuals"]["standardized"] =
            raw.iter().zip(h).map(|(e, h)| e / (sigma * (1.0 - h).sqrt())).collect();
    }),
    ("Cook's distance per observation", 2, |f| {
        let ratio = number(&f["edf"]) / number(&f["observations"]);
        f["residuals"]["cooks_distance"] =
            numbers(&f["residuals"]["cooks_distance"]).iter().map(|d| d * ratio).collect();
    }),
    ("slope at the sum of the rows", 2, |f| {
        let n = number(&f["samples"]);
        replace(f, "effects", "slope", |r| n * number(&r["slope"]));
    }),
];

/// A zero eigenvalue that counts as positive, as a Cholesky factorization with a little added to the diagonal would have it.
fn without_rank(f: &mut Value) {
    f["information"]["positive"] = number(&f["parameters"]).into();
    f["information"]["zero"] = 0.into();
}

#[test]
fn faults_planted_in_tables_are_caught() {
    let rank: (&str, usize, Plant) = ("singular taken for regular", 4, without_rank);
    for (what, at, plant) in IN_TABLES.into_iter().chain([rank]) {
        let name = FIXTURES[at];
        let reference = &fixture(name)["reference"];
        let kind = if at == 3 { "posterior" } else { "model" };
        let mut found = infer(name, "exact", &["--covariance", kind]);
        assert_eq!(difference(&found, reference, "exact", kind), None, "{what}");
        plant(&mut found);
        assert!(difference(&found, reference, "exact", kind).is_some(), "{what} is not caught");
    }
}

#[test]
fn a_known_dispersion_makes_the_law_normal() {
    let found = infer(FIXTURES[0], "exact", &["--dispersion", "10.5194"]);
    assert_eq!(found["distribution"], "normal");
    assert!(found["inputs"][0]["f"].is_null() && found["inputs"][0]["chi2"].is_number());
}

#[test]
fn a_model_covariance_with_an_indefinite_data_part_is_refused() {
    let found = infer(FIXTURES[3], "exact", &["--covariance", "model"]);
    assert_eq!(found["refused"], "indefinite");
    assert!(found["covariance"].is_null() && found["weights"][0]["std_error"].is_null());
    let default = infer(FIXTURES[3], "exact", &[]);
    assert_eq!(
        (&default["covariance_kind"], &default["refused"]),
        (&"posterior".into(), &Value::Null)
    );
}

#[test]
fn the_null_space_is_that_of_the_collinear_inputs() {
    let reference = &fixture(FIXTURES[4])["reference"];
    for information in INFORMATION {
        let found = infer(FIXTURES[4], information, &[]);
        let null = matrix(&found["information"]["null_space"]);
        let expected = matrix(&reference["null_space_projector"][information]);
        for (i, row) in expected.iter().enumerate() {
            for (j, expected) in row.iter().enumerate() {
                let entry: f64 = null.iter().map(|n| n[i] * n[j]).sum();
                assert!((entry - expected).abs() < 1e-9, "[{i}][{j}]: {entry} for {expected}");
            }
        }
        assert_eq!(found["predictions"][2]["estimable"], serde_json::json!([false]));
        let warnings = found["warnings"].as_array().unwrap();
        let named = warnings.iter().find(|w| w["cause"] == "collinear-inputs").unwrap();
        assert!(named["text"].as_str().unwrap().contains("x3 = x1 - 2 x2"), "{named}");
    }
}

/// The first difference between an evidence and the reference.
fn evidence_differs(laplace: &Value, reference: &Value, information: &str) -> Option<String> {
    let expected = &reference["laplace"][information];
    ["alpha", "beta", "gamma", "log_evidence"]
        .iter()
        .find_map(|field| differs(field, &laplace[field], &expected[field], 1e-8))
        .or_else(|| {
            let symmetry = &reference["log_symmetry"];
            differs("symmetry", &laplace["log_symmetry"], symmetry, 1e-12)
        })
}

#[test]
fn the_evidence_agrees_with_the_reference() {
    let reference = &fixture(FIXTURES[3])["reference"];
    for information in INFORMATION {
        let found = infer(FIXTURES[3], information, &[]);
        assert_eq!(evidence_differs(&found["laplace"], reference, information), None);
        let one = report(
            "evidence",
            &path(FIXTURES[3]),
            &["--information", information, "--cycles", "1"],
        );
        let expected = &reference["laplace"][information]["log_evidence"];
        assert_eq!(differs("cycle", &one["cycles"][0]["log_evidence"], expected, 1e-8), None);
    }
    assert!(infer(FIXTURES[2], "exact", &[])["laplace"].is_null());
}

#[test]
fn faults_planted_in_the_evidence_are_caught() {
    let reference = &fixture(FIXTURES[3])["reference"];
    let found = infer(FIXTURES[3], "gauss-newton", &[]);
    let p = number(&found["parameters"]);
    let l = |field: &str| number(&found["laplace"][field]);
    let log = |change: f64| ("log_evidence", l("log_evidence") + change);
    let faults = [
        ("λ for α", ("alpha", l("alpha") / l("beta"))),
        ("φ for β", ("beta", 1.0 / l("beta"))),
        ("γ as the number of parameters that the prior determines", ("gamma", p - l("gamma"))),
        ("evidence without the prior's normalisation", log(-0.5 * p * l("alpha").ln())),
        ("evidence with the copies added", log(l("log_symmetry"))),
        ("evidence with det A for det βA", log(0.5 * p * l("beta").ln())),
        (
            "evidence without 2π of the noise",
            log(0.5 * number(&found["observations"]) * (2.0 * std::f64::consts::PI).ln()),
        ),
        ("copies without signs", ("log_symmetry", l("log_symmetry") - 5.0 * 2f64.ln())),
    ];
    for (what, (field, value)) in faults {
        let mut laplace = found["laplace"].clone();
        assert_eq!(evidence_differs(&laplace, reference, "gauss-newton"), None);
        laplace[field] = value.into();
        assert!(evidence_differs(&laplace, reference, "gauss-newton").is_some(), "{what}");
    }
}

#[test]
fn at_the_fixed_point_of_the_evidence_its_slopes_are_zero() {
    let done = report("evidence", &path(FIXTURES[3]), &["--tolerance", "1e-9", "--cycles", "500"]);
    assert_eq!(done["converged"], true);
    let number = |v: &Value| v.as_f64().unwrap();
    let (alpha, beta, gamma) =
        (number(&done["alpha"]), number(&done["beta"]), number(&done["gamma"]));
    let square: f64 = numbers(&done["W"]).iter().map(|w| w * w).sum();
    let data = number(&done["value"]) - 0.5 * alpha / beta * square;
    // ∂ ln p/∂ ln α = (γ − α‖w‖²)/2, ∂ ln p/∂ ln β = (N − γ)/2 − βE_D.
    assert!((gamma - alpha * square).abs() < 1e-6 * gamma);
    assert!((60.0 - gamma - 2.0 * beta * data).abs() < 1e-6 * 60.0);
}

/// The first difference between a likelihood ratio and the reference.
fn ratio_differs(ratio: &Value, expected: &Value) -> Option<String> {
    differs("rss", &ratio["value_reduced"], &expected["rss_reduced"], 1e-6).or_else(|| {
        let fields = [("df", 1e-6), ("chi2", 1e-6), ("f", 1e-6), ("p_chi2", 1e-4), ("p_f", 1e-4)];
        fields.iter().find_map(|(f, tolerance)| differs(f, &ratio[f], &expected[f], *tolerance))
    })
}

#[test]
fn likelihood_ratios_agree_with_the_lowest_fits_known_and_faults_are_caught() {
    let reference = &fixture(FIXTURES[2])["reference"]["likelihood_ratio"];
    let found = infer(FIXTURES[2], "exact", &["--refit"]);
    for (input, expected) in reference.as_array().unwrap().iter().enumerate() {
        let ratio = &found["inputs"][input]["likelihood_ratio"];
        if input == 0 {
            // Without the first input the net runs off to infinity on several ways, of which the reference has not the lowest.
            let (low, known) = (number(&ratio["value_reduced"]), number(&expected["rss_reduced"]));
            assert!(low <= known, "{low} above {known}");
            continue;
        }
        assert_eq!(ratio_differs(ratio, expected), None, "input {input}");
        let of = |field: &str| number(&ratio[field]);
        let (n, full) = (number(&found["observations"]), number(&found["rss"]));
        let faults = [
            ("linearised χ²", ("chi2", n * (of("value_reduced") / full - 1.0))),
            ("F without its degrees of freedom", ("f", of("df") * of("f"))),
            ("F with the reduced fit's dispersion", ("f", of("f") * full / of("value_reduced"))),
            ("p of F by χ²", ("p_f", chi2_upper(of("df") * of("f"), of("df")))),
            ("χ² with all weights", ("p_chi2", chi2_upper(of("chi2"), 11.0))),
        ];
        for (what, (field, value)) in faults {
            let mut wrong = ratio.clone();
            wrong[field] = value.into();
            assert!(ratio_differs(&wrong, expected).is_some(), "{what}, input {input}");
        }
    }
    assert!(infer(FIXTURES[3], "exact", &["--refit"])["inputs"][0]["likelihood_ratio"].is_null());
}

#[test]
fn saliencies_and_single_deletions_agree_with_the_reference() {
    let reference = &fixture(FIXTURES[2])["reference"]["pruning"];
    for criterion in ["obs", "obd"] {
        let found =
            report("prune", &path(FIXTURES[2]), &["--criterion", criterion, "--steps", "0"]);
        assert_eq!(differs(criterion, &found["saliencies"], &reference[criterion], 1e-8), None);
        // Without the half, and by the other formula.
        let twice: Value = numbers(&found["saliencies"]).iter().map(|s| 2.0 * s).collect();
        assert!(differs(criterion, &twice, &reference[criterion], 1e-8).is_some());
        let other = if criterion == "obs" { "obd" } else { "obs" };
        assert!(differs(criterion, &found["saliencies"], &reference[other], 1e-8).is_some());
    }
    let found = report("prune", &path(FIXTURES[2]), &["--steps", "1"]);
    let step = &found["path"][0];
    let removed = step["removed"].as_u64().unwrap() as usize;
    assert_eq!(
        differs(
            "update",
            &step["value_after_update"],
            &reference["value_after_obs_update"][removed],
            1e-8
        ),
        None
    );
    let refit = &reference["refit"][removed]["value"];
    assert_eq!(differs("refit", &step["value_after_retraining"], refit, 1e-8), None);
    // OBS and Wald are one ranking: t² = 2 s/φ.
    let wald = report("prune", &path(FIXTURES[2]), &["--criterion", "wald", "--steps", "0"]);
    let phi =
        fixture(FIXTURES[2])["reference"]["summary"]["dispersion"]["residual"].as_f64().unwrap();
    for (t2, s) in numbers(&wald["saliencies"]).iter().zip(numbers(&reference["obs"])) {
        assert!((t2 - 2.0 * s / phi).abs() < 1e-8 * t2);
    }
}

/// The fixture with changes, in a file of its own.
fn changed(name: &str, change: impl FnOnce(&mut Value)) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let mut json = fixture(name);
    change(&mut json);
    let file = folder.path().join("changed.json");
    std::fs::write(&file, json.to_string()).unwrap();
    (folder, file)
}

fn same(a: &Value, b: &Value, fields: &[(&str, &[(&str, f64)])]) {
    for (name, fields) in fields {
        assert_eq!(tables(name, &a[name], &b[name], fields), None);
    }
}

const INVARIANT: [(&str, &[(&str, f64)]); 3] = [
    ("inputs", &[("chi2", 1e-7), ("p_f", 1e-6)]),
    ("effects", &[("slope", 1e-8), ("std_error", 1e-8)]),
    ("predictions", &[("mean", 1e-8), ("std_error", 1e-8)]),
];

/// A fixture keeps these statistics under a change.
fn keeps(at: usize, options: &[&str], tables: &[(&str, &[(&str, f64)])], change: fn(&mut Value)) {
    let (_folder, file) = changed(FIXTURES[at], change);
    for information in INFORMATION {
        let mut all = vec!["--information", information];
        all.extend(options);
        same(&report("infer", &file, &all), &report("infer", &path(FIXTURES[at]), &all), tables);
    }
}

/// W with its entries in another order and with other signs or scales.
fn reordered(json: &mut Value, order: impl IntoIterator<Item = (usize, f64)>) {
    let w = numbers(&json["W"]);
    json["W"] = order.into_iter().map(|(i, s)| s * w[i]).collect();
}

#[test]
fn statistics_do_not_depend_on_the_order_signs_and_units_of_parameters() {
    // Units of [3-2-1] tanh exchanged, the first with its sign.
    keeps(4, &["--covariance", "hc3"], &INVARIANT[1..], |json| {
        let unit = |from: usize, sign: f64| (0..4).map(move |i| (from + i, sign));
        reordered(json, unit(4, -1.0).chain(unit(0, 1.0)).chain([(9, -1.0), (8, 1.0), (10, 1.0)]));
    });
    keeps(3, &[], &INVARIANT, |json| {
        let order = (4..8).chain(0..4).chain(8..20).chain([21, 20, 22, 23, 24, 25]);
        reordered(json, order.map(|i| (i, 1.0)));
    });
    // Logistic units mirrored: h(−u) = 1 − h(u) goes into the output's bias.
    keeps(2, &[], &INVARIANT, |json| {
        let moved = numbers(&json["W"])[8];
        reordered(json, (0..11).map(|i| (i, if i < 4 || i == 8 { -1.0 } else { 1.0 })));
        json["W"][10] = (number(&json["W"][10]) + moved).into();
    });
    // Inputs in thousandths, targets in hundreds.
    keeps(2, &[], &INVARIANT[..1], |json| {
        let scale = |rows: &Value, by: f64| -> Value {
            matrix(rows).iter().map(|r| Value::from_iter(r.iter().map(|v| v * by))).collect()
        };
        json["X"] = scale(&json["X"], 1000.0);
        json["X_new"] = scale(&json["X_new"], 1000.0);
        json["Y"] = scale(&json["Y"], 0.01);
        let by = |i: usize| match i {
            3 | 7 => 1.0,
            0..8 => 1.0 / 1000.0,
            _ => 0.01,
        };
        reordered(json, (0..11).map(|i| (i, by(i))));
    });
    // Rows in another order.
    keeps(2, &["--covariance", "hc3"], &INVARIANT, |json| {
        for key in ["X", "Y"] {
            json[key].as_array_mut().unwrap().reverse();
        }
    });
}

#[test]
fn repeated_rows_are_frequency_weights() {
    let repeat = |json: &mut Value| {
        for key in ["X", "Y"] {
            let rows = json[key].as_array().unwrap().clone();
            json[key] = rows.iter().chain(&rows[..20]).cloned().collect();
        }
    };
    let (_a, twice) = changed(FIXTURES[2], repeat);
    let (_b, weighted) = changed(FIXTURES[2], |json| {
        json["sample_weights"] = (0..150).map(|i| if i < 20 { 2.0 } else { 1.0 }).collect();
    });
    for kind in ["model", "hc0", "hc1"] {
        let options = ["--polish", "--covariance", kind];
        let a = report("infer", &twice, &options);
        let mut more = options.to_vec();
        more.extend(["--weights-are", "frequency"]);
        let b = report("infer", &weighted, &more);
        same(&b, &a, &INVARIANT);
        for field in ["edf", "df_residual", "dispersion", "log_likelihood", "aic", "bic"] {
            assert_eq!(differs(field, &b[field], &a[field], 1e-8), None, "{kind}");
        }
    }
}

#[test]
fn the_leverage_sums_to_the_degrees_of_freedom() {
    for name in FIXTURES {
        let found = infer(name, "gauss-newton", &[]);
        let sum: f64 = numbers(&found["leverage"]).iter().sum();
        assert!((sum - found["edf"].as_f64().unwrap()).abs() < 1e-9, "{name}: {sum}");
        if let Some(gamma) = found["laplace"]["gamma"].as_f64() {
            assert!((sum - gamma).abs() < 1e-9);
        }
    }
}

/// Warnings' kinds, and the refusal.
fn verdict(found: &Value) -> (Vec<String>, Option<String>) {
    let kinds = found["warnings"].as_array().unwrap().iter();
    (
        kinds.map(|w| w["kind"].as_str().unwrap().to_string()).collect(),
        found["refused"].as_str().map(String::from),
    )
}

#[test]
fn hopeless_cases_end_with_a_report_and_the_cause() {
    let case = |name: &str, options: &[&str], change: &dyn Fn(&mut Value)| {
        let (_folder, file) = changed(name, change);
        verdict(&report("infer", &file, options))
    };
    let (_, refused) = case(FIXTURES[2], &[], &|json| json["W"][0] = 3.0.into());
    assert_eq!(refused.as_deref(), Some("not stationary"));
    let (_, refused) = case(FIXTURES[2], &["--polish"], &|json| json["W"][0] = 2.3.into());
    assert_eq!(refused, None);
    let (_, refused) = case(FIXTURES[0], &["--polish"], &|json| {
        for key in ["X", "Y"] {
            json[key] = json[key].as_array().unwrap()[..4].iter().cloned().collect();
        }
    });
    assert_eq!(refused.as_deref(), Some("no degrees of freedom"));
    // All hidden weights 0: a saddle.
    let (kinds, refused) = case(FIXTURES[4], &[], &|json| {
        let y: Vec<f64> = matrix(&json["Y"]).concat();
        let mean = y.iter().sum::<f64>() / y.len() as f64;
        json["W"] = (0..11).map(|i| if i == 10 { mean } else { 0.0 }).collect();
    });
    assert_eq!(refused.as_deref(), Some("indefinite"));
    assert!(
        kinds.iter().any(|k| k == "dead-unit") && kinds.iter().any(|k| k == "equal-units"),
        "{kinds:?}"
    );
    // Classes that a line separates.
    let (kinds, _) = case(FIXTURES[1], &["--polish"], &|json| {
        let rows = matrix(&json["X"]);
        json["Y"] =
            rows.iter().map(|r| serde_json::json!([f64::from(u8::from(r[0] > 3.5))])).collect();
    });
    assert!(kinds.iter().any(|k| k == "separation"), "{kinds:?}");
    // A constant input beside the bias.
    let (kinds, _) = case(FIXTURES[0], &["--polish"], &|json| {
        for row in json["X"].as_array_mut().unwrap() {
            row[2] = 5.0.into();
        }
    });
    assert!(kinds.iter().any(|k| k == "singular"), "{kinds:?}");
    // M-estimators have no likelihood.
    let (_, refused) = case(FIXTURES[0], &["--polish", "--covariance", "model"], &|json| {
        json["loss"] = serde_json::json!({"type": "pseudo_huber", "delta": 2.0});
    });
    assert_eq!(refused.as_deref(), Some("no likelihood"));
}

#[test]
fn bad_input_is_refused_with_exit_code_2() {
    let file = path(FIXTURES[0]);
    let file = file.to_str().unwrap();
    for args in [
        vec!["infer", file, "--covariance", "hc9"],
        vec!["infer", file, "--information", "lagrangian"],
        vec!["infer", file, "--dispersion", "-1"],
        vec!["infer", file, "--level", "1"],
        vec!["infer", file, "--weights-are", "heavy"],
        vec!["infer", "model.safetensors"],
        vec!["infer", "absent.json"],
        vec!["prune", file, "--criterion", "best"],
        vec!["prune", file, "--level", "0"],
        vec!["evidence", file],
        vec!["evidence", file, "--alpha", "0"],
    ] {
        let out = program(&args);
        assert_eq!(
            out.status.code(),
            Some(2),
            "{args:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        assert!(!out.stderr.is_empty());
    }
}

#[test]
fn a_model_is_inferred_on_the_rows_that_trained_it() {
    let folder = tempfile::tempdir().unwrap();
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/diabetes.csv");
    let model = folder.path().join("m.safetensors");
    let (table, model) = (table.to_str().unwrap(), model.to_str().unwrap());
    let fit =
        ["fit", table, "--target", "progression", "--hidden", "2", "--model", model, "--quiet"];
    assert!(program(&fit).status.success());
    let found = report("infer", Path::new(model), &[table]);
    assert_eq!(
        (&found["samples"], &found["refused"]),
        (&354.into(), &Value::Null),
        "{}",
        found["warnings"]
    );
    assert_eq!(found["inputs"][2]["name"], "bmi");
    // On average a unit of the body mass index goes with some units of the progression.
    let slope = &found["effects"][2];
    let number = |v: &Value| v.as_f64().unwrap();
    assert!(number(&slope["slope"]) > 1.0 && number(&slope["lower"]) > 0.0, "{slope}");
}

/// Counts how often each of some columns is true, over tables with the seeds 0, 1, …
fn counted<const N: usize>(
    tables: u64,
    of: impl Fn(u64) -> Option<[bool; N]> + Send + Sync,
) -> [f64; N] {
    let all: Vec<[bool; N]> = (0..tables).into_par_iter().filter_map(of).collect();
    std::array::from_fn(|i| {
        100.0 * all.iter().filter(|found| found[i]).count() as f64 / all.len() as f64
    })
}

/// Whether a percentage is within 2.75 standard errors of what it should be.
fn in_band(percent: f64, nominal: f64, tables: u64) -> bool {
    (percent - nominal).abs() <= 2.75 * (nominal * (100.0 - nominal) / tables as f64).sqrt()
}

#[test]
fn without_a_hidden_layer_tests_have_their_exact_size() {
    const TABLES: u64 = 1500;
    let sizes = counted(TABLES, |seed| Some(designs::linear(seed).unwrap()));
    for (i, (name, size)) in designs::LINEAR.iter().zip(sizes).enumerate() {
        assert_eq!(in_band(size, 5.0, TABLES), i < 2, "{name}: {size}");
    }
}

#[test]
fn tests_and_intervals_of_a_regular_net_hold_their_level() {
    const TABLES: u64 = 400;
    let of = |seed| Some(designs::regular(500, 0.25, seed, false).unwrap()?.found);
    let sizes = counted(TABLES, of);
    for (i, (name, size)) in designs::REGULAR.iter().zip(sizes).enumerate().take(6) {
        let nominal = if i == 5 { 95.0 } else { 5.0 };
        assert!(in_band(size, nominal, TABLES), "{name}: {size}");
    }
}
