//! How a run ended.

use crate::record::causality::Evaluation;
use crate::record::outcome::{HostFault, Outcome, Status};
use crate::sandbox::Trained;
use crate::sandbox::backend::Traffic;
use std::time::Duration;

/// The result of an experiment.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The outcome, with a score if training completed.
    pub outcome: Outcome,
    /// The final state of the training, encoded.
    pub state: Option<Vec<u8>>,
    /// How the score was evaluated, if there is an evaluation that ended with a result.
    pub evaluation: Option<Evaluation>,
    /// What training moved between host and device, if there is a device.
    pub traffic: Option<Traffic>,
    /// Wall time of training and evaluation.
    pub wall: Duration,
    /// The contributor on whose word alone it rests. `None` if this machine or a trusted one has made the run.
    pub word: Option<String>,
}

impl Ended {
    /// A run that the system did not let begin.
    pub(super) fn not_started(why: &str) -> Self {
        Self::without_result(Status::host(HostFault::System, why))
    }

    /// A run that came to no end.
    pub fn without_result(status: Status) -> Self {
        let Trained { status, curve, totals, intervals, read_log, fuel, .. } = Trained::failed(status);
        let outcome = Outcome { status, score: None, curve, totals, intervals, read_log, state: None, fuel };
        Self { outcome, state: None, evaluation: None, traffic: None, wall: Duration::ZERO, word: None }
    }

    /// A run that the user stopped.
    pub(super) fn interrupted() -> Self {
        Self::without_result(Status::host(HostFault::Interrupted, "stopped by the user"))
    }
}
