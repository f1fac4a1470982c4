//! What Ctrl-C asks of a night.

use std::sync::atomic::{AtomicU32, Ordering};

/// What Ctrl-C sets: once, finish the experiment in hand; twice, stop now.
#[derive(Debug, Default)]
pub struct Stop(AtomicU32);

impl Stop {
    /// Nobody asked.
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Ctrl-C was pressed (once more).
    pub fn press(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// After the experiment in hand.
    pub fn soon(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= 1
    }

    /// At once.
    pub fn now(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= 2
    }
}
