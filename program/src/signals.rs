//! Signals: what ends a fit at its best point, and what must not end the program.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
#[cfg(not(unix))]
use std::sync::{Mutex, PoisonError};

use secondo::Interrupt;

use crate::exit::Exit;
use crate::output::{say_note, say_warning};

/// The signal that interrupted a fit, if one did.
#[derive(Debug, Clone, Default)]
pub struct Interrupts(Arc<AtomicUsize>);

impl Interrupts {
    /// The number of the signal.
    pub fn caught(&self) -> Option<u8> {
        u8::try_from(self.0.load(Ordering::Relaxed)).ok().filter(|signal| *signal > 0)
    }
}

fn say_interrupted() {
    say_note(
        "interrupted; what is computed ends, at its best point if it has one (again: at once)",
    );
}

#[cfg(unix)]
pub use by_signal::{ignore_interrupts, keep_results, watch_interrupts};

#[cfg(unix)]
mod by_signal {
    use std::sync::atomic::AtomicBool;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    use signal_hook::flag;
    use signal_hook::iterator::Signals;

    use super::*;

    /// Makes a file that grows beyond the limit of the process an error of writing, not the end of the program.
    pub fn keep_results() {
        let _ = flag::register(SIGXFSZ, Arc::default());
    }

    /// Makes signals that interrupt do nothing: the process that this one works for heeds them.
    pub fn ignore_interrupts() {
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let _ = flag::register(signal, Arc::default());
        }
    }

    /// Watches the signals that interrupt: the first is noted, ends the fit, and is said if `show`; another ends the program at once.
    /// Called again, it ends this fit, too.
    pub fn watch_interrupts(show: bool, fit: &Interrupt) -> Interrupts {
        static WATCHED: OnceLock<(Vec<i32>, Interrupts)> = OnceLock::new();
        let (signals, interrupts) = WATCHED.get_or_init(|| watch(show));
        for &signal in signals {
            if let Err(error) = flag::register(signal, fit.flag()) {
                say_warning(&format!("signal {signal} will not end this fit: {error}"));
            }
        }
        // One that came between two fits.
        if interrupts.caught().is_some() {
            fit.set();
        }
        interrupts.clone()
    }

    /// The signals that are watched from now on, and what notes them.
    fn watch(show: bool) -> (Vec<i32>, Interrupts) {
        let interrupts = Interrupts::default();
        let seen = Arc::<AtomicBool>::default();
        let signals: Vec<i32> =
            [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal)).collect();
        for &signal in &signals {
            let exit = i32::from(Exit::Interrupted(signal as u8).code());
            // In the order in which they are done.
            let watching = flag::register_conditional_shutdown(signal, exit, seen.clone())
                .and_then(|_| flag::register_usize(signal, interrupts.0.clone(), signal as usize))
                .and_then(|_| flag::register(signal, seen.clone()));
            if let Err(error) = watching {
                say_warning(&format!("signal {signal} will end the fit without a model: {error}"));
            }
        }
        // Without this thread nothing is said, and all else is done.
        if let (true, Ok(mut arriving)) = (show, Signals::new(&signals)) {
            let say = move || {
                if arriving.forever().next().is_some() {
                    say_interrupted();
                }
            };
            let _ = std::thread::Builder::new().spawn(say);
        }
        (signals, interrupts)
    }

    /// Whether whoever started the program lets it ignore this signal, as nohup does; where the system does not tell, no.
    fn is_ignored(signal: i32) -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = (status.lines()).find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
    }
}

/// Nothing has to be done here.
#[cfg(not(unix))]
pub fn keep_results() {}

/// Makes Ctrl-C do nothing.
#[cfg(not(unix))]
pub fn ignore_interrupts() {
    let _ = ctrlc::set_handler(|| ());
}

/// Watches Ctrl-C: the first is noted, ends the fit, and is said if `show`; another ends the program at once. Called again, it ends this
/// fit, too.
#[cfg(not(unix))]
pub fn watch_interrupts(show: bool, fit: &Interrupt) -> Interrupts {
    static FITS: Mutex<Vec<Interrupt>> = Mutex::new(Vec::new());
    static WATCHED: OnceLock<Interrupts> = OnceLock::new();
    FITS.lock().unwrap_or_else(PoisonError::into_inner).push(fit.clone());
    let interrupts = WATCHED.get_or_init(|| watch(show, &FITS));
    if interrupts.caught().is_some() {
        fit.set();
    }
    interrupts.clone()
}

#[cfg(not(unix))]
fn watch(show: bool, fits: &'static Mutex<Vec<Interrupt>>) -> Interrupts {
    const CTRL_C: u8 = 2;
    let interrupts = Interrupts::default();
    let noted = interrupts.0.clone();
    let watching = ctrlc::set_handler(move || {
        fits.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(Interrupt::set);
        if noted.swap(CTRL_C.into(), Ordering::Relaxed) > 0 {
            std::process::exit(Exit::Interrupted(CTRL_C).code().into());
        }
        if show {
            say_interrupted();
        }
    });
    if let Err(error) = watching {
        say_warning(&format!("Ctrl-C will end the fit without a model: {error}"));
    }
    interrupts
}
