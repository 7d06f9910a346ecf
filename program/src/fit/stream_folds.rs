//! Cross-validation of a table whose rows are read as they are needed: folds by a hash of the rows' numbers.

use secondo::io::{Dataset, Model};
use secondo::{Device, Loss, Reason, Samples};

use super::data::with_mean_loss;
use super::loss::shifts;
use super::model::Candidate;
use super::options::Options;
use super::part::Part;
use super::spread::Spread;
use super::stream_source::{Source, Starts, model_of, problem_of};
use super::validation::{Choice, Judged, Limits, Score, choose, lowest, parts, seed_of};
use crate::exit::Failure;
use crate::metrics::Metrics;

/// The rows of a fold and those without it, with what is learnt from the latter.
struct Fold {
    kept: Part,
    held: Part,
    spread: Spread,
}

/// The candidates on the rows to train with, where `--cv` is given or there are several; their fits run one after the other.
///
/// # Errors
/// Those of [`choose`]; a fold without rows.
pub fn validate(
    source: &Source,
    data: &Dataset,
    train: &Part,
    loss: &Loss,
    candidates: &[Candidate],
) -> Result<Option<Choice>, Failure> {
    let options = source.options;
    let Some((count, repeats)) = parts(options, candidates) else {
        return Ok(None);
    };
    if options.mpi {
        return Err(Failure::usage(
            "--mpi shares one fit: give one network and one --ridge, and leave --cv out",
        ));
    }
    let mut folds = Vec::with_capacity(count * repeats);
    for repeat in 0..repeats {
        for [mut kept, mut held] in train.folds(count, seed_of(options, repeat))? {
            if kept.rows() == 0 || held.rows() == 0 {
                return Err(Failure::usage(format!(
                    "one of {count} folds has no row; there are {} to train with",
                    train.rows()
                )));
            }
            let mut columns = data.columns.clone();
            source.fill(&mut columns, [&mut kept, &mut held])?;
            let spread = Spread::of(&kept, data, loss, source.classes())?;
            folds.push(Fold { kept, held, spread });
        }
    }
    let run = |candidate: &Candidate, [repeat, fold]: [usize; 2], limits: Limits| {
        score(options, data, candidate, &folds[repeat * count + fold], limits)
    };
    choose(options, candidates, [count, repeats], 1, &run)
}

/// The measure of the held rows after the fits of the kept ones, and whether the limit ended the best of these.
fn score(
    options: &Options,
    data: &Dataset,
    candidate: &Candidate,
    fold: &Fold,
    limits: Limits,
) -> Judged {
    let model = model_of(options, data, &fold.spread, candidate)?;
    let problem = problem_of(&model, &fold.kept, Device::cpu())?;
    let from = Starts::of(options, candidate, &model, &fold.spread)?;
    let starts = options.starts.seeds(candidate.starts);
    let starts = starts.map(|seed| from.with(seed)).collect::<Result<_, _>>()?;
    let fit = lowest(options, problem, starts, limits)?;
    let model = model.with_free_parameters(&fit.w)?;
    Ok((measure(&model, &fold.held)?, fit.reason == Reason::Time))
}

/// The figure by which models are compared: as the objective weighs rows and classes, without the penalty.
fn measure(model: &Model, held: &Part) -> Result<Score, Failure> {
    if model.classes.is_empty()
        && shifts(&model.loss)
        && model.targets.len() == 1
        && let Some(Metrics::Regression { rmse, .. }) = held.metrics(model)?
    {
        return Ok((rmse, "RMSE"));
    }
    let problem = problem_of(&with_mean_loss(model), held, Device::cpu())?;
    let name = if model.classes.is_empty() { "mean loss" } else { "log loss" };
    Ok((problem.objective(&model.free_parameters()?)?, name))
}
