//! Mutated input: every parser gives a value or a typed error, quickly and in bounded memory, for whatever bytes it is given.
//!
//! A target is a parser as a function of bytes. Its corpus, `tests/data/corpus/TARGET/`, holds files that it must survive as they
//! are, and what is mutated. `scripts/fuzz` runs the same for longer, with other seeds: `SECONDO_FUZZ_ROUNDS` and
//! `SECONDO_FUZZ_SEED`.
#![cfg(feature = "io")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ndarray::array;
use secondo::io::{
    Checkpoint, Column, Dialect, Fingerprint, Model, ProblemFile, Reading, Standardization, Table,
    array_from_npy, fit_from_json, fit_to_json, loss_from_json, network_from_json,
    penalty_from_json,
};
use secondo::{
    Activation, Control, Curvature, Data, Initialization, Loss, Method, Network, Problem, Progress,
    Structure, TrustRegion,
};
use serde_json::{Map, Value, json};

use crate::allocator;
use crate::random::{Random, mutated};
use crate::{ALONE, processor_time, variable, warm};

/// A parser as a function of bytes, which says whether it took them.
struct Target {
    name: &'static str,
    parse: fn(&[u8]) -> bool,
    /// The last change of mutated bytes: first a checksum that holds, so that more than it is tried.
    mend: fn(Vec<u8>) -> Vec<u8>,
    /// Entries of the corpus that are made here.
    made: fn() -> Vec<Vec<u8>>,
}

const fn target(name: &'static str, parse: fn(&[u8]) -> bool) -> Target {
    Target { name, parse, mend: |bytes| bytes, made: Vec::new }
}

const TARGETS: &[Target] = &[
    target("table", table),
    target("table-file", table_file),
    target("problem-file", problem_file),
    target("formula", formula),
    target("network", |bytes| json_of(bytes).is_some_and(|v| network_from_json(&v).is_ok())),
    target("part", part),
    target("column", |bytes| json_of(bytes).is_some_and(|v| Column::from_json(&v).is_ok())),
    Target { made: fits, ..target("fit", fit) },
    target("npy", npy),
    target("name", name),
    Target { mend: sealed, made: models, ..target("model", model) },
    Target { mend: sealed, made: checkpoints, ..target("checkpoint", checkpoint) },
];

fn problem() -> Problem {
    let data = Data::new(array![[1.0], [2.0]], array![[0.5], [0.1]]).unwrap();
    let network = Network::dense(&[1, 2, 1], Activation::Tanh).unwrap();
    Problem::new(network, data, Loss::SquaredError).unwrap()
}

fn fingerprint() -> Fingerprint {
    Fingerprint::new(&problem(), &Map::default()).unwrap()
}

fn json_of(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

/// The file of a target that reads one: this process has it alone.
fn file(bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("secondo-mutated-{}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The steps that follow a table that was read may refuse it; they must not panic.
fn read_on(table: &Table) {
    for target in table.names().iter().take(4) {
        if let Ok(data) = table.dataset(&Reading::new(target.clone())) {
            let inputs = data.columns.iter().map(|c| c.inputs().len()).sum::<usize>();
            assert_eq!(data.x.ncols(), inputs, "{target}");
        }
    }
}

fn table(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap_or("");
    let Ok(table) = Table::parse(text, Path::new("t"), &Dialect::default()) else {
        return false;
    };
    read_on(&table);
    true
}

/// With its encoding and its packing.
fn table_file(bytes: &[u8]) -> bool {
    let Ok(table) = Table::from_path(&file(bytes), &Dialect::default()) else {
        return false;
    };
    read_on(&table);
    true
}

fn problem_file(bytes: &[u8]) -> bool {
    let Ok(Ok(file)) = std::str::from_utf8(bytes).map(ProblemFile::from_str) else {
        return false;
    };
    let _ = file.problem.objective(&file.parameters);
    let _ = file.problem.curvature(&file.parameters, Curvature::Exact, Structure::Diagonal);
    true
}

fn formula(bytes: &[u8]) -> bool {
    let Ok(activation) = Activation::formula(&String::from_utf8_lossy(bytes)) else {
        return false;
    };
    let _ = (activation.value(0.5), activation.derivatives(-1e300), activation.derivative(0.0, 5));
    true
}

/// A loss, a penalty or a standardisation.
fn part(bytes: &[u8]) -> bool {
    json_of(bytes).is_some_and(|v| {
        let taken = [
            loss_from_json(&v).is_ok(),
            penalty_from_json(&v).is_ok(),
            Standardization::from_json(&v).is_ok(),
        ];
        taken.contains(&true)
    })
}

fn npy(bytes: &[u8]) -> bool {
    array_from_npy(&file(bytes)).is_ok()
}

/// Names of everything that has one.
fn name(bytes: &[u8]) -> bool {
    let name = String::from_utf8_lossy(bytes);
    let name = name.trim_end();
    let taken = [
        Activation::from_name(name).is_ok(),
        Curvature::from_name(name).is_ok(),
        Structure::from_name(name).is_ok(),
        Initialization::from_name(name).is_ok(),
        secondo::LossKind::from_name(name).is_ok(),
        secondo::Radial::from_name(name).is_ok(),
        secondo::Reason::from_name(name).is_ok(),
    ];
    taken.contains(&true)
}

fn model(bytes: &[u8]) -> bool {
    let Ok(model) = Model::from_bytes(bytes, Path::new("m")) else {
        return false;
    };
    let _ = model.predict(&array![[1.0]]);
    let _ = (model.task(), model.table_columns());
    model.to_bytes().is_ok()
}

fn checkpoint(bytes: &[u8]) -> bool {
    let Ok(read) = Checkpoint::from_bytes(bytes, Path::new("c"), &fingerprint()) else {
        return false;
    };
    if let Ok(state) = read.state() {
        let _ = TrustRegion { max_iter: 3, ..TrustRegion::default() }.resume(
            &problem(),
            state,
            &mut secondo::silent,
        );
    }
    true
}

fn fit(bytes: &[u8]) -> bool {
    let read = json_of(bytes).map(|v| fit_from_json(&v, vec![1.0; 3]));
    read.is_some_and(|fit| fit.is_ok_and(|fit| !fit.to_string().is_empty()))
}

fn fits() -> Vec<Vec<u8>> {
    let auto = secondo::Auto { max_iter: 2, ..secondo::Auto::default() };
    let fit = auto.fit(&problem(), &[0.1; 7], &mut secondo::silent).unwrap();
    vec![Value::from(fit_to_json(&fit)).to_string().into_bytes()]
}

fn models() -> Vec<Vec<u8>> {
    let plain = Model::new(problem().network().clone(), vec![0.5; 7], Loss::SquaredError).unwrap();
    let mut named = plain.clone();
    named.features = vec!["größe".into()];
    named.targets = vec!["y".into()];
    named.standardization.x_mean = vec![1e9];
    vec![plain.to_bytes().unwrap(), named.to_bytes().unwrap()]
}

fn checkpoints() -> Vec<Vec<u8>> {
    let mut kept = None;
    let watch = &mut |progress: &Progress| {
        kept = Some(progress.state.clone());
        if progress.iteration > 1 { Control::Stop } else { Control::Continue }
    };
    TrustRegion::default().fit(&problem(), &[0.1; 7], watch).unwrap();
    let plain = Checkpoint::new("newton", &[("mu", 0.5)], &[("w", &[1.0, 2.0])]);
    vec![Checkpoint::of(&kept.unwrap()).to_bytes(&fingerprint()), plain.to_bytes(&fingerprint())]
}

/// The file with a checksum that fits its contents, where it still is one: FNV-1a of the metadata and the tensors.
fn sealed(bytes: Vec<u8>) -> Vec<u8> {
    let again = || {
        let (size, rest) = bytes.split_first_chunk::<8>()?;
        let size = usize::try_from(u64::from_le_bytes(*size)).ok()?;
        let (head, data) = rest.split_at_checked(size)?;
        let mut header = json_of(head)?;
        let entries = header.as_object_mut()?;
        let texts: BTreeMap<String, Value> =
            serde_json::from_value(entries.get("__metadata__")?.clone()).ok()?;
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let mut add = |part: &[u8]| {
            for byte in part {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for (key, value) in texts.iter().filter(|(key, _)| *key != "checksum") {
            [key.as_bytes(), &[0], value.as_str()?.as_bytes(), &[0]].iter().for_each(|p| add(p));
        }
        let tensors: BTreeMap<&String, &Value> =
            entries.iter().filter(|(name, _)| *name != "__metadata__").collect();
        for (name, entry) in tensors {
            let end = |i: usize| usize::try_from(entry["data_offsets"][i].as_u64()?).ok();
            [name.as_bytes(), &[0], data.get(end(0)?..end(1)?)?].iter().for_each(|p| add(p));
        }
        entries["__metadata__"]["checksum"] = json!(format!("fnv1a64:{hash:016x}"));
        let head = header.to_string();
        Some([&(head.len() as u64).to_le_bytes(), head.as_bytes(), data].concat())
    };
    again().unwrap_or(bytes)
}

/// The files of a target's corpus by their names, and what is made for it.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/corpus").join(target.name);
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|e| e.unwrap());
    let mut all: Vec<(String, Vec<u8>)> = entries
        .map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap()))
        .chain((target.made)().into_iter().enumerate().map(|(i, b)| (format!("good-{i}"), b)))
        .collect();
    all.sort();
    all
}

/// The most bytes that one parser may hold beside those of the budget.
const BUDGET: u64 = 64 << 20;

/// Whether a target takes these bytes; it must do so soon, and in little memory.
fn tried(target: &Target, bytes: &[u8], which: &dyn Fn() -> String) -> bool {
    let begin = processor_time();
    let (done, held) = allocator::peak_of(|| std::panic::catch_unwind(|| (target.parse)(bytes)));
    let text = || String::from_utf8_lossy(bytes.get(..2000).unwrap_or(bytes)).into_owned();
    let shown = || format!("{}, {}: {}", target.name, which(), text());
    assert!(processor_time() - begin < Duration::from_secs(10), "{}", shown());
    assert!(held < 2 * BUDGET as i64, "{held} bytes: {}", shown());
    done.unwrap_or_else(|_| panic!("{}", shown()))
}

/// Files whose names begin with `good` are taken, those that begin with `bad` are refused, and the others are survived.
#[test]
fn every_corpus_is_survived() {
    let _alone = ALONE.lock();
    secondo::limit_memory(BUDGET);
    warm();
    for target in TARGETS {
        let all = corpus(target);
        assert!(all.iter().any(|(name, _)| name.starts_with("good")), "{}", target.name);
        for (name, bytes) in all {
            let taken = tried(target, &bytes, &|| name.clone());
            assert!(taken || !name.starts_with("good"), "{} refuses {name}", target.name);
            assert!(!taken || !name.starts_with("bad"), "{} takes {name}", target.name);
        }
    }
}

#[test]
fn every_parser_survives_every_input() {
    let _alone = ALONE.lock();
    secondo::limit_memory(BUDGET);
    warm();
    let rounds = variable("SECONDO_FUZZ_ROUNDS", 1500);
    let seed = variable("SECONDO_FUZZ_SEED", 1);
    for target in TARGETS {
        // A file that unpacks to much takes its time.
        let all: Vec<_> =
            corpus(target).into_iter().filter(|(name, _)| !name.starts_with("bomb")).collect();
        let mut refused = 0;
        for round in 0..rounds {
            let mut random = Random::new(seed, round);
            let (entry, other) = (random.pick(&all).1, random.pick(&all).1);
            let bytes = (target.mend)(mutated(&mut random, &entry, &other));
            refused += u64::from(!tried(target, &bytes, &|| format!("seed {seed}, round {round}")));
        }
        println!("{:<16}{rounds:>9} inputs, {refused} refused", target.name);
        // Some of both, or the mutations are of no use.
        assert!(
            refused > rounds / 20 && refused < rounds,
            "{}: {refused} of {rounds}",
            target.name
        );
    }
}

/// A parser that panics, and one that takes too much, are found.
#[test]
fn a_bad_parser_is_found() {
    let _alone = ALONE.lock();
    let panics = target("panics", |bytes| bytes[bytes.len()] > 0);
    let takes = target("takes", |bytes| vec![1_u8; (3 * BUDGET as usize) | bytes.len()].len() > 1);
    for bad in [panics, takes] {
        let found = std::panic::catch_unwind(|| tried(&bad, b"x", &String::new));
        assert!(found.is_err(), "{}", bad.name);
    }
}
