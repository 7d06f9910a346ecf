//! Reports as pages, figures by name, checks, what is computed from curvatures, converted models, completions and manuals.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn here(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path).display().to_string()
}

fn secondo(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secondo"));
    command
        .current_dir(folder)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

#[track_caller]
fn succeed(folder: &Path, args: &[&str]) -> String {
    let out = secondo(folder, args);
    assert_eq!(out.status.code(), Some(0), "{args:?}\n{}", text(&out.stderr));
    text(&out.stdout)
}

#[track_caller]
fn refused(folder: &Path, args: &[&str], why: &str) {
    let out = secondo(folder, args);
    let said = text(&out.stderr);
    assert!(out.status.code() == Some(2) && said.contains(why), "{args:?}: {said}");
}

fn json(path: PathBuf) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("the file exists")).expect("JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().expect("a number")],
    }
}

/// A page that is well-formed and refers to nothing outside, and for each of its sections whether it has a figure.
#[track_caller]
fn page(path: PathBuf) -> Vec<(String, bool)> {
    let text = fs::read_to_string(path).unwrap();
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(&text, options).expect("well-formed");
    for forbidden in ["http", "//", "url(", "@import", "src=", "<script", "<link", "NaN", "inf,"] {
        assert!(!text.contains(forbidden), "{forbidden}");
    }
    let ids: BTreeSet<&str> = document.descendants().filter_map(|n| n.attribute("id")).collect();
    for node in document.descendants() {
        let name = node.tag_name().name();
        assert!(!["script", "iframe", "img", "object", "form"].contains(&name), "{name}");
        for attribute in node.attributes() {
            assert!(!attribute.name().starts_with("on"), "{attribute:?}");
        }
        if let Some(link) = node.attribute("href") {
            assert!(
                ids.contains(link.strip_prefix('#').expect("a link within the page")),
                "{link}"
            );
        }
    }
    let style = document.descendants().find(|n| n.has_tag_name("style")).unwrap();
    for rule in ["@media print", "@media (max-width"] {
        assert!(style.text().unwrap().contains(rule));
    }
    let sections = document.descendants().filter(|n| n.has_tag_name("section"));
    sections
        .map(|section| {
            let id = section.attribute("id").unwrap().to_string();
            let figures = section.descendants().filter(|n| n.has_tag_name("figure"));
            let drawn = figures.clone().count() > 0;
            for figure in figures {
                // A caption, and on each panel something that is drawn.
                assert!(figure.descendants().any(|n| n.has_tag_name("figcaption")));
                let panels = figure.descendants().filter(|n| n.attribute("role") == Some("img"));
                for panel in panels {
                    let shapes = ["circle", "polyline", "rect", "polygon", "line"];
                    let drawn = |n: roxmltree::Node| shapes.iter().any(|s| n.has_tag_name(*s));
                    assert!(panel.descendants().filter(|n| drawn(*n)).count() > 2, "{id}");
                }
            }
            (id, drawn)
        })
        .collect()
}

const SECTIONS: [&str; 9] = [
    "summary",
    "data",
    "network",
    "convergence",
    "fit",
    "residuals",
    "effects",
    "second",
    "statistics",
];

#[test]
fn a_page_has_every_section_and_no_reference() {
    let dir = tempfile::tempdir().unwrap();
    let fit = |data: &str, target: &str, more: &[&str]| {
        let args = ["fit", data, "--target", target, "--max-iter", "30", "--hidden", "3"];
        let reports = ["--report", "r.html", "--report", "r.json"];
        succeed(dir.path(), &[&args[..], &reports, more].concat());
        page(dir.path().join("r.html"))
    };
    let sections = fit(&here("examples/data/diabetes.csv"), "progression", &["--starts", "2"]);
    let drawn = |name: &str| !["summary", "data", "statistics"].contains(&name);
    assert_eq!(sections, SECTIONS.map(|name| (name.to_string(), drawn(name))));
    let html = fs::read_to_string(dir.path().join("r.html")).unwrap();
    let said = [
        "A regression of progression from 10 features",
        "linear model",
        "predicted against observed",
        "other starts",
        "Average slopes, in the units of the data",
        "eigenvalues of the exact Hessian",
        "Levenberg",
        "<h1>progression from diabetes.csv</h1>",
    ];
    for part in said {
        assert!(html.to_lowercase().contains(&part.to_lowercase()), "{part}");
    }
    // The page from the JSON is the same.
    succeed(dir.path(), &["plot", "r.json", "-o", "again.html"]);
    assert!(fs::read_to_string(dir.path().join("again.html")).unwrap() == html);
    // It replaces its own kind, and no other.
    succeed(dir.path(), &["plot", "r.json", "-o", "again.html"]);
    fs::write(dir.path().join("own.html"), "<html></html>").unwrap();
    refused(
        dir.path(),
        &["plot", "r.json", "-o", "own.html"],
        "it is not a page that secondo wrote",
    );
    refused(dir.path(), &["plot", "r.html", "-o", "x.html"], "r.html");

    let sections = fit(&here("examples/data/iris.csv"), "species", &[]);
    let names: Vec<&str> = sections.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, SECTIONS.map(|name| if name == "residuals" { "confusion" } else { name }));
    let html = fs::read_to_string(dir.path().join("r.html")).unwrap();
    assert!(html.contains("recall") && html.contains("virginica"));
}

/// Names of columns and classes are text, whatever they hold; few rows and one class more are no obstacle.
#[test]
fn a_page_shows_names_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String = (0..24)
        .map(|i| {
            format!(
                "{i},{},{}\n",
                ["<b>", "a&b", "\"q\""][i % 3],
                if i % 5 < 2 { "</svg>" } else { "ü]]>" }
            )
        })
        .collect();
    let table = format!("\"<script>alert(1)</script>\",k & l,y\n{rows}");
    fs::write(dir.path().join("d.csv"), table).unwrap();
    let args = ["fit", "d.csv", "--target", "y", "--max-iter", "5", "--hidden", "2"];
    succeed(dir.path(), &[&args[..], &["--report", "r.html"]].concat());
    let sections = page(dir.path().join("r.html"));
    assert!(sections.contains(&("effects".into(), true)), "{sections:?}");
    let html = fs::read_to_string(dir.path().join("r.html")).unwrap();
    assert!(html.contains("&lt;script&gt;alert(1)") && html.contains("&lt;/svg&gt;"));
}

#[test]
fn a_page_of_a_problem_file_says_what_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let tied = r#"{"spec": {"inputs": 1, "layers": [{"units": 1, "activations": "identity"}]},
        "loss": {"type": "sos"}, "X": [[1], [2], [4]], "Y": [[1], [3], [3]],
        "constraint": {"fixed": [0, 1], "C_entries": [[0, 0, 1]]}, "theta": [0.5]}"#;
    fs::write(dir.path().join("p.json"), tied).unwrap();
    let args =
        ["fit", "p.json", "--report", "r.html", "--plot", "hessian=h.svg", "--plot", "p.svg"];
    succeed(dir.path(), &args);
    page(dir.path().join("r.html"));
    refused(
        dir.path(),
        &["fit", "p.json", "--plot", "confusion=c.svg"],
        "no figure 'confusion': it is for classes",
    );
}

const NAMES: [&str; 8] =
    ["convergence", "fit", "residuals", "effects", "confusion", "spectrum", "hessian", "network"];

/// Each figure that a fit draws is drawn again from its JSON, to the last byte.
#[test]
fn figures_are_drawn_by_name_and_again_from_the_report() {
    let dir = tempfile::tempdir().unwrap();
    for (data, target, absent) in
        [("diabetes", "progression", "confusion"), ("iris", "species", "residuals")]
    {
        let data = here(&format!("examples/data/{data}.csv"));
        let mut args = ["fit", &data, "--target", target, "--max-iter", "8", "--report", "r.json"]
            .map(String::from)
            .to_vec();
        let names = NAMES.iter().filter(|name| **name != absent);
        for name in names.clone() {
            args.extend(["--plot".into(), format!("{name}={name}.svg")]);
        }
        args.extend([
            "--plot".into(),
            "all.svg".into(),
            "--plot".into(),
            "effects=effects.png".into(),
        ]);
        succeed(dir.path(), &args.iter().map(String::as_str).collect::<Vec<_>>());
        let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
        for name in names {
            succeed(dir.path(), &["plot", "r.json", "--plot", name, "-o", "again.svg"]);
            let (first, again) = (read(&format!("{name}.svg")), read("again.svg"));
            assert!(first == again, "{name}");
            let drawn = text(&first);
            assert!(drawn.to_lowercase().contains(name), "{name}");
            assert!(roxmltree::Document::parse(&drawn).is_ok(), "{name}");
        }
        succeed(dir.path(), &["plot", "r.json", "-o", "again.svg"]);
        assert!(read("all.svg") == read("again.svg"));
        succeed(dir.path(), &["plot", "r.json", "--plot", "effects", "-o", "again.png"]);
        assert!(
            read("effects.png") == read("again.png") && read("again.png").starts_with(b"\x89PNG")
        );
        refused(dir.path(), &["plot", "r.json", "--plot", absent, "-o", "x.svg"], absent);
    }
    refused(
        dir.path(),
        &["plot", "r.json", "--plot", "pie", "-o", "x.svg"],
        "known: convergence, fit",
    );
    refused(dir.path(), &["plot", "r.json", "-o", "x.pdf"], ".svg, .png or, for the page, .html");
    fs::write(dir.path().join("other.json"), "{\"value\": 1}").unwrap();
    refused(dir.path(), &["plot", "other.json", "-o", "x.svg"], "other.json");
}

/// Whatever a hand has changed in a report is an error or is drawn, and never the end of the program.
#[test]
fn reports_that_do_not_fit_together_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (data, target) in [("diabetes", "progression"), ("iris", "species")] {
        let data = here(&format!("examples/data/{data}.csv"));
        succeed(
            dir.path(),
            &["fit", &data, "--target", target, "--max-iter", "2", "--report", "r.json"],
        );
        let whole = json(dir.path().join("r.json"));
        let changes: [(&str, Value); 12] = [
            ("/shown/parts/0/actual", Value::Array(Vec::new())),
            ("/shown/parts/0/predicted/0", serde_json::json!([1.0])),
            ("/shown/parts/1/actual/0", serde_json::json!([null, 1e300])),
            ("/shown/targets", serde_json::json!(["a", "b", "c"])),
            ("/shown/classes", serde_json::json!(["a"])),
            ("/shown/curve", serde_json::json!({"x": [1.0], "y": [[2.0]]})),
            ("/shown/hessian/order", serde_json::json!(u64::MAX)),
            ("/shown/hessian/side", serde_json::json!(0)),
            ("/shown/history", serde_json::json!([])),
            ("/shown/effects/0/response", serde_json::json!([[], [null]])),
            ("/shown/spectrum/eigenvalues", serde_json::json!([])),
            ("/best_start", serde_json::json!(99)),
        ];
        for (place, value) in changes {
            let mut report = whole.clone();
            *report.pointer_mut(place).unwrap() = value;
            fs::write(dir.path().join("changed.json"), report.to_string()).unwrap();
            for more in
                [&["-o", "x.html"][..], &["-o", "x.svg"], &["--plot", "hessian", "-o", "h.svg"]]
            {
                let out = secondo(dir.path(), &[&["plot", "changed.json"], more].concat());
                let said = text(&out.stderr);
                assert!(
                    matches!(out.status.code(), Some(0 | 2)) && !said.contains("panicked"),
                    "{place}: {said}"
                );
            }
        }
    }
}

/// The partial dependence of a linear model is a line with its coefficient, and for levels their distance.
#[test]
fn effects_of_a_linear_model_are_its_coefficients() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String = (0..60)
        .map(|i| {
            let (x, level) = (f64::from(i * 7 % 30), ["a", "b", "c"][i as usize % 3]);
            let y = 2.5 * x + [0.0, 10.0, -4.0][i as usize % 3];
            format!("{x},{level},{y}\n")
        })
        .collect();
    fs::write(dir.path().join("d.csv"), format!("x,k,y\n{rows}")).unwrap();
    let args = [
        "fit",
        "d.csv",
        "--target",
        "y",
        "--task",
        "regression",
        "--hidden",
        "none",
        "--ridge",
        "0",
    ];
    succeed(dir.path(), &[&args[..], &["--report", "r.json"]].concat());
    let effects = json(dir.path().join("r.json"))["shown"]["effects"].clone();
    let of = |name: &str| effects.as_array().unwrap().iter().find(|e| e["column"] == name).unwrap();
    let (at, response) = (numbers(&of("x")["at"]), numbers(&of("x")["response"]));
    for k in 1..at.len() {
        let slope = (response[k] - response[0]) / (at[k] - at[0]);
        assert!((slope - 2.5).abs() < 1e-9, "{slope}");
    }
    assert_eq!(of("k")["levels"], serde_json::json!(["a", "b", "c"]));
    let levels = numbers(&of("k")["response"]);
    assert!(
        (levels[1] - levels[0] - 10.0).abs() < 1e-9 && (levels[2] - levels[0] + 4.0).abs() < 1e-9
    );
}

#[test]
fn checks_print_digits() {
    let dir = tempfile::tempdir().unwrap();
    let problem = here("tests/data/derivs/d02_tanh_sos.json");
    let said = succeed(dir.path(), &["check", &problem]);
    for quantity in ["value", "gradient", "Hessian", "products"] {
        let line = said.lines().find(|line| line.starts_with(quantity)).expect(quantity);
        let fields: Vec<&str> = line.split_whitespace().collect();
        assert!(fields[2].parse::<f64>().unwrap() > 8.0 && fields[4] == "yes", "{line}");
    }
    let iris = here("examples/data/iris.csv");
    succeed(
        dir.path(),
        &["fit", &iris, "--target", "species", "--max-iter", "3", "--model", "m.safetensors"],
    );
    let said = succeed(dir.path(), &["check", "m.safetensors", &iris, "--entries", "4"]);
    assert!(said.contains("near the model's parameters") && !said.contains(" no\n"), "{said}");
    refused(dir.path(), &["check", "m.safetensors"], "a model needs a table");
}

/// The numbers that are computed from the matrix fit its entries.
#[test]
fn curvatures_have_eigenvalues_determinants_and_solutions() {
    let dir = tempfile::tempdir().unwrap();
    let problem = here("tests/data/derivs/d02_tanh_sos.json");
    let derive = |more: &[&str]| {
        let args = [&["derivatives", problem.as_str(), "-o", "out.json"], more].concat();
        succeed(dir.path(), &args);
        json(dir.path().join("out.json"))
    };
    let matrix: Vec<Vec<f64>> = derive(&["--structure", "full"])["matrix"]
        .as_array()
        .unwrap()
        .iter()
        .map(numbers)
        .collect();
    let p = matrix.len();
    let mut b = b"\x93NUMPY\x01\x00".to_vec();
    let head = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({p},), }}\n");
    b.extend((head.len() as u16).to_le_bytes());
    b.extend(head.bytes());
    b.extend((0..p).flat_map(|i| (1.0 + i as f64).to_le_bytes()));
    fs::write(dir.path().join("b.npy"), b).unwrap();
    let all =
        ["--eigenvalues", "--condition", "--trace", "--logdet", "--solve", "b.npy", "--spectrum"];
    let out = derive(&[&all[..], &["--steps", "40", "--probes", "3"]].concat());
    assert!(out.get("matrix").is_none() && out.get("row_blocks").is_none());
    let eigenvalues = numbers(&out["eigenvalues"]);
    assert!(eigenvalues.len() == p && eigenvalues.is_sorted());
    let trace: f64 = (0..p).map(|i| matrix[i][i]).sum();
    let squares: f64 = matrix.iter().flatten().map(|v| v * v).sum();
    let close = |a: f64, b: f64, scale: f64| assert!((a - b).abs() < 1e-10 * scale, "{a} and {b}");
    close(out["trace"].as_f64().unwrap(), trace, trace.abs());
    close(eigenvalues.iter().sum(), trace, squares.sqrt());
    close(eigenvalues.iter().map(|v| v * v).sum(), squares, squares);
    let sizes = || eigenvalues.iter().map(|v| v.abs());
    let (high, low) = (sizes().fold(0.0, f64::max), sizes().fold(f64::MAX, f64::min));
    close(out["condition"].as_f64().unwrap(), high / low, high / low * 1e6);
    let negative = eigenvalues.iter().filter(|v| **v < 0.0).count();
    assert_eq!(out["sign"].as_f64(), Some(if negative % 2 == 0 { 1.0 } else { -1.0 }));
    close(out["logdet"].as_f64().unwrap(), sizes().map(f64::ln).sum(), 1e3);
    let x = numbers(&out["solution"]);
    for (i, row) in matrix.iter().enumerate() {
        let product: f64 = row.iter().zip(&x).map(|(h, x)| h * x).sum();
        let size: f64 = row.iter().zip(&x).map(|(h, x)| (h * x).abs()).sum();
        close(product, 1.0 + i as f64, 1e3 * size);
    }
    close(numbers(&out["spectrum_weights"]).iter().sum(), p as f64, p as f64);
    let nodes = numbers(&out["spectrum_nodes"]);
    close(nodes[nodes.len() - 1], eigenvalues[p - 1], 1e3 * high);

    // One array alone is a .npy file; several are not.
    succeed(dir.path(), &["derivatives", &problem, "--eigenvalues", "-o", "e.npy"]);
    let bytes = fs::read(dir.path().join("e.npy")).unwrap();
    let last = f64::from_le_bytes(bytes[bytes.len() - 8..].try_into().unwrap());
    assert_eq!(last, eigenvalues[p - 1]);
    succeed(dir.path(), &["derivatives", &problem, "--spectrum", "--logdet", "-o", "s.npz"]);
    refused(dir.path(), &["derivatives", &problem, "--spectrum", "-o", "s.npy"], "one array");
    let products = ["derivatives", &problem, "--structure", "products", "--trace"];
    refused(dir.path(), &products, "need the matrix");
}

/// Predictions without their header, as numbers.
fn predictions(folder: &Path, model: &str, data: &str) -> Vec<f64> {
    let out = succeed(folder, &["predict", model, data, "-q"]);
    out.lines().skip(1).map(|line| line.rsplit(',').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn models_go_to_other_programs_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let diabetes = here("examples/data/diabetes.csv");
    let fit = [
        "fit",
        &diabetes,
        "--target",
        "progression",
        "--max-iter",
        "3",
        "--model",
        "m.safetensors",
    ];
    succeed(dir.path(), &fit);
    let header = fs::read_to_string(&diabetes).unwrap();
    let features = header.lines().next().unwrap().trim_end_matches(",progression").to_string();
    let expected = predictions(dir.path(), "m.safetensors", &diabetes);
    let names = ["--features", &features, "--targets", "progression"];
    for (between, more) in
        [("t.safetensors", &[][..]), ("w.npz", &[]), ("s.safetensors", &["--f32"])]
    {
        for _ in 0..2 {
            // Its own files are replaced.
            succeed(dir.path(), &[&["convert", "m.safetensors", between], more].concat());
        }
        let back = ["convert", between, "back.safetensors", "--activation", "tanh"];
        for back in [&back[..], &back[..3]] {
            succeed(dir.path(), &[back, &names].concat());
            let found = predictions(dir.path(), "back.safetensors", &diabetes);
            let tolerance = if more.is_empty() { 1e-10 } else { 1e-3 };
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < tolerance * b.abs()));
        }
    }
    succeed(dir.path(), &["convert", "m.safetensors", "m.onnx"]);
    succeed(dir.path(), &["convert", "m.safetensors", "m.onnx"]);
    assert!(fs::read(dir.path().join("m.onnx")).unwrap().starts_with(b"\x08\x07\x12\x07secondo"));
    // A state dict with another activation is another model.
    succeed(
        dir.path(),
        &[&["convert", "t.safetensors", "relu.safetensors", "--activation", "relu"], &names[..]]
            .concat(),
    );
    assert_ne!(predictions(dir.path(), "relu.safetensors", &diabetes), expected);

    // Foreign files are kept, but on request.
    for (file, args) in [
        ("t.safetensors", &[&fit[..6], &["--model", "t.safetensors"]].concat()[..]),
        ("x.onnx", &["convert", "m.safetensors", "x.onnx"]),
    ] {
        if file == "x.onnx" {
            fs::write(dir.path().join(file), b"\x08\x07\x12\x07pytorch").unwrap();
        }
        let before = fs::read(dir.path().join(file)).unwrap();
        refused(dir.path(), args, "or replace it with --force");
        assert!(fs::read(dir.path().join(file)).unwrap() == before);
        succeed(dir.path(), &[args, &["--force"]].concat());
        assert!(fs::read(dir.path().join(file)).unwrap() != before);
    }
    refused(dir.path(), &["convert", "m.safetensors", "m.pt"], ".onnx, .safetensors or .npz");
    refused(
        dir.path(),
        &["convert", "m.safetensors", "y.onnx", "--loss", "sos"],
        "says this itself",
    );
    refused(dir.path(), &["convert", &diabetes, "y.onnx"], "diabetes.csv");
    refused(
        dir.path(),
        &["convert", "w.npz", "y.onnx", "--activation", "tanh,relu"],
        "activations",
    );
}

#[test]
fn shells_and_manuals_know_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let first = succeed(dir.path(), &["--help"]);
    let short = succeed(dir.path(), &["fit", "-h"]);
    let long = succeed(dir.path(), &["fit", "--help"]);
    assert!(first.lines().count() < 50 && short.lines().count() < 60, "{first}\n{short}");
    assert!(!first.contains("Others\n"), "{first}");
    let place = |text: &str| first.find(text).unwrap_or_else(|| panic!("{text} in {first}"));
    assert!(
        place("Begin with") < place("Derivatives\n")
            && place("Derivatives\n") < place("Exit codes")
    );
    for option in ["--target", "--hidden", "--report"] {
        assert!(short.contains(option) && long.contains(option), "{option}");
    }
    for option in ["--decimal", "--preconditioner"] {
        assert!(!short.contains(option) && long.contains(option), "{option}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = succeed(dir.path(), &["completions", shell]);
        for word in ["derivatives", "convert", "target", "force"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    for _ in 0..2 {
        succeed(dir.path(), &["man", "pages"]);
    }
    let pages: BTreeSet<String> = fs::read_dir(dir.path().join("pages"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for command in
        ["fit", "predict", "plot", "derivatives", "check", "infer", "prune", "evidence", "convert"]
    {
        assert!(pages.contains(&format!("secondo-{command}.1")), "{command}: {pages:?}");
        assert!(first.contains(&format!("\n  {command} ")), "{command}");
    }
    assert!(pages.contains("secondo.1"));
    fs::write(dir.path().join("pages/secondo.1"), "mine").unwrap();
    refused(dir.path(), &["man", "pages"], "it is not a page of the manual");
}

/// Drivers complain of a missing folder on standard error, where the program's own notes are.
#[cfg(all(unix, feature = "gpu"))]
#[test]
fn drivers_are_silent() {
    let out = Command::new(env!("CARGO_BIN_EXE_secondo"))
        .arg("adapters")
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .unwrap();
    assert_eq!((out.status.code(), text(&out.stderr)), (Some(0), String::new()));
}
