//! `secondo check`.

use std::path::PathBuf;

use clap::{ArgMatches, Args};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use secondo::Device;
use secondo::verify::{Agreement, derivatives};

use crate::computing::start_threads;
use crate::exit::{Exit, Failure};
use crate::objective::load;
use crate::output::say;
use crate::table::TableOptions;

/// Compares value, gradient, Hessian and products of your own network with differences, and prints their digits
///
/// The references are predictions of single rows for the value, and central differences of order 8: of the objective for the gradient, of
/// the gradient for the Hessian and for its products with random vectors. All in f64 on the processor. 'digits' are those to which all entries agree,
/// of the largest; the reference has some 10 to 13 itself. At the minimum of a model the gradient is 0: there the parameters are
/// moved a little first, by up to a tenth, and always the same way for one seed. The exit code is 4 where anything
/// disagrees.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  secondo check problem.json
      at the parameters of a problem file
  secondo check diabetes.safetensors diabetes.csv --entries 100
      a fitted model with its table, a hundred parameters")]
pub struct Options {
    /// A problem file (.json) or a model (.safetensors)
    source: PathBuf,
    /// The table, for a model (with the target; a text file with a header, .parquet, .npy or .npz)
    data: Option<PathBuf>,
    /// Compare the derivatives in so many parameters, drawn at random; all where there are no more
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(1..))]
    entries: u32,
    /// The seed of what is drawn
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    #[command(flatten)]
    table: TableOptions,
}

pub fn run(options: &Options, matches: &ArgMatches) -> Result<(), Failure> {
    start_threads(None)?;
    let data = options.data.as_deref();
    let given = load(&options.source, data, &options.table, matches, Device::Cpu)?;
    let mut w = given.parameters;
    let mut text = format!("network    {}\n", given.problem.network());
    if data.is_some() {
        let mut random = Pcg64::seed_from_u64(options.seed ^ 0xc4ec_c4ec_c4ec_c4ec);
        w.iter_mut().for_each(|w| *w += 0.1 * w.abs().max(1.0) * random.random_range(-1.0..1.0));
        text += "point      near the model's parameters\n";
    }
    let found = derivatives(&given.problem, &w, options.entries as usize, options.seed)?;
    text += "\nquantity     entries   digits   reference's   agrees\n";
    for a in &found {
        let agrees = if a.agrees { "yes" } else { "no" };
        text += &format!(
            "{:<12}{:>8}{:>9.1}{:>14.1}{agrees:>9}\n",
            a.quantity, a.compared, a.digits, a.reference
        );
    }
    say(&text)?;
    match found.iter().find(|a| !a.agrees) {
        None => Ok(()),
        Some(wrong) => Err(Failure { exit: Exit::Numerical, message: disagreement(wrong) }),
    }
}

fn disagreement(wrong: &Agreement) -> String {
    let (at, given, expected) = &wrong.worst;
    let at = at.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    format!("{} ({at}) is {given:e}, and {expected:e} is expected", wrong.quantity)
}
