//! `secondo convert`.

use std::path::{Path, PathBuf};

use clap::Args;
use secondo::io::{
    Dialect, Model, ParquetOfText, Table, Weights, loss_from_json, network_from_path,
    network_to_json,
};
use secondo::{Activation, LossKind};
use serde_json::json;

use crate::arrays::Arrays;
use crate::exit::Failure;
use crate::files::{self, Kind, PARQUET_TABLE, is_model_file};
use crate::output::{has_extension, plural, say, say_note, say_warning};
use crate::training::ReadingProgress;

/// Converts models: to ONNX, to PyTorch's names and layout, to NumPy's arrays, and back; and tables to Parquet
///
/// A model of 'secondo fit' becomes, by the extension of OUTPUT: .onnx, the whole way from inputs to predictions in the table's units;
/// .safetensors, a state dict as PyTorch names it (0.weight, 0.bias, 2.weight, …); .npz, the same arrays. The last two have the scaling of inputs and targets within
/// the weights: they take the table's units and give outputs before the link.
///
/// A table (.csv, .tsv, .npy, .npz and what else 'secondo fit' reads) becomes a Parquet file: .parquet. Columns of numbers stay numbers, others
/// are text, and missing values are null.
///
/// Weights of another program (.safetensors or .npz with these names; F64, F32, F16, BF16) become a model, or ONNX or arrays. Such files hold no
/// activations: give --activation and --output-activation, or --architecture.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  secondo convert diabetes.safetensors diabetes.onnx
      for onnxruntime: input X, output predictions
  secondo convert diabetes.safetensors torch.safetensors --f32
      for torch.nn.Sequential: load_state_dict(safetensors.torch.load_file(...))
  secondo convert torch.safetensors model.safetensors --activation relu --features age,height --targets weight
      a network of PyTorch, as a model that predicts from tables
  secondo convert big.csv big.parquet
      a table, to be read faster and a part at a time; with --stream one that memory does not hold")]
pub struct Options {
    /// A model (.safetensors), weights of another program (.safetensors, .npz), or a table
    input: PathBuf,
    /// The file to write: .onnx, .safetensors or .npz; .parquet of a table
    output: PathBuf,
    /// Read the text of a table a part at a time, so that it need not fit in memory: UTF-8, not packed, without comments; its first 10,000 rows or
    /// first MiB tell how numbers are written
    #[arg(long)]
    stream: bool,
    /// The activation of the hidden layers, or one for each, as in tanh,relu [default: tanh]
    #[arg(long, value_name = "NAMES", value_parser = activation, value_delimiter = ',')]
    activation: Vec<Activation>,
    /// The activation of the last layer [default: identity]
    #[arg(long, value_name = "NAME", value_parser = activation)]
    output_activation: Option<Activation>,
    /// Take the architecture from this file, as 'secondo fit --architecture' does
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["activation", "output_activation"])]
    architecture: Option<PathBuf>,
    /// The loss: it says what the outputs are (softmax_ce and bce_logits: classes) [default: sos]
    #[arg(long, value_name = "NAME", value_parser = loss)]
    loss: Option<String>,
    /// The names of the inputs [default: x1,x2,…]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    features: Vec<String>,
    /// The names of the targets [default: y1,y2,…]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    targets: Vec<String>,
    /// The names of the classes [default: 0,1,…]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    classes: Vec<String>,
    /// Write a state dict in single precision
    #[arg(long)]
    f32: bool,
}

fn activation(name: &str) -> Result<Activation, String> {
    Activation::from_name(name).map_err(|e| e.to_string())
}

fn loss(name: &str) -> Result<String, String> {
    let kind = LossKind::from_name(name).map_err(|e| e.to_string())?;
    match kind.parameters {
        [] => Ok(kind.name.into()),
        _ => Err("losses with parameters are for fits; predictions do not depend on them".into()),
    }
}

/// The forms that are written.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Onnx,
    StateDict,
    Arrays,
    Model,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let (input, output): (&Path, &Path) = (&options.input, &options.output);
    if has_extension(output, "parquet") {
        return options.table();
    }
    if options.stream {
        return Err(Failure::usage("--stream is for tables, which become .parquet"));
    }
    let own = is_model_file(input);
    let extensions = [
        ("onnx", Form::Onnx),
        ("npz", Form::Arrays),
        ("safetensors", if own { Form::StateDict } else { Form::Model }),
    ];
    let form = extensions.into_iter().find(|(extension, _)| has_extension(output, extension));
    let Some((_, form)) = form else {
        let why = "the extension must be .onnx, .safetensors or .npz, or .parquet for a table";
        return Err(Failure::usage(format!("{}: {why}", output.display())));
    };
    let kind = if form == Form::Model { Kind::Model } else { Kind::Converted };
    let inputs: Vec<&Path> =
        std::iter::once(input).chain(options.architecture.as_deref()).collect();
    files::check(&inputs, None, &[(kind, output)])?;
    if options.f32 && form != Form::StateDict {
        return Err(Failure::usage("--f32 is for a state dict (.safetensors) of a model"));
    }
    let model = if own { options.own()? } else { options.foreign()? };
    if model.exposure.is_some() && form != Form::Model {
        say_note(
            "the file's predictions are those for an exposure of 1: the model multiplies them by a column",
        );
    }
    let bytes = match form {
        Form::Onnx => model.to_onnx()?,
        Form::Model => model.to_bytes()?,
        Form::StateDict => model.folded()?.to_state_dict_bytes(options.f32)?,
        Form::Arrays => arrays(&model.folded()?)?,
    };
    files::write(kind, output, |out| out.write_all(&bytes))?;
    say(&format!("written      {}: the network {}\n", output.display(), model.network))
}

impl Options {
    /// Writes a table as Parquet.
    fn table(&self) -> Result<(), Failure> {
        let (input, output): (&Path, &Path) = (&self.input, &self.output);
        if is_model_file(input) {
            return Err(Failure::usage(format!(
                "{} is a model, and .parquet is for tables; a model becomes .onnx, .npz or .safetensors",
                input.display()
            )));
        }
        let lists =
            [self.features.len(), self.targets.len(), self.classes.len(), self.activation.len()];
        let is_for_models = self.f32
            || self.loss.is_some()
            || self.output_activation.is_some()
            || self.architecture.is_some()
            || lists.iter().any(|len| *len > 0);
        if is_for_models {
            return Err(Failure::usage(
                "a table is converted as it is: --activation, --output-activation, --architecture, --loss, --features, --targets, \
                 --classes and --f32 are for models",
            ));
        }
        files::check(&[input], None, &[(Kind::Table, output)])?;
        let dialect = Dialect::default();
        let (table, rows) = if self.stream {
            let _progress = ReadingProgress::new(true, input);
            let of = ParquetOfText::open(input, &dialect)?;
            files::write(Kind::Table, output, |out| of.write(PARQUET_TABLE, out))?;
            (of.outline().clone(), of.rows())
        } else {
            let table = Table::from_path(input, &dialect)?;
            let bytes = table.to_parquet(PARQUET_TABLE)?;
            files::write(Kind::Table, output, |out| out.write_all(&bytes))?;
            let rows = table.rows();
            (table, rows)
        };
        if !table.found().is_empty() {
            say_note(&format!("read with {}", table.found().join(" ")));
        }
        table.warnings().iter().for_each(|warning| say_warning(warning));
        say(&format!(
            "written      {}: {}, {}\n",
            output.display(),
            plural(rows, "row"),
            plural(table.names().len(), "column")
        ))
    }

    fn own(&self) -> Result<Model, Failure> {
        let given = [
            ("--activation", !self.activation.is_empty()),
            ("--output-activation", self.output_activation.is_some()),
            ("--architecture", self.architecture.is_some()),
            ("--loss", self.loss.is_some()),
        ];
        if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
            return Err(Failure::usage(format!("{name}: a model of secondo says this itself")));
        }
        self.named(Model::load(&self.input)?)
    }

    fn foreign(&self) -> Result<Model, Failure> {
        let weights = Weights::from_path(&self.input)?;
        let flags = !self.activation.is_empty() || self.output_activation.is_some();
        let network = match (&self.architecture, weights.network()?) {
            (Some(path), _) => network_from_path(path)?,
            (None, Some(network)) if !flags => network,
            _ => {
                let hidden = match self.activation.as_slice() {
                    [] => &[Activation::Tanh],
                    given => given,
                };
                weights.chain(hidden, self.output_activation.unwrap_or(Activation::Identity))?
            }
        };
        let loss = loss_from_json(&json!({"type": self.loss.as_deref().unwrap_or("sos")}))?;
        self.named(Model::from_weights(&weights, network, loss)?)
    }

    /// The model with the names that are given.
    fn named(&self, mut model: Model) -> Result<Model, Failure> {
        if !self.features.is_empty() {
            model.columns.clear();
        }
        for (given, names) in [
            (&self.features, &mut model.features),
            (&self.targets, &mut model.targets),
            (&self.classes, &mut model.classes),
        ] {
            if !given.is_empty() {
                names.clone_from(given);
            }
        }
        model.check()?;
        Ok(model)
    }
}

/// The state dict as an archive of arrays, with the architecture as the text `network`.
fn arrays(model: &Model) -> Result<Vec<u8>, Failure> {
    let tensors = model.state_dict()?;
    let mut bytes = Vec::new();
    let mut write = || {
        let mut arrays = Arrays::new(&mut bytes);
        arrays.text("network", &network_to_json(&model.network).to_string())?;
        for (name, shape, values) in &tensors {
            arrays.numbers(name, shape, values.iter().copied())?;
        }
        arrays.finish()
    };
    write().map_err(|e| Failure::usage(format!("cannot write the arrays: {e}")))?;
    Ok(bytes)
}
