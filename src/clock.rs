//! The time: of the system, or where there is none, as in WebAssembly, a clock that stands still.

#[cfg(not(target_family = "wasm"))]
pub(crate) use std::time::Instant;

#[cfg(target_family = "wasm")]
pub(crate) use still::Instant;

#[cfg(target_family = "wasm")]
mod still {
    use std::time::Duration;

    /// A moment of a clock that stands still: no time passes, and none is out of reach.
    #[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
    pub(crate) struct Instant(Duration);

    impl Instant {
        pub fn now() -> Self {
            Instant(Duration::ZERO)
        }

        pub fn elapsed(&self) -> Duration {
            Duration::ZERO
        }

        pub fn checked_add(&self, duration: Duration) -> Option<Self> {
            self.0.checked_add(duration).map(Instant)
        }
    }
}
