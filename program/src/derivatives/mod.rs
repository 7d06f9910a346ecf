//! `secondo derivatives`.

mod json;
mod npz;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{ArgMatches, Args};
use ndarray::Array2;
use secondo::io::{Model, ProblemFile, Unknown, array_from_npy};
use secondo::{
    Curvature, Device, Evaluation, LinearOperator, Problem, Request, Structure, SymmetricTensor,
};

use crate::computing::Computing;
use crate::exit::Failure;
use crate::files::{self, Kind};
use crate::given::given;
use crate::output::{emit, has_extension, say_note, unused_keys};
use crate::table::TableOptions;
use crate::training::curvature;

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
  products      'products', one row for each vector of --vectors, or of 'v' or 'V' in the problem file; no matrix is formed

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
  ridge_vec, group_norm. Besides: 'sample_weights', 'constraint' with 'theta', 'v' or 'V', 'activation_definitions'. Keys that begin with x_ are free for notes.

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
    /// The part of it: row-blocks (one for each unit), layer-blocks, full, diagonal, products with 'v' or 'V', or none
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
    /// The vectors for --structure products: an array of NumPy, one vector or one in each row
    #[arg(long, value_name = "FILE.npy")]
    vectors: Option<PathBuf>,
    /// Write to this file (.json, .npz, or .npy for one array, which is never replaced) instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    computing: Computing,
    #[command(flatten)]
    table: TableOptions,
}

/// The form of a curvature that is computed.
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

pub fn run(options: &Options, matches: &ArgMatches) -> Result<(), Failure> {
    if let Some(output) = &options.output {
        check_extension(options, output)?;
        let inputs: Vec<&Path> =
            [Some(&options.source), options.data.as_ref(), options.vectors.as_ref()]
                .into_iter()
                .flatten()
                .map(PathBuf::as_path)
                .collect();
        files::check(&inputs, None, &[(Kind::Derivatives, output)])?;
    }
    let device = options.computing.start(false)?;
    let (problem, parameters, vectors) = load(options, matches, device)?;
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
    let found = Found { result, products, tensor, seconds: begin.elapsed().as_secs_f64() };
    let output = options.output.as_deref();
    let named = |extension| output.is_some_and(|path| has_extension(path, extension));
    let write = if named("npz") {
        npz::write
    } else if named("npy") {
        npz::write_one
    } else {
        json::write
    };
    emit(Kind::Derivatives, output, &|out| write(out, &problem, options, &found))
}

/// That the extension of the output chooses a form that holds the result. Special files such as `/dev/null` have none.
fn check_extension(options: &Options, output: &Path) -> Result<(), Failure> {
    let special = output.exists() && !output.is_file();
    let known = ["json", "npz", "npy"].iter().any(|extension| has_extension(output, extension));
    let why = if !known && !special {
        "the extension must be .json, .npz or .npy"
    } else if has_extension(output, "npy") && !options.one_array() {
        "a .npy file holds one array; take .npz, or --structure full, diagonal, products or none alone"
    } else {
        return Ok(());
    };
    Err(Failure::usage(format!("--output {}: {why}", output.display())))
}

impl Options {
    /// Whether the result is one array: a curvature in one piece, or the gradient alone.
    fn one_array(&self) -> bool {
        let blocks = [Structure::RowBlocks, Structure::LayerBlocks].map(Form::Blocks);
        !self.multipliers && self.order.is_none() && !blocks.contains(&self.structure)
    }
}

/// The computed quantities.
struct Found {
    result: Evaluation,
    products: Option<Array2<f64>>,
    tensor: Option<SymmetricTensor>,
    seconds: f64,
}

/// The problem, its parameters and, for products, the vectors.
type Loaded = (Problem, Vec<f64>, Option<Array2<f64>>);

fn load(options: &Options, matches: &ArgMatches, device: Device) -> Result<Loaded, Failure> {
    let (source, products) = (&options.source, options.structure == Form::Products);
    match &options.data {
        None if has_extension(source, "safetensors") => Err(Failure::usage(
            "a model needs a table: secondo derivatives MODEL.safetensors DATA.csv",
        )),
        None => match given::<TableOptions>(matches).first() {
            Some(option) => Err(Failure::usage(format!(
                "{option} is for tables; a problem file holds its data"
            ))),
            None => load_problem(options, device),
        },
        Some(_) if products && options.vectors.is_none() => Err(Failure::usage(
            "--structure products needs vectors: give them with --vectors FILE.npy",
        )),
        Some(data) if has_extension(source, "json") => Err(Failure::usage(format!(
            "{} is a problem file and holds its data; leave out {}",
            source.display(),
            data.display()
        ))),
        Some(data) => load_model(options, data, device),
    }
}

fn load_problem(options: &Options, device: Device) -> Result<Loaded, Failure> {
    let (source, products) = (&options.source, options.structure == Form::Products);
    let file = ProblemFile::from_path(source)?;
    if !file.unused.is_empty() {
        say_note(&unused_keys(&file.unused));
    }
    let (count, length) = (file.vectors.len(), file.parameters.len());
    if let Some(vectors) = given_vectors(options)? {
        return Ok((file.problem.on(device), file.parameters, Some(vectors)));
    }
    if products && count == 0 {
        return Err(Failure::usage(format!(
            "{}: --structure products needs vectors: the key 'v' (one) or 'V' (a list), each of {length} numbers, or --vectors FILE.npy",
            source.display()
        )));
    }
    let vectors =
        products.then(|| Array2::from_shape_fn((count, length), |(i, l)| file.vectors[i][l]));
    Ok((file.problem.on(device), file.parameters, vectors))
}

fn load_model(options: &Options, data: &Path, device: Device) -> Result<Loaded, Failure> {
    let model = Model::load(&options.source)?;
    if model.targets.len() != 1 {
        return Err(Failure::usage(format!(
            "{} has {} targets; with a table only one is possible",
            options.source.display(),
            model.targets.len()
        )));
    }
    let table = options.table.open(data)?;
    let (rows, notes) = options.table.rows(&model, &table, true, Unknown::Error)?;
    for note in &notes {
        say_note(note);
    }
    let problem = rows.problem(&model, device)?;
    Ok((problem, model.weights, given_vectors(options)?))
}

/// The vectors of `--vectors`.
fn given_vectors(options: &Options) -> Result<Option<Array2<f64>>, Failure> {
    let Some(path) = &options.vectors else {
        return Ok(None);
    };
    if options.structure != Form::Products {
        return Err(Failure::usage("--vectors is for --structure products"));
    }
    Ok(Some(array_from_npy(path)?))
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
