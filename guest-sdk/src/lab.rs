//! The run as the guest sees it: task, data, budget and log.

use crate::bindings::lab::train::session;
use crate::tensor::{Tensor, size};

/// What is to be learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Task {
    /// Number of different tokens.
    pub vocab: usize,
    /// Longest context that evaluation uses, in tokens.
    pub context: usize,
    /// Rung of the ladder, 1.0 at the bottom. Derive sizes from it, so that the guest can be tried larger.
    pub scale: f32,
}

/// Training text: two u32 tensors [batch, seq].
pub struct Batch {
    /// What the model sees.
    pub tokens: Tensor,
    /// What comes next at each position.
    pub targets: Tensor,
}

/// One training run. There is no clock: schedules are made of [`Lab::progress`].
pub struct Lab(());

impl Lab {
    pub(crate) fn new() -> Self {
        Lab(())
    }

    /// The task.
    pub fn task(&self) -> Task {
        let task = session::task();
        Task { vocab: task.vocab as usize, context: task.context as usize, scale: task.scale }
    }

    /// The next batch of the training text, [batch, seq] of each, or none once the budget is used up or would not last
    /// for another step like the last. Shapes may change from call to call. Cost: copy.
    #[track_caller]
    pub fn next_batch(&mut self, batch: usize, seq: usize) -> Option<Batch> {
        let next = session::next_batch(size(batch), size(seq))?;
        Some(Batch { tokens: next.tokens.into(), targets: next.targets.into() })
    }

    /// Share of the budget used, 0 to 1. Counts what operations cost on the reference device, never time.
    pub fn progress(&self) -> f32 {
        session::progress() as f32
    }

    /// Keeps a one-element f32 tensor for the report's curve; "loss" is drawn, and ends the run if it is NaN or
    /// infinite. Not a read. Cost: copy, which for one element is the overhead of an operation: log what is worth it.
    #[track_caller]
    pub fn log(&mut self, key: &str, value: &Tensor) {
        session::log(key, value.handle());
    }

    /// Keeps a number for the report. Cost: as [`Lab::log`].
    #[track_caller]
    pub fn log_number(&mut self, key: &str, value: f64) {
        session::log_number(key, value);
    }
}
