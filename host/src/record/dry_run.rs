//! What a dry run finds.

use kernels::session::{NamedState, Totals};
use serde::{Deserialize, Serialize};

/// What a dry run finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DryRun {
    /// Counters of `train`.
    pub train: Totals,
    /// Counters of one `forward` on [eval_rows, context], absent where it failed.
    pub forward: Totals,
    /// Shapes of named state (values empty).
    pub named: NamedState,
    /// The guest read values in `train` or `forward`: findings are advice, there is no behaviour key.
    pub advisory: bool,
    /// Fuel used.
    pub fuel: u64,
}

impl DryRun {
    /// Price of `forward`, which saw so many tokens, in picoseconds for each.
    pub fn forward_ps_per_token(&self, tokens: u64) -> u64 {
        self.forward.spent_ps.div_ceil(tokens.max(1))
    }
}
