//! Checkpoints of long fits: the state of a method, and what it belongs to.
//!
//! # The file
//!
//! A safetensors file with a checksum, as a [model](super::Model) is. The metadata have `format` = `secondo-checkpoint`,
//! `version` = `1`, `method`, `numbers` (JSON: the names of the numbers), `fingerprint` (JSON: see [`Fingerprint`]) and
//! `checksum`. The tensor `numbers` holds the numbers in the order of their names, and the tensor `array.NAME` an array;
//! any f64 is kept to the last bit, NaN included.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::container::{self, Hash, Kind, Metadata};
use super::json::format_error;
use super::problem_file::{loss_to_json, penalty_to_json};
use super::spec::network_to_json;
use super::{files, write_file};
use crate::error::{Error, Result};
use crate::objective::{Reduction, Rows};
use crate::problem::Problem;
use crate::train::{Evaluations, Reason, State};

const KIND: Kind = Kind {
    format: "secondo-checkpoint",
    name: "checkpoint",
    version: 1,
    hint: "is it a checkpoint?",
};

/// The problem and the options that a checkpoint belongs to: a hash of data and ties, the architecture, loss, penalty, reduction and options.
///
/// Two fits with the same fingerprint minimise the same function by the same rules. Options that may change between runs,
/// such as limits, are not to be among them.
///
/// ```
/// use ndarray::array;
/// use secondo::io::Fingerprint;
/// use secondo::{Activation, Data, Loss, Network, Problem};
/// let of = |y: f64| {
///     let data = Data::new(array![[1.0]], array![[y]])?;
///     let problem = Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, data, Loss::SquaredError)?;
///     Fingerprint::new(&problem, &Default::default())
/// };
/// assert_eq!(of(2.0)?, of(2.0)?);
/// assert_ne!(of(2.0)?, of(3.0)?);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Fingerprint(Map<String, Value>);

impl Fingerprint {
    /// That of a problem that is minimised with these options.
    ///
    /// # Errors
    /// Those of reading samples that are not in memory: they are walked three times.
    pub fn new(problem: &Problem, options: &Map<String, Value>) -> Result<Self> {
        let parts = problem.parts();
        let mut data = Hash::new();
        // All of X, then all of Y, then all of ω.
        let parts_of_rows: [fn(Rows) -> &[f64]; 3] =
            [|rows| rows.x, |rows| rows.y, |rows| rows.omega];
        for of in parts_of_rows {
            parts.data.each(|rows| {
                of(rows).iter().for_each(|v| data.add(&v.to_le_bytes()));
                Ok(())
            })?;
        }
        let ties = problem.ties().map(|constraint| {
            let mut ties = Hash::new();
            ties.add(format!("{constraint:?}").as_bytes());
            ties.to_string()
        });
        let reduction = match parts.reduction {
            Reduction::Sum => "sum",
            Reduction::Mean => "mean",
        };
        let mut map = Map::new();
        let mut insert = |key: &str, value: Value| drop(map.insert(key.into(), value));
        insert("samples", json!(parts.data.len()));
        insert("data", json!(data.to_string()));
        insert("network", network_to_json(parts.network));
        insert("loss", loss_to_json(parts.loss));
        insert("penalty", penalty_to_json(parts.penalty));
        insert("reduction", json!(reduction));
        insert("constraint", json!(ties));
        for (name, value) in options {
            insert(&format!("option {name}"), value.clone());
        }
        Ok(Fingerprint(map))
    }

    /// How `self`, that of a file, differs from the one that is needed; `None` if it does not.
    fn difference(&self, needed: &Fingerprint) -> Option<String> {
        let text = |value: Option<&Value>| {
            let text = value.map_or("not set".into(), Value::to_string);
            (text.len() <= 60).then_some(text)
        };
        let mut said = Vec::new();
        for key in needed.0.keys().chain(self.0.keys()) {
            let (there, here) = (self.0.get(key), needed.0.get(key));
            if there == here {
                continue;
            }
            let line = match (text(there), text(here)) {
                (Some(there), Some(here)) => format!("{key} ({there} there, {here} here)"),
                _ => key.clone(),
            };
            if !said.contains(&line) {
                said.push(line);
            }
        }
        (!said.is_empty()).then(|| said.join(", "))
    }
}

/// The state of a running method, as named numbers and arrays.
///
/// ```
/// use ndarray::array;
/// use secondo::io::{Checkpoint, Fingerprint};
/// use secondo::{Activation, Data, Loss, Network, Problem};
/// let data = Data::new(array![[1.0]], array![[2.0]])?;
/// let problem = Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, data, Loss::SquaredError)?;
/// let fingerprint = Fingerprint::new(&problem, &Default::default())?;
///
/// let folder = std::env::temp_dir().join("secondo-doc-checkpoint");
/// std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("fit.checkpoint");
/// let state = Checkpoint::new("newton", &[("mu", 0.5)], &[("w", &[1.0, -2.0])]);
/// state.save(&path, &fingerprint)?;
/// let again = Checkpoint::load(&path, &fingerprint)?;
/// assert_eq!((again.method(), again.number("mu")?), ("newton", 0.5));
/// assert_eq!(again.array("w")?, [1.0, -2.0]);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    method: String,
    numbers: Vec<(String, f64)>,
    arrays: BTreeMap<String, Vec<f64>>,
}

/// The reasons that a state can hold.
const REACHED: [Reason; 3] = [Reason::Gradient, Reason::Step, Reason::Function];

impl Checkpoint {
    /// The state of a fit, from [`Progress::state`](crate::Progress::state).
    pub fn of(state: &State) -> Self {
        let e = &state.evaluations;
        let pairs: Vec<f64> =
            state.pairs.iter().flat_map(|(s, y)| s.iter().chain(y)).copied().collect();
        let reached = REACHED.iter().position(|r| Some(*r) == state.reached);
        Self::new(
            &state.settings.to_string(),
            &[
                ("value", state.value),
                ("gradient_norm", state.gradient_norm),
                ("initial_value", state.initial_value),
                ("initial_gradient_norm", state.initial_gradient_norm),
                ("radius", state.radius),
                ("unit", state.unit),
                ("mu", state.mu),
                ("growth", state.growth),
                ("stage", state.stage as f64),
                ("slow", state.slow as f64),
                ("again", state.again),
                ("size", state.size),
                ("fleeing", state.fleeing as f64),
                ("since", state.since as f64),
                ("whole", f64::from(u8::from(state.whole))),
                ("near", state.near),
                ("quick", state.quick as f64),
                ("mark", state.mark as f64),
                ("marked", state.marked),
                ("accepted", state.accepted as f64),
                ("tried", state.tried as f64),
                ("modified_blocks", state.modified_blocks as f64),
                ("compared_reduction", state.compared[0]),
                ("compared_gradient", state.compared[1]),
                ("exact", state.exact.map_or(0.0, |step| (step + 1) as f64)),
                ("objectives", e.objective as f64),
                ("gradients", e.gradient as f64),
                ("curvatures", e.curvature as f64),
                ("products", e.products as f64),
                ("reached", reached.map_or(0.0, |r| (r + 1) as f64)),
                ("elapsed", state.elapsed.as_secs_f64()),
            ],
            &[("x", &state.x), ("roots", &state.roots), ("pairs", &pairs), ("base", &state.base)],
        )
    }

    /// The state, to be given to [`Method::resume`](crate::Method::resume).
    ///
    /// # Errors
    /// A number or an array is not there, or the method's settings are written as another version wrote them.
    pub fn state(&self) -> Result<State> {
        let number = |name: &str| self.number(name);
        let count = |name: &str| Ok(self.number(name)?.max(0.0) as usize);
        let mut state = State::new(self.array("x")?, self.method.parse()?);
        state.value = number("value")?;
        state.gradient_norm = number("gradient_norm")?;
        state.initial_value = number("initial_value")?;
        state.initial_gradient_norm = number("initial_gradient_norm")?;
        state.radius = number("radius")?;
        state.unit = number("unit")?;
        state.roots = self.array("roots")?.to_vec();
        state.mu = number("mu")?;
        state.growth = number("growth")?;
        state.stage = count("stage")?;
        state.slow = count("slow")?;
        state.again = number("again")?;
        state.size = number("size")?;
        state.fleeing = count("fleeing")?;
        state.since = count("since")?;
        state.whole = number("whole")? > 0.0;
        state.near = number("near")?;
        state.quick = count("quick")?;
        state.mark = count("mark")?;
        state.marked = number("marked")?;
        state.base = self.array("base")?.to_vec();
        let d = state.x.len().max(1);
        let pair = |both: &[f64]| (both[..d].to_vec(), both[d..].to_vec());
        state.pairs = self.array("pairs")?.chunks_exact(2 * d).map(pair).collect();
        state.accepted = count("accepted")?;
        state.tried = count("tried")?;
        state.modified_blocks = count("modified_blocks")?;
        // Earlier checkpoints have none: all of them were decided in f64, as they are again where f32 does not.
        let compared = |name: &str| self.number(name).unwrap_or(0.0);
        state.compared = [compared("compared_reduction"), compared("compared_gradient")];
        state.exact = (compared("exact").max(0.0) as usize).checked_sub(1);
        state.evaluations = Evaluations {
            objective: count("objectives")?,
            gradient: count("gradients")?,
            curvature: count("curvatures")?,
            products: count("products")?,
        };
        state.reached = REACHED.get(count("reached")?.wrapping_sub(1)).copied();
        let elapsed = Duration::try_from_secs_f64(number("elapsed")?);
        state.elapsed = elapsed.unwrap_or_default();
        Ok(state)
    }

    /// The state of `method`; any f64 is allowed. Of several entries with one name the last counts.
    pub fn new(method: &str, numbers: &[(&str, f64)], arrays: &[(&str, &[f64])]) -> Self {
        let numbers = numbers.iter().map(|(name, v)| (name.to_string(), *v));
        let arrays = arrays.iter().map(|(name, v)| (name.to_string(), v.to_vec()));
        Checkpoint { method: method.into(), numbers: numbers.collect(), arrays: arrays.collect() }
    }

    /// The method whose state it is.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The number of that name.
    ///
    /// # Errors
    /// `Unknown` with the names that there are.
    pub fn number(&self, name: &str) -> Result<f64> {
        let found = self.numbers.iter().rev().find(|(n, _)| n == name);
        found.map(|(_, value)| *value).ok_or_else(|| {
            unknown("number of the checkpoint", name, self.numbers.iter().map(|(n, _)| n))
        })
    }

    /// The array of that name.
    ///
    /// # Errors
    /// `Unknown` with the names that there are.
    pub fn array(&self, name: &str) -> Result<&[f64]> {
        (self.arrays.get(name).map(Vec::as_slice))
            .ok_or_else(|| unknown("array of the checkpoint", name, self.arrays.keys()))
    }

    /// The bytes of the file.
    pub fn to_bytes(&self, fingerprint: &Fingerprint) -> Vec<u8> {
        let names: Vec<&String> = self.numbers.iter().map(|(name, _)| name).collect();
        let values: Vec<f64> = self.numbers.iter().map(|(_, value)| *value).collect();
        let metadata = [
            ("method", self.method.clone()),
            ("numbers", json!(names).to_string()),
            ("fingerprint", Value::from(fingerprint.0.clone()).to_string()),
        ];
        let metadata: Metadata =
            (metadata.into_iter()).map(|(key, value)| (key.to_string(), value)).collect();
        let arrays = (self.arrays.iter())
            .map(|(name, v)| (format!("array.{name}"), (vec![v.len()], v.as_slice())));
        let mut tensors: BTreeMap<_, _> = arrays.collect();
        tensors.insert("numbers".into(), (vec![values.len()], &values));
        container::to_bytes(&KIND, metadata, &tensors)
    }

    /// The state in `bytes`, if it belongs to `fingerprint`; `path` is for messages.
    ///
    /// # Errors
    /// `Format`: bytes that are incomplete or damaged, another kind of file, a newer version, or a checkpoint of another
    /// problem or of other options, with what differs.
    pub fn from_bytes(bytes: &[u8], path: &Path, fingerprint: &Fingerprint) -> Result<Self> {
        let (state, found) = parse(bytes, path)?;
        match found.difference(fingerprint) {
            None => Ok(state),
            Some(what) => Err(format_error(
                path,
                format!(
                    "the checkpoint is of another fit; what differs: {what}; \
                     start anew with another file, or continue with the same data and options"
                ),
            )),
        }
    }

    /// Writes the file whole or not at all; the one before it is kept as `PATH.old`.
    ///
    /// At every moment `path` holds the old state or the new one. A file there that is damaged is replaced without touching
    /// `PATH.old`.
    ///
    /// # Errors
    /// Whatever the operating system refuses; a file at `path` or at `PATH.old` that is no checkpoint, which is left alone.
    pub fn save(&self, path: &Path, fingerprint: &Fingerprint) -> Result<()> {
        if path.is_file() {
            let before = files::read(path)?;
            match parse(&before, path) {
                Ok(_) => keep(path, &before)?,
                Err(error) if !is_ours(&before) => return Err(error),
                Err(_) => {}
            }
        }
        let bytes = self.to_bytes(fingerprint);
        write_file(path, |out| out.write_all(&bytes))
    }

    /// The state in the file at `path`, if it belongs to `fingerprint`.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes), and a file that cannot be read; where there is a `PATH.old`, the message says so.
    pub fn load(path: &Path, fingerprint: &Fingerprint) -> Result<Self> {
        let read = || Checkpoint::from_bytes(&files::read(path)?, path, fingerprint);
        read().map_err(|error| match error {
            Error::Format { path, why, .. } if kept(&path).is_file() => {
                let old = kept(&path);
                let why = format!("{why}; the checkpoint before it is {}", old.display());
                format_error(&path, why)
            }
            other => other,
        })
    }
}

/// Where the file before is kept.
fn kept(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".old");
    PathBuf::from(name)
}

/// Keeps the bytes of the file at `path` as the file before.
fn keep(path: &Path, bytes: &[u8]) -> Result<()> {
    let old = kept(path);
    if old.is_file() && !is_ours(&files::read(&old)?) {
        let why = "it is no checkpoint, and would be replaced by the one before the next; choose another name for the checkpoint";
        return Err(format_error(&old, why));
    }
    write_file(&old, |out| out.write_all(bytes))
}

/// Whether bytes that do not parse seem to have been a checkpoint: the format's name stands near the start, or nothing does.
fn is_ours(bytes: &[u8]) -> bool {
    let head = bytes.get(..bytes.len().min(1 << 16)).unwrap_or_default();
    bytes.is_empty() || head.windows(KIND.format.len()).any(|w| w == KIND.format.as_bytes())
}

fn unknown<'a>(kind: &'static str, name: &str, known: impl Iterator<Item = &'a String>) -> Error {
    Error::Unknown { kind, name: name.into(), known: known.cloned().collect() }
}

fn parse(bytes: &[u8], path: &Path) -> Result<(Checkpoint, Fingerprint)> {
    let (tensors, metadata) = container::read(&KIND, bytes, path)?;
    let key = |name: &str| container::key(&metadata, name, path);
    key("checksum")?;
    let wrong = |name: &str| format_error(path, format!("metadata key '{name}': not as written"));
    let names: Vec<String> = serde_json::from_str(key("numbers")?).map_err(|_| wrong("numbers"))?;
    let Ok(Value::Object(fingerprint)) = serde_json::from_str(key("fingerprint")?) else {
        return Err(wrong("fingerprint"));
    };
    let (mut numbers, mut arrays) = (Vec::new(), BTreeMap::new());
    for (name, view) in tensors.tensors() {
        let values = container::numbers(&KIND, &name, &view, path)?;
        match name.strip_prefix("array.") {
            Some(name) => drop(arrays.insert(name.to_string(), values)),
            None => numbers = values,
        }
    }
    if numbers.len() != names.len() {
        return Err(wrong("numbers"));
    }
    let state = Checkpoint {
        method: key("method")?.into(),
        numbers: names.into_iter().zip(numbers).collect(),
        arrays,
    };
    Ok((state, Fingerprint(fingerprint)))
}
