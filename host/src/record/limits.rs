//! Limits of a guest's run.

use crate::record::causality::Accepted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits of a run. All except `wall_limit_ms` and `threads` can change a result and are part of the experiment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Size of the component in bytes.
    pub component_bytes: u64,
    /// Linear memory of the guest, all memories and tables together, in bytes.
    pub memory_bytes: u64,
    /// Bytes of live tensors.
    pub tensor_bytes: u64,
    /// Number of live tensors.
    pub max_tensors: u64,
    /// Ops in one run.
    pub max_ops: u64,
    /// Fuel per second of budget, whatever the budget would pay for. The default is more than it pays for.
    pub fuel_per_budget_second: u64,
    /// Bytes of named state.
    pub state_bytes: u64,
    /// Number of logged points.
    pub log_points: u64,
    /// Cost of `forward` per token as a multiple of the seed guest's.
    pub forward_cost_factor: u32,
    /// Whether a guest is accepted for which there is no proof that it reads no later token.
    pub causality: Accepted,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_bytes: 8 << 20,
            memory_bytes: 256 << 20,
            tensor_bytes: 2 << 30,
            max_tensors: 100_000,
            max_ops: 50_000_000,
            fuel_per_budget_second: 4_000_000_000,
            state_bytes: 256 << 20,
            log_points: 100_000,
            forward_cost_factor: 3,
            causality: Accepted::default(),
        }
    }
}
