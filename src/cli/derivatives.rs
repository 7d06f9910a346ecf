//! `secondo derivatives`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use ndarray::Array2;
use secondo::io::{Model, ProblemFile, Table};
use secondo::{
    Curvature, Device, Evaluation, LinearOperator, Matrix, Problem, Request, Structure,
    SymmetricTensor,
};

use super::Failure;
use super::common::{self, Computing, Csv};
use super::npz::Arrays;
use super::output::{check_distinct, check_target, emit, has_extension, say_note};
use super::training::curvature;

/// Computes value, gradient and second derivatives of a problem
///
/// The problem is a problem file (.json), or a fitted model (.safetensors) with a table; for a model the objective is
/// the one it was fitted with, of standardised inputs and targets, over all rows of the table (a fit holds some out; its
/// JSON report lists their lines). The result is a JSON object with 'value', 'gradient' and what the structure asks for
/// (listed below).
///
/// With --output FILE.npz the same are arrays for numpy.load, where the parts of lists are named 'multipliers_LAYER',
/// 'row_blocks_LAYER_ROW' and 'layer_blocks_LAYER'. Everything is in the order of the flat parameter vector: layer by
/// layer, unit by unit, the bias last; of θ where the file has a constraint. The penalty is included, but for the curvature
/// residual. Reading the numbers back gives the same bits.
///
/// Curvatures: exact is the Hessian of the objective. gauss-newton leaves out the second derivatives of the network,
/// and residual is what it leaves out. empirical-fisher sums the outer products of the samples' gradients. lagrangian is
/// the matrix of Iovleff's paper, the second derivative of the Lagrangian in the weights at fixed states and multipliers:
/// it is not the Hessian, of which it lacks all that couples units and layers.
///
/// --order Q with --layer and --row adds 'tensor', the derivative of order Q of that Lagrangian in the weights of one unit, at
/// fixed states and multipliers and without the penalty: the entries with indices a1 >= a2 >= ... >= aQ, the first
/// growing slowest.
#[derive(Debug, Args)]
#[command(after_help = "\
What the structures give:
  row-blocks    'row_blocks', a list of layer (from 1), row (the unit, from 0) and block
  layer-blocks  'layer_blocks', a list of layer and block
  full          'matrix'
  diagonal      'diagonal'
  products      'products', one row for each vector of 'v' or 'V' in the problem file; no matrix is formed

A problem file:
  {\"spec\": {\"inputs\": 1, \"layers\": [
     {\"units\": 2, \"activations\": \"tanh\"},
     {\"units\": 1, \"activations\": \"identity\"}]},
   \"loss\": {\"type\": \"sos\"},
   \"penalty\": {\"type\": \"ridge\", \"lambda\": 0.01},
   \"X\": [[0.5], [-1.0]], \"Y\": [[1.0], [0.0]],
   \"W\": [1, 0, -1, 0, 1, 1, 0]}
  A layer may have 'sources' (earlier layers, 0 the inputs), 'bias' and 'propagation' (linear or a radial form). Losses: those
  that 'secondo fit --help' lists, with their parameters as keys, and wsos with a list 'output_weights'. Penalties: ridge,
  ridge_vec, group_norm. Besides: 'sample_weights', 'constraint' with 'theta', 'v' or 'V', 'activation_definitions'. Other keys are ignored.

Examples:
  secondo derivatives problem.json
      the Hessian's block of each unit, on stdout
  secondo derivatives problem.json --curvature gauss-newton --structure diagonal -o out.json
      the diagonal of the Gauss-Newton matrix, in a file
  secondo derivatives problem.json --structure products
      the Hessian times each vector of 'v' or 'V'
  secondo derivatives problem.json --structure none --multipliers
      value, gradient and multipliers
  secondo derivatives problem.json --structure none --order 3 --layer 1 --row 0
      the third derivatives of the Lagrangian in the first unit's weights
  secondo derivatives diabetes.safetensors diabetes.csv -o out.npz
      a fitted model with its data, as arrays for numpy.load")]
pub struct Options {
    /// A problem file (.json) or a model (.safetensors)
    source: PathBuf,
    /// The table, for a model (CSV with a header, with the target)
    data: Option<PathBuf>,
    /// The curvature: exact (the Hessian), gauss-newton, empirical-fisher, lagrangian (not the Hessian) or residual
    #[arg(long, value_name = "NAME", default_value = "exact", value_parser = curvature)]
    curvature: Curvature,
    /// What of it: row-blocks (one for each unit), layer-blocks, full, diagonal, products with 'v' or 'V', or none
    #[arg(long, value_name = "NAME", default_value = "row-blocks", value_parser = structure)]
    structure: Form,
    /// Add the multipliers of every layer and sample, 'multipliers'
    #[arg(long)]
    multipliers: bool,
    /// Add the derivative of this order of the Lagrangian in one unit's weights, 'tensor'
    #[arg(long, value_name = "Q", requires = "layer", requires = "row")]
    order: Option<usize>,
    /// The layer of that unit, from 1
    #[arg(long, value_name = "K", requires = "order")]
    layer: Option<usize>,
    /// The unit in its layer, from 0
    #[arg(long, value_name = "J", requires = "order")]
    row: Option<usize>,
    /// Write to this file (.json or .npz) instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    computing: Computing,
    #[command(flatten)]
    csv: Csv,
}

/// What is computed of a curvature.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Nothing,
    Blocks(Structure),
    Products,
}

fn structure(name: &str) -> Result<Form, String> {
    match (name, Structure::from_name(name)) {
        ("none", _) => Ok(Form::Nothing),
        ("products", _) => Ok(Form::Products),
        (_, Ok(structure)) => Ok(Form::Blocks(structure)),
        _ => Err(format!(
            "unknown structure '{name}'; known: {}, products, none",
            Structure::ALL.map(Structure::name).join(", ")
        )),
    }
}

pub fn run(options: &Options) -> Result<(), Failure> {
    if let Some(output) = &options.output {
        check_target(output)?;
        let inputs: Vec<&Path> = [Some(&options.source), options.data.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
            .collect();
        check_distinct(&inputs, &[output])?;
    }
    let device = options.computing.start(false)?;
    let (problem, parameters, vectors) = load(options, device)?;
    let begin = Instant::now();
    let request = Request {
        gradient: true,
        multipliers: options.multipliers,
        curvature: match options.structure {
            Form::Blocks(structure) => Some((options.curvature, structure)),
            _ => None,
        },
        ..Request::default()
    };
    let result = problem.evaluate(&parameters, request)?;
    let products = match vectors {
        None => None,
        Some(vectors) => {
            let operator = problem.operator(&parameters, options.curvature)?;
            Some(operator.products(vectors.view())?)
        }
    };
    let tensor = match (options.layer, options.row, options.order) {
        (Some(layer), Some(row), Some(order)) => {
            Some(problem.lagrangian_tensor(&parameters, layer, row, order)?)
        }
        _ => None,
    };
    let found = Found {
        result,
        products,
        tensor,
        seconds: begin.elapsed().as_secs_f64(),
    };
    let output = options.output.as_deref();
    let arrays = output.is_some_and(|path| has_extension(path, "npz"));
    let write = if arrays { write_arrays } else { write };
    emit(output, |out| write(out, &problem, options, &found))
}

/// What was computed.
struct Found {
    result: Evaluation,
    products: Option<Array2<f64>>,
    tensor: Option<SymmetricTensor>,
    seconds: f64,
}

/// The problem, its parameters and, for products, the vectors.
type Loaded = (Problem, Vec<f64>, Option<Array2<f64>>);

fn load(options: &Options, device: Device) -> Result<Loaded, Failure> {
    let products = options.structure == Form::Products;
    let Some(data) = &options.data else {
        if has_extension(&options.source, "safetensors") {
            return Err(Failure::usage(
                "a model needs a table: secondo derivatives MODEL.safetensors DATA.csv",
            ));
        }
        if let Some(option) = options.csv.given().first() {
            return Err(Failure::usage(format!(
                "{option} is for tables; a problem file holds its data"
            )));
        }
        let file = ProblemFile::from_path(&options.source)?;
        let (count, length) = (file.vectors.len(), file.parameters.len());
        if products && count == 0 {
            return Err(Failure::usage(format!(
                "{}: --structure products needs vectors: the key 'v' (one) or 'V' (a list), each of {length} numbers",
                options.source.display()
            )));
        }
        let vectors =
            products.then(|| Array2::from_shape_fn((count, length), |(i, l)| file.vectors[i][l]));
        return Ok((file.problem.on(device), file.parameters, vectors));
    };
    if products {
        return Err(Failure::usage(
            "--structure products needs vectors, which only a problem file holds ('v' or 'V')",
        ));
    }
    if has_extension(&options.source, "json") {
        return Err(Failure::usage(format!(
            "{} is a problem file and holds its data; leave out {}",
            options.source.display(),
            data.display()
        )));
    }
    let model = Model::load(&options.source)?;
    if model.targets.len() != 1 {
        return Err(Failure::usage(format!(
            "{} has {} targets; with a table only one is possible",
            options.source.display(),
            model.targets.len()
        )));
    }
    let table = Table::from_path(data, options.csv.delimiter())?;
    let rows = common::rows(&model, &table, &options.csv, true)?;
    for note in &rows.notes {
        say_note(note);
    }
    let target = rows
        .target
        .as_ref()
        .ok_or_else(|| Failure::usage("the table has no target"))?;
    let problem = common::problem(&model, &rows.x, target, rows.weights.as_deref(), device)?;
    Ok((problem, model.weights, None))
}

fn write(
    out: &mut dyn Write,
    problem: &Problem,
    options: &Options,
    found: &Found,
) -> io::Result<()> {
    let Found {
        result,
        products,
        tensor,
        seconds,
    } = found;
    // Streamed: blocks can be far larger than what a tree of values should hold. {:?} is the shortest text that
    // reads back as the same number.
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
    let structure = match options.structure {
        Form::Nothing => None,
        Form::Blocks(structure) => Some(structure.name()),
        Form::Products => Some("products"),
    };
    if let Some(structure) = structure {
        writeln!(out, "  \"curvature\": \"{}\",", options.curvature.name())?;
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
    let (adapter, precision) = (problem.device().adapter(), problem.device().precision());
    writeln!(out, "  \"adapter\": {},", serde_json::Value::from(adapter))?;
    writeln!(
        out,
        "  \"precision\": \"{precision}\",\n  \"seconds\": {seconds:?}\n}}"
    )
}

fn write_arrays(
    out: &mut dyn Write,
    problem: &Problem,
    options: &Options,
    found: &Found,
) -> io::Result<()> {
    let Found {
        result,
        products,
        tensor,
        seconds,
    } = found;
    let mut arrays = Arrays::new(out);
    arrays.numbers("value", &[], [result.value])?;
    let gradient = result.gradient.iter().copied();
    arrays.numbers("gradient", &[result.gradient.len()], gradient)?;
    for (layer, e) in (1..).zip(&result.multipliers) {
        arrays.numbers(
            &format!("multipliers_{layer}"),
            e.shape(),
            e.iter().copied(),
        )?;
    }
    if options.structure != Form::Nothing {
        arrays.text("curvature", options.curvature.name())?;
    }
    if let Some(matrix) = &result.curvature {
        let key = key(matrix.structure());
        if matrix.structure() == Structure::Diagonal {
            arrays.numbers(key, &[matrix.order()], matrix.diagonal())?;
        } else {
            for block in matrix.blocks() {
                let mut name = key.to_string();
                for part in block.layer.into_iter().chain(block.unit) {
                    name += &format!("_{part}");
                }
                let d = block.order();
                let all = (0..d * d).map(|i| block.entry(i / d, i % d).unwrap_or(f64::NAN));
                arrays.numbers(&name, &[d, d], all)?;
            }
        }
    }
    if let Some(products) = products {
        arrays.numbers("products", products.shape(), products.iter().copied())?;
    }
    if let Some(tensor) = tensor {
        let packed = tensor.packed();
        arrays.numbers("tensor", &[packed.len()], packed.iter().copied())?;
    }
    arrays.text("adapter", &problem.device().adapter())?;
    arrays.text("precision", problem.device().precision())?;
    arrays.numbers("seconds", &[], [*seconds])?;
    arrays.finish()
}

/// The name of a structure's matrix in files.
fn key(structure: Structure) -> &'static str {
    match structure {
        Structure::Diagonal => "diagonal",
        Structure::RowBlocks => "row_blocks",
        Structure::LayerBlocks => "layer_blocks",
        _ => "matrix",
    }
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
            write!(
                out,
                "{comma}\n    {{\"layer\": {}, ",
                block.layer.unwrap_or(0)
            )?;
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
