//! The fits from one or several starts.

mod keeper;
mod options;
mod trace;
mod watch;

use std::time::{Duration, Instant};

use secondo::io::{Checkpoint, Fingerprint};
use secondo::{Control, Error, Fit, Problem, Progress, Reason, State};
use serde_json::{Map, json};

use crate::exit::Failure;
use crate::output::say_note;
use crate::signals::{Interrupts, watch_interrupts};
use keeper::Keeper;
pub use options::{Method, curvature, not_negative};
pub use trace::Trace;
use watch::{Lines, message, progress_bar};

/// The seed of a start, `None` where its parameters were given, and the parameters.
pub type Start = (Option<u64>, Vec<f64>);

/// One start and where it led.
pub struct Attempt {
    pub seed: Option<u64>,
    pub end: Result<Fit, Error>,
    pub trace: Trace,
}

/// The ends of all starts.
pub struct Trained {
    pub attempts: Vec<Attempt>,
    /// Starts that were not begun because the time was up or the user interrupted.
    pub skipped: usize,
    /// The signal that ended it, if one did.
    pub interrupted: Option<u8>,
}

impl Trained {
    /// The start with the lowest objective.
    ///
    /// # Errors
    /// No start came to an end; the first error says why.
    pub fn best(&self) -> Result<(usize, &Fit), Failure> {
        let ends = self.attempts.iter().enumerate();
        let best = ends
            .filter_map(|(i, attempt)| Some((i, attempt.end.as_ref().ok()?)))
            .min_by(|a, b| a.1.value.total_cmp(&b.1.value));
        let failed = || self.attempts.iter().find_map(|a| a.end.as_ref().err());
        best.ok_or_else(|| match (self.interrupted, failed()) {
            (Some(signal), Some(error)) => {
                Failure { message: error.to_string(), ..Failure::interrupted(signal) }
            }
            (_, Some(error)) => error.clone().into(),
            (_, None) => Failure::usage("there is nothing to start from"),
        })
    }

    /// The end of a command whose results are written.
    ///
    /// # Errors
    /// The exit code of an interruption where there was one.
    pub fn done(&self) -> Result<(), Failure> {
        self.interrupted.map_or(Ok(()), |signal| Err(Failure::interrupted(signal)))
    }
}

/// One run of `train`: what all its starts share.
struct Run<'a> {
    problem: &'a Problem,
    method: &'a Method,
    fingerprint: Fingerprint,
    /// Set by an interruption.
    stop: Interrupts,
    begin: Instant,
    show: bool,
    count: usize,
}

/// Minimises `problem` from every start; shows a progress line on a terminal if `show`. An interrupting signal ends it at the
/// best point, and so does the time limit, which counts from `begin`.
pub fn train(
    problem: &Problem,
    starts: Vec<Start>,
    method: &Method,
    begin: Instant,
    show: bool,
) -> Result<Trained, Failure> {
    let mut options = Map::new();
    let name = method.solver(None).settings().to_string();
    options.insert("method".into(), json!(name));
    let fingerprint = Fingerprint::new(problem, &options);
    let mut resumed = resumed(method, &fingerprint, starts.len())?;
    let run = Run {
        problem,
        method,
        fingerprint,
        stop: watch_interrupts(show, problem.interrupt()),
        begin,
        show,
        count: starts.len(),
    };
    let mut out =
        Trained { attempts: Vec::with_capacity(run.count), skipped: 0, interrupted: None };
    for (index, (seed, w)) in starts.into_iter().enumerate() {
        let left = run.left();
        if index > 0 && left == Some(0.0) {
            out.skipped = run.count - index;
            break;
        }
        let (end, trace) = run.attempt(index, &w, resumed.take(), left);
        let ended = match &end {
            Ok(fit) => fit.reason == Reason::Interrupted,
            Err(error) => *error == Error::Interrupted,
        };
        out.attempts.push(Attempt { seed, end, trace });
        if let Some(signal) = run.stop.caught() {
            out.skipped = run.count - index - 1;
            out.interrupted = (ended || out.skipped > 0).then_some(signal);
            break;
        }
    }
    Ok(out)
}

/// The state to go on from, if one is named. What another fit has left at the checkpoint's place is refused.
fn resumed(
    method: &Method,
    fingerprint: &Fingerprint,
    starts: usize,
) -> Result<Option<State>, Failure> {
    if starts > 1 && (method.checkpoint.is_some() || method.resume.is_some()) {
        return Err(Failure::usage(
            "a checkpoint holds one fit; leave out --starts, or --checkpoint and --resume",
        ));
    }
    if let Some(path) = method.checkpoint.as_deref().filter(|path| path.exists()) {
        Checkpoint::load(path, fingerprint)?;
    }
    Ok(match &method.resume {
        None => None,
        Some(path) => Some(Checkpoint::load(path, fingerprint)?.state()?),
    })
}

impl Run<'_> {
    /// The seconds that the limit leaves, if there is one.
    fn left(&self) -> Option<f64> {
        let limit = self.method.time_limit?;
        Some((limit - self.begin.elapsed().as_secs_f64()).max(0.0))
    }

    /// One fit, from `resumed` or else from `w`, in `left` seconds.
    fn attempt(
        &self,
        index: usize,
        w: &[f64],
        resumed: Option<State>,
        left: Option<f64>,
    ) -> (Result<Fit, Error>, Trace) {
        // A limit beyond what a duration holds is none.
        let time_limit = left.and_then(|left| Duration::try_from_secs_f64(left).ok());
        let solver = self.method.solver(time_limit);
        let bar = progress_bar(self.show, index, self.count);
        let every =
            Duration::try_from_secs_f64(self.method.checkpoint_every).unwrap_or(Duration::MAX);
        let mut keeper = (self.method.checkpoint.as_deref())
            .map(|path| Keeper::new(path, &self.fingerprint, every, resumed.clone()));
        let begin = Instant::now();
        let mut lines = Lines::new(self.show);
        let mut trace = Trace::default();
        let observe = &mut |progress: &Progress| {
            trace.note(progress);
            bar.set_length(progress.max_iter as u64);
            bar.set_position(progress.iteration as u64);
            let left = time_limit.map(|limit| limit.saturating_sub(begin.elapsed()));
            bar.set_message(message(progress, left));
            if lines.as_mut().is_some_and(|lines| lines.due(begin.elapsed())) {
                say_note(&format!("{} steps, {}", progress.iteration, message(progress, left)));
            }
            if let Some(keeper) = &mut keeper {
                keeper.see(progress.state);
            }
            if self.stop.caught().is_some() { Control::Stop } else { Control::Continue }
        };
        let end = match resumed {
            Some(state) => solver.resume(self.problem, state, observe),
            None => solver.fit(self.problem, w, observe),
        };
        if let Some(keeper) = &mut keeper {
            keeper.end(end.is_err());
        }
        bar.finish_and_clear();
        (end, trace)
    }
}
