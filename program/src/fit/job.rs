//! The start and the outcome of a fit.

use std::time::Duration;

use secondo::io::Model;
use secondo::{Error, Problem};

use super::report::{Objective, Subject};
use crate::training::Start;

/// A fit that is ready to begin.
pub struct Job {
    pub subject: Subject,
    pub objective: Objective,
    pub problem: Problem,
    /// The problem of the validation rows, and the patience, where the fit is to end early.
    pub validation: Option<(Problem, usize)>,
    pub starts: Vec<Start>,
    pub warnings: Vec<String>,
    /// The time for reading, and for the choice among candidates.
    pub reading: Duration,
    pub choosing: Duration,
}

/// The outcome of a fit.
pub struct Ended {
    pub subject: Subject,
    /// The parameters of the network.
    pub weights: Vec<f64>,
    /// None where a model cannot hold the problem.
    pub model: Result<Model, Error>,
    pub notes: Vec<String>,
}
