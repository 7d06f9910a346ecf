//! The result as a JSON object.

use std::io::{self, Write};

use secondo::{Matrix, Problem, Structure};

use super::{Form, Found, Named, Options, key};

/// Streamed: blocks can be far larger than what a tree of values should hold.
pub fn write(
    out: &mut dyn Write,
    problem: &Problem,
    options: &Options,
    found: &Found,
) -> io::Result<()> {
    let Found { result, products, tensor, named, seconds } = found;
    // {:?} is the shortest text that reads back as the same number.
    writeln!(out, "{{\n  \"value\": {:?},", result.value)?;
    write!(out, "  \"gradient\": ")?;
    list(out, result.gradient.iter())?;
    writeln!(out, ",")?;
    if options.multipliers {
        write!(out, "  \"multipliers\": [")?;
        for (k, layer) in result.multipliers.iter().enumerate() {
            write!(out, "{}", separator(k))?;
            rows(out, layer.rows().into_iter().map(|r| r.to_vec()))?;
        }
        writeln!(out, "],")?;
    }
    let structure = match options.written() {
        Form::Nothing => None,
        Form::Blocks(structure) => Some(structure.name()),
        Form::Products => Some("products"),
    };
    if structure.is_some() || !named.is_empty() {
        writeln!(out, "  \"curvature\": \"{}\",", options.curvature.name())?;
    }
    if let Some(structure) = structure {
        writeln!(out, "  \"structure\": \"{structure}\",")?;
    }
    if let Some(matrix) = &result.curvature {
        write_matrix(out, matrix)?;
    }
    if let Some(products) = products {
        write!(out, "  \"products\": ")?;
        rows(out, products.rows().into_iter().map(|r| r.to_vec()))?;
        writeln!(out, ",")?;
    }
    if let (Some(tensor), Some(layer), Some(row)) = (tensor, options.layer, options.row) {
        let (order, dimension) = (tensor.order(), tensor.dimension());
        write!(
            out,
            "  \"tensor\": {{\"layer\": {layer}, \"row\": {row}, \"order\": {order}, \"dimension\": {dimension}, \"packed\": "
        )?;
        list(out, tensor.packed().iter())?;
        writeln!(out, "}},")?;
    }
    for Named { name, shape, values } in named {
        write!(out, "  \"{name}\": ")?;
        match shape.as_slice() {
            [] => write!(out, "{}", serde_json::Value::from(values[0]))?,
            [_] => list(out, values.iter())?,
            _ => rows(out, values.chunks(shape[1].max(1)).map(<[f64]>::to_vec))?,
        }
        writeln!(out, ",")?;
    }
    let (adapter, precision) = (problem.device().adapter(), problem.device().precision());
    writeln!(out, "  \"adapter\": {},", serde_json::Value::from(adapter))?;
    writeln!(out, "  \"precision\": \"{precision}\",\n  \"seconds\": {seconds:?}\n}}")
}

/// The matrix under the name that its structure has in files.
fn write_matrix(out: &mut dyn Write, matrix: &Matrix) -> io::Result<()> {
    let key = key(matrix.structure());
    if matrix.structure() == Structure::Diagonal {
        write!(out, "  \"{key}\": ")?;
        list(out, matrix.diagonal().iter())?;
        return writeln!(out, ",");
    }
    let whole = key == "matrix";
    write!(out, "  \"{key}\": {}", if whole { "" } else { "[" })?;
    for (index, block) in matrix.blocks().enumerate() {
        if !whole {
            let comma = if index > 0 { "," } else { "" };
            write!(out, "{comma}\n    {{\"layer\": {}, ", block.layer.unwrap_or(0))?;
            if let Some(unit) = block.unit {
                write!(out, "\"row\": {unit}, ")?;
            }
            write!(out, "\"block\": ")?;
        }
        let row = |a| (0..block.order()).map(move |b| (a, b));
        let entry = |(a, b)| block.entry(a, b).unwrap_or(f64::NAN);
        rows(out, (0..block.order()).map(|a| row(a).map(entry).collect()))?;
        write!(out, "{}", if whole { "" } else { "}" })?;
    }
    writeln!(out, "{},", if whole { "" } else { "\n  ]" })
}

fn separator(index: usize) -> &'static str {
    if index > 0 { ", " } else { "" }
}

fn rows(out: &mut dyn Write, rows: impl Iterator<Item = Vec<f64>>) -> io::Result<()> {
    write!(out, "[")?;
    for (i, row) in rows.enumerate() {
        write!(out, "{}", separator(i))?;
        list(out, row.iter())?;
    }
    write!(out, "]")
}

fn list<'a>(out: &mut dyn Write, values: impl Iterator<Item = &'a f64>) -> io::Result<()> {
    write!(out, "[")?;
    for (i, v) in values.enumerate() {
        write!(out, "{}{v:?}", separator(i))?;
    }
    write!(out, "]")
}
