//! Cross-validation: the choice of the penalty among several.

use std::time::Duration;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use rayon::prelude::*;
use secondo::io::{Dataset, Target};
use secondo::{Device, Penalty, Reduction, silent};

use super::loss::shifts;
use super::model::{model, start};
use super::options::Options;
use super::report::{Factor, Validation};
use crate::exit::Failure;
use crate::metrics::Metrics;
use crate::table::Rows;

/// The penalties on the rows to train with, where `--cv` or several of them are given.
///
/// # Errors
/// Fewer rows than folds; a fit that fails.
pub fn validate(
    options: &Options,
    data: &Dataset,
    target: &str,
    rows: &[usize],
) -> Result<Option<Validation>, Failure> {
    let factors = options.objective.factors();
    let folds = match options.target.cv {
        None if factors.len() < 2 => return Ok(None),
        folds => usize::from(folds.unwrap_or(5)),
    };
    if rows.len() < 2 * folds {
        return Err(Failure::usage(format!(
            "{folds} folds need {} rows to train with, and there are {}",
            2 * folds,
            rows.len()
        )));
    }
    let parts = parts(data, rows, folds, options.starts.seed());
    let runs: Vec<(f64, usize)> =
        factors.iter().flat_map(|&ridge| (0..folds).map(move |fold| (ridge, fold))).collect();
    // Half of the time is for the choice, the other half for the fit.
    let rounds = runs.len().div_ceil(rayon::current_num_threads());
    let limit = (options.method.time_limit)
        .and_then(|seconds| Duration::try_from_secs_f64(0.5 * seconds / rounds as f64).ok());
    let scores: Vec<(f64, &'static str)> = (runs.par_iter())
        .map(|&(ridge, fold)| {
            let kept: Vec<usize> = rows
                .iter()
                .zip(&parts)
                .filter(|(_, part)| **part != fold)
                .map(|(r, _)| *r)
                .collect();
            let held: Vec<usize> = rows
                .iter()
                .zip(&parts)
                .filter(|(_, part)| **part == fold)
                .map(|(r, _)| *r)
                .collect();
            score(options, data, target, ridge, [&kept, &held], limit)
        })
        .collect::<Result<_, Failure>>()?;
    let n = folds as f64;
    let factors: Vec<Factor> = (factors.iter().zip(scores.chunks(folds)))
        .map(|(&ridge, scores)| {
            let mean = scores.iter().map(|(v, _)| v / n).sum::<f64>();
            let variance = scores.iter().map(|(v, _)| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
            Factor { ridge, mean, standard_error: (variance / n).sqrt() }
        })
        .collect();
    let best = factors.iter().min_by(|a, b| a.mean.total_cmp(&b.mean));
    Ok(Some(Validation {
        folds,
        measure: scores.first().map_or("", |(_, measure)| measure).into(),
        chosen: best.map_or(1.0, |best| best.ridge),
        factors,
    }))
}

/// The part of each row, classes dealt one by one.
fn parts(data: &Dataset, rows: &[usize], folds: usize, seed: u64) -> Vec<usize> {
    // Another stream than those of the hold-out and of the starts.
    let mut rng = Pcg64::seed_from_u64(seed ^ 0xf01d_f01d_f01d_f01d);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.shuffle(&mut rng);
    if let Target::Classes { index, .. } = &data.target {
        order.sort_by_key(|&at| index[rows[at]]);
    }
    let mut parts = vec![0; rows.len()];
    for (place, at) in order.into_iter().enumerate() {
        parts[at] = place % folds;
    }
    parts
}

/// The measure of the held rows after a fit of the kept ones.
fn score(
    options: &Options,
    data: &Dataset,
    target: &str,
    ridge: f64,
    [kept, held]: [&[usize]; 2],
    limit: Option<Duration>,
) -> Result<(f64, &'static str), Failure> {
    let (mut model, _) = model(options, data, target, kept, ridge)?;
    let (kept, held) = (Rows::of(data, kept), Rows::of(data, held));
    let problem = kept.problem(&model, Device::cpu())?;
    let seed = options.starts.seed();
    let start = start(&problem, options.starts.rule(&options.network), seed)?;
    model.weights = options.method.solver(limit).fit(&problem, &start, &mut silent)?.w;
    Ok(match Metrics::of(&model, &held)? {
        Some(Metrics::Classification { log_loss, .. }) => (log_loss, "log loss"),
        Some(Metrics::Regression { rmse, .. }) if shifts(&model.loss) => (rmse, "RMSE"),
        _ => {
            model.penalty = Penalty::None;
            model.reduction = Reduction::Mean;
            let problem = held.problem(&model, Device::cpu())?;
            (problem.objective(&model.weights)?, "mean loss")
        }
    })
}
