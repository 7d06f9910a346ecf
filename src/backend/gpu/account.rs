//! The counts and times of an open adapter on the host.

use std::time::Duration;

/// The counts of what has passed between the host and the device, since the adapter was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Submissions.
    pub submissions: u64,
    /// Dispatches, those that count submissions included.
    pub dispatches: u64,
    /// Copies that the host waited for.
    pub read_backs: u64,
    /// Bytes to the device, but for the parameters of dispatches.
    pub sent: u64,
    /// Bytes to the host, but for counts and time stamps.
    pub fetched: u64,
    /// Buffers made, those for copies to the host included.
    pub buffers: u64,
    /// Bind groups made.
    pub bind_groups: u64,
}

/// Where the host's time went, since the adapter was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Times {
    /// Waiting for the device.
    pub waiting: Duration,
    /// Taking numbers over from the copies.
    pub reading: Duration,
    /// Building pipelines: shader text to the driver's machine code.
    pub building: Duration,
}
