//! How a computation is run: without the interpreter's lock, on the threads that were asked for, interruptible, and in a child
//! of `fork`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use secondo::Result;

use crate::error::exception;

/// Operations from which a request may take longer than a user who presses Ctrl-C waits: a choice.
pub const LONG: f64 = 2e9;
/// The pause between two looks for a signal.
pub const PAUSE: Duration = Duration::from_millis(50);

/// The process that computed first: its threads do not exist in a child of `fork`.
static FIRST: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The threads that this one may compute on, where it does not share those of the process: two that compute at once do not wait for each other.
    static POOLS: RefCell<Pools> = RefCell::default();
}

/// The process and the number of threads.
type Key = (u32, usize);

#[derive(Default)]
struct Pools(HashMap<Key, Arc<ThreadPool>>);

impl Drop for Pools {
    fn drop(&mut self) {
        // A child of `fork` has none of its parent's threads, and their locks may never be opened.
        let of_others = self.0.extract_if(|(process, _), _| *process != process::id());
        of_others.for_each(std::mem::forget);
    }
}

/// Threads that are computed on until they are given back: what is computed meanwhile, in a callback, takes others.
pub struct Taken {
    key: Key,
    pool: Option<Arc<ThreadPool>>,
}

impl Taken {
    /// Leaves the threads to a computation that nobody waits for.
    pub fn leave(mut self) {
        self.pool = None;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            // At the end of a thread there may be no place to keep them.
            let _ = POOLS.try_with(|pools| pools.borrow_mut().0.insert(self.key, pool));
        }
    }
}

/// Runs `f` without the interpreter's lock on so many threads, or on all.
///
/// # Errors
/// Those of `f`; threads that cannot be started.
pub fn run<T: Send>(
    py: Python,
    threads: Option<usize>,
    f: impl FnOnce() -> Result<T> + Send,
) -> PyResult<T> {
    let taken = take(py, threads)?;
    let pool = taken.as_ref().and_then(|taken| taken.pool.clone());
    let done = py.detach(|| match pool {
        None => f(),
        Some(pool) => pool.install(f),
    });
    done.map_err(|error| exception(py, &error))
}

/// Runs `f` as [`run`] does, one of so many `flops`. While a long one runs, signals are handled: an exception of a handler, such as
/// `KeyboardInterrupt`, is returned at once, and the computation ends unseen.
///
/// # Errors
/// As [`run`], and the exception of a signal handler.
pub fn run_interruptibly<T: Send + 'static>(
    py: Python,
    threads: Option<usize>,
    flops: f64,
    f: impl FnOnce() -> Result<T> + Send + 'static,
) -> PyResult<T> {
    if flops < LONG {
        return run(py, threads, f);
    }
    let (sender, receiver) = channel();
    // Nobody waits for it after an interruption.
    let taken = in_thread(py, threads, move || drop(sender.send(f())))?;
    // The receiver is not shared: one caller waits.
    let receiver = Mutex::new(receiver);
    loop {
        let waited = py
            .detach(|| receiver.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(PAUSE));
        match waited {
            Ok(done) => return done.map_err(|error| exception(py, &error)),
            Err(RecvTimeoutError::Timeout) => {
                if let Err(error) = py.check_signals() {
                    if let Some(taken) = taken {
                        taken.leave();
                    }
                    return Err(error);
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err("the computation ended without a result"));
            }
        }
    }
}

/// Starts `work` in a thread of its own that computes on so many threads, or on all; returns these, which the caller drops when `work` has ended.
///
/// # Errors
/// Threads that cannot be started.
pub fn in_thread(
    py: Python,
    threads: Option<usize>,
    work: impl FnOnce() + Send + 'static,
) -> PyResult<Option<Taken>> {
    let taken = take(py, threads)?;
    let pool = taken.as_ref().and_then(|taken| taken.pool.clone());
    let work = move || match pool {
        None => work(),
        Some(pool) => pool.install(work),
    };
    thread::Builder::new().name("secondo".into()).spawn(work)?;
    Ok(taken)
}

/// Whether this process is a child by `fork` of one that has computed.
pub fn is_forked() -> bool {
    let id = process::id();
    let first = FIRST.compare_exchange(0, id, Ordering::Relaxed, Ordering::Relaxed);
    first.is_err_and(|first| first != id)
}

/// The threads to compute on; none for the ones that every process has.
fn take(py: Python, threads: Option<usize>) -> PyResult<Option<Taken>> {
    let forked = is_forked();
    if threads.is_none() && !forked {
        return Ok(None);
    }
    let key = (process::id(), threads.unwrap_or(0));
    let pool = match POOLS.with_borrow_mut(|pools| pools.0.remove(&key)) {
        Some(pool) => pool,
        None => Arc::new(
            (py.detach(|| ThreadPoolBuilder::new().num_threads(key.1).build()))
                .map_err(|e| PyRuntimeError::new_err(format!("cannot start the threads: {e}")))?,
        ),
    };
    Ok(Some(Taken { key, pool: Some(pool) }))
}
