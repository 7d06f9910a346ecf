//! `secondo derivatives`.

mod analysis;
mod json;
mod npz;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{ArgMatches, Args};
use ndarray::Array2;
use secondo::io::array_from_npy;
use secondo::{Curvature, Evaluation, LinearOperator, Request, Structure, SymmetricTensor};

use crate::computing::Computing;
use crate::exit::Failure;
use crate::files::{self, Kind};
use crate::objective::{Given, load};
use crate::output::{emit, has_extension, say_note};
use crate::table::TableOptions;
use crate::training::curvature;
use analysis::{Analysis, Named};

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
      a fitted model with its data, as arrays for numpy.load
  secondo derivatives diabetes.safetensors diabetes.csv --eigenvalues --condition --logdet
      what the whole Hessian says, without its entries
  secondo derivatives large.safetensors large.csv --spectrum -o spectrum.npz
      a density of the eigenvalues, however many parameters there are")]
pub struct Options {
    /// A problem file (.json) or a model (.safetensors)
    source: PathBuf,
    /// The table, for a model (CSV with a header, with the target)
    data: Option<PathBuf>,
    /// The curvature: exact (the Hessian), gauss-newton, empirical-fisher, lagrangian (not the Hessian) or residual
    #[arg(long, value_name = "NAME", default_value = "exact", value_parser = curvature)]
    curvature: Curvature,
    /// The part of it: row-blocks (one for each unit), layer-blocks, full, diagonal, products with 'v' or 'V', or none [default: row-blocks;
    /// full, unwritten, for what is computed from the curvature]
    #[arg(long, value_name = "NAME", value_parser = structure)]
    structure: Option<Form>,
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
    analysis: Analysis,
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
                .chain([options.analysis.solve.as_ref()])
                .flatten()
                .map(PathBuf::as_path)
                .collect();
        files::check(&inputs, None, &[(Kind::Derivatives, output)])?;
    }
    if options.analysis.needs_matrix() && !matches!(options.form(), Form::Blocks(_)) {
        return Err(Failure::usage(
            "eigenvalues, condition, trace, determinant and solutions need the matrix: --structure full, layer-blocks, row-blocks or \
             diagonal; --spectrum needs products alone",
        ));
    }
    let device = options.computing.start(false)?;
    let data = options.data.as_deref();
    let given = load(&options.source, data, &options.table, matches, device)?;
    if given.held_out > 0 {
        say_note(&format!(
            "the objective is over all {} rows; if this is the table of the fit, {} of them were held out there",
            given.problem.rows(),
            given.held_out
        ));
    }
    let vectors = vectors(options, &given)?;
    let sides = options.analysis.right_hand_sides()?;
    let Given { problem, parameters, .. } = given;
    let begin = Instant::now();
    let request = Request {
        gradient: true,
        multipliers: options.multipliers,
        curvature: match options.form() {
            Form::Blocks(structure) => Some((options.curvature, structure)),
            _ => None,
        },
        ..Request::default()
    };
    let mut result = problem.evaluate(&parameters, request)?;
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
    let matrix = result.curvature.as_ref();
    let named =
        options.analysis.compute(&problem, &parameters, options.curvature, matrix, sides)?;
    if options.written() == Form::Nothing {
        result.curvature = None;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let found = Found { result, products, tensor, named, seconds };
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
        let written = self.written();
        let arrays = self.analysis.arrays() + usize::from(written != Form::Nothing);
        !self.multipliers && self.order.is_none() && !blocks.contains(&written) && arrays < 2
    }

    /// The form that is computed.
    fn form(&self) -> Form {
        let full = Form::Blocks(Structure::Full);
        self.structure.unwrap_or(match (self.analysis.needs_matrix(), self.analysis.any()) {
            (true, _) => full,
            (false, true) => Form::Nothing,
            _ => Form::Blocks(Structure::RowBlocks),
        })
    }

    /// The form that is written: what is computed from the curvature stands for it, unless it is named.
    fn written(&self) -> Form {
        if self.structure.is_none() && self.analysis.any() { Form::Nothing } else { self.form() }
    }
}

/// The computed quantities.
struct Found {
    result: Evaluation,
    products: Option<Array2<f64>>,
    tensor: Option<SymmetricTensor>,
    /// The numbers that were computed from the curvature.
    named: Vec<Named>,
    seconds: f64,
}

/// The vectors for products: those of `--vectors`, or of the problem file.
fn vectors(options: &Options, given: &Given) -> Result<Option<Array2<f64>>, Failure> {
    let products = options.form() == Form::Products;
    if let Some(path) = &options.vectors {
        if !products {
            return Err(Failure::usage("--vectors is for --structure products"));
        }
        return Ok(Some(array_from_npy(path)?));
    }
    let (count, length) = (given.vectors.len(), given.parameters.len());
    if products && count == 0 {
        let source = options.source.display();
        return Err(Failure::usage(match options.data {
            None => format!(
                "{source}: --structure products needs vectors: the key 'v' (one) or 'V' (a list), each of {length} numbers, or \
                 --vectors FILE.npy"
            ),
            Some(_) => format!(
                "--structure products needs vectors, each of {length} numbers: give them with --vectors FILE.npy"
            ),
        }));
    }
    Ok(products.then(|| Array2::from_shape_fn((count, length), |(i, l)| given.vectors[i][l])))
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
