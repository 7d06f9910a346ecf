//! The commands around an inference: intervals of predictions, the evidence, pruning, figures, large networks.

use super::*;

/// The diabetes table with a model of two hidden units, fitted with these options besides.
fn diabetes(options: &[&str]) -> (tempfile::TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/diabetes.csv");
    let model = folder.path().join("m.safetensors").to_str().unwrap().to_string();
    let table = table.to_str().unwrap().to_string();
    let mut args = vec!["fit", &table, "--target", "progression", "--model", &model, "--quiet"];
    args.extend(options);
    if !options.contains(&"--hidden") {
        args.extend(["--hidden", "2"]);
    }
    let out = program(&args);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    (folder, table, model)
}

/// The columns of a table that was printed, by name.
fn columns(text: &[u8]) -> std::collections::BTreeMap<String, Vec<f64>> {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let rows: Vec<Vec<&str>> = lines.collect();
    let column = |c: usize| rows.iter().map(|r| r[c].parse().unwrap_or(f64::NAN)).collect();
    names.iter().enumerate().map(|(c, name)| (name.to_string(), column(c))).collect()
}

#[test]
fn predictions_have_the_intervals_that_infer_gives_the_same_rows() {
    let (_folder, table, model) = diabetes(&[]);
    let args = ["predict", &model, &table, "--interval", "0.9", "--trained-on", &table];
    let out = program(&args);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(String::from_utf8_lossy(&out.stderr).contains("trained by"));
    let quiet = program(&[&args[..], &["-q"]].concat());
    assert_eq!((&quiet.stdout, quiet.stderr.as_slice()), (&out.stdout, &b""[..]));
    let found = columns(&out.stdout);
    let inferred = report("infer", Path::new(&model), &[&table, "--level", "0.9", "--at", &table]);
    let rows = inferred["predictions"].as_array().unwrap();
    assert_eq!(rows.len(), 442);
    let pairs = [
        ("prediction", "mean"),
        ("prediction_std_error", "std_error"),
        ("prediction_lower", "lower"),
        ("prediction_upper", "upper"),
        ("prediction_new_lower", "pred_lower"),
        ("prediction_new_upper", "pred_upper"),
    ];
    for (column, field) in pairs {
        for (found, row) in found[column].iter().zip(rows) {
            let expected = first(row, field);
            assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{column}: {found}");
        }
    }
    // Some nine in ten of the targets of rows that did not train it are within the interval for a new observation.
    let target = columns(&std::fs::read(&table).unwrap())["progression"].clone();
    let inside = |i: &usize| {
        (found["prediction_new_lower"][*i]..found["prediction_new_upper"][*i]).contains(&target[*i])
    };
    let share = (0..442).filter(inside).count() as f64 / 442.0;
    assert!((0.85..0.95).contains(&share), "{share}");
}

#[test]
fn probabilities_are_moderated_towards_a_half() {
    let folder = tempfile::tempdir().unwrap();
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/iris.csv");
    let (table, model) = (table.to_str().unwrap(), folder.path().join("i.safetensors"));
    let model = model.to_str().unwrap();
    let fit = ["fit", table, "--target", "species", "--hidden", "2", "--model", model, "--quiet"];
    assert!(program(&fit).status.success());
    let out = program(&["predict", model, table, "--interval", "0.95", "--trained-on", table]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let found = columns(&out.stdout);
    let of = |part: &str| -> Vec<&Vec<f64>> {
        let ends = |name: &str| name.starts_with("probability_") && name.ends_with(part);
        found.iter().filter(|(name, _)| ends(name)).map(|(_, v)| v).collect()
    };
    let (moderated, lower, upper) = (of("_moderated"), of("_lower"), of("_upper"));
    assert_eq!((moderated.len(), lower.len(), upper.len()), (3, 3, 3));
    let plain: Vec<&Vec<f64>> = (found.iter())
        .filter(|(name, _)| name.starts_with("probability_") && name.matches('_').count() == 1)
        .map(|(_, v)| v)
        .collect();
    let top = |of: &[&Vec<f64>], i: usize| of.iter().map(|v| v[i]).fold(0.0, f64::max);
    let mean = |of: &[&Vec<f64>]| (0..150).map(|i| top(of, i)).sum::<f64>() / 150.0;
    // Each output has its own factor, so that a single row may go the other way.
    assert!(mean(&moderated) < mean(&plain) - 1e-3);
    for i in 0..150 {
        let sum: f64 = moderated.iter().map(|m| m[i]).sum();
        assert!((sum - 1.0).abs() < 1e-12);
        assert!((0..3).all(|c| lower[c][i] <= plain[c][i] && plain[c][i] <= upper[c][i]));
    }
}

#[test]
fn a_fit_by_the_evidence_ends_at_its_fixed_point_and_infers_without_polish() {
    for (by, groups) in [("evidence", 1), ("evidence:layer", 2), ("evidence:input", 12)] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fit.json");
        let (_keep, table, model) = diabetes(&["--ridge", by, "--report", file.to_str().unwrap()]);
        let fit: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let evidence = &fit["evidence"];
        assert!(evidence["converged"] == true || evidence["fell"] == true, "{evidence}");
        let w = numbers(&fit["W"]);
        let all = evidence["groups"].as_array().unwrap();
        assert_eq!(all.len(), groups, "{by}");
        // α_g Σ_g w² = γ_g, but for groups that are switched off.
        let at_the_end = evidence["converged"] == true;
        assert!(at_the_end || groups > 1);
        for group in all.iter().filter(|g| at_the_end && g["off"] == false) {
            let members = group["parameters"].as_array().unwrap().iter();
            let square: f64 = members.map(|l| w[l.as_u64().unwrap() as usize].powi(2)).sum();
            let (alpha, gamma) = (number(&group["alpha"]), number(&group["gamma"]));
            assert!((alpha * square / gamma - 1.0).abs() < 1e-3, "{by}: {group}");
        }
        let gamma: f64 = all.iter().map(|g| number(&g["gamma"])).sum();
        assert!((gamma - number(&evidence["gamma"])).abs() < 1e-3, "{by}: {gamma}");
        let found = report("infer", Path::new(&model), &[&table, "--information", "gauss-newton"]);
        assert_eq!(found["refused"], Value::Null, "{}", found["warnings"]);
        assert!((number(&found["edf"]) - gamma).abs() < 1e-2);
        if by == "evidence:input" {
            let name = |g: &&Value| g["name"] == "bmi" && g["off"] == false;
            assert!(all.iter().any(|g| name(&g)), "{all:?}");
        }
    }
    let (folder, table, model) = diabetes(&[]);
    for more in [&["--cv", "3"][..], &["--mean"], &["--ridge-bias", "false"]] {
        let mut args = vec!["fit", &table, "--target", "progression", "--hidden", "2"];
        args.extend(["--ridge", "evidence", "--model", &model]);
        args.extend(more);
        let out = program(&args);
        assert_eq!(out.status.code(), Some(2), "{more:?}");
        assert!(String::from_utf8_lossy(&out.stderr).contains("--ridge evidence"), "{more:?}");
    }
    drop(folder);
}

#[test]
fn widths_are_compared_by_evidence_and_copies() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("widths.svg");
    // Tables of one unit: y = 2 tanh 1.5x and noise.
    let (_keep, file) = changed(FIXTURES[3], |json| {
        let x: Vec<f64> = (0..60).map(|i| -2.0 + 4.0 * i as f64 / 59.0).collect();
        let noise = |i: usize| 0.1 * (((i * 7919) % 101) as f64 / 50.0 - 1.0);
        json["X"] = x.iter().map(|x| serde_json::json!([x, 0.3 * x * x, -x])).collect();
        json["Y"] = (x.iter().enumerate())
            .map(|(i, x)| serde_json::json!([2.0 * (1.5 * x).tanh() + noise(i)]))
            .collect();
    });
    let plots = ["--plot", plot.to_str().unwrap()];
    let found =
        report("evidence", &file, &[&["--widths", "3,1,2", "--starts", "2"][..], &plots].concat());
    let widths = found["widths"].as_array().unwrap();
    let units: Vec<u64> = widths.iter().map(|w| w["units"].as_u64().unwrap()).collect();
    assert_eq!(units, [1, 2, 3]);
    // One unit made the data: of a single minimum a second costs more than it brings.
    let log = |w: &Value| w["log_evidence"].as_f64().unwrap_or(f64::NEG_INFINITY);
    assert!(log(&widths[0]) > log(&widths[1]), "{widths:?}");
    // ln(s! 2^s) for tanh units.
    for (row, copies) in widths.iter().zip([2.0f64, 8.0]) {
        assert!((number(&row["log_symmetry"]) - copies.ln()).abs() < 1e-12);
    }
    let sum = |w: &&Value| log(w) + w["log_symmetry"].as_f64().unwrap_or(0.0);
    let best = widths.iter().max_by(|a, b| sum(a).total_cmp(&sum(b))).unwrap();
    assert_eq!(found["chosen"], best["units"]);
    let text = std::fs::read_to_string(plot).unwrap();
    assert!(roxmltree::Document::parse(&text).is_ok());
}

#[test]
fn blocks_and_products_prune_as_the_whole_matrix_where_they_hold_it() {
    let steps = |scheme: &str, more: &[&str]| {
        let all = [&["--steps", "3", "--scheme", scheme][..], more].concat();
        report("prune", &path(FIXTURES[2]), &all)
    };
    let full = steps("full", &[]);
    let products = steps("products", &[]);
    assert_eq!(products["scheme"], "products");
    let path_of = |found: &Value| found["path"].as_array().unwrap().clone();
    for (a, b) in path_of(&full).iter().zip(path_of(&products)) {
        assert_eq!(a["removed"], b["removed"]);
        for field in ["saliency", "value_after_update", "value_after_retraining"] {
            assert_eq!(differs(field, &b[field], &a[field], 1e-5), None);
        }
    }
    // A block leaves out what couples it: it promises too much of an increase, never too little.
    for scheme in ["row-blocks", "layer-blocks"] {
        let found = steps(scheme, &[]);
        let pairs = numbers(&found["saliencies"]).into_iter().zip(numbers(&full["saliencies"]));
        assert!(pairs.into_iter().all(|(block, whole)| block >= whole * (1.0 - 1e-9)), "{scheme}");
    }
    // Wald's tests need the whole matrix.
    let file = path(FIXTURES[2]);
    let args = ["prune", file.to_str().unwrap(), "--criterion", "wald", "--scheme", "row-blocks"];
    assert_eq!(program(&args).status.code(), Some(2));
}

#[test]
fn units_inputs_and_shares_are_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("small.safetensors");
    // The third input does nothing.
    let inputs = report("prune", &path(FIXTURES[2]), &["--what", "inputs", "--steps", "1"]);
    assert_eq!(
        (&inputs["path"][0]["removed"], &inputs["path"][0]["also"][0]),
        (&2.into(), &6.into())
    );
    // ½ χ² φ is the saliency of a set by the same matrix.
    let tests = infer(FIXTURES[2], "exact", &[]);
    let half = 0.5 * number(&tests["inputs"][2]["chi2"]) * number(&tests["dispersion"]);
    assert!((number(&inputs["path"][0]["saliency"]) / half - 1.0).abs() < 1e-8);
    let options = ["--what", "units", "--steps", "1", "--model", model.to_str().unwrap()];
    let units = report("prune", &path(FIXTURES[3]), &options);
    let step = &units["path"][0];
    // A tanh unit of [3-5-1] goes with its four weights and the one out of it.
    assert_eq!(step["also"].as_array().unwrap().len(), 4);
    assert_eq!(step["parameters_left"], 21);
    let loaded = secondo::io::Model::load(&model).unwrap();
    assert_eq!(loaded.network.to_string(), "[3-4-1]");
    let share = report("prune", &path(FIXTURES[3]), &["--share", "0.2", "--steps", "6"]);
    let path_of = share["path"].as_array().unwrap();
    assert_eq!(path_of.len(), 6);
    // 26 / 5 = 5 before the first fit, which only the last of them has.
    let fits: Vec<bool> = path_of.iter().map(|r| r["value_after_retraining"].is_number()).collect();
    assert_eq!(fits, [false, false, false, false, true, true]);
    // In a quadratic model the saliencies of a sequence add up to what the objective rises by, until it is fitted again.
    assert!(number(&path_of[1]["value_before"]) == number(&path_of[0]["value_after_update"]));
}

#[test]
fn a_pruned_model_tells_its_error_on_the_rows_that_were_held_out() {
    let (folder, table, model) = diabetes(&[]);
    let plot = folder.path().join("path.png");
    let options =
        [&table, "--share", "0.3", "--choose", "held-out", "--plot", plot.to_str().unwrap()];
    let found = report("prune", Path::new(&model), &options);
    let errors: Vec<f64> = std::iter::once(&found["held_out"])
        .chain(found["path"].as_array().unwrap().iter().map(|r| &r["held_out"]))
        .map(number)
        .collect();
    let chosen = found["chosen"].as_u64().unwrap() as usize;
    assert!(errors.iter().all(|e| *e >= errors[chosen]), "{chosen} of {errors:?}");
    assert!(std::fs::read(plot).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn a_pruned_model_is_inferred_without_the_weights_that_are_gone() {
    let (folder, table, model) = diabetes(&[]);
    let small = folder.path().join("small.safetensors");
    let small = small.to_str().unwrap();
    let pruned = report("prune", Path::new(&model), &[&table, "--share", "0.3", "--model", small]);
    let chosen = pruned["chosen"].as_u64().unwrap() as usize;
    let left = pruned["path"][chosen - 1]["parameters_left"].clone();
    let found = report("infer", Path::new(small), &[&table, "--polish"]);
    assert_eq!((&found["refused"], &found["parameters"]), (&Value::Null, &left));
    let gone = |w: &&Value| w["estimate"] == 0.0;
    let weights = found["weights"].as_array().unwrap();
    assert!(weights.iter().filter(gone).all(|w| w["std_error"] == 0.0));
    let options = ["--interval", "0.95", "--trained-on", &table];
    let out = program(&[&["predict", small, &table][..], &options].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// ℓ = −n/2 (ln(2π RSS/n) + 1) with the residuals in the target's units, as R's logLik has it, whatever the fit standardises.
#[test]
fn likelihood_and_criteria_are_those_of_the_target_in_its_units() {
    let least_squares = ["--hidden", "none", "--ridge", "0", "--test-fraction", "0"];
    let (folder, table, model) = diabetes(&least_squares);
    let found = report("infer", Path::new(&model), &[&table]);
    let predicted = program(&["predict", &model, &table]);
    let predicted = &columns(&predicted.stdout)["prediction"];
    let targets = &columns(&std::fs::read(&table).unwrap())["progression"];
    let (n, p) = (targets.len() as f64, 11.0);
    let rss: f64 = targets.iter().zip(predicted).map(|(y, x)| (y - x).powi(2)).sum();
    let log = -0.5 * n * ((2.0 * std::f64::consts::PI * rss / n).ln() + 1.0);
    let near = |name: &str, expected: f64| {
        assert_eq!(differs(name, &found[name], &expected.into(), 1e-10), None);
    };
    near("log_likelihood", log);
    near("aic", -2.0 * log + 2.0 * (p + 1.0));
    near("bic", -2.0 * log + n.ln() * (p + 1.0));
    // Weights are precisions: ℓ = −n/2 (ln(2πφ) + 1) + ½ Σ ln ω with φ = Σ ω r²/n, over the rows of a positive weight.
    let weight = |i: usize| (i % 3) as f64;
    let text = std::fs::read_to_string(&table).unwrap();
    let mut lines = text.lines().enumerate();
    let header = format!("{},w\n", lines.next().unwrap().1);
    let lines = lines.map(|(i, line)| format!("{line},{}\n", weight(i)));
    let weighted = folder.path().join("weighted.csv");
    std::fs::write(&weighted, header + &lines.collect::<String>()).unwrap();
    let weighted = weighted.to_str().unwrap();
    let of = ["fit", weighted, "--target", "progression", "--weights", "w", "--quiet"];
    let other = folder.path().join("w.safetensors");
    let other = other.to_str().unwrap();
    let out = program(&[&of[..], &least_squares, &["--model", other]].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let found = report("infer", Path::new(other), &[weighted, "--weights", "w"]);
    let predicted = program(&["predict", other, weighted]);
    let predicted = &columns(&predicted.stdout)["prediction"];
    let used = (1..=targets.len()).filter(|i| weight(*i) > 0.0);
    let n = used.clone().count() as f64;
    let (rss, logs) = used.fold((0.0, 0.0), |(rss, logs), i| {
        let r: f64 = targets[i - 1] - predicted[i - 1];
        (rss + weight(i) * r * r, logs + weight(i).ln())
    });
    let log = -0.5 * n * ((2.0 * std::f64::consts::PI * rss / n).ln() + 1.0) + 0.5 * logs;
    assert_eq!(differs("log_likelihood", &found["log_likelihood"], &log.into(), 1e-10), None);
    // Those of a path are in the same units.
    let small = folder.path().join("small.safetensors");
    let small = small.to_str().unwrap();
    let pruned = report("prune", Path::new(&model), &[&table, "--steps", "1", "--model", small]);
    let left = report("infer", Path::new(small), &[&table]);
    for name in ["aic", "bic"] {
        assert_eq!(differs(name, &pruned["path"][0][name], &left[name], 1e-9), None);
    }
}

#[test]
fn partial_effects_agree_with_the_reference_and_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("effects.svg");
    let options = ["--effect-step", "sd", "--print-weights", "--plot", plot.to_str().unwrap()];
    let found = infer(FIXTURES[2], "exact", &options);
    let reference = &fixture(FIXTURES[2])["reference"]["partial_covariate_effect"]["values"];
    for (row, expected) in
        found["effects"].as_array().unwrap().iter().zip(reference.as_array().unwrap())
    {
        let partial = &row["partial"];
        assert_eq!(differs("effect", &partial["estimate"], &expected["effect"], 1e-9), None);
        assert_eq!(differs("se", &partial["std_error"], &expected["std_error"], 1e-8), None);
        // With the dispersion of the likelihood it is another.
        assert!(differs("se", &partial["std_error"], &expected["std_error_ml"], 1e-8).is_some());
    }
    let text = std::fs::read_to_string(plot).unwrap();
    assert!(roxmltree::Document::parse(&text).is_ok());
    assert!(text.contains("average prediction against x3") && text.contains("weights with their"));
}

#[test]
fn approximations_are_named_and_equal_the_whole_where_they_hold_it() {
    let whole = infer(FIXTURES[3], "gauss-newton", &[]);
    let of = |name: &str| report("infer", &path(FIXTURES[3]), &["--approximate", name]);
    // All 26 eigenvalues are the matrix.
    let low_rank = of("low-rank:26");
    assert_eq!(low_rank["approximation"], "low-rank:26");
    for field in ["edf", "dispersion"] {
        assert_eq!(differs(field, &low_rank[field], &whole[field], 1e-7), None);
    }
    let evidence = |found: &Value| found["laplace"]["log_evidence"].clone();
    assert_eq!(differs("evidence", &evidence(&low_rank), &evidence(&whole), 1e-7), None);
    for (a, b) in low_rank["predictions"]
        .as_array()
        .unwrap()
        .iter()
        .zip(whole["predictions"].as_array().unwrap())
    {
        for field in ["mean", "std_error", "lower", "pred_upper"] {
            assert_eq!(differs(field, &a[field], &b[field], 1e-6), None);
        }
    }
    // Fewer eigenvalues leave directions to the prior: larger errors, fewer effective parameters.
    let few = of("low-rank:5");
    assert!(number(&few["edf"]) < number(&whole["edf"]));
    for name in ["row-blocks", "layer-blocks", "diagonal"] {
        let found = of(name);
        assert_eq!(found["approximation"], name);
        assert!(number(&found["edf"]) > number(&whole["edf"]), "{name}");
        assert!(evidence(&found) != evidence(&whole));
    }
    let file = path(FIXTURES[3]);
    for name in ["low-rank:0", "blocks"] {
        let args = ["infer", file.to_str().unwrap(), "--approximate", name];
        assert_eq!(program(&args).status.code(), Some(2), "{name}");
    }
}
