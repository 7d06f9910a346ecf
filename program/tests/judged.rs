//! From a table to a judged model: early stopping, choices by cross-validation, weights of rows and classes, exposures, several targets,
//! calibration.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

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

#[track_caller]
fn succeed(folder: &Path, args: &[&str]) -> String {
    let out = secondo(folder, args);
    let said = text(&out.stdout);
    assert_eq!(out.status.code(), Some(0), "{args:?}\n{said}\n{}", text(&out.stderr));
    said
}

#[track_caller]
fn refused(folder: &Path, args: &[&str], said: &[&str]) {
    let out = secondo(folder, args);
    let stderr = text(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{args:?}\n{}{stderr}", text(&out.stdout));
    said.iter().for_each(|part| assert!(stderr.contains(part), "'{part}' is not in: {stderr}"));
}

/// The text and the JSON report of a fit of a table in `folder`.
#[track_caller]
fn fit(folder: &Path, table: &str, target: &str, more: &[&str]) -> (String, Value) {
    let args = ["fit", table, "--target", target, "--model", "m.safetensors", "--report", "r.json"];
    let said = succeed(folder, &[&args[..], more].concat());
    let report = std::fs::read_to_string(folder.join("r.json")).expect("the report exists");
    (said, serde_json::from_str(&report).expect("the report is JSON"))
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap_or_else(|| panic!("{other} is no number"))],
    }
}

/// Predictions as numbers, without the first fields of each line.
fn predicted(folder: &Path, table: &str, skip: usize) -> Vec<f64> {
    let said = succeed(folder, &["predict", "m.safetensors", table, "-q"]);
    let fields = said.lines().skip(1).flat_map(|line| line.split(',').skip(skip));
    fields.map(|field| field.parse().expect("a number")).collect()
}

#[track_caller]
fn near(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= tolerance * a.abs().max(1.0), "{a} and {b}");
    }
}

/// Uniform numbers from −½ to ½, the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as f64 / (1u64 << 31) as f64 - 0.5
    }
}

/// 40 rows of ten inputs, of which one tells something of y.
fn noisy(folder: &Path) {
    let mut noise = Noise(3);
    let names: Vec<String> = (0..10).map(|i| format!("x{i}")).collect();
    let mut lines = format!("{},y,apart,who\n", names.join(","));
    for i in 0..60 {
        let x: Vec<f64> = (0..10).map(|_| noise.next()).collect();
        let y = x[0] + 0.7 * noise.next();
        let x: Vec<String> = x.iter().map(f64::to_string).collect();
        let apart = ["train", "validation", "train"][i % 3];
        lines.push_str(&format!("{},{y},{apart},p{}\n", x.join(","), i / 4));
    }
    std::fs::write(folder.join("d.csv"), lines).unwrap();
}

#[test]
fn early_stopping_returns_the_point_of_the_lowest_error() {
    let dir = tempfile::tempdir().unwrap();
    noisy(dir.path());
    let network = ["--hidden", "12", "--ridge", "0", "--ignore", "apart,who"];
    let part = ["--validation-fraction", "0.25"];
    let patient = [&network[..], &part, &["--patience", "5"]].concat();
    let (said, report) = fit(dir.path(), "d.csv", "y", &patient);
    let curve = &report["early_stopping"];
    let errors = numbers(&curve["error"]);
    let best = curve["best"].as_u64().unwrap() as usize;
    let lowest = errors.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(errors[best] == lowest && best + 1 < errors.len(), "{errors:?}");
    assert_eq!((&report["reason"], &report["converged"]), (&"validation".into(), &false.into()));
    assert!(curve["ended"] == true && errors.len() - 1 - best == 5, "{curve}");
    assert_eq!(report["value"], curve["objective"][best]);
    assert_eq!(report["data"]["validation_rows"], 12);
    assert_eq!(report["data"]["train_rows"], 36);
    assert!(said.contains("36 to train, 12 to end early by, 12 held out"), "{said}");
    assert!(said.contains("early stopping") && said.contains("validation   error"), "{said}");
    assert!(!said.contains("not converged"), "{said}");
    // The parameters are those of the best point: the error that the report states for the rows is that of the curve.
    let y_scale = numbers(&report["standardization"]["y_scale"])[0];
    let rmse = report["metrics"]["validation"]["rmse"].as_f64().unwrap() / y_scale;
    assert!((0.5 * rmse * rmse - lowest).abs() < 1e-12 * lowest, "{rmse} {lowest}");
    // Less patience ends sooner, and a column says which rows.
    let (_, sooner) =
        fit(dir.path(), "d.csv", "y", &[&network[..], &part, &["--patience", "2"]].concat());
    let curve = &sooner["early_stopping"];
    let after = numbers(&curve["error"]).len() - 1 - curve["best"].as_u64().unwrap() as usize;
    assert_eq!(after, 2);
    let column = ["--hidden", "2", "--ignore", "who", "--validation-column", "apart"];
    let (_, report) = fit(dir.path(), "d.csv", "y", &column);
    assert_eq!(report["data"]["validation_rows"], 20);
    assert_eq!(report["data"]["test_rows"], 8);
    assert!(!report["data"]["features"].to_string().contains("apart"));
    // The lines of both parts are kept from the rows that trained it.
    let said = succeed(dir.path(), &["infer", "m.safetensors", "d.csv"]);
    assert!(!said.is_empty());
    // Of several starts that with the lowest error is kept.
    let starts = [&patient[..], &["--starts", "3"]].concat();
    let (said, report) = fit(dir.path(), "d.csv", "y", &starts);
    assert!(said.contains("has the lowest validation error"), "{said}");
    assert_eq!(report["early_stopping"]["ended"], true);
}

#[test]
fn starts_side_by_side_have_the_bits_of_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    noisy(dir.path());
    let values = |threads: &str| {
        let more =
            ["--hidden", "3", "--ignore", "apart,who", "--starts", "5", "--threads", threads];
        let (said, report) = fit(dir.path(), "d.csv", "y", &more);
        assert!(said.contains("all starts") && said.contains("steps tried"), "{said}");
        let spent = &report["spent"];
        assert!(spent["objectives"].as_u64() > report["evaluations"]["objective"].as_u64());
        let starts = report["starts"].as_array().unwrap();
        assert_eq!(starts.len(), 5);
        let steps: u64 = starts.iter().map(|s| s["iterations"].as_u64().unwrap()).sum();
        assert!(spent["steps"].as_u64().unwrap() >= steps);
        let values: Vec<Value> = starts.iter().map(|start| start["value"].clone()).collect();
        (values, report["W"].clone(), report["best_start"].clone())
    };
    assert_eq!(values("1"), values("4"));
    let (said, report) = fit(dir.path(), "d.csv", "y", &["--hidden", "2", "--ignore", "apart,who"]);
    assert!(said.contains("in all") && said.contains("training"), "{said}");
    let parts = &report["seconds_by_part"];
    let sum: f64 = ["reading", "choosing", "training", "judging"]
        .iter()
        .map(|part| parts[part].as_f64().unwrap())
        .sum();
    assert!(sum > 0.0 && sum <= report["total_seconds"].as_f64().unwrap() + 0.01);
}

#[test]
fn cross_validation_chooses_networks_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut noise = Noise(11);
    let mut lines = String::from("a,b,y,who\n");
    for i in 0..80 {
        let (a, b) = (4.0 * noise.next(), noise.next());
        lines.push_str(&format!("{a},{b},{},{}\n", a * a + 0.1 * noise.next(), i % 16));
    }
    std::fs::write(dir.path().join("d.csv"), lines).unwrap();
    let wide = ["--hidden", "none", "--hidden", "4", "--ridge", "0.01,1000", "--cv", "4"];
    let base = [&wide[..], &["--ignore", "who", "--max-iter", "30"]].concat();
    let (said, report) = fit(dir.path(), "d.csv", "y", &base);
    let choice = &report["validation"];
    assert_eq!(choice["candidates"].as_array().unwrap().len(), 4);
    let chosen = &choice["candidates"][choice["chosen"].as_u64().unwrap() as usize];
    assert_eq!((&chosen["hidden"], &chosen["ridge"]), (&serde_json::json!([4]), &0.01.into()));
    assert_eq!(report["options"]["hidden"], serde_json::json!([4]));
    assert_eq!(report["penalty"]["lambda"], 0.01);
    for line in
        ["hidden none, ridge ", "hidden 4, activation tanh, ridge 0.01 (best of 2 penalties): "]
    {
        assert!(said.contains(line) && said.contains(", chosen"), "{said}");
    }
    // As one after the other, on one thread.
    let (_, alone) = fit(dir.path(), "d.csv", "y", &[&base[..], &["--threads", "1"]].concat());
    assert_eq!(alone["validation"], *choice);
    // A penalty that stands twice is chosen once; radial units have no activation to name.
    let twice = fit(dir.path(), "d.csv", "y", &["--ridge", "10,10", "--hidden", "none"]).0;
    assert_eq!(twice.matches(", chosen").count(), 1, "{twice}");
    let radial = ["--hidden", "rbf:2", "--hidden", "rbf:3", "--ridge", "1", "--max-iter", "5"];
    let (radial, _) = fit(dir.path(), "d.csv", "y", &radial);
    assert!(radial.contains(":2, ridge 1: ") && !radial.contains("activation"), "{radial}");
    // Repeated: the mean is over more folds, and the standard error that of one division.
    let (said, report) = fit(dir.path(), "d.csv", "y", &[&base[..], &["--repeats", "2"]].concat());
    assert!(said.contains("4-fold cross-validation, 2 times"), "{said}");
    let repeated = &report["validation"]["candidates"];
    assert_ne!(repeated[0]["mean"], choice["candidates"][0]["mean"]);
    let ratio = repeated[0]["standard_error"].as_f64().unwrap()
        / choice["candidates"][0]["standard_error"].as_f64().unwrap();
    assert!((0.3..3.0).contains(&ratio), "{ratio}");
    // Activations, and groups that stay together.
    let more = [
        "--activation",
        "tanh",
        "--activation",
        "identity",
        "--groups",
        "who",
        "--cv",
        "4",
        "--max-iter",
        "30",
    ];
    let (said, report) = fit(dir.path(), "d.csv", "y", &[&["--hidden", "3"], &more[..]].concat());
    assert_eq!(report["options"]["activation"], "tanh");
    assert!(said.contains("equal who kept together"), "{said}");
    assert!(!report["data"]["features"].to_string().contains("who"));
    // 16 groups: three are held out.
    assert_eq!(report["data"]["test_rows"], 15);
    let args = ["fit", "d.csv", "--target", "y", "--groups", "who", "--cv", "14"];
    refused(dir.path(), &args, &["14 folds need 14 groups"]);
}

/// The penalty of a small table is chosen without being asked for, and is what `--ridge auto` chooses; one that is given, early
/// stopping, a checkpoint, few rows and a large network leave nothing to choose.
#[test]
fn by_default_the_penalty_of_a_small_table_is_chosen() {
    let dir = tempfile::tempdir().unwrap();
    noisy(dir.path());
    let fit = |more: &[&str]| {
        fit(
            dir.path(),
            "d.csv",
            "y",
            &[more, &["--ignore", "apart,who", "--max-iter", "100"]].concat(),
        )
    };
    let chosen = |more: &[&str]| {
        let (_, report) = fit(more);
        let lambda = report["penalty"]["lambda"].clone();
        (report["validation"]["candidates"].as_array().map(Vec::len), lambda, report["W"].clone())
    };
    let free = chosen(&[]);
    assert_ne!(free.1, 1.0, "the choice differs from what is taken without one");
    assert_eq!((free.0, chosen(&["--mean"]).0), (Some(21), Some(21)));
    assert_eq!(chosen(&["--activation", "relu"]).0, Some(7));
    // The candidates are those of a hidden layer, and the linear models, with their scores.
    let scores = |more: &[&str]| {
        let (_, report) = fit(more);
        let list = report["validation"]["candidates"].as_array().unwrap().clone();
        list.iter().map(|c| (c["mean"].as_f64().unwrap(), c["ridge"].clone())).collect::<Vec<_>>()
    };
    let both = [
        scores(&["--ridge", "auto", "--hidden", "8"]),
        scores(&["--ridge", "auto", "--hidden", "8", "--activation", "silu"]),
        scores(&["--ridge", "auto", "--hidden", "none"]),
    ]
    .concat();
    let (said, report) = fit(&[]);
    assert_eq!(scores(&[]), both);
    let best = both.iter().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    assert_eq!(report["penalty"]["lambda"], best.1);
    // The truth is linear, and is found.
    assert_eq!(report["options"]["hidden"], serde_json::json!([]));
    for line in ["hidden none, ridge", "hidden 8, activation tanh, ridge", "activation silu, ridge"]
    {
        assert!(said.contains(line), "{said}");
    }
    for without in [
        &["--ridge", "1"][..],
        &["--validation-fraction", "0.2"],
        &["--checkpoint", "c"],
        &["--hidden", "600"],
    ] {
        assert_eq!(chosen(without).0, None, "{without:?}");
    }
    // A wide table, where each network alone is small enough.
    let names: Vec<String> = (0..320).map(|i| format!("x{i}")).collect();
    let row = |i: usize| {
        let cells: Vec<String> = (0..320).map(|j| ((i * j) % 7).to_string()).collect();
        format!("{},{}\n", cells.join(","), i % 5)
    };
    let wide = format!("{},y\n{}", names.join(","), (1..20).map(row).collect::<String>());
    std::fs::write(dir.path().join("wide.csv"), wide).unwrap();
    let more = ["--task", "regression", "--max-iter", "3", "--row-names", "none"];
    let (_, report) = crate::fit(dir.path(), "wide.csv", "y", &more);
    assert_eq!(report["validation"]["candidates"].as_array().map(Vec::len), Some(21));
    std::fs::write(dir.path().join("few.csv"), "x,y\n1,2\n2,4.5\n3,5\n4,7\n").unwrap();
    let (_, report) = crate::fit(dir.path(), "few.csv", "y", &["--task", "regression"]);
    assert!(report.get("validation").is_none_or(Value::is_null));
}

/// A loss for numbers makes the target numbers, also where few different ones would be taken for classes; weights count in the confusion
/// matrix as rows.
#[test]
fn a_loss_says_the_task_and_weights_count_as_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut noise = Noise(31);
    let lines: String =
        (0..60).map(|i| format!("{},{},{}\n", noise.next(), i % 3, 1 + 40 * (i % 7))).collect();
    std::fs::write(dir.path().join("d.csv"), format!("a,y,w\n{lines}")).unwrap();
    let base = ["--ridge", "1", "--ignore", "w"];
    let guessed = fit(dir.path(), "d.csv", "y", &base).0;
    assert!(guessed.contains("classification"), "{guessed}");
    let counts = fit(dir.path(), "d.csv", "y", &[&base[..], &["--loss", "poisson"]].concat()).0;
    assert!(counts.contains("y: regression"), "{counts}");
    let weighted = ["--ridge", "1", "--weights", "w", "--test-fraction", "0"];
    let (_, report) = fit(dir.path(), "d.csv", "y", &weighted);
    let classes = report["metrics"]["train"]["classes"].as_array().unwrap();
    let all: f64 = classes.iter().flat_map(|c| numbers(&c["predicted_as"])).sum();
    let weights: usize = (0..60).map(|i| 1 + 40 * (i % 7)).sum();
    assert_eq!(all, weights as f64);
}

/// `derivatives` says where rows count that the fit held out.
#[test]
fn rows_that_were_held_out_are_named() {
    let dir = tempfile::tempdir().unwrap();
    noisy(dir.path());
    for (fraction, note) in [("0.2", Some("12 of them were held out")), ("0", None)] {
        let more = ["--ridge", "1", "--ignore", "apart,who", "--test-fraction", fraction];
        fit(dir.path(), "d.csv", "y", &more);
        let args = ["derivatives", "m.safetensors", "d.csv", "--structure", "none"];
        let said = text(&secondo(dir.path(), &args).stderr);
        assert_eq!(said.contains("all 60 rows"), note.is_some(), "{said}");
        assert!(note.is_none_or(|note| said.contains(note)), "{said}");
    }
}

/// The linear model beside has the best penalty of the linear candidates.
#[test]
fn the_linear_model_beside_has_its_own_penalty() {
    let dir = tempfile::tempdir().unwrap();
    let mut noise = Noise(23);
    let row = |_| {
        let (a, b) = (4.0 * noise.next(), 4.0 * noise.next());
        format!("{a},{b},{}\n", a * b + 0.3 * noise.next())
    };
    let lines: String = (0..120).map(row).collect();
    std::fs::write(dir.path().join("d.csv"), format!("a,b,y\n{lines}")).unwrap();
    let (said, report) = fit(dir.path(), "d.csv", "y", &[]);
    assert_eq!(report["options"]["hidden"], serde_json::json!([8]));
    let ridge = report["metrics"]["linear_ridge"].as_f64().unwrap();
    assert_ne!(report["penalty"]["lambda"], ridge, "the test needs two penalties");
    assert!(
        said.contains(&format!("the linear model has its own penalty, ridge {ridge}")),
        "{said}"
    );
    let text = ridge.to_string();
    let (_, linear) = fit(dir.path(), "d.csv", "y", &["--hidden", "none", "--ridge", &text]);
    near(
        &numbers(&report["metrics"]["linear"]["rmse"]),
        &numbers(&linear["metrics"]["test"]["rmse"]),
        1e-9,
    );
}

/// Where a small table leaves a choice three starts are fitted, also in each fold, and else one.
#[test]
fn a_small_table_has_three_starts() {
    let dir = tempfile::tempdir().unwrap();
    let mut noise = Noise(29);
    let row = |_| {
        let (a, b) = (4.0 * noise.next(), 4.0 * noise.next());
        format!("{a},{b},{}\n", a * b + noise.next())
    };
    let lines: String = (0..90).map(row).collect();
    std::fs::write(dir.path().join("d.csv"), format!("a,b,y\n{lines}")).unwrap();
    let facts = |more: &[&str]| {
        let (_, report) = fit(dir.path(), "d.csv", "y", &[more, &["--max-iter", "100"]].concat());
        let scores = report["validation"]["candidates"].clone();
        (report["starts"].as_array().unwrap().len(), scores, report["W"].clone())
    };
    let small = facts(&[]);
    assert_eq!(small.0, 3);
    assert_eq!(small, facts(&["--starts", "3"]));
    let auto = facts(&["--ridge", "auto", "--hidden", "8"]);
    assert_eq!(auto.1.as_array().unwrap()[..], small.1.as_array().unwrap()[..7]);
    // Other starts lead to other minima in some fold.
    let one = facts(&["--starts", "1"]);
    assert_eq!(one.0, 1);
    assert_ne!(one.1, small.1);
    assert_eq!(facts(&["--ridge", "1"]).0, 1);
    assert_eq!(facts(&["--ridge", "0.1,1", "--hidden", "none"]).0, 1);
    // Which would all be the same.
    assert_eq!(facts(&["--ridge", "1", "--hidden", "none", "--starts", "3"]).0, 1);
    // Their centres are other rows.
    let radial = ["--ridge", "1", "--hidden", "rbf:2", "--init", "zero", "--starts", "2"];
    assert_eq!(facts(&radial).0, 2);
    assert_eq!(facts(&["--ridge", "0.1,1", "--hidden", "8", "--checkpoint", "c"]).0, 1);
    assert_eq!(facts(&["--ridge", "0.1,1", "--hidden", "1000"]).0, 1);
}

/// A choice that is interrupted says so and writes nothing; as many folds as rows are possible; one candidate is judged, not chosen; a
/// model that predicts one number is named.
#[test]
fn choices_say_what_happens() {
    let dir = tempfile::tempdir().unwrap();
    noisy(dir.path());
    let (said, _) =
        fit(dir.path(), "d.csv", "y", &["--ridge", "1", "--cv", "48", "--hidden", "none"]);
    assert!(said.contains("judged by") && !said.contains(", chosen"), "{said}");
    let args = ["fit", "d.csv", "--target", "y", "--cv", "49"];
    refused(dir.path(), &args, &["49 folds need 49 rows", "there are 48"]);
    // A limit beyond what a clock counts is none.
    fit(dir.path(), "d.csv", "y", &["--hidden", "none", "--ridge", "1,2", "--time-limit", "3e19"]);
    // A target far from 0 is no constant.
    let far: String = (0..40).map(|i| format!("{i},{}\n", 1_000_000 + i % 7)).collect();
    std::fs::write(dir.path().join("far.csv"), format!("a,y\n{far}")).unwrap();
    let more = ["--hidden", "none", "--ridge", "0", "--task", "regression"];
    let (said, _) = fit(dir.path(), "far.csv", "y", &more);
    assert!(!said.contains("the same for every row"), "{said}");
    let (said, _) = fit(dir.path(), "d.csv", "y", &["--ridge", "1e12"]);
    assert!(said.contains("the model predicts the same for every row"), "{said}");
    // A time limit that ends fits of the choice says so.
    let wide = ["--ridge", "1,2", "--hidden", "3", "--cv", "10"];
    let ignore = ["--ignore", "apart,who"];
    let args = ["fit", "d.csv", "--target", "y", "--time-limit", "1e-6"];
    let out = secondo(dir.path(), &[&args[..], &wide, &ignore].concat());
    let stderr = text(&out.stderr);
    assert!(stderr.contains("of the 20 fits of the cross-validation"), "{stderr}");
    let (said, _) =
        fit(dir.path(), "d.csv", "y", &[&wide[..], &ignore, &["--time-limit", "600"]].concat());
    assert!(!said.contains("of the 20 fits"), "{said}");
    #[cfg(target_os = "linux")]
    {
        let mut noise = Noise(29);
        let row = |_| format!("{},{},{}\n", noise.next(), noise.next(), noise.next());
        let lines: String = (0..3000).map(row).collect();
        std::fs::write(dir.path().join("long.csv"), format!("a,b,y\n{lines}")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_secondo"))
            .current_dir(dir.path())
            .args(["fit", "long.csv", "--target", "y", "--hidden", "30", "--threads", "1"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // As soon as the signal is caught; the choice takes seconds from there.
        let status = format!("/proc/{}/status", child.id());
        let is_caught = || {
            let status = std::fs::read_to_string(&status).unwrap();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
            u64::from_str_radix(mask.trim(), 16).unwrap() & 2 != 0
        };
        while !is_caught() {
            let why =
                "it ended: was this test started where SIGINT is ignored, as in a background job?";
            assert!(child.try_wait().unwrap().is_none(), "{why}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let out = child.wait_with_output().unwrap();
        let stderr = text(&out.stderr);
        assert_eq!(out.status.code(), Some(130), "{stderr}{}", text(&out.stdout));
        assert!(stderr.contains("interrupted in the cross-validation"), "{stderr}");
        assert!(!dir.path().join("long.safetensors").exists());
    }
}

/// Rows of weight 0 change nothing anywhere, and weights that are whole numbers are as many rows: means that fill gaps, levels, scales,
/// targets, objective, figures and cross-validation.
#[test]
fn weights_are_repeated_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut noise = Noise(5);
    let rows: Vec<String> = (0..36)
        .map(|i| {
            let (a, b) = (10.0 * noise.next(), noise.next());
            let gap = if i % 7 == 3 { "NA".to_string() } else { b.to_string() };
            let level = if i % 5 == 4 { "" } else { ["u", "v", "w"][i % 3] };
            let y = a + 3.0 * b + noise.next();
            let class = if y > 0.0 { "up" } else { "down" };
            format!("{a},{gap},{level},{y},{class},g{}", i % 12)
        })
        .collect();
    let header = "a,b,k,y,class,who,w\n";
    let write = |name: &str, repeated: bool| {
        let mut lines = String::from(header);
        for (i, row) in rows.iter().enumerate() {
            let weight = i % 3 + 1;
            let (times, w) = if repeated { (weight, 1) } else { (1, weight) };
            (0..times).for_each(|_| lines.push_str(&format!("{row},{w}\n")));
            if !repeated && i % 9 == 0 {
                // Sizes, a level, gaps, a class and a group that would change everything.
                lines.push_str(&format!("1e200,text,odd{i},NA,none,new{i},0\n"));
            }
        }
        std::fs::write(dir.path().join(name), lines).unwrap();
    };
    write("weighted.csv", false);
    write("repeated.csv", true);
    let exact = ["--weights", "w", "--missing", "impute", "--groups", "who", "--gtol", "1e-12"];
    for (target, hidden, cv) in
        [("y", "none", true), ("y", "2", false), ("class", "none", true), ("class", "2", false)]
    {
        let other = if target == "y" { "class" } else { "y" };
        let choice = if cv { &["--ridge", "0.1,10", "--cv", "3"][..] } else { &[] };
        let more = [
            &exact[..],
            &["--hidden", hidden, "--ignore", other, "--test-fraction", "0.25"],
            choice,
        ]
        .concat();
        let (_, a) = fit(dir.path(), "weighted.csv", target, &more);
        let (_, b) = fit(dir.path(), "repeated.csv", target, &more);
        assert_eq!(a["data"]["features"], b["data"]["features"]);
        assert_eq!(a["data"]["weightless"], 4);
        for key in ["x_mean", "x_scale", "y_mean", "y_scale"] {
            let of = |report: &Value| numbers(&report["standardization"][key]);
            near(&of(&a), &of(&b), 1e-12);
        }
        near(&numbers(&a["value"]), &numbers(&b["value"]), 1e-12);
        let figures = |report: &Value| -> Vec<f64> {
            let parts = [&report["metrics"]["train"], &report["metrics"]["test"]];
            let keys = ["rmse", "mae", "r2", "accuracy", "log_loss", "auc"];
            let all = parts.iter().flat_map(|part| keys.iter().filter_map(|key| part.get(*key)));
            let calibration = parts.iter().filter_map(|part| part.get("calibration"));
            let bins = calibration.flat_map(|c| {
                let bins = c["bins"].as_array().unwrap().iter();
                let fields = &["weight", "predicted", "observed"];
                bins.flat_map(move |bin| fields.iter().map(move |f| bin[*f].clone()))
                    .chain([c["brier"].clone(), c["error"].clone()])
            });
            all.cloned().chain(bins).map(|v| v.as_f64().unwrap()).collect()
        };
        // The parameters are as exact as their minimum.
        near(&figures(&a), &figures(&b), if hidden == "none" { 1e-9 } else { 1e-7 });
        if cv {
            let scores = |report: &Value| -> Vec<f64> {
                let list = report["validation"]["candidates"].as_array().unwrap();
                list.iter().flat_map(|c| numbers(&c["mean"])).collect()
            };
            near(&scores(&a), &scores(&b), 1e-9);
        }
        // Without the weights it is another fit: the test can fail.
        let unweighted: Vec<&str> = more[2..].to_vec();
        let (_, c) = fit(
            dir.path(),
            "repeated.csv",
            target,
            &[&unweighted[..], &["--ignore", "w"]].concat(),
        );
        near(&numbers(&b["value"]), &numbers(&c["value"]), 1e-12);
        let mut once = String::from(header);
        rows.iter().for_each(|row| once.push_str(&format!("{row},1\n")));
        std::fs::write(dir.path().join("once.csv"), once).unwrap();
        let (_, d) = fit(dir.path(), "once.csv", target, &more);
        assert_ne!(d["value"], b["value"]);
    }
}

#[test]
fn classes_are_weighted_in_the_objective() {
    let dir = tempfile::tempdir().unwrap();
    let mut noise = Noise(9);
    let mut lines = String::from("x,z,y,w\n");
    for i in 0..90 {
        let (class, shift) = if i % 9 == 0 { ("rare", 0.6) } else { ("usual", 0.0) };
        let w = if class == "rare" { 4.0 } else { 0.5 };
        lines.push_str(&format!("{},{},{class},{w}\n", noise.next() + shift, noise.next()));
    }
    std::fs::write(dir.path().join("d.csv"), lines).unwrap();
    let base = ["--hidden", "none", "--test-fraction", "0"];
    let run = |more: &[&str]| fit(dir.path(), "d.csv", "y", &[&base[..], more].concat());
    let (said, given) = run(&["--ignore", "w", "--class-weights", "rare=4,usual=0.5"]);
    assert!(said.contains("rare 4.0000, usual 0.5000"), "{said}");
    // As weights of the rows, but inputs are standardised and figures counted without.
    let (_, plain) = run(&["--ignore", "w"]);
    assert_eq!(given["standardization"], plain["standardization"]);
    let recall = |report: &Value| report["metrics"]["train"]["classes"][0]["recall"].as_f64();
    assert!(recall(&given) > recall(&plain));
    let rows = |report: &Value| -> f64 {
        let classes = report["metrics"]["train"]["classes"].as_array().unwrap();
        classes.iter().flat_map(|c| numbers(&c["predicted_as"])).sum()
    };
    assert_eq!(rows(&given), 90.0);
    // 10 of 90 rows are rare: 90/(2·10) and 90/(2·80).
    let (_, balanced) = run(&["--ignore", "w", "--class-weights", "balanced"]);
    assert_eq!(balanced["data"]["class_weights"], serde_json::json!([4.5, 0.5625]));
    let (_, same) = run(&["--ignore", "w", "--class-weights", "rare=4.5,usual=0.5625"]);
    assert_eq!(same["W"], balanced["W"]);
    // The model knows them: its derivatives are 0 at the fit.
    let derive = ["derivatives", "m.safetensors", "d.csv", "--ignore", "w", "-o", "g.json"];
    succeed(dir.path(), &derive);
    let gradient = std::fs::read_to_string(dir.path().join("g.json")).unwrap();
    let gradient: Value = serde_json::from_str(&gradient).unwrap();
    assert!(numbers(&gradient["gradient"]).iter().all(|g| g.abs() < 1e-6), "{gradient}");
    refused(dir.path(), &["infer", "m.safetensors", "d.csv"], &["weights of classes"]);
    let wrong = |weights: &str, said: &[&str]| {
        let args = ["fit", "d.csv", "--target", "y", "--class-weights", weights];
        refused(dir.path(), &args, said);
    };
    wrong("rara=2", &["no class 'rara'", "rare, usual"]);
    wrong("rare", &["CLASS=WEIGHT"]);
    wrong("rare=-1", &["positive"]);
    let args = ["fit", "d.csv", "--target", "x", "--ignore", "y", "--class-weights", "balanced"];
    refused(dir.path(), &args, &["--class-weights", "classification"]);
}

/// Softmax with a reference class: the same probabilities without a penalty, and outputs that are log odds.
#[test]
fn a_reference_class_has_the_output_zero() {
    let dir = tempfile::tempdir().unwrap();
    let mut noise = Noise(21);
    let mut lines = String::from("x,z,y\n");
    for i in 0..120 {
        let class = i % 3;
        let (x, z) = (noise.next() + 0.3 * class as f64, noise.next());
        lines.push_str(&format!("{x},{z},{}\n", ["a", "b", "c"][class]));
    }
    std::fs::write(dir.path().join("d.csv"), lines).unwrap();
    let base = ["--hidden", "none", "--test-fraction", "0", "--ridge", "0", "--gtol", "1e-12"];
    let (_, free) = fit(dir.path(), "d.csv", "y", &base);
    let all = predicted(dir.path(), "d.csv", 1);
    let (said, held) =
        fit(dir.path(), "d.csv", "y", &[&base[..], &["--reference-class", "b"]].concat());
    assert!(said.contains("reference    b"), "{said}");
    assert!(held["converged"] == true, "{said}");
    near(&all, &predicted(dir.path(), "d.csv", 1), 1e-7);
    near(&numbers(&free["value"]), &numbers(&held["value"]), 1e-12);
    // Rows of the layer: (x, z, bias) of a, b and c.
    assert_eq!(numbers(&held["W"])[3..6], [0.0; 3]);
    assert!(numbers(&free["W"])[3..6].iter().any(|w| *w != 0.0));
    succeed(dir.path(), &["infer", "m.safetensors", "d.csv"]);
    refused(dir.path(), &["prune", "m.safetensors", "d.csv"], &["reference class"]);
    let args = ["fit", "d.csv", "--target", "y", "--reference-class", "d"];
    refused(dir.path(), &args, &["no class 'd'", "a, b, c"]);
}

/// Counts with an exposure: the offset of a generalised linear model, here one whose maximum is known by hand.
#[test]
fn counts_are_proportional_to_their_exposure() {
    let dir = tempfile::tempdir().unwrap();
    // Without a penalty and with one binary input each group has the rate Σ counts / Σ years.
    let table = "k,years,log_years,count\n\
        0,2,0.6931471805599453,3\n0,1,0,2\n0,5,1.6094379124341003,4\n\
        1,1,0,6\n1,4,1.3862943611198906,20\n1,0.5,-0.6931471805599453,1\n";
    std::fs::write(dir.path().join("d.csv"), table).unwrap();
    let base = ["--task", "regression", "--hidden", "none", "--ridge", "0", "--test-fraction", "0"];
    let base = [&base[..], &["--gtol", "1e-13"]].concat();
    let poisson = [&base[..], &["--loss", "poisson"]].concat();
    let rates = [9.0 / 8.0, 27.0 / 5.5];
    let right: Vec<f64> = [(0, 2.0), (0, 1.0), (0, 5.0), (1, 1.0), (1, 4.0), (1, 0.5)]
        .iter()
        .map(|&(k, years): &(usize, f64)| rates[k] * years)
        .collect();
    for (option, column, other) in
        [("--exposure", "years", "log_years"), ("--offset", "log_years", "years")]
    {
        let more = [&poisson[..], &[option, column, "--ignore", other]].concat();
        let (said, report) = fit(dir.path(), "d.csv", "count", &more);
        assert_eq!(report["data"]["features"], serde_json::json!(["k"]));
        assert!(said.contains(&format!("exposure     {column}")), "{said}");
        let named = if option == "--offset" { "exp(log_years)" } else { "years" };
        let shown = serde_json::json!([format!("count per {named}")]);
        assert_eq!(report["shown"]["targets"], shown, "figures show rates");
        near(&predicted(dir.path(), "d.csv", 0), &right, 1e-10);
        let rmse = report["metrics"]["train"]["rmse"].as_f64().unwrap();
        let counts = [3.0, 2.0, 4.0, 6.0, 20.0, 1.0];
        let mean = right.iter().zip(counts).map(|(p, y)| (p - y).powi(2) / 6.0).sum::<f64>();
        near(&[rmse], &[mean.sqrt()], 1e-10);
        // Deviances by hand, of these rates and of one rate for all.
        let deviance = |mean: &dyn Fn(usize) -> f64| {
            let unit =
                |i: usize| 2.0 * (counts[i] * (counts[i] / mean(i)).ln() - counts[i] + mean(i));
            (0..6).map(unit).sum::<f64>() / 6.0
        };
        let years = [2.0, 1.0, 5.0, 1.0, 4.0, 0.5];
        let (own, one) = (deviance(&|i| right[i]), deviance(&|i| 36.0 / 13.5 * years[i]));
        let found = &report["metrics"]["train"]["deviance"];
        let found = [&found["mean"], &found["explained"]].map(|v| v.as_f64().unwrap());
        near(&found, &[own, 1.0 - own / one], 1e-9);
        assert!(said.contains("deviance") && said.contains("D²"), "{said}");
        // The model asks for the column.
        std::fs::write(dir.path().join("n.csv"), "k\n1\n").unwrap();
        let args = ["predict", "m.safetensors", "n.csv"];
        refused(dir.path(), &args, &["n.csv", &format!("no column '{column}'")]);
    }
    // Gamma: the mean of y/E in each group.
    let gamma = [&base[..], &["--loss", "gamma", "--exposure", "years", "--ignore", "log_years"]];
    fit(dir.path(), "d.csv", "count", &gamma.concat());
    let mean = [(1.5 + 2.0 + 0.8) / 3.0, (6.0 + 5.0 + 2.0) / 3.0];
    let found = predicted(dir.path(), "d.csv", 0);
    near(&[found[1], found[3]], &mean, 1e-10);
    let exposed = ["--exposure", "years", "--ignore", "log_years"];
    let args = ["fit", "d.csv", "--target", "count", "--task", "regression"];
    refused(dir.path(), &[&args[..], &exposed].concat(), &["exposure", "poisson and gamma"]);
    std::fs::write(dir.path().join("z.csv"), "k,years,count\n1,0,1\n0,1,2\n1,2,3\n").unwrap();
    let args = ["fit", "z.csv", "--target", "count", "--loss", "poisson", "--task", "regression"];
    let years = ["--exposure", "years"];
    refused(dir.path(), &[&args[..], &years].concat(), &["line 2, column years", "not positive"]);
}

#[test]
fn several_targets_are_predicted_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut noise = Noise(2);
    let mut lines = String::from("x,y,\"z,t\",mixed\n");
    for _ in 0..50 {
        let x = noise.next();
        lines.push_str(&format!("{x},{},{},{}\n", 2.0 * x + 1.0, 1e6 * noise.next(), -3.0 * x));
    }
    std::fs::write(dir.path().join("d.csv"), lines).unwrap();
    let base = ["--hidden", "none", "--ridge", "0", "--ignore", "z*"];
    let (said, report) = fit(dir.path(), "d.csv", "mixed,y", &base);
    assert_eq!(report["data"]["features"], serde_json::json!(["x"]));
    assert_eq!(report["data"]["target"], "mixed, y");
    let targets = &report["metrics"]["test"]["targets"];
    assert_eq!((&targets[0]["target"], &targets[1]["target"]), (&"mixed".into(), &"y".into()));
    assert!(numbers(&targets[0]["rmse"])[0] < 1e-9 && numbers(&targets[1]["r2"])[0] > 0.999_999);
    assert!(said.contains("there are several targets"), "{said}");
    let said = succeed(dir.path(), &["predict", "m.safetensors", "d.csv"]);
    assert!(said.starts_with("prediction_mixed,prediction_y\n"), "{said}");
    // Each is the fit of it alone.
    let together = predicted(dir.path(), "d.csv", 0);
    fit(dir.path(), "d.csv", "y", &["--hidden", "none", "--ridge", "0", "--features", "x"]);
    let alone = predicted(dir.path(), "d.csv", 0);
    near(&together.chunks(2).map(|row| row[1]).collect::<Vec<_>>(), &alone, 1e-9);
    // The name of a column may hold a comma.
    let (_, report) = fit(dir.path(), "d.csv", "z,t", &["--features", "x"]);
    assert_eq!(report["data"]["target"], "z,t");
    let args = ["fit", "d.csv", "--target", "y,q"];
    refused(dir.path(), &args, &["no column 'q'"]);
    let args = ["fit", "d.csv", "--target", "y,mixed", "--task", "classification"];
    refused(dir.path(), &args, &["one target"]);
    let args = ["fit", "d.csv", "--target", "y,y"];
    refused(dir.path(), &args, &["both target and target"]);
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    noisy(dir.path());
    let wrong = |more: &[&str], said: &[&str]| {
        refused(dir.path(), &[&["fit", "d.csv", "--target", "y"], more].concat(), said);
    };
    wrong(&["--validation-fraction", "0.2", "--ridge", "auto"], &["--cv", "exclude"]);
    wrong(&["--validation-fraction", "0.2", "--checkpoint", "c"], &["checkpoint"]);
    wrong(&["--patience", "3"], &["--validation-fraction"]);
    wrong(&["--repeats", "3"], &["--cv K"]);
    wrong(&["--validation-fraction", "1"], &["less than 1"]);
    wrong(&["--validation-column", "who"], &["line 2, column who", "'p0'", "validation"]);
    wrong(&["--validation-column", "y"], &["both target and validation"]);
    wrong(&["--validation-fraction", "0.001"], &["no row is for validation"]);
    wrong(&["--groups", "apart", "--cv", "5"], &["5 folds need 5 groups", "are 2"]);
}

/// Every command that reads a model takes each kind of model, or refuses it with a reason: several targets, a reference class, an exposure, an
/// early end.
#[test]
fn every_command_takes_every_model() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let rows: String = (0..60)
        .map(|i| {
            let (a, b) = (f64::from(i % 10), f64::from((i * i) % 7));
            let class = ["u", "v", "w"][(i * 7 % 11 % 3) as usize];
            format!("{a},{b},{},{},{class},{},{}\n", a + 0.3 * b, 2.0 * b - a, i % 4, 1 + i % 3)
        })
        .collect();
    std::fs::write(folder.join("d.csv"), format!("a,b,y,z,class,n,years\n{rows}")).unwrap();
    let inputs = ["--features", "a,b", "--max-iter", "20"];
    let several: &[&str] = &["--hidden", "2"];
    let reference: &[&str] = &["--hidden", "none", "--reference-class", "v"];
    let exposed: &[&str] =
        &["--task", "regression", "--loss", "poisson", "--exposure", "years", "--hidden", "none"];
    let early: &[&str] = &["--task", "regression", "--validation-fraction", "0.2"];
    for (target, more, counts) in [
        ("y,z", several, true),
        ("class", reference, true),
        ("n", exposed, false),
        ("y", early, true),
    ] {
        let page = ["--report", "page.html"];
        fit(folder, "d.csv", target, &[&inputs[..], &page[..], more].concat());
        let html = std::fs::read_to_string(folder.join("page.html")).unwrap();
        assert!(html.contains("</html>") && !html.contains("did not converge: the error"));
        succeed(folder, &["predict", "m.safetensors", "d.csv"]);
        succeed(folder, &["check", "m.safetensors", "d.csv"]);
        succeed(folder, &["derivatives", "m.safetensors", "d.csv"]);
        let inferring: [&[&str]; 3] = [
            &["infer", "m.safetensors", "d.csv"],
            &["prune", "m.safetensors", "d.csv", "--steps", "1"],
            &["predict", "m.safetensors", "d.csv", "--interval", "0.9", "--trained-on", "d.csv"],
        ];
        for args in inferring {
            let out = secondo(folder, args);
            let stderr = text(&out.stderr);
            // Weights of rows that are no counts, and parameters that are 0 by definition, are reasons.
            let may_refuse = !counts || (args[0] == "prune" && target == "class");
            match out.status.code() {
                Some(0) => assert!(counts, "{target}: {args:?}"),
                code => assert!(code == Some(2) && may_refuse, "{target}: {args:?}: {stderr}"),
            }
        }
    }
}
