//! Options and steps that several commands share.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Args;
use ndarray::Array2;
use secondo::io::{Missing, Model, Table};
use secondo::{Data, Device, Error, Loss, Problem};

use super::Failure;

/// Where and how precisely to compute.
#[derive(Debug, Args)]
#[command(next_help_heading = "Computing")]
pub struct Computing {
    /// Where to compute: cpu, gpu, gpu:NAME or auto
    ///
    /// gpu is the first hardware adapter (a GPU) that 'secondo adapters' lists, gpu:NAME the first whose name contains
    /// NAME, gpu:N with one or two digits the one of that number. auto is a hardware adapter for the curvature of large
    /// fits and the CPU for all else; it never takes a software adapter.
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = device)]
    pub device: String,
    /// The floating-point precision: f64 or f32 [default: f32 on a named adapter, else f64]
    ///
    /// In a fit f32 holds for the curvature alone: value, gradient and decisions are the CPU's in f64. Derivatives of a problem
    /// file or a model are wholly in f32 then. In f64 an adapter computes all but factorizations and solves.
    #[arg(long, value_name = "PRECISION", value_parser = ["f64", "f32"])]
    pub precision: Option<String>,
    /// The number of CPU threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), allow_negative_numbers = true)]
    pub threads: Option<u16>,
}

fn device(text: &str) -> Result<String, String> {
    match text {
        "auto" | "cpu" | "gpu" => Ok(text.into()),
        _ if text.len() > 4 && text.starts_with("gpu:") => Ok(text.into()),
        _ => Err(
            "known: auto, cpu, gpu, gpu:NAME with a name or number from 'secondo adapters'".into(),
        ),
    }
}

impl Computing {
    /// The device, tested, with the threads started. `auto` takes a hardware adapter for the large requests of a fit, which
    /// decides in f64; single derivatives are never less precise than asked for.
    pub fn start(&self, fit: bool) -> Result<Device, Failure> {
        if let Some(threads) = self.threads {
            (rayon::ThreadPoolBuilder::new()
                .num_threads(threads.into())
                .build_global())
            .map_err(|e| Failure::device(format!("cannot start {threads} threads: {e}")))?;
        }
        let precision = self.precision.as_deref();
        Ok(match (self.device.as_str(), precision) {
            ("cpu", Some("f32")) => Device::CpuF32,
            ("auto", Some("f32")) => named("", precision).unwrap_or(Device::CpuF32),
            ("auto", None) if fit => Device::auto(),
            ("cpu" | "auto", _) => Device::Cpu,
            (gpu, _) => named(
                gpu.strip_prefix("gpu")
                    .unwrap_or(gpu)
                    .trim_start_matches(':'),
                precision,
            )?,
        })
    }
}

#[cfg(feature = "gpu")]
fn named(name: &str, precision: Option<&str>) -> Result<Device, Failure> {
    let device = Device::gpu(name)?;
    Ok(match precision {
        Some("f64") => device.in_f64()?,
        _ => device,
    })
}

#[cfg(not(feature = "gpu"))]
fn named(_: &str, _: Option<&str>) -> Result<Device, Failure> {
    Err(Failure::device(
        "this program was built without the feature gpu; use --device cpu",
    ))
}

/// How CSV files are read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reading CSV files")]
pub struct Csv {
    /// The character between fields: one character, or tab [default: ,]
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    pub delimiter: Option<u8>,
    /// Do not use this column; may be given several times
    #[arg(long, value_name = "COLUMN")]
    pub ignore: Vec<String>,
    /// The column with the weights of the rows
    #[arg(long, value_name = "COLUMN")]
    pub weights: Option<String>,
    /// Rows with an empty field, NA, null or ? in a column that is used: error, or drop them [default: error]
    #[arg(long, value_name = "RULE", value_parser = missing)]
    pub missing: Option<Missing>,
}

impl Csv {
    pub fn delimiter(&self) -> u8 {
        self.delimiter.unwrap_or(b',')
    }

    /// The options that were given, by name.
    pub fn given(&self) -> Vec<&'static str> {
        [
            ("--delimiter", self.delimiter.is_some()),
            ("--ignore", !self.ignore.is_empty()),
            ("--weights", self.weights.is_some()),
            ("--missing", self.missing.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect()
    }
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text {
        "tab" | "\\t" => Ok(b'\t'),
        _ => match text.as_bytes() {
            [one] if one.is_ascii() && !matches!(one, b'"' | b'\n' | b'\r' | 0) => Ok(*one),
            _ => Err("must be one ASCII character (not a quote), or tab".into()),
        },
    }
}

fn missing(text: &str) -> Result<Missing, String> {
    match text {
        "error" => Ok(Missing::Error),
        "drop" => Ok(Missing::Drop),
        _ => Err(format!("unknown rule '{text}'; known: error, drop")),
    }
}

/// A tolerance or a similar number: finite and not negative.
pub fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if v.is_finite() && v >= 0.0 => Ok(v),
        Ok(_) => Err("must be finite and not negative".into()),
        Err(_) => Err("must be a number".into()),
    }
}

/// Targets, row by row.
pub enum Known {
    Numbers(Vec<f64>),
    Classes(Vec<usize>),
}

/// The rows of a table that a model can be applied to.
pub struct Rows {
    pub x: Array2<f64>,
    pub target: Option<Known>,
    pub weights: Option<Vec<f64>>,
    pub lines: Vec<u64>,
    pub notes: Vec<String>,
}

/// The features of `model` in `table`, found by name, and its target, where the table has it whole.
pub fn rows(model: &Model, table: &Table, csv: &Csv, need_target: bool) -> Result<Rows, Failure> {
    let mut notes = Vec::new();
    let ignored: Vec<usize> = csv
        .ignore
        .iter()
        .map(|name| table.column(name))
        .collect::<Result<_, _>>()?;
    let columns: Vec<usize> = model
        .features
        .iter()
        .map(|name| table.column(name))
        .collect::<Result<_, _>>()?;
    if let Some(c) = ignored.iter().find(|c| columns.contains(c)) {
        let name = &table.names()[*c];
        return Err(Failure::usage(format!(
            "--ignore {name}: the model needs this column"
        )));
    }
    let weights = csv
        .weights
        .as_ref()
        .map(|name| table.column(name))
        .transpose()?;
    let target = match model.targets.as_slice() {
        [name] if need_target => Some(table.column(name)?),
        [name] => table.column(name).ok().filter(|c| !ignored.contains(c)),
        _ => None,
    };
    let used: Vec<usize> = columns.iter().copied().chain(weights).collect();
    let extra: Vec<&str> = (table.names().iter().enumerate())
        .filter(|(c, _)| !used.contains(c) && target != Some(*c) && !ignored.contains(c))
        .map(|(_, name)| name.as_str())
        .take(20)
        .collect();
    if !extra.is_empty() {
        notes.push(format!(
            "columns that the model does not use: {}",
            extra.join(", ")
        ));
    }
    let needed: Vec<usize> = match target {
        Some(target) if need_target => used.iter().copied().chain([target]).collect(),
        _ => used,
    };
    let (rows, dropped) = table.complete_rows(&needed, csv.missing.unwrap_or_default())?;
    if dropped > 0 {
        notes.push(format!("{dropped} rows with missing values were left out"));
    }
    // A target with gaps is to be predicted, not compared with.
    let target = target.filter(|&c| {
        let whole = table.complete_rows(&[c], Missing::Error).is_ok();
        if !whole && !need_target {
            notes.push(format!(
                "the target '{}' has missing values, so the predictions are not compared with it",
                table.names()[c]
            ));
        }
        whole || need_target
    });
    let target = match target {
        None => None,
        Some(c) if model.classes.is_empty() => Some(Known::Numbers(table.numbers(c, &rows)?)),
        Some(c) => Some(Known::Classes(table.class_index(
            c,
            &rows,
            &model.classes,
        )?)),
    };
    Ok(Rows {
        x: table.matrix(&columns, &rows)?,
        target,
        weights: weights.map(|c| table.weights(c, &rows)).transpose()?,
        lines: rows
            .iter()
            .filter_map(|&r| table.lines().get(r).copied())
            .collect(),
        notes,
    })
}

/// The targets as the loss takes them: standardised numbers, 0 or 1, or one indicator for each class.
pub fn encode(model: &Model, target: &Known) -> Result<Array2<f64>, Error> {
    Ok(match target {
        Known::Numbers(y) => {
            let y = Array2::from_shape_fn((y.len(), 1), |(i, _)| y[i]);
            model.standardization.targets(&y)?
        }
        Known::Classes(index) if matches!(model.loss, Loss::BinaryCrossEntropy) => {
            Array2::from_shape_fn((index.len(), 1), |(i, _)| index[i] as f64)
        }
        Known::Classes(index) => {
            Array2::from_shape_fn((index.len(), model.classes.len()), |(i, c)| {
                f64::from(u8::from(index[i] == c))
            })
        }
    })
}

/// The objective that the model was or will be fitted with, for these rows.
pub fn problem(
    model: &Model,
    x: &Array2<f64>,
    target: &Known,
    weights: Option<&[f64]>,
    device: Device,
) -> Result<Problem, Error> {
    let mut data = Data::new(model.standardization.inputs(x)?, encode(model, target)?)?;
    if let Some(weights) = weights {
        data = data.weighted(weights.to_vec())?;
    }
    Ok(
        Problem::new(model.network.clone(), data, model.loss.clone())?
            .penalty(model.penalty.clone())?
            .reduction(model.reduction)
            .on(device),
    )
}

/// The stem of a path with another extension, in the current folder.
pub fn here(path: &Path, extension: &str) -> PathBuf {
    let mut name = path
        .file_stem()
        .unwrap_or(OsStr::new("model"))
        .to_os_string();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}
