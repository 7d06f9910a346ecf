//! Faults of a device, and how they show.
//!
//! A lost device makes `poll` panic, and errors that wgpu reports to nobody are kept for the next call (measured with wgpu 30).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Fault, Result};
use crate::sync::lock;

/// A fault to be met by a later call, for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Simulated {
    /// The driver reports the device as lost.
    Lost,
    /// The wait panics, as wgpu's does on a lost device.
    Panic,
    /// The wait runs out of time.
    Timeout,
    /// The last dispatch does not run.
    Unfinished,
    /// A buffer cannot be created.
    OutOfMemory,
    /// The device is destroyed, as by an application that closes it.
    Destroyed,
}

/// The errors that a device has reported.
#[derive(Debug)]
pub struct Health {
    adapter: String,
    /// The driver's words when the device was lost.
    lost: Arc<Mutex<Option<String>>>,
    /// An error that wgpu reported to nobody.
    refused: Arc<Mutex<Option<wgpu::Error>>>,
    simulated: Mutex<Option<(Simulated, usize)>>,
}

impl Health {
    /// Listens to the device of an adapter.
    pub fn of(device: &wgpu::Device, adapter: &str) -> Self {
        let lost = Arc::new(Mutex::new(None));
        let note = lost.clone();
        device.set_device_lost_callback(move |reason, words| {
            lock(&note).get_or_insert(format!("{reason:?}: {words}"));
        });
        let refused = Arc::new(Mutex::new(None));
        let note = refused.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&note).get_or_insert(error);
        }));
        Health { adapter: adapter.into(), lost, refused, simulated: Mutex::default() }
    }

    pub fn error(&self, operation: &str, fault: Fault) -> Error {
        Error::gpu(&self.adapter, operation, fault)
    }

    /// The next call of that kind meets the fault after `calls` that do not.
    pub fn simulate(&self, fault: Simulated, calls: usize) {
        *lock(&self.simulated) = Some((fault, calls));
    }

    /// Whether one of these faults is due now.
    pub fn due(&self, faults: &[Simulated]) -> Option<Simulated> {
        let mut simulated = lock(&self.simulated);
        let (fault, calls) = simulated.filter(|s| faults.contains(&s.0))?;
        *simulated = calls.checked_sub(1).map(|calls| (fault, calls));
        (calls == 0).then_some(fault)
    }

    pub fn is_lost(&self) -> bool {
        lock(&self.lost).is_some()
    }

    /// Notes why the device is lost, unless that is known, and returns the first reason.
    pub fn lose(&self, reason: &str) -> String {
        lock(&self.lost).get_or_insert(reason.into()).clone()
    }

    /// Refuses to go on after what wgpu has reported since the last call.
    pub fn check(&self, operation: &str) -> Result<()> {
        if let Some(reason) = lock(&self.lost).clone() {
            return Err(self.error(operation, Fault::Lost { reason }));
        }
        let refused = lock(&self.refused).take();
        match refused {
            None => Ok(()),
            Some(wgpu::Error::OutOfMemory { .. }) => {
                let reason = "the driver ran out of memory".into();
                Err(self.error(operation, Fault::Lost { reason }))
            }
            Some(other) => {
                let reason = other.to_string();
                Err(self.error(operation, Fault::Refused { reason }))
            }
        }
    }

    /// Returns what a call gives that panics where the device is lost.
    pub fn guarded<T>(&self, operation: &str, call: impl FnOnce() -> T) -> Result<T> {
        catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
            let words = (panic.downcast_ref::<String>().map(String::as_str))
                .or(panic.downcast_ref::<&str>().copied())
                .unwrap_or("the driver's interface gave up");
            let reason = self.lose(words);
            self.error(operation, Fault::Lost { reason })
        })
    }
}
