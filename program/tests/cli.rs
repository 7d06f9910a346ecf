//! The program from outside: its commands, what they print and write, and its exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn secondo(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_secondo"))
        .current_dir(folder)
        .args(args)
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

fn succeed(folder: &Path, args: &[&str]) -> (String, String) {
    let out = secondo(folder, args);
    let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(0), "{args:?}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("the file exists"))
        .expect("the file is JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().expect("a number")],
    }
}

#[track_caller]
fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-13 * scale, "{a} and {b}, scale {scale}");
    }
}

/// The value in a report's line, such as `RMSE  49.9  59.7`.
fn value(text: &str, name: &str) -> f64 {
    let line =
        text.lines().find(|l| l.contains(name)).unwrap_or_else(|| panic!("{name} in\n{text}"));
    let after = &line[line.find(name).expect("found") + name.len()..];
    after.split_whitespace().next().expect("a value").parse().expect("a number")
}

#[test]
fn the_main_job_writes_a_model_that_predicts_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let data = here("examples/data/diabetes.csv");
    let data = data.to_str().unwrap();
    let (stdout, stderr) = succeed(
        dir.path(),
        &[
            "fit",
            data,
            "--target",
            "progression",
            "--ridge",
            "1",
            "--max-iter",
            "15",
            "--test-fraction",
            "0",
            "--report",
            "fit.json",
        ],
    );
    assert_eq!(stderr, "", "no progress in a pipe");
    assert!(stdout.contains("442 rows, 10 features") && stdout.contains("regression"), "{stdout}");
    assert!(stdout.contains("not converged"), "{stdout}");
    assert!(!stdout.contains(['\r', '\u{1b}']), "no progress characters in a pipe");
    let report = json(&dir.path().join("fit.json"));
    for key in [
        "W",
        "value",
        "gradient_norm",
        "iterations",
        "evaluations",
        "reason",
        "converged",
        "adapter",
        "precision",
        "seconds",
        "metrics",
        "options",
        "version",
    ] {
        assert!(report.get(key).is_some(), "{key}");
    }
    assert_eq!(report["W"].as_array().unwrap().len(), 97);
    let steps = |key: &str| report[key].as_u64().unwrap();
    // Ten of L-BFGS count as one.
    assert_eq!(steps("iterations") + steps("rejected"), 150);

    let model = "diabetes.safetensors";
    assert!(dir.path().join(model).is_file());
    let (said, _) = succeed(dir.path(), &["predict", model, data, "--output", "out.csv"]);
    assert_eq!(value(&said, "RMSE"), value(&stdout, "RMSE"));
    assert_eq!(value(&said, "R²"), value(&stdout, "R²"));
    let predictions = std::fs::read_to_string(dir.path().join("out.csv")).unwrap();
    assert_eq!(predictions.lines().count(), 443);
    assert_eq!(predictions.lines().next(), Some("prediction"));

    // The model with its data gives the objective of the fit.
    let (out, _) = succeed(dir.path(), &["derivatives", model, data, "--structure", "diagonal"]);
    let out: Value = serde_json::from_str(&out).unwrap();
    close(&[out["value"].as_f64().unwrap()], &[report["value"].as_f64().unwrap()]);
    assert_eq!(out["diagonal"].as_array().unwrap().len(), 97);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_several_starts_keep_the_best() {
    let dir = tempfile::tempdir().unwrap();
    let data = here("examples/data/iris.csv");
    let data = data.to_str().unwrap();
    let fit = |model: &str, report: &str, starts: &str| {
        succeed(
            dir.path(),
            &[
                "fit",
                data,
                "--target",
                "species",
                "--hidden",
                "8",
                "--max-iter",
                "8",
                "--starts",
                starts,
                "--seed",
                "4",
                "--model",
                model,
                "--report",
                report,
            ],
        )
    };
    fit("a.safetensors", "a.json", "3");
    let (stdout, _) = fit("b.safetensors", "b.json", "3");
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert_eq!(read("a.safetensors"), read("b.safetensors"));
    assert!(stdout.contains("3 classes (setosa, versicolor, virginica)"), "{stdout}");
    assert!(stdout.contains("(seed 6)") && stdout.contains("accuracy"), "{stdout}");
    let report = json(&dir.path().join("b.json"));
    let starts: Vec<f64> =
        report["starts"].as_array().unwrap().iter().map(|s| s["value"].as_f64().unwrap()).collect();
    let best = starts.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(report["value"].as_f64(), Some(best));
    assert_eq!(report["metrics"]["test"]["rows"], 30);

    let (said, notes) = succeed(dir.path(), &["predict", "b.safetensors", data]);
    assert!(said.starts_with(
        "prediction,probability_setosa,probability_versicolor,probability_virginica\n"
    ));
    for row in said.lines().skip(1) {
        let sum: f64 = row.split(',').skip(1).map(|p| p.parse::<f64>().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-14, "{row}");
    }
    assert!(notes.contains("accuracy"), "{notes}");
}

#[test]
fn derivatives_of_a_problem_file_are_those_of_the_fixture() {
    let dir = tempfile::tempdir().unwrap();
    let path = here("tests/data/derivs/d02_tanh_sos.json");
    let file = path.to_str().unwrap();
    let fixture = json(&path);
    for (curvature, key) in [("exact", "hessian_data"), ("gauss-newton", "gauss_newton_data")] {
        succeed(
            dir.path(),
            &[
                "derivatives",
                file,
                "--curvature",
                curvature,
                "--multipliers",
                "--device",
                "cpu",
                "-o",
                "out.json",
            ],
        );
        let out = json(&dir.path().join("out.json"));
        close(&numbers(&out["value"]), &numbers(&fixture["value"]));
        close(&numbers(&out["gradient"]), &numbers(&fixture["grad"]));
        close(&numbers(&out["multipliers"]), &numbers(&fixture["multipliers"]));
        assert_eq!(out["precision"], "f64");
        let blocks = out["row_blocks"].as_array().unwrap();
        let ranges = fixture["row_ranges"].as_array().unwrap();
        assert_eq!(blocks.len(), 6);
        for block in blocks {
            let (layer, row) = (block["layer"].as_u64().unwrap(), block["row"].as_u64().unwrap());
            let range = numbers(&ranges[layer as usize - 1][row as usize]);
            let range = range[0] as usize..range[1] as usize;
            let expected: Vec<f64> = (range.clone())
                .flat_map(|i| range.clone().map(move |j| (i, j)))
                .map(|(i, j)| fixture[key][i][j].as_f64().unwrap())
                .collect();
            close(&numbers(&block["block"]), &expected);
        }
    }
    let (out, _) = succeed(dir.path(), &["derivatives", file, "--structure", "none"]);
    let out: Value = serde_json::from_str(&out).unwrap();
    assert!(out.get("row_blocks").is_none() && out["gradient"].as_array().unwrap().len() == 26);
}

#[test]
fn derivatives_of_third_order_are_those_of_the_fixture() {
    let dir = tempfile::tempdir().unwrap();
    let path = here("tests/data/derivs/d02_tanh_sos.json");
    let (file, fixture) = (path.to_str().unwrap(), json(&path));
    let stored = &fixture["higher_order"];
    let (layer, row) = (stored["layer"].to_string(), stored["row"].to_string());
    let unit = ["--structure", "none", "--layer", &layer, "--row", &row];
    let ask = [&["derivatives", file], &unit[..], &["--order", "3"]].concat();
    let (out, _) = succeed(dir.path(), &ask);
    let out: Value = serde_json::from_str(&out).unwrap();
    let tensor = &out["tensor"];
    assert_eq!((&tensor["order"], &tensor["dimension"]), (&3.into(), &4.into()));
    let expected: Vec<f64> = (0..4)
        .flat_map(|a| (0..=a).map(move |b| (a, b)))
        .flat_map(|(a, b)| (0..=b).map(move |c| (a, b, c)))
        .map(|(a, b, c)| stored["third"][a][b][c].as_f64().unwrap())
        .collect();
    close(&numbers(&tensor["packed"]), &expected);
}

#[test]
fn products_of_a_problem_file_are_those_of_the_fixture() {
    let dir = tempfile::tempdir().unwrap();
    let path = here("tests/data/derivs/d02_tanh_sos.json");
    let fixture = json(&path);
    let derive = |file: &str, more: &[&str]| -> Value {
        let (out, _) = succeed(dir.path(), &[&["derivatives", file], more].concat());
        serde_json::from_str(&out).unwrap()
    };
    let products = |file: &str, curvature: &str| {
        let out = derive(file, &["--structure", "products", "--curvature", curvature]);
        assert_eq!(out["structure"], "products");
        assert_eq!(out["curvature"], curvature);
        assert!(out.get("matrix").is_none());
        let rows: Vec<Vec<f64>> = out["products"].as_array().unwrap().iter().map(numbers).collect();
        rows
    };
    let file = path.to_str().unwrap();
    close(&products(file, "exact")[0], &numbers(&fixture["hvp_data"]));
    close(&products(file, "gauss-newton")[0], &numbers(&fixture["gnvp_data"]));

    // Two vectors, every curvature, with a penalty: the same as with the matrix.
    let (v, p) = (numbers(&fixture["v"]), numbers(&fixture["W"]).len());
    let w: Vec<f64> = (0..p).map(|l| l as f64 / 8.0 - 1.0).collect();
    let mut two = fixture.clone();
    two.as_object_mut().unwrap().remove("v");
    two["V"] = serde_json::json!([v, w]);
    two["penalty"] = serde_json::json!({"type": "ridge", "lambda": 0.5});
    std::fs::write(dir.path().join("two.json"), two.to_string()).unwrap();
    for curvature in ["exact", "gauss-newton", "empirical-fisher", "lagrangian", "residual"] {
        let out = derive("two.json", &["--structure", "full", "--curvature", curvature]);
        let matrix: Vec<Vec<f64>> = out["matrix"].as_array().unwrap().iter().map(numbers).collect();
        let found = products("two.json", curvature);
        assert_eq!(found.len(), 2);
        for (found, v) in found.iter().zip([&v, &w]) {
            let dot = |row: &Vec<f64>| row.iter().zip(v).map(|(a, b)| a * b).sum();
            close(found, &matrix.iter().map(dot).collect::<Vec<f64>>());
        }
    }
}

#[test]
fn other_fixtures_have_their_values() {
    let dir = tempfile::tempdir().unwrap();
    for (file, place) in [
        ("derivs/d03_logistic_skip_ridge.json", "/value"),
        ("derivs/d05_sin_softplus_bce_group.json", "/value"),
        ("derivs/d06_gelu_silu_softmax_ridge.json", "/value"),
        ("derivs/d12_rbf_full_muM.json", "/value"),
        ("derivs/d16_rbf_diag_sigma.json", "/value"),
        ("nnet/a_linear_skip_decay.json", "/jax/value_data"),
        ("nnet/d_plain_logistic_output_sse.json", "/jax/value_data"),
    ] {
        let path = here("tests/data").join(file);
        let (out, _) = succeed(dir.path(), &["derivatives", path.to_str().unwrap()]);
        let out: Value = serde_json::from_str(&out).unwrap();
        let expected = json(&path);
        close(&numbers(&out["value"]), &numbers(expected.pointer(place).unwrap()));
    }
}

#[test]
fn tied_parameters_have_a_gradient_in_theta() {
    // tanh(θx + 1) at θ = ½ and x = 1, 2 with the targets 0 and 1; numbers may be strings.
    let dir = tempfile::tempdir().unwrap();
    let problem = r#"{"spec": {"inputs": 1, "layers": [{"units": 1, "activations": "tanh"}]},
        "loss": {"type": "sos"}, "X": [[1], ["2"]], "Y": [[0], [1]], "theta": ["0.5"],
        "constraint": {"fixed": [0, 1], "C_entries": [[0, 0, 1]]}}"#;
    std::fs::write(dir.path().join("p.json"), problem).unwrap();
    let (out, _) = succeed(dir.path(), &["derivatives", "p.json", "--structure", "none"]);
    let out: Value = serde_json::from_str(&out).unwrap();
    let (a, b) = (1.5f64.tanh(), 2.0f64.tanh());
    // The second derivative in θ: h′² + (h − y) h″ times x², in every structure and as a product.
    let second = |h: f64, y: f64| {
        let slope = 1.0 - h * h;
        slope * slope - 2.0 * (h - y) * h * slope
    };
    let hessian = second(a, 0.0) + 4.0 * second(b, 1.0);
    let with_v = problem.replace("\"theta\"", "\"v\": [2], \"theta\"");
    std::fs::write(dir.path().join("v.json"), with_v).unwrap();
    for (structure, place, factor) in [
        ("row-blocks", "/row_blocks/0/block/0/0", 1.0),
        ("layer-blocks", "/layer_blocks/0/block/0/0", 1.0),
        ("full", "/matrix/0/0", 1.0),
        ("diagonal", "/diagonal/0", 1.0),
        ("products", "/products/0/0", 2.0),
    ] {
        let (said, _) = succeed(dir.path(), &["derivatives", "v.json", "--structure", structure]);
        let said: Value = serde_json::from_str(&said).unwrap();
        close(&numbers(said.pointer(place).unwrap()), &[factor * hessian]);
    }
    close(&numbers(&out["value"]), &[0.5 * (a * a + (1.0 - b) * (1.0 - b))]);
    close(&numbers(&out["gradient"]), &[a * (1.0 - a * a) + (b - 1.0) * (1.0 - b * b) * 2.0]);
    // So has its second derivative: Σ x² (h′² + (h − y) h″).
    let term = |h: f64, x: f64, y: f64| {
        let d = 1.0 - h * h;
        x * x * (d * d - (h - y) * 2.0 * h * d)
    };
    let expected = [term(a, 1.0, 0.0) + term(b, 2.0, 1.0)];
    for (structure, place) in [
        ("full", "/matrix"),
        ("diagonal", "/diagonal"),
        ("row-blocks", "/row_blocks/0/block"),
        ("layer-blocks", "/layer_blocks/0/block"),
    ] {
        let (out, _) = succeed(dir.path(), &["derivatives", "p.json", "--structure", structure]);
        let out: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(out["structure"], structure);
        close(&numbers(out.pointer(place).unwrap()), &expected);
    }
}

#[test]
fn whole_matrices_and_the_blocks_of_layers_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = here("tests/data/derivs/d03_logistic_skip_ridge.json");
    let fixture = json(&path);
    let derive = |structure: &str, curvature: &str| -> Value {
        let more = ["--structure", structure, "--curvature", curvature];
        let (out, _) =
            succeed(dir.path(), &[&["derivatives", path.to_str().unwrap()], &more[..]].concat());
        serde_json::from_str(&out).unwrap()
    };
    let expected = numbers(&fixture["hessian"]);
    let out = derive("full", "exact");
    assert_eq!(out["matrix"].as_array().unwrap().len(), 37);
    close(&numbers(&out["matrix"]), &expected);
    let out = derive("layer-blocks", "exact");
    let ranges = fixture["layer_ranges"].as_array().unwrap();
    let blocks = out["layer_blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), ranges.len());
    for (k, (block, range)) in blocks.iter().zip(ranges).enumerate() {
        assert_eq!(block["layer"], k + 1);
        assert!(block.get("row").is_none());
        let range = numbers(range)[0] as usize..numbers(range)[1] as usize;
        let square: Vec<f64> =
            (range.clone()).flat_map(|i| expected[37 * i..][range.clone()].to_vec()).collect();
        close(&numbers(&block["block"]), &square);
    }
    // The Hessian is Gauss-Newton and the residual's part; the penalty is in both and not in the residual.
    let gauss_newton = numbers(&derive("full", "gauss-newton")["matrix"]);
    let residual = numbers(&derive("full", "residual")["matrix"]);
    let sum: Vec<f64> = (gauss_newton.iter().zip(&residual)).map(|(a, b)| a + b).collect();
    close(&sum, &expected);
}

/// The files of an archive without compression, by its directory, with their checksums checked bit by bit.
fn unzipped(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let number = |at: usize, len: usize| {
        let digits = bytes[at..at + len].iter().rev();
        digits.fold(0usize, |n, b| (n << 8) | usize::from(*b))
    };
    let end = bytes.len() - 22;
    assert_eq!(number(end, 4), 0x0605_4b50);
    let mut at = number(end + 16, 4);
    let files = (0..number(end + 10, 2)).map(|_| {
        assert_eq!((number(at, 4), number(at + 10, 2)), (0x0201_4b50, 0));
        let (sum, len) = (number(at + 16, 4), number(at + 20, 4));
        let (name, local) = (number(at + 28, 2), number(at + 42, 4));
        let title = text(&bytes[at + 46..at + 46 + name]);
        at += 46 + name;
        assert_eq!((number(local, 4), number(local + 26, 2)), (0x0403_4b50, name));
        assert_eq!(bytes[local + 30..local + 30 + name], *title.as_bytes());
        let content = &bytes[local + 30 + name..][..len];
        let crc = content.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |c, _| (c >> 1) ^ (0xedb8_8320 * (c & 1)))
        });
        assert_eq!(!crc as usize, sum, "{title}");
        (title, content.to_vec())
    });
    let files = files.collect();
    assert_eq!(at, end);
    files
}

/// The shape and the numbers, or the characters, of a file as `numpy.save` writes it.
fn array(bytes: &[u8]) -> (String, Vec<f64>) {
    assert_eq!(bytes[..8], *b"\x93NUMPY\x01\x00");
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let head = text(&bytes[10..start]);
    assert!(start.is_multiple_of(64) && head.ends_with('\n'), "{head:?}");
    assert!(head.contains("'fortran_order': False"), "{head}");
    let (_, shape) = head.split_once("'shape': ").unwrap();
    let shape = shape.split_once(", }").unwrap().0.to_string();
    let body = &bytes[start..];
    let values = match head.contains("'descr': '<f8'") {
        true => (body.chunks_exact(8)).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
        false => (body.chunks_exact(4))
            .map(|b| f64::from(u32::from_le_bytes(b.try_into().unwrap())))
            .collect(),
    };
    (shape, values)
}

/// Arrays for NumPy have the numbers of the JSON file, bit for bit.
#[test]
fn arrays_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = here("tests/data/derivs/d03_logistic_skip_ridge.json");
    for (structure, key) in [
        ("row-blocks", "row_blocks"),
        ("layer-blocks", "layer_blocks"),
        ("full", "matrix"),
        ("diagonal", "diagonal"),
        ("products", "products"),
        ("none", "-"),
    ] {
        let derive = |file: &str| {
            let more = ["--structure", structure, "--multipliers", "-o", file];
            let args = [&["derivatives", path.to_str().unwrap()], &more[..]].concat();
            succeed(dir.path(), &args);
            dir.path().join(file)
        };
        let right = json(&derive("o.json"));
        let mut files = unzipped(&std::fs::read(derive("o.npz")).unwrap());
        let mut take = |name: &str| {
            let at = files.iter().position(|f| f.0 == format!("{name}.npy"));
            let at = at.unwrap_or_else(|| panic!("{structure}: {name} is missing"));
            array(&files.remove(at).1)
        };
        assert_eq!(take("value"), ("()".into(), numbers(&right["value"])));
        let gradient = numbers(&right["gradient"]);
        assert_eq!(take("gradient"), (format!("({},)", gradient.len()), gradient));
        for (k, e) in right["multipliers"].as_array().unwrap().iter().enumerate() {
            assert_eq!(take(&format!("multipliers_{}", k + 1)).1, numbers(e));
        }
        if structure != "none" {
            let curvature: Vec<f64> = "exact".chars().map(|c| f64::from(u32::from(c))).collect();
            assert_eq!(take("curvature"), ("()".into(), curvature));
        }
        match right.get(key) {
            Some(Value::Array(blocks)) if key.ends_with("blocks") => {
                for block in blocks {
                    let row = block.get("row").map(|row| format!("_{row}"));
                    let name = format!("{key}_{}{}", block["layer"], row.unwrap_or_default());
                    let d = block["block"].as_array().unwrap().len();
                    let found = take(&name);
                    assert_eq!(found, (format!("({d},{d},)"), numbers(&block["block"])));
                }
            }
            Some(matrix) => assert_eq!(take(key).1, numbers(matrix)),
            None => assert_eq!(structure, "none"),
        }
        assert_eq!(take("adapter").1.len(), right["adapter"].as_str().unwrap().len());
        assert_eq!(take("precision").1.len(), 3);
        assert_eq!(take("seconds").0, "()");
        assert!(files.is_empty(), "{structure}");
    }
}

#[test]
fn a_formula_is_an_activation() {
    let dir = tempfile::tempdir().unwrap();
    let data = here("examples/data/diabetes.csv");
    let data = data.to_str().unwrap();
    let fit = |more: &[&str]| {
        let mut args = vec!["fit", data, "--target", "progression", "--hidden", "3"];
        args.extend(more);
        secondo(dir.path(), &args)
    };
    let formula = ["--activation", "u/(1+abs(u))"];
    let first = fit(&[&formula[..], &["--max-iter", "2", "--checkpoint", "c", "-q"]].concat());
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stderr));
    let rest = ["--max-iter", "4", "--resume", "c", "--report", "r.json"];
    let rest = fit(&[&formula[..], &rest].concat());
    assert_eq!(rest.status.code(), Some(0), "{}", text(&rest.stderr));
    assert!(text(&rest.stdout).contains("u/(1+abs(u)) hidden units"));
    let report = json(&dir.path().join("r.json"));
    assert_eq!(report["network"]["layers"][0]["activations"], "u/(1+abs(u))");
    succeed(dir.path(), &["predict", "diabetes.safetensors", data]);
    // Another activation is another fit.
    let other = fit(&["--activation", "u/(2+abs(u))", "--resume", "c"]);
    assert_eq!(other.status.code(), Some(2), "{}", text(&other.stdout));
    let wrong = fit(&["--activation", "1-(1+u)^"]);
    let said = text(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(2), "{said}");
    assert!(said.contains("column 9") && said.contains("  1-(1+u)^\n          ^"), "{said}");
}

#[test]
fn a_problem_file_is_fitted_from_its_own_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = here("tests/data/derivs/d03_logistic_skip_ridge.json");
    let start = json(&file)["value"].as_f64().unwrap();
    let (stdout, _) = succeed(
        dir.path(),
        &[
            "fit",
            file.to_str().unwrap(),
            "--method",
            "newton-rows",
            "--max-iter",
            "5",
            "--report",
            "fit.json",
            "--model",
            "m.safetensors",
        ],
    );
    assert!(stdout.contains("ridge"), "{stdout}");
    let report = json(&dir.path().join("fit.json"));
    assert!(report["value"].as_f64().unwrap() < start);
    assert_eq!(report["W"].as_array().unwrap().len(), 37);
    assert!(report["notes"].to_string().contains("standard errors"), "{report}");
    assert!(dir.path().join("m.safetensors").is_file());
}

/// Radial units, skips, and an architecture from a file: fitted, described, and read back from the model.
#[test]
fn networks_of_all_kinds_are_fitted() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String = (0..80)
        .map(|i| f64::from(i) / 10.0 - 4.0)
        .map(|x| format!("{x},{},{}\n", x.sin(), (-x * x).exp()))
        .collect();
    std::fs::write(dir.path().join("d.csv"), format!("a,b,y\n{rows}")).unwrap();
    let normalized = r#"{"inputs": 2, "layers": [
        {"units": 3, "propagation": "rbf_diag_log_sigma", "activations": "identity"},
        {"units": 3, "propagation": "normalized", "activations": "identity", "bias": false},
        {"units": 1, "sources": [0, 2], "activations": "identity"}]}"#;
    std::fs::write(dir.path().join("net.json"), normalized).unwrap();
    let mut reports = Vec::new();
    for (options, words, parameters) in [
        (&["--hidden", "rbf:4"][..], "hidden units rbf_iso_log_sigma, 17 parameters", 17),
        (
            &["--hidden", "3,rbf_diag_sigma:2", "--skip"],
            "hidden units tanh, rbf_diag_sigma, all layers fed by all before, 37 parameters",
            37,
        ),
        (&["--architecture", "net.json"], "as in net.json, 18 parameters", 18),
    ] {
        let fit = ["fit", "d.csv", "--target", "y", "--ridge", "0.001", "--report", "fit.json"];
        let (said, _) = succeed(dir.path(), &[&fit[..], options].concat());
        assert!(said.contains(words), "{said}");
        let report = json(&dir.path().join("fit.json"));
        assert_eq!(report["W"].as_array().unwrap().len(), parameters);
        let (predicted, _) =
            succeed(dir.path(), &["predict", "d.safetensors", "d.csv", "-o", "p.csv"]);
        assert!(predicted.contains("R²"), "{predicted}");
        // The report's network is an architecture.
        std::fs::write(dir.path().join("again.json"), report["network"].to_string()).unwrap();
        reports.push(report);
    }
    let again = ["fit", "d.csv", "--target", "y", "--ridge", "0.001", "--report", "fit.json"];
    succeed(dir.path(), &[&again[..], &["--architecture", "again.json"]].concat());
    assert_eq!(json(&dir.path().join("fit.json"))["W"], reports[2]["W"]);
    assert_eq!(reports[1]["options"]["hidden"].to_string(), r#"[3,"rbf_diag_sigma:2"]"#);

    let refused = |options: &[&str], words: &[&str]| {
        let out = secondo(dir.path(), &[&["fit", "d.csv", "--target", "y"], options].concat());
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{word}: {said}"));
    };
    refused(&["--hidden", "rbf"], &["'rbf' is not a width", "rbf:8"]);
    refused(&["--hidden", "cone:3"], &["unknown radial unit 'cone'", "rbf_cholesky"]);
    refused(&["--hidden", "rbf:0"], &["zero width"]);
    refused(&["--architecture", "none.json"], &["none.json"]);
    refused(&["--architecture", "d.csv"], &["d.csv", "not valid JSON"]);
    refused(&["--architecture", "net.json", "--skip"], &["--skip", "--architecture"]);
    refused(&["--architecture", "net.json", "--ignore", "b"], &["2 inputs", "needs 1"]);
    refused(&["--architecture", "net.json", "--model", "net.json"], &["net.json", "overwritten"]);
}

#[test]
fn rows_with_gaps_are_dropped_only_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String =
        (0..30).map(|i| format!("{i},{},{}\n", i % 7, (i * i) as f64 / 10.0 + 0.05)).collect();
    std::fs::write(dir.path().join("d.csv"), format!("\u{feff}a,b,y\r\n1,,2.5\r\n{rows}")).unwrap();
    let (stdout, _) = succeed(
        dir.path(),
        &["fit", "d.csv", "--target", "y", "--missing", "drop", "--max-iter", "3"],
    );
    assert!(
        stdout.contains("30 rows, 2 features (1 row with missing values left out)"),
        "{stdout}"
    );
    let (stdout, _) =
        succeed(dir.path(), &["predict", "d.safetensors", "d.csv", "--missing", "drop"]);
    assert!(stdout.starts_with("line,prediction\n3,"), "{stdout}");
}

/// Targets in small and in large units: the errors keep their digits.
#[test]
fn errors_have_digits_in_any_units() {
    let dir = tempfile::tempdir().unwrap();
    for (scale, exponent) in [(1e-9, "e-"), (1e12, "e1")] {
        let rows: String =
            (0..30).map(|i| format!("{i},{:e}\n", scale * (f64::from(i) * 0.3).sin())).collect();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, format!("x,y\n{rows}")).unwrap();
        let (done, _) = succeed(dir.path(), &["fit", "t.csv", "--target", "y", "--ridge", "1"]);
        let line = done.lines().find(|l| l.starts_with("RMSE")).unwrap();
        // Of the rows to train with and to test with, and of a linear model.
        assert_eq!(line.matches(exponent).count(), 3, "{line}");
        assert_eq!(line.split_whitespace().count(), 4, "{line}");
    }
}

#[test]
fn quiet_prints_nothing_and_constant_columns_are_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String = (0..30).map(|i| format!("{i},5,{}.5,1\n", i * i)).collect();
    std::fs::write(dir.path().join("d.csv"), format!("a,c,y,w\n{rows}")).unwrap();
    let args = ["fit", "d.csv", "--target", "y", "--weights", "w", "--hidden", "none"];
    let (_, stderr) = succeed(dir.path(), &args);
    assert!(stderr.contains("warning: the column 'c' is constant"), "{stderr}");
    let (stdout, stderr) = succeed(dir.path(), &[&args[..], &["--quiet"]].concat());
    assert_eq!((stdout.as_str(), stderr.as_str()), ("", ""));
}

/// The sums of these squares fall no further in f64 where the gradient is still up to six times its goal. Where the goal cannot
/// be met at all, the end is no failure.
#[test]
fn the_default_method_goes_on_where_f64_resolves_the_gradient_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (data, target, hidden) in
        [("gauss1", "y", "rbf:3"), ("gauss1", "y", "rbf:2"), ("diabetes", "progression", "2")]
    {
        let data = here(&format!("examples/data/{data}.csv"));
        let fit = |gtol: &str| {
            let data = ["fit", data.to_str().unwrap(), "--target", target];
            let options = ["--hidden", hidden, "--gtol", gtol, "--report", "report.json"];
            succeed(folder.path(), &[&data[..], &options].concat());
            json(&folder.path().join("report.json"))
        };
        let report = fit("1e-8");
        assert_eq!(report["reason"], "gradient", "{hidden}: {report}");
        let choice = report["choice"].as_str().unwrap();
        assert!(choice.starts_with("Levenberg–Marquardt"), "{choice}");
        let report = fit("0");
        assert_eq!(report["converged"], true, "{hidden}: {report}");
        assert!(report["gradient_norm"].as_f64().unwrap() < 1e-12, "{report}");
    }
}

#[test]
fn a_constant_target_has_no_r2() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String = (0..12).map(|i| format!("{i},2.5\n")).collect();
    std::fs::write(dir.path().join("d.csv"), format!("a,y\n{rows}")).unwrap();
    let (stdout, _) = succeed(dir.path(), &["fit", "d.csv", "--target", "y", "--report", "r.json"]);
    assert!(stdout.contains("undefined"), "{stdout}");
    assert!(json(&dir.path().join("r.json"))["metrics"]["train"]["r2"].is_null());
}

#[test]
fn limits_are_no_failures() {
    let dir = tempfile::tempdir().unwrap();
    let data = here("examples/data/diabetes.csv");
    for limit in [["--max-iter", "0"], ["--time-limit", "0"]] {
        let args = ["fit", data.to_str().unwrap(), "--target", "progression", limit[0], limit[1]];
        let (stdout, _) = succeed(dir.path(), &args);
        assert!(stdout.contains("0 accepted") && stdout.contains("not converged"), "{stdout}");
    }
}

/// A table whose fit takes longer than anyone waits; the child is in it when this returns.
#[cfg(unix)]
fn long_fit(folder: &Path, hidden: &str, more: &[&str]) -> std::process::Child {
    started(folder, hidden, more, None)
}

/// The same, started by a shell that ignores a signal.
#[cfg(unix)]
fn started(
    folder: &Path,
    hidden: &str,
    more: &[&str],
    ignored: Option<&str>,
) -> std::process::Child {
    use std::io::BufRead;
    let mut random: u64 = 88172645463325252;
    let mut number = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as f64 / u64::MAX as f64 - 0.5
    };
    let rows: String = (0..3000)
        .map(|_| format!("{},{},{},{}\n", number(), number(), number(), number()))
        .collect();
    std::fs::write(folder.join("d.csv"), format!("a,b,c,y\n{rows}")).unwrap();
    let program = env!("CARGO_BIN_EXE_secondo");
    let mut command = match ignored {
        // In the background, or under `nohup`, the tests ignore signals, and so would the program.
        None if cfg!(target_os = "linux") => {
            let mut env = Command::new("env");
            env.args(["--default-signal=INT,TERM,HUP", program]);
            env
        }
        None => Command::new(program),
        Some(signal) => {
            let mut shell = Command::new("bash");
            shell.args(["-c", &format!("trap '' {signal}; exec \"$0\" \"$@\""), program]);
            shell
        }
    };
    let mut child = command
        .current_dir(folder)
        .args(["fit", "d.csv", "--target", "y", "--hidden", hidden])
        .args(["--device", "cpu", "--max-iter", "1000000000", "--gtol", "0"])
        .args(["--method", "newton-rows", "--ridge", "1"])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The objective is said before its minimisation begins.
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("objective") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "it ended");
    }
    child.stdout = Some(out.into_inner());
    // On a busy machine it is long until signals are caught. Where the system does not tell, it must be soon enough.
    for _ in 0..1000 {
        if catches_sigterm(&child).unwrap_or(true) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    child
}

/// None where the system does not tell.
#[cfg(unix)]
fn catches_sigterm(child: &std::process::Child) -> Option<bool> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
    Some(u64::from_str_radix(mask.trim(), 16).ok()? >> 14 & 1 == 1)
}

#[cfg(unix)]
fn interrupt(child: &std::process::Child, signal: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(sent.success());
}

#[test]
#[cfg(unix)]
fn an_interrupted_fit_writes_its_best_point() {
    let dir = tempfile::tempdir().unwrap();
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        // One after the other: of starts side by side as many begin as there are threads.
        let more = ["--report", "r.json", "--starts", "3", "--plot", "i.svg", "--threads", "1"];
        let child = long_fit(dir.path(), "8", &more);
        interrupt(&child, signal);
        let out = child.wait_with_output().unwrap();
        let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
        assert_eq!(out.status.code(), Some(code), "{stdout}{stderr}");
        assert!(stderr.contains("note: interrupted"), "{stderr}");
        assert!(!stderr.contains("error"), "{stderr}");
        assert!(stdout.contains("not converged: it was interrupted"), "{stdout}");
        assert!(stdout.contains("2 more were not begun: it was interrupted"), "{stdout}");
        let report = json(&dir.path().join("r.json"));
        assert_eq!(report["reason"], "interrupted");
        drawing(&dir.path().join("i.svg")).says("steps tried");
        assert_eq!(report["converged"], false);
        let (out, _) =
            succeed(dir.path(), &["predict", "d.safetensors", "d.csv", "--output", "p.csv"]);
        assert!(out.contains("RMSE"), "{out}");
    }
    // An end of its own is no interruption.
    let args = ["fit", "d.csv", "--target", "y", "--max-iter", "1", "-q"];
    succeed(dir.path(), &args);
}

/// As nohup starts a program: whoever hangs up does not end it.
#[test]
#[cfg(target_os = "linux")]
fn a_signal_that_is_ignored_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = started(dir.path(), "8", &[], Some("HUP"));
    interrupt(&child, "-HUP");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none());
    interrupt(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
#[cfg(unix)]
fn a_second_interruption_ends_at_once() {
    use std::io::Read;
    let dir = tempfile::tempdir().unwrap();
    // A step takes far longer than the second signal.
    let mut child = long_fit(dir.path(), "160,160", &[]);
    interrupt(&child, "-INT");
    let mut note = [0; 10];
    (child.stderr.as_mut().unwrap()).read_exact(&mut note).unwrap();
    interrupt(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!dir.path().join("d.safetensors").exists());
}

#[test]
fn help_teaches_and_a_closed_pipe_is_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    for (args, title) in [
        (&["--help"][..], "Begin with"),
        (&["fit", "--help"], "Examples:"),
        (&["predict", "--help"], "Examples:"),
        (&["derivatives", "--help"], "Examples:"),
    ] {
        let (stdout, _) = succeed(dir.path(), args);
        assert!(stdout.contains(&format!("{title}\n  secondo ")), "{stdout}");
    }
    // The reading end is closed before anything is written.
    let file = here("tests/data/derivs/d02_tanh_sos.json");
    let mut child = Command::new(env!("CARGO_BIN_EXE_secondo"))
        .args(["derivatives", file.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(0));
    assert!(!text(&out.stderr).contains("error"), "{}", text(&out.stderr));
}

#[test]
fn an_unwritable_target_keeps_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let data = here("examples/data/iris.csv");
    let data = data.to_str().unwrap();
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    let out = secondo(dir.path(), &["fit", data, "--target", "species", "--model", "folder"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("cannot write folder: it is a directory"));
    #[cfg(unix)]
    if Path::new("/dev/full").exists() {
        let args = [
            "fit",
            data,
            "--target",
            "species",
            "--max-iter",
            "1",
            "--model",
            "/dev/full",
            "--quiet",
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_secondo"));
        command.current_dir(dir.path()).args(args).env("TMPDIR", dir.path().join("folder"));
        assert_eq!(command.output().unwrap().status.code(), Some(2));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// The adapter that the tests use, on the command line.
#[cfg(feature = "gpu")]
fn adapter() -> String {
    std::env::var("SECONDO_TEST_ADAPTER").unwrap_or("llvmpipe".into())
}

/// The environment chooses the instruction set, and a name that is none ends every command that computes.
#[test]
fn the_instruction_set_is_chosen_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let run = |level: &str, args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_secondo"));
        let done =
            command.current_dir(&dir).env("SECONDO_SIMD", level).args(args).output().unwrap();
        (done.status.code(), text(&done.stdout) + &text(&done.stderr))
    };
    let table = here("examples/data/iris.csv");
    let fit = ["fit", table.to_str().unwrap(), "--target", "species", "--max-iter", "2"];
    if cfg!(feature = "gpu") {
        assert!(run("plain", &["adapters"]).1.contains("instruction set plain"));
    }
    let (code, said) = run("plain", &fit);
    assert!(said.contains("species: classification"), "{code:?} {said}");
    let (code, said) = run("avx9", &fit);
    assert!(code == Some(2) && said.contains("avx9") && said.contains("plain"), "{code:?} {said}");
}

/// The adapters are listed with their tests; where there is none the tests of the adapters fail, not this list.
#[test]
#[cfg(feature = "gpu")]
fn adapters_are_listed_and_tested() {
    let dir = tempfile::tempdir().unwrap();
    let (said, _) = succeed(dir.path(), &["adapters"]);
    let name = adapter().to_lowercase();
    assert!(said.to_lowercase().contains(&name), "{said}");
    for line in ["interface", "driver", "limits", "f32        test passed", "f64        "] {
        assert!(said.contains(line), "{line} in\n{said}");
    }
    assert!(!said.contains("test failed"), "{said}");
}

/// A fit with the curvature from an adapter in f32 reaches the gradient norm that was asked for, and says what computed.
#[test]
#[cfg(feature = "gpu")]
fn a_fit_and_derivatives_on_an_adapter() {
    let dir = tempfile::tempdir().unwrap();
    let data = here("examples/data/diabetes.csv");
    let data = data.to_str().unwrap();
    let device = format!("gpu:{}", adapter());
    let fit = [
        "fit",
        data,
        "--target",
        "progression",
        "--hidden",
        "3",
        "--gtol",
        "1e-6",
        "--max-iter",
        "3000",
    ];
    let fit: Vec<&str> = fit.into_iter().collect();
    let run = |more: &[&str], report: &str| {
        let mut args = fit.clone();
        args.extend(more);
        args.extend(["--report", report]);
        succeed(dir.path(), &args);
        json(&dir.path().join(report))
    };
    let right = run(&["--device", "cpu"], "cpu.json");
    let found = run(&["--device", &device], "gpu.json");
    assert!(found["adapter"].as_str().unwrap().contains("software"), "{found}");
    assert_eq!((&found["precision"], &right["precision"]), (&"f32".into(), &"f64".into()));
    assert_eq!(found["device_failure"], Value::Null);
    for report in [&right, &found] {
        assert_eq!(report["reason"], "gradient", "{report}");
        assert!(report["gradient_norm"].as_f64().unwrap() < 1e-3);
    }
    let (a, b) = (right["value"].as_f64().unwrap(), found["value"].as_f64().unwrap());
    assert!((a - b).abs() < 1e-7 * a, "{a} and {b}");

    // Twice the same adapter, opened as two; so few rows are computed by the first.
    let found = run(&["--device", &format!("{device},{device}")], "gpus.json");
    assert!(found["adapter"].as_str().unwrap().contains(" + "), "{found}");
    assert!((found["value"].as_f64().unwrap() - a).abs() < 1e-7 * a, "{found}");

    let problem = here("tests/data/derivs");
    let file = std::fs::read_dir(problem).unwrap().map(|f| f.unwrap().path());
    let file = file.min().unwrap();
    for (precision, tolerance) in [("f32", 1e-5), ("f64", 1e-12)] {
        let args = [
            "derivatives",
            file.to_str().unwrap(),
            "--device",
            &device,
            "--precision",
            precision,
            "-o",
            "out.json",
        ];
        succeed(dir.path(), &args);
        let out = json(&dir.path().join("out.json"));
        assert_eq!(out["precision"], precision);
        let (found, right) = (numbers(&out["gradient"]), numbers(&json(&file)["grad"]));
        let scale = right.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        assert!(
            found.iter().zip(&right).all(|(a, b)| (a - b).abs() <= tolerance * scale),
            "{precision}"
        );
    }
}

/// A figure: what is written in it, and its dots, rings and lines. Every place is within it.
#[derive(Default)]
struct Drawing {
    height: f64,
    texts: Vec<String>,
    /// Centre and colour.
    dots: Vec<([f64; 2], String)>,
    rings: Vec<[f64; 2]>,
    lines: Vec<Vec<[f64; 2]>>,
}

fn drawing(path: &Path) -> Drawing {
    let text = std::fs::read_to_string(path).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let root = document.root_element();
    let shown: Vec<f64> =
        (root.attribute("viewBox").unwrap().split(' ')).map(|v| v.parse().unwrap()).collect();
    let mut out = Drawing {
        height: root.attribute("height").unwrap().parse().unwrap(),
        ..Default::default()
    };
    assert_eq!((shown[2], shown[3]), (1920.0, 2.0 * out.height));
    let inside = |x: &str, y: &str| {
        let at: [f64; 2] = [x, y].map(|v| v.parse::<i32>().unwrap().into());
        let all = (0.0..=shown[2]).contains(&at[0]) && (0.0..=shown[3]).contains(&at[1]);
        assert!(all, "{at:?}");
        at
    };
    for node in root.descendants().filter(|node| node.is_element()) {
        let read = |name: &str| node.attribute(name).unwrap();
        match node.tag_name().name() {
            "text" => {
                inside(read("x"), read("y"));
                out.texts.push(node.text().unwrap().trim().into());
            }
            "circle" => {
                let at = inside(read("cx"), read("cy"));
                match read("fill") {
                    "none" => out.rings.push(at),
                    colour => out.dots.push((at, colour.into())),
                }
            }
            "polyline" => {
                let points = read("points").split_whitespace();
                let points = points.map(|at| at.split_once(',').unwrap());
                out.lines.push(points.map(|(x, y)| inside(x, y)).collect());
            }
            _ => {}
        }
    }
    out
}

impl Drawing {
    #[track_caller]
    fn says(&self, text: &str) {
        assert!(self.texts.iter().any(|t| t == text), "{:?}", self.texts);
    }
}

/// Width, height, and of how many pixels each colour has.
fn picture(path: &Path) -> (u32, u32, std::collections::HashMap<[u8; 3], usize>) {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(bytes[..8], *b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    let mut colours = std::collections::HashMap::new();
    for pixel in pixels.chunks_exact(3) {
        *colours.entry(pixel.try_into().unwrap()).or_default() += 1;
    }
    (number(16), number(20), colours)
}

const BLUE: &str = "#0072B2";

/// A table of one input, with names that are markup, and a curve with some scatter.
fn one_input(folder: &Path) -> Vec<[f64; 2]> {
    let rows: Vec<[f64; 2]> = (0..60)
        .map(|i| {
            let x = 7.0 + 0.5 * f64::from(i * 37 % 60);
            [x, 250.0 * (x / 6.0).sin() + f64::from(i * i % 17)]
        })
        .collect();
    let lines: String = rows.iter().map(|[x, y]| format!("{x},{y}\n")).collect();
    let table = format!("time <h>,\"mass (µg) & \"\"more\"\"\"\n{lines}");
    std::fs::write(folder.join("d.csv"), table).unwrap();
    rows
}

#[test]
fn a_fit_of_one_input_is_drawn_in_the_units_of_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let rows = one_input(dir.path());
    let target = "mass (µg) & \"more\"";
    let (said, _) = succeed(
        dir.path(),
        &[
            "fit",
            "d.csv",
            "--target",
            target,
            "--max-iter",
            "12",
            "--method",
            "trust-region",
            "--report",
            "r.json",
            "--plot",
            "f.svg",
            "--plot",
            "f.PNG",
        ],
    );
    assert!(said.contains("written to f.svg") && said.contains("written to f.PNG"));
    assert!(!said.contains("convergence alone"), "{said}");
    let report = json(&dir.path().join("r.json"));
    let svg = drawing(&dir.path().join("f.svg"));
    for text in [target, "time <h>", "steps tried", "model", "training rows", "test rows"] {
        svg.says(text);
    }
    // Each row once, the accepted steps with the start twice (the lowest objective is no distance), and the legends' three.
    let accepted = report["iterations"].as_u64().unwrap() as usize;
    assert!(accepted >= 4);
    assert_eq!(svg.rings.len(), 12 + 1);
    let dots: Vec<[f64; 2]> =
        (svg.dots.iter()).filter(|(_, colour)| colour == BLUE).map(|(at, _)| *at).collect();
    assert_eq!(dots.len(), 48 + 1 + (accepted + 1) + accepted + 1);

    // One affine map of each axis takes all rows to their places, and the model's predictions to its curve.
    let held: Vec<f64> = numbers(&report["data"]["test_lines"]);
    let (mut test, mut train) = (Vec::new(), Vec::new());
    for (i, row) in rows.iter().enumerate() {
        let part = match held.contains(&(i as f64 + 2.0)) {
            true => &mut test,
            false => &mut train,
        };
        part.push((i, *row));
    }
    let order = |k: usize| {
        let mut order: Vec<usize> = (0..train.len()).collect();
        order.sort_by(|a, b| train[*a].1[k].total_cmp(&train[*b].1[k]));
        (order[0], order[order.len() - 1])
    };
    // The legend's dot comes before those of the rows.
    let (legend, places) = (dots[0], &dots[1..49]);
    assert!(legend[1] < places.iter().map(|p| p[1]).fold(f64::INFINITY, f64::min));
    let map = |k: usize, v: f64| {
        let (a, b) = order(k);
        let share = (v - train[a].1[k]) / (train[b].1[k] - train[a].1[k]);
        places[a][k] + share * (places[b][k] - places[a][k])
    };
    let far =
        |place: [f64; 2], [x, y]: [f64; 2]| (place[0] - map(0, x)).hypot(place[1] - map(1, y));
    for ((_, row), place) in train.iter().zip(places) {
        assert!(far(*place, *row) < 3.0, "{place:?} is not that of {row:?}");
    }
    for ((_, row), place) in test.iter().zip(&svg.rings[1..]) {
        assert!(far(*place, *row) < 3.0, "{place:?} is not that of {row:?}");
    }
    assert!(far(places[0], train[1].1) > 3.0, "another row's place is far");
    assert!(map(1, 100.0) < map(1, 0.0), "upwards is more");
    let curve = svg.lines.iter().find(|line| line.len() == 601).unwrap();
    let (out, _) = succeed(dir.path(), &["predict", "d.safetensors", "d.csv", "-q"]);
    for (predicted, [x, _]) in out.lines().skip(1).zip(&rows) {
        let y = map(1, predicted.parse().unwrap());
        let far = |p: &&[f64; 2]| (p[0] - map(0, *x)).abs();
        let at = curve.iter().min_by(|a, b| far(a).total_cmp(&far(b))).unwrap();
        assert!((at[1] - y).abs() < 8.0, "{at:?} and {y} at {x}");
    }

    let (width, height, colours) = picture(&dir.path().join("f.PNG"));
    assert_eq!((width, height), (1920, 1800));
    assert_eq!(svg.height, 900.0);
    let all = (width * height) as usize;
    let white = colours[&[255; 3]];
    assert!((all / 2..all * 49 / 50).contains(&white), "{white} of {all}");
    // Texts and axes, the curve and its goal, the steps.
    for colour in [[0, 0, 0], [213, 94, 0], [0, 114, 178]] {
        assert!(colours[&colour] > 1000, "{colour:?}");
    }
}

#[test]
fn classes_are_drawn_with_their_probabilities() {
    let dir = tempfile::tempdir().unwrap();
    let iris = std::fs::read_to_string(here("examples/data/iris.csv")).unwrap();
    let two = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        format!("{},{}\n", fields[2], fields.last().unwrap())
    };
    let three: String = iris.lines().map(two).collect();
    std::fs::write(dir.path().join("three.csv"), &three).unwrap();
    let rest = three.lines().filter(|line| !line.ends_with("setosa"));
    let rest: String = rest.map(|line| format!("{line}\n")).collect();
    std::fs::write(dir.path().join("two.csv"), rest).unwrap();
    for (table, plot, curves, rows) in
        [("three.csv", "3.svg", 3, 150), ("two.csv", "2.svg", 1, 100)]
    {
        let args = [
            "fit",
            table,
            "--target",
            "species",
            "--max-iter",
            "3",
            "--starts",
            "2",
            "--test-fraction",
            "0",
            "--plot",
            plot,
        ];
        succeed(dir.path(), &args);
        let svg = drawing(&dir.path().join(plot));
        let found = svg.lines.iter().filter(|line| line.len() == 601).count();
        assert_eq!((found, svg.rings.len()), (curves, 0));
        // The legends have two; the chosen start has at most four places on two scales.
        let steps = svg.dots.len() - rows - 2;
        assert!((1..=8).contains(&steps), "{steps}");
        svg.says("other starts");
        let texts: &[&str] = match curves {
            1 => &["probability of species = virginica"],
            _ => &["setosa", "versicolor", "virginica"],
        };
        texts.iter().for_each(|text| svg.says(text));
    }
}

/// A dot on the diagonal is a row that is predicted as observed.
#[test]
fn several_inputs_have_predictions_against_observations() {
    let dir = tempfile::tempdir().unwrap();
    let data = here("examples/data/diabetes.csv");
    let args = [
        "fit",
        data.to_str().unwrap(),
        "--target",
        "progression",
        "--max-iter",
        "5",
        "--plot",
        "c.png",
        "--plot",
        "c.svg",
        "--plot",
        "convergence=alone.svg",
    ];
    let (said, _) = succeed(dir.path(), &args);
    assert!(!said.contains("convergence alone"), "{said}");
    let svg = drawing(&dir.path().join("c.svg"));
    for text in ["objective above its lowest", "progression, observed", "progression, predicted"] {
        svg.says(text);
    }
    assert_eq!(svg.height, 900.0);
    // The rows that train are dots, those of the test rings, each with one in the legend.
    assert_eq!(svg.rings.len(), 88 + 1);
    let alone = drawing(&dir.path().join("alone.svg"));
    assert_eq!(svg.dots.len() - alone.dots.len(), 354 + 1);
    assert_eq!(alone.height, 400.0);
    let (width, height, colours) = picture(&dir.path().join("c.png"));
    assert_eq!((width, height), (1920, 1800));
    assert!(colours[&[0, 0, 0]] > 1000);
    assert!(colours[&[255; 3]] > 1_000_000);
}

/// A problem file has the units of its numbers; many steps are thinned, and numbers of any size have a place.
#[test]
fn any_numbers_can_be_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let plot = dir.path().join("p.svg");
    let problem = r#"{"spec": {"inputs": 1, "layers": [{"units": 2, "activations": "tanh"}, {"units": 2, "activations": "identity"}]},
        "loss": {"type": "sos"}, "X": [[-1], [0], [2]], "Y": [[1, 2], [0, 3], [2, -1]], "W": [1, 0, -1, 0.5, 1, 2, 3, 1, 1, 0]}"#;
    std::fs::write(dir.path().join("p.json"), problem).unwrap();
    succeed(dir.path(), &["fit", "p.json", "--plot", "p.svg", "--max-iter", "4"]);
    let svg = drawing(&plot);
    assert_eq!(svg.lines.iter().filter(|l| l.len() == 601).count(), 2);
    for text in ["x1", "y1, y2", "rows"] {
        svg.says(text);
    }
    // Two outputs for each of three rows, and the legend's.
    let second = svg.dots.iter().filter(|dot| dot.1 == "#D55E00");
    assert_eq!(second.count(), 3);

    for rows in [
        "1,5\n2,5\n3,5\n",
        "0,1e150\n1,-1e150\n2,3e149\n",
        "1e12,1\n1000000000001,2\n1000000000002,4\n",
        "1e-200,1e-3\n2e-200,2e-3\n4e-200,7e-3\n",
        "-5,0\n-4,0\n-3,0\n",
    ] {
        std::fs::write(dir.path().join("d.csv"), format!("x,y\n{rows}")).unwrap();
        let out = secondo(
            dir.path(),
            &[
                "fit",
                "d.csv",
                "--target",
                "y",
                "--task",
                "regression",
                "--test-fraction",
                "0",
                "--plot",
                "p.svg",
            ],
        );
        assert!(matches!(out.status.code(), Some(0 | 2)), "{}", text(&out.stderr));
        if out.status.success() {
            drawing(&plot);
        }
    }

    one_input(dir.path());
    let args = [
        "fit",
        "d.csv",
        "--target",
        "mass (µg) & \"more\"",
        "--method",
        "newton-rows",
        "--gtol",
        "0",
        "--ftol",
        "0",
        "--xtol",
        "0",
        "--ridge",
        "0",
        "--max-iter",
        "2500",
        "--hidden",
        "3",
        "--plot",
        "p.svg",
        "--report",
        "r.json",
    ];
    succeed(dir.path(), &args);
    let steps = json(&dir.path().join("r.json"))["iterations"].as_u64().unwrap();
    assert!(steps > 2000, "{steps}");
    let svg = drawing(&plot);
    svg.says("accepted steps, one of 2");
    assert!(svg.dots.len() < 2 * 2002 + 60);
}

#[test]
fn plots_that_cannot_be_written_are_refused_before_the_fit() {
    let dir = tempfile::tempdir().unwrap();
    one_input(dir.path());
    let fit =
        ["fit", "d.csv", "--target", "mass (µg) & \"more\"", "--max-iter", "2", "--model", "m.svg"];
    for (plots, why) in [
        (&["f.pdf"][..], "--plot f.pdf: the extension must be .svg or .png"),
        (&["svg"], "must be .svg or .png"),
        (&["nowhere/f.svg"], "cannot write nowhere/f.svg: its folder does not exist"),
        (&["m.svg"], "m.svg is given for two outputs"),
        (&["f.svg", "./f.svg"], "./f.svg is given for two outputs"),
    ] {
        let plots = plots.iter().flat_map(|path| ["--plot", path]);
        let args: Vec<&str> = fit.into_iter().chain(plots).collect();
        let out = secondo(dir.path(), &args);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "{args:?}");
    }

    // A failure after the fit takes nothing else with it.
    #[cfg(unix)]
    if Path::new("/dev/full").exists() {
        std::os::unix::fs::symlink("/dev/full", dir.path().join("full.png")).unwrap();
        let more = ["--plot", "full.png", "--report", "r.json"];
        let out = secondo(dir.path(), &[&fit[..], &more].concat());
        assert_eq!(out.status.code(), Some(2));
        let said = (text(&out.stdout), text(&out.stderr));
        assert!(said.1.contains("cannot write full.png: "), "{said:?}");
        assert!(said.0.contains("RMSE") && !said.0.contains("plot"), "{said:?}");
        assert_eq!(json(&dir.path().join("r.json"))["model"], "m.svg");
        succeed(dir.path(), &["predict", "m.svg", "d.csv"]);
    }
}
