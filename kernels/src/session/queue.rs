//! Steps that wait for execution, and whether anything is executed at all.

use super::interface::{Answers, Checkpoint};
use crate::exec::Step;
use crate::fault::Fault;

/// Steps that may wait before they are executed.
const MAX_STEPS: usize = 1024;
/// Bytes of constants and batches that may wait.
const MAX_DATA_BYTES: u64 = 16 << 20;

/// Steps that wait for execution. A run that executes nothing counts them, so that every run flushes at the same ops.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub steps: Vec<Step>,
    pub count: usize,
    pub data_bytes: u64,
}

impl Queue {
    pub fn full(&self) -> bool {
        self.count >= MAX_STEPS || self.data_bytes > MAX_DATA_BYTES
    }
}

/// Whether ops are executed, and where answers to reads come from.
#[derive(Debug)]
pub(super) enum Execution {
    Running,
    StandIn,
    /// Nothing is executed before the checkpoint; `next` is the place in the log.
    Skipping {
        log: Vec<u32>,
        next: usize,
        from: Box<Checkpoint>,
    },
}

impl Execution {
    pub fn new(answers: Answers) -> Self {
        match answers {
            Answers::Execute => Self::Running,
            Answers::StandIn => Self::StandIn,
            Answers::FastForward { log, from } => Self::Skipping { log, next: 0, from },
        }
    }

    pub fn running(&self) -> bool {
        matches!(self, Self::Running)
    }

    /// Values of a read that is not executed.
    pub fn answer(&mut self, count: usize) -> Result<Option<Vec<f32>>, Fault> {
        match self {
            Self::Running => Ok(None),
            Self::StandIn => Ok(Some(vec![0.0; count])),
            Self::Skipping { log, next, .. } => {
                let end = next.saturating_add(count);
                let bits = log.get(*next..end).ok_or_else(|| {
                    Fault::Executor("the run reads more values than were recorded before the checkpoint".to_owned())
                })?;
                *next = end;
                Ok(Some(bits.iter().map(|&b| f32::from_bits(b)).collect()))
            }
        }
    }
}
