//! A report reads back: the same JSON to the last byte, and the text that the program printed.

use std::path::Path;
use std::process::Command;

use secondo_cli::Report;

#[path = "../../tests/common/random.rs"]
mod random;

/// Runs a fit; checks that its report reads back; returns the report's JSON.
#[track_caller]
fn reads_back(folder: &Path, args: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_secondo"))
        .current_dir(folder)
        .args(["fit", "--report", "report.json"])
        .args(args)
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(0), "{stderr}");
    let json = std::fs::read_to_string(folder.join("report.json")).expect("the report");
    let report = Report::from_json(&json).expect("a report");
    assert_eq!(report.to_json(), json);
    let printed = String::from_utf8(out.stdout).expect("UTF-8");
    assert_eq!(format!("{report}report       written to report.json\n"), printed);
    json
}

fn data(path: &str) -> String {
    format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn of_tables() {
    let dir = tempfile::tempdir().unwrap();
    let (iris, diabetes) = (data("examples/data/iris.csv"), data("examples/data/diabetes.csv"));
    let few = ["--max-iter", "5", "--seed", "3"];
    let of = |args: &[&str]| reads_back(dir.path(), &[args, &few].concat());
    of(&[&iris, "--target", "species", "--starts", "3", "--skip"]);
    let json = of(&[
        &diabetes,
        "--target",
        "progression",
        "--hidden",
        "3,rbf_diag_sigma:2",
        "--ridge",
        "0",
        "--test-fraction",
        "0",
    ]);
    assert!(json.contains("\"hidden\":[3,\"rbf_diag_sigma:2\"]"), "{json}");
    std::fs::write(dir.path().join("net.json"), json).unwrap();
    of(&[
        &diabetes,
        "--target",
        "progression",
        "--task",
        "regression",
        "--mean",
        "--loss",
        "logcosh",
        "--ridge-bias",
        "false",
        "--architecture",
        "net.json",
    ]);
}

#[test]
fn of_problem_files() {
    let dir = tempfile::tempdir().unwrap();
    let file = data("tests/data/derivs/d03_logistic_skip_ridge.json");
    reads_back(dir.path(), &[&file, "--max-iter", "30"]);
    let tied = r#"{"spec": {"inputs": 1, "layers": [{"units": 1, "activations": "identity"}]},
        "loss": {"type": "sos"}, "X": [[1], [2], [4]], "Y": [[1], [3], [3]],
        "constraint": {"fixed": [0, 1], "C_entries": [[0, 0, 1]]}, "theta": [0.5]}"#;
    std::fs::write(dir.path().join("tied.json"), tied).unwrap();
    let json = reads_back(dir.path(), &["tied.json"]);
    assert!(json.contains("\"theta\": ["), "{json}");

    mutated(json.as_bytes());
    // A file that is no report is refused, and the error names what is missing.
    let error = |text: &str| Report::from_json(text).unwrap_err().to_string();
    assert!(error("{").contains("report"));
    for key in ["W", "reason", "loss", "notes", "seconds_by_stage", "starts"] {
        let without = json.replace(&format!("\"{key}\": "), "\"other\": ");
        assert!(error(&without).contains(key), "{key}");
    }
}

/// A report that was changed anywhere is read or refused; what is read can be printed.
fn mutated(json: &[u8]) {
    let mut refused = 0;
    for round in 0..2000 {
        let bytes = random::mutated(&mut random::Random::new(1, round), json, b"[{}]");
        let text = String::from_utf8_lossy(&bytes);
        match std::panic::catch_unwind(|| Report::from_json(&text).map(|report| report.to_string()))
        {
            Ok(read) => refused += usize::from(read.is_err()),
            Err(_) => panic!("round {round}: {text}"),
        }
    }
    assert!((100..2000).contains(&refused), "{refused}");
}
