//! Safetensors files with tensors of f64, a map of strings and a checksum: what models and checkpoints are stored in.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};

use super::json::{check_memory, format_error};
use crate::error::Result;

/// The kind of file that is expected.
pub(super) struct Kind {
    /// The value of the metadata key `format`.
    pub(super) format: &'static str,
    /// For messages.
    pub(super) name: &'static str,
    /// Higher ones are refused.
    pub(super) version: u64,
    /// The question where the file is none at all.
    pub(super) hint: &'static str,
}

/// The key-value pairs of a file.
pub(super) type Metadata = BTreeMap<String, String>;

/// FNV-1a with 64 bits.
pub(super) struct Hash(u64);

impl Hash {
    pub(super) fn new() -> Self {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fnv1a64:{:016x}", self.0)
    }
}

/// Over the metadata, but for the checksum itself, and the tensors in the order of their names.
fn checksum<'a>(metadata: &Metadata, tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hash = Hash::new();
    for (key, value) in metadata.iter().filter(|(key, _)| *key != "checksum") {
        hash.add(key.as_bytes());
        hash.add(&[0]);
        hash.add(value.as_bytes());
        hash.add(&[0]);
    }
    for (name, bytes) in tensors {
        hash.add(name.as_bytes());
        hash.add(&[0]);
        hash.add(bytes);
    }
    hash.to_string()
}

/// The bytes of a file with these tensors, each with its shape.
pub(super) fn to_bytes(
    kind: &Kind,
    mut metadata: Metadata,
    tensors: &BTreeMap<String, (Vec<usize>, &[f64])>,
) -> Vec<u8> {
    metadata.insert("format".into(), kind.format.into());
    metadata.insert("version".into(), kind.version.to_string());
    let bytes: Vec<Vec<u8>> = (tensors.values())
        .map(|(_, numbers)| numbers.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let named = tensors.keys().map(String::as_str);
    let sum = checksum(&metadata, named.zip(bytes.iter().map(Vec::as_slice)));
    metadata.insert("checksum".into(), sum);
    let tensors = tensors.iter().zip(bytes);
    let tensors = tensors.map(|((name, (shape, _)), bytes)| (name.as_str(), shape.clone(), bytes));
    assemble(&metadata, "F64", tensors.collect())
}

/// The bytes of a file with this metadata and these tensors of one type: names, shapes, numbers.
pub(super) fn assemble(
    metadata: &Metadata,
    kind: &str,
    tensors: Vec<(&str, Vec<usize>, Vec<u8>)>,
) -> Vec<u8> {
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!(metadata));
    let mut end = 0;
    for (name, shape, bytes) in &tensors {
        let start = end;
        end += bytes.len();
        header.insert(
            name.to_string(),
            json!({"dtype": kind, "shape": shape, "data_offsets": [start, end]}),
        );
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // Blanks to a multiple of eight, so that the numbers are aligned in memory.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header);
    tensors.iter().for_each(|(.., part)| out.extend_from_slice(part));
    out
}

/// The tensors and the metadata of a file of this kind, whose checksum is right where there is one.
///
/// # Errors
/// Bytes that are incomplete or damaged, another kind of file, a newer version, a wrong checksum.
pub(super) fn read<'a>(
    kind: &Kind,
    bytes: &'a [u8],
    path: &Path,
) -> Result<(SafeTensors<'a>, Metadata)> {
    let (tensors, metadata) = open(kind.hint, bytes, path)?;
    let refuse = |why: String| Err(format_error(path, why));
    let Kind { format, name, version: known, .. } = kind;
    if metadata.get("format").map(String::as_str) != Some(format) {
        return refuse(format!(
            "it is a safetensors file, but no {name} of secondo: the metadata key 'format' is not '{format}'"
        ));
    }
    let version = key(&metadata, "version", path)?;
    match version.parse::<u64>() {
        Ok(version) if version == *known => {}
        Ok(newer) if newer > *known => {
            return refuse(format!(
                "its format version is {newer}, newer than {known}; use a newer secondo"
            ));
        }
        _ => return refuse(format!("'{version}' is no format version")),
    }
    if let Some(expected) = metadata.get("checksum") {
        let mut named = tensors.tensors();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let named = named.iter().map(|(name, view)| (name.as_str(), view.data()));
        let sum = checksum(&metadata, named);
        if *expected != sum {
            return refuse(format!(
                "the checksum is {expected}, but the contents give {sum}: the file is damaged"
            ));
        }
    }
    Ok((tensors, metadata))
}

/// The parts of a safetensors file, each within the bytes that there are.
///
/// # Errors
/// Bytes that are incomplete or damaged; `hint` is the question where the file is none at all.
pub(super) fn open<'a>(
    hint: &str,
    bytes: &'a [u8],
    path: &Path,
) -> Result<(SafeTensors<'a>, Metadata)> {
    let damaged =
        |why: &str| format_error(path, format!("the file is damaged or incomplete: {why}"));
    let (size, rest) = bytes
        .split_first_chunk::<8>()
        .ok_or_else(|| damaged("it is too short for a safetensors file"))?;
    let header = usize::try_from(u64::from_le_bytes(*size))
        .ok()
        .and_then(|length| rest.get(..length))
        .ok_or_else(|| {
            damaged(&format!("it says that its header is longer than the file; {hint}"))
        })?;
    let data = rest.len() - header.len();
    check_memory(header, path)?;
    // The offsets are checked here, before anything adds them up or slices with them.
    let parsed: Value = serde_json::from_slice(header)
        .map_err(|e| damaged(&format!("the header is not valid JSON: {e}")))?;
    let entries = parsed.as_object().ok_or_else(|| damaged("the header is not an object"))?;
    let tensors = entries.iter().filter(|(name, _)| *name != "__metadata__");
    for (name, entry) in tensors {
        let ends = entry.get("data_offsets").and_then(Value::as_array);
        let inside = |v: &Value| v.as_u64().is_some_and(|v| v <= data as u64);
        if !ends.is_some_and(|ends| ends.iter().all(inside)) {
            return Err(damaged(&format!("the tensor '{name}' does not lie within the file")));
        }
    }
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(&e.to_string()))?;
    let metadata = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| damaged(&e.to_string()))?;
    Ok((tensors, metadata))
}

/// The value of a metadata key that must be there.
pub(super) fn key<'a>(metadata: &'a Metadata, name: &str, path: &Path) -> Result<&'a str> {
    (metadata.get(name).map(String::as_str))
        .ok_or_else(|| format_error(path, format!("the metadata key '{name}' is missing")))
}

/// The numbers of a tensor, which must be of type F64.
pub(super) fn numbers(kind: &Kind, name: &str, view: &TensorView, path: &Path) -> Result<Vec<f64>> {
    if view.dtype() != Dtype::F64 {
        return Err(format_error(
            path,
            format!(
                "the tensor '{name}' is of type {:?}; a {} holds F64 (in Python: array.astype(\"float64\"))",
                view.dtype(),
                kind.name
            ),
        ));
    }
    let number = |b: &[u8]| b.first_chunk().map_or(f64::NAN, |b| f64::from_le_bytes(*b));
    Ok(view.data().chunks_exact(8).map(number).collect())
}
