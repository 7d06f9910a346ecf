//! Ends of fits inside a step: a flag that others set, and a time.
//!
//! A step may take long: a matrix from many samples, its factorization, hundreds of products. Between two chunks of samples and between two
//! products a fit looks at its [`Limits`]; a long factorization runs on a thread of its own, which the fit leaves behind when a
//! limit is reached. The fit then ends at its best point.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::clock::Instant;
use crate::error::{Error, Result};
use crate::scratch::of_this_thread;
use crate::sync::lock;

/// A flag that ends fits inside a step; see [`Problem::interrupted_by`](crate::Problem::interrupted_by).
///
/// All clones are one flag, which another thread or a signal handler sets.
///
/// ```
/// use ndarray::array;
/// use secondo::{Activation, Auto, Data, Error, Interrupt, Loss, Method, Network, Problem, silent};
/// let data = Data::new(array![[1.0], [2.0], [4.0]], array![[1.0], [2.5], [3.5]])?;
/// let interrupt = Interrupt::default();
/// let problem = Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, data, Loss::SquaredError)?
///     .interrupted_by(interrupt.clone());
/// interrupt.set();
/// // Before there is a point with a value.
/// assert_eq!(Auto::default().fit(&problem, &[0.0, 0.0], &mut silent), Err(Error::Interrupted));
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Ends the fits of the problems that have this flag, soon.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for a signal handler to set.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }
}

/// The time between two looks at the limits while a factorization is waited for.
const POLL: Duration = Duration::from_millis(20);

/// The limits of a session's computing; none until they are told.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    interrupt: OnceLock<Interrupt>,
    deadline: OnceLock<Instant>,
}

impl Limits {
    /// Ends it when this flag is set.
    pub fn heed(&self, interrupt: &Interrupt) {
        let _ = self.interrupt.set(interrupt.clone());
    }

    /// Ends it at a time.
    pub fn end_at(&self, deadline: Instant) {
        let _ = self.deadline.set(deadline);
    }

    /// # Errors
    /// [`Error::Interrupted`] once it must end.
    pub fn check(&self) -> Result<()> {
        let is_set = self.interrupt.get().is_some_and(Interrupt::is_set);
        let is_late = || self.deadline.get().is_some_and(|deadline| Instant::now() >= *deadline);
        if is_set || is_late() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Returns what `work` returns, from a thread of its own that is left behind at a limit.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        self.check()?;
        let (done, result) = sync_channel(1);
        let mine = Arc::new(Mutex::new(Some(work)));
        let theirs = mine.clone();
        let take = |slot: &Mutex<Option<_>>| lock(slot).take();
        let started = std::thread::Builder::new().spawn(move || {
            let work = take(&theirs);
            // Where the address space is limited, room for products of matrices is needed on each thread.
            work.map(|work| done.send(of_this_thread().map(|()| work())))
        });
        if started.is_err() {
            // Where no thread can be started, here.
            return lock(&mine).take().map(|work| work()).ok_or(Error::Interrupted);
        }
        loop {
            match result.recv_timeout(POLL) {
                Ok(found) => return found,
                Err(RecvTimeoutError::Timeout) => self.check()?,
                // It panicked.
                Err(RecvTimeoutError::Disconnected) => {
                    let what = "a factorization ended without a result";
                    return Err(Error::Numerical { what: what.into() });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_left_behind_at_a_limit() {
        let limits = Limits::default();
        assert_eq!(limits.run(|| 7), Ok(7));
        limits.end_at(Instant::now() + Duration::from_millis(50));
        let clock = Instant::now();
        let slow = || std::thread::sleep(Duration::from_secs(20));
        assert_eq!(limits.run(slow), Err(Error::Interrupted));
        assert!(clock.elapsed() < Duration::from_secs(10));
        assert_eq!(limits.run(|| 7), Err(Error::Interrupted));
    }

    #[test]
    fn a_flag_is_heeded_by_those_who_know_it() {
        let (flag, limits, other) = (Interrupt::default(), Limits::default(), Limits::default());
        limits.heed(&flag);
        assert_eq!(limits.check(), Ok(()));
        flag.clone().set();
        assert_eq!((limits.check(), other.check()), (Err(Error::Interrupted), Ok(())));
    }
}
