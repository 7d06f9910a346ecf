//! Cross-validation: the choice of network and penalty among candidates.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use secondo::io::{Dataset, Model, fill_gaps, impute};
use secondo::{Device, Error, Fit, Interrupt, Penalty, Problem, Reason, Reduction, silent};
use serde::{Deserialize, Serialize};

use super::division::{FOLDS, folds};
use super::hidden::HiddenLayer;
use super::loss::shifts;
use super::model::{Candidate, model, start};
use super::network::Architecture;
use super::options::Options;
use crate::exit::Failure;
use crate::metrics::Metrics;
use crate::output::{Text, plural};
use crate::signals::watch_interrupts;
use crate::table::Rows;
use crate::training::Several;

/// The most steps of a fit in a fold, ten times as many of L-BFGS, unless an option says otherwise: what is left then changes no choice,
/// and small penalties may go on for long.
const STEPS: usize = 100;

/// How well each candidate predicts rows that were held out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    pub folds: usize,
    #[serde(default = "once")]
    pub repeats: usize,
    /// The measure: of these the smallest mean is chosen.
    pub measure: String,
    pub candidates: Vec<Scored>,
    /// The index of the chosen one.
    pub chosen: usize,
}

fn once() -> usize {
    1
}

/// One candidate with the mean of the measure over all folds, and its standard error: that of one division into folds, for further
/// divisions of the same rows bring no new ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    pub ridge: f64,
    /// None where a file has the network.
    pub hidden: Option<Vec<HiddenLayer>>,
    pub activation: String,
    pub mean: f64,
    pub standard_error: f64,
}

/// The choice of a cross-validation.
pub struct Choice {
    pub validation: Validation,
    /// The index of the chosen one among all candidates, also those whose fit failed.
    pub candidate: usize,
    /// Which failed, and why.
    pub warnings: Vec<String>,
}

/// The measure on held-out rows, and its name.
pub type Score = (f64, &'static str);

/// The limits of a fit: its time, and a signal.
pub type Limits<'a> = (Option<Duration>, &'a Interrupt);

/// The measure, and whether a limit ended the fit.
pub type Judged = Result<(Score, bool), Failure>;

/// Judges a candidate in a division and a fold of it.
pub type Run<'a> = dyn Fn(&Candidate, [usize; 2], Limits) -> Judged + Sync + 'a;

/// The parts of the cross-validation, and how often rows are divided; none where there is nothing to choose or to judge.
pub fn parts(options: &Options, candidates: &[Candidate]) -> Option<(usize, usize)> {
    let division = &options.division;
    let count = match division.cv {
        None if candidates.len() < 2 => return None,
        count => count.map_or(FOLDS, usize::from),
    };
    Some((count, usize::from(division.repeats.unwrap_or(1))))
}

/// The seed of a division into folds.
pub fn seed_of(options: &Options, repeat: usize) -> u64 {
    options.starts.seed().wrapping_add((repeat as u64) << 32)
}

/// The candidates on the rows to train with, where `--cv` is given or there are several. Those of which a fit fails are left out.
///
/// # Errors
/// Fewer rows than folds; an interruption; the first failure where each candidate fails.
pub fn validate(
    options: &Options,
    data: &Dataset,
    all: &Rows,
    rows: &[usize],
    candidates: &[Candidate],
) -> Result<Option<Choice>, Failure> {
    let Some((count, repeats)) = parts(options, candidates) else {
        return Ok(None);
    };
    let parts: Vec<Vec<usize>> = (0..repeats)
        .map(|repeat| folds(data, rows, count, seed_of(options, repeat)))
        .collect::<Result<_, _>>()?;
    let run = |candidate: &Candidate, [repeat, fold]: [usize; 2], limits: Limits| {
        let of = |held: bool| -> Vec<usize> {
            let places = rows.iter().zip(&parts[repeat]);
            places.filter(|(_, part)| (**part == fold) == held).map(|(row, _)| *row).collect()
        };
        let [mut kept, mut held] = [false, true].map(|is_held| all.of(&of(is_held)));
        let mut columns = data.columns.clone();
        impute(&mut columns, &mut kept.x, kept.weights.as_deref())?;
        fill_gaps(&columns, &mut held.x)?;
        score(options, data, candidate, [&kept, &held], limits)
    };
    choose(options, candidates, [count, repeats], rayon::current_num_threads(), &run)
}

/// The best of the candidates by a measure that `run` has of each, in each division and fold, with whether a limit ended the fit. So many run side by
/// side.
///
/// # Errors
/// As of [`validate`].
pub fn choose(
    options: &Options,
    candidates: &[Candidate],
    [count, repeats]: [usize; 2],
    beside: usize,
    run: &Run,
) -> Result<Option<Choice>, Failure> {
    let runs: Vec<(&Candidate, usize, usize)> = candidates
        .iter()
        .flat_map(|c| (0..repeats).flat_map(move |r| (0..count).map(move |f| (c, r, f))))
        .collect();
    // Half of the time is for the choice, the other half for the fit. Each fit has its share of what those before have left.
    let half = |seconds: f64| Duration::try_from_secs_f64(0.5 * seconds).ok();
    let end = (options.method.time_limit)
        .and_then(half)
        .and_then(|half| Instant::now().checked_add(half));
    let (begun, cut) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let limit = || {
        let left = runs.len() - begun.fetch_add(1, Ordering::Relaxed);
        let rounds = left.div_ceil(beside) as u32;
        end.map(|end| end.saturating_duration_since(Instant::now()) / rounds.max(1))
    };
    let interrupt = Interrupt::default();
    let stop = watch_interrupts(!options.quiet, &interrupt);
    let progress = Several::new(!options.quiet, runs.len(), "fits of the cross-validation");
    let scored = |&(candidate, repeat, fold): &(&Candidate, usize, usize)| {
        let limits = (limit(), &interrupt);
        let scored = run(candidate, [repeat, fold], limits);
        progress.one_more();
        let (scored, is_cut) = scored?;
        cut.fetch_add(usize::from(is_cut), Ordering::Relaxed);
        Ok(scored)
    };
    let scores: Vec<Result<Score, Failure>> = if beside > 1 {
        runs.par_iter().map(scored).collect()
    } else {
        runs.iter().map(scored).collect()
    };
    drop(progress);
    if let Some(signal) = stop.caught() {
        let message = "interrupted in the cross-validation: nothing was fitted and no file is written; --ridge 1 skips this choice";
        return Err(Failure { message: message.into(), ..Failure::interrupted(signal) });
    }
    let (mut scored, mut places, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    let (cut, all) = (cut.into_inner(), runs.len());
    if cut > 0 {
        warnings.push(format!(
            "the time limit ended {cut} of the {all} fits of the cross-validation, so that it compares fits that are not finished; a longer \
             --time-limit, --starts 1, fewer candidates, or --ridge 1 without a choice would help"
        ));
    }
    let (mut measure, mut failure) = ("", None);
    let mut scores = scores.into_iter();
    for (place, candidate) in candidates.iter().enumerate() {
        let own: Vec<_> = scores.by_ref().take(count * repeats).collect();
        match own.into_iter().collect::<Result<Vec<Score>, Failure>>() {
            Ok(scores) => {
                measure = scores.first().map_or(measure, |(_, measure)| measure);
                scored.push(Scored::of(candidate, &scores, count));
                places.push(place);
            }
            Err(failed) => {
                let (of, why) = (Architecture::of(&candidate.network), &failed.message);
                warnings.push(format!(
                    "a fit with {of} and ridge {} failed, which is left out: {why}",
                    candidate.ridge
                ));
                failure.get_or_insert(failed);
            }
        }
    }
    let best = (scored.iter().enumerate()).min_by(|a, b| a.1.mean.total_cmp(&b.1.mean));
    let Some((chosen, _)) = best else {
        return failure.map_or(Ok(None), Err);
    };
    let measure = measure.into();
    let candidate = places[chosen];
    let validation = Validation { folds: count, repeats, measure, candidates: scored, chosen };
    Ok(Some(Choice { validation, candidate, warnings }))
}

impl Scored {
    fn of(candidate: &Candidate, scores: &[Score], folds: usize) -> Self {
        let architecture = Architecture::of(&candidate.network);
        Scored {
            ridge: candidate.ridge,
            hidden: architecture.hidden,
            activation: architecture.activation,
            mean: scores.iter().map(|(v, _)| v / scores.len() as f64).sum(),
            standard_error: standard_error(scores, folds),
        }
    }

    /// Hidden layers and their activation as the options take them.
    fn network(&self) -> String {
        let hidden = format!("hidden {}", in_words(self.hidden.as_deref()));
        let mut layers = self.hidden.iter().flatten();
        let is_activated = layers.any(|layer| layer.form.is_none());
        if is_activated { format!("{hidden}, activation {}", self.activation) } else { hidden }
    }
}

/// √(s²/K), with the mean of the variances s² of the K folds of each division.
fn standard_error(scores: &[Score], folds: usize) -> f64 {
    let variance = |division: &[Score]| {
        let n = division.len() as f64;
        let mean = division.iter().map(|(v, _)| v / n).sum::<f64>();
        division.iter().map(|(v, _)| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)
    };
    let divisions = scores.chunks(folds);
    let count = divisions.len() as f64;
    (divisions.map(variance).sum::<f64>() / count / folds as f64).sqrt()
}

/// The measure of the held rows after the fits of the kept ones, of which that with the lowest objective counts, and whether the limit
/// ended that.
fn score(
    options: &Options,
    data: &Dataset,
    candidate: &Candidate,
    [kept, held]: [&Rows; 2],
    limits: Limits,
) -> Judged {
    let (model, _) = model(options, data, candidate, kept)?;
    let problem = kept.problem(&model, Device::cpu())?;
    let rule = options.starts.rule(&candidate.network);
    let starts = options.starts.seeds(candidate.starts);
    let starts =
        starts.map(|seed| start(&model, &problem, rule, seed)).collect::<Result<_, _>>()?;
    let fit = lowest(options, problem, starts, limits)?;
    let model = model.with_free_parameters(&fit.w)?;
    Ok((measure(model, held)?, fit.reason == Reason::Time))
}

/// The fit with the lowest objective of those from all starts, each of no more than so many steps.
pub fn lowest(
    options: &Options,
    problem: Problem,
    starts: Vec<Vec<f64>>,
    (limit, interrupt): Limits,
) -> Result<Fit, Failure> {
    let problem = problem.interrupted_by(interrupt.clone());
    let method = options.method.shortened(STEPS);
    let end = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut ends = Vec::with_capacity(starts.len());
    for (done, start) in starts.iter().enumerate() {
        let left = (starts.len() - done) as u32;
        let limit = end.map(|end| end.saturating_duration_since(Instant::now()) / left);
        ends.push(method.solver(limit).fit(&problem, start, &mut silent));
    }
    // Of those that failed none is the lowest, unless all did.
    let value = |end: &Result<Fit, Error>| end.as_ref().map_or(f64::NAN, |fit| fit.value);
    let best = ends.into_iter().min_by(|a, b| value(a).total_cmp(&value(b)));
    Ok(best.ok_or_else(|| Failure::usage("there is nothing to start from"))??)
}

/// The figure by which models are compared: as the objective weighs rows and classes, without the penalty.
fn measure(mut model: Model, held: &Rows) -> Result<Score, Failure> {
    let mut weighted = held.clone();
    if !model.classes.is_empty() {
        weighted.weights = held.in_objective(&model);
    }
    Ok(match Metrics::of(&model, &weighted)? {
        Some(Metrics::Classification { log_loss, .. }) => (log_loss, "log loss"),
        // Several targets may have different units.
        Some(Metrics::Regression { rmse, .. })
            if shifts(&model.loss) && model.targets.len() == 1 =>
        {
            (rmse, "RMSE")
        }
        _ => {
            model.penalty = Penalty::None;
            model.reduction = Reduction::Mean;
            let problem = held.problem(&model, Device::cpu())?;
            (problem.objective(&model.free_parameters()?)?, "mean loss")
        }
    })
}

impl Validation {
    /// The best penalty of the linear models among the candidates.
    pub fn linear_ridge(&self) -> Option<f64> {
        let is_linear = |c: &&Scored| c.hidden.as_ref().is_some_and(Vec::is_empty);
        best(self.candidates.iter().filter(is_linear)).map(|c| c.ridge)
    }

    /// A line for each penalty of the one network, or for the best penalty of each of several.
    pub fn introduction(&self, text: &mut Text) {
        let (folds, measure) = (self.folds, &self.measure);
        let repeated = match self.repeats {
            1 => String::new(),
            repeats => format!(", {}", plural(repeats, "time")),
        };
        let title = if self.candidates.len() > 1 { "chosen by" } else { "judged by" };
        text.line(
            title,
            format!("{folds}-fold cross-validation{repeated}, {measure} of the held-out rows:"),
        );
        let mut networks: Vec<Vec<&Scored>> = Vec::new();
        for candidate in &self.candidates {
            match networks.iter_mut().find(|of| of[0].network() == candidate.network()) {
                Some(of) => of.push(candidate),
                None => networks.push(vec![candidate]),
            }
        }
        let are_several = networks.len() > 1;
        let shown: Vec<(&Scored, usize)> = if are_several {
            (networks.iter()).filter_map(|of| Some((best(of.iter().copied())?, of.len()))).collect()
        } else {
            self.candidates.iter().map(|candidate| (candidate, 1)).collect()
        };
        let chosen = self.candidates.get(self.chosen).filter(|_| self.candidates.len() > 1);
        for (candidate, of) in shown {
            let Scored { ridge, mean, standard_error, .. } = candidate;
            let network = if are_several { candidate.network() + ", " } else { String::new() };
            let of = if of > 1 { format!(" (best of {of} penalties)") } else { String::new() };
            let is_chosen = chosen.is_some_and(|chosen| std::ptr::eq(chosen, candidate));
            let chosen = if is_chosen { ", chosen" } else { "" };
            text.line(
                "",
                format!("{network}ridge {ridge}{of}: {mean:.6} ± {standard_error:.6}{chosen}"),
            );
        }
    }
}

/// The candidate with the smallest mean.
fn best<'a>(candidates: impl Iterator<Item = &'a Scored>) -> Option<&'a Scored> {
    candidates.min_by(|a, b| a.mean.total_cmp(&b.mean))
}

/// Hidden layers as `--hidden` takes them.
fn in_words(hidden: Option<&[HiddenLayer]>) -> String {
    match hidden {
        None => "of the file".into(),
        Some([]) => "none".into(),
        Some(layers) => layers.iter().map(HiddenLayer::in_words).collect::<Vec<_>>().join(","),
    }
}
