//! How the program ends: its exit codes, and what it says on a failure.

use std::process::ExitCode;

use secondo::{Error, Quantity};

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The work is done; the report of a fit says whether it converged.
    Done = 0,
    /// Bad input or usage; no file was written.
    Usage = 2,
    /// A device is missing or failed, or memory or threads do not suffice.
    Resources = 3,
    /// A numerical failure without a usable point.
    Numerical = 4,
    /// Ctrl-C or SIGTERM ended a fit at its best point, which was written.
    Interrupted = 130,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        self as u8
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
        Failure { exit: Exit::Usage, message: message.into() }
    }

    /// A device or a resource is missing.
    pub fn resources(message: impl Into<String>) -> Self {
        Failure { exit: Exit::Resources, message: message.into() }
    }

    /// A failure that was said already.
    pub fn said() -> Self {
        Failure { exit: Exit::Usage, message: String::new() }
    }

    /// An interruption, after everything was written and said.
    pub fn interrupted() -> Self {
        Failure { exit: Exit::Interrupted, message: String::new() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::Memory { .. } | Error::Gpu { .. } => Exit::Resources,
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
