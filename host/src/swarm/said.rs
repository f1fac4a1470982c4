//! What a machine says of a run that is under way. Nothing depends on it but what people see. Pure.

use crate::sandbox::Progress;
use crate::swarm::machine::MachineId;
use serde::{Deserialize, Serialize};

/// Longest text in bytes.
const MAX_BYTES: usize = 512;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    pub machine: MachineId,
    /// Share of the budget used.
    pub progress: f64,
    pub steps: u64,
    /// Last logged loss.
    pub loss: Option<f64>,
}

impl Said {
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads it; `None` if it is not one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let said: Self = (bytes.len() <= MAX_BYTES).then(|| serde_json::from_slice(bytes).ok())??;
        (0.0..=1.0).contains(&said.progress).then_some(said)
    }

    pub fn progress(&self) -> Progress {
        Progress::Step { progress: self.progress, steps: self.steps, loss: self.loss }
    }
}
