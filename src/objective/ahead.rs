//! Reading ahead: a thread fills windows of rows while others are computed with.
//!
//! Those who compute take rows in their order, several threads at once. A window goes back to the reader when all of its rows were
//! used; of those that are not yet given back there are never more than [`WINDOWS`], the one that is being filled among them.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::samples::{Rows, Samples, Walk, Window};
use crate::error::{Error, Result};
use crate::guard;
use crate::sync::lock;

/// Windows that exist at once: one is computed with, one waits, one is filled.
pub(super) const WINDOWS: usize = 3;

/// Samples that a thread reads in their order, until this is dropped.
#[derive(Debug)]
pub(crate) struct Ahead {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Windows whose rows are not all used yet, in their order.
    held: VecDeque<Held>,
    /// Windows to be filled again.
    spare: Vec<Window>,
    /// Why there are no more.
    error: Option<Error>,
    /// Whether all rows were read.
    is_done: bool,
    is_closed: bool,
}

#[derive(Debug)]
struct Held {
    first: usize,
    window: Arc<Window>,
    /// Rows that were not used yet.
    left: usize,
}

impl Ahead {
    /// Begins to read some rows of samples with so many inputs and outputs, so many rows at a time.
    pub fn start(
        samples: Arc<dyn Samples>,
        rows: Range<usize>,
        widths: [usize; 2],
        step: usize,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let of_reader = shared.clone();
        let read = move || of_reader.read(&*samples, rows, widths, step);
        let reader = thread::Builder::new().name("secondo reader".into()).spawn(read);
        if let Err(error) = &reader {
            shared.fail(Error::Unsupported {
                what: "reading rows".into(),
                why: format!("the system gave no thread for it ({error})"),
            });
        }
        Ahead { shared, reader: reader.ok() }
    }

    /// Ends all waiting with an error, since some rows will not be used.
    pub fn end(&self, error: Error) {
        self.shared.fail(error);
    }

    /// Calls `f` with some rows, once they are there. Together, all calls ask for each row once, in about their order.
    ///
    /// # Errors
    /// Those of reading.
    pub fn with<R>(&self, rows: Range<usize>, f: impl FnOnce(Rows) -> R) -> Result<R> {
        let (first, window) = self.shared.wait(&rows)?;
        let part = window.all(first).part(&rows).ok_or_else(|| out_of_order(&rows))?;
        let done = f(part);
        self.shared.used(first, rows.len(), window);
        Ok(done)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        lock(&self.shared.state).is_closed = true;
        self.shared.changed.notify_all();
        // The reader's own panics were caught; nothing of it is left behind.
        let _ = self.reader.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn fail(&self, error: Error) {
        lock(&self.state).error.get_or_insert(error);
        self.changed.notify_all();
    }

    /// Fills windows until there are no more rows or nobody wants them.
    fn read(&self, samples: &dyn Samples, all: Range<usize>, widths: [usize; 2], step: usize) {
        // A source may be the user's code.
        let walk = || -> Result<()> {
            let mut walk = samples.walk(all.start)?;
            for first in all.clone().step_by(step.max(1)) {
                let Some(mut window) = self.room() else {
                    return Ok(());
                };
                let rows = first..all.end.min(first + step);
                fill(samples, walk.as_mut(), widths, &rows, &mut window)?;
                let held = Held { first, window: Arc::new(window), left: rows.len() };
                lock(&self.state).held.push_back(held);
                self.changed.notify_all();
            }
            Ok(())
        };
        let done = guard::call("source of samples", "walk", walk);
        if let Err(error) = done.and_then(|done| done) {
            self.fail(error);
        }
        lock(&self.state).is_done = true;
        self.changed.notify_all();
    }

    /// A window to fill, once there is room for it; none where no more are wanted.
    fn room(&self) -> Option<Window> {
        let mut state = lock(&self.state);
        while state.held.len() + 1 > WINDOWS && !state.is_closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            return None;
        }
        let mut window = state.spare.pop().unwrap_or_default();
        window.clear();
        Some(window)
    }

    /// The window that holds some rows, and the number of its first, once it is there.
    fn wait(&self, rows: &Range<usize>) -> Result<(usize, Arc<Window>)> {
        let mut state = lock(&self.state);
        loop {
            let has = |held: &&Held| {
                (held.first..held.first + held.window.weights.len()).contains(&rows.start)
            };
            if let Some(held) = state.held.iter().find(has) {
                return Ok((held.first, held.window.clone()));
            }
            if let Some(error) = &state.error {
                return Err(error.clone());
            }
            let is_past = state.held.front().is_some_and(|held| rows.start < held.first);
            if is_past || state.is_done {
                return Err(out_of_order(rows));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// So many rows of a window were used.
    fn used(&self, first: usize, rows: usize, window: Arc<Window>) {
        drop(window);
        let mut state = lock(&self.state);
        let Some(at) = state.held.iter().position(|held| held.first == first) else {
            return;
        };
        let held = &mut state.held[at];
        held.left = held.left.saturating_sub(rows);
        if held.left == 0 {
            let held = state.held.remove(at);
            let spare = held.and_then(|held| Arc::into_inner(held.window));
            state.spare.extend(spare);
            drop(state);
            self.changed.notify_all();
        }
    }
}

fn out_of_order(rows: &Range<usize>) -> Error {
    let why = format!("rows {} to {} were asked for out of their order", rows.start, rows.end);
    Error::invalid("samples", why)
}

/// The first number that is not finite.
fn not_finite(values: &[f64]) -> Option<usize> {
    /// Numbers that are looked at without a branch each.
    const PART: usize = 1024;
    let has = |part: &[f64]| part.iter().fold(false, |has, v| has | !v.is_finite());
    let part = values.chunks(PART).position(has)?;
    let within = values[part * PART..].iter().position(|v| !v.is_finite())?;
    Some(part * PART + within)
}

/// Fills a window with some rows, and checks them.
fn fill(
    samples: &dyn Samples,
    walk: &mut dyn Walk,
    [inputs, outputs]: [usize; 2],
    rows: &Range<usize>,
    window: &mut Window,
) -> Result<()> {
    let n = rows.len();
    walk.next(n, window)?;
    for (what, found, width) in [
        ("X of a window", window.x.len(), inputs),
        ("Y of a window", window.y.len(), outputs),
        ("sample weights of a window", window.weights.len(), 1),
    ] {
        if n.checked_mul(width) != Some(found) {
            return Err(Error::shape(what, &[n, width], &[found]));
        }
    }
    let parts = [(&window.x, inputs, 0), (&window.y, outputs, inputs)];
    // The first row with such a number, whichever part it is in.
    let mut wrong: Option<(usize, usize, f64)> = None;
    let mut note = |at: usize, width: usize, before: usize, value: f64| {
        let place = (at / width, before + at % width);
        if wrong.is_none_or(|(row, column, _)| place < (row, column)) {
            wrong = Some((place.0, place.1, value));
        }
    };
    for (values, width, before) in parts {
        if let Some(at) = not_finite(values) {
            note(at, width, before, values[at]);
        }
    }
    if let Some(at) = window.weights.iter().position(|v| !v.is_finite() || *v < 0.0) {
        note(at, 1, inputs + outputs, window.weights[at]);
    }
    match wrong {
        None => Ok(()),
        Some((row, column, value)) => Err(samples.refuse(rows.start + row, column, value)),
    }
}
