//! The checkpoint of a running fit.

use std::path::Path;
use std::time::{Duration, Instant};

use secondo::State;
use secondo::io::{Checkpoint, Fingerprint};

use crate::output::say_warning;

/// A fit's checkpoint while it runs.
pub struct Keeper<'a> {
    path: &'a Path,
    fingerprint: &'a Fingerprint,
    every: Duration,
    written: Instant,
    failed: bool,
    /// The last state that was seen.
    last: Option<State>,
}

impl<'a> Keeper<'a> {
    /// A checkpoint at `path` of a fit that starts, or goes on from `resumed`.
    pub fn new(
        path: &'a Path,
        fingerprint: &'a Fingerprint,
        every: Duration,
        resumed: Option<State>,
    ) -> Self {
        Keeper { path, fingerprint, every, written: Instant::now(), failed: false, last: resumed }
    }

    /// Notes the state, and writes it if it is time.
    pub fn see(&mut self, state: &State) {
        self.last = Some(state.clone());
        if self.written.elapsed() >= self.every {
            self.write();
        }
    }

    /// Writes the last state; a failure is said once, and the fit goes on.
    pub fn write(&mut self) {
        let Some(state) = &self.last else {
            return;
        };
        if let Err(error) = Checkpoint::of(state).save(self.path, self.fingerprint)
            && !std::mem::replace(&mut self.failed, true)
        {
            say_warning(&format!("no checkpoint: {error}"));
        }
        self.written = Instant::now();
    }
}
