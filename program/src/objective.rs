//! The problem that a command is given: a problem file, or a model with a table.

use std::path::Path;

use clap::ArgMatches;
use secondo::io::{Model, ProblemFile, Unknown};
use secondo::{Device, Problem};

use crate::exit::Failure;
use crate::given::given;
use crate::output::{has_extension, say_note, unused_keys};
use crate::table::TableOptions;

/// A problem, the parameters that its file has, and the vectors of a problem file.
pub struct Given {
    pub problem: Problem,
    pub parameters: Vec<f64>,
    pub vectors: Vec<Vec<f64>>,
    /// The rows among these that the fit held out, if the table is that of the fit.
    pub held_out: usize,
}

/// The problem file at `source`, or the model there with the table `data`: the objective that it was fitted with, on all rows.
///
/// # Errors
/// Files that cannot be read, options of tables for a problem file.
pub fn load(
    source: &Path,
    data: Option<&Path>,
    options: &TableOptions,
    matches: &ArgMatches,
    device: Device,
) -> Result<Given, Failure> {
    match data {
        None if has_extension(source, "safetensors") => Err(Failure::usage(
            "a model needs a table, with the target: MODEL.safetensors DATA.csv",
        )),
        None => match given::<TableOptions>(matches).first() {
            Some(option) => Err(Failure::usage(format!(
                "{option} is for tables; a problem file holds its data"
            ))),
            None => problem_file(source, device),
        },
        Some(data) if has_extension(source, "json") => Err(Failure::usage(format!(
            "{} is a problem file and holds its data; leave out {}",
            source.display(),
            data.display()
        ))),
        Some(data) => model(source, data, options, device),
    }
}

fn problem_file(source: &Path, device: Device) -> Result<Given, Failure> {
    let file = ProblemFile::from_path(source)?;
    if !file.unused.is_empty() {
        say_note(&unused_keys(&file.unused));
    }
    Ok(Given {
        problem: file.problem.on(device),
        parameters: file.parameters,
        vectors: file.vectors,
        held_out: 0,
    })
}

fn model(
    source: &Path,
    data: &Path,
    options: &TableOptions,
    device: Device,
) -> Result<Given, Failure> {
    let model = Model::load(source)?;
    let table = options.open(data)?;
    let (rows, notes) = options.rows(&model, &table, Unknown::Error)?;
    notes.iter().for_each(|note| say_note(note));
    let count = rows.lines.len();
    let training = model.training.as_ref().filter(|training| training.rows == count);
    let held_out = training.map_or(0, |training| training.held_out.len());
    let problem = rows.problem(&model, device)?;
    Ok(Given { problem, parameters: model.free_parameters()?, vectors: Vec::new(), held_out })
}

/// The name of what weighs the rows of a model by numbers that are no counts, if something does.
pub fn uncounted(model: &Model) -> Option<&'static str> {
    match (&model.exposure, model.class_weights.is_empty()) {
        (Some(_), _) => Some("an exposure"),
        (None, false) => Some("weights of classes"),
        (None, true) => None,
    }
}
