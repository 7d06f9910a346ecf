//! Counts of what costs most: tests and reports read them.

use std::sync::atomic::{AtomicU64, Ordering};

/// What was done so far. Sweeps and uploads count samples, so that those of one chunk alone are seen, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Plans made.
    pub plans: u64,
    /// Samples whose inputs X were copied to where the arithmetic is done.
    pub uploaded: u64,
    /// Samples that were propagated forward.
    pub forward: u64,
    /// Samples whose multipliers were propagated back.
    pub backward: u64,
}

/// [`Counts`] that several threads add to.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    plans: AtomicU64,
    uploaded: AtomicU64,
    forward: AtomicU64,
    backward: AtomicU64,
}

impl Counters {
    /// Returns the counts so far.
    pub(crate) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            plans: read(&self.plans),
            uploaded: read(&self.uploaded),
            forward: read(&self.forward),
            backward: read(&self.backward),
        }
    }

    pub(crate) fn plan(&self) {
        self.plans.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn uploaded(&self, samples: usize) {
        self.uploaded.fetch_add(samples as u64, Ordering::Relaxed);
    }

    pub(super) fn forward(&self, samples: usize) {
        self.forward.fetch_add(samples as u64, Ordering::Relaxed);
    }

    pub(super) fn backward(&self, samples: usize) {
        self.backward.fetch_add(samples as u64, Ordering::Relaxed);
    }
}
