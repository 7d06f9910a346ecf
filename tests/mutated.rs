//! Mutated input: every parser gives a value or a typed error, quickly, for whatever bytes it is given.
//!
//! `scripts/fuzz` runs the same for longer, with other seeds: `SECONDO_FUZZ_ROUNDS` and `SECONDO_FUZZ_SEED`.
#![cfg(feature = "io")]

use std::path::Path;
use std::time::{Duration, Instant};

use ndarray::array;
use secondo::io::{
    Checkpoint, Dialect, Fingerprint, Model, ProblemFile, Reading, Table, fit_from_json,
    network_from_json,
};
use secondo::{Activation, Data, Loss, Network, Problem};

/// Xorshift: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

/// Pieces that parsers may stumble over.
const PIECES: [&str; 24] = [
    "",
    "\"",
    "\"\"",
    ",",
    "\n",
    "\r",
    "\r\n",
    "\u{feff}",
    "\0",
    "1e400",
    "-1e-400",
    "NaN",
    "null",
    "[",
    "]",
    "{",
    "}",
    "-",
    "18446744073709551616",
    "9223372036854775807",
    "4294967296",
    "[[[[[[[[[[[[[[[[",
    "\u{202e}",
    "1e18",
];

/// The bytes with a few changes: cut, flipped, repeated, replaced by a piece.
fn mutated(random: &mut Random, seed: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes.truncate(at),
            1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            2 if !bytes.is_empty() => bytes[at] = random.below(256) as u8,
            3 => {
                let end = (at + random.below(40)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, part);
            }
            4 => {
                let end = (at + random.below(12)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let end = (at + random.below(6)).min(bytes.len());
                let piece = PIECES[random.below(PIECES.len())].bytes();
                bytes.splice(at..end, piece);
            }
        }
    }
    bytes
}

const TABLE: &str = "a,\"b, c\",y,k\n1,2,3.5,red\n-.5,1e3,\"4\",\"bl\"\"ue\"\n,NA,?,red\n";
const FILE: &str = r#"{"spec": {"inputs": 2, "layers": [{"units": 2, "activations": ["tanh", "mine"], "sources": [0]},
 {"units": 1, "activations": "identity", "sources": [0, 1], "bias": false}]},
 "activation_definitions": {"mine": "sin(u)*exp(-u^2)"}, "loss": {"type": "pseudo_huber", "delta": 0.5},
 "penalty": {"type": "ridge", "lambda": 0.1}, "X": [[1, 2], [3, -4]], "Y": [[0], [1]], "sample_weights": [1, 2],
 "W": [1, 0, 2, 0.5, -1, 1, 3, 2, 1, 4], "v": [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]}"#;

fn problem() -> Problem {
    let data = Data::new(array![[1.0], [2.0]], array![[0.5], [0.1]]).unwrap();
    let network = Network::dense(&[1, 2, 1], Activation::Tanh).unwrap();
    Problem::new(network, data, Loss::SquaredError).unwrap()
}

/// A parser with what it is to be given, and whether that is good.
type Parser = (&'static str, Vec<u8>, fn(&[u8]) -> bool);

fn fingerprint() -> Fingerprint {
    Fingerprint::new(&problem(), &Default::default())
}

fn table(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let Ok(table) = Table::parse(text, Path::new("t"), &Dialect::default()) else {
        return false;
    };
    // What follows may refuse it; it must not panic.
    for target in table.names() {
        drop(table.dataset(&Reading::new(target.clone())));
    }
    true
}

fn problem_file(bytes: &[u8]) -> bool {
    let Ok(file) = std::str::from_utf8(bytes)
        .map_err(drop)
        .and_then(|t| ProblemFile::from_str(t).map_err(drop))
    else {
        return false;
    };
    drop(file.problem.objective(&file.parameters));
    true
}

fn parsers() -> Vec<Parser> {
    let model = Model::new(problem().network().clone(), vec![0.5; 7], Loss::SquaredError).unwrap();
    let checkpoint = Checkpoint::new("newton", &[("mu", 0.5)], &[("w", &[1.0, 2.0])]);
    vec![
        ("a table", TABLE.into(), table),
        ("a problem file", FILE.into(), problem_file),
        ("a model", model.to_bytes().unwrap(), |bytes| {
            Model::from_bytes(bytes, Path::new("m"))
                .is_ok_and(|m| m.predict(&array![[1.0]]).is_ok())
        }),
        ("a checkpoint", checkpoint.to_bytes(&fingerprint()), |bytes| {
            let read = Checkpoint::from_bytes(bytes, Path::new("c"), &fingerprint());
            read.is_ok_and(|c| c.state().is_err())
        }),
        ("a formula", b"-2.5e-1*tanh(u)^2 + abs(u)/(1 + exp(-u))".to_vec(), |bytes| {
            let text = String::from_utf8_lossy(bytes);
            Activation::formula(&text).is_ok_and(|a| {
                let _ = a.value(0.5);
                true
            })
        }),
        (
            "JSON",
            br#"{"inputs": 2, "layers": [{"units": 3, "activations": "elu"}]}"#.to_vec(),
            |bytes| {
                let Ok(value) = serde_json::from_slice(bytes) else {
                    return false;
                };
                drop(fit_from_json(&value, vec![1.0]));
                network_from_json(&value).is_ok()
            },
        ),
    ]
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

#[test]
fn every_parser_survives_every_input() {
    let rounds = variable("SECONDO_FUZZ_ROUNDS", 1500);
    let first = variable("SECONDO_FUZZ_SEED", 1);
    for (name, seed, parse) in parsers() {
        assert!(parse(&seed), "{name} is good as it is");
        let mut refused = 0;
        for round in 0..rounds {
            let mut random =
                Random((first.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ round).wrapping_mul(2) + 1);
            for _ in 0..8 {
                let _ = random.below(2);
            }
            let bytes = mutated(&mut random, &seed);
            let begin = Instant::now();
            let done = std::panic::catch_unwind(|| parse(&bytes));
            let shown = || String::from_utf8_lossy(&bytes).into_owned();
            assert!(done.is_ok(), "{name}, seed {first}, round {round}: {}", shown());
            assert!(
                begin.elapsed() < Duration::from_secs(10),
                "{name}, round {round}: {}",
                shown()
            );
            refused += u64::from(matches!(done, Ok(false)));
        }
        // Some of both, or the mutations are of no use.
        assert!(refused > rounds / 20, "{name}: {refused} of {rounds}");
    }
}
