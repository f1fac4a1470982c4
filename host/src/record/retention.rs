//! Which weights a store keeps. Weights that are let go can be made again by training once more, bit for bit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rules for the weights and checkpoints in a store. Those of champions and baselines are always kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Number of latest runs that keep their weights and checkpoints, whatever became of them. Trials that were kept
    /// keep theirs too.
    pub keep_runs: u32,
    /// Gigabytes of weights and checkpoints. Above this, the oldest checkpoints go first, then the oldest weights.
    pub quota_gb: f64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep_runs: 10, quota_gb: 1.0 }
    }
}

impl Retention {
    pub fn quota_bytes(&self) -> u64 {
        (self.quota_gb * 1e9) as u64
    }
}
