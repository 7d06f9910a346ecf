//! Counts of what costs most: tests and reports read them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The work done so far. Sweeps and uploads count samples, so that those of one chunk alone are seen, too.
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

/// [`Counts`] that several threads add to, and to those of the problem besides.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    plans: AtomicU64,
    uploaded: AtomicU64,
    forward: AtomicU64,
    backward: AtomicU64,
    whole: Option<Arc<Counters>>,
}

impl Counters {
    /// Returns counters whose counts belong to a whole.
    pub(crate) fn within(whole: Arc<Counters>) -> Self {
        Counters { whole: Some(whole), ..Counters::default() }
    }

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

    fn add(&self, counter: fn(&Counters) -> &AtomicU64, count: usize) {
        counter(self).fetch_add(count as u64, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add(counter, count);
        }
    }

    pub(super) fn plan(&self) {
        self.add(|c| &c.plans, 1);
    }

    pub(super) fn uploaded(&self, samples: usize) {
        self.add(|c| &c.uploaded, samples);
    }

    pub(super) fn forward(&self, samples: usize) {
        self.add(|c| &c.forward, samples);
    }

    pub(super) fn backward(&self, samples: usize) {
        self.add(|c| &c.backward, samples);
    }
}
