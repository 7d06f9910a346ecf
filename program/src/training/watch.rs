//! Progress of a running fit, and its interruption.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use secondo::Progress;
use signal_hook::consts::SIGTERM;
use signal_hook::flag;

use crate::exit::Exit;
use crate::output::{say_note, say_warning};

/// The flag that SIGTERM and the first Ctrl-C set; the second Ctrl-C ends the program at once.
pub fn watch_interrupts(show: bool) -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let stop = interrupted.clone();
    let watching = ctrlc::set_handler(move || {
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(Exit::Interrupted.code().into());
        }
        if show {
            say_note(
                "interrupted; the fit ends after this step at its best point (Ctrl-C again: at once)",
            );
        }
    });
    if let Err(error) = watching {
        say_warning(&format!("Ctrl-C will end the fit without a model: {error}"));
    }
    // Whoever ends a program so waits a while before it is killed.
    if let Err(error) = flag::register(SIGTERM, interrupted.clone()) {
        say_warning(&format!("SIGTERM will end the fit without a model: {error}"));
    }
    interrupted
}

/// Where the fit stands, and the time that it takes at most: `left` is what a limit leaves.
pub fn message(progress: &Progress, left: Option<Duration>) -> String {
    let damping = match progress.radius {
        Some(radius) => format!("radius {radius:.0e}"),
        None => format!("μ {:.0e}", progress.mu),
    };
    let left = match progress.remaining().into_iter().chain(left).min() {
        Some(left) => format!(", at most {:#} left", HumanDuration(left)),
        None => String::new(),
    };
    format!(
        "objective {:.6e}, gradient {:.1e}, {damping}{left}",
        progress.value, progress.gradient_norm
    )
}

/// A line on stderr if that is a terminal, and nothing otherwise.
pub fn progress_bar(show: bool, index: usize, count: usize) -> ProgressBar {
    if !show || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
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
