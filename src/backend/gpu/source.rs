//! WGSL text from the files in `shaders/`: includes, constants and unrolled loops.
//!
//! naga does not unroll loops, and an array with a dynamic index does not stay in registers, so the hot kernels are
//! written with loops that are unrolled here. A directive stands alone on its line:
//!
//! ```text
//! #include "lib/exp.wgsl"     the file's text, once per source
//! #include NAME               the text that NAME is defined as
//! #for i in 0..$TM            the lines up to #end, once for each i; bounds are numbers or defined names
//! #if NAME                    the lines up to #else or #end if NAME is defined and not 0
//! #else
//! #end
//! ```
//!
//! `$NAME` and `${NAME}` are replaced by the value of a definition or of a loop's variable, in every line.

use std::collections::{BTreeMap, BTreeSet};

use super::launch::{Key, Number};
use super::prologue::prologue;
use crate::network::Activation;
use crate::objective::Loss;

macro_rules! files {
    ($($name:literal)*) => {
        /// Every file in `shaders/`, by its path there without the extension, but for those of activations and losses.
        pub const FILES: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../../shaders/", $name, ".wgsl"))),)*
        ];
    };
}

files! {
    "activate"
    "copy"
    "fill"
    "gauss_newton_diagonal"
    "loss_hessian"
    "loss_value"
    "lower_triangle"
    "multiply"
    "product"
    "product_diagonal"
    "scale"
    "scaled_matrix"
    "squared_gradient"
    "tensor_sum"
    "unit_derivative"
    "unit_derivative_slope"
    "unit_input_hessian"
    "unit_parameter_hessian"
    "unit_slope"
    "unit_value"
    "device/operations"
    "device/reduce"
    "device/stamp"
    "device/stream"
    "device/unit"
    "gram/input_lanes"
    "gram/khatri_rao"
    "gram/stream"
    "gram/unit_lanes"
    "gram/units"
    "lib/atan"
    "lib/chain"
    "lib/custom_loss"
    "lib/exp"
    "lib/function/abs"
    "lib/function/cosh"
    "lib/function/erf"
    "lib/function/expm1"
    "lib/function/log1p"
    "lib/function/sinh"
    "lib/function/tan"
    "lib/hyperbolic"
    "lib/log"
    "lib/log_cosh"
    "lib/loss"
    "lib/normal"
    "lib/outer"
    "lib/packed"
    "lib/power"
    "lib/real"
    "lib/real_f32"
    "lib/real_f64"
    "lib/separable"
    "lib/sigmoid"
    "lib/sin_cos"
    "lib/square"
    "lib/sums"
    "lib/triangle"
    "lib/unit"
    "lib/unit/centred"
    "lib/unit/diagonal"
    "lib/unit/entries"
    "lib/unit/log_sigma"
    "lib/unit/rbf_aug"
    "lib/unit/rbf_cholesky"
    "lib/unit/rbf_diag_log_sigma"
    "lib/unit/rbf_diag_sigma"
    "lib/unit/rbf_diag_tau"
    "lib/unit/rbf_full"
    "lib/unit/rbf_full_sym"
    "lib/unit/rbf_iso_log_sigma"
    "lib/unit/rbf_iso_sigma"
    "lib/unit/rbf_iso_tau"
    "lib/unit/sigma"
    "lib/unit/square"
    "lib/unit/tau"
    "weighted_sum/lanes"
    "weighted_sum/own"
    "weighted_sum/shared"
}

/// The file of that name, with or without its extension; that of an activation which is not built in was written when it
/// was defined.
fn file(name: &str) -> Option<&'static str> {
    let name = name.strip_suffix(".wgsl").unwrap_or(name);
    if let Some(stem) = name.strip_prefix("lib/activation/") {
        return Activation::wgsl(stem);
    }
    if let Some(loss) = name.strip_prefix("lib/loss/") {
        return Loss::wgsl_of(loss);
    }
    (FILES.iter()).find(|(known, _)| *known == name).map(|f| f.1)
}

/// The whole text of a pipeline's shader.
///
/// # Errors
/// A message with what is missing or malformed.
pub fn text(key: &Key) -> Result<String, String> {
    let kernel = file(key.stem).ok_or_else(|| format!("no file '{}'", key.stem))?;
    Ok(prologue(key) + &expand(kernel, &file, &names(key))?)
}

/// Returns the definitions that a pipeline's file is expanded with.
fn names(key: &Key) -> BTreeMap<String, String> {
    let mut names: BTreeMap<_, _> =
        (key.defines.iter()).map(|(name, value)| (name.to_string(), value.clone())).collect();
    if key.number == Number::F64 {
        names.insert("F64".into(), "1".into());
    }
    names
}

/// The files that a pipeline's shader includes.
#[cfg(test)]
pub fn uses(key: &Key) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let lines: Vec<&str> = file(key.stem).unwrap_or_default().lines().collect();
    let mut text = String::new();
    let _ = lines_into(&lines, &file, &mut names(key), &mut used, &mut text);
    used.into_iter().map(|name| name.trim_end_matches(".wgsl").to_string()).collect()
}

/// Expands `text`. `file` finds an included file; `defines` gives the constants.
///
/// # Errors
/// A message with what is missing or malformed.
fn expand(
    text: &str,
    file: &dyn Fn(&str) -> Option<&'static str>,
    defines: &BTreeMap<String, String>,
) -> Result<String, String> {
    let mut out = String::new();
    let mut included = BTreeSet::new();
    let lines: Vec<&str> = text.lines().collect();
    lines_into(&lines, file, &mut defines.clone(), &mut included, &mut out)?;
    Ok(out)
}

fn lines_into(
    lines: &[&str],
    file: &dyn Fn(&str) -> Option<&'static str>,
    names: &mut BTreeMap<String, String>,
    included: &mut BTreeSet<String>,
    out: &mut String,
) -> Result<(), String> {
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let Some(directive) = line.trim_start().strip_prefix('#') else {
            out.push_str(&substitute(line, names)?);
            out.push('\n');
            at += 1;
            continue;
        };
        let mut words = directive.split_whitespace();
        match words.next() {
            Some("include") => {
                let word = words.next().unwrap_or_default();
                let (name, text) = match word.strip_prefix('"') {
                    Some(name) => {
                        let name = substitute(name.trim_end_matches('"'), names)?;
                        let text = file(&name).map(str::to_string);
                        (name, text)
                    }
                    None => (word.to_string(), names.get(word).cloned()),
                };
                let text = text.ok_or_else(|| format!("no '{name}' to include"))?;
                if included.insert(name) {
                    let lines: Vec<&str> = text.lines().collect();
                    lines_into(&lines, file, names, included, out)?;
                }
                at += 1;
            }
            Some("for") => {
                let (end, _) = block(lines, at)?;
                let header = substitute(directive, names)?;
                let parts: Vec<&str> = header.split_whitespace().collect();
                let [_, name, "in", bounds] = parts[..] else {
                    return Err(format!("malformed '{line}'"));
                };
                let number = |text: &str| {
                    text.parse::<u32>().map_err(|_| format!("'{text}' in '{line}' is no number"))
                };
                let (from, to) =
                    bounds.split_once("..").ok_or_else(|| format!("malformed '{line}'"))?;
                for value in number(from)?..number(to)? {
                    let outer = names.insert(name.into(), value.to_string());
                    lines_into(&lines[at + 1..end], file, names, included, out)?;
                    match outer {
                        Some(outer) => names.insert(name.into(), outer),
                        None => names.remove(name),
                    };
                }
                at = end + 1;
            }
            Some("if") => {
                let (end, other) = block(lines, at)?;
                let name = words.next().unwrap_or_default();
                let holds = names.get(name).is_some_and(|v| v != "0");
                let body = match (holds, other) {
                    (true, other) => &lines[at + 1..other.unwrap_or(end)],
                    (false, Some(other)) => &lines[other + 1..end],
                    (false, None) => &[],
                };
                lines_into(body, file, names, included, out)?;
                at = end + 1;
            }
            _ => return Err(format!("unknown directive '{line}'")),
        }
    }
    Ok(())
}

/// Where the block that starts at `at` has its #end, and its #else.
fn block(lines: &[&str], at: usize) -> Result<(usize, Option<usize>), String> {
    let (mut depth, mut other) = (0, None);
    for (i, line) in lines.iter().enumerate().skip(at) {
        match line.trim_start().strip_prefix('#').and_then(|d| d.split_whitespace().next()) {
            Some("for" | "if") => depth += 1,
            Some("else") if depth == 1 => other = Some(i),
            Some("end") => {
                depth -= 1;
                if depth == 0 {
                    return Ok((i, other));
                }
            }
            _ => {}
        }
    }
    Err(format!("'{}' has no #end", lines[at]))
}

/// The line with every `$NAME` and `${NAME}` replaced.
fn substitute(line: &str, names: &BTreeMap<String, String>) -> Result<String, String> {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let braced = rest.starts_with('{');
        let body = if braced { &rest[1..] } else { rest };
        let len =
            body.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(body.len());
        let name = &body[..len];
        let value =
            names.get(name).ok_or_else(|| format!("'{name}' is not defined in '{line}'"))?;
        out.push_str(value);
        rest = match (braced, body[len..].strip_prefix('}')) {
            (false, _) => &body[len..],
            (true, Some(rest)) => rest,
            (true, None) => return Err(format!("'${{{name}' is not closed in '{line}'")),
        };
    }
    out.push_str(rest);
    Ok(out)
}
