//! Tables as people have them: read, encoded, weighted, fitted and predicted.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn exports() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/exports")
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

#[track_caller]
fn succeed(folder: &Path, args: &[&str]) -> (String, String) {
    let out = secondo(folder, args);
    let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(0), "{args:?}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

#[track_caller]
fn refused(folder: &Path, args: &[&str], said: &[&str]) {
    let out = secondo(folder, args);
    let stderr = text(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{args:?}\n{}{stderr}", text(&out.stdout));
    said.iter().for_each(|part| assert!(stderr.contains(part), "'{part}' is not in: {stderr}"));
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

/// A linear fit without penalty and without hold-out; its report.
#[track_caller]
fn linear(folder: &Path, table: &str, target: &str, more: &[&str]) -> Value {
    let fit = [
        "fit",
        table,
        "--target",
        target,
        "--hidden",
        "none",
        "--ridge",
        "0",
        "--test-fraction",
        "0",
    ];
    let files = ["--model", "m.safetensors", "--report", "r.json", "-q"];
    succeed(folder, &[&fit[..], &files, more].concat());
    json(&folder.join("r.json"))
}

/// The fields of a table of predictions, line by line.
fn predictions(folder: &Path, table: &str, more: &[&str]) -> Vec<Vec<String>> {
    let (out, _) = succeed(folder, &[&["predict", "m.safetensors", table, "-q"], more].concat());
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(out.as_bytes());
    reader.records().map(|r| r.unwrap().iter().map(String::from).collect()).collect()
}

#[test]
fn exports_of_other_programs_are_fitted_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    // The options that were found, and how many columns were encoded, for each file.
    for (file, found, encoded, rows) in [
        ("write_csv.csv", "", 4, 24),
        ("write_csv_no_names.csv", "", 4, 24),
        ("write_csv2.csv", "--delimiter ';' --decimal ','", 4, 24),
        ("write_table.txt", "--delimiter blank", 4, 24),
        ("write_table_tab.tsv", "--delimiter tab", 4, 24),
        ("write_csv_labels.csv", "--encoding windows-1252", 4, 24),
        ("to_csv.csv", "", 3, 24),
        ("to_csv_no_index.csv", "", 3, 24),
        ("to_csv_german.csv", "--delimiter ';' --decimal ','", 3, 24),
        ("to_csv.csv.gz", "", 3, 24),
        ("to_csv_utf16.csv", "--encoding utf-16le", 3, 24),
        ("excel_german.csv", "--delimiter ';' --decimal ',' --thousands '.'", 2, 24),
        (
            "excel_french.csv",
            "--encoding windows-1252 --delimiter ';' --decimal ',' --thousands ' '",
            2,
            24,
        ),
        ("libreoffice.csv", "", 2, 24),
        ("sas.txt", "--delimiter blank", 1, 24),
    ] {
        let path = exports().join(file);
        let path = path.to_str().unwrap();
        let report = linear(dir.path(), path, "y", &["--ridge-bias", "false"]);
        let data = &report["data"];
        let options = data["found"].as_array().unwrap();
        let options: Vec<&str> = options.iter().map(|o| o.as_str().unwrap()).collect();
        assert_eq!(options.join(" "), found, "{file}");
        assert_eq!(data["columns"].as_array().unwrap().len(), encoded, "{file}: {data}");
        assert_eq!(data["rows"], rows, "{file}");
        assert!(report["metrics"]["train"]["r2"].as_f64().unwrap() > 0.0, "{file}: {report}");
        // The model takes the raw table.
        let predicted = predictions(dir.path(), path, &[]);
        assert_eq!(predicted.len(), rows + 1, "{file}");
    }
    for file in ["write_csv_missing.csv", "to_csv_missing.csv"] {
        let path = exports().join(file);
        let path = path.to_str().unwrap();
        let fit = ["fit", path, "--target", "y", "--hidden", "none", "--model", "m.safetensors"];
        refused(dir.path(), &fit, &["missing", "--missing drop"]);
        let (said, _) = succeed(dir.path(), &[&fit[..], &["--missing", "drop"]].concat());
        assert!(said.contains("22 rows") && said.contains("(2 rows with missing values left out)"));
        let (said, _) = succeed(dir.path(), &[&fit[..], &["--missing", "impute"]].concat());
        assert!(said.contains("24 rows") && said.contains("where missing"), "{said}");
        assert_eq!(predictions(dir.path(), path, &[]).len(), 25);
    }
    // The same numbers, whatever the file looks like.
    let value = |file: &str| {
        let path = exports().join(file);
        linear(dir.path(), path.to_str().unwrap(), "y", &[])["value"].as_f64().unwrap()
    };
    for others in [
        &["to_csv.csv", "to_csv_german.csv", "to_csv.csv.gz", "to_csv_utf16.csv"][..],
        &[
            "write_csv.csv",
            "write_csv2.csv",
            "write_table.txt",
            "write_table_tab.tsv",
            "write_csv_labels.csv",
        ],
        &["excel_german.csv", "excel_french.csv"],
    ] {
        let first = value(others[0]);
        others.iter().for_each(|file| assert_eq!(value(file), first, "{file}"));
    }
}

#[test]
fn labels_of_rows_come_back_with_the_predictions() {
    let dir = tempfile::tempdir().unwrap();
    let path = exports().join("write_csv_labels.csv");
    let path = path.to_str().unwrap();
    linear(dir.path(), path, "y", &[]);
    let rows = predictions(dir.path(), path, &[]);
    assert_eq!(rows[0], ["", "prediction"]);
    assert_eq!(rows[3][0], "case 3");
    let none = ["--row-names", "none"];
    let rows = predictions(dir.path(), path, &none);
    assert_eq!(rows[0], ["prediction"]);
    // A column that counts the rows is no input, unless it is said, or is all there is.
    let lines: String = (1..=30).map(|i| format!("{i},{},{}\n", i * i % 7, i % 5)).collect();
    std::fs::write(dir.path().join("d.csv"), format!("id,a,y\n{lines}")).unwrap();
    let features =
        |more: &[&str]| linear(dir.path(), "d.csv", "y", more)["data"]["features"].to_string();
    assert_eq!(features(&["--task", "regression"]), r#"["a"]"#);
    let task = ["--task", "regression", "--row-names", "none"];
    assert_eq!(features(&task), r#"["id","a"]"#);
    assert_eq!(features(&["--task", "regression", "--features", "id"]), r#"["id"]"#);
    assert_eq!(features(&["--task", "regression", "--ignore", "a"]), r#"["id"]"#);
}

/// A first column of whole numbers that is an id by its name is no input, wherever it begins; one that repeats gives a hint.
#[test]
fn ids_are_labels_or_groups() {
    let dir = tempfile::tempdir().unwrap();
    let fitted = |name: &str, id: &dyn Fn(usize) -> usize, more: &[&str]| {
        let lines: String = (0..30)
            .map(|i| format!("{},{},{}\n", id(i), i * i % 7, (i * 5 % 11) as f64 + 0.5))
            .collect();
        std::fs::write(dir.path().join("d.csv"), format!("{name},a,y\n{lines}")).unwrap();
        let data = linear(dir.path(), "d.csv", "y", more)["data"].clone();
        (data["features"].to_string(), data["remarks"].to_string())
    };
    let scattered = |i: usize| 10_001 + i * 7 % 31;
    for name in ["id", "customer_id", "PassengerId", "Sample ID", "case"] {
        let (features, remarks) = fitted(name, &scattered, &[]);
        assert_eq!(features, r#"["a"]"#, "{name}");
        assert!(remarks.contains("labels of the rows") && remarks.contains("--row-names none"));
    }
    for name in ["acid", "PAID", "grid", "year", "x"] {
        assert_eq!(fitted(name, &scattered, &[]).0, format!("[\"{name}\",\"a\"]"));
    }
    let (features, remarks) = fitted("patient_id", &|i| 10_001 + i / 3, &[]);
    assert_eq!(features, r#"["patient_id","a"]"#);
    assert!(remarks.contains("--groups 'patient_id'"), "{remarks}");
    let (features, remarks) =
        fitted("patient_id", &|i| 10_001 + i / 3, &["--groups", "patient_id"]);
    assert_eq!(features, r#"["a"]"#);
    assert!(!remarks.contains("--groups"), "{remarks}");
}

/// A table with gaps in numbers and levels, of two groups or of one of them, and with a column that marks the second for validation.
fn gaps(groups: &[usize]) -> String {
    let line = |i: usize| {
        let of = i % 2;
        let x = if i.is_multiple_of(5) {
            "NA".into()
        } else {
            format!("{}", (i * 3 % 7 + 100 * of) as f64)
        };
        // The level u rules the second group and the whole table, v the first group.
        let level = match (i % 7, of) {
            (0, _) => "",
            (1, 0) | (_, 1) => "u",
            _ => "v",
        };
        format!("{x},{level},{},g{of},{of}\n", (i * 5 % 11) as f64 + 0.5)
    };
    let rows = (0..41).filter(|i| groups.contains(&(i % 2)));
    format!(
        "x,k,y,group,judges\n{}",
        rows.chain([43, 45, 47])
            .filter(|i| groups.contains(&(i % 2)))
            .map(line)
            .collect::<String>()
    )
}

/// What is filled in comes from the rows that train, and each fold has its own: its score is that of a fit of the other rows alone.
#[test]
fn rows_that_judge_have_no_part_in_what_is_filled_in() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, groups: &[usize]| {
        std::fs::write(dir.path().join(name), gaps(groups)).unwrap();
    };
    write("both.csv", &[0, 1]);
    write("0.csv", &[0]);
    write("1.csv", &[1]);
    let fit = ["fit", "--target", "y", "--hidden", "none", "--ridge", "0.5", "--gtol", "1e-12"];
    let more = ["--features", "x,k", "--missing", "impute", "--test-fraction", "0", "-q"];
    let files = ["--model", "m.safetensors", "--report", "r.json"];
    let fitted = |table: &str, options: &[&str]| {
        succeed(dir.path(), &[&fit[..], &more, &files, options, &[table]].concat());
        json(&dir.path().join("r.json"))
    };
    let columns = |report: &Value| report["data"]["columns"].clone();
    // The same substitutes as of the rows that train alone.
    let validated = columns(&fitted("both.csv", &["--validation-column", "judges"]));
    assert_eq!(validated, columns(&fitted("0.csv", &[])));
    assert!(validated[1].as_str().unwrap().ends_with("v where missing"), "{validated}");
    let all = columns(&fitted("both.csv", &[]));
    assert!(all != validated && all[1].as_str().unwrap().ends_with("u where missing"), "{all}");
    let report = fitted("both.csv", &["--cv", "2", "--groups", "group"]);
    let mean = report["validation"]["candidates"][0]["mean"].as_f64().unwrap();
    let error = |train: &str, judge: &str| -> f64 {
        fitted(train, &[]);
        let (said, _) = succeed(
            dir.path(),
            &["predict", "m.safetensors", judge, "--output", "p.csv", "--unknown", "reference"],
        );
        let line = said.lines().find_map(|line| line.strip_prefix("RMSE")).unwrap();
        line.trim().parse().unwrap()
    };
    let apart = (error("0.csv", "1.csv") + error("1.csv", "0.csv")) / 2.0;
    // RMSE is printed with six decimals.
    assert!((mean - apart).abs() < 2e-6, "{mean} and {apart}");
}

#[test]
fn predictions_are_compared_where_there_is_a_target() {
    let dir = tempfile::tempdir().unwrap();
    let rows = |gaps: &dyn Fn(usize) -> bool| -> String {
        let target = |i: usize| format!("{}", (i * 5 % 11) as f64 + 0.5);
        let line = |i| format!("{},{}\n", i * i % 7, if gaps(i) { "".into() } else { target(i) });
        format!("x,y\n{}", (0..30).map(line).collect::<String>())
    };
    let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
    write("d.csv", rows(&|_| false));
    write("some.csv", rows(&|i| i % 3 == 1));
    write("none.csv", rows(&|_| true));
    linear(dir.path(), "d.csv", "y", &[]);
    let predict = |table: &str| {
        succeed(dir.path(), &["predict", "m.safetensors", table, "--output", "p.csv"])
    };
    let (said, notes) = predict("some.csv");
    assert!(notes.contains("compared with the column 'y' in 20 of 30 rows"), "{notes}");
    let twenty = said.lines().find(|line| line.starts_with("RMSE")).unwrap().to_string();
    assert!(said.contains("rows        20") && said.contains("(30 predictions)"), "{said}");
    // The same figures as of a table with these rows alone.
    let part = rows(&|i| i % 3 == 1);
    write(
        "part.csv",
        part.lines().filter(|line| !line.ends_with(',')).map(|l| format!("{l}\n")).collect(),
    );
    let (said, _) = predict("part.csv");
    assert!(said.contains(&twenty), "{said} without {twenty}");
    let (said, notes) = predict("none.csv");
    assert!(!said.contains("RMSE") && notes.contains("has no value in these rows"), "{notes}");
    // Classes, too, of which one row has none; and an id that is no input comes back, however few rows there are.
    let classes: String =
        (0..30).map(|i| format!("{},{},{}\n", 700 + i, i % 7, ["a", "b"][i % 7 / 4])).collect();
    write("c.csv", format!("id,x,k\n{classes}"));
    let fit = [
        "fit",
        "c.csv",
        "--target",
        "k",
        "--hidden",
        "none",
        "--ridge",
        "1",
        "--model",
        "c.safetensors",
        "-q",
    ];
    succeed(dir.path(), &fit);
    write("two.csv", "id,x,k\n901,1,a\n902,6,\n".into());
    let (said, notes) =
        succeed(dir.path(), &["predict", "c.safetensors", "two.csv", "--output", "p.csv"]);
    assert!(said.contains("rows        1\naccuracy    1"), "{said}");
    assert!(notes.contains("in 1 of 2 rows"), "{notes}");
    let written = std::fs::read_to_string(dir.path().join("p.csv")).unwrap();
    assert!(written.starts_with("id,prediction") && written.contains("\n902,b,"), "{written}");
}

/// R's treatment contrasts: the same linear predictors as lm, glm and multinom.
#[test]
fn factors_have_the_linear_predictors_of_r() {
    let dir = tempfile::tempdir().unwrap();
    let path = exports().join("models.csv");
    let path = path.to_str().unwrap();
    let right = json(&exports().join("models.json"));
    let exact = ["--gtol", "1e-14", "--ftol", "0", "--xtol", "0"];
    let close = |found: &[f64], key: &str| {
        let right = numbers(&right[key]);
        assert_eq!(found.len(), right.len(), "{key}");
        let scale = right.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        // The softmax with a free output for each class ends some digits before the others.
        let tolerance = if key.starts_with("multinom") { 1e-8 } else { 1e-10 };
        for (a, b) in found.iter().zip(&right) {
            assert!((a - b).abs() <= tolerance * scale, "{key}: {a} and {b}");
        }
    };
    let fitted = |target: &str, features: &str, more: &[&str]| {
        let all = [&["--features", features], &exact[..], more].concat();
        linear(dir.path(), path, target, &all);
        let rows = predictions(dir.path(), path, &[]);
        let number = |field: &String| field.parse::<f64>().ok();
        rows.into_iter()
            .skip(1)
            .map(|row| row.iter().filter_map(number).collect())
            .collect::<Vec<Vec<f64>>>()
    };
    let all: Vec<f64> = fitted("y", "weight,group,smoker,town", &[]).concat();
    close(&all, "lm");
    let odds = fitted("yes", "weight,group,smoker", &[]);
    close(&odds.iter().map(|p| (p[1] / p[0]).ln()).collect::<Vec<_>>(), "binomial");
    // Another reference is another form of the same model.
    let odds = fitted("yes", "weight,group,smoker", &["--encode", "group=levels:low dose"]);
    close(&odds.iter().map(|p| (p[1] / p[0]).ln()).collect::<Vec<_>>(), "binomial");
    let means =
        fitted("counts", "weight,group,smoker", &["--loss", "poisson", "--task", "regression"]);
    close(&means.iter().map(|m| m[0].ln()).collect::<Vec<_>>(), "poisson");
    close(&fitted("three", "weight,group", &[]).concat(), "multinom_probabilities");
}

/// A row of weight 0 counts as not there, and one of weight k as k rows: for inputs, targets, objective and metrics.
#[test]
fn weights_count_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let row = |i: u32| {
        let (a, b) = (f64::from(i * 37 % 19) - 9.0, f64::from(i * 11 % 7));
        format!("{a},{},{:.3}", ["x", "y", "z"][(i % 3) as usize], a + b + f64::from(i % 5) / 10.0)
    };
    let write = |name: &str, weight: &dyn Fn(u32) -> u32, repeated: bool| {
        let mut lines = String::from("a,k,t,w\n");
        for i in 0..40 {
            let (times, w) = if repeated { (weight(i), 1) } else { (1, weight(i)) };
            (0..times).for_each(|_| lines.push_str(&format!("{},{w}\n", row(i))));
        }
        if !repeated {
            // Nothing of such a row counts: its sizes, its level, its gap.
            lines.push_str("1e200,strange,-1e200,0\n");
        }
        std::fs::write(dir.path().join(name), lines).unwrap();
    };
    write("weighted.csv", &|i| i % 4, false);
    write("repeated.csv", &|i| i % 4, true);
    for hidden in ["none", "2"] {
        let fit = |table: &str| {
            let args = [
                "fit",
                table,
                "--target",
                "t",
                "--weights",
                "w",
                "--hidden",
                hidden,
                "--test-fraction",
                "0",
                // Folds of repeated rows are others.
                "--ridge",
                "1",
            ];
            let exact = ["--gtol", "1e-12", "--report", "r.json", "-q", "--model", "m.safetensors"];
            succeed(dir.path(), &[&args[..], &exact].concat());
            json(&dir.path().join("r.json"))
        };
        let (a, b) = (fit("weighted.csv"), fit("repeated.csv"));
        let near = |a: &Value, b: &Value, tolerance: f64| {
            for (a, b) in numbers(a).iter().zip(&numbers(b)) {
                assert!((a - b).abs() <= tolerance * a.abs().max(1.0), "{hidden}: {a} and {b}");
            }
        };
        for key in ["x_mean", "x_scale", "y_mean", "y_scale"] {
            near(&a["standardization"][key], &b["standardization"][key], 1e-12);
        }
        near(&a["value"], &b["value"], 1e-12);
        near(&a["W"], &b["W"], 1e-7);
        for key in ["rmse", "mae", "r2"] {
            near(&a["metrics"]["train"][key], &b["metrics"]["train"][key], 1e-7);
        }
        assert_eq!(a["data"]["weightless"], 11);
        // Counts of rows with another weight differ: the test can fail.
        assert_ne!(a["data"]["rows"], b["data"]["rows"]);
    }
}

#[test]
fn texts_are_levels_and_unknown_ones_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (0..40)
        .map(|i| {
            let (work, x) = (["office", "field", "none"][i % 3], (i * 7 % 11) as f64);
            format!(
                "{x}, {work}, {}, {}\n",
                ["no", "yes"][i / 7 % 2],
                if i % 3 == 0 || x > 7.0 { ">50K" } else { "<=50K" }
            )
        })
        .collect();
    std::fs::write(dir.path().join("d.csv"), format!("x, work, married, income\n{lines}")).unwrap();
    let fit =
        ["fit", "d.csv", "--target", "income", "--hidden", "none", "--model", "m.safetensors"];
    let (said, _) = succeed(dir.path(), &fit);
    assert!(said.contains("work: none, office against field"), "{said}");
    assert!(said.contains("married: yes against no"), "{said}");
    assert!(said.contains("4 features") && said.contains("precision"), "{said}");
    std::fs::write(dir.path().join("n.csv"), "work,x,married\nfield,1,no\nmoon,1,no\n").unwrap();
    let predict = ["predict", "m.safetensors", "n.csv"];
    refused(
        dir.path(),
        &predict,
        &["n.csv, line 3, column work", "'moon'", "field, none, office", "--unknown"],
    );
    let rows = predictions(dir.path(), "n.csv", &["--unknown", "reference"]);
    assert_eq!(rows[1], rows[2]);
    let more = ["--unknown", "missing", "--missing", "drop"];
    assert_eq!(predictions(dir.path(), "n.csv", &more).len(), 2);
    // Choices of the coding.
    let features = |more: &[&str]| {
        succeed(dir.path(), &[&fit[..], &["--report", "r.json"], more].concat());
        json(&dir.path().join("r.json"))["data"]["features"].to_string()
    };
    assert_eq!(
        features(&["--encode", "work=one-hot", "--features", "work"]),
        r#"["work=field","work=none","work=office"]"#
    );
    assert_eq!(
        features(&["--encode", "work=levels:none", "--features", "w*"]),
        r#"["work=field","work=office"]"#
    );
    refused(
        dir.path(),
        &[&fit[..], &["--encode", "work=levels:sea"]].concat(),
        &["no level 'sea'"],
    );
    refused(
        dir.path(),
        &[&fit[..], &["--encode", "work=magic"]].concat(),
        &["'magic' is unknown", "one-hot"],
    );
    refused(dir.path(), &[&fit[..], &["--features", "x,income"]].concat(), &["income", "feature"]);
    refused(dir.path(), &[&fit[..], &["--ignore", "q*"]].concat(), &["no column 'q*'"]);
}

#[test]
fn classes_keep_their_text_and_unknown_ones_do_not_hinder_predictions() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, label: &dyn Fn(usize) -> &'static str| {
        let rows = (0..60).map(|i| format!("{},{},{}\n", i * 17 % 23, i * 5 % 11, label(i)));
        std::fs::write(dir.path().join(name), format!("a,b,code\n{}", rows.collect::<String>()))
            .unwrap();
    };
    write("zeros.csv", &|i| ["01", "02"][usize::from(i * 17 % 23 > 11)]);
    write("both.csv", &|i| ["001", "1", "02"][i * 17 % 23 % 3]);
    write("floats.csv", &|i| ["1", "1.0", "2"][i * 17 % 23 % 3]);
    for (file, head) in [
        ("zeros.csv", "prediction,probability_01,probability_02"),
        ("both.csv", "prediction,probability_001,probability_1,probability_02"),
        ("floats.csv", "prediction,probability_1,probability_2"),
    ] {
        let task: &[&str] = if file == "zeros.csv" { &[] } else { &["--task", "classification"] };
        let fit = ["fit", file, "--target", "code", "--max-iter", "3", "--model", "m.safetensors"];
        succeed(dir.path(), &[&fit[..], task].concat());
        assert_eq!(predictions(dir.path(), file, &[])[0].join(","), head);
    }
    let other = std::fs::read_to_string(dir.path().join("floats.csv"))
        .unwrap()
        .replace(",2\n", ",2.\u{200b}\n");
    std::fs::write(dir.path().join("n.csv"), other).unwrap();
    let (out, notes) = succeed(dir.path(), &["predict", "m.safetensors", "n.csv"]);
    assert_eq!(out.lines().count(), 61);
    assert!(
        notes.contains("'2.\\u{200b}' is unknown") && notes.contains("--ignore 'code'"),
        "{notes}"
    );
}

/// Weights that the data leave open do not come from the start.
#[test]
fn constant_and_repeated_columns_have_no_say() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String = (0..50)
        .map(|i| (i, f64::from(i * 7 % 13)))
        .map(|(i, x)| format!("14.62,{x},{x},{}\n", 2.0 * x + f64::from(i % 3) / 10.0))
        .collect();
    std::fs::write(dir.path().join("d.csv"), format!("c,x,x2,y\n{rows}")).unwrap();
    std::fs::write(dir.path().join("n.csv"), "c,x,x2\n14.62,1,1\n100,1,1\n14.62,2,0\n").unwrap();
    for hidden in ["none", "3"] {
        let args = [
            "fit",
            "d.csv",
            "--target",
            "y",
            "--ridge",
            "0",
            "--hidden",
            hidden,
            "-q",
            "--model",
            "m.safetensors",
        ];
        succeed(dir.path(), &args);
        let rows = predictions(dir.path(), "n.csv", &[]);
        let y: Vec<f64> = rows[1..].iter().map(|row| row[0].parse().unwrap()).collect();
        assert!((y[0] - y[1]).abs() < 1e-9, "{hidden}: {y:?}");
        if hidden == "none" {
            // Equal columns have equal weights.
            assert!((y[0] - y[2]).abs() < 1e-9, "{y:?}");
        }
    }
}

#[test]
fn what_is_assumed_is_said_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let fit = |content: &[u8], more: &[&str]| {
        std::fs::write(dir.path().join("d.csv"), content).unwrap();
        let args = ["fit", "d.csv", "--target", "y", "--hidden", "none", "--test-fraction", "0"];
        secondo(dir.path(), &[&args[..], more].concat())
    };
    let refused = |content: &[u8], more: &[&str], said: &[&str]| {
        let out = fit(content, more);
        let stderr = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{}{stderr}", text(&out.stdout));
        said.iter().for_each(|part| assert!(stderr.contains(part), "'{part}' is not in: {stderr}"));
    };
    let done = |content: &[u8], more: &[&str], said: &[&str]| {
        let out = fit(content, more);
        let all = text(&out.stdout) + &text(&out.stderr);
        assert_eq!(out.status.code(), Some(0), "{all}");
        said.iter().for_each(|part| assert!(all.contains(part), "'{part}' is not in: {all}"));
    };
    // A first line of data is no header, with text or without.
    let iris = b"5.1,3.5,setosa\n4.9,3.0,setosa\n6.3,3.3,virginica\n5.8,2.7,virginica\n";
    for (content, target) in [(&b"1,0.5,0\n2,0.7,1\n3,0.1,0.5\n"[..], "0"), (iris, "setosa")] {
        std::fs::write(dir.path().join("d.csv"), content).unwrap();
        let out = secondo(dir.path(), &["fit", "d.csv", "--target", target]);
        assert_eq!(out.status.code(), Some(2));
        assert!(text(&out.stderr).contains("--header no"), "{}", text(&out.stderr));
        let named = ["fit", "d.csv", "--target", "column3", "--header", "no", "--hidden", "none"];
        succeed(dir.path(), &named);
    }
    done(b"k,2010,y\na,1,2.5\nb,2,3\na,3,4.5\n", &[], &["the name '2010'", "--header no"]);
    // Marks that may be either are a warning with both readings.
    done(
        b"a,y\n\"1,545\",1\n\"2,355\",2\n\"3,100\",4\n",
        &[],
        &["--thousands ','", "say --decimal ','"],
    );
    done(b"a;y\n0,5;1\n1;2\n2;2,5\n", &["--decimal", ","], &["3 rows"]);
    // Also where the first row alone has a mark.
    done(
        b"a\ty\n1,003\t1.5\n12.5\t2\n950\t4.5\n",
        &[],
        &["--decimal '.' --thousands ','", "3 rows"],
    );
    done("\u{feff}a,y\n\u{feff}1,2\n\u{feff}2,4.1\n\u{feff}3,5.9\n".as_bytes(), &[], &["3 rows"]);
    done(b"# made by x\n# a,b\na,y\n1,2\n2,4.5\n3,5.9\n", &[], &["2 lines left out"]);
    done(b"# a,y\n1,2\n2,4.5\n3,5.9\n", &[], &["3 rows"]);
    done(b"a,y,,\n1,2,,\n2,4.5,,\n,,,\n3,5.9,,\n", &[], &["3 rows", "without name and contents"]);
    done(
        b"a,y\n1,2\nNaN,3\n2,4.5\n3,#N/A\n4,7\n5,gone\n",
        &["--missing", "drop", "--na", "gone"],
        &["3 rows", "(3 rows with missing"],
    );
    done(b"t,y\n31.12.2023,2\n01.01.2024,4.5\n13.01.2024,5.9\n", &[], &["days since 1970-01-01"]);
    refused(
        b"t,b,y\n01/02/2024,1,2\n03/04/2024,2,4.5\n",
        &[],
        &["column t", "%m/%d/%Y or %d/%m/%Y", "--encode"],
    );
    refused(b"a,y\n1,2\n\xff1,3\n2,4.5\n", &["--encoding", "utf-8"], &["line 3", "UTF-8"]);
    refused(b"PK\x03\x04rest", &[], &["spreadsheet"]);
    refused(b"a,y\n1,2.5\n\xe2\x88\x921,3\n", &[], &["line 3, column a", "U+2212"]);
    refused(b"a,y\n1,2\n2,\xe2\x80\x8b3\n", &[], &["'\\u{200b}3'"]);
    let names: String = (0..60).map(|i| format!("{i}.5,name{i},{}.5\n", i * i)).collect();
    refused(
        format!("a,who,y\n{names}").as_bytes(),
        &[],
        &["column who", "60 different values in 60 rows", "--ignore 'who'"],
    );
    refused(b"a,y\n1,2\n", &["--encoding", "klingon"], &["klingon"]);
    // A row with another number of fields is named, also where blanks within times would divide every line in two.
    for (header, bad) in
        [("t,a,y", "2024-01-03 06:00:00,3"), ("time stamp,a,y", "2024-01-03 06:00:00,3,4,5")]
    {
        let lines: Vec<String> =
            (1..8).map(|i| format!("2024-01-0{i} 06:00:00,{i},{}.5", i * i % 5)).collect();
        let content = format!("{header}\n{}\n{bad}\n", lines.join("\n"));
        refused(content.as_bytes(), &[], &["line 9", "fields", "the header has 3"]);
    }
    // A date that is none is named, and so is the column that is meant.
    let dates: String = (1..15).map(|i| format!("2024-01-{i:02},{}.5\n", i * i % 7)).collect();
    let broken = format!("t,y\n{dates}2024-13-45,1.5\n");
    refused(
        broken.as_bytes(),
        &[],
        &["line 16, column t", "'2024-13-45' is not of the form %Y-%m-%d", "--na '2024-13-45'"],
    );
    done(format!("t,y\n{dates}").as_bytes(), &[], &["days since 1970-01-01"]);
    // Nor is a first column of dates, amounts or shares the labels of the rows because one is broken or all have signs.
    let beside = |cell: &dyn Fn(u32) -> String| -> String {
        let rows = (1..30).map(|i| format!("{},{},{}.5\n", cell(i), i * i % 11, i * i % 7));
        format!("first,b,y\n{}", rows.collect::<String>())
    };
    let broken = |i: u32| if i == 7 { "2024-01-32".into() } else { format!("2024-01-{i:02}") };
    refused(
        beside(&broken).as_bytes(),
        &[],
        &["line 8, column first", "'2024-01-32' is not of the form"],
    );
    for (form, first) in [("$X,037.50", "$1,037.50"), ("X0.7%", "10.7%")] {
        let cell = |i: u32| format!("\"{}\"", form.replace('X', &i.to_string()));
        refused(
            beside(&cell).as_bytes(),
            &["--thousands", ","],
            &["column first", "look like numbers with signs or units", first, "--ignore 'first'"],
        );
    }
    done(
        b"zip,y\n01067,2\n99084,3\n08056,4.5\n",
        &[],
        &["'zip' has zeros before digits", "--encode 'zip'"],
    );
    refused(b"made by x\na,b,y\n1,2,3\n", &[], &["is the first line a title?"]);
    // Names are labels still, with digits or without.
    done(
        beside(&|i| format!("row {i}")).as_bytes(),
        &[],
        &["'first' holds the labels of the rows"],
    );
    std::fs::write(dir.path().join("d.csv"), "a,yield\n1,2\n").unwrap();
    let out = secondo(dir.path(), &["fit", "d.csv", "--target", "yeild"]);
    assert!(text(&out.stderr).contains("did you mean 'yield'?"), "{}", text(&out.stderr));
}

#[test]
fn standard_input_is_a_table() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_secondo"))
        .current_dir(dir.path())
        .args(["fit", "-", "--target", "y", "--hidden", "none", "--model", "m.safetensors"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"x y\n1 2.5\n2 4.25\n3 6\n").unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success() && text(&out.stdout).contains("3 rows"), "{out:?}");
}

/// Targets whose squares overflow or vanish have figures all the same.
#[test]
fn figures_are_finite_for_numbers_of_any_size() {
    let dir = tempfile::tempdir().unwrap();
    for scale in ["e200", "e-200", "e300", ""] {
        let rows = ["1,1", "3,2", "2,1.5", "5,-7"].map(|row| format!("{row}{scale}\n")).concat();
        std::fs::write(dir.path().join("d.csv"), format!("x,y\n{rows}")).unwrap();
        let train = linear(dir.path(), "d.csv", "y", &[])["metrics"]["train"].clone();
        let power: f64 = format!("1{scale}").parse().unwrap();
        // By hand: slope −2.1971…, R² 0.6865306….
        assert!((train["r2"].as_f64().unwrap() - 0.6865306).abs() < 1e-6, "{scale}: {train}");
        assert!((train["rmse"].as_f64().unwrap() / power - 2.0701967).abs() < 1e-6, "{train}");
    }
}

#[test]
fn misspelt_keys_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let good = r#""spec": {"inputs": 1, "layers": [{"units": 1, "activations": "tanh"}]},
        "loss": {"type": "sos"}, "X": [[0.5]], "Y": [[1]], "W": [1, 0]"#;
    let derive = |text: &str| {
        std::fs::write(dir.path().join("p.json"), text).unwrap();
        secondo(dir.path(), &["derivatives", "p.json", "--structure", "none"])
    };
    for (extra, meant) in [
        (r#""sample_weight": [5]"#, "is 'sample_weights' meant?"),
        (r#""weights": [5]"#, "is 'sample_weights' meant?"),
        (r#""Penalty": null"#, "is 'penalty' meant?"),
        (r#""regularization": {}"#, "is 'penalty' meant?"),
        (r#""reduction": "mean""#, "reduction"),
        (r#""w": [1]"#, "is 'W' meant?"),
        (r#""x_note": "free""#, ""),
        (r#""comment": 1"#, "not used: comment"),
    ] {
        let out = derive(&format!("{{{good}, {extra}}}"));
        let said = text(&out.stderr);
        let free = extra.contains("x_note") || extra.contains("comment");
        assert_eq!(out.status.code(), Some(if free { 0 } else { 2 }), "{extra}: {said}");
        assert!(said.contains(meant), "{extra}: {said}");
        assert!(!extra.contains("x_note") || said.is_empty(), "{said}");
    }
    for (from, to, meant) in [
        (
            "\"units\": 1",
            "\"units\": 1, \"biass\": true",
            "spec.layers[0]: the key 'biass' is unknown (is 'bias' meant?)",
        ),
        ("\"inputs\": 1", "\"inputs\": 1, \"outputs\": 1", "'outputs' is unknown"),
        ("\"sos\"", "\"logcosh\", \"delta\": 1, \"dleta\": 2", "is 'delta' meant?"),
        (
            "\"loss\"",
            "\"penalty\": {\"type\": \"ridge\", \"lambda\": 1, \"bias\": true}, \"loss\"",
            "'bias' is unknown",
        ),
    ] {
        let out = derive(&format!("{{{}}}", good.replacen(from, to, 1)));
        let said = text(&out.stderr);
        assert!(out.status.code() == Some(2) && said.contains(meant), "{meant}: {said}");
    }
    std::fs::write(dir.path().join("p.json"), format!("{{{good}}}")).unwrap();
    refused(
        dir.path(),
        &["derivatives", "p.json", "-o", "out.txt"],
        &["out.txt", ".json, .npz or .npy"],
    );
}

/// Vectors and results as arrays of NumPy, for a problem file and for a model with its table.
#[test]
fn arrays_of_numpy_are_read_and_written() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String = (0..12).map(|i| format!("{},{}\n", i % 5, i * i)).collect();
    std::fs::write(dir.path().join("d.csv"), format!("x,y\n{rows}")).unwrap();
    linear(dir.path(), "d.csv", "y", &[]);
    let derive = |more: &[&str]| {
        succeed(dir.path(), &[&["derivatives", "m.safetensors", "d.csv"], more].concat())
    };
    let array = |file: &str| {
        let bytes = std::fs::read(dir.path().join(file)).unwrap();
        let numbers = bytes[bytes.iter().position(|b| *b == b'\n').unwrap() + 1..].chunks(8);
        numbers.map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect::<Vec<f64>>()
    };
    derive(&["--structure", "full", "-o", "h.npy"]);
    let h = array("h.npy");
    assert_eq!(h.len(), 4);
    let mut vectors = b"\x93NUMPY\x01\x00".to_vec();
    let head = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }\n";
    vectors.extend((head.len() as u16).to_le_bytes());
    vectors.extend(head.bytes());
    vectors.extend([2.0f64, -1.0].iter().flat_map(|v| v.to_le_bytes()));
    std::fs::write(dir.path().join("v.npy"), vectors).unwrap();
    derive(&["--structure", "products", "--vectors", "v.npy", "-o", "p.npy"]);
    let product = [2.0 * h[0] - h[1], 2.0 * h[2] - h[3]];
    for (a, b) in array("p.npy").iter().zip(product) {
        assert!((a - b).abs() < 1e-12 * b.abs().max(1.0), "{a} and {b}");
    }
    let model = ["derivatives", "m.safetensors", "d.csv"];
    refused(dir.path(), &[&model[..], &["-o", "b.npy"]].concat(), &["b.npy", "one array"]);
    refused(dir.path(), &[&model[..], &["--vectors", "v.npy"]].concat(), &["--structure products"]);
    let other = ["--structure", "products", "--vectors", "d.csv"];
    refused(dir.path(), &[&model[..], &other].concat(), &["d.csv", "no .npy file"]);
}

/// The penalty is chosen where it predicts best, and what was measured is in the report.
#[test]
fn cross_validation_chooses_the_penalty() {
    let dir = tempfile::tempdir().unwrap();
    let mut seed = 7u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as f64 / (1u64 << 31) as f64 - 0.5
    };
    let rows: String = (0..60)
        .map(|_| {
            let x: Vec<f64> = (0..12).map(|_| noise()).collect();
            let y = 0.3 * x[0] + noise();
            let x: Vec<String> = x.iter().map(f64::to_string).collect();
            format!("{},{y}\n", x.join(","))
        })
        .collect();
    let names: Vec<String> = (0..12).map(|i| format!("x{i}")).collect();
    std::fs::write(dir.path().join("d.csv"), format!("{},y\n{rows}", names.join(","))).unwrap();
    let fit = |more: &[&str]| {
        let args = ["fit", "d.csv", "--target", "y", "--hidden", "none", "--report", "r.json"];
        let (said, _) = succeed(dir.path(), &[&args[..], more].concat());
        (said, json(&dir.path().join("r.json")))
    };
    let (said, report) = fit(&["--ridge", "0,10,100000"]);
    let validation = &report["validation"];
    let means = |v: &Value| {
        numbers(&Value::Array(
            v["candidates"].as_array().unwrap().iter().map(|f| f["mean"].clone()).collect(),
        ))
    };
    let found = means(validation);
    // Eleven inputs without a say: neither no penalty nor nothing but the penalty predicts best.
    assert!(found[1] < found[0] && found[1] < found[2], "{found:?}");
    let best = found.iter().copied().fold(f64::INFINITY, f64::min);
    let at = found.iter().position(|m| *m == best).unwrap();
    assert_eq!(validation["chosen"].as_u64(), Some(at as u64));
    assert_eq!(report["penalty"]["lambda"], validation["candidates"][at]["ridge"]);
    assert!(said.contains("5-fold cross-validation, RMSE") && said.contains(", chosen"), "{said}");
    // The same with one value, and with other parts.
    let (_, one) = fit(&["--ridge", "0", "--cv", "5"]);
    assert_eq!(means(&one["validation"]), found[..1]);
    let (_, ten) = fit(&["--ridge", "0", "--cv", "10"]);
    assert_ne!(means(&ten["validation"]), found[..1]);
    let args = ["fit", "d.csv", "--target", "y", "--cv", "50"];
    refused(dir.path(), &args, &["50 folds need 50 rows"]);
}

/// The Parquet files of other programs, with the same as CSV.
fn parquet(name: &str) -> String {
    exports().join("parquet").join(name).display().to_string()
}

#[test]
fn parquet_is_fitted_and_predicted_as_its_csv() {
    let dir = tempfile::tempdir().unwrap();
    // Numbers of several types, levels, codes and dates.
    let features = ["--features", "f64,f32,int8,price,text,zip,date", "--encode", "zip"];
    let fits =
        ["expected.csv", "duckdb.parquet", "polars.parquet", "pandas.parquet", "pyarrow.parquet"]
            .map(|name| linear(dir.path(), &parquet(name), "y", &features));
    for fit in &fits[1..] {
        assert_eq!(fit["W"], fits[0]["W"]);
        assert_eq!(fit["data"]["features"], fits[0]["data"]["features"]);
    }
    // Text stays text: as codes, without being told.
    let fit = linear(dir.path(), &parquet("polars.parquet"), "y", &["--features", "zip"]);
    assert!(fit["data"]["features"].to_string().contains("zip=01123"), "{}", fit["data"]);
    refused(
        dir.path(),
        &["fit", &parquet("polars.parquet"), "--target", "y", "--features", "gap"],
        &["polars.parquet, column gap: row 1: the value is missing"],
    );
    linear(
        dir.path(),
        &parquet("polars.parquet"),
        "y",
        &["--features", "gap", "--missing", "drop"],
    );
    // Predictions as Parquet are those as CSV, and are replaced by predictions alone.
    let fields = predictions(dir.path(), &parquet("duckdb.parquet"), &["--missing", "drop"]);
    let args = [
        "predict",
        "m.safetensors",
        &parquet("duckdb.parquet"),
        "-o",
        "p.parquet",
        "--missing",
        "drop",
    ];
    succeed(dir.path(), &args);
    succeed(dir.path(), &args);
    let again = linear(dir.path(), "p.parquet", "prediction", &["--features", "line"]);
    assert_eq!(again["data"]["rows"].as_u64(), Some(fields.len() as u64 - 1));
    std::fs::copy(parquet("duckdb.parquet"), dir.path().join("other.parquet")).unwrap();
    let args = ["predict", "m.safetensors", "p.parquet", "-o", "other.parquet"];
    refused(dir.path(), &args, &["not a table of predictions that secondo wrote"]);
    // Nor does one kind of the program's own tables replace the other.
    succeed(dir.path(), &["convert", &parquet("expected.csv"), "t.parquet"]);
    let args = ["predict", "m.safetensors", "p.parquet", "-o", "t.parquet"];
    refused(dir.path(), &args, &["not a table of predictions that secondo wrote"]);
    refused(dir.path(), &["convert", &parquet("expected.csv"), "p.parquet"], &["p.parquet"]);
    let args = ["predict", "m.safetensors", "p.parquet", "-o", "p.npy"];
    refused(dir.path(), &args, &["p.npy", ".parquet"]);
    refused(dir.path(), &["convert", "m.safetensors", "m.parquet"], &["is a model"]);
    let args = ["convert", &parquet("expected.csv"), "f.parquet", "--f32"];
    refused(dir.path(), &args, &["--f32", "for models"]);
}

#[test]
fn tables_become_parquet_and_stay_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (said, _) = succeed(dir.path(), &["convert", &parquet("expected.csv"), "a.parquet"]);
    assert!(said.contains("a.parquet: 40 rows, 13 columns"), "{said}");
    succeed(dir.path(), &["convert", "a.parquet", "b.parquet"]);
    let fits = [parquet("expected.csv").as_str(), "a.parquet", "b.parquet"]
        .map(|name| linear(dir.path(), name, "y", &["--missing", "drop", "--ignore", "zip"]));
    assert!(fits.iter().all(|fit| fit["W"] == fits[0]["W"]));
    assert!(fits[0]["data"]["features"].as_array().is_some_and(|f| f.len() > 11));
    // Zeros before digits are kept, and with them the text.
    let codes = linear(dir.path(), "b.parquet", "y", &["--features", "zip"]);
    assert!(codes["data"]["features"].to_string().contains("zip=01123"), "{}", codes["data"]);
    // Nothing else is replaced.
    std::fs::write(dir.path().join("c.parquet"), "mine").unwrap();
    refused(
        dir.path(),
        &["convert", "a.parquet", "c.parquet"],
        &["not a table that secondo wrote"],
    );
}

/// A gap that a model cannot fill is an error at the prediction, never a row less; rows that are to be dropped are dropped.
#[test]
fn gaps_are_filled_where_the_model_can() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, gaps: &dyn Fn(u32) -> bool| {
        let rows = (0..30u32).map(|i| {
            let a = if gaps(i) { String::new() } else { format!("{}.5", i * 7 % 13) };
            format!("{a},{},{}.25\n", i * 5 % 11, i * i % 17)
        });
        std::fs::write(dir.path().join(name), format!("a,b,y\n{}", rows.collect::<String>()))
            .unwrap();
    };
    write("whole.csv", &|_| false);
    write("gaps.csv", &|i| i % 10 == 3);
    let predict = ["predict", "m.safetensors", "gaps.csv", "--missing"];
    for more in [&[][..], &["--missing", "impute"]] {
        linear(dir.path(), "whole.csv", "y", more);
        refused(dir.path(), &predict[..3], &["line 5, column a", "--missing drop"]);
        let impute = [&predict[..], &["impute"]].concat();
        refused(dir.path(), &impute, &["line 5, column a", "the model has none to fill in"]);
        assert_eq!(predictions(dir.path(), "gaps.csv", &["--missing", "drop"]).len(), 1 + 27);
    }
    linear(dir.path(), "gaps.csv", "y", &["--missing", "impute"]);
    for more in [&[][..], &["--missing", "impute"]] {
        assert_eq!(predictions(dir.path(), "gaps.csv", more).len(), 1 + 30);
    }
    assert_eq!(predictions(dir.path(), "gaps.csv", &["--missing", "drop"]).len(), 1 + 27);
    // No fit fills in a target.
    std::fs::write(dir.path().join("d.csv"), "a,y\n1,2\n2,\n3,4\n").unwrap();
    let args = ["fit", "d.csv", "--target", "y", "--hidden", "none"];
    let out = secondo(dir.path(), &args);
    let said = text(&out.stderr);
    assert!(said.contains("line 3, column y") && !said.contains("impute"), "{said}");
}

/// A folder of Parquet files, as Spark writes them, is one table for every command, with the columns in the names of its folders.
#[test]
fn folders_are_tables() {
    let dir = tempfile::tempdir().unwrap();
    let line = |year: u32, i: u32| {
        let a = f64::from(i * 37 % 101) / 50.0;
        format!("{a},{}", 2.0 * a - f64::from(year - 2020) + f64::from(i * 7 % 5) / 100.0)
    };
    let mut whole = String::from("a,y,year\n");
    for year in [2021, 2022, 2024] {
        let lines: String = (0..40).map(|i| format!("{}\n", line(year, i))).collect();
        std::fs::write(dir.path().join("part.csv"), format!("a,y\n{lines}")).unwrap();
        let within = dir.path().join(format!("big.parquet/year={year}"));
        std::fs::create_dir_all(&within).unwrap();
        let part = format!("big.parquet/year={year}/part-0.parquet");
        succeed(dir.path(), &["convert", "part.csv", &part]);
        lines.lines().for_each(|line| whole += &format!("{line},{year}\n"));
    }
    std::fs::write(dir.path().join("big.parquet/_SUCCESS"), "").unwrap();
    std::fs::write(dir.path().join("whole.csv"), whole).unwrap();
    let parts = linear(dir.path(), "big.parquet", "y", &[]);
    let all = linear(dir.path(), "whole.csv", "y", &[]);
    assert_eq!((&parts["W"], &parts["data"]["features"]), (&all["W"], &all["data"]["features"]));
    let read = linear(dir.path(), "big.parquet", "y", &["--stream", "--method", "trust-region"]);
    for (held, read) in numbers(&all["W"]).into_iter().zip(numbers(&read["W"])) {
        assert!((held - read).abs() < 1e-9, "{held} {read}");
    }
    let of = |table: &str| predictions(dir.path(), table, &[]);
    assert_eq!(of("big.parquet"), of("whole.csv"));
    let (said, _) = succeed(dir.path(), &["infer", "m.safetensors", "big.parquet"]);
    assert!(said.contains("year"), "{said}");
}

#[test]
fn rows_that_are_read_give_the_fit_of_rows_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = String::from("a,b,w,y\n");
    for i in 0..30_000u32 {
        let v = |k: u32| f64::from((i * k) % 997) / 500.0 - 1.0;
        let y = 3.0 + 2.0 * v(7) - v(13) + 0.1 * v(29);
        rows += &format!("{},{},{},{y}\n", v(7), 10.0 + v(13), i % 3);
    }
    std::fs::write(dir.path().join("d.csv"), rows).unwrap();
    succeed(dir.path(), &["convert", "d.csv", "d.parquet"]);
    // A part at a time it becomes the same file.
    succeed(dir.path(), &["convert", "--stream", "d.csv", "e.parquet"]);
    let of = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert!(of("d.parquet") == of("e.parquet"));
    refused(dir.path(), &["convert", "--stream", "d.parquet", "f.parquet"], &["it is no text"]);
    refused(dir.path(), &["convert", "--stream", "d.csv", "f.onnx"], &["--stream is for tables"]);
    let more = ["--weights", "w", "--method", "trust-region"];
    let held = linear(dir.path(), "d.parquet", "y", &more);
    let read = linear(dir.path(), "d.parquet", "y", &[&more[..], &["--stream"]].concat());
    // Means and scales are summed in another order.
    for (held, read) in numbers(&held["W"]).into_iter().zip(numbers(&read["W"])) {
        assert!((held - read).abs() < 1e-9, "{held} {read}");
    }
    for (figure, tolerance) in [("rmse", 1e-9), ("mae", 1e-9), ("r2", 1e-9)] {
        let of = |report: &Value| report["metrics"]["train"][figure].as_f64().unwrap();
        assert!((of(&held) - of(&read)).abs() < tolerance, "{figure}");
    }
    let args = ["--weights", "w", "--method", "lm", "--stream"];
    let squares = linear(dir.path(), "d.parquet", "y", &args);
    for (held, read) in numbers(&held["W"]).into_iter().zip(numbers(&squares["W"])) {
        assert!((held - read).abs() < 1e-9, "{held} {read}");
    }
    // A part is held out, measured and left out of the training.
    let args =
        ["fit", "d.parquet", "--target", "y", "--stream", "--report", "s.json", "--max-iter", "5"];
    let (said, _) = succeed(dir.path(), &args);
    assert!(said.contains("the rows are read as they are needed"), "{said}");
    let report = json(&dir.path().join("s.json"));
    let count = |name: &str| report["data"][name].as_u64().unwrap();
    assert_eq!(count("train_rows") + count("test_rows"), 30_000);
    assert!((5_600..6_400).contains(&count("test_rows")));
    assert_eq!(report["metrics"]["test"]["rows"].as_u64(), Some(count("test_rows")));
    succeed(dir.path(), &["predict", "d.safetensors", "d.csv", "-q"]);
    for (more, said) in [
        (&["--groups", "a"][..], "--groups"),
        (&["--exposure", "a"], "--exposure"),
        (&["--na", "x"], "--na"),
        (&["--cv", "2", "--validation-fraction", "0.1"], "exclude each other"),
        (&["--hidden", "rbf:3"], "radial"),
        (&["--plot", "p.svg"], "--plot"),
        (&["--patience", "3"], "--patience"),
        (&["--validation-column", "w"], "--validation-column"),
        (&["--validation-fraction", "0.1", "--checkpoint", "c"], "curve of early stopping"),
        (&["--validation-fraction", "1e-9"], "no row is for validation"),
    ] {
        refused(
            dir.path(),
            &[&["fit", "d.parquet", "--target", "y", "--stream"], more].concat(),
            &[said],
        );
    }
    // A text has the numbers of its Parquet file, and so the fit its bits.
    let of = |table| linear(dir.path(), table, "y", &["--stream", "--max-iter", "5"]);
    assert_eq!(numbers(&of("d.parquet")["W"]), numbers(&of("d.csv")["W"]));
    for (more, said) in [
        (&["--encoding", "utf-16le"][..], "--encoding"),
        (&["--comment", "#"], "--comment"),
        (&["--delimiter", ";"], "the header is one field"),
    ] {
        let args = [&["fit", "d.csv", "--target", "y", "--stream"], more].concat();
        refused(dir.path(), &args, &[said]);
    }
    refused(dir.path(), &["fit", "-", "--target", "y", "--stream"], &["standard input"]);
}

/// Classes, levels, truth values, times and gaps of rows that are read: the fit, the figures and the model of the same table in memory.
#[test]
fn classes_levels_and_gaps_are_read_as_they_are_held() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = String::from("a,kind,day,gap,few,w,y,code\n");
    for i in 0..12_000u32 {
        let v = |k: u32| f64::from((i * k) % 997) / 500.0 - 1.0;
        let kind = ["red", "green", "blue", ""][(i * 7 % 13 % 4) as usize];
        let day = ["2024-02-28", "2024-03-01", "2023-12-31"][(i % 3) as usize];
        let gap = if i % 11 == 5 { String::new() } else { (3.0 + v(13)).to_string() };
        let size = v(7) + 0.5 * v(29) + if kind == "red" { 0.3 } else { 0.0 };
        let y = if size > 0.7 {
            "high"
        } else if size > -0.2 {
            "mid"
        } else {
            "low"
        };
        let code = u32::from(size + 0.3 * v(31) > 0.0);
        rows += &format!("{},{kind},{day},{gap},{},{},{y},{code}\n", v(7), i % 5, i % 3);
    }
    std::fs::write(dir.path().join("d.csv"), rows).unwrap();
    succeed(dir.path(), &["convert", "d.csv", "d.parquet"]);
    let common =
        ["--method", "trust-region", "--hidden", "none", "--ridge", "1", "--test-fraction", "0"];
    let files = ["--model", "m.safetensors", "--report", "r.json", "-q"];
    let fit = |table: &str, target: &str, more: &[&str]| {
        let args = [&["fit", table, "--target", target][..], &common, &files, more].concat();
        let (_, said) = succeed(dir.path(), &args);
        (
            json(&dir.path().join("r.json")),
            said,
            std::fs::read(dir.path().join("m.safetensors")).unwrap(),
        )
    };
    for (target, more) in [
        ("y", &["--missing", "impute", "--ignore", "code"][..]),
        ("y", &["--missing", "drop", "--ignore", "code", "--weights", "w"]),
        (
            "code",
            &[
                "--missing",
                "impute",
                "--ignore",
                "y",
                "--encode",
                "few",
                "--class-weights",
                "balanced",
            ],
        ),
        ("code", &["--missing", "impute", "--ignore", "y", "--task", "regression"]),
        (
            "code",
            &[
                "--missing",
                "drop",
                "--ignore",
                "y",
                "--loss",
                "softmax_ce",
                "--reference-class",
                "1",
            ],
        ),
        ("y", &["--missing", "impute", "--class-weights", "high=2"]),
        ("a,code", &["--missing", "impute", "--ignore", "y"]),
    ] {
        let (held, _, of_held) = fit("d.parquet", target, more);
        let (read, _, model) = fit("d.parquet", target, &[more, &["--stream"]].concat());
        let (of_text, _, _) = fit("d.csv", target, &[more, &["--stream"]].concat());
        assert_eq!(numbers(&of_text["W"]), numbers(&read["W"]), "{target} {more:?}");
        let (of_text, of_file) = (&of_text["data"], &read["data"]);
        assert_eq!(of_text["columns"], of_file["columns"]);
        assert_eq!(of_text["features"], of_file["features"]);
        let same = |path: &[&str]| {
            let of = |report: &Value| path.iter().fold(report.clone(), |at, key| at[key].clone());
            let (held, read) = (of(&held), of(&read));
            assert_eq!(held.is_null(), read.is_null(), "{target} {more:?} {path:?}");
            (held, read)
        };
        // Means are summed in another order, and rows that are left out stand in other chunks.
        for (held, read) in numbers(&held["W"]).into_iter().zip(numbers(&read["W"])) {
            assert!((held - read).abs() < 1e-7, "{target} {more:?}: {held} {read}");
        }
        assert_eq!(numbers(&held["W"]).len(), numbers(&read["W"]).len());
        for key in [
            "features",
            "columns",
            "classes",
            "class_weights",
            "reference_class",
            "dropped",
            "task",
            "train_rows",
        ] {
            let (held, read) = same(&["data", key]);
            // A mean that is filled in stands there in words, and differs in its last digits.
            let words = |value: &Value| value.to_string().split("; ").next().map(String::from);
            if key == "columns" {
                assert_eq!(words(&held), words(&read), "{target} {more:?}");
            } else {
                assert_eq!(held, read, "{target} {more:?} {key}");
            }
        }
        let is_class = held["data"]["task"] == "classification";
        let figures = if is_class {
            &["accuracy", "log_loss", "rows"][..]
        } else {
            &["rmse", "mae", "r2", "rows"]
        };
        for figure in figures {
            let (held, read) = same(&["metrics", "train", figure]);
            let (held, read) = (held.as_f64().unwrap(), read.as_f64().unwrap());
            assert!((held - read).abs() < 1e-7 * held.abs().max(1.0), "{figure}: {held} {read}");
        }
        if is_class {
            for key in ["brier", "error"] {
                let (held, read) = same(&["metrics", "train", "calibration", key]);
                let (held, read) = (held.as_f64().unwrap(), read.as_f64().unwrap());
                assert!((held - read).abs() < 1e-6, "{key}: {held} {read}");
            }
        }
        // The model of each predicts the table alike.
        let lenient: &[&str] = &["--missing", more[1]];
        let of = |model: &[u8]| {
            std::fs::write(dir.path().join("m.safetensors"), model).unwrap();
            predictions(dir.path(), "d.csv", lenient)
        };
        let (held, read) = (of(&of_held), of(&model));
        assert_eq!(held.len(), read.len());
        for (held, read) in held.iter().zip(&read) {
            for (held, read) in held.iter().zip(read) {
                let near = match (held.parse::<f64>(), read.parse::<f64>()) {
                    (Ok(held), Ok(read)) => (held - read).abs() < 1e-6 * held.abs().max(1.0),
                    _ => held == read,
                };
                assert!(near, "{target} {more:?}: {held} {read}");
            }
        }
    }
    // Without leave a gap is an error that names its row and column; so is a column of many names.
    let args = ["fit", "d.parquet", "--target", "code", "--stream", "--ignore", "y"];
    refused(dir.path(), &args, &["column kind", "row 2:", "--missing drop"]);
    let args = ["fit", "d.csv", "--target", "code", "--stream", "--ignore", "y"];
    refused(dir.path(), &args, &["column kind", "line 3", "--missing drop"]);
    let mut names = String::from("name,x,y\n");
    (0..6000).for_each(|i| names += &format!("n{},{},{}\n", i / 2, i % 7, i % 10));
    std::fs::write(dir.path().join("n.csv"), names).unwrap();
    succeed(dir.path(), &["convert", "n.csv", "n.parquet"]);
    let args = ["fit", "n.parquet", "--target", "y", "--stream"];
    refused(dir.path(), &args, &["more than 1000 different values", "--ignore 'name'"]);
    // Where no row is left it says why.
    std::fs::write(dir.path().join("o.csv"), "a,b,w,y\n1,,1,2\n2,3,0,4\n5,,1,7\n").unwrap();
    succeed(dir.path(), &["convert", "o.csv", "o.parquet"]);
    let none = ["fit", "o.parquet", "--target", "y", "--weights", "w", "--stream"];
    let none = [&none[..], &["--missing", "drop", "--test-fraction", "0"]].concat();
    refused(dir.path(), &none, &["in 2 rows a value is missing, 1 have the weight 0"]);
    // Test rows are held out and measured.
    let args = [
        "fit",
        "n.parquet",
        "--target",
        "y",
        "--stream",
        "--ignore",
        "name",
        "--report",
        "s.json",
        "--max-iter",
        "5",
    ];
    let (said, _) = succeed(dir.path(), &args);
    assert!(said.contains("10 different whole numbers") && said.contains("ROC"), "{said}");
    let report = json(&dir.path().join("s.json"));
    assert_eq!(report["metrics"]["test"]["rows"], report["data"]["test_rows"]);
    assert!(report["metrics"]["test"]["auc"].is_null());
}

/// A streamed fit that ends early returns the point with the lowest error of the rows that were kept out, and measures them.
#[test]
fn a_streamed_fit_ends_early() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = String::from("a,b,y\n");
    for i in 0..400u32 {
        let v = |k: u32| f64::from((i * k) % 397) / 200.0 - 1.0;
        // More noise than there is to learn: a fit to the end would learn it.
        let y = v(7) + 1.5 * v(i * i % 389 + 1);
        rows += &format!("{},{},{y}\n", v(7), v(13));
    }
    std::fs::write(dir.path().join("d.csv"), rows).unwrap();
    let fit = |more: &[&str]| {
        let args = ["fit", "d.csv", "--target", "y", "--stream", "--hidden", "24", "--ridge", "0"];
        let files = ["--report", "r.json", "-q", "--method", "lbfgs", "--max-iter", "300"];
        succeed(dir.path(), &[&args[..], &files, more].concat());
        json(&dir.path().join("r.json"))
    };
    let early = fit(&["--validation-fraction", "0.3", "--patience", "5"]);
    let count = |name: &str| early["data"][name].as_u64().unwrap();
    let all = ["train_rows", "validation_rows", "test_rows"].map(count);
    assert_eq!(all.iter().sum::<u64>(), 400);
    assert!((60..140).contains(&all[1]), "{all:?}");
    assert_eq!(early["metrics"]["validation"]["rows"].as_u64(), Some(all[1]));
    assert_eq!(early["reason"], "validation");
    let errors = numbers(&early["early_stopping"]["error"]);
    let best = early["early_stopping"]["best"].as_u64().unwrap() as usize;
    assert!(errors.iter().all(|error| *error >= errors[best]));
    assert!(errors.len() > best + 1, "it went on after the best point: {best} of {}", errors.len());
    // The error is the mean of the losses of these rows: half the square of the figure in standardised units.
    let rmse = early["metrics"]["validation"]["rmse"].as_f64().unwrap();
    let scale = early["standardization"]["y_scale"][0].as_f64().unwrap();
    let error = 0.5 * (rmse / scale).powi(2);
    assert!((error - errors[best]).abs() < 1e-9 * error, "{error} {}", errors[best]);
    let late = fit(&[]);
    assert!(late["metrics"]["train"]["rmse"].as_f64() < early["metrics"]["train"]["rmse"].as_f64());
}

/// Predictions that are read and written some rows at a time are those of the whole table, and the figures, too.
#[test]
fn predictions_of_parts_are_those_of_the_table() {
    let dir = tempfile::tempdir().unwrap();
    // More rows than a part has.
    let mut rows = String::from("id,a,kind,w,y,n\n");
    for i in 0..70_000u32 {
        let v = |k: u32| f64::from((i * k) % 997) / 500.0 - 1.0;
        let kind = ["red", "green", ""][(i * 7 % 13 % 3) as usize];
        let a = if i % 31 == 5 { String::new() } else { v(7).to_string() };
        let y = if v(7) + v(29) > 0.2 { "high" } else { "low" };
        let n = if i % 1000 == 7 { String::new() } else { (i * 7 % 5).to_string() };
        rows += &format!("{},{a},{kind},{},{y},{n}\n", i * 2, i % 3);
    }
    std::fs::write(dir.path().join("d.csv"), &rows).unwrap();
    succeed(dir.path(), &["convert", "d.csv", "d.parquet"]);
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    let models = [
        ("y", &["--missing", "impute", "--ignore", "n"][..]),
        (
            "n",
            &["--missing", "impute", "--ignore", "y", "--loss", "poisson", "--task", "regression"],
        ),
        ("a,n", &["--missing", "drop", "--ignore", "y", "--task", "regression"]),
    ];
    for (target, more) in models {
        let fit = ["fit", "d.csv", "--target", target, "--hidden", "3", "--ridge", "1", "-q"];
        let fit = [&fit[..], &["--model", "m.safetensors", "--max-iter", "3", "--stream"], more];
        succeed(dir.path(), &fit.concat());
        let rule = ["--missing", more[1]];
        for table in ["d.csv", "d.parquet"] {
            let args = ["predict", "m.safetensors", table, "--weights", "w"];
            let whole = [&args[..], &rule, &["--output", "whole.csv"]].concat();
            let parts = [&args[..], &rule, &["--stream", "--output", "parts.csv"]].concat();
            let (of_whole, notes) = succeed(dir.path(), &whole);
            let (of_parts, notes_of_parts) = succeed(dir.path(), &parts);
            assert!(read("whole.csv") == read("parts.csv"), "{target} {table}");
            // A slow machine tells how far it has read.
            let of_parts_alone = |line: &&str| !line.contains("were read of");
            assert!(notes.lines().eq(notes_of_parts.lines().filter(of_parts_alone)));
            // Figures but those that need all rows: areas under curves, deviances.
            let figures = |text: &str| -> Vec<(String, f64)> {
                let of = |line: &str| {
                    let (name, rest) = line.split_once(' ')?;
                    let number =
                        rest.split_whitespace().next()?.trim_end_matches('%').parse().ok()?;
                    Some((name.to_string(), number))
                };
                text.lines().filter_map(of).collect()
            };
            let (of_whole, of_parts) = (figures(&of_whole), figures(&of_parts));
            assert!(of_parts.len() > 2, "{of_parts:?}");
            for (name, figure) in of_parts.iter().filter(|(name, _)| name != "written") {
                let other = of_whole.iter().find(|(of, _)| of == name).unwrap().1;
                assert!((figure - other).abs() <= 1e-4 * other.abs(), "{name}: {figure} {other}");
            }
            let whole = [&args[..], &rule, &["--output", "whole.parquet", "-q"]].concat();
            let parts =
                [&args[..], &rule, &["--stream", "--output", "parts.parquet", "-q"]].concat();
            succeed(dir.path(), &whole);
            succeed(dir.path(), &parts);
            assert!(read("whole.parquet") == read("parts.parquet"), "{target} {table}");
        }
        // On standard output, too.
        let args = [&["predict", "m.safetensors", "d.parquet", "-q"][..], &rule].concat();
        let (whole, _) = succeed(dir.path(), &args);
        let (parts, _) = succeed(dir.path(), &[&args[..], &["--stream"]].concat());
        assert!(whole == parts && whole.lines().count() > 40_000, "{}", whole.lines().count());
    }
    // What cannot be predicted is named by its line, and no file is left; a part of which no row is left is no error.
    let predict = ["predict", "m.safetensors", "e.csv", "--stream", "--output", "none.csv"];
    let gaps =
        "a,kind,w,n\n".to_string() + &"1,red,1,1\n".repeat(66_000) + &",red,1,1\n".repeat(66_000);
    std::fs::write(dir.path().join("e.csv"), &gaps).unwrap();
    refused(dir.path(), &[&predict[..], &["--ignore", "none"]].concat(), &["no column 'none'"]);
    succeed(dir.path(), &[&predict[..], &["--missing", "drop"]].concat());
    std::fs::write(dir.path().join("e.csv"), gaps.replace("kind", "other")).unwrap();
    std::fs::remove_file(dir.path().join("none.csv")).unwrap();
    refused(dir.path(), &predict, &["no column 'kind'"]);
    std::fs::write(dir.path().join("e.csv"), gaps.replacen("1,red", "1,pink", 66_000)).unwrap();
    refused(dir.path(), &predict, &["line 2, column kind", "pink"]);
    // In a later part, too, a row has its number in the table.
    let late = "a,kind,w,n\n".to_string() + &"1,red,1,1\n".repeat(70_000) + "1,red,x,1\n";
    std::fs::write(dir.path().join("e.csv"), &late).unwrap();
    refused(dir.path(), &predict, &["line 70002, column w"]);
    succeed(dir.path(), &["convert", "e.csv", "e.parquet"]);
    let predict_parquet = [&["predict", "m.safetensors", "e.parquet"][..], &predict[3..]].concat();
    refused(dir.path(), &predict_parquet, &["row 70001"]);
    std::fs::remove_file(dir.path().join("e.parquet")).unwrap();
    let interval = ["--interval", "0.9", "--trained-on", "d.csv"];
    refused(dir.path(), &[&predict[..], &interval].concat(), &["--interval", "--stream"]);
    assert!(!dir.path().join("none.csv").exists());
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    // Tables, models and predictions, and nothing temporary.
    assert_eq!(left, 8);
}

/// The number of a row, from 0 to less than 1, by which it is put into a fold (SplitMix64), written anew so that the program's has an oracle.
fn hash(seed: u64, row: usize) -> f64 {
    let mut z = seed.wrapping_add((row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// The folds of a streamed fit are chosen by a hash, and its measure is that of fits in memory of the same rows.
#[test]
fn a_streamed_fit_is_cross_validated() {
    let dir = tempfile::tempdir().unwrap();
    let row = |i: u32| {
        let v = |k: u32| f64::from((i * k) % 397) / 200.0 - 1.0;
        let a = if i % 17 == 3 { String::new() } else { v(7).to_string() };
        let y = v(7) - 0.5 * v(13) + 0.7 * v(i * i % 389 + 1);
        let class = ["no", "yes"][usize::from(y > 0.1)];
        format!("{a},{},{y},{class}\n", v(13))
    };
    let table = |rows: &mut dyn Iterator<Item = u32>| {
        format!("a,b,y,class\n{}", rows.map(row).collect::<String>())
    };
    std::fs::write(dir.path().join("d.csv"), table(&mut (0..300))).unwrap();
    let common = ["--hidden", "none", "--test-fraction", "0", "--missing", "impute", "-q"];
    let fit = |table: &str, target: &str, more: &[&str]| {
        let ignored = if target == "y" { "class" } else { "y" };
        let args = ["fit", table, "--target", target, "--ignore", ignored, "--report", "r.json"];
        let model = ["--model", "m.safetensors"];
        succeed(dir.path(), &[&args[..], &model, &common, more].concat());
        json(&dir.path().join("r.json"))
    };
    for (target, figure, more) in [
        ("y", "rmse", &[][..]),
        ("class", "log_loss", &[]),
        ("class", "log_loss", &["--class-weights", "balanced"]),
    ] {
        let folds = ["--cv", "3", "--ridge", "0.5,200", "--stream"];
        let streamed = fit("d.csv", target, &[&folds[..], more].concat());
        let choice = &streamed["validation"];
        assert_eq!(choice["chosen"], 0);
        assert_eq!(streamed["penalty"]["lambda"], 0.5);
        let seed = streamed["options"]["seed"].as_u64().unwrap() ^ 0xf01d_f01d_f01d_f01d;
        let fold = |i: u32| (hash(seed, i as usize) * 3.0) as usize;
        for (candidate, ridge) in [(0, "0.5"), (1, "200")] {
            let mut mean = 0.0;
            for held in 0..3 {
                let kept = table(&mut (0..300).filter(|i| fold(*i) != held));
                std::fs::write(dir.path().join("kept.csv"), kept).unwrap();
                let held = table(&mut (0..300).filter(|i| fold(*i) == held));
                std::fs::write(dir.path().join("held.csv"), held).unwrap();
                let of_kept = fit("kept.csv", target, &[&["--ridge", ridge][..], more].concat());
                let predicted = predictions(dir.path(), "held.csv", &["--missing", "impute"]);
                let rows = std::fs::read_to_string(dir.path().join("held.csv")).unwrap();
                let (mut sum, mut total) = (0.0, 0.0);
                for (row, predicted) in rows.lines().skip(1).zip(&predicted[1..]) {
                    let cells: Vec<&str> = row.split(',').collect();
                    if figure == "rmse" {
                        let error: f64 =
                            predicted[0].parse::<f64>().unwrap() - cells[2].parse::<f64>().unwrap();
                        (sum, total) = (sum + error * error, total + 1.0);
                    } else {
                        let class = usize::from(cells[3] == "yes");
                        let weights = numbers(&of_kept["data"]["class_weights"]);
                        let weight = weights.get(class).copied().unwrap_or(1.0);
                        let probability: f64 = predicted[1 + class].parse().unwrap();
                        (sum, total) = (sum - weight * probability.ln(), total + weight);
                    }
                }
                let measure = if figure == "rmse" { (sum / total).sqrt() } else { sum / total };
                mean += measure / 3.0;
            }
            let found = choice["candidates"][candidate]["mean"].as_f64().unwrap();
            assert!(
                (found - mean).abs() < 1e-6 * mean,
                "{target} {more:?} {ridge}: {found} {mean}"
            );
        }
    }
    // Divided twice there are other folds; more folds than rows are refused.
    let twice = ["--cv", "3", "--repeats", "2", "--ridge", "0.5", "--stream"];
    let report = fit("d.csv", "y", &twice);
    assert_eq!(report["validation"]["repeats"], 2);
    std::fs::write(dir.path().join("few.csv"), table(&mut (0..5))).unwrap();
    let args =
        ["fit", "few.csv", "--target", "y", "--stream", "--cv", "50", "--test-fraction", "0"];
    refused(dir.path(), &[&args[..], &["--missing", "impute"]].concat(), &["folds has no row"]);
}

/// A terminal shows how many rows and bytes have been read.
#[test]
#[cfg(target_os = "linux")]
fn a_terminal_shows_how_much_was_read() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String = (0..400_000).map(|i| format!("{},{}\n", i, i % 7)).collect();
    std::fs::write(dir.path().join("d.csv"), format!("a,y\n{rows}")).unwrap();
    let on_terminal = |command: &str| {
        let out = Command::new("script")
            .args(["--quiet", "--return", "--command"])
            .arg(format!("{} {command}", env!("CARGO_BIN_EXE_secondo")))
            .arg("/dev/null")
            .env("TERM", "xterm")
            .current_dir(dir.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{text}");
        text
    };
    let fit = "fit d.csv --target y --task regression --hidden 2 --ridge 1 --max-iter 3 --stream";
    let commands = [
        fit,
        "predict d.safetensors d.csv --stream --output p.csv",
        "convert d.csv d.parquet --stream",
    ];
    for command in commands {
        let text = on_terminal(command);
        assert!(text.contains("were read of d.csv, which has "), "{command}: {text}");
    }
    let text = on_terminal(fit);
    let mut steps = text.split("steps, objective").skip(1);
    assert!(steps.any(|step| step.contains(" rows (")), "{text}");
    // Nothing where nothing is to be said, and where the predictions themselves are on the terminal.
    for command in [&format!("{fit} --quiet"), "predict d.safetensors d.csv --stream"] {
        assert!(!on_terminal(command).contains("were read of"), "{command}");
    }
}
