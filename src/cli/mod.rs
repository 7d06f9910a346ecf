//! The commands, their options and exit codes.

#[cfg(feature = "gpu")]
mod adapters;
mod common;
mod derivatives;
mod fit;
mod metrics;
mod npz;
mod output;
mod plot;
mod predict;
mod training;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use secondo::{Error, Quantity};

use output::say_error;

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
  secondo adapters
      the GPUs of this machine, each tested

'secondo COMMAND --help' explains a command with more examples.

Exit codes: 0 done (the report says whether it converged), 2 bad input or usage, 3 device or
resources, 4 numerical failure without a usable point, 130 interrupted: Ctrl-C ends a fit at its
best point, which is written; a second one ends at once. When the input is bad, no file is written.")]
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
    Derivatives(derivatives::Options),
    #[cfg(feature = "gpu")]
    Adapters(adapters::Options),
}

/// Why a command failed: what to say, and the exit code.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Bad input or usage.
    fn usage(message: impl Into<String>) -> Self {
        Failure {
            code: 2,
            message: message.into(),
        }
    }

    /// A device or a resource is missing.
    fn device(message: impl Into<String>) -> Self {
        Failure {
            code: 3,
            message: message.into(),
        }
    }

    /// Ctrl-C, after everything was written and said.
    fn interrupted() -> Self {
        Failure {
            code: 130,
            message: String::new(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Memory { .. } | Error::Gpu { .. } => 3,
            Error::Numerical { .. } | Error::NotPositiveDefinite { .. } => 4,
            Error::NonFinite {
                what: Quantity::Objective | Quantity::Gradient | Quantity::Curvature,
                ..
            } => 4,
            _ => 2,
        };
        Failure {
            code,
            message: error.to_string(),
        }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are no failure. A closed pipe is none either.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = match cli.command {
        Command::Fit(options) => fit::run(&options),
        Command::Predict(options) => predict::run(&options),
        Command::Derivatives(options) => derivatives::run(&options),
        #[cfg(feature = "gpu")]
        Command::Adapters(options) => adapters::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                say_error(&failure.message);
            }
            ExitCode::from(failure.code)
        }
    }
}
