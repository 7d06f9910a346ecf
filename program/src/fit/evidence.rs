//! The penalty of the largest evidence.

use rayon::prelude::*;
use secondo::inference::{Alpha, Evidence, Maximized, Names, Sharing};
use secondo::{Device, Error, Problem};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::options::Options;
use crate::exit::Failure;
use crate::inference::evidence::group;
use crate::training::Start;

/// The penalty that the evidence found, with what it tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvidenceFacts {
    /// Which parameters share an α.
    pub alpha_by: String,
    /// α, where all share one.
    pub alpha: Option<f64>,
    pub beta: f64,
    /// The number of parameters that the data determine.
    pub gamma: f64,
    pub log_evidence: f64,
    pub log_symmetry: f64,
    pub cycles: usize,
    pub converged: bool,
    /// Whether the evidence fell at the end, and the cycle where it was largest was kept.
    pub fell: bool,
    /// The starts that came to an end, of how many.
    pub starts: [usize; 2],
    /// α and γ of each group of parameters.
    pub groups: Vec<Value>,
}

/// Refuses options that exclude a penalty by the evidence.
pub fn check(options: &Options) -> Result<(), Failure> {
    if options.division.cv.is_some() || options.leave_a_choice() {
        return Err(Failure::usage(
            "--cv, and several values of an option, choose among fits; --ridge evidence finds the penalty of one",
        ));
    }
    if options.division.stops_early() {
        return Err(Failure::usage(
            "early stopping takes the place of a penalty; --ridge evidence finds one: leave out one of them",
        ));
    }
    if options.objective.ridge_bias == Some(false) {
        return Err(Failure::usage(
            "--ridge evidence needs a penalty on all parameters; leave out --ridge-bias",
        ));
    }
    if options.objective.mean {
        return Err(Failure::usage(
            "--ridge evidence is for the sum of the losses; leave out --mean",
        ));
    }
    Ok(())
}

/// Re-estimates the penalty from every start, and keeps the end with the largest evidence: the facts, the seed and the end.
///
/// # Errors
/// No start comes to an end, and then why the first did not.
pub fn maximize(
    problem: &Problem,
    names: &Names,
    starts: &[Start],
    sharing: Sharing,
) -> Result<(EvidenceFacts, Option<u64>, Maximized), Failure> {
    let evidence = Evidence { sharing, ..Evidence::default() };
    let on_processor = problem.clone().on(Device::Cpu);
    let run = |(seed, w): &Start| evidence.maximize(&on_processor, w).map(|done| (*seed, done));
    let ends: Vec<Result<(Option<u64>, Maximized), Error>> = starts.par_iter().map(run).collect();
    let ended = ends.iter().filter(|end| end.is_ok()).count();
    let log = |end: &(Option<u64>, Maximized)| end.1.laplace.log_evidence;
    let mut failure = None;
    let mut best: Option<(Option<u64>, Maximized)> = None;
    for end in ends {
        match end {
            Ok(end) if best.as_ref().is_none_or(|b| log(b) < log(&end)) => best = Some(end),
            Ok(_) => {}
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    let Some((seed, done)) = best else {
        let none = || Failure::usage("there is nothing to start from");
        return Err(failure.map_or_else(none, Failure::from));
    };
    let laplace = &done.laplace;
    let facts = EvidenceFacts {
        alpha_by: sharing.name().into(),
        alpha: match laplace.alpha {
            Alpha::One(alpha) => Some(alpha),
            Alpha::Each(_) => None,
        },
        beta: laplace.beta,
        gamma: laplace.gamma,
        log_evidence: laplace.log_evidence,
        log_symmetry: laplace.log_symmetry,
        cycles: done.cycles.len(),
        converged: done.converged,
        fell: done.fell,
        starts: [ended, starts.len()],
        groups: done.groups.iter().map(|g| group(names, problem.network(), g)).collect(),
    };
    Ok((facts, seed, done))
}
