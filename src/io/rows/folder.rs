//! The files of a folder, as one table: those of Spark and its kin, with the columns that stand in the names of folders.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::json::format_error;

/// Folders in each other, at the most: links may go round.
const DEEP: usize = 16;

/// A file of a table, and the columns that the names of its folders give: `year=2024` is the column year.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    pub path: PathBuf,
    pub constants: Vec<(String, String)>,
}

/// The files of the table at `path`: itself, or where it is a folder, all `.parquet` and `.npy` files in it and in its folders, in the
/// order of their names. Names that begin with a point or `_` are not of the table.
///
/// # Errors
/// A folder that cannot be read, is too deep, or has no such file.
pub(crate) fn places(path: &Path) -> Result<Vec<Place>> {
    if !path.is_dir() {
        return Ok(vec![Place { path: path.to_path_buf(), constants: Vec::new() }]);
    }
    let mut out = Vec::new();
    collect(path, &[], DEEP, &mut out)?;
    if out.is_empty() {
        let why = "it is a directory without .parquet and .npy files";
        return Err(format_error(path, why));
    }
    Ok(out)
}

fn collect(
    folder: &Path,
    constants: &[(String, String)],
    deep: usize,
    out: &mut Vec<Place>,
) -> Result<()> {
    let refused = |reason: String| Error::Io { path: folder.to_path_buf(), action: "read", reason };
    if deep == 0 {
        return Err(refused(format!("it is the {DEEP}th folder in a folder")));
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| refused(e.to_string()))? {
        names.push(entry.map_err(|e| refused(e.to_string()))?.file_name());
    }
    names.sort();
    for name in names {
        let (path, text) = (folder.join(&name), name.to_string_lossy());
        if text.starts_with(['.', '_']) {
            continue;
        }
        if path.is_dir() {
            let mut constants = constants.to_vec();
            constants
                .extend(text.split_once('=').map(|(name, value)| (decoded(name), decoded(value))));
            collect(&path, &constants, deep - 1, out)?;
        } else if is_table(&path) {
            out.push(Place { path, constants: constants.to_vec() });
        }
    }
    Ok(())
}

fn is_table(path: &Path) -> bool {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    matches!(extension.as_deref(), Some("parquet" | "npy"))
}

/// The value that stands in a name: characters that a name cannot have are written as % and two digits, and a missing value has a name
/// of its own.
fn decoded(value: &str) -> String {
    if value == "__HIVE_DEFAULT_PARTITION__" {
        return String::new();
    }
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'%').then(|| after.get(..2)).flatten();
        let code = code.filter(|code| code.iter().all(u8::is_ascii_hexdigit));
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_names_are_decoded() {
        for (value, text) in [
            ("2024", "2024"),
            ("a%20b%3D1", "a b=1"),
            ("50%", "50%"),
            ("%zz%4%+a", "%zz%4%+a"),
            ("%C3%A9", "é"),
            ("__HIVE_DEFAULT_PARTITION__", ""),
        ] {
            assert_eq!(decoded(value), text);
        }
    }
}
