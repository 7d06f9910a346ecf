//! How the program ends: its exit codes, and what it says on a failure.

use std::process::ExitCode;

use secondo::{Error, Quantity, legible};

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The work is done; the report of a fit says whether it converged.
    Done,
    /// Bad input or usage, and no file was written; or a file cannot be written.
    Usage,
    /// A device is missing or failed, or memory or threads do not suffice.
    Resources,
    /// A numerical failure without a usable point.
    Numerical,
    /// A signal of this number ended a fit at its best point, which was written.
    Interrupted(u8),
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Usage => 2,
            Exit::Resources => 3,
            Exit::Numerical => 4,
            Exit::Interrupted(signal) => 128 + signal,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Why a command failed: what to say, and how to exit.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl Failure {
    /// Bad input or usage.
    pub fn usage(message: impl Into<String>) -> Self {
        let message: String = message.into();
        // Names in it may be anything; the messages of the library are legible already.
        Failure { exit: Exit::Usage, message: legible(&message).into_owned() }
    }

    /// A device or a resource is missing.
    pub fn resources(message: impl Into<String>) -> Self {
        Failure { exit: Exit::Resources, message: message.into() }
    }

    /// A failure that was said already.
    pub fn said() -> Self {
        Failure { exit: Exit::Usage, message: String::new() }
    }

    /// An interruption by a signal, after everything was written and said.
    pub fn interrupted(signal: u8) -> Self {
        Failure { exit: Exit::Interrupted(signal), message: String::new() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::Memory { .. } | Error::Gpu { .. } | Error::Rank { .. } => Exit::Resources,
            Error::Numerical { .. } | Error::NotPositiveDefinite { .. } => Exit::Numerical,
            Error::NonFinite {
                what: Quantity::Objective | Quantity::Gradient | Quantity::Curvature,
                ..
            } => Exit::Numerical,
            _ => Exit::Usage,
        };
        Failure { exit, message: error.to_string() }
    }
}
