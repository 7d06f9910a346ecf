//! Time against size: four times as much of anything takes about four times the time, and not sixteen times.
#![cfg(target_os = "linux")]

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use secondo::io::{Model, network_to_json};
use secondo::{Activation, Group, Layer, Loss, Network};
use serde_json::json;

/// How many times the size is measured beside the size.
const TIMES: usize = 4;
/// The largest ratio of their times, between 4 and 16: a machine whose speed changes by a half tells the two apart.
const MOST: f64 = 8.0;
/// Seconds from which a ratio says something.
const ENOUGH: f64 = 0.1;

/// Seconds of all cores, which other programs do not change much, of one run.
fn seconds(folder: &Path, command: &str) -> f64 {
    let line = format!("TIMEFORMAT='%U %S'; time {command} >/dev/null 2>err");
    let mut shell = Command::new("bash");
    shell.current_dir(folder).env("secondo", env!("CARGO_BIN_EXE_secondo"));
    // The threads of a pool that wait for work take time as well.
    let out = shell.env("RAYON_NUM_THREADS", "1").args(["-c", &line]).output().unwrap();
    let why = || fs::read_to_string(folder.join("err")).unwrap();
    assert!(out.status.success(), "{command}: {:.500}", why());
    let said = String::from_utf8(out.stderr).unwrap();
    said.split_whitespace().map(|v| v.parse::<f64>().unwrap()).sum()
}

/// Prepares files of some size and returns the command.
type Case = (&'static str, usize, fn(&Path, usize) -> String);

/// A list of the same text.
fn list(n: usize, item: impl Fn(usize) -> String) -> String {
    let mut out = String::new();
    for i in 0..n {
        let comma = if i > 0 { "," } else { "" };
        write!(out, "{comma}{}", item(i)).unwrap();
    }
    out
}

fn model(folder: &Path, widths: &[usize], loss: Loss) {
    let network = Network::dense(widths, Activation::Tanh).unwrap();
    let weights = vec![0.001; network.parameters()];
    Model::new(network, weights, loss).unwrap().save(&folder.join("m")).unwrap();
}

fn columns(folder: &Path, n: usize) -> String {
    model(folder, &[n, 1], Loss::SquaredError);
    let (names, row) = (list(n, |i| format!("x{}", i + 1)), list(n, |i| format!("{}", i % 7)));
    fs::write(folder.join("t.csv"), format!("{names},other\n{row},1\n{row},2\n")).unwrap();
    "$secondo predict m t.csv".into()
}

fn other_columns(folder: &Path, n: usize) -> String {
    model(folder, &[1, 1], Loss::SquaredError);
    let (names, row) = (list(n, |i| format!("x{}", i + 1)), list(n, |_| "1".into()));
    fs::write(folder.join("t.csv"), format!("{names}\n{row}\n")).unwrap();
    "$secondo predict m t.csv".into()
}

fn rows(folder: &Path, n: usize) -> String {
    model(folder, &[1, 1], Loss::SquaredError);
    fs::write(folder.join("t.csv"), format!("x1,y1\n{}", "1.5,2\n".repeat(n))).unwrap();
    "$secondo predict m t.csv".into()
}

fn classes(folder: &Path, n: usize) -> String {
    model(folder, &[1, n], Loss::SoftmaxCrossEntropy);
    fs::write(folder.join("t.csv"), format!("x1\n{}", "1\n".repeat(20))).unwrap();
    "$secondo predict m t.csv".into()
}

fn fitted_rows(folder: &Path, n: usize) -> String {
    let rows: String = (0..n).map(|i| format!("{},{}\n", i % 13, i % 10)).collect();
    fs::write(folder.join("t.csv"), format!("a,y\n{rows}")).unwrap();
    let _ = fs::remove_file(folder.join("f"));
    "$secondo fit t.csv --target y --hidden none --max-iter 0 --model f --device cpu".into()
}

fn long_name(folder: &Path, n: usize) -> String {
    let name = "n".repeat(n);
    fs::write(folder.join("t.csv"), format!("{name},y\n1,2\n2,3\n3,1\n")).unwrap();
    let _ = fs::remove_file(folder.join("f"));
    "$secondo fit t.csv --target y --hidden none --max-iter 0 --model f --device cpu".into()
}

fn problem(folder: &Path, network: &Network, inputs: usize, rest: &str) -> String {
    let (x, w) = (list(inputs, |_| "0.5".into()), list(network.parameters(), |_| "0.01".into()));
    let spec = network_to_json(network);
    let text = format!(
        r#"{{"spec": {spec}, "loss": {}, "X": [[{x}]], "Y": [[{}]], "W": [{w}]{rest}}}"#,
        json!({"type": "sos"}),
        list(network.outputs(), |_| "1".into())
    );
    fs::write(folder.join("p.json"), text).unwrap();
    "$secondo derivatives p.json --structure none --device cpu".into()
}

fn layers(folder: &Path, n: usize) -> String {
    problem(folder, &Network::dense(&vec![1; n], Activation::Tanh).unwrap(), 1, "")
}

fn groups(folder: &Path, n: usize) -> String {
    let unit = |j: usize| if j.is_multiple_of(2) { Activation::Tanh } else { Activation::Logistic };
    let units = (0..n).map(|j| Group::linear(1, unit(j))).collect();
    problem(folder, &Network::new(1, vec![Layer::of(units)]).unwrap(), 1, "")
}

fn constraint(folder: &Path, n: usize) -> String {
    let network = Network::dense(&[n, 1], Activation::Tanh).unwrap();
    let (fixed, ones) = (list(n + 1, |_| "0".into()), list(n, |l| format!("[{l},{l},1]")));
    let theta = list(n, |_| "0.1".into());
    let rest = format!(
        r#", "theta": [{theta}], "constraint": {{"fixed": [{fixed}], "C_entries": [{ones}]}}"#
    );
    problem(folder, &network, n, &rest)
}

const CASES: [Case; 9] = [
    ("columns of a model", 2000, columns),
    ("other columns", 2000, other_columns),
    ("rows", 4000, rows),
    ("classes", 500, classes),
    ("rows of a fit", 2000, fitted_rows),
    ("the length of a name", 100_000, long_name),
    ("layers", 200, layers),
    ("groups of units", 200, groups),
    ("rows of a constraint", 2000, constraint),
];

/// The size that was measured, its time, and the ratio for [`TIMES`] the size.
fn growth(folder: &Path, (_, start, prepare): Case) -> (usize, f64, f64) {
    let least = |n: usize| {
        let command = prepare(folder, n);
        (0..3).map(|_| seconds(folder, &command)).fold(f64::INFINITY, f64::min)
    };
    let base = least(2);
    let mut n = start;
    while least(n) - base < ENOUGH && n < start << 11 {
        n *= 2;
    }
    // By turns: a machine that is slower for a while is slower for both.
    let (mut once, mut more) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..3 {
        once = once.min(seconds(folder, &prepare(folder, n)));
        more = more.min(seconds(folder, &prepare(folder, TIMES * n)));
    }
    (n, once - base, (more - base) / (once - base))
}

/// The same where it grows too fast: a machine that is busy must be so three times. A command that is quick at millions does not grow.
fn too_fast(case: Case) -> Option<(&'static str, usize, f64, f64)> {
    let dir = tempfile::tempdir().unwrap();
    let mut found = growth(dir.path(), case);
    for _ in 0..2 {
        if found.2 > MOST {
            found = growth(dir.path(), case);
        }
    }
    let (n, once, ratio) = found;
    println!("{:<24}{n:>10}{once:>9.3} s{ratio:>7.2}", case.0);
    (ratio > MOST && once >= ENOUGH / 2.0).then_some((case.0, n, once, ratio))
}

#[test]
fn time_grows_with_size_and_no_faster() {
    let failed: Vec<_> = CASES.into_iter().filter_map(too_fast).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

/// The measure finds what is quadratic, whose ratio is 16.
#[test]
fn a_quadratic_command_is_found() {
    let quadratic = |folder: &Path, n: usize| {
        fs::write(folder.join("n"), n.to_string()).unwrap();
        "bash -c 'n=$(cat n); for ((i = 0; i < n * n; i++)); do :; done'".into()
    };
    assert!(too_fast(("quadratic", 100, quadratic)).is_some());
}
