//! The counts of a rehearsal: bytes that live at once, and floating-point operations.

use std::sync::{Arc, Mutex, PoisonError};

/// The cost of a request on the host.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Bytes of arrays and sums that live now.
    pub live: u64,
    /// The most bytes that lived at once, scratch space of the kernels included.
    pub peak: u64,
    /// Floating-point operations; a multiplication with an addition counts as two, an activation or a loss as 20.
    pub flops: f64,
}

/// Counts that a rehearsing backend shares with the arrays that it hands out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter(Arc<Mutex<Cost>>);

impl Counter {
    /// Returns the counts so far.
    pub fn cost(&self) -> Cost {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Cost)) {
        let mut cost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut cost);
        cost.peak = cost.peak.max(cost.live);
    }

    /// Counts bytes that live until the result is dropped.
    pub fn hold(&self, bytes: u64) -> Held {
        self.change(|cost| cost.live = cost.live.saturating_add(bytes));
        Held { bytes, counter: self.clone() }
    }

    /// Counts bytes that a kernel takes while it runs.
    pub fn scratch(&self, bytes: u64) {
        self.change(|cost| cost.peak = cost.peak.max(cost.live.saturating_add(bytes)));
    }

    /// Counts floating-point operations.
    pub fn flops(&self, flops: f64) {
        self.change(|cost| cost.flops += flops);
    }
}

/// Bytes that are counted as long as this lives.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: u64,
    counter: Counter,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.counter.change(|cost| cost.live -= self.bytes);
    }
}
