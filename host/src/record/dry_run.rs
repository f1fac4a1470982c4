//! The result of a dry run.

use crate::record::causality::Foreseen;
use kernels::session::{NamedState, Totals};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DryRun {
    /// Counters of `train`.
    pub train: Totals,
    /// Counters of one `forward` on [eval_rows, context]; absent if it failed.
    pub forward: Totals,
    /// Named state: shapes without values.
    pub named: NamedState,
    /// The guest read values in `train` or `forward`. The findings are then only a guess, and there is no behaviour
    /// key.
    pub advisory: bool,
    pub fuel: u64,
    /// Whether the model's causality is proved. Absent in records of older versions.
    #[serde(default)]
    pub causality: Option<Foreseen>,
    /// What one training step costs, in picoseconds. 0 in records of older versions.
    #[serde(default)]
    pub step_ps: u64,
    /// What of it each line of the source asks for, dearest first. Empty in records of older versions.
    #[serde(default)]
    pub lines: Vec<LineCost>,
}

/// What the ops cost that a line of a source asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineCost {
    pub line: u32,
    /// The function that it stands in, if that is known.
    pub function: String,
    pub ps: u64,
}

impl DryRun {
    /// Price of `forward` in picoseconds per token, for a call on `tokens` tokens.
    pub fn forward_ps_per_token(&self, tokens: u64) -> u64 {
        self.forward.spent_ps.div_ceil(tokens.max(1))
    }
}
