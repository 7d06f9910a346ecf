//! The fits from one or several starts.

mod keeper;
mod options;
mod trace;
mod watch;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use secondo::io::{Checkpoint, Fingerprint, read_so_far};
use secondo::{Control, Device, EarlyStopping, Error, Fit, Problem, Progress, Reason, State};
use serde_json::{Map, json};

use crate::exit::Failure;
use crate::output::say_note;
use crate::signals::{Interrupts, watch_interrupts};
use keeper::Keeper;
pub use options::{Method, curvature, not_negative};
pub use trace::Trace;
use watch::{Lines, message, progress_bar};
pub use watch::{ReadingProgress, Several};

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
    /// The start with the lowest objective, or the lowest error of the validation rows where they end the fits.
    ///
    /// # Errors
    /// No start came to an end; the first error says why.
    pub fn best(&self) -> Result<(usize, &Fit), Failure> {
        let ends = self.attempts.iter().enumerate();
        let best = ends
            .filter_map(|(i, attempt)| Some((i, attempt.end.as_ref().ok()?)))
            .min_by(|a, b| measure(a.1).total_cmp(&measure(b.1)));
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

/// The figure by which starts are compared.
fn measure(fit: &Fit) -> f64 {
    let lowest = fit.validation.as_ref().and_then(|v| Some(v.curve.get(v.best)?.error));
    lowest.unwrap_or(fit.value)
}

/// One run of `train`: what all its starts share.
struct Run<'a> {
    problem: &'a Problem,
    /// The problem by whose objective a fit ends early, and the patience.
    validation: Option<(&'a Problem, usize)>,
    method: &'a Method,
    /// Where there is a checkpoint.
    fingerprint: Option<Fingerprint>,
    /// Set by an interruption.
    stop: Interrupts,
    begin: Instant,
    show: bool,
    count: usize,
}

/// Minimises `problem` from every start; shows a progress line on a terminal if `show`. With `validation` the fits end early. An
/// interrupting signal ends it at the best point, and so does the time limit, which counts from `begin`.
pub fn train(
    problem: &Problem,
    validation: Option<(&Problem, usize)>,
    starts: Vec<Start>,
    method: &Method,
    begin: Instant,
    show: bool,
) -> Result<Trained, Failure> {
    let mut options = Map::new();
    let name = method.solver(None).settings().to_string();
    options.insert("method".into(), json!(name));
    // It takes all rows, which may have to be read.
    let is_needed = method.checkpoint.is_some() || method.resume.is_some();
    let fingerprint = is_needed.then(|| Fingerprint::new(problem, &options)).transpose()?;
    let resumed = match &fingerprint {
        None => None,
        Some(fingerprint) => resumed(method, fingerprint, starts.len())?,
    };
    let run = Run {
        problem,
        validation,
        method,
        fingerprint,
        stop: watch_interrupts(show, problem.interrupt()),
        begin,
        show,
        count: starts.len(),
    };
    let attempts = match side_by_side(problem, starts.len()) {
        0 | 1 => run.in_turn(starts, resumed),
        workers => run.side_by_side(&starts, workers),
    };
    let skipped = run.count - attempts.len();
    let ended = |a: &Attempt| match &a.end {
        Ok(fit) => fit.reason == Reason::Interrupted,
        Err(error) => *error == Error::Interrupted,
    };
    let cut = skipped > 0 || attempts.iter().any(ended);
    let interrupted = run.stop.caught().filter(|_| cut);
    Ok(Trained { attempts, skipped, interrupted })
}

/// The flop of a step below which no adapter is chosen, as it stands to reason.
#[cfg(feature = "gpu")]
const SMALL: u64 = 1 << 30;

/// How many of so many starts may run at once, each with a session of its own: on the processor, and where memory is at hand for all of
/// them. Their bits do not depend on it.
fn side_by_side(problem: &Problem, starts: usize) -> usize {
    if problem.processes() > 1 {
        // Which compute one request at a time.
        return 1;
    }
    let workers = starts.min(rayon::current_num_threads());
    let (rows, p) = (problem.rows(), problem.parameters() as u64);
    let outputs = (rows as u64).saturating_mul(problem.network().outputs() as u64);
    // Numbers of a Jacobian with its factorization, or of a Hessian with its own.
    let numbers = outputs.saturating_add(p).saturating_mul(p).saturating_mul(4);
    let on_processor = match problem.device() {
        Device::Cpu | Device::CpuF32 => true,
        #[cfg(feature = "gpu")]
        Device::Auto(_) => numbers.saturating_mul(p) < SMALL,
        // It would be shared.
        _ => false,
    };
    if workers < 2 || !on_processor {
        return 1;
    }
    let all = numbers.saturating_mul(8).saturating_mul(workers as u64);
    if all < secondo::available_memory() / 2 { workers } else { 1 }
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
    /// One start after the other, the first from `resumed` if there is that.
    fn in_turn(&self, starts: Vec<Start>, mut resumed: Option<State>) -> Vec<Attempt> {
        let mut out = Vec::with_capacity(self.count);
        for (index, start) in starts.iter().enumerate() {
            let Some(left) = self.may_begin(index) else {
                break;
            };
            let bar = progress_bar(self.show, index, self.count);
            out.push(self.attempt(self.problem, &bar, start, resumed.take(), left));
        }
        out
    }

    /// So many starts at once, each with what it remembers of the problem. Those that were begun are the first.
    fn side_by_side(&self, starts: &[Start], workers: usize) -> Vec<Attempt> {
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(self.count)));
        let progress = Several::new(self.show, self.count, "starts");
        let work = || {
            let problem = self.problem.clone();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let (Some(start), Some(left)) = (starts.get(index), self.may_begin(index)) else {
                    break;
                };
                let hidden = progress_bar(false, index, self.count);
                let attempt = self.attempt(&problem, &hidden, start, None, left);
                progress.one_more();
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                done.push((index, attempt));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..workers {
                // Where no thread can be started, the others do its work.
                let _ = std::thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        drop(progress);
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, attempt)| attempt).collect()
    }

    /// The seconds that the start with this index has, if it may begin.
    fn may_begin(&self, index: usize) -> Option<Option<f64>> {
        let left = self.left();
        let is_over = index > 0 && (left == Some(0.0) || self.stop.caught().is_some());
        (!is_over).then_some(left)
    }

    /// The seconds that the limit leaves, if there is one.
    fn left(&self) -> Option<f64> {
        let limit = self.method.time_limit?;
        Some((limit - self.begin.elapsed().as_secs_f64()).max(0.0))
    }

    /// One fit, from `resumed` or else from its start, in `left` seconds.
    fn attempt(
        &self,
        problem: &Problem,
        bar: &ProgressBar,
        (seed, w): &Start,
        resumed: Option<State>,
        left: Option<f64>,
    ) -> Attempt {
        // A limit beyond what a duration holds is none.
        let time_limit = left.and_then(|left| Duration::try_from_secs_f64(left).ok());
        let method = self.method.solver(time_limit);
        let early = self.validation.map(|(validation, patience)| EarlyStopping {
            method: method.as_ref(),
            validation,
            patience,
        });
        let solver: &dyn secondo::Method = match &early {
            Some(early) => early,
            None => method.as_ref(),
        };
        let every =
            Duration::try_from_secs_f64(self.method.checkpoint_every).unwrap_or(Duration::MAX);
        let mut keeper = (self.method.checkpoint.as_deref().zip(self.fingerprint.as_ref()))
            .map(|(path, print)| Keeper::new(path, print, every, resumed.clone()));
        let begin = Instant::now();
        let (mut lines, before) = (Lines::new(self.show), read_so_far());
        let mut trace = Trace::default();
        let observe = &mut |progress: &Progress| {
            trace.note(progress);
            bar.set_length(progress.max_iter as u64);
            bar.set_position(progress.iteration as u64);
            let left = time_limit.map(|limit| limit.saturating_sub(begin.elapsed()));
            let message = message(progress, before, left);
            if lines.as_mut().is_some_and(|lines| lines.due(begin.elapsed())) {
                say_note(&format!("{} steps, {message}", progress.iteration));
            }
            bar.set_message(message);
            if let Some(keeper) = &mut keeper {
                keeper.see(progress.state);
            }
            if self.stop.caught().is_some() { Control::Stop } else { Control::Continue }
        };
        let end = match resumed {
            Some(state) => solver.resume(problem, state, observe),
            None => solver.fit(problem, w, observe),
        };
        if let Some(keeper) = &mut keeper {
            keeper.end(end.is_err());
        }
        bar.finish_and_clear();
        Attempt { seed: *seed, end, trace }
    }
}
