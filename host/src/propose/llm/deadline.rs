//! The limits of one try: the time for each part, and cancellation.

use crate::propose::llm::config::ModelConfig;
use crate::propose::llm::error::{AskError, Phase};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often an exchange checks for cancellation.
const TICK: Duration = Duration::from_millis(50);

pub(super) struct Deadlines<'a> {
    config: &'a ModelConfig,
    cancelled: &'a AtomicBool,
    started: Instant,
}

impl<'a> Deadlines<'a> {
    pub fn new(config: &'a ModelConfig, cancelled: &'a AtomicBool) -> Self {
        Self { config, cancelled, started: Instant::now() }
    }

    /// Milliseconds since the start.
    pub fn elapsed_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Waits for a part of an exchange, within its own limit and the total one, until it is cancelled.
    pub async fn within<T>(&self, phase: Phase, part: impl Future<Output = T>) -> Result<T, AskError> {
        let mut part = pin!(part);
        let began = Instant::now();
        loop {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(AskError::Interrupted);
            }
            for (phase, since) in [(phase, began), (Phase::Total, self.started)] {
                let limit = self.config.limit(phase);
                if since.elapsed() >= limit {
                    return Err(AskError::Timeout { phase, limit_s: limit.as_secs() });
                }
            }
            if let Ok(done) = tokio::time::timeout(TICK, part.as_mut()).await {
                return Ok(done);
            }
        }
    }

    /// Waits between two tries.
    pub async fn pause(&self, wait: Duration) -> Result<(), AskError> {
        let began = Instant::now();
        while let Some(left) = wait.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(AskError::Interrupted);
            }
            tokio::time::sleep(left.min(TICK)).await;
        }
        Ok(())
    }
}
