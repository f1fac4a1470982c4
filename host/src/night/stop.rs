//! How Ctrl-C stops a night.

use std::sync::atomic::{AtomicU32, Ordering};

/// Counts Ctrl-C: the first press stops after the current experiment, the second one stops at once.
#[derive(Debug, Default)]
pub struct Stop(AtomicU32);

impl Stop {
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Records one press of Ctrl-C.
    pub fn press(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether to stop after the current experiment.
    pub fn soon(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= 1
    }

    /// Whether to stop at once.
    pub fn now(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= 2
    }
}
