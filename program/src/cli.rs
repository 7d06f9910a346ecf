//! The commands, their options and exit codes.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

#[cfg(feature = "gpu")]
use crate::adapters;
use crate::exit::Exit;
use crate::inference::{evidence, infer, prune};
use crate::output::say_error;
use crate::{checking, derivatives, fit, predict, replot, signals};

/// Trains feed-forward networks by Newton steps and computes their exact derivatives
///
/// A network is fitted to a table (CSV with a header), stored in one file, and used to predict from other tables.
/// Gradients and second derivatives are exact, not approximated by differences.
#[derive(Debug, Parser)]
#[command(
    name = "secondo",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
Examples:
  secondo fit diabetes.csv --target progression
      trains a network; writes diabetes.safetensors
  secondo predict diabetes.safetensors new.csv
      predicts for the rows of another table
  secondo derivatives problem.json --output out.json
      value, gradient and curvature of a problem file
  secondo infer diabetes.safetensors diabetes.csv
      standard errors, tests and effects of a fit; 'prune' and 'evidence' go on from there
  secondo adapters
      the GPUs of this machine, each tested

'secondo COMMAND --help' explains a command with more examples.

Exit codes: 0 done (the report says whether it converged), 2 bad input or usage, or a file that
cannot be written, 3 device or resources, 4 numerical failure without a usable point, 128 and the
number of the signal where one interrupts: SIGINT (Ctrl-C) 130, SIGTERM 143, SIGHUP 129 end a fit
at its best point, which is written; a second one ends at once. When the input is bad, no file is
written. Files that this program did not write are never replaced.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// One value per run: the size of the largest variant does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Subcommand)]
enum Command {
    Fit(fit::Options),
    Predict(predict::Options),
    Plot(replot::Options),
    Derivatives(derivatives::Options),
    Check(checking::Options),
    Infer(infer::Options),
    Prune(prune::Options),
    Evidence(evidence::Options),
    #[cfg(feature = "gpu")]
    Adapters(adapters::Options),
}

/// The commands; `infer` prints the network's weights by the name that others have for the column of the rows' weights.
fn command() -> clap::Command {
    let column = |arg: clap::Arg| arg.long("weights-column");
    Cli::command().mut_subcommand("infer", |infer| infer.mut_arg("weights", column))
}

/// Runs the program.
pub fn main() -> ExitCode {
    signals::keep_results();
    let parsed = (command().try_get_matches())
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version go to stdout and are no failure. A closed pipe is none either.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let matches = matches.subcommand().map_or(&matches, |(_, matches)| matches);
    let done = match cli.command {
        Command::Fit(options) => fit::run(&options, matches),
        Command::Predict(options) => predict::run(&options),
        Command::Plot(options) => replot::run(&options),
        Command::Derivatives(options) => derivatives::run(&options, matches),
        Command::Check(options) => checking::run(&options, matches),
        Command::Infer(options) => infer::run(&options, matches),
        Command::Prune(options) => prune::run(&options, matches),
        Command::Evidence(options) => evidence::run(&options, matches),
        #[cfg(feature = "gpu")]
        Command::Adapters(options) => adapters::run(&options),
    };
    match done {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            if !failure.message.is_empty() {
                say_error(&failure.message);
            }
            failure.exit.into()
        }
    }
}
