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
    /// The last state: one that was seen, or before it the one that the fit goes on from.
    last: Option<State>,
    seen: bool,
}

impl<'a> Keeper<'a> {
    /// A checkpoint at `path` of a fit that starts, or goes on from `resumed`.
    pub fn new(
        path: &'a Path,
        fingerprint: &'a Fingerprint,
        every: Duration,
        resumed: Option<State>,
    ) -> Self {
        let written = Instant::now();
        Keeper { path, fingerprint, every, written, failed: false, last: resumed, seen: false }
    }

    /// Notes the state, and writes it if it is time.
    pub fn see(&mut self, state: &State) {
        self.last = Some(state.clone());
        self.seen = true;
        if self.written.elapsed() >= self.every {
            self.write();
        }
    }

    /// Writes the last state at the end of the fit, but nothing where the fit was refused before its first step.
    pub fn end(&mut self, refused: bool) {
        if self.seen || !refused {
            self.write();
        }
    }

    /// Writes the last state; a failure is said once, and the fit goes on.
    fn write(&mut self) {
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
