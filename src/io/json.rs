//! JSON values as what they should be: every refusal names the file, or the key.

use std::path::{Path, PathBuf};

use ndarray::Array2;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::memory::{bytes_of, require_memory};

/// The JSON value in `text`; syntax errors carry line and column.
pub(super) fn parse(text: &str, path: &Path) -> Result<Value> {
    if text.trim().is_empty() {
        return Err(format_error(path, "the file is empty; a JSON object is needed"));
    }
    check_memory(text.as_bytes(), path)?;
    serde_json::from_str(text).map_err(|error| {
        // The message ends with " at line 3 column 7"; the fields say it.
        let message = error.to_string();
        let why = message.rfind(" at line ").map_or(message.as_str(), |end| &message[..end]);
        Error::Format {
            path: path.to_path_buf(),
            line: Some(error.line() as u64),
            column: Some(error.column().to_string()),
            why: match why {
                "number out of range" => "the number is too large for a 64-bit float".into(),
                _ => format!("not valid JSON: {why}"),
            },
        }
    })
}

/// Refuses JSON whose values do not fit in memory: each takes a [`Value`], in lists that may have room for as many again.
pub(super) fn check_memory(json: &[u8], path: &Path) -> Result<()> {
    let values = json.iter().filter(|b| matches!(b, b',' | b':' | b'[' | b'{')).count() + 1;
    let need = bytes_of(&[2 * size_of::<Value>(), values]).saturating_add(json.len() as u64);
    require_memory(&format!("{}, {values} values,", path.display()), need, "divide the file")
}

pub(super) fn format_error(path: &Path, why: impl Into<String>) -> Error {
    Error::Format { path: PathBuf::from(path), line: None, column: None, why: why.into() }
}

/// A refusal of the contents, with the file. What is meaningful but not available stays as it is.
pub(super) fn in_file(path: &Path, error: Error) -> Error {
    match error {
        Error::Unsupported { what, why } => {
            Error::Unsupported { what: format!("{}: {what}", path.display()), why }
        }
        Error::Format { .. } | Error::Io { .. } | Error::Memory { .. } => error,
        other => format_error(path, other.to_string()),
    }
}

pub(super) fn wrong(place: &str, why: impl Into<String>) -> Error {
    Error::invalid(place, why)
}

pub(super) fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| wrong(place, "must be an object {…}"))
}

pub(super) fn array<'a>(value: &'a Value, place: &str) -> Result<&'a Vec<Value>> {
    value.as_array().ok_or_else(|| wrong(place, "must be a list […]"))
}

pub(super) fn field<'a>(map: &'a Map<String, Value>, key: &str, place: &str) -> Result<&'a Value> {
    map.get(key).ok_or_else(|| wrong(place, format!("the key '{key}' is missing")))
}

pub(super) fn size(value: &Value, place: &str) -> Result<usize> {
    (value.as_u64())
        .and_then(|v| usize::try_from(v).ok())
        .ok_or_else(|| wrong(place, "must be a whole number, 0 or more"))
}

/// A finite number, as a JSON number or as a string.
pub(super) fn number(value: &Value, place: &str) -> Result<f64> {
    let parsed = match value {
        Value::Number(_) => value.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match parsed {
        Some(v) if v.is_finite() => Ok(v),
        Some(_) => Err(wrong(place, format!("{value} is not a finite number"))),
        None => Err(wrong(place, format!("must be a number, found {}", short(value)))),
    }
}

fn short(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
        other => other.to_string().chars().take(40).collect(),
    }
}

pub(super) fn numbers(value: &Value, place: &str) -> Result<Vec<f64>> {
    (array(value, place)?.iter().enumerate())
        .map(|(i, v)| match v {
            // The common case without a formatted place.
            Value::Number(n) if n.as_f64().is_some_and(f64::is_finite) => {
                Ok(n.as_f64().unwrap_or(0.0))
            }
            _ => number(v, &format!("{place}[{i}]")),
        })
        .collect()
}

pub(super) fn vector(value: &Value, place: &str, length: usize) -> Result<Vec<f64>> {
    let v = numbers(value, place)?;
    if v.len() != length {
        return Err(Error::shape(place, &[length], &[v.len()]));
    }
    Ok(v)
}

pub(super) fn matrix(value: &Value, place: &str, columns: usize) -> Result<Array2<f64>> {
    let rows = array(value, place)?;
    if rows.is_empty() {
        return Err(wrong(place, "there are no rows"));
    }
    let mut flat = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        flat.extend(vector(row, &format!("{place}[{i}]"), columns)?);
    }
    let found = flat.len();
    Array2::from_shape_vec((rows.len(), columns), flat)
        .map_err(|_| Error::shape(place, &[rows.len(), columns], &[found]))
}

/// The name under `type`.
pub(super) fn type_of<'a>(map: &'a Map<String, Value>, place: &str) -> Result<&'a str> {
    (field(map, "type", place)?.as_str())
        .ok_or_else(|| wrong(&format!("{place}.type"), "must be a name"))
}

pub(super) fn unknown(place: &str, kind: &str, name: &str, known: &[&str]) -> Error {
    wrong(place, format!("unknown {kind} '{name}'; known: {}", known.join(", ")))
}

/// That an object has no other keys than `known` ones, and those that begin with `x_`, which are free for notes.
///
/// # Errors
/// The first other key, with the known one that is most like it.
pub(super) fn only(map: &Map<String, Value>, place: &str, known: &[&str]) -> Result<()> {
    let free = |key: &&String| !key.starts_with("x_") && !known.contains(&key.as_str());
    let Some(key) = map.keys().find(free) else {
        return Ok(());
    };
    let meant = nearest(key, known).map(|meant| format!(" (is '{meant}' meant?)"));
    let (meant, known) = (meant.unwrap_or_default(), known.join(", "));
    let why = format!(
        "the key '{key}' is unknown{meant}; known: {known}; keys that begin with x_ are free for notes"
    );
    Err(wrong(place, why))
}

/// The known key that `key` seems to mean: the same letters, or a distance of two letters at most.
pub(super) fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-', ' '], "");
    // The time grows with the product of the lengths, and nobody misspells a name of a hundred letters.
    if key.len() > 100 {
        return None;
    }
    let meant = plain(key);
    let score = |name: &str| {
        let name = plain(name);
        let letters = distance(&meant, &name);
        let shorter = meant.len().min(name.len());
        (letters == 0 || (letters <= 2 && letters * 2 < shorter)).then_some(letters)
    };
    let short = known.iter().filter(|name| name.len() <= 100);
    let scored = short.filter_map(|name| Some((score(name)?, *name)));
    scored.min_by_key(|(score, _)| *score).map(|(_, name)| name)
}

/// The number of letters to insert, delete or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
