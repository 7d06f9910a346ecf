//! Progress of a running fit.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use secondo::Progress;

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

/// The same for starts that run side by side: how many have ended.
pub fn starts_bar(show: bool, count: usize) -> ProgressBar {
    let bar = progress_bar(show, 0, 1);
    if let Ok(style) = ProgressStyle::with_template("{pos}/{len} starts") {
        bar.set_style(style);
    }
    bar.set_length(count as u64);
    bar
}
