//! Progress of a running fit, and of the reading of large files.

use std::fs::{self, Metadata};
use std::io::IsTerminal;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{
    DecimalBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle,
};
use secondo::io::{ReadSoFar, read_so_far};
use secondo::{Progress, is_address_space_limited};

use crate::output::say_note;

/// Where the fit stands, what it has read since `before`, and the time that it takes at most: `left` is what a limit leaves.
pub fn message(progress: &Progress, before: ReadSoFar, left: Option<Duration>) -> String {
    let damping = match progress.radius {
        Some(radius) => format!("radius {radius:.0e}"),
        None => format!("μ {:.0e}", progress.mu),
    };
    let left = match progress.remaining().into_iter().chain(left).min() {
        Some(left) => format!(", at most {:#} left", HumanDuration(left)),
        None => String::new(),
    };
    let read = match read_since(before) {
        Some(read) => format!(", {read} read"),
        None => String::new(),
    };
    format!(
        "objective {:.6e}, gradient {:.1e}, {damping}{left}{read}",
        progress.value, progress.gradient_norm
    )
}

/// The rows and bytes that were read since then, if any were.
fn read_since(before: ReadSoFar) -> Option<String> {
    let now = read_so_far();
    let (rows, bytes) = (now.rows - before.rows, now.bytes - before.bytes);
    (bytes > 0).then(|| format!("{} rows ({})", HumanCount(rows), DecimalBytes(bytes)))
}

/// Lines for a standard error that is no terminal, as in notebooks and log files: the first after ten seconds, each after twice the time of the
/// one before, ten minutes at most.
pub struct Lines {
    next: Duration,
    wait: Duration,
}

/// The time before the first line, and the longest between two.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);

impl Lines {
    /// None where nothing is shown, or the line of a terminal is.
    pub fn new(show: bool) -> Option<Self> {
        (show && !std::io::stderr().is_terminal()).then_some(Lines { next: FIRST, wait: FIRST })
    }

    /// Whether a line is due when so much time has passed.
    pub fn due(&mut self, passed: Duration) -> bool {
        if passed < self.next {
            return false;
        }
        self.next = passed + self.wait;
        self.wait = (2 * self.wait).min(LONGEST);
        true
    }
}

/// A line on stderr if that is a terminal, and nothing otherwise.
fn line(show: bool) -> ProgressBar {
    if !show || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
}

/// The line of a fit that begins.
pub fn progress_bar(show: bool, index: usize, count: usize) -> ProgressBar {
    let bar = line(show);
    let template = "{prefix}{pos}/{len} steps, {wide_msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message("starting");
    if count > 1 {
        bar.set_prefix(format!("start {}/{count} ", index + 1));
    }
    bar
}

/// The progress of fits that run side by side: how many have ended.
pub struct Several {
    bar: ProgressBar,
    lines: Mutex<Option<Lines>>,
    begin: Instant,
    /// The noun for them.
    what: &'static str,
}

impl Several {
    pub fn new(show: bool, count: usize, what: &'static str) -> Self {
        let bar = progress_bar(show, 0, 1);
        if let Ok(style) = ProgressStyle::with_template(&format!("{{pos}}/{{len}} {what}")) {
            bar.set_style(style);
        }
        bar.set_length(count as u64);
        Several { bar, lines: Mutex::new(Lines::new(show)), begin: Instant::now(), what }
    }

    /// Notes that one more has ended.
    pub fn one_more(&self) {
        self.bar.inc(1);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.as_mut().is_some_and(|lines| lines.due(self.begin.elapsed())) {
            let (done, all) = (self.bar.position(), self.bar.length().unwrap_or(0));
            say_note(&format!("{done} of {all} {} have ended", self.what));
        }
    }
}

impl Drop for Several {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The rows and bytes that are read of a file, while this lives: a thread of its own shows them.
pub struct ReadingProgress(Option<(Sender<()>, JoinHandle<()>)>);

/// The time between two looks at how much was read.
const LOOK: Duration = Duration::from_millis(100);

impl ReadingProgress {
    /// Shows how much is read of the file at `path`.
    pub fn new(show: bool, path: &Path) -> Self {
        let (end, ended) = channel();
        let name = path.display().to_string();
        let size = fs::metadata(path).ok().filter(Metadata::is_file).map(|file| file.len());
        let of = size.map_or(String::new(), |len| format!(", which has {}", DecimalBytes(len)));
        let work = move || {
            let bar = line(true).with_style(ProgressStyle::default_spinner());
            let (mut lines, begin, before) = (Lines::new(true), Instant::now(), read_so_far());
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let Some(read) = read_since(before) else {
                    continue;
                };
                let message = format!("{read} were read of {name}{of}");
                if lines.as_mut().is_some_and(|lines| lines.due(begin.elapsed())) {
                    say_note(&message);
                }
                bar.set_message(message);
                bar.tick();
            }
            bar.finish_and_clear();
        };
        // Without a thread nothing is shown, nor where its stack would be missed.
        let show = show && !is_address_space_limited();
        let thread = show.then(|| std::thread::Builder::new().spawn(work).ok()).flatten();
        ReadingProgress(thread.map(|thread| (end, thread)))
    }
}

impl Drop for ReadingProgress {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.0.take() {
            drop(end);
            // It ends whatever it showed.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_rare() {
        let mut lines = Lines { next: FIRST, wait: FIRST };
        let due: Vec<u64> = (0..3600).filter(|s| lines.due(Duration::from_secs(*s))).collect();
        assert_eq!(due[..6], [10, 20, 40, 80, 160, 320]);
        assert!(due[6..].windows(2).all(|w| w[1] - w[0] <= 600) && due.len() < 16);
    }
}
