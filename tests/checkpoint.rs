//! Checkpoints: every bit comes back, damage and foreign files are refused, and no interruption loses the last state.
#![cfg(feature = "io")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ndarray::array;
use secondo::io::{Checkpoint, Fingerprint};
use secondo::{Activation, Data, Error, Loss, Network, Penalty, Problem, Reduction};
use serde_json::{Map, Value, json};

fn options(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn problem(hidden: usize, y: f64) -> Problem {
    let data = Data::new(array![[1.0], [2.0]], array![[y], [0.5]]).unwrap();
    let network = Network::dense(&[1, hidden, 1], Activation::Tanh).unwrap();
    Problem::new(network, data, Loss::SquaredError).unwrap()
}

fn fingerprint() -> Fingerprint {
    Fingerprint::new(&problem(2, 1.0), &options(json!({"gtol": 1e-8}))).unwrap()
}

/// A state whose every number says which it is.
fn state(count: f64, length: usize) -> Checkpoint {
    let w = vec![count; length];
    Checkpoint::new("newton", &[("count", count), ("mu", f64::NAN)], &[("w", &w)])
}

#[track_caller]
fn consistent(path: &Path) -> f64 {
    let state = Checkpoint::load(path, &fingerprint()).unwrap();
    let count = state.number("count").unwrap();
    assert!(state.array("w").unwrap().iter().all(|v| *v == count));
    count
}

#[track_caller]
fn refused(found: secondo::Result<Checkpoint>, said: &[&str]) {
    match found {
        Err(error @ Error::Format { .. }) => {
            let text = error.to_string();
            for part in said {
                assert!(text.contains(part), "'{part}' is not in: {text}");
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_bit_comes_back() {
    let numbers = [
        ("nan", f64::from_bits(0x7ff8_dead_beef_0001)),
        ("inf", f64::NEG_INFINITY),
        ("zero", -0.0),
        ("tiny", f64::from_bits(1)),
        ("third", 1.0 / 3.0),
    ];
    let values: Vec<f64> = numbers.iter().map(|n| n.1).collect();
    let state = Checkpoint::new("trust region “ü”", &numbers, &[("w", &values), ("none", &[])]);
    let bytes = state.to_bytes(&fingerprint());
    let again = Checkpoint::from_bytes(&bytes, Path::new("c"), &fingerprint()).unwrap();
    assert_eq!(again.method(), "trust region “ü”");
    for (name, value) in numbers {
        assert_eq!(again.number(name).unwrap().to_bits(), value.to_bits(), "{name}");
    }
    let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(again.array("w").unwrap()), bits(&values));
    assert!(again.array("none").unwrap().is_empty());
    assert_eq!(again.to_bytes(&fingerprint()), bytes);

    assert_eq!(
        again.number("mu").unwrap_err().to_string(),
        "unknown number of the checkpoint 'mu'; known: nan, inf, zero, tiny, third"
    );
    assert!(matches!(again.array("v"), Err(Error::Unknown { .. })));
    let empty = Checkpoint::new("", &[], &[]).to_bytes(&fingerprint());
    assert!(Checkpoint::from_bytes(&empty, Path::new("c"), &fingerprint()).is_ok());
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = state(1.0, 3).to_bytes(&fingerprint());
    let read = |bytes: &[u8]| Checkpoint::from_bytes(bytes, Path::new("c"), &fingerprint());
    assert!(read(&bytes).is_ok());
    for length in 0..bytes.len() {
        refused(read(&bytes[..length]), &["c: ", "damaged"]);
    }
    refused(read(&[&bytes[..], &[0]].concat()), &["damaged"]);
}

#[test]
fn a_flipped_bit_is_refused() {
    let mut bytes = state(1.0, 3).to_bytes(&fingerprint());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let found = Checkpoint::from_bytes(&bytes, Path::new("c"), &fingerprint());
            assert!(matches!(found, Err(Error::Format { .. })), "byte {at}, bit {bit}");
            bytes[at] ^= 1 << bit;
        }
    }
    assert!(Checkpoint::from_bytes(&bytes, Path::new("c"), &fingerprint()).is_ok());
}

#[test]
fn other_files_are_refused() {
    let read = |bytes: &[u8]| Checkpoint::from_bytes(bytes, Path::new("c"), &fingerprint());
    let bytes = state(1.0, 3).to_bytes(&fingerprint());
    let text = |bytes: &[u8]| bytes.iter().map(|b| char::from(*b)).collect::<String>();
    let changed = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let changed = text(&bytes).replacen(from, to, 1);
        assert_ne!(changed, text(&bytes));
        changed.chars().map(|c| c as u8).collect::<Vec<u8>>()
    };
    let newer = changed(r#""version":"1""#, r#""version":"7""#);
    refused(read(&newer), &["format version is 7, newer than 1"]);
    // No checksum is no checkpoint.
    let without = changed(r#""checksum":"#, r#""checkers":"#);
    refused(read(&without), &["'checksum' is missing"]);
    let (network, w) = (problem(1, 1.0).network().clone(), vec![0.0; 4]);
    let model = secondo::io::Model::new(network, w, Loss::SquaredError).unwrap();
    refused(read(&model.to_bytes().unwrap()), &["no checkpoint of secondo"]);
    refused(read(b"a,b\n1,2\n3,4\n5,6\n"), &["is it a checkpoint?"]);
}

#[test]
fn another_fit_is_refused_with_what_differs() {
    let bytes = state(1.0, 3).to_bytes(&fingerprint());
    let set = |value: Value| options(value);
    let gtol = set(json!({"gtol": 1e-8}));
    let ridge = |problem: Problem| problem.penalty(Penalty::ridge(0.5)).unwrap();
    let mut heavier = problem(2, 1.0).data().unwrap().clone();
    heavier = heavier.weighted(vec![1.0, 2.0]).unwrap();
    let weighted =
        Problem::new(problem(2, 1.0).network().clone(), heavier, Loss::SquaredError).unwrap();
    let other_loss = Problem::new(
        problem(2, 1.0).network().clone(),
        problem(2, 1.0).data().unwrap().clone(),
        Loss::LogCosh { delta: 1.0 },
    )
    .unwrap();
    let tied = secondo::Constraint::new(vec![0.0; 7], 1, vec![(0, 0, 1.0)]).unwrap();
    let tied = problem(2, 1.0).constraint(tied).unwrap();
    let cases: [(Fingerprint, &[&str]); 9] = [
        (Fingerprint::new(&problem(2, 1.5), &gtol).unwrap(), &["differs: data ("]),
        (Fingerprint::new(&weighted, &gtol).unwrap(), &["differs: data ("]),
        (Fingerprint::new(&problem(3, 1.0), &gtol).unwrap(), &["differs: network"]),
        (Fingerprint::new(&other_loss, &gtol).unwrap(), &["loss", "sos", "logcosh"]),
        (Fingerprint::new(&ridge(problem(2, 1.0)), &gtol).unwrap(), &["penalty"]),
        (Fingerprint::new(&tied, &gtol).unwrap(), &["constraint (null there"]),
        (
            Fingerprint::new(&problem(2, 1.0).reduction(Reduction::Mean), &gtol).unwrap(),
            &["reduction (\"sum\" there, \"mean\" here)"],
        ),
        (
            Fingerprint::new(&problem(2, 1.0), &set(json!({"gtol": 1e-6, "eta": 0.1}))).unwrap(),
            &["option gtol (1e-8 there, 1e-6 here), option eta (not set there, 0.1 here);"],
        ),
        (
            Fingerprint::new(&problem(2, 1.0), &Map::new()).unwrap(),
            &["option gtol (1e-8 there, not set here);", "same data and options"],
        ),
    ];
    for (needed, said) in cases {
        refused(Checkpoint::from_bytes(&bytes, Path::new("c"), &needed), said);
    }
}

#[test]
fn the_generation_before_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("c"), dir.path().join("c.old"));
    state(1.0, 3).save(&path, &fingerprint()).unwrap();
    assert!(!old.exists());
    for count in 2..5 {
        state(count as f64, 3).save(&path, &fingerprint()).unwrap();
        assert_eq!((consistent(&path), consistent(&old)), (count as f64, count as f64 - 1.0));
    }
    // A damaged file is no generation, and the message names the one that is.
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    refused(
        Checkpoint::load(&path, &fingerprint()),
        &["damaged", "the checkpoint before it is", "c.old"],
    );
    state(9.0, 3).save(&path, &fingerprint()).unwrap();
    assert_eq!((consistent(&path), consistent(&old)), (9.0, 3.0));
    // A file that is no checkpoint is not overwritten.
    let table = dir.path().join("d.csv");
    std::fs::write(&table, "a,b\n1,2\n3,4\n5,6\n").unwrap();
    assert!(state(1.0, 3).save(&table, &fingerprint()).is_err());
    assert_eq!(std::fs::read_to_string(&table).unwrap(), "a,b\n1,2\n3,4\n5,6\n");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "no other file is left");
}

#[test]
#[cfg(unix)]
fn folders_links_and_forbidden_places() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let io =
        |found: secondo::Result<()>| assert!(matches!(found, Err(Error::Io { .. })), "{found:?}");
    io(state(1.0, 3).save(dir.path(), &fingerprint()));
    io(Checkpoint::load(dir.path(), &fingerprint()).map(drop));
    io(Checkpoint::load(&dir.path().join("none"), &fingerprint()).map(drop));
    io(state(1.0, 3).save(&dir.path().join("no").join("c"), &fingerprint()));

    // A link stays one; its target is what changes.
    let (target, link) = (dir.path().join("target"), dir.path().join("link"));
    state(1.0, 3).save(&target, &fingerprint()).unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    state(2.0, 3).save(&link, &fingerprint()).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!((consistent(&target), consistent(&link)), (2.0, 2.0));
    assert_eq!(consistent(&dir.path().join("link.old")), 1.0);

    let closed = dir.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    let path = closed.join("c");
    state(1.0, 3).save(&path, &fingerprint()).unwrap();
    let mode = |mode| std::fs::set_permissions(&closed, PermissionsExt::from_mode(mode)).unwrap();
    mode(0o500);
    // The superuser may write anywhere.
    if std::fs::write(closed.join("probe"), "").is_err() {
        io(state(2.0, 3).save(&path, &fingerprint()));
        assert_eq!(consistent(&path), 1.0);
    }
    mode(0o700);
}

const FILE: &str = "SECONDO_TEST_CHECKPOINT";

/// Saves again and again where the next test started it; nothing otherwise.
#[test]
fn saver() {
    if let Some(path) = std::env::var_os(FILE) {
        for count in 1.. {
            state(f64::from(count), 20_000).save(Path::new(&path), &fingerprint()).unwrap();
        }
    }
}

#[test]
fn a_killed_program_leaves_a_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("c"), dir.path().join("c.old"));
    let mut random: u64 = 88172645463325252;
    let mut last = 0.0;
    for round in 0..30 {
        for file in [&path, &old] {
            let _ = std::fs::remove_file(file);
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "saver"])
            .env(FILE, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Every other child lives to save again, however busy the machine is.
        let awaited = if round % 2 == 0 { &path } else { &old };
        let begin = Instant::now();
        while !awaited.exists() {
            assert!(begin.elapsed() < Duration::from_secs(60), "nothing was saved");
            std::thread::sleep(Duration::from_micros(200));
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_micros(random % 30_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let count = consistent(&path);
        assert!(count >= 1.0);
        if old.exists() {
            let _ = consistent(&old);
        }
        last = count.max(last);
    }
    assert!(last > 1.0, "no child was killed after its first save");
}
